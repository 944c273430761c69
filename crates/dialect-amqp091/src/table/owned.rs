//! Tables to build and to change: [`FieldTable`] keeps the order of its entries, [`FieldValue`] mirrors [`ValueRef`]. Called
//! by the session (server properties, `x-death`, arguments of queues) and by tests.

use bytes::{BufMut, Bytes, BytesMut};

use super::{ArrayRef, Table, TableRef, ValueRef, one_deeper};
use crate::error::WireError;
use crate::limits::TABLE_DEPTH_MAX;
use crate::short_str::ShortRef;
use crate::wire::{put_len, put_long_bytes, reserve_len};

/// A value of its own; see [`ValueRef`] for what each means.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    /// `t`
    Bool(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l`
    I64(i64),
    /// `L`
    I64Upper(i64),
    /// `f`
    F32(f32),
    /// `d`
    F64(f64),
    /// `D`
    Decimal {
        /// Digits after the point.
        scale: u8,
        /// All digits.
        value: u32,
    },
    /// `S`
    LongStr(Bytes),
    /// `x`
    Binary(Bytes),
    /// `T`: seconds since 1970.
    Timestamp(u64),
    /// `A`
    Array(Vec<FieldValue>),
    /// `F`
    Table(FieldTable),
    /// `V`
    Void,
}

impl FieldValue {
    /// Copies a borrowed value, nested ones included.
    ///
    /// # Errors
    /// [`WireError`] (502) if a nested table is broken or too deep.
    pub fn from_ref(value: ValueRef<'_>) -> Result<Self, WireError> {
        own_value(value, TABLE_DEPTH_MAX)
    }

    fn put(&self, out: &mut BytesMut) {
        match self {
            Self::Bool(b) => tagged(out, b't', [u8::from(*b)]),
            Self::I8(n) => tagged(out, b'b', n.to_be_bytes()),
            Self::U8(n) => tagged(out, b'B', n.to_be_bytes()),
            Self::I16(n) => tagged(out, b's', n.to_be_bytes()),
            Self::U16(n) => tagged(out, b'u', n.to_be_bytes()),
            Self::I32(n) => tagged(out, b'I', n.to_be_bytes()),
            Self::U32(n) => tagged(out, b'i', n.to_be_bytes()),
            Self::I64(n) => tagged(out, b'l', n.to_be_bytes()),
            Self::I64Upper(n) => tagged(out, b'L', n.to_be_bytes()),
            Self::F32(n) => tagged(out, b'f', n.to_bits().to_be_bytes()),
            Self::F64(n) => tagged(out, b'd', n.to_bits().to_be_bytes()),
            Self::Timestamp(n) => tagged(out, b'T', n.to_be_bytes()),
            Self::Void => out.put_u8(b'V'),
            Self::Decimal { scale, value } => {
                tagged(out, b'D', [*scale]);
                out.put_u32(*value);
            }
            Self::LongStr(bytes) => {
                out.put_u8(b'S');
                put_long_bytes(out, bytes);
            }
            Self::Binary(bytes) => {
                out.put_u8(b'x');
                put_long_bytes(out, bytes);
            }
            Self::Array(values) => {
                out.put_u8(b'A');
                let at = reserve_len(out);
                values.iter().for_each(|value| value.put(out));
                put_len(out, at);
            }
            Self::Table(table) => {
                out.put_u8(b'F');
                let at = reserve_len(out);
                table.put_entries(out);
                put_len(out, at);
            }
        }
    }
}

fn tagged<const N: usize>(out: &mut BytesMut, tag: u8, value: [u8; N]) {
    out.put_u8(tag);
    out.put_slice(&value);
}

fn own_value(value: ValueRef<'_>, depth_left: u32) -> Result<FieldValue, WireError> {
    Ok(match value {
        ValueRef::Bool(b) => FieldValue::Bool(b),
        ValueRef::I8(n) => FieldValue::I8(n),
        ValueRef::U8(n) => FieldValue::U8(n),
        ValueRef::I16(n) => FieldValue::I16(n),
        ValueRef::U16(n) => FieldValue::U16(n),
        ValueRef::I32(n) => FieldValue::I32(n),
        ValueRef::U32(n) => FieldValue::U32(n),
        ValueRef::I64(n) => FieldValue::I64(n),
        ValueRef::I64Upper(n) => FieldValue::I64Upper(n),
        ValueRef::F32(n) => FieldValue::F32(n),
        ValueRef::F64(n) => FieldValue::F64(n),
        ValueRef::Decimal { scale, value } => FieldValue::Decimal { scale, value },
        ValueRef::LongStr(bytes) => FieldValue::LongStr(Bytes::copy_from_slice(bytes)),
        ValueRef::Binary(bytes) => FieldValue::Binary(Bytes::copy_from_slice(bytes)),
        ValueRef::Timestamp(n) => FieldValue::Timestamp(n),
        ValueRef::Array(array) => FieldValue::Array(own_array(array, one_deeper(depth_left)?)?),
        ValueRef::Table(table) => FieldValue::Table(own_table(table, one_deeper(depth_left)?)?),
        ValueRef::Void => FieldValue::Void,
    })
}

fn own_array(array: ArrayRef<'_>, depth_left: u32) -> Result<Vec<FieldValue>, WireError> {
    array.iter().map(|value| own_value(value?, depth_left)).collect()
}

fn own_table(table: TableRef<'_>, depth_left: u32) -> Result<FieldTable, WireError> {
    let mut entries = Vec::new();
    for entry in table {
        let (key, value) = entry?;
        entries.push((Bytes::copy_from_slice(key.as_bytes()), own_value(value, depth_left)?));
    }
    Ok(FieldTable { entries })
}

impl From<bool> for FieldValue {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<i32> for FieldValue {
    fn from(n: i32) -> Self {
        Self::I32(n)
    }
}

impl From<i64> for FieldValue {
    fn from(n: i64) -> Self {
        Self::I64(n)
    }
}

impl From<&str> for FieldValue {
    fn from(text: &str) -> Self {
        Self::LongStr(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<FieldTable> for FieldValue {
    fn from(table: FieldTable) -> Self {
        Self::Table(table)
    }
}

impl From<Vec<FieldValue>> for FieldValue {
    fn from(values: Vec<FieldValue>) -> Self {
        Self::Array(values)
    }
}

/// A table of its own: entries in order, keys of at most 255 bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldTable {
    // Keys are private since their length is an invariant.
    entries: Vec<(Bytes, FieldValue)>,
}

impl FieldTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Copies a borrowed table, nested ones included.
    ///
    /// # Errors
    /// [`WireError`] (502) if it is broken or too deep.
    pub fn from_ref(table: TableRef<'_>) -> Result<Self, WireError> {
        own_table(table, TABLE_DEPTH_MAX)
    }

    /// Adds or replaces an entry under a literal key; for building in one expression.
    ///
    /// # Panics
    /// If the literal is longer than 255 bytes.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<FieldValue>) -> Self {
        self.insert(ShortRef::from_static(key), value.into());
        self
    }

    /// Adds an entry at the end, or replaces the value of the first with this key.
    pub fn insert(&mut self, key: ShortRef<'_>, value: FieldValue) {
        match self.entries.iter_mut().find(|(name, _)| name == key.as_bytes()) {
            Some((_, old)) => *old = value,
            None => self.entries.push((Bytes::copy_from_slice(key.as_bytes()), value)),
        }
    }

    /// Removes every entry with this key and returns the first one's value.
    pub fn remove(&mut self, key: &str) -> Option<FieldValue> {
        let at = self.entries.iter().position(|(name, _)| name == key.as_bytes())?;
        let (_, value) = self.entries.remove(at);
        self.entries.retain(|(name, _)| name != key.as_bytes());
        Some(value)
    }

    /// The first value under this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&FieldValue> {
        self.entries.iter().find(|(name, _)| name == key.as_bytes()).map(|(_, value)| value)
    }

    /// Keys and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &FieldValue)> {
        self.entries.iter().map(|(name, value)| (&**name, value))
    }

    /// How many entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Its form on the wire.
    #[must_use]
    pub fn encode(&self) -> Table {
        let mut out = BytesMut::new();
        self.put_entries(&mut out);
        Table::from_raw(out.freeze())
    }

    fn put_entries(&self, out: &mut BytesMut) {
        for (key, value) in &self.entries {
            ShortRef::from_wire(key).put(out);
            value.put(out);
        }
    }
}
