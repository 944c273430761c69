//! Frames out: every function appends whole frames to a caller's buffer, so that many go out with one write.
//! Nothing here knows what an answer looks like; that is [`super::scan`].

use super::{MethodId, frame, method};

/// A field table value; only the types this client sends.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// `t`
    Bool(bool),
    /// `I`
    Int(i32),
    /// `S`
    Text(&'a str),
    /// `F`
    Table(&'a [(&'a str, Value<'a>)]),
}

/// Fields of a queue, exchange or consumer's `arguments`.
pub type Table<'a> = &'a [(&'a str, Value<'a>)];

/// The properties of a message that this client sets. Messages are always persistent unless `transient`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Properties<'a> {
    /// Not to be stored: delivery mode 1 instead of 2.
    pub transient: bool,
    /// correlation-id, absent when empty.
    pub correlation_id: &'a [u8],
    /// reply-to, absent when empty.
    pub reply_to: &'a [u8],
}

/// One method frame being written; [`Method::end`] fills in its size.
pub struct Method<'a> {
    out: &'a mut Vec<u8>,
    size_at: usize,
}

impl<'a> Method<'a> {
    /// Starts a method frame on `channel`.
    pub fn begin(out: &'a mut Vec<u8>, channel: u16, id: MethodId) -> Method<'a> {
        let size_at = begin_frame(out, frame::METHOD, channel);
        out.extend_from_slice(&id.0.to_be_bytes());
        out.extend_from_slice(&id.1.to_be_bytes());
        Method { out, size_at }
    }
    /// An octet, or a group of bit fields.
    pub fn u8(self, value: u8) -> Self {
        self.out.push(value);
        self
    }
    /// A short integer.
    pub fn u16(self, value: u16) -> Self {
        self.out.extend_from_slice(&value.to_be_bytes());
        self
    }
    /// A long integer.
    pub fn u32(self, value: u32) -> Self {
        self.out.extend_from_slice(&value.to_be_bytes());
        self
    }
    /// A long long integer.
    pub fn u64(self, value: u64) -> Self {
        self.out.extend_from_slice(&value.to_be_bytes());
        self
    }
    /// A short string of at most 255 bytes; longer text is cut.
    pub fn short(self, text: &[u8]) -> Self {
        put_short(self.out, text);
        self
    }
    /// A long string.
    pub fn long(self, text: &[u8]) -> Self {
        put_long(self.out, text);
        self
    }
    /// A field table.
    pub fn table(self, table: Table<'_>) -> Self {
        put_table(self.out, table);
        self
    }
    /// Closes the frame.
    pub fn end(self) {
        end_frame(self.out, self.size_at);
    }
}

/// Appends one persistent message: publish method, header, one body frame.
/// The body must fit in one frame (the caller keeps it far below frame-max).
pub fn publish(out: &mut Vec<u8>, channel: u16, route: Route<'_>, properties: Properties<'_>, body: &[u8]) {
    Method::begin(out, channel, method::BASIC_PUBLISH)
        .u16(0)
        .short(route.exchange.as_bytes())
        .short(route.routing_key)
        .u8(u8::from(route.mandatory))
        .end();
    put_header(out, channel, properties, body.len());
    // An empty body has no body frame.
    if !body.is_empty() {
        let size_at = begin_frame(out, frame::BODY, channel);
        out.extend_from_slice(body);
        end_frame(out, size_at);
    }
}

/// Where a publish goes.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    /// Exchange name, empty for the default exchange.
    pub exchange: &'a str,
    /// Routing key; bytes because a reply-to address is copied as it came.
    pub routing_key: &'a [u8],
    /// Return the message when no queue takes it.
    pub mandatory: bool,
}

