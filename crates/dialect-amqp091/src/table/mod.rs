//! Field tables and arrays as they stand on the wire, read lazily and without copies: [`Table`] shares a buffer,
//! [`TableRef`] and [`ArrayRef`] borrow, [`ValueRef`] is one value. Building and changing tables is in `owned`.
//! Used by methods (arguments), properties (headers) and the session.
//!
//! Type tags are RabbitMQ's (its published errata, and `rabbit_binary_parser`), not those of the specification's text:
//! `s` is a 16-bit integer, `l` and `L` are both signed, and the text's `U` and short string do not exist.

mod owned;

use bytes::Bytes;

use crate::error::WireError;
use crate::limits::TABLE_DEPTH_MAX;
use crate::short_str::ShortRef;
use crate::wire::Cursor;

pub use owned::{FieldTable, FieldValue};

/// The entries of a table, sharing the buffer they came in; not yet checked (see [`TableRef::check`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table(Bytes);

impl Table {
    /// The empty table.
    pub const EMPTY: Self = Self(Bytes::new());

    /// Takes the bytes of the entries, without the length before them.
    #[must_use]
    pub fn from_raw(entries: Bytes) -> Self {
        Self(entries)
    }

    /// Borrows it for reading.
    #[must_use]
    pub fn as_table(&self) -> TableRef<'_> {
        TableRef(&self.0)
    }

    /// The bytes of the entries.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The shared bytes of the entries.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// A borrowed table. Iterating reads it lazily; the first error ends the iteration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableRef<'a>(&'a [u8]);

impl<'a> TableRef<'a> {
    /// Takes the bytes of the entries, without the length before them.
    #[must_use]
    pub fn from_raw(entries: &'a [u8]) -> Self {
        Self(entries)
    }

    /// The bytes of the entries.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Reads the entries in their order. Nested tables are not looked into.
    #[must_use]
    pub fn iter(self) -> TableIter<'a> {
        TableIter { cursor: Cursor::new(self.0, "table") }
    }

    /// The first value under this key.
    ///
    /// # Errors
    /// [`WireError`] if the table is broken before the key is found.
    pub fn get(self, key: &str) -> Result<Option<ValueRef<'a>>, WireError> {
        for entry in self {
            let (name, value) = entry?;
            if name == key {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Reads everything once, nested tables too, without allocating. What is forwarded to other clients must
    /// have passed this, or one client's broken bytes would close the others' connections.
    ///
    /// # Errors
    /// [`WireError`] (502): cut off, unknown type, or nested deeper than
    /// [`TABLE_DEPTH_MAX`].
    pub fn check(self) -> Result<(), WireError> {
        check_table(self, TABLE_DEPTH_MAX)
    }
}

impl<'a> IntoIterator for TableRef<'a> {
    type Item = Result<(ShortRef<'a>, ValueRef<'a>), WireError>;
    type IntoIter = TableIter<'a>;

    fn into_iter(self) -> TableIter<'a> {
        self.iter()
    }
}

/// Entries of a table; see [`TableRef::iter`].
#[derive(Clone, Debug)]
pub struct TableIter<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Iterator for TableIter<'a> {
    type Item = Result<(ShortRef<'a>, ValueRef<'a>), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cursor.is_empty() {
            return None;
        }
        let entry = self.cursor.short_bytes().and_then(|key| Ok((key, read_value(&mut self.cursor)?)));
        if entry.is_err() {
            self.cursor = Cursor::new(&[], "table");
        }
        Some(entry)
    }
}

/// A borrowed array. Iterating reads it lazily; the first error ends the iteration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArrayRef<'a>(&'a [u8]);

impl<'a> ArrayRef<'a> {
    /// The bytes of the values, without the length before them.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Reads the values in their order. Nested tables are not looked into.
    #[must_use]
    pub fn iter(self) -> ArrayIter<'a> {
        ArrayIter { cursor: Cursor::new(self.0, "array") }
    }
}

impl<'a> IntoIterator for ArrayRef<'a> {
    type Item = Result<ValueRef<'a>, WireError>;
    type IntoIter = ArrayIter<'a>;

    fn into_iter(self) -> ArrayIter<'a> {
        self.iter()
    }
}

/// Values of an array; see [`ArrayRef::iter`].
#[derive(Clone, Debug)]
pub struct ArrayIter<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Iterator for ArrayIter<'a> {
    type Item = Result<ValueRef<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cursor.is_empty() {
            return None;
        }
        let value = read_value(&mut self.cursor);
        if value.is_err() {
            self.cursor = Cursor::new(&[], "array");
        }
        Some(value)
    }
}

