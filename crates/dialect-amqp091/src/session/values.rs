//! Tables of this protocol to and from the neutral header values, type by type. What the two do not share is in the table of
//! `docs/features/amqp091.md`: `L` comes back as `l`; unsigned 64-bit numbers, characters, UUIDs and symbols of other
//! protocols have no type here.

use baton_model::value::{MapRef, encode_container, encode_name};
use baton_model::{ValueRef as Neutral, limits};
use bytes::{BufMut, Bytes, BytesMut};

use crate::error::WireError;
use crate::limits::TABLE_DEPTH_MAX;
use crate::short_str::ShortRef;
use crate::table::{TableRef, ValueRef};
use crate::wire::{put_len, put_long_bytes, reserve_len};

/// Appends a table's entries as the items of a map, without those of that name. Reads all of it, so that what passed is sound.
pub(super) fn encode_table(
    buf: &mut Vec<u8>,
    table: TableRef<'_>,
    without: Option<&str>,
) -> Result<(), WireError> {
    for entry in table {
        let (name, value) = entry?;
        if without.is_some_and(|without| name == without) {
            continue;
        }
        encode_name(buf, name.as_bytes());
        encode_value(buf, value, TABLE_DEPTH_MAX)?;
    }
    Ok(())
}

/// A table's entries as map items of their own.
pub(super) fn table_bytes(table: TableRef<'_>) -> Result<Bytes, WireError> {
    let mut buf = Vec::with_capacity(table.as_bytes().len() * 2);
    encode_table(&mut buf, table, None)?;
    Ok(buf.into())
}

fn encode_value(buf: &mut Vec<u8>, value: ValueRef<'_>, depth_left: u32) -> Result<(), WireError> {
    let deeper = || depth_left.checked_sub(1).ok_or(WireError::TableTooDeep { depth_max: TABLE_DEPTH_MAX });
    let plain = match value {
        ValueRef::Bool(v) => Neutral::Bool(v),
        ValueRef::I8(v) => Neutral::I8(v),
        ValueRef::U8(v) => Neutral::U8(v),
        ValueRef::I16(v) => Neutral::I16(v),
        ValueRef::U16(v) => Neutral::U16(v),
        ValueRef::I32(v) => Neutral::I32(v),
        ValueRef::U32(v) => Neutral::U32(v),
        ValueRef::I64(v) | ValueRef::I64Upper(v) => Neutral::I64(v),
        ValueRef::F32(v) => Neutral::F32(v),
        ValueRef::F64(v) => Neutral::F64(v),
        ValueRef::Decimal { scale, value } => Neutral::Decimal { scale, value: value.cast_signed() },
        ValueRef::LongStr(v) => Neutral::Str(v),
        ValueRef::Binary(v) => Neutral::Bytes(v),
        ValueRef::Timestamp(seconds) => Neutral::Timestamp(seconds_to_ms(seconds)),
        ValueRef::Void => Neutral::Null,
        ValueRef::Array(array) => {
            let depth_left = deeper()?;
            let mut result = Ok(());
            encode_container(buf, false, |buf| {
                result = array.iter().try_for_each(|value| encode_value(buf, value?, depth_left));
            });
            return result;
        }
        ValueRef::Table(table) => {
            let depth_left = deeper()?;
            let mut result = Ok(());
            encode_container(buf, true, |buf| {
                result = table.iter().try_for_each(|entry| {
                    let (name, value) = entry?;
                    encode_name(buf, name.as_bytes());
                    encode_value(buf, value, depth_left)
                });
            });
            return result;
        }
    };
    plain.encode(buf);
    Ok(())
}

/// Seconds on the wire, milliseconds inside. Times beyond the end of the neutral ones stay at that end.
pub(super) fn seconds_to_ms(seconds: u64) -> i64 {
    seconds.cast_signed().saturating_mul(1_000)
}

/// The other way; fractions of a second are lost.
pub(super) fn ms_to_seconds(ms: i64) -> u64 {
    ms.div_euclid(1_000).cast_unsigned()
}

/// Appends an entry of a table. Names that do not fit into a short string, which only other protocols can make, are left out.
pub(super) fn put_entry(out: &mut BytesMut, name: &[u8], value: Neutral<'_>) {
    put_entry_at(out, name, value, 0);
}

fn put_entry_at(out: &mut BytesMut, name: &[u8], value: Neutral<'_>, depth: usize) {
    if let Ok(name) = ShortRef::from_bytes(name) {
        name.put(out);
        put_value(out, value, depth);
    }
}

/// Appends a long string as a value.
pub(super) fn put_str(out: &mut BytesMut, text: &[u8]) {
    out.put_u8(b'S');
    put_long_bytes(out, text);
}

