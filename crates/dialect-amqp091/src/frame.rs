//! Frames (section 4.2.3 of the specification) and the protocol header before the first of them: splitting a byte stream into
//! [`Frame`]s, and writing method and heartbeat frames. Not here: what is in a payload (`methods`, `content`),
//! and which frame may follow which (`content::Assembler`, the session). Called by the session.
//!
//! ```text
//!  0      1         3          7                 7+size
//!  ┌──────┬─────────┬──────────┬────────────────┬─────┐
//!  │ type │ channel │   size   │    payload     │ 206 │
//!  └──────┴─────────┴──────────┴────────────────┴─────┘
//! ```

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::WireError;
use crate::limits::{FRAME_BYTES_MAX_BEFORE_TUNE, FRAME_OVERHEAD_BYTES};
use crate::methods::{Method, MethodFields};
use crate::wire::{put_len, reserve_len};

/// The octet after every payload.
pub const FRAME_END: u8 = 206;

/// Length of a protocol header in bytes.
pub const PROTOCOL_HEADER_BYTES: usize = 8;

/// What we open a connection with, and what a server answers to a header that it does not speak, before it closes.
pub const PROTOCOL_HEADER: &[u8; PROTOCOL_HEADER_BYTES] = b"AMQP\x00\x00\x09\x01";

const TYPE_AND_CHANNEL_BYTES: usize = 3;
const HEAD_BYTES: usize = 7;

/// The first eight bytes that a client sends on an AMQP port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolHeader {
    /// AMQP 0-9-1, or 0-9 (`AMQP\1\1\0\9`), which RabbitMQ treats alike.
    Amqp091,
    /// AMQP 1.0 without SASL (`AMQP\0\1\0\0`): another dialect on the same port.
    Amqp10,
    /// The SASL layer of AMQP 1.0 (`AMQP\3\1\0\0`): the same.
    Amqp10Sasl,
    /// The TLS layer of AMQP 1.0 (`AMQP\2\1\0\0`). Refused: TLS has its own port.
    Amqp10Tls,
    /// Anything else, such as AMQP 0-8 or HTTP. Answer [`PROTOCOL_HEADER`] and close.
    Unsupported([u8; PROTOCOL_HEADER_BYTES]),
}

impl ProtocolHeader {
    /// Looks at the start of a connection without consuming it; `None` while it may still become a known header.
    /// Bytes that can no longer become one are reported at once, so that a stranger need not send eight.
    #[must_use]
    pub fn detect(start: &[u8]) -> Option<Self> {
        let Some(header) = start.first_chunk::<PROTOCOL_HEADER_BYTES>() else {
            let len = start.len().min(4);
            if start.get(..len) == b"AMQP".get(..len) {
                return None;
            }
            let mut seen = [0; PROTOCOL_HEADER_BYTES];
            for (to, from) in seen.iter_mut().zip(start) {
                *to = *from;
            }
            return Some(Self::Unsupported(seen));
        };
        Some(match header {
            b"AMQP\x00\x00\x09\x01" | b"AMQP\x01\x01\x00\x09" => Self::Amqp091,
            b"AMQP\x00\x01\x00\x00" => Self::Amqp10,
            b"AMQP\x03\x01\x00\x00" => Self::Amqp10Sasl,
            b"AMQP\x02\x01\x00\x00" => Self::Amqp10Tls,
            other => Self::Unsupported(*other),
        })
    }
}

/// Kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameType {
    /// Class, method and fields.
    Method,
    /// Content header: class, body size, properties.
    Header,
    /// A piece of a body.
    Body,
    /// Keeps an idle connection alive; channel 0, no payload.
    Heartbeat,
}

impl FrameType {
    /// The octet on the wire.
    #[must_use]
    pub const fn octet(self) -> u8 {
        match self {
            Self::Method => 1,
            Self::Header => 2,
            Self::Body => 3,
            Self::Heartbeat => 8,
        }
    }

    /// For error texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Method => "method frame",
            Self::Header => "content header frame",
            Self::Body => "content body frame",
            Self::Heartbeat => "heartbeat",
        }
    }

    fn from_octet(octet: u8) -> Option<Self> {
        match octet {
            1 => Some(Self::Method),
            2 => Some(Self::Header),
            3 => Some(Self::Body),
            8 => Some(Self::Heartbeat),
            _ => None,
        }
    }
}

/// One frame, borrowed from the batch it came in. Nothing is counted or copied until a field is taken out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its kind.
    pub frame_type: FrameType,
    /// Channel number; 0 is the connection itself.
    pub channel: u16,
    /// What is between size and end octet.
    pub payload: Payload<'a>,
}

/// Bytes of a frame, with the buffer they stand in, so that parts of them can be shared.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    bytes: &'a [u8],
    buffer: &'a Bytes,
}

impl PartialEq for Payload<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Payload<'_> {}

impl<'a> From<&'a Bytes> for Payload<'a> {
    fn from(buffer: &'a Bytes) -> Self {
        Self { bytes: buffer, buffer }
    }
}

