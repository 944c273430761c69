//! A message's envelope: the facts about a message in neutral words, encoded as tagged fields.
//!
//! An envelope is written once, by the dialect that took the message in, and read by whoever needs a field; nobody
//! changes it. What happens to a message later (dead-lettering, counters) is not part of it, see [`crate::event::Overlay`].
//!
//! Encoding: fields in ascending order of their [`Tag`], each a tag byte followed by a value as described in
//! [`crate::value`]. Absent fields are left out. Unknown tags are skipped, so that a newer writer does not break an
//! older reader. `docs/formats/envelope.md` has the same for readers of the journal.

use crate::value::{MapRef, ValueRef, encode_container, take_u8};

/// The fields of an envelope. The numbers are on disk: never reuse one.
///
/// The order from `ContentType` to `Origin` is that of AMQP 0-9-1's basic properties, so that the most used dialect
/// turns one into the other in a single pass.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Tag {
    /// Where it was sent: the exchange, empty for a queue addressed directly.
    Exchange = 1,
    /// Where it was sent: the routing key or queue name.
    Key = 2,
    /// MIME type of the body.
    ContentType = 10,
    /// MIME encoding of the body.
    ContentEncoding = 11,
    /// Application headers: a map.
    Headers = 12,
    /// Survives a restart: a bool. Absent means the sender did not say.
    Durable = 13,
    /// Priority as sent: u8.
    Priority = 14,
    /// Links a reply to its request.
    CorrelationId = 15,
    /// Where replies go.
    ReplyTo = 16,
    /// Time to live as sent, milliseconds: u64.
    TtlMs = 17,
    /// The sender's own id of this message.
    MessageId = 18,
    /// When the sender says it made it: a timestamp.
    Timestamp = 19,
    /// The application's word for what kind of message it is.
    Type = 20,
    /// The authenticated sender, if it said so.
    UserId = 21,
    /// The sending application.
    AppId = 22,
    /// A cluster the sender says it comes from (AMQP 0-9-1 `cluster-id`).
    Origin = 23,
    /// Ordering key: messages of one key are delivered in order.
    GroupKey = 30,
    /// Deduplication id.
    DedupId = 31,
    /// The message that caused this one.
    CausationId = 32,
    /// Version of the body's schema.
    SchemaVersion = 33,
    /// A subject line (AMQP 1.0 `subject`).
    Subject = 34,
    /// Delay as sent, milliseconds: u64.
    DelayMs = 35,
    /// The message in its dialect's original bytes, opaque to every other dialect: a list of a symbol (the dialect) and bytes.
    Original = 40,
}

const TAGS: [Tag; 23] = [
    Tag::Exchange,
    Tag::Key,
    Tag::ContentType,
    Tag::ContentEncoding,
    Tag::Headers,
    Tag::Durable,
    Tag::Priority,
    Tag::CorrelationId,
    Tag::ReplyTo,
    Tag::TtlMs,
    Tag::MessageId,
    Tag::Timestamp,
    Tag::Type,
    Tag::UserId,
    Tag::AppId,
    Tag::Origin,
    Tag::GroupKey,
    Tag::DedupId,
    Tag::CausationId,
    Tag::SchemaVersion,
    Tag::Subject,
    Tag::DelayMs,
    Tag::Original,
];

impl Tag {
    fn from_byte(byte: u8) -> Option<Self> {
        TAGS.into_iter().find(|tag| *tag as u8 == byte)
    }
}

/// One field as read.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Field<'a> {
    /// Which.
    pub tag: Tag,
    /// Its value.
    pub value: ValueRef<'a>,
}

/// An encoded envelope, read lazily.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Envelope<'a>(&'a [u8]);

