//! Answers into bytes, in the version of the protocol that the client asked for. What RESP2 has no type for is written as what
//! Redis makes of it there.

use baton_dialect::{ATTACHED_BYTES_MIN, Attached, Output};
use baton_model::Message;
use bytes::{BufMut, BytesMut};

/// Which types there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Protocol {
    /// Since Redis 1.2.
    #[default]
    Resp2,
    /// Since Redis 6.
    Resp3,
}

/// Writes answers to a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    /// The buffer.
    pub out: &'a mut BytesMut,
    /// Large pieces between its bytes.
    pub attached: &'a mut Vec<Attached>,
    /// The version.
    pub protocol: Protocol,
}

/// An answer that waits for earlier ones.
#[derive(Debug, Default)]
pub struct Written {
    bytes: BytesMut,
    attached: Vec<Attached>,
}

impl Written {
    /// Writes behind what is there.
    pub fn writer(&mut self, protocol: Protocol) -> Writer<'_> {
        Writer { out: &mut self.bytes, attached: &mut self.attached, protocol }
    }
}

impl<'a> Writer<'a> {
    /// Writes to a connection.
    pub fn new(out: &'a mut Output, protocol: Protocol) -> Self {
        Self { out: &mut out.wire, attached: &mut out.attached, protocol }
    }

    /// What was written before.
    pub fn written(&mut self, written: Written) {
        let before = self.out.len();
        self.out.extend_from_slice(&written.bytes);
        let moved = |one: Attached| Attached { behind: before + one.behind, bytes: one.bytes };
        self.attached.extend(written.attached.into_iter().map(moved));
    }
}

impl Writer<'_> {
    fn head(&mut self, kind: u8, number: i64) {
        let mut digits = [0_u8; 20];
        let mut at = digits.len();
        let mut rest = number.unsigned_abs();
        loop {
            at -= 1;
            if let Some(digit) = digits.get_mut(at) {
                *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            }
            rest /= 10;
            if rest == 0 || at == 0 {
                break;
            }
        }
        self.out.put_u8(kind);
        if number < 0 {
            self.out.put_u8(b'-');
        }
        self.out.extend_from_slice(digits.get(at..).unwrap_or_default());
        self.out.extend_from_slice(b"\r\n");
    }

    fn length(&mut self, kind: u8, length: usize) {
        self.head(kind, i64::try_from(length).unwrap_or(i64::MAX));
    }

    /// A short text: `+OK`.
    pub fn simple(&mut self, text: &str) {
        self.out.put_u8(b'+');
        self.out.extend_from_slice(text.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    /// An error; its first word is its code. A line's end in the text would end the error, so it becomes a blank.
    pub fn error(&mut self, text: &str) {
        self.out.put_u8(b'-');
        self.out.extend(text.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
        self.out.extend_from_slice(b"\r\n");
    }

    /// A number.
    pub fn integer(&mut self, number: i64) {
        self.head(b':', number);
    }

    /// A number that cannot be negative.
    pub fn count(&mut self, number: u64) {
        self.head(b':', i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// Bytes.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + 16);
        self.length(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A message's body; a large one is not copied.
    pub fn body(&mut self, message: &Message) {
        let body = message.body_slice();
        if body.len() < ATTACHED_BYTES_MIN {
            return self.bulk(body);
        }
        self.length(b'$', body.len());
        self.attached.push(Attached { behind: self.out.len(), bytes: message.body() });
        self.out.extend_from_slice(b"\r\n");
    }

    /// Nothing, where bytes could be.
    pub fn null(&mut self) {
        self.out.extend_from_slice(if self.protocol == Protocol::Resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// Nothing, where an array could be.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(if self.protocol == Protocol::Resp3 { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// So many answers follow.
    pub fn array(&mut self, count: usize) {
        self.length(b'*', count);
    }

    /// So many pairs follow.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(2 * pairs),
            Protocol::Resp3 => self.length(b'%', pairs),
        }
    }

    /// So many answers follow, each once.
    pub fn set(&mut self, count: usize) {
        self.length(if self.protocol == Protocol::Resp3 { b'~' } else { b'*' }, count);
    }

    /// So many parts follow of something that the client did not ask for just now.
    pub fn push(&mut self, count: usize) {
        self.length(if self.protocol == Protocol::Resp3 { b'>' } else { b'*' }, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl FnOnce(&mut Writer<'_>)) -> String {
        let (mut out, mut attached) = (BytesMut::new(), Vec::new());
        write(&mut Writer { out: &mut out, attached: &mut attached, protocol });
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn a_large_body_is_attached() {
        let body = vec![b'x'; ATTACHED_BYTES_MIN];
        for (bytes, attaches) in [(body.len() - 1, false), (body.len(), true)] {
            let message = Message::new(body[..bytes].to_vec().into(), 0);
            let (mut out, mut attached) = (BytesMut::from("+OK\r\n"), Vec::new());
            Writer { out: &mut out, attached: &mut attached, protocol: Protocol::Resp2 }.body(&message);
            let copied = if attaches { 0 } else { bytes };
            let head = format!("+OK\r\n${bytes}\r\n");
            assert_eq!(&out[..], format!("{head}{}\r\n", "x".repeat(copied)).as_bytes());
            let places: Vec<_> = attached.iter().map(|one| (one.behind, one.bytes.as_ptr())).collect();
            assert_eq!(
                places,
                attaches.then(|| (head.len(), message.body_slice().as_ptr())).into_iter().collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn every_type_in_both_versions() {
        let all = |w: &mut Writer<'_>| {
            w.simple("OK");
            w.error("ERR a\r\nb");
            w.integer(-10);
            w.count(u64::MAX);
            w.bulk(b"ab");
            w.null();
            w.null_array();
            w.map(1);
            w.push(3);
        };
        let head = "+OK\r\n-ERR a  b\r\n:-10\r\n:9223372036854775807\r\n$2\r\nab\r\n";
        assert_eq!(written(Protocol::Resp2, all), format!("{head}$-1\r\n*-1\r\n*2\r\n*3\r\n"));
        assert_eq!(written(Protocol::Resp3, all), format!("{head}_\r\n_\r\n%1\r\n>3\r\n"));
    }
}