/// One value of a table or array. Every integer type keeps its width, so that what is read can be written back alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRef<'a> {
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
    /// `L`: the same range as `l`; some clients write this one.
    I64Upper(i64),
    /// `f`
    F32(f32),
    /// `d`
    F64(f64),
    /// `D`: `value` divided by ten to the power of `scale`.
    Decimal {
        /// Digits after the point.
        scale: u8,
        /// All digits.
        value: u32,
    },
    /// `S`: text by custom, but any bytes.
    LongStr(&'a [u8]),
    /// `x`: bytes.
    Binary(&'a [u8]),
    /// `T`: seconds since 1970.
    Timestamp(u64),
    /// `A`
    Array(ArrayRef<'a>),
    /// `F`
    Table(TableRef<'a>),
    /// `V`
    Void,
}

impl<'a> ValueRef<'a> {
    /// The text of a long string that is UTF-8.
    #[must_use]
    pub fn as_str(self) -> Option<&'a str> {
        match self {
            Self::LongStr(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The number, of whatever integer type. (Timestamps are not numbers here.)
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        match self {
            Self::I8(n) => Some(i64::from(n)),
            Self::U8(n) => Some(i64::from(n)),
            Self::I16(n) => Some(i64::from(n)),
            Self::U16(n) => Some(i64::from(n)),
            Self::I32(n) => Some(i64::from(n)),
            Self::U32(n) => Some(i64::from(n)),
            Self::I64(n) | Self::I64Upper(n) => Some(n),
            _ => None,
        }
    }

    /// The truth value.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(b),
            _ => None,
        }
    }

    /// The nested table.
    #[must_use]
    pub fn as_table(self) -> Option<TableRef<'a>> {
        match self {
            Self::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The nested array.
    #[must_use]
    pub fn as_array(self) -> Option<ArrayRef<'a>> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }
}

fn read_value<'a>(cursor: &mut Cursor<'a>) -> Result<ValueRef<'a>, WireError> {
    Ok(match cursor.octet()? {
        b't' => ValueRef::Bool(cursor.octet()? != 0),
        b'b' => ValueRef::I8(cursor.octet()?.cast_signed()),
        b'B' => ValueRef::U8(cursor.octet()?),
        b's' => ValueRef::I16(cursor.short()?.cast_signed()),
        b'u' => ValueRef::U16(cursor.short()?),
        b'I' => ValueRef::I32(cursor.long()?.cast_signed()),
        b'i' => ValueRef::U32(cursor.long()?),
        b'l' => ValueRef::I64(cursor.longlong()?.cast_signed()),
        b'L' => ValueRef::I64Upper(cursor.longlong()?.cast_signed()),
        b'f' => ValueRef::F32(f32::from_bits(cursor.long()?)),
        b'd' => ValueRef::F64(f64::from_bits(cursor.longlong()?)),
        b'D' => ValueRef::Decimal { scale: cursor.octet()?, value: cursor.long()? },
        b'S' => ValueRef::LongStr(cursor.long_bytes()?),
        b'x' => ValueRef::Binary(cursor.long_bytes()?),
        b'T' => ValueRef::Timestamp(cursor.longlong()?),
        b'A' => ValueRef::Array(ArrayRef(cursor.long_bytes()?)),
        b'F' => ValueRef::Table(TableRef(cursor.long_bytes()?)),
        b'V' => ValueRef::Void,
        tag => return Err(WireError::UnknownFieldType { tag }),
    })
}

fn check_table(table: TableRef<'_>, depth_left: u32) -> Result<(), WireError> {
    for entry in table {
        check_value(entry?.1, depth_left)?;
    }
    Ok(())
}

fn check_value(value: ValueRef<'_>, depth_left: u32) -> Result<(), WireError> {
    match value {
        ValueRef::Table(nested) => check_table(nested, one_deeper(depth_left)?),
        ValueRef::Array(nested) => {
            let depth_left = one_deeper(depth_left)?;
            nested.iter().try_for_each(|value| check_value(value?, depth_left))
        }
        _ => Ok(()),
    }
}

/// What is left of the nesting budget one level down.
fn one_deeper(depth_left: u32) -> Result<u32, WireError> {
    depth_left.checked_sub(1).ok_or(WireError::TableTooDeep { depth_max: TABLE_DEPTH_MAX })
}

#[cfg(test)]
mod tests;