impl<'a> Payload<'a> {
    /// The bytes.
    #[inline]
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Length in bytes.
    #[inline]
    #[must_use]
    pub fn len(self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// Shares a part of the payload. Empty parts do not touch the reference count.
    #[inline]
    pub(crate) fn share(self, part: &[u8]) -> Bytes {
        if part.is_empty() { Bytes::new() } else { self.buffer.slice_ref(part) }
    }

    /// Shares all of it.
    #[inline]
    #[must_use]
    pub fn to_shared(self) -> Bytes {
        self.share(self.bytes)
    }
}

/// Splits a byte stream into frames.
#[derive(Clone, Debug)]
pub struct FrameDecoder {
    frame_bytes_max: u32,
}

impl Default for FrameDecoder {
    /// The limit before `connection.tune-ok`.
    fn default() -> Self {
        Self::new(FRAME_BYTES_MAX_BEFORE_TUNE)
    }
}

/// Head of a frame that passed all checks which need the head alone.
struct Head {
    payload_bytes: usize,
}

impl FrameDecoder {
    /// `frame_bytes_max` counts the whole frame; 0 means no limit, as in `connection.tune-ok`.
    #[must_use]
    pub fn new(frame_bytes_max: u32) -> Self {
        Self { frame_bytes_max }
    }

    /// Changes the limit; right after `connection.tune-ok`.
    pub fn set_frame_bytes_max(&mut self, frame_bytes_max: u32) {
        self.frame_bytes_max = frame_bytes_max;
    }

    /// The limit in force; 0 means none.
    #[must_use]
    pub fn frame_bytes_max(&self) -> u32 {
        self.frame_bytes_max
    }

    /// Takes all complete frames off `buffer` in one step, which costs one split however many frames there are.
    /// `None` if there is not yet one. The incomplete rest stays in `buffer`. The batch holds the frames before a
    /// broken one; the call after that reports the break.
    ///
    /// # Errors
    /// The first frame is broken: [`WireError`] with 501 or 505. Nothing is consumed; close the connection.
    pub fn batch(&self, buffer: &mut BytesMut) -> Result<Option<FrameBatch>, WireError> {
        let mut complete = 0;
        loop {
            let rest = buffer.get(complete..).unwrap_or_default();
            match self.measure(rest) {
                Ok(Some(len)) => complete += len,
                Ok(None) => break,
                Err(error) if complete == 0 => return Err(error),
                Err(_) => break,
            }
        }
        if complete == 0 {
            return Ok(None);
        }
        Ok(Some(FrameBatch { bytes: buffer.split_to(complete).freeze() }))
    }

    /// How many bytes the frame at the start of `buffer` needs in all, as far as it is known: what to reserve before
    /// the next read. At most the frame limit, and at least the seven bytes of a frame's head.
    #[must_use]
    pub fn wanted_bytes(&self, buffer: &[u8]) -> usize {
        match self.head(buffer) {
            Ok(Some(head)) => head.payload_bytes.saturating_add(HEAD_BYTES + 1),
            _ => HEAD_BYTES,
        }
    }

    /// Checks the frame at the start of `bytes`; its whole length if it is complete.
    fn measure(&self, bytes: &[u8]) -> Result<Option<usize>, WireError> {
        let Some(head) = self.head(bytes)? else { return Ok(None) };
        let end = HEAD_BYTES.saturating_add(head.payload_bytes);
        match bytes.get(end) {
            None => Ok(None),
            Some(&FRAME_END) => Ok(Some(end + 1)),
            Some(&found) => Err(WireError::FrameEnd { found }),
        }
    }

    /// Checks all that the first seven bytes can tell, before anything is buffered for the payload.
    fn head(&self, bytes: &[u8]) -> Result<Option<Head>, WireError> {
        let Some(&[octet, c0, c1, s0, s1, s2, s3]) = bytes.first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        let channel = u16::from_be_bytes([c0, c1]);
        let size = u32::from_be_bytes([s0, s1, s2, s3]);
        let Some(frame_type) = FrameType::from_octet(octet) else {
            return Err(WireError::UnknownFrameType { frame_type: octet });
        };
        // Like RabbitMQ we let the payload alone fill frame-max: many clients forget the eight bytes of overhead.
        if self.frame_bytes_max != 0 && size > self.frame_bytes_max {
            return Err(WireError::FrameTooLarge {
                payload_bytes: size,
                frame_bytes_max: self.frame_bytes_max,
            });
        }
        let payload_bytes = usize::try_from(size).unwrap_or(usize::MAX);
        match frame_type {
            FrameType::Heartbeat if size != 0 => {
                return Err(WireError::FramePayload { what: "heartbeat", payload_bytes });
            }
            FrameType::Heartbeat if channel != 0 => {
                return Err(unexpected(channel, "heartbeats on channel 0 only", frame_type));
            }
            FrameType::Header | FrameType::Body if channel == 0 => {
                return Err(unexpected(channel, "a method frame or heartbeat", frame_type));
            }
            _ => {}
        }
        Ok(Some(Head { payload_bytes }))
    }
}

fn unexpected(channel: u16, expected: &'static str, found: FrameType) -> WireError {
    WireError::UnexpectedFrame { expected, found: found.name(), channel, method: (0, 0) }
}

/// Complete frames that arrived together, already checked. Iterate over a reference to get them.
#[derive(Clone, Debug)]
pub struct FrameBatch {
    bytes: Bytes,
}

impl FrameBatch {
    /// The frames in their order.
    #[must_use]
    pub fn iter(&self) -> FrameIter<'_> {
        FrameIter { rest: &self.bytes, buffer: &self.bytes }
    }
}

