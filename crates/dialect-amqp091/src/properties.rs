//! Properties of class `basic` (section 4.2.6.1 of the specification): [`RawProperties`] keeps the bytes for forwarding, [`Properties`]
//! is the view of them in one pass and at the same time what to write. Not here: the rest of the content header and
//! the body (`content`), the meaning of headers (the session).
//!
//! On the wire: 16-bit flag words, lowest bit set if another word follows, then the values of the set flags in order.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::WireError;
use crate::short_str::ShortRef;
use crate::table::TableRef;
use crate::wire::{Cursor, put_long_bytes};

pub(crate) const CONTENT_TYPE: u16 = 1 << 15;
pub(crate) const CONTENT_ENCODING: u16 = 1 << 14;
pub(crate) const HEADERS: u16 = 1 << 13;
pub(crate) const DELIVERY_MODE: u16 = 1 << 12;
pub(crate) const PRIORITY: u16 = 1 << 11;
pub(crate) const CORRELATION_ID: u16 = 1 << 10;
pub(crate) const REPLY_TO: u16 = 1 << 9;
pub(crate) const EXPIRATION: u16 = 1 << 8;
pub(crate) const MESSAGE_ID: u16 = 1 << 7;
pub(crate) const TIMESTAMP: u16 = 1 << 6;
pub(crate) const KIND: u16 = 1 << 5;
pub(crate) const USER_ID: u16 = 1 << 4;
pub(crate) const APP_ID: u16 = 1 << 3;
pub(crate) const CLUSTER_ID: u16 = 1 << 2;
/// A fifteenth property, which class basic does not have.
pub(crate) const UNDEFINED: u16 = 1 << 1;
/// Another flag word follows.
pub(crate) const CONTINUED: u16 = 1;

/// Flags and values as they stand in a content header. A broker that changes nothing forwards them as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawProperties(Bytes);

impl Default for RawProperties {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl RawProperties {
    /// No property set.
    pub const EMPTY: Self = Self(Bytes::from_static(&[0, 0]));

    /// Takes bytes that begin with the flags; from a content header, or stored earlier. Not yet checked.
    #[must_use]
    pub fn from_raw(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The bytes, flags first.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The shared bytes, flags first.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Reads all properties in one pass; headers stay unread.
    ///
    /// # Errors
    /// [`WireError`] (502) if they are cut off, too long, or name an unknown property.
    pub fn view(&self) -> Result<Properties<'_>, WireError> {
        Properties::decode(&self.0)
    }

    /// Like [`view`](Self::view), and reads the headers through. What goes to other clients must have passed this.
    ///
    /// # Errors
    /// As [`view`](Self::view), and as [`TableRef::check`].
    pub fn check(&self) -> Result<Properties<'_>, WireError> {
        let view = self.view()?;
        if let Some(headers) = view.headers {
            headers.check()?;
        }
        Ok(view)
    }
}

/// The fourteen properties, borrowed. To change some: take the [`view`](RawProperties::view), replace fields,
/// [`encode`](Self::encode).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a> {
    /// MIME type of the body.
    pub content_type: Option<ShortRef<'a>>,
    /// MIME encoding of the body.
    pub content_encoding: Option<ShortRef<'a>>,
    /// The application's headers, not yet checked.
    pub headers: Option<TableRef<'a>>,
    /// 1 transient, 2 persistent.
    pub delivery_mode: Option<u8>,
    /// 0 to 255.
    pub priority: Option<u8>,
    /// Correlates a reply with its request.
    pub correlation_id: Option<ShortRef<'a>>,
    /// Where to reply.
    pub reply_to: Option<ShortRef<'a>>,
    /// Milliseconds to live, as decimal digits.
    pub expiration: Option<ShortRef<'a>>,
    /// The application's id of the message.
    pub message_id: Option<ShortRef<'a>>,
    /// Seconds since 1970.
    pub timestamp: Option<u64>,
    /// The application's type of the message (`type`).
    pub kind: Option<ShortRef<'a>>,
    /// Who sent it; the broker checks it.
    pub user_id: Option<ShortRef<'a>>,
    /// What sent it.
    pub app_id: Option<ShortRef<'a>>,
    /// Obsolete; carried along.
    pub cluster_id: Option<ShortRef<'a>>,
}

