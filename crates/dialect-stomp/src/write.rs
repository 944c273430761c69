//! Frames to a peer, written straight into the connection's buffer.

use bytes::{BufMut, BytesMut};

use crate::escape::{put_escaped, put_escaped_name};
use crate::version::Version;

/// Writes one frame: command, headers, then the body.
#[derive(Debug)]
pub struct FrameWriter<'a> {
    out: &'a mut BytesMut,
    version: Version,
}

impl<'a> FrameWriter<'a> {
    /// Begins a frame. `version` decides how headers are escaped.
    pub fn new(out: &'a mut BytesMut, version: Version, command: &str) -> Self {
        out.put_slice(command.as_bytes());
        out.put_u8(b'\n');
        Self { out, version }
    }

    /// The version of the peer, which decides how headers are escaped.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// A header whose name and value are escaped as needed.
    pub fn header(&mut self, name: &[u8], value: &[u8]) -> &mut Self {
        put_escaped_name(self.out, self.version, name);
        self.out.put_u8(b':');
        put_escaped(self.out, self.version, value);
        self.out.put_u8(b'\n');
        self
    }

    /// A header that needs no escaping: ours, or what the peer sent in the same version.
    pub fn raw(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.out.put_slice(name.as_bytes());
        self.out.put_u8(b':');
        self.out.put_slice(value);
        self.out.put_u8(b'\n');
        self
    }

    /// A header whose value is a number.
    pub fn number(&mut self, name: &str, value: u64) -> &mut Self {
        self.out.put_slice(name.as_bytes());
        self.out.put_u8(b':');
        put_decimal(self.out, value);
        self.out.put_u8(b'\n');
        self
    }

    /// A header whose value `fill` writes, without anything to escape.
    pub fn with(&mut self, name: &str, fill: impl FnOnce(&mut BytesMut)) -> &mut Self {
        self.out.put_slice(name.as_bytes());
        self.out.put_u8(b':');
        fill(self.out);
        self.out.put_u8(b'\n');
        self
    }

    /// Ends a frame that has no body.
    pub fn end(&mut self) {
        self.out.put_slice(b"\n\0\n");
    }

    /// Ends the frame with a body, whose length is told.
    pub fn body(self, body: &[u8]) {
        let Self { out, .. } = self.head_of(body.len());
        out.reserve(body.len() + 2);
        out.put_slice(body);
        out.put_slice(b"\0\n");
    }

    /// As [`body`](Self::body), for a body that stands elsewhere: `attach` hears behind how many bytes it belongs.
    pub fn body_around(self, body_bytes: usize, attach: impl FnOnce(usize)) {
        let Self { out, .. } = self.head_of(body_bytes);
        attach(out.len());
        out.put_slice(b"\0\n");
    }

    fn head_of(mut self, body_bytes: usize) -> Self {
        self.number("content-length", body_bytes as u64);
        self.out.put_u8(b'\n');
        self
    }
}

/// Appends a number in decimal digits.
pub fn put_decimal(out: &mut BytesMut, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + u8::try_from(value % 10).unwrap_or_default();
        }
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.put_slice(digits.get(at..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_written_as_the_version_wants_it() {
        let mut out = BytesMut::new();
        let mut writer = FrameWriter::new(&mut out, Version::V12, "MESSAGE");
        writer.header(b"a:b", b"c\nd").number("n", 1_203);
        writer.body(b"x\0y");
        assert_eq!(&out[..], b"MESSAGE\na\\cb:c\\nd\nn:1203\ncontent-length:3\n\nx\0y\0\n");
    }

    #[test]
    fn numbers_have_all_their_digits() {
        for value in [0, 7, 10, 999, 1_000, u64::MAX] {
            let mut out = BytesMut::new();
            put_decimal(&mut out, value);
            assert_eq!(&out[..], value.to_string().as_bytes());
        }
    }
}
