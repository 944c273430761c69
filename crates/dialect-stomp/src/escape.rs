//! Escaping of header names and values, as each version has it. CONNECT and CONNECTED frames are never escaped.
//! <https://stomp.github.io/stomp-specification-1.2.html#Value_Encoding>

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use memchr::{memchr, memchr3};

use crate::error::WireError;
use crate::version::Version;

/// What a header's bytes on the wire mean.
///
/// # Errors
/// [`WireError::BadEscape`].
pub fn unescape(version: Version, raw: &[u8]) -> Result<Cow<'_, [u8]>, WireError> {
    if version == Version::V10 {
        // 1.0 defines no escapes, and its peers pad values with spaces, which other brokers take off.
        return Ok(Cow::Borrowed(raw.trim_ascii()));
    }
    let Some(first) = memchr(b'\\', raw) else { return Ok(Cow::Borrowed(raw)) };
    let (plain, mut rest) = raw.split_at(first);
    let mut text = Vec::with_capacity(raw.len());
    text.extend_from_slice(plain);
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'\\' {
            text.push(*byte);
            continue;
        }
        let (code, behind) = rest.split_first().ok_or(WireError::BadEscape)?;
        rest = behind;
        text.push(match code {
            b'n' => b'\n',
            b'c' => b':',
            b'\\' => b'\\',
            b'r' if version >= Version::V12 => b'\r',
            _ => return Err(WireError::BadEscape),
        });
    }
    Ok(Cow::Owned(text))
}

/// Stands for what a version cannot carry. Leaving it out could make another header of a name.
const REPLACEMENT: u8 = b'?';

/// Appends a header's name: a value in which 1.0 cannot have a colon, which would end it there.
pub fn put_escaped_name(out: &mut BytesMut, version: Version, name: &[u8]) {
    if version == Version::V10 && memchr(b':', name).is_some() {
        let name: Vec<u8> = name.iter().map(|byte| if *byte == b':' { REPLACEMENT } else { *byte }).collect();
        return put_escaped(out, version, &name);
    }
    put_escaped(out, version, name);
}

/// Appends a header's bytes as the version writes them. What the version cannot carry is replaced: line ends in 1.0, carriage
/// returns in 1.1, NUL in all, which would end the header or the frame.
pub fn put_escaped(out: &mut BytesMut, version: Version, text: &[u8]) {
    let plain = memchr3(b'\\', b':', b'\n', text).is_none()
        && memchr(b'\r', text).is_none()
        && memchr(0, text).is_none();
    if plain {
        return out.put_slice(text);
    }
    for byte in text {
        match (byte, version) {
            (0, _) | (b'\n' | b'\r', Version::V10) | (b'\r', Version::V11) => out.put_u8(REPLACEMENT),
            (byte, Version::V10) => out.put_u8(*byte),
            (b'\n', _) => out.put_slice(b"\\n"),
            (b':', _) => out.put_slice(b"\\c"),
            (b'\\', _) => out.put_slice(b"\\\\"),
            (b'\r', Version::V12) => out.put_slice(b"\\r"),
            (byte, _) => out.put_u8(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(version: Version, text: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        put_escaped(&mut out, version, text);
        out.to_vec()
    }

    #[test]
    fn each_version_escapes_as_it_should() {
        let text = b"a:b\\c\nd\re";
        assert_eq!(written(Version::V12, text), b"a\\cb\\\\c\\nd\\re");
        assert_eq!(written(Version::V11, text), b"a\\cb\\\\c\\nd?e");
        assert_eq!(written(Version::V10, text), b"a:b\\c?d?e");
        assert_eq!(unescape(Version::V12, b"a\\cb\\\\c\\nd\\re").unwrap(), &text[..]);
        assert_eq!(unescape(Version::V11, b"a\\cb").unwrap(), &b"a:b"[..]);
        assert_eq!(unescape(Version::V10, b" a\\cb ").unwrap(), &b"a\\cb"[..]);
    }

    #[test]
    fn undefined_escapes_are_refused() {
        for (version, raw) in [
            (Version::V12, &b"\\t"[..]),
            (Version::V12, b"ends\\"),
            (Version::V11, b"\\r"),
            (Version::V11, b"\\x00"),
        ] {
            assert_eq!(unescape(version, raw), Err(WireError::BadEscape));
        }
    }

    #[test]
    fn a_nul_never_gets_into_a_header() {
        assert_eq!(written(Version::V12, b"a\0b"), b"a?b");
    }

    #[test]
    fn a_name_never_becomes_another_one() {
        let mut out = BytesMut::new();
        put_escaped_name(&mut out, Version::V10, b"content-length:9");
        put_escaped_name(&mut out, Version::V11, b"content\r-length");
        assert_eq!(&out[..], b"content-length?9content?-length");
    }
}
