//! Reading and writing the primitive types of AMQP 0-9-1 (section 4.2.5 of the specification: octet, short, long,
//! longlong, short and long strings, tables, bits). All big-endian. No meaning here; used by every decoder of the crate.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::WireError;
use crate::frame::Payload;
use crate::short_str::{ShortRef, ShortStr};
use crate::table::Table;

/// A position in borrowed bytes; never reads beyond them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Cursor<'a> {
    /// `what` is being read; it names the thing in errors.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What has not been read yet.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        match self.rest.split_at_checked(len) {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(head)
            }
            None => Err(self.truncated(len)),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        match self.rest.split_first_chunk::<N>() {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(*head)
            }
            None => Err(self.truncated(N)),
        }
    }

    #[cold]
    fn truncated(&self, wanted: usize) -> WireError {
        WireError::Truncated { what: self.what, missing_bytes: wanted.saturating_sub(self.rest.len()) }
    }

    #[inline]
    pub(crate) fn octet(&mut self) -> Result<u8, WireError> {
        self.array().map(u8::from_be_bytes)
    }

    #[inline]
    pub(crate) fn short(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn long(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn longlong(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_be_bytes)
    }

    #[inline]
    pub(crate) fn short_bytes(&mut self) -> Result<ShortRef<'a>, WireError> {
        let len = usize::from(self.octet()?);
        self.take(len).map(ShortRef::from_wire)
    }

    #[inline]
    pub(crate) fn long_bytes(&mut self) -> Result<&'a [u8], WireError> {
        let len = self.long()?;
        // A length that does not fit usize is longer than any buffer.
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// Checks that everything was read.
    #[inline]
    pub(crate) fn finish(&self) -> Result<(), WireError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(WireError::TrailingBytes { what: self.what, excess_bytes: self.rest.len() })
    }
}

/// Reads the fields of a method; strings and tables share the payload's buffer.
pub(crate) struct FieldReader<'a> {
    payload: Payload<'a>,
    cursor: Cursor<'a>,
}

impl<'a> FieldReader<'a> {
    #[inline]
    pub(crate) fn new(payload: Payload<'a>) -> Self {
        Self { payload, cursor: Cursor::new(payload.as_bytes(), "method") }
    }

    #[inline]
    pub(crate) fn octet(&mut self) -> Result<u8, WireError> {
        self.cursor.octet()
    }

    #[inline]
    pub(crate) fn short(&mut self) -> Result<u16, WireError> {
        self.cursor.short()
    }

    #[inline]
    pub(crate) fn long(&mut self) -> Result<u32, WireError> {
        self.cursor.long()
    }

    #[inline]
    pub(crate) fn longlong(&mut self) -> Result<u64, WireError> {
        self.cursor.longlong()
    }

    #[inline]
    pub(crate) fn short_str(&mut self) -> Result<ShortStr, WireError> {
        let bytes = self.cursor.short_bytes()?.as_bytes();
        ShortStr::from_wire(self.payload.share(bytes))
    }

    #[inline]
    pub(crate) fn long_str(&mut self) -> Result<Bytes, WireError> {
        Ok(self.payload.share(self.cursor.long_bytes()?))
    }

    #[inline]
    pub(crate) fn table(&mut self) -> Result<Table, WireError> {
        Ok(Table::from_raw(self.long_str()?))
    }

    #[inline]
    pub(crate) fn finish(&self) -> Result<(), WireError> {
        self.cursor.finish()
    }
}

/// Packs up to eight flags into an octet, the first into the lowest bit (section 4.2.5.2).
pub(crate) fn pack_bits<const N: usize>(bits: [bool; N]) -> u8 {
    const { assert!(N <= 8, "the definition has no method with more than eight flags in a row") };
    bits.iter().enumerate().fold(0, |octet, (at, bit)| octet | (u8::from(*bit) << at))
}

/// Writes length and bytes of a long string.
pub(crate) fn put_long_bytes(out: &mut BytesMut, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).expect("strings come from frames or from us, far below 4 GiB");
    out.put_u32(len);
    out.put_slice(bytes);
}

/// Leaves room for a 32-bit length and says where; [`put_len`] fills it in.
pub(crate) fn reserve_len(out: &mut BytesMut) -> usize {
    let at = out.len();
    out.put_u32(0);
    at
}

/// Fills in the length of what was written since [`reserve_len`].
pub(crate) fn put_len(out: &mut BytesMut, at: usize) {
    let len = u32::try_from(out.len() - at - 4).expect("what we write at once is far below 4 GiB");
    out.get_mut(at..at + 4).expect("reserved before").copy_from_slice(&len.to_be_bytes());
}
