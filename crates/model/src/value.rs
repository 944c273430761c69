//! Typed header values, owned ([`Value`]) and borrowed from their encoding ([`ValueRef`]), and the encoding itself.
//!
//! The set of types is the union of what the protocols need to give back unchanged: AMQP 0-9-1 clients notice when a
//! 32-bit integer comes back as a 64-bit one. Text is bytes that are UTF-8 by convention: protocols that do not
//! promise UTF-8 must get back what they sent.
//!
//! Encoding of a value: one type byte, then
//!
//! ```text
//! null, true, false          nothing
//! i8 … u64, f32, f64         little endian, natural width
//! decimal                    u8 scale, i32 LE
//! timestamp                  i64 LE, milliseconds since the Unix epoch
//! char                       u32 LE
//! uuid                       16 bytes
//! str, bytes, symbol         u32 LE length, bytes
//! list, map                  u32 LE length in bytes, then items; a map's item is u32 LE name length, name, value
//! ```

use bytes::Bytes;

use crate::limits::VALUE_DEPTH_MAX;

macro_rules! types {
    ($($name:ident = $code:literal),* $(,)?) => { $(const $name: u8 = $code;)* };
}
types! {
    NULL = 0, TRUE = 1, FALSE = 2, I8 = 3, U8 = 4, I16 = 5, U16 = 6, I32 = 7, U32 = 8, I64 = 9, U64 = 10,
    F32 = 11, F64 = 12, DECIMAL = 13, TIMESTAMP = 14, CHAR = 15, UUID = 16, STR = 17, BYTES = 18, SYMBOL = 19,
    LIST = 20, MAP = 21,
}

/// A typed value that owns its data.
#[derive(Clone, PartialEq, Debug)]
#[expect(missing_docs, reason = "the variants are the types they are named after")]
pub enum Value {
    Null,
    Bool(bool),
    I8(i8),
    U8(u8),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    F32(f32),
    F64(f64),
    /// `value` / 10^`scale`.
    Decimal {
        scale: u8,
        value: i32,
    },
    /// Milliseconds since the Unix epoch.
    Timestamp(i64),
    Char(u32),
    Uuid([u8; 16]),
    /// Text, UTF-8 by convention.
    Str(Bytes),
    Bytes(Bytes),
    /// AMQP 1.0 symbol: ASCII by convention.
    Symbol(Bytes),
    List(Vec<Value>),
    Map(Map),
}

/// Named values in their order; names may repeat when a client repeats them.
pub type Map = Vec<(Bytes, Value)>;

