//! A message: an immutable envelope and body in one allocation. What happens to it is not here (see `core`).

use bytes::Bytes;

use crate::envelope::Envelope;

/// An immutable message. Envelope and body lie behind each other in one buffer, so that storing, paging and
/// passing it on is one copy at most; cloning it copies nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    content: Bytes,
    envelope_bytes: u32,
}

impl Message {
    /// Takes `content` as an encoded envelope of `envelope_bytes` followed by the body.
    /// A length beyond the content is cut to it: the body is then empty.
    #[must_use]
    pub fn new(content: Bytes, envelope_bytes: u32) -> Self {
        let whole = u32::try_from(content.len()).unwrap_or(u32::MAX);
        Self { content, envelope_bytes: envelope_bytes.min(whole) }
    }

    /// The envelope, read lazily.
    #[must_use]
    pub fn envelope(&self) -> Envelope<'_> {
        Envelope::new(self.content.get(..self.envelope_bytes as usize).unwrap_or_default())
    }

    /// The body's bytes; shares the message's buffer.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.content.slice(self.envelope_bytes as usize..)
    }

    /// The body's bytes, borrowed.
    #[must_use]
    pub fn body_slice(&self) -> &[u8] {
        self.content.get(self.envelope_bytes as usize..).unwrap_or_default()
    }

    /// Envelope and body as stored.
    #[must_use]
    pub fn content(&self) -> &Bytes {
        &self.content
    }

    /// Length of the encoded envelope, in bytes.
    #[must_use]
    pub fn envelope_bytes(&self) -> u32 {
        self.envelope_bytes
    }

    /// Length of envelope and body, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.content.len()
    }
}