impl<'a> IntoIterator for &'a FrameBatch {
    type Item = Frame<'a>;
    type IntoIter = FrameIter<'a>;

    fn into_iter(self) -> FrameIter<'a> {
        self.iter()
    }
}

/// Frames of a batch; see [`FrameBatch::iter`].
#[derive(Clone, Debug)]
pub struct FrameIter<'a> {
    rest: &'a [u8],
    buffer: &'a Bytes,
}

impl<'a> Iterator for FrameIter<'a> {
    type Item = Frame<'a>;

    #[inline]
    fn next(&mut self) -> Option<Frame<'a>> {
        // The batch was measured when it was made, so this reads what is known to be there.
        let (head, rest) = self.rest.split_first_chunk::<HEAD_BYTES>()?;
        let &[octet, c0, c1, s0, s1, s2, s3] = head;
        let size = usize::try_from(u32::from_be_bytes([s0, s1, s2, s3])).ok()?;
        let (bytes, rest) = rest.split_at_checked(size)?;
        self.rest = rest.get(1..)?;
        Some(Frame {
            frame_type: FrameType::from_octet(octet)?,
            channel: u16::from_be_bytes([c0, c1]),
            payload: Payload { bytes, buffer: self.buffer },
        })
    }
}

/// Appends a method frame. Methods are never split; ours are far below the smallest frame-max.
pub fn write_method<M: MethodFields>(out: &mut BytesMut, channel: u16, method: &M) {
    let at = start(out, FrameType::Method, channel);
    out.put_u16(M::CLASS_ID);
    out.put_u16(M::METHOD_ID);
    method.encode_fields(out);
    finish(out, at);
}

/// Appends a method frame for a method that is known only at run time.
pub fn write_any_method(out: &mut BytesMut, channel: u16, method: &Method) {
    let at = start(out, FrameType::Method, channel);
    let (class_id, method_id) = method.ids();
    out.put_u16(class_id);
    out.put_u16(method_id);
    method.encode_fields(out);
    finish(out, at);
}

/// Appends a heartbeat.
pub fn write_heartbeat(out: &mut BytesMut) {
    let at = start(out, FrameType::Heartbeat, 0);
    finish(out, at);
}

/// Appends a frame of any kind with a ready payload.
pub(crate) fn write_payload(out: &mut BytesMut, frame_type: FrameType, channel: u16, payload: &[u8]) {
    let at = start(out, frame_type, channel);
    out.put_slice(payload);
    finish(out, at);
}

/// Appends what stands in front of a payload of that length; [`write_end`] ends the frame behind it.
pub(crate) fn write_head(out: &mut BytesMut, frame_type: FrameType, channel: u16, payload_bytes: usize) {
    let [c0, c1] = channel.to_be_bytes();
    let head: [u8; TYPE_AND_CHANNEL_BYTES] = [frame_type.octet(), c0, c1];
    out.put_slice(&head);
    out.put_u32(u32::try_from(payload_bytes).expect("frames have a size of 32 bits"));
}

/// Appends the end octet.
pub(crate) fn write_end(out: &mut BytesMut) {
    out.put_u8(FRAME_END);
}

/// Appends type and channel and leaves room for the size; give the result to [`finish`].
pub(crate) fn start(out: &mut BytesMut, frame_type: FrameType, channel: u16) -> usize {
    let [c0, c1] = channel.to_be_bytes();
    let head: [u8; TYPE_AND_CHANNEL_BYTES] = [frame_type.octet(), c0, c1];
    out.put_slice(&head);
    reserve_len(out)
}

/// Fills in the size and appends the end octet.
pub(crate) fn finish(out: &mut BytesMut, at: usize) {
    put_len(out, at);
    out.put_u8(FRAME_END);
}

/// The largest payload of frames that we write to a peer with this frame-max; 0 means no limit.
pub(crate) fn payload_bytes_max(frame_bytes_max: u32) -> usize {
    if frame_bytes_max == 0 {
        return usize::try_from(u32::MAX).unwrap_or(usize::MAX);
    }
    // The smallest negotiable frame is far larger than the overhead; 1 keeps even nonsense finite.
    usize::try_from(frame_bytes_max.saturating_sub(FRAME_OVERHEAD_BYTES)).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