/// A typed value borrowed from its encoding.
#[derive(Clone, Copy, PartialEq, Debug)]
#[expect(missing_docs, reason = "the variants are the types they are named after")]
pub enum ValueRef<'a> {
    Null,
    Bool(bool),
    I8(i8),
    U8(u8),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    F32(f32),
    F64(f64),
    Decimal { scale: u8, value: i32 },
    Timestamp(i64),
    Char(u32),
    Uuid([u8; 16]),
    Str(&'a [u8]),
    Bytes(&'a [u8]),
    Symbol(&'a [u8]),
    List(ListRef<'a>),
    Map(MapRef<'a>),
}

/// An encoded list; iterate for its items. Damaged encodings end early.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ListRef<'a>(pub &'a [u8]);

/// An encoded map; iterate for names and values. Damaged encodings end early.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct MapRef<'a>(pub &'a [u8]);

impl<'a> ValueRef<'a> {
    /// The text, if this is text or a symbol and valid UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        match self {
            Self::Str(bytes) | Self::Symbol(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The number, if this is an integer of any width that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        Some(match *self {
            Self::I8(v) => v.into(),
            Self::U8(v) => v.into(),
            Self::I16(v) => v.into(),
            Self::U16(v) => v.into(),
            Self::I32(v) => v.into(),
            Self::U32(v) => v.into(),
            Self::I64(v) => v,
            Self::U64(v) => i64::try_from(v).ok()?,
            _ => return None,
        })
    }

    /// An owned copy. Lists and maps nested deeper than [`VALUE_DEPTH_MAX`] are cut off to null.
    #[must_use]
    pub fn to_value(&self) -> Value {
        self.to_value_at(0)
    }

    fn to_value_at(self, depth: usize) -> Value {
        if depth > VALUE_DEPTH_MAX {
            return Value::Null;
        }
        match self {
            Self::Null => Value::Null,
            Self::Bool(v) => Value::Bool(v),
            Self::I8(v) => Value::I8(v),
            Self::U8(v) => Value::U8(v),
            Self::I16(v) => Value::I16(v),
            Self::U16(v) => Value::U16(v),
            Self::I32(v) => Value::I32(v),
            Self::U32(v) => Value::U32(v),
            Self::I64(v) => Value::I64(v),
            Self::U64(v) => Value::U64(v),
            Self::F32(v) => Value::F32(v),
            Self::F64(v) => Value::F64(v),
            Self::Decimal { scale, value } => Value::Decimal { scale, value },
            Self::Timestamp(v) => Value::Timestamp(v),
            Self::Char(v) => Value::Char(v),
            Self::Uuid(v) => Value::Uuid(v),
            Self::Str(v) => Value::Str(Bytes::copy_from_slice(v)),
            Self::Bytes(v) => Value::Bytes(Bytes::copy_from_slice(v)),
            Self::Symbol(v) => Value::Symbol(Bytes::copy_from_slice(v)),
            Self::List(list) => Value::List(list.map(|v| v.to_value_at(depth + 1)).collect()),
            Self::Map(map) => Value::Map(
                map.map(|(name, v)| (Bytes::copy_from_slice(name), v.to_value_at(depth + 1))).collect(),
            ),
        }
    }

    /// Appends the encoding of this value.
    pub fn encode(&self, buf: &mut Vec<u8>) {
        fn plain(buf: &mut Vec<u8>, code: u8, bytes: &[u8]) {
            buf.push(code);
            buf.extend_from_slice(bytes);
        }
        match self {
            Self::Null => buf.push(NULL),
            Self::Bool(true) => buf.push(TRUE),
            Self::Bool(false) => buf.push(FALSE),
            Self::I8(v) => plain(buf, I8, &v.to_le_bytes()),
            Self::U8(v) => plain(buf, U8, &v.to_le_bytes()),
            Self::I16(v) => plain(buf, I16, &v.to_le_bytes()),
            Self::U16(v) => plain(buf, U16, &v.to_le_bytes()),
            Self::I32(v) => plain(buf, I32, &v.to_le_bytes()),
            Self::U32(v) => plain(buf, U32, &v.to_le_bytes()),
            Self::I64(v) => plain(buf, I64, &v.to_le_bytes()),
            Self::U64(v) => plain(buf, U64, &v.to_le_bytes()),
            Self::F32(v) => plain(buf, F32, &v.to_le_bytes()),
            Self::F64(v) => plain(buf, F64, &v.to_le_bytes()),
            Self::Decimal { scale, value } => {
                plain(buf, DECIMAL, &[*scale]);
                buf.extend_from_slice(&value.to_le_bytes());
            }
            Self::Timestamp(v) => plain(buf, TIMESTAMP, &v.to_le_bytes()),
            Self::Char(v) => plain(buf, CHAR, &v.to_le_bytes()),
            Self::Uuid(v) => plain(buf, UUID, v),
            Self::Str(v) => sized(buf, STR, v),
            Self::Bytes(v) => sized(buf, BYTES, v),
            Self::Symbol(v) => sized(buf, SYMBOL, v),
            Self::List(list) => sized(buf, LIST, list.0),
            Self::Map(map) => sized(buf, MAP, map.0),
        }
    }

    /// Reads one value off the front of `input`. `None` if it is damaged or cut short.
    pub fn decode(input: &mut &'a [u8]) -> Option<Self> {
        Some(match take_u8(input)? {
            NULL => Self::Null,
            TRUE => Self::Bool(true),
            FALSE => Self::Bool(false),
            I8 => Self::I8(i8::from_le_bytes(take_array(input)?)),
            U8 => Self::U8(take_u8(input)?),
            I16 => Self::I16(i16::from_le_bytes(take_array(input)?)),
            U16 => Self::U16(u16::from_le_bytes(take_array(input)?)),
            I32 => Self::I32(i32::from_le_bytes(take_array(input)?)),
            U32 => Self::U32(u32::from_le_bytes(take_array(input)?)),
            I64 => Self::I64(i64::from_le_bytes(take_array(input)?)),
            U64 => Self::U64(u64::from_le_bytes(take_array(input)?)),
            F32 => Self::F32(f32::from_le_bytes(take_array(input)?)),
            F64 => Self::F64(f64::from_le_bytes(take_array(input)?)),
            DECIMAL => {
                Self::Decimal { scale: take_u8(input)?, value: i32::from_le_bytes(take_array(input)?) }
            }
            TIMESTAMP => Self::Timestamp(i64::from_le_bytes(take_array(input)?)),
            CHAR => Self::Char(u32::from_le_bytes(take_array(input)?)),
            UUID => Self::Uuid(take_array(input)?),
            STR => Self::Str(take_sized(input)?),
            BYTES => Self::Bytes(take_sized(input)?),
            SYMBOL => Self::Symbol(take_sized(input)?),
            LIST => Self::List(ListRef(take_sized(input)?)),
            MAP => Self::Map(MapRef(take_sized(input)?)),
            _ => return None,
        })
    }
}

impl Value {
    /// Text.
    pub fn str(text: impl AsRef<[u8]>) -> Self {
        Self::Str(Bytes::copy_from_slice(text.as_ref()))
    }

    /// Appends the encoding of this value.
    pub fn encode(&self, buf: &mut Vec<u8>) {
        let borrowed = match self {
            Self::Null => ValueRef::Null,
            Self::Bool(v) => ValueRef::Bool(*v),
            Self::I8(v) => ValueRef::I8(*v),
            Self::U8(v) => ValueRef::U8(*v),
            Self::I16(v) => ValueRef::I16(*v),
            Self::U16(v) => ValueRef::U16(*v),
            Self::I32(v) => ValueRef::I32(*v),
            Self::U32(v) => ValueRef::U32(*v),
            Self::I64(v) => ValueRef::I64(*v),
            Self::U64(v) => ValueRef::U64(*v),
            Self::F32(v) => ValueRef::F32(*v),
            Self::F64(v) => ValueRef::F64(*v),
            Self::Decimal { scale, value } => ValueRef::Decimal { scale: *scale, value: *value },
            Self::Timestamp(v) => ValueRef::Timestamp(*v),
            Self::Char(v) => ValueRef::Char(*v),
            Self::Uuid(v) => ValueRef::Uuid(*v),
            Self::Str(v) => ValueRef::Str(v),
            Self::Bytes(v) => ValueRef::Bytes(v),
            Self::Symbol(v) => ValueRef::Symbol(v),
            Self::List(items) => {
                return nested(buf, LIST, |buf| items.iter().for_each(|item| item.encode(buf)));
            }
            Self::Map(map) => return nested(buf, MAP, |buf| encode_map(map, buf)),
        };
        borrowed.encode(buf);
    }
}

/// Appends the items of `map`, without a length in front; [`MapRef`] reads them.
pub fn encode_map(map: &Map, buf: &mut Vec<u8>) {
    for (name, value) in map {
        encode_name(buf, name);
        value.encode(buf);
    }
}

/// Appends the name of a map item; its value must follow.
pub fn encode_name(buf: &mut Vec<u8>, name: &[u8]) {
    buf.extend_from_slice(&length(name.len()));
    buf.extend_from_slice(name);
}

/// Appends a list (`map` false) or map whose items `fill` writes.
pub fn encode_container(buf: &mut Vec<u8>, map: bool, fill: impl FnOnce(&mut Vec<u8>)) {
    nested(buf, if map { MAP } else { LIST }, fill);
}

fn nested(buf: &mut Vec<u8>, code: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    buf.push(code);
    let at = buf.len();
    buf.extend_from_slice(&[0; 4]);
    fill(buf);
    let bytes = length(buf.len() - at - 4);
    if let Some(slot) = buf.get_mut(at..at + 4) {
        slot.copy_from_slice(&bytes);
    }
}

fn sized(buf: &mut Vec<u8>, code: u8, bytes: &[u8]) {
    buf.push(code);
    buf.extend_from_slice(&length(bytes.len()));
    buf.extend_from_slice(bytes);
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes)
        .expect("a value is part of a message, and messages are far below 4 GiB")
        .to_le_bytes()
}

pub(crate) fn take_u8(input: &mut &[u8]) -> Option<u8> {
    let (first, rest) = input.split_first()?;
    *input = rest;
    Some(*first)
}

pub(crate) fn take_array<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (array, rest) = input.split_first_chunk::<N>()?;
    *input = rest;
    Some(*array)
}

pub(crate) fn take_sized<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(take_array(input)?) as usize;
    let (bytes, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(bytes)
}

impl<'a> Iterator for ListRef<'a> {
    type Item = ValueRef<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        ValueRef::decode(&mut self.0)
    }
}

impl<'a> MapRef<'a> {
    /// The first value of that name.
    #[must_use]
    pub fn find(self, name: &[u8]) -> Option<ValueRef<'a>> {
        self.into_iter().find_map(|(n, value)| (n == name).then_some(value))
    }

    /// An owned copy.
    #[must_use]
    pub fn to_map(self) -> Map {
        match ValueRef::Map(self).to_value() {
            Value::Map(map) => map,
            _ => Map::new(),
        }
    }
}

