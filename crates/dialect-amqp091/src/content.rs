//! Messages as contents: a method with content, its header frame, its body frames. [`Assembler`] puts together what arrives on one
//! channel; [`write_content`] splits what leaves. Not here: frames themselves (`frame`), properties (`properties`).
//! Called by the session, one assembler per channel.

use baton_dialect::{ATTACHED_BYTES_MIN, Output};
use baton_model::Message;
use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{EncodeError, WireError};
use crate::frame::{self, Frame, FrameType, Payload};
use crate::limits::{BODY_RESERVE_FACTOR, FRAME_OVERHEAD_BYTES, HEAD_ROOM_BYTES, MESSAGE_BYTES_HARD_MAX};
use crate::methods::basic::Publish;
use crate::methods::{Method, MethodFields};
use crate::properties::RawProperties;
use crate::short_str::ShortRef;
use crate::wire::{Cursor, FieldReader, pack_bits};

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
    pub fn decode<'a>(payload: impl Into<Payload<'a>>) -> Result<Self, WireError> {
        let payload = payload.into();
        let short = || WireError::FramePayload { what: "content header", payload_bytes: payload.len() };
        let mut cursor = Cursor::new(payload.as_bytes(), "content header");
        let mut fixed = || Some((cursor.short().ok()?, cursor.short().ok()?, cursor.longlong().ok()?));
        let (class_id, weight, body_bytes) = fixed().ok_or_else(short)?;
        let properties = RawProperties::from_raw(payload.share(cursor.rest()));
        Ok(Self { class_id, weight, body_bytes, properties })
    }
}

/// A message as it came: properties unread, body in one piece.
///
/// Both share the read buffer when the body came in one frame; copy what is kept for long and is much smaller.
#[derive(Clone, Debug)]
pub struct Content {
    /// Flags and values, not yet checked: see [`RawProperties::check`].
    pub properties: RawProperties,
    /// The body.
    pub body: Bytes,
    /// The same bytes with [`HEAD_ROOM_BYTES`] free ones in front of them, if the body came in several frames: what the
    /// message is to begin with can be put there, and the body need not be copied once more.
    pub(crate) roomy: Option<Bytes>,
}

/// What a channel received as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A method without content.
    Method(Method),
    /// A publish with its content: what a broker receives most, so it has a way of its own.
    Publish(Publish, Content),
    /// Another method with its content; only servers send those.
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
    waits_for: WaitsFor,
    // What is known of a half received content. Not inside `waits_for`: moving it in and out for each frame costs.
    method: Pending,
    properties: RawProperties,
    body_bytes: u64,
    remaining_bytes: u64,
    body: Gathered,
    body_bytes_max: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitsFor {
    Method,
    Header,
    Body,
}

/// The method whose content is being received.
#[derive(Debug)]
enum Pending {
    Publish(Publish),
    Other(Method),
}

impl Pending {
    fn ids(&self) -> (u16, u16) {
        match self {
            Self::Publish(_) => PUBLISH_IDS,
            Self::Other(method) => method.ids(),
        }
    }
}

/// The part of a body that is there.
#[derive(Debug)]
enum Gathered {
    Nothing,
    Many(BytesMut),
    /// Over the limit: counted, not kept.
    Discarded,
}

/// Where the bytes lie makes no difference.
impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        (&self.properties, &self.body) == (&other.properties, &other.body)
    }
}

impl Eq for Content {}

impl Content {
    /// A content of these parts.
    #[must_use]
    pub fn new(properties: RawProperties, body: Bytes) -> Self {
        Self { properties, body, roomy: None }
    }

