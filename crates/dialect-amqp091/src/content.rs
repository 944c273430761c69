//! Messages as contents: a method with content, its header frame, its body frames. [`Assembler`] puts together what arrives on one
//! channel; [`write_content`] splits what leaves. Not here: frames themselves (`frame`), properties (`properties`).
//! Called by the session, one assembler per channel.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{EncodeError, WireError};
use crate::frame::{self, Frame, FrameType};
use crate::limits::{BODY_RESERVE_FACTOR, FRAME_OVERHEAD_BYTES, MESSAGE_BYTES_HARD_MAX};
use crate::methods::{Method, MethodFields};
use crate::properties::RawProperties;
use crate::short_str::ShortRef;
use crate::wire::{Cursor, pack_bits};

/// Class, weight and body size before the properties.
const HEADER_FIXED_BYTES: usize = 12;

/// The payload of a header frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentHeader {
    /// Class of the method that the content belongs to; 60, basic.
    pub class_id: u16,
    /// Reserved; 0.
    pub weight: u16,
    /// Size of the whole body.
    pub body_bytes: u64,
    /// Flags and values, not yet read.
    pub properties: RawProperties,
}

impl ContentHeader {
    /// Reads the payload of a header frame; the properties stay unread.
    ///
    /// # Errors
    /// [`WireError::FramePayload`] (501) if the fixed part is cut off.
    pub fn decode(payload: &Bytes) -> Result<Self, WireError> {
        let short = || WireError::FramePayload { what: "content header", payload_bytes: payload.len() };
        let mut cursor = Cursor::new(payload, "content header");
        let mut fixed = || Some((cursor.short().ok()?, cursor.short().ok()?, cursor.longlong().ok()?));
        let (class_id, weight, body_bytes) = fixed().ok_or_else(short)?;
        let properties = RawProperties::from_raw(payload.slice(HEADER_FIXED_BYTES..));
        Ok(Self { class_id, weight, body_bytes, properties })
    }
}

/// A message as it came: properties unread, body in one piece.
///
/// Both share the read buffer when the body came in one frame; copy what is kept for long and is much smaller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Flags and values, not yet checked: see [`RawProperties::check`].
    pub properties: RawProperties,
    /// The body.
    pub body: Bytes,
}

/// What a channel received as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A method without content.
    Method(Method),
    /// A method with its content.
    Content(Method, Content),
    /// A content over the configured limit. Its body was read and thrown away; close the channel with 406.
    TooLarge {
        /// The method that it came with.
        method: Method,
        /// Its size.
        body_bytes: u64,
        /// The configured limit.
        body_bytes_max: u64,
    },
}

/// Puts together the frames of one channel.
///
/// ```text
///          method with content           header, body > 0
///  Idle ───────────────────────▶ Header ──────────────────▶ Body ⟲ body frames
///   ▲  ⟲ method without content    │ header, body = 0        │ last byte
///   └───────────────────────────────┴─────────────────────────┘  → Command
/// ```
#[derive(Debug)]
pub struct Assembler {
    state: State,
    body_bytes_max: u64,
}

#[derive(Debug)]
enum State {
    Idle,
    Header(Method),
    Body { method: Method, properties: RawProperties, body_bytes: u64, remaining_bytes: u64, body: Gathered },
}

/// The part of a body that is there.
#[derive(Debug)]
enum Gathered {
    Nothing,
    Many(BytesMut),
    /// Over the limit: counted, not kept.
    Discarded,
}

impl Assembler {
    /// `body_bytes_max` is the configured limit, cut to the hard one.
    #[must_use]
    pub fn new(body_bytes_max: u64) -> Self {
        Self { state: State::Idle, body_bytes_max: body_bytes_max.min(MESSAGE_BYTES_HARD_MAX) }
    }

    /// Whether a content is half received.
    #[must_use]
    pub fn is_mid_content(&self) -> bool {
        !matches!(self.state, State::Idle)
    }

    /// Bytes held for a half received body; for the connection's memory accounting.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match &self.state {
            State::Body { body: Gathered::Many(bytes), .. } => bytes.capacity(),
            _ => 0,
        }
    }

    /// Forgets a half received content; after the channel was closed.
    pub fn reset(&mut self) {
        self.state = State::Idle;
    }

    /// Takes the channel's next frame; a command when it completes one.
    ///
    /// # Errors
    /// [`WireError`] for a frame that may not come now or cannot be read; close the connection.
    pub fn push(&mut self, frame: Frame) -> Result<Option<Command>, WireError> {
        let channel = frame.channel;
        match (std::mem::replace(&mut self.state, State::Idle), frame.frame_type) {
            (State::Idle, FrameType::Method) => {
                let method = Method::decode(&frame.payload)?;
                if !method.has_content() {
                    return Ok(Some(Command::Method(method)));
                }
                self.state = State::Header(method);
                Ok(None)
            }
            (State::Idle, found) => Err(unexpected("a method frame", found, channel, (0, 0))),
            (State::Header(method), FrameType::Header) => self.header(method, &frame.payload),
            (State::Header(method), found) => {
                Err(unexpected("a content header frame", found, channel, method.ids()))
            }
            (State::Body { method, properties, body_bytes, remaining_bytes, body }, FrameType::Body) => {
                let frame_bytes = frame.payload.len() as u64;
                let Some(remaining_bytes) = remaining_bytes.checked_sub(frame_bytes) else {
                    return Err(WireError::BodyOverrun {
                        frame_bytes,
                        remaining_bytes,
                        method: method.ids(),
                    });
                };
                let part = gather(body, frame.payload, remaining_bytes);
                let body = match part {
                    Part::More(body) => body,
                    Part::Whole(body) => {
                        return Ok(Some(Command::Content(method, Content { properties, body })));
                    }
                    Part::TooLarge => {
                        let body_bytes_max = self.body_bytes_max;
                        return Ok(Some(Command::TooLarge { method, body_bytes, body_bytes_max }));
                    }
                };
                self.state = State::Body { method, properties, body_bytes, remaining_bytes, body };
                Ok(None)
            }
            (State::Body { method, .. }, found) => {
                Err(unexpected("a content body frame", found, channel, method.ids()))
            }
        }
    }

    fn header(&mut self, method: Method, payload: &Bytes) -> Result<Option<Command>, WireError> {
        let header = ContentHeader::decode(payload)?;
        let ids = method.ids();
        if header.class_id != ids.0 || header.weight != 0 {
            let found = if header.class_id == ids.0 { header.weight } else { header.class_id };
            return Err(WireError::ContentClass { expected: ids.0, found, method: ids });
        }
        let body_bytes = header.body_bytes;
        if body_bytes > MESSAGE_BYTES_HARD_MAX {
            let body_bytes_max = MESSAGE_BYTES_HARD_MAX;
            return Err(WireError::BodyTooLarge { body_bytes, body_bytes_max, method: ids });
        }
        let properties = header.properties;
        if body_bytes == 0 {
            return Ok(Some(Command::Content(method, Content { properties, body: Bytes::new() })));
        }
        let body = if body_bytes > self.body_bytes_max { Gathered::Discarded } else { Gathered::Nothing };
        self.state = State::Body { method, properties, body_bytes, remaining_bytes: body_bytes, body };
        Ok(None)
    }
}

