//! Short strings (one length octet, at most 255 bytes): [`ShortStr`] is shared and checked to be UTF-8, for the fields of
//! methods; [`ShortRef`] borrows any bytes, for properties and table keys, which nobody checks on the wire.
//! Used by the methods, the properties, the tables and the session.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{EncodeError, WireError};
use crate::limits::SHORT_STRING_BYTES_MAX;

/// A short string of a method: at most 255 bytes of UTF-8, shared with the frame that it came in.
///
/// Cloning counts a reference. Holding one keeps the whole read buffer alive; what is stored for long
/// should be copied ([`ShortStr::detached`]).
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShortStr(Bytes);

impl ShortStr {
    /// The empty string.
    pub const EMPTY: Self = Self(Bytes::new());

    /// Copies `text`.
    ///
    /// # Errors
    /// [`EncodeError::ShortStringTooLong`] over 255 bytes.
    pub fn new(text: &str) -> Result<Self, EncodeError> {
        let short = ShortRef::new(text)?;
        Ok(Self(Bytes::copy_from_slice(short.0)))
    }

    /// A literal. Usable in constants.
    ///
    /// # Panics
    /// If the literal is longer than 255 bytes; in a constant that is a compile error.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        assert!(text.len() <= SHORT_STRING_BYTES_MAX, "short strings hold at most 255 bytes");
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// As much of `text` as fits, ending in `...` if it was cut. For texts that people read.
    #[must_use]
    pub fn truncated(text: &str) -> Self {
        if text.len() <= SHORT_STRING_BYTES_MAX {
            return Self(Bytes::copy_from_slice(text.as_bytes()));
        }
        let mut cut = String::with_capacity(SHORT_STRING_BYTES_MAX);
        for c in text.chars() {
            if cut.len() + c.len_utf8() > SHORT_STRING_BYTES_MAX - 3 {
                break;
            }
            cut.push(c);
        }
        cut.push_str("...");
        Self(Bytes::from(cut))
    }

    /// Checks bytes that came off the wire behind a length octet.
    pub(crate) fn from_wire(bytes: Bytes) -> Result<Self, WireError> {
        debug_assert!(bytes.len() <= SHORT_STRING_BYTES_MAX, "a length octet cannot say more");
        match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(Self(bytes)),
            Err(_) => Err(WireError::NotUtf8),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("checked when the string was made")
    }

    /// The bytes, without the length octet. Cheaper than [`as_str`](Self::as_str) for comparing and hashing.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Borrows it for writing.
    #[must_use]
    pub fn as_short(&self) -> ShortRef<'_> {
        ShortRef(&self.0)
    }

    /// The shared bytes, for storing elsewhere without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// A copy that keeps no read buffer alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for ShortStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for ShortStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq<str> for ShortStr {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for ShortStr {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl TryFrom<&str> for ShortStr {
    type Error = EncodeError;
    fn try_from(text: &str) -> Result<Self, EncodeError> {
        Self::new(text)
    }
}

/// At most 255 borrowed bytes of any content: what a property or a table key holds. RabbitMQ checks neither for UTF-8.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShortRef<'a>(&'a [u8]);

impl<'a> ShortRef<'a> {
    /// Borrows a text.
    ///
    /// # Errors
    /// [`EncodeError::ShortStringTooLong`] over 255 bytes.
    pub fn new(text: &'a str) -> Result<Self, EncodeError> {
        Self::from_bytes(text.as_bytes())
    }

    /// Borrows bytes.
    ///
    /// # Errors
    /// [`EncodeError::ShortStringTooLong`] over 255 bytes.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, EncodeError> {
        if bytes.len() > SHORT_STRING_BYTES_MAX {
            return Err(EncodeError::ShortStringTooLong { bytes: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// A literal. Usable in constants.
    ///
    /// # Panics
    /// If the literal is longer than 255 bytes; in a constant that is a compile error.
    #[must_use]
    pub const fn from_static(text: &'static str) -> ShortRef<'static> {
        assert!(text.len() <= SHORT_STRING_BYTES_MAX, "short strings hold at most 255 bytes");
        ShortRef(text.as_bytes())
    }

    /// Bytes that stood behind a length octet.
    pub(crate) fn from_wire(bytes: &'a [u8]) -> Self {
        debug_assert!(bytes.len() <= SHORT_STRING_BYTES_MAX, "a length octet cannot say more");
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The text, if it is UTF-8.
    #[must_use]
    pub fn as_str(self) -> Option<&'a str> {
        std::str::from_utf8(self.0).ok()
    }

    /// Writes length octet and bytes.
    pub(crate) fn put(self, out: &mut BytesMut) {
        let len = u8::try_from(self.0.len()).expect("at most 255 by construction");
        out.put_u8(len);
        out.put_slice(self.0);
    }
}

impl fmt::Debug for ShortRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(self.0), f)
    }
}

impl PartialEq<str> for ShortRef<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for ShortRef<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_limits() {
        assert!(ShortStr::new(&"a".repeat(255)).is_ok());
        assert_eq!(ShortStr::new(&"a".repeat(256)), Err(EncodeError::ShortStringTooLong { bytes: 256 }));
        assert_eq!(ShortStr::truncated(&"a".repeat(300)).len(), 255);
        assert_eq!(ShortStr::truncated("short"), "short");
        // 252 is not a boundary of three-byte characters: cutting may not split one.
        let cut = ShortStr::truncated(&format!("a{}", "€".repeat(200)));
        assert!(cut.len() <= 255 && cut.as_str().starts_with("a€"));
    }

    #[test]
    fn wire_strings_are_utf8() {
        assert_eq!(ShortStr::from_wire(Bytes::from_static(b"\xff")), Err(WireError::NotUtf8));
        assert_eq!(ShortStr::from_wire(Bytes::from_static("é".as_bytes())).unwrap(), "é");
        assert_eq!(ShortRef::from_wire(b"\xff").as_str(), None);
    }
}