    /// Envelope and body as one; the body is copied only where there was no room in front of it.
    pub(crate) fn into_message_content(self, envelope: &[u8]) -> Bytes {
        let Self { body, roomy, .. } = self;
        if let Some(from) = HEAD_ROOM_BYTES.checked_sub(envelope.len())
            && let Some(roomy) = roomy
        {
            // It was the other holder of the same bytes.
            drop(body);
            let mut bytes = BytesMut::from(roomy);
            if let Some(place) = bytes.get_mut(from..HEAD_ROOM_BYTES) {
                place.copy_from_slice(envelope);
            }
            return bytes.freeze().slice(from..);
        }
        let mut bytes = Vec::with_capacity(envelope.len() + body.len());
        bytes.extend_from_slice(envelope);
        bytes.extend_from_slice(&body);
        bytes.into()
    }
}

impl Assembler {
    /// `body_bytes_max` is the configured limit, cut to the hard one.
    #[must_use]
    pub fn new(body_bytes_max: u64) -> Self {
        Self {
            waits_for: WaitsFor::Method,
            method: Pending::Publish(Publish::default()),
            properties: RawProperties::EMPTY,
            body_bytes: 0,
            remaining_bytes: 0,
            body: Gathered::Nothing,
            body_bytes_max: body_bytes_max.min(MESSAGE_BYTES_HARD_MAX),
        }
    }

    /// Whether a content is half received.
    #[must_use]
    pub fn is_mid_content(&self) -> bool {
        self.waits_for != WaitsFor::Method
    }