pub(super) fn put_value(out: &mut BytesMut, value: Neutral<'_>, depth: usize) {
    fn tagged<const N: usize>(out: &mut BytesMut, tag: u8, bytes: [u8; N]) {
        out.put_u8(tag);
        out.put_slice(&bytes);
    }
    if depth > limits::VALUE_DEPTH_MAX {
        return out.put_u8(b'V');
    }
    match value {
        Neutral::Null => out.put_u8(b'V'),
        Neutral::Bool(v) => tagged(out, b't', [u8::from(v)]),
        Neutral::I8(v) => tagged(out, b'b', v.to_be_bytes()),
        Neutral::U8(v) => tagged(out, b'B', v.to_be_bytes()),
        Neutral::I16(v) => tagged(out, b's', v.to_be_bytes()),
        Neutral::U16(v) => tagged(out, b'u', v.to_be_bytes()),
        Neutral::I32(v) => tagged(out, b'I', v.to_be_bytes()),
        Neutral::U32(v) => tagged(out, b'i', v.to_be_bytes()),
        Neutral::I64(v) => tagged(out, b'l', v.to_be_bytes()),
        Neutral::U64(v) => match i64::try_from(v) {
            Ok(v) => tagged(out, b'l', v.to_be_bytes()),
            Err(_) => put_str(out, v.to_string().as_bytes()),
        },
        Neutral::F32(v) => tagged(out, b'f', v.to_bits().to_be_bytes()),
        Neutral::F64(v) => tagged(out, b'd', v.to_bits().to_be_bytes()),
        Neutral::Decimal { scale, value } => {
            tagged(out, b'D', [scale]);
            out.put_i32(value);
        }
        Neutral::Timestamp(ms) => tagged(out, b'T', ms_to_seconds(ms).to_be_bytes()),
        Neutral::Char(v) => {
            let c = char::from_u32(v).unwrap_or(char::REPLACEMENT_CHARACTER);
            put_str(out, c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        Neutral::Uuid(v) => {
            out.put_u8(b'x');
            put_long_bytes(out, &v);
        }
        Neutral::Str(v) | Neutral::Symbol(v) => put_str(out, v),
        Neutral::Bytes(v) => {
            out.put_u8(b'x');
            put_long_bytes(out, v);
        }
        Neutral::List(list) => {
            out.put_u8(b'A');
            let at = reserve_len(out);
            list.for_each(|value| put_value(out, value, depth + 1));
            put_len(out, at);
        }
        Neutral::Map(map) => {
            out.put_u8(b'F');
            let at = reserve_len(out);
            put_map(out, map, depth + 1);
            put_len(out, at);
        }
    }
}

fn put_map(out: &mut BytesMut, map: MapRef<'_>, depth: usize) {
    map.for_each(|(name, value)| put_entry_at(out, name, value, depth));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{FieldTable, FieldValue};

    fn there_and_back(table: &FieldTable) -> Vec<u8> {
        let mut buf = Vec::new();
        encode_table(&mut buf, table.encode().as_table(), None).unwrap();
        let mut out = BytesMut::new();
        MapRef(&buf).for_each(|(name, value)| put_entry(&mut out, name, value));
        out.to_vec()
    }

    #[test]
    fn every_type_comes_back_as_it_was() {
        let nested = FieldTable::new().with("k", true).with("deep", vec![FieldValue::Void, 7.into()]);
        let table = FieldTable::new()
            .with("t", true)
            .with("b", FieldValue::I8(-1))
            .with("B", FieldValue::U8(255))
            .with("s", FieldValue::I16(-300))
            .with("u", FieldValue::U16(65_535))
            .with("I", FieldValue::I32(-70_000))
            .with("i", FieldValue::U32(u32::MAX))
            .with("l", FieldValue::I64(i64::MIN))
            .with("f", FieldValue::F32(1.5))
            .with("d", FieldValue::F64(f64::MIN_POSITIVE))
            .with("D", FieldValue::Decimal { scale: 2, value: u32::MAX })
            .with("S", "text")
            .with("x", FieldValue::Binary(Bytes::from_static(b"\x00\xff")))
            .with("T", FieldValue::Timestamp(1_700_000_000))
            .with("V", FieldValue::Void)
            .with("F", nested)
            .with("A", Vec::<FieldValue>::new());
        assert_eq!(there_and_back(&table), table.encode().as_bytes());
    }

    #[test]
    fn types_of_other_protocols_become_the_nearest() {
        let mut out = BytesMut::new();
        put_value(&mut out, Neutral::U64(u64::MAX), 0);
        put_value(&mut out, Neutral::Char(0xdf), 0);
        put_value(&mut out, Neutral::U64(1), 0);
        assert_eq!(
            &out[..],
            [b"S\0\0\0\x1418446744073709551615".as_slice(), b"S\0\0\0\x02\xc3\x9f", b"l\0\0\0\0\0\0\0\x01"]
                .concat()
        );
        put_entry(&mut out, &[b'n'; 256], Neutral::Null);
        assert_eq!(out.len(), 25 + 7 + 9);
        assert_eq!((seconds_to_ms(u64::MAX / 4), ms_to_seconds(-1)), (i64::MAX, u64::MAX));
    }

    #[test]
    fn too_deep_is_refused() {
        let mut table = FieldTable::new();
        for _ in 0..32 {
            table = FieldTable::new().with("n", table);
        }
        assert!(table_bytes(table.encode().as_table()).is_ok());
        let deeper = FieldTable::new().with("n", table).encode();
        assert_eq!(table_bytes(deeper.as_table()), Err(WireError::TableTooDeep { depth_max: 32 }));
    }
}