enum Part {
    More(Gathered),
    Whole(Bytes),
    TooLarge,
}

/// Adds a body frame. A body of one frame is not copied.
fn gather(body: Gathered, piece: Bytes, remaining_bytes: u64) -> Part {
    let last = remaining_bytes == 0;
    match body {
        Gathered::Discarded if last => Part::TooLarge,
        Gathered::Discarded => Part::More(Gathered::Discarded),
        Gathered::Nothing if last => Part::Whole(piece),
        Gathered::Nothing => {
            let wanted = usize::try_from(remaining_bytes).unwrap_or(usize::MAX).saturating_add(piece.len());
            let mut bytes = BytesMut::with_capacity(wanted.min(piece.len() * BODY_RESERVE_FACTOR));
            bytes.put_slice(&piece);
            Part::More(Gathered::Many(bytes))
        }
        Gathered::Many(mut bytes) => {
            bytes.put_slice(&piece);
            if last { Part::Whole(bytes.freeze()) } else { Part::More(Gathered::Many(bytes)) }
        }
    }
}

fn unexpected(expected: &'static str, found: FrameType, channel: u16, method: (u16, u16)) -> WireError {
    WireError::UnexpectedFrame { expected, found: found.name(), channel, method }
}

/// Appends method, header and body frames of one content, the body split to the peer's frame-max (0: no limit).
///
/// # Errors
/// [`EncodeError::PropertiesTooLarge`] if the header frame, which cannot be split, is over the limit. Nothing is
/// written then.
pub fn write_content<M: MethodFields>(
    out: &mut BytesMut,
    channel: u16,
    frame_bytes_max: u32,
    method: &M,
    properties: &RawProperties,
    body: &[u8],
) -> Result<(), EncodeError> {
    let properties = properties.as_bytes();
    let payload_bytes_max = frame::payload_bytes_max(frame_bytes_max);
    let header_bytes = HEADER_FIXED_BYTES + properties.len();
    if header_bytes > payload_bytes_max {
        let bytes = header_bytes + usize::try_from(FRAME_OVERHEAD_BYTES).unwrap_or(0);
        return Err(EncodeError::PropertiesTooLarge { bytes, frame_bytes_max });
    }
    frame::write_method(out, channel, method);
    let at = frame::start(out, FrameType::Header, channel);
    out.put_u16(M::CLASS_ID);
    out.put_u16(0);
    out.put_u64(body.len() as u64);
    out.put_slice(properties);
    frame::finish(out, at);
    for piece in body.chunks(payload_bytes_max) {
        frame::write_payload(out, FrameType::Body, channel, piece);
    }
    Ok(())
}

/// `basic.deliver` with borrowed fields: what a broker writes most, without counting references.
#[derive(Clone, Copy, Debug)]
pub struct DeliverRef<'a> {
    /// The consumer.
    pub consumer_tag: ShortRef<'a>,
    /// Number of the delivery on its channel, from 1.
    pub delivery_tag: u64,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// Where it was published to.
    pub exchange: ShortRef<'a>,
    /// With which key.
    pub routing_key: ShortRef<'a>,
}

impl MethodFields for DeliverRef<'_> {
    const CLASS_ID: u16 = 60;
    const METHOD_ID: u16 = 60;

    fn encode_fields(&self, out: &mut BytesMut) {
        self.consumer_tag.put(out);
        out.put_u64(self.delivery_tag);
        out.put_u8(pack_bits([self.redelivered]));
        self.exchange.put(out);
        self.routing_key.put(out);
    }
}

/// `basic.publish` with borrowed fields, for clients: tests, benches, the load generator.
#[derive(Clone, Copy, Debug)]
pub struct PublishRef<'a> {
    /// The exchange; empty for the default one.
    pub exchange: ShortRef<'a>,
    /// The routing key.
    pub routing_key: ShortRef<'a>,
    /// Whether an unroutable message comes back.
    pub mandatory: bool,
}

impl MethodFields for PublishRef<'_> {
    const CLASS_ID: u16 = 60;
    const METHOD_ID: u16 = 40;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u16(0);
        self.exchange.put(out);
        self.routing_key.put(out);
        out.put_u8(pack_bits([self.mandatory, false]));
    }
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