impl<'a> Route<'a> {
    /// Straight to a queue, over the default exchange.
    pub fn queue(name: &'a [u8]) -> Route<'a> {
        Route { exchange: "", routing_key: name, mandatory: false }
    }
}

/// Appends basic.ack of exactly one delivery.
pub fn ack(out: &mut Vec<u8>, channel: u16, delivery_tag: u64) {
    // The whole frame is 21 bytes; one array copy is cheaper than appending field by field.
    let mut bytes = [0u8; 21];
    let [kind, c0, c1, _, _, _, size, _, class, _, id, tag @ .., _multiple, end] = &mut bytes;
    let [ch, cl] = channel.to_be_bytes();
    (*kind, *c0, *c1, *size, *class, *id, *end) = (frame::METHOD, ch, cl, 13, 60, 80, frame::END);
    tag.copy_from_slice(&delivery_tag.to_be_bytes());
    out.extend_from_slice(&bytes);
}

/// Appends basic.nack of one delivery.
pub fn nack(out: &mut Vec<u8>, channel: u16, delivery_tag: u64, requeue: bool) {
    Method::begin(out, channel, method::BASIC_NACK).u64(delivery_tag).u8(u8::from(requeue) << 1).end();
}

fn put_header(out: &mut Vec<u8>, channel: u16, properties: Properties<'_>, body_len: usize) {
    const DELIVERY_MODE: u16 = 1 << 12;
    const CORRELATION_ID: u16 = 1 << 10;
    const REPLY_TO: u16 = 1 << 9;
    let size_at = begin_frame(out, frame::HEADER, channel);
    out.extend_from_slice(&60u16.to_be_bytes());
    out.extend_from_slice(&0u16.to_be_bytes());
    out.extend_from_slice(&(body_len as u64).to_be_bytes());
    let mut flags = DELIVERY_MODE;
    if !properties.correlation_id.is_empty() {
        flags |= CORRELATION_ID;
    }
    if !properties.reply_to.is_empty() {
        flags |= REPLY_TO;
    }
    out.extend_from_slice(&flags.to_be_bytes());
    out.push(if properties.transient { 1 } else { 2 });
    if !properties.correlation_id.is_empty() {
        put_short(out, properties.correlation_id);
    }
    if !properties.reply_to.is_empty() {
        put_short(out, properties.reply_to);
    }
    end_frame(out, size_at);
}

fn begin_frame(out: &mut Vec<u8>, kind: u8, channel: u16) -> usize {
    out.push(kind);
    out.extend_from_slice(&channel.to_be_bytes());
    let size_at = out.len();
    out.extend_from_slice(&[0; 4]);
    size_at
}

fn end_frame(out: &mut Vec<u8>, size_at: usize) {
    patch_size(out, size_at);
    out.push(frame::END);
}

/// Writes the number of bytes after the size field into it.
fn patch_size(out: &mut [u8], size_at: usize) {
    let size = u32::try_from(out.len() - size_at - 4).expect("buffers here are far below 4 GiB");
    if let Some(field) = out.get_mut(size_at..size_at + 4) {
        field.copy_from_slice(&size.to_be_bytes());
    }
}

fn put_short(out: &mut Vec<u8>, text: &[u8]) {
    let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
    out.push(len);
    out.extend(text.iter().take(usize::from(len)));
}

fn put_long(out: &mut Vec<u8>, text: &[u8]) {
    let size_at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(text);
    patch_size(out, size_at);
}

fn put_table(out: &mut Vec<u8>, table: Table<'_>) {
    let size_at = out.len();
    out.extend_from_slice(&[0; 4]);
    for (name, value) in table {
        put_short(out, name.as_bytes());
        match value {
            Value::Bool(value) => out.extend_from_slice(&[b't', u8::from(*value)]),
            Value::Int(value) => {
                out.push(b'I');
                out.extend_from_slice(&value.to_be_bytes());
            }
            Value::Text(text) => {
                out.push(b'S');
                put_long(out, text.as_bytes());
            }
            Value::Table(table) => {
                out.push(b'F');
                put_table(out, table);
            }
        }
    }
    patch_size(out, size_at);
}