impl<'a> Properties<'a> {
    /// Reads bytes that begin with the flags.
    ///
    /// # Errors
    /// [`WireError`] (502) if they are cut off, too long, or name an unknown property.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor::new(bytes, "properties");
        let flags = read_flags(&mut cursor)?;
        let short = |flag: u16, cursor: &mut Cursor<'a>| {
            if flags & flag == 0 { Ok(None) } else { cursor.short_bytes().map(Some) }
        };
        let octet = |flag: u16, cursor: &mut Cursor<'a>| {
            if flags & flag == 0 { Ok(None) } else { cursor.octet().map(Some) }
        };
        // Fields are read in the order they are written here, which is that of the wire.
        let properties = Self {
            content_type: short(CONTENT_TYPE, &mut cursor)?,
            content_encoding: short(CONTENT_ENCODING, &mut cursor)?,
            headers: if flags & HEADERS == 0 { None } else { Some(TableRef::from_raw(cursor.long_bytes()?)) },
            delivery_mode: octet(DELIVERY_MODE, &mut cursor)?,
            priority: octet(PRIORITY, &mut cursor)?,
            correlation_id: short(CORRELATION_ID, &mut cursor)?,
            reply_to: short(REPLY_TO, &mut cursor)?,
            expiration: short(EXPIRATION, &mut cursor)?,
            message_id: short(MESSAGE_ID, &mut cursor)?,
            timestamp: if flags & TIMESTAMP == 0 { None } else { Some(cursor.longlong()?) },
            kind: short(KIND, &mut cursor)?,
            user_id: short(USER_ID, &mut cursor)?,
            app_id: short(APP_ID, &mut cursor)?,
            cluster_id: short(CLUSTER_ID, &mut cursor)?,
        };
        cursor.finish()?;
        Ok(properties)
    }

    /// Appends flags and values.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u16(self.flags());
        let short = |out: &mut BytesMut, value: Option<ShortRef<'_>>| {
            if let Some(value) = value {
                value.put(out);
            }
        };
        short(out, self.content_type);
        short(out, self.content_encoding);
        if let Some(headers) = self.headers {
            put_long_bytes(out, headers.as_bytes());
        }
        if let Some(mode) = self.delivery_mode {
            out.put_u8(mode);
        }
        if let Some(priority) = self.priority {
            out.put_u8(priority);
        }
        short(out, self.correlation_id);
        short(out, self.reply_to);
        short(out, self.expiration);
        short(out, self.message_id);
        if let Some(timestamp) = self.timestamp {
            out.put_u64(timestamp);
        }
        short(out, self.kind);
        short(out, self.user_id);
        short(out, self.app_id);
        short(out, self.cluster_id);
    }

    /// Flags and values as bytes of their own.
    #[must_use]
    pub fn encode(&self) -> RawProperties {
        let mut out = BytesMut::with_capacity(64);
        self.put(&mut out);
        RawProperties(out.freeze())
    }

    fn flags(&self) -> u16 {
        let flag = |set: bool, flag: u16| if set { flag } else { 0 };
        flag(self.content_type.is_some(), CONTENT_TYPE)
            | flag(self.content_encoding.is_some(), CONTENT_ENCODING)
            | flag(self.headers.is_some(), HEADERS)
            | flag(self.delivery_mode.is_some(), DELIVERY_MODE)
            | flag(self.priority.is_some(), PRIORITY)
            | flag(self.correlation_id.is_some(), CORRELATION_ID)
            | flag(self.reply_to.is_some(), REPLY_TO)
            | flag(self.expiration.is_some(), EXPIRATION)
            | flag(self.message_id.is_some(), MESSAGE_ID)
            | flag(self.timestamp.is_some(), TIMESTAMP)
            | flag(self.kind.is_some(), KIND)
            | flag(self.user_id.is_some(), USER_ID)
            | flag(self.app_id.is_some(), APP_ID)
            | flag(self.cluster_id.is_some(), CLUSTER_ID)
    }
}

/// Reads all flag words; class basic fits in the first, the others may only be empty.
fn read_flags(cursor: &mut Cursor<'_>) -> Result<u16, WireError> {
    let first = cursor.short()?;
    if first & UNDEFINED != 0 {
        return Err(WireError::UnknownProperty { flags: first });
    }
    let mut word = first;
    while word & CONTINUED != 0 {
        word = cursor.short()?;
        if word & !CONTINUED != 0 {
            return Err(WireError::UnknownProperty { flags: word });
        }
    }
    Ok(first)
}

#[cfg(test)]
#[path = "properties_tests.rs"]
mod tests;
