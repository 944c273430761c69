//! SASL responses of `connection.start-ok`: PLAIN (RFC 4616) and AMQPLAIN (a table of LOGIN and PASSWORD). Not here: whether
//! the password is right (`access`).

use baton_model::Name;
use bytes::Bytes;

use crate::table::{TableRef, ValueRef};

/// What `connection.start` offers.
pub(super) const MECHANISMS: &[u8] = b"PLAIN AMQPLAIN";

/// Reads who it claims to be. `None`: the mechanism is unknown or its response cannot be read.
pub(super) fn read(mechanism: &str, response: &[u8]) -> Option<(Name, Bytes)> {
    match mechanism {
        "PLAIN" => plain(response),
        "AMQPLAIN" => amqplain(response),
        _ => None,
    }
}

/// `authzid NUL authcid NUL passwd`; the first is ignored, as in RabbitMQ.
fn plain(response: &[u8]) -> Option<(Name, Bytes)> {
    let mut parts = response.splitn(3, |byte| *byte == 0);
    let (_, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    Some((Name::from(std::str::from_utf8(user).ok()?), Bytes::copy_from_slice(password)))
}

/// The entries of a table, without a length before them.
fn amqplain(response: &[u8]) -> Option<(Name, Bytes)> {
    let table = TableRef::from_raw(response);
    let text = |key: &str| match table.get(key) {
        Ok(Some(ValueRef::LongStr(text))) => Some(text),
        _ => None,
    };
    let user = std::str::from_utf8(text("LOGIN")?).ok()?;
    Some((Name::from(user), Bytes::copy_from_slice(text("PASSWORD")?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::FieldTable;

    #[test]
    fn responses_are_read() {
        let expected = Some((Name::from("guest"), Bytes::from_static(b"pa\0ss")));
        assert_eq!(read("PLAIN", b"\0guest\0pa\0ss"), expected);
        assert_eq!(read("PLAIN", b"ignored\0guest\0pa\0ss"), expected);
        let table = FieldTable::new().with("LOGIN", "guest").with("PASSWORD", "pa\0ss").encode();
        assert_eq!(read("AMQPLAIN", table.as_bytes()), expected);
    }

    #[test]
    fn what_cannot_be_read_is_nobody() {
        for response in [b"".as_slice(), b"guest", b"\0guest", b"\0\xff\0x", b"\x05LOGINS\xff\xff\xff\xff"] {
            assert_eq!(read("PLAIN", response).filter(|_| response != b"\0\xff\0x"), None);
            assert_eq!(read("AMQPLAIN", response), None);
        }
        assert_eq!(read("NTLM", b"\0guest\0guest"), None);
    }
}