    /// Bytes held for a half received body; for the connection's memory accounting.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match &self.body {
            Gathered::Many(bytes) => bytes.capacity(),
            _ => 0,
        }
    }

    /// Forgets a half received content; after the channel was closed.
    pub fn reset(&mut self) {
        *self = Self::new(self.body_bytes_max);
    }

    /// Takes the channel's next frame; a command when it completes one.
    ///
    /// # Errors
    /// [`WireError`] for a frame that may not come now or cannot be read; close the connection.
    pub fn push(&mut self, frame: Frame<'_>) -> Result<Option<Command>, WireError> {
        match (self.waits_for, frame.frame_type) {
            (WaitsFor::Method, FrameType::Method) => {
                if let Some(publish) = decode_publish(frame.payload)? {
                    self.method = Pending::Publish(publish);
                } else {
                    let method = Method::decode(frame.payload)?;
                    if !method.has_content() {
                        return Ok(Some(Command::Method(method)));
                    }
                    self.method = Pending::Other(method);
                }
                self.waits_for = WaitsFor::Header;
                Ok(None)
            }
            (WaitsFor::Header, FrameType::Header) => self.header(frame.payload),
            (WaitsFor::Body, FrameType::Body) => self.body(frame.payload),
            (WaitsFor::Method, _) => Err(self.unexpected("a method frame", frame)),
            (WaitsFor::Header, _) => Err(self.unexpected("a content header frame", frame)),
            (WaitsFor::Body, _) => Err(self.unexpected("a content body frame", frame)),
        }
    }

    fn unexpected(&self, expected: &'static str, frame: Frame<'_>) -> WireError {
        let found = frame.frame_type.name();
        WireError::UnexpectedFrame { expected, found, channel: frame.channel, method: self.ids() }
    }

    /// The method whose content is being received, for errors.
    fn ids(&self) -> (u16, u16) {
        if self.waits_for == WaitsFor::Method { (0, 0) } else { self.method.ids() }
    }

    fn header(&mut self, payload: Payload<'_>) -> Result<Option<Command>, WireError> {
        let header = ContentHeader::decode(payload)?;
        let method = self.ids();
        if header.class_id != method.0 || header.weight != 0 {
            let found = if header.class_id == method.0 { header.weight } else { header.class_id };
            return Err(WireError::ContentClass { expected: method.0, found, method });
        }
        let body_bytes = header.body_bytes;
        if body_bytes > MESSAGE_BYTES_HARD_MAX {
            let body_bytes_max = MESSAGE_BYTES_HARD_MAX;
            return Err(WireError::BodyTooLarge { body_bytes, body_bytes_max, method });
        }
        self.properties = header.properties;
        if body_bytes == 0 {
            return Ok(Some(self.complete(Bytes::new())));
        }
        let discard = body_bytes > self.body_bytes_max;
        self.body = if discard { Gathered::Discarded } else { Gathered::Nothing };
        (self.body_bytes, self.remaining_bytes) = (body_bytes, body_bytes);
        self.waits_for = WaitsFor::Body;
        Ok(None)
    }

    /// Takes a body frame. A body of one frame is not copied.
    fn body(&mut self, piece: Payload<'_>) -> Result<Option<Command>, WireError> {
        let frame_bytes = piece.len() as u64;
        let remaining_bytes = self.remaining_bytes;
        let Some(missing) = remaining_bytes.checked_sub(frame_bytes) else {
            return Err(WireError::BodyOverrun { frame_bytes, remaining_bytes, method: self.ids() });
        };
        self.remaining_bytes = missing;
        let last = missing == 0;
        match &mut self.body {
            Gathered::Discarded if last => {
                let (body_bytes, body_bytes_max) = (self.body_bytes, self.body_bytes_max);
                let method = match std::mem::replace(self, Self::new(body_bytes_max)).method {
                    Pending::Publish(publish) => publish.into(),
                    Pending::Other(method) => method,
                };
                return Ok(Some(Command::TooLarge { method, body_bytes, body_bytes_max }));
            }
            Gathered::Discarded => {}
            Gathered::Nothing if last => return Ok(Some(self.complete(piece.to_shared()))),
            Gathered::Nothing => {
                let whole = usize::try_from(remaining_bytes).unwrap_or(usize::MAX);
                let reserve = whole.min(piece.len().saturating_mul(BODY_RESERVE_FACTOR));
                let mut bytes = BytesMut::with_capacity(HEAD_ROOM_BYTES + reserve);
                bytes.put_bytes(0, HEAD_ROOM_BYTES);
                bytes.put_slice(piece.as_bytes());
                self.body = Gathered::Many(bytes);
            }
            Gathered::Many(bytes) => {
                let room = bytes.capacity() - bytes.len();
                if room < piece.len() {
                    // In few steps, and never beyond the whole: a large body is not held twice while its buffer grows.
                    let whole = usize::try_from(self.body_bytes).unwrap_or(usize::MAX);
                    let least = bytes.len() - HEAD_ROOM_BYTES + piece.len();
                    let reserve = match least.saturating_mul(BODY_RESERVE_FACTOR) {
                        all if all >= whole => whole,
                        // The last step starts from a small part.
                        part => part.min(whole / BODY_RESERVE_FACTOR).max(least),
                    };
                    // `BytesMut::reserve` would double it.
                    let mut larger = BytesMut::with_capacity(HEAD_ROOM_BYTES + reserve);
                    larger.put_slice(bytes);
                    *bytes = larger;
                }
                bytes.put_slice(piece.as_bytes());
                if last {
                    let roomy = std::mem::take(bytes).freeze();
                    let body = roomy.slice(HEAD_ROOM_BYTES..);
                    return Ok(Some(self.complete_with(body, Some(roomy))));
                }
            }
        }
        Ok(None)
    }

    fn complete(&mut self, body: Bytes) -> Command {
        self.complete_with(body, None)
    }

    fn complete_with(&mut self, body: Bytes, roomy: Option<Bytes>) -> Command {
        self.waits_for = WaitsFor::Method;
        self.body = Gathered::Nothing;
        let content = Content { properties: std::mem::take(&mut self.properties), body, roomy };
        match &mut self.method {
            Pending::Publish(publish) => Command::Publish(std::mem::take(publish), content),
            other @ Pending::Other(_) => {
                match std::mem::replace(other, Pending::Publish(Publish::default())) {
                    Pending::Publish(publish) => Command::Publish(publish, content),
                    Pending::Other(method) => Command::Content(method, content),
                }
            }
        }
    }
}