impl<'a> Iterator for MapRef<'a> {
    type Item = (&'a [u8], ValueRef<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let name = take_sized(&mut self.0)?;
        Some((name, ValueRef::decode(&mut self.0)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i8>().prop_map(Value::I8),
            any::<u64>().prop_map(Value::U64),
            any::<i32>().prop_map(Value::I32),
            any::<i16>().prop_map(Value::I16),
            (any::<u8>(), any::<i32>()).prop_map(|(scale, value)| Value::Decimal { scale, value }),
            any::<i64>().prop_map(Value::Timestamp),
            any::<[u8; 16]>().prop_map(Value::Uuid),
            bytes().prop_map(Value::Str),
            bytes().prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(4, 32, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
                prop::collection::vec(
                    (prop::collection::vec(any::<u8>(), 0..8).prop_map(Bytes::from), inner),
                    0..5
                )
                .prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_read_back(value in value()) {
            let mut buf = Vec::new();
            value.encode(&mut buf);
            let mut input = buf.as_slice();
            prop_assert_eq!(ValueRef::decode(&mut input).unwrap().to_value(), value);
            prop_assert!(input.is_empty());
        }

        #[test]
        fn damaged_encodings_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut input = bytes.as_slice();
            while let Some(value) = ValueRef::decode(&mut input) {
                let _ = value.to_value();
            }
        }
    }
}
