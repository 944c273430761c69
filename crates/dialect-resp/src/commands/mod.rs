//! Commands on lists and keys: from arguments to neutral operations, and from their results to answers. One file per family;
//! what concerns the connection itself is in the session.

mod keys;
mod lists;
mod shape;

use baton_dialect::large::LargeBody;
use baton_model::limits::NAME_BYTES_MAX;
use baton_model::list::ListOp;
use baton_model::{EnvelopeWriter, Message, Name, Tag, Time, ValueRef};

pub use shape::{Shape, Unit, error};

use crate::limits::TIMEOUT_SECONDS_MAX;
use crate::table::Command;

/// What a command asks for.
#[derive(Debug)]
pub struct Ask {
    /// The operation.
    pub op: ListOp,
    /// How its result is written.
    pub shape: Shape,
    /// Wait so long for elements, milliseconds; `u64::MAX`: for ever.
    pub wait_ms: Option<u64>,
}

/// Why a command is refused before it is asked: the text of the error, its code first.
pub type Refused = String;

/// Reads a command of the families of lists and keys. `None`: it is of another family.
///
/// # Errors
/// Arguments that cannot be understood, with Redis's words.
pub fn read(now: Time, command: Command, arguments: &[&[u8]]) -> Option<Result<Ask, Refused>> {
    lists::read(command, arguments).or_else(|| keys::read(now, command, arguments))
}

fn ask(op: ListOp, shape: Shape) -> Ask {
    Ask { op, shape, wait_ms: None }
}

/// A list's key: the name of a queue.
///
/// # Errors
/// Redis's keys may be any bytes; names of queues are texts of limited length.
pub fn key(bytes: &[u8]) -> Result<Name, Refused> {
    let text =
        std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty() && text.len() <= NAME_BYTES_MAX);
    text.map(Name::new).ok_or_else(|| {
        format!("ERR a key is the name of a queue: 1 to {NAME_BYTES_MAX} bytes of UTF-8, see docs/features/redis.md")
    })
}

/// Length of an element's envelope without the name in it: an allocation of just the right size is made once and wastes nothing.
const ENVELOPE_BYTES: usize = 14;

/// An element as a message: what other protocols see of it is where it was sent.
fn element(queue: &Name, value: &[u8]) -> Message {
    let mut content = Vec::with_capacity(ENVELOPE_BYTES + queue.len() + value.len());
    let mut envelope = EnvelopeWriter::new(&mut content);
    envelope
        .str(Tag::Exchange, b"")
        .str(Tag::Key, queue.as_bytes())
        .field(Tag::Durable, ValueRef::Bool(true));
    let envelope_bytes = envelope.len_bytes();
    content.extend_from_slice(value);
    Message::new(content.into(), envelope_bytes)
}

/// Whether the last argument of a command becomes the body of a message.
#[must_use]
pub fn ends_with_element(command: Command) -> bool {
    matches!(
        command,
        Command::Lpush
            | Command::Rpush
            | Command::Lpushx
            | Command::Rpushx
            | Command::Lset
            | Command::Linsert
            | Command::Publish
    )
}

/// Gives the last message of an operation its body, which lies where it was received; the message was made with an empty one.
pub fn put_last_body(op: &mut ListOp, body: LargeBody) {
    let message = match op {
        ListOp::Push { messages, .. } => messages.last_mut(),
        ListOp::Set { message, .. } | ListOp::Insert { message, .. } => Some(message),
        ListOp::Send(publish) => Some(&mut publish.message),
        _ => None,
    };
    if let Some(message) = message {
        let envelope = message.content().slice(..message.envelope_bytes() as usize);
        *message = body.into_message(&envelope);
    }
}

/// A whole number.
///
/// # Errors
/// Redis's words for what is none.
pub fn integer(bytes: &[u8]) -> Result<i64, Refused> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        !digits.starts_with('+') && (*text == "0" || !digits.starts_with('0'))
    });
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| "ERR value is not an integer or out of range".to_owned())
}

fn positive(bytes: &[u8], text: &str) -> Result<u64, Refused> {
    integer(bytes).ok().and_then(|number| u64::try_from(number).ok()).ok_or_else(|| text.to_owned())
}

/// How long to wait, milliseconds.
fn timeout(bytes: &[u8]) -> Result<Option<u64>, Refused> {
    let seconds: f64 = std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|seconds: &f64| seconds.is_finite())
        .ok_or("ERR timeout is not a float or out of range")?;
    if seconds < 0.0 {
        return Err("ERR timeout is negative".into());
    }
    if seconds > TIMEOUT_SECONDS_MAX {
        return Err("ERR timeout is out of range".into());
    }
    if seconds == 0.0 {
        return Ok(Some(u64::MAX));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    let ms = (seconds * 1000.0).ceil() as u64;
    Ok(Some(ms))
}

fn is(bytes: &[u8], word: &str) -> bool {
    bytes.eq_ignore_ascii_case(word.as_bytes())
}

fn syntax<T>() -> Result<T, Refused> {
    Err("ERR syntax error".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_takes_just_its_length() {
        for (name, value) in [("q", &b"value"[..]), ("a-longer-name-than-fits-in-a-name", b"")] {
            let message = element(&Name::new(name), value);
            assert_eq!(message.envelope_bytes() as usize, ENVELOPE_BYTES + name.len());
            assert_eq!(message.body_slice(), value);
            assert_eq!(message.envelope().str(Tag::Key), Some(name));
        }
    }
}
