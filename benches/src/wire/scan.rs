//! Frames in: [`Incoming`] owns the receive buffer, walks whole frames in it, and joins method, header and body of a
//! message to one [`Event`] that borrows from the buffer. It allocates only for a body that spans several frames.
//! No socket of its own: the caller passes anything that is `Read`.

use std::io::{self, Read};
use std::ops::Range;

use super::{MethodId, WireError, frame, method};

/// Large enough for a full prefetch window of 256 messages of 1 KiB, so that one read can bring all of it.
pub const RECEIVE_BUFFER_BYTES: usize = 384 * 1024;
/// Below this much free space at the end the unread rest moves to the front before the next read.
const COMPACT_BELOW_BYTES: usize = 128 * 1024 + 64;
const FRAME_OVERHEAD: usize = 8;

/// Something the server said.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// basic.deliver with its whole content.
    Deliver(Delivery<'a>),
    /// basic.return with its body.
    Return {
        /// The returned message's body.
        body: &'a [u8],
    },
    /// basic.ack or basic.nack from the server: a publisher confirm.
    Confirm(Confirm),
    /// Any other method; `args` are its fields.
    Method {
        /// Class and method.
        id: MethodId,
        /// Raw fields, to be read with [`Fields`].
        args: &'a [u8],
    },
    /// A heartbeat.
    Heartbeat,
}

/// One delivered message.
#[derive(Debug, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// What an ack names.
    pub tag: u64,
    /// The server says that it may have been delivered before.
    pub redelivered: bool,
    /// Property flags and property list as they came; see [`reply_addresses`].
    pub properties: &'a [u8],
    /// The body.
    pub body: &'a [u8],
}

/// A publisher confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirm {
    /// The publish it speaks of, counted from 1 on the channel.
    pub tag: u64,
    /// All earlier ones too.
    pub multiple: bool,
    /// Ack rather than nack.
    pub positive: bool,
}

/// Content that has begun: which method started it and how much body is still to come.
#[derive(Debug, Default)]
struct Content {
    stage: Stage,
    tag: u64,
    redelivered: bool,
    body_left: usize,
    properties: Vec<u8>,
    body: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    None,
    Header {
        returned: bool,
    },
    Body {
        returned: bool,
    },
}

/// The receive buffer and the state of the content being received.
#[derive(Debug)]
pub struct Incoming {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    content: Content,
}

impl Default for Incoming {
    fn default() -> Self {
        Self { buffer: vec![0; RECEIVE_BUFFER_BYTES], start: 0, end: 0, content: Content::default() }
    }
}

impl Incoming {
    /// One read from `source` into the free space. Returns the number of bytes, 0 at end of stream.
    ///
    /// # Errors
    /// What the read answered, `WouldBlock` after a read time-out included.
    pub fn fill(&mut self, source: &mut impl Read) -> io::Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.buffer.len() - self.end < COMPACT_BELOW_BYTES {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let free = self.buffer.get_mut(self.end..).unwrap_or_default();
        let count = source.read(free)?;
        self.end += count;
        Ok(count)
    }

    /// The next event, or `None` when the buffer holds no further whole one.
    ///
    /// # Errors
    /// The bytes are not AMQP 0-9-1; the connection is of no further use.
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, WireError> {
        // Ranges instead of slices, since a borrow that is returned from inside a loop would last for all of it.
        loop {
            let Some((kind, payload)) = self.next_frame()? else { return Ok(None) };
            match kind {
                frame::METHOD => {
                    if let Some(id) = self.method(payload.clone())? {
                        let args = self.bytes(payload.start + 4..payload.end);
                        return Ok(Some(method_event(id, args)?));
                    }
                }
                frame::HEADER => {
                    if self.header(payload)? {
                        return Ok(Some(self.content_event(0..0)));
                    }
                }
                frame::BODY => {
                    if let Some(body) = self.body(payload)? {
                        return Ok(Some(self.content_event(body)));
                    }
                }
                _ => return Ok(Some(Event::Heartbeat)),
            }
        }
    }

    fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.buffer.get(range).unwrap_or_default()
    }

    fn next_frame(&mut self) -> Result<Option<(u8, Range<usize>)>, WireError> {
        let unread = self.bytes(self.start..self.end);
        let [kind, _, _, s0, s1, s2, s3, rest @ ..] = unread else { return Ok(None) };
        let size = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
        let len = size as usize;
        if len + FRAME_OVERHEAD > RECEIVE_BUFFER_BYTES {
            return Err(WireError::FrameTooLarge { size });
        }
        match rest.get(len) {
            None => return Ok(None),
            Some(&frame::END) => {}
            Some(_) => return Err(WireError::BadFrameEnd { size }),
        }
        let (kind, from) = (*kind, self.start + 7);
        self.start = from + len + 1;
        Ok(Some((kind, from..from + len)))
    }

    /// Takes a method frame. Methods that start content are kept; all others are for the caller.
    fn method(&mut self, payload: Range<usize>) -> Result<Option<MethodId>, WireError> {
        let mut fields = Fields(self.bytes(payload));
        let id = (fields.u16("method")?, fields.u16("method")?);
        match id {
            method::BASIC_DELIVER => {
                fields.short("basic.deliver")?;
                let tag = fields.u64("basic.deliver")?;
                let redelivered = fields.u8("basic.deliver")? & 1 != 0;
                (self.content.tag, self.content.redelivered) = (tag, redelivered);
                self.begin(Stage::Header { returned: false }).map(|()| None)
            }
            method::BASIC_RETURN => self.begin(Stage::Header { returned: true }).map(|()| None),
            _ => Ok(Some(id)),
        }
    }

    fn begin(&mut self, stage: Stage) -> Result<(), WireError> {
        if self.content.stage != Stage::None {
            return Err(WireError::ContentOrder { what: "a method inside of content" });
        }
        self.content.stage = stage;
        Ok(())
    }

    /// Takes a content header; true when the body is empty and the message therefore whole.
    fn header(&mut self, payload: Range<usize>) -> Result<bool, WireError> {
        let Stage::Header { returned } = self.content.stage else {
            return Err(WireError::ContentOrder { what: "a header without a method" });
        };
        let mut fields = Fields(self.buffer.get(payload).unwrap_or_default());
        fields.u32("content header")?;
        let size = fields.u64("content header")?;
        self.content.body_left =
            usize::try_from(size).map_err(|_| WireError::Short { what: "content header" })?;
        self.content.properties.clear();
        self.content.properties.extend_from_slice(fields.0);
        self.content.body.clear();
        self.content.stage = Stage::Body { returned };
        Ok(size == 0)
    }

    /// Takes a body frame. Returns the body's range in the buffer when the message is whole (empty when it was
    /// gathered in `content.body`).
    fn body(&mut self, payload: Range<usize>) -> Result<Option<Range<usize>>, WireError> {
        if !matches!(self.content.stage, Stage::Body { .. }) {
            return Err(WireError::ContentOrder { what: "a body without a header" });
        }
        let len = payload.len();
        let Some(left) = self.content.body_left.checked_sub(len) else {
            return Err(WireError::ContentOrder { what: "more body than announced" });
        };
        self.content.body_left = left;
        if left == 0 && self.content.body.is_empty() {
            return Ok(Some(payload));
        }
        self.content.body.extend_from_slice(self.buffer.get(payload).unwrap_or_default());
        Ok((left == 0).then_some(0..0))
    }

    fn content_event(&mut self, body: Range<usize>) -> Event<'_> {
        let stage = std::mem::take(&mut self.content.stage);
        let body: &[u8] =
            if body.is_empty() { &self.content.body } else { self.buffer.get(body).unwrap_or_default() };
        if stage == (Stage::Body { returned: true }) {
            return Event::Return { body };
        }
        Event::Deliver(Delivery {
            tag: self.content.tag,
            redelivered: self.content.redelivered,
            properties: &self.content.properties,
            body,
        })
    }
}

fn method_event(id: MethodId, args: &[u8]) -> Result<Event<'_>, WireError> {
    if id == method::BASIC_ACK || id == method::BASIC_NACK {
        let mut fields = Fields(args);
        let tag = fields.u64("confirm")?;
        let multiple = fields.u8("confirm")? & 1 != 0;
        return Ok(Event::Confirm(Confirm { tag, multiple, positive: id == method::BASIC_ACK }));
    }
    Ok(Event::Method { id, args })
}

/// Reads the fields of a method or header from the front; what is left is in `.0`.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], WireError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(WireError::Short { what })?;
        self.0 = rest;
        Ok(*head)
    }
    /// `len` bytes as they are.
    ///
    /// # Errors
    /// Fewer bytes are left; so for every method here.
    pub fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], WireError> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(WireError::Short { what })?;
        self.0 = rest;
        Ok(head)
    }
    /// An octet.
    ///
    /// # Errors
    /// See [`Fields::take`].
    pub fn u8(&mut self, what: &'static str) -> Result<u8, WireError> {
        self.array::<1>(what).map(|[byte]| byte)
    }
    /// A short integer.
    ///
    /// # Errors
    /// See [`Fields::take`].
    pub fn u16(&mut self, what: &'static str) -> Result<u16, WireError> {
        self.array(what).map(u16::from_be_bytes)
    }
    /// A long integer.
    ///
    /// # Errors
    /// See [`Fields::take`].
    pub fn u32(&mut self, what: &'static str) -> Result<u32, WireError> {
        self.array(what).map(u32::from_be_bytes)
    }
    /// A long long integer.
    ///
    /// # Errors
    /// See [`Fields::take`].
    pub fn u64(&mut self, what: &'static str) -> Result<u64, WireError> {
        self.array(what).map(u64::from_be_bytes)
    }
    /// A short string's bytes.
    ///
    /// # Errors
    /// See [`Fields::take`].
    pub fn short(&mut self, what: &'static str) -> Result<&'a [u8], WireError> {
        let len = self.u8(what)?;
        self.take(usize::from(len), what)
    }
    /// A long string's bytes, or a field table's.
    ///
    /// # Errors
    /// See [`Fields::take`].
    pub fn long(&mut self, what: &'static str) -> Result<&'a [u8], WireError> {
        let len = self.u32(what)?;
        self.take(len as usize, what)
    }
}

/// Finds correlation-id and reply-to in a delivery's raw properties; each is empty when absent.
///
/// # Errors
/// The property list is shorter than its flags say.
pub fn reply_addresses(properties: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    const WHAT: &str = "properties";
    let mut fields = Fields(properties);
    let flags = fields.u16(WHAT)?;
    let has = |bit: u32| flags & (1 << bit) != 0;
    if has(15) {
        fields.short(WHAT)?; // content-type
    }
    if has(14) {
        fields.short(WHAT)?; // content-encoding
    }
    if has(13) {
        fields.long(WHAT)?; // headers
    }
    if has(12) {
        fields.u8(WHAT)?; // delivery-mode
    }
    if has(11) {
        fields.u8(WHAT)?; // priority
    }
    let correlation_id = if has(10) { fields.short(WHAT)? } else { &[] };
    let reply_to = if has(9) { fields.short(WHAT)? } else { &[] };
    Ok((correlation_id, reply_to))
}