const PUBLISH_IDS: (u16, u16) = (Publish::CLASS_ID, Publish::METHOD_ID);

/// Reads a `basic.publish` without the detour over [`Method`]; `None` if it is another method.
#[inline]
fn decode_publish(payload: Payload<'_>) -> Result<Option<Publish>, WireError> {
    let mut fields = FieldReader::new(payload);
    let (Ok(class_id), Ok(method_id)) = (fields.short(), fields.short()) else { return Ok(None) };
    if (class_id, method_id) != PUBLISH_IDS {
        return Ok(None);
    }
    let publish = Publish::decode(&mut fields)?;
    fields.finish()?;
    Ok(Some(publish))
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

/// What a method with content and its properties take, as a first guess, bytes.
const HEAD_BYTES_ABOUT: usize = 256;

/// As [`write_content`], with properties (flags first) that `properties` appends in place: nothing is allocated.
///
/// # Errors
/// As [`write_content`].
pub fn write_content_with<M: MethodFields>(
    out: &mut BytesMut,
    channel: u16,
    frame_bytes_max: u32,
    method: &M,
    body: &[u8],
    properties: impl FnOnce(&mut BytesMut),
) -> Result<(), EncodeError> {
    let payload_bytes_max = frame::payload_bytes_max(frame_bytes_max);
    // A buffer that grows by doubling would hold a large body up to three times.
    let frames = body.len() / payload_bytes_max + 1;
    out.reserve(body.len() + frames * FRAME_OVERHEAD_BYTES as usize + HEAD_BYTES_ABOUT);
    write_head(out, channel, frame_bytes_max, method, body.len(), properties)?;
    for piece in body.chunks(payload_bytes_max) {
        frame::write_payload(out, FrameType::Body, channel, piece);
    }
    Ok(())
}

/// As [`write_content_with`], with a body that is attached frame by frame if it is large: it is not copied.
///
/// # Errors
/// As [`write_content`].
pub(crate) fn write_content_to<M: MethodFields>(
    out: &mut Output,
    channel: u16,
    frame_bytes_max: u32,
    method: &M,
    message: &Message,
    properties: impl FnOnce(&mut BytesMut),
) -> Result<(), EncodeError> {
    let body = message.body_slice();
    let payload_bytes_max = frame::payload_bytes_max(frame_bytes_max);
    if body.len().min(payload_bytes_max) < ATTACHED_BYTES_MIN {
        return write_content_with(&mut out.wire, channel, frame_bytes_max, method, body, properties);
    }
    write_head(&mut out.wire, channel, frame_bytes_max, method, body.len(), properties)?;
    let mut rest = message.body();
    while !rest.is_empty() {
        let piece = rest.split_to(payload_bytes_max.min(rest.len()));
        frame::write_head(&mut out.wire, FrameType::Body, channel, piece.len());
        out.attach(piece);
        frame::write_end(&mut out.wire);
    }
    Ok(())
}

/// Method and header frame.
fn write_head<M: MethodFields>(
    out: &mut BytesMut,
    channel: u16,
    frame_bytes_max: u32,
    method: &M,
    body_bytes: usize,
    properties: impl FnOnce(&mut BytesMut),
) -> Result<(), EncodeError> {
    let before = out.len();
    frame::write_method(out, channel, method);
    let at = frame::start(out, FrameType::Header, channel);
    let payload_at = out.len();
    out.put_u16(M::CLASS_ID);
    out.put_u16(0);
    out.put_u64(body_bytes as u64);
    properties(out);
    let header_bytes = out.len() - payload_at;
    if header_bytes > frame::payload_bytes_max(frame_bytes_max) {
        out.truncate(before);
        let bytes = header_bytes + usize::try_from(FRAME_OVERHEAD_BYTES).unwrap_or(0);
        return Err(EncodeError::PropertiesTooLarge { bytes, frame_bytes_max });
    }
    frame::finish(out, at);
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