impl<'a> Envelope<'a> {
    /// Reads `bytes` as an envelope. Damage shows as fields that are missing.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// All known fields in ascending order of their tags.
    #[must_use]
    pub fn fields(&self) -> Fields<'a> {
        Fields(self.0)
    }

    /// One field. Linear in the number of fields before it; to read several, iterate [`Envelope::fields`] once.
    #[must_use]
    pub fn get(&self, tag: Tag) -> Option<ValueRef<'a>> {
        self.fields().take_while(|f| f.tag <= tag).find(|f| f.tag == tag).map(|f| f.value)
    }

    /// One text field.
    #[must_use]
    pub fn str(&self, tag: Tag) -> Option<&'a str> {
        self.get(tag)?.as_str()
    }

    /// The application headers; empty if there are none.
    #[must_use]
    pub fn headers(&self) -> MapRef<'a> {
        match self.get(Tag::Headers) {
            Some(ValueRef::Map(map)) => map,
            _ => MapRef::default(),
        }
    }
}

/// Iterator over an envelope's fields.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            let byte = take_u8(&mut self.0)?;
            let value = ValueRef::decode(&mut self.0)?;
            if let Some(tag) = Tag::from_byte(byte) {
                return Some(Field { tag, value });
            }
        }
    }
}

/// Writes an envelope. Fields must be given in ascending order of their tags.
#[derive(Debug)]
pub struct EnvelopeWriter<'b> {
    buf: &'b mut Vec<u8>,
    start: usize,
    last: u8,
}

impl<'b> EnvelopeWriter<'b> {
    /// Appends the envelope to `buf`, which may have room reserved for the body to follow.
    pub fn new(buf: &'b mut Vec<u8>) -> Self {
        let start = buf.len();
        Self { buf, start, last: 0 }
    }

    /// Writes one field.
    ///
    /// # Panics
    /// In debug builds, if fields come out of order: readers stop looking at the first greater tag.
    pub fn field(&mut self, tag: Tag, value: ValueRef<'_>) -> &mut Self {
        self.tag(tag);
        value.encode(self.buf);
        self
    }

    /// Writes a text field.
    pub fn str(&mut self, tag: Tag, text: &[u8]) -> &mut Self {
        self.field(tag, ValueRef::Str(text))
    }

    /// Writes the headers, whose items `fill` appends as [`crate::value::encode_name`] and a value each.
    pub fn headers(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        self.tag(Tag::Headers);
        encode_container(self.buf, true, fill);
        self
    }

    /// Writes a list, whose items `fill` appends by [`ValueRef::encode`].
    pub fn list(&mut self, tag: Tag, fill: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        self.tag(tag);
        encode_container(self.buf, false, fill);
        self
    }

    /// The envelope's length so far, in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> u32 {
        u32::try_from(self.buf.len() - self.start).unwrap_or(u32::MAX)
    }

    fn tag(&mut self, tag: Tag) {
        debug_assert!(tag as u8 > self.last, "envelope fields go in ascending order");
        self.last = tag as u8;
        self.buf.push(tag as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::encode_name;

    #[test]
    fn fields_are_read_back_and_unknown_ones_skipped() {
        let mut buf = Vec::new();
        let mut writer = EnvelopeWriter::new(&mut buf);
        writer.str(Tag::Key, b"orders").str(Tag::ContentType, b"text/plain");
        writer.headers(|buf| {
            encode_name(buf, b"tries");
            ValueRef::I32(3).encode(buf);
        });
        writer.field(Tag::Priority, ValueRef::U8(4));
        buf.push(200);
        ValueRef::Str(b"from the future").encode(&mut buf);

        let envelope = Envelope::new(&buf);
        assert_eq!(envelope.str(Tag::Key), Some("orders"));
        assert_eq!(envelope.get(Tag::Priority), Some(ValueRef::U8(4)));
        assert_eq!(envelope.get(Tag::ReplyTo), None);
        assert_eq!(envelope.headers().find(b"tries"), Some(ValueRef::I32(3)));
        assert_eq!(envelope.fields().count(), 4);
    }

    #[test]
    fn every_tag_is_known_by_its_byte() {
        for tag in TAGS {
            assert_eq!(Tag::from_byte(tag as u8), Some(tag));
        }
        assert_eq!(Tag::from_byte(0), None);
    }
}
