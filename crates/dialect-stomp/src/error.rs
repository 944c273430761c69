//! What can be wrong with the bytes of a peer. Every one of these ends the connection, with an ERROR frame of this text.

use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX};

/// A frame that is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WireError {
    /// The first line is no command of the protocol.
    #[error(
        "unknown command; a frame begins with a command of STOMP 1.0 to 1.2 in capitals, then headers, an empty line, the body and a NUL"
    )]
    UnknownCommand,
    /// A header line has no colon.
    #[error("a header line has no colon; write name:value")]
    HeaderWithoutColon,
    /// A NUL stands before the empty line that ends the headers.
    #[error("the frame ends within its headers; an empty line must stand between headers and body")]
    NulInHead,
    /// Too long.
    #[error("command and headers are longer than {HEAD_BYTES_MAX} bytes; put large data into the body")]
    HeadTooLong,
    /// Too many.
    #[error("more than {HEADERS_MAX} headers; put data into the body")]
    TooManyHeaders,
    /// An escape sequence that the version does not know.
    #[error("undefined escape sequence in a header; \\n, \\c and \\\\ are defined, since STOMP 1.2 also \\r")]
    BadEscape,
    /// `content-length` is not a number.
    #[error("content-length is not a number of bytes in decimal digits")]
    BadContentLength,
    /// The body is not followed by a NUL.
    #[error("no NUL follows the body; content-length must be the body's length in bytes, not in characters")]
    NoNulAfterBody,
    /// The body is larger than allowed.
    #[error(
        "the body is larger than {max} bytes, the largest message that this broker takes; raise limits.message_bytes_max"
    )]
    BodyTooLarge {
        /// Bytes allowed.
        max: u64,
    },
}
