//! Frames of a peer: found in the bytes as they come, borrowed from them. What a frame's headers mean is the session's.
//!
//! A carriage return in front of a line feed belongs to the end of the line in every version: no client of 1.0 or 1.1 sends
//! one that does not, and many send CRLF.

use std::borrow::Cow;

use memchr::memchr;
use smallvec::SmallVec;

use crate::error::WireError;
use crate::escape::unescape;
use crate::limits::{COMMAND_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX};
use crate::version::Version;

macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Commands of clients.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Command { $($(#[$doc])* $name,)* }

        impl Command {
            /// Reads a command.
            #[must_use]
            pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
                Some(match bytes { $($text => Self::$name,)* _ => return None })
            }

            /// As it stands on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                let bytes: &'static [u8] = match self { $(Self::$name => $text,)* };
                std::str::from_utf8(bytes).unwrap_or_default()
            }
        }
    };
}
commands! {
    /// Begins a connection.
    Connect = b"CONNECT",
    /// As CONNECT, of 1.1 and up only.
    Stomp = b"STOMP",
    /// A message.
    Send = b"SEND",
    /// Starts a subscription.
    Subscribe = b"SUBSCRIBE",
    /// Ends one.
    Unsubscribe = b"UNSUBSCRIBE",
    /// A message is done.
    Ack = b"ACK",
    /// A message is not.
    Nack = b"NACK",
    /// A transaction begins.
    Begin = b"BEGIN",
    /// … and is carried out.
    Commit = b"COMMIT",
    /// … or is not.
    Abort = b"ABORT",
    /// Ends the connection.
    Disconnect = b"DISCONNECT",
}

/// Headers as they stand on the wire, in their order. Of repeated ones the first counts, as the specification says.
#[derive(Clone, Debug, Default)]
pub struct Headers<'a> {
    items: SmallVec<[(&'a [u8], &'a [u8]); 24]>,
    version: Version,
}

/// One frame, borrowed from the bytes it came in.
#[derive(Clone, Debug)]
pub struct Frame<'a> {
    /// What it asks for.
    pub command: Command,
    /// Its headers.
    pub headers: Headers<'a>,
    /// Its body.
    pub body: &'a [u8],
}

/// What stands at the front of the bytes.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is matched where it is made: a box would cost an allocation a frame"
)]
pub enum Decoded<'a> {
    /// Not enough to say. So many bytes of line ends may be dropped: they are heart-beats.
    Incomplete {
        /// Bytes that are done with.
        used: usize,
    },
    /// A frame.
    Frame {
        /// The frame.
        frame: Frame<'a>,
        /// Bytes it took, line ends in front of it included.
        used: usize,
    },
}

/// Finds frames. Remembers how far an unfinished one has been looked at, so that every byte is looked at once.
#[derive(Clone, Debug)]
pub struct FrameDecoder {
    version: Version,
    body_bytes_max: u64,
    /// What is known of the unfinished frame at the front.
    found: Found,
}

#[derive(Clone, Copy, Debug)]
enum Found {
    /// Up to here there is no end of the head.
    Head { seen: usize },
    /// The head, with its empty line, is so long, and the body is so long.
    Sized { head: usize, body: usize },
    /// The body ends at the first NUL, which is not before `seen`.
    Terminated { head: usize, seen: usize },
}

impl Default for Found {
    fn default() -> Self {
        Self::Head { seen: 0 }
    }
}

impl FrameDecoder {
    /// A decoder for a peer that has not said its version: its first frame is read without escapes.
    #[must_use]
    pub fn new(body_bytes_max: u64) -> Self {
        Self { version: Version::V10, body_bytes_max, found: Found::default() }
    }

    /// The version that was agreed on, for frames from now on.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// Looks at the front of `input`. The caller takes off what was used before it asks again.
    ///
    /// # Errors
    /// What is wrong; nothing sensible can follow.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<'a>, WireError> {
        let blank = match self.found {
            Found::Head { seen: 0 } => {
                input.iter().position(|byte| !matches!(byte, b'\n' | b'\r')).unwrap_or(input.len())
            }
            _ => 0,
        };
        let bytes = input.get(blank..).unwrap_or_default();
        let mut parsed = None;
        if let Found::Head { seen } = self.found {
            let Some(head) = find_head(bytes, seen)? else {
                self.found = Found::Head { seen: bytes.len() };
                return Ok(Decoded::Incomplete { used: blank });
            };
            let (command, headers) = parse_head(bytes.get(..head).unwrap_or_default(), self.version)?;
            self.found = match headers.get(b"content-length") {
                Some(length) => Found::Sized { head, body: self.content_length(length)? },
                None => Found::Terminated { head, seen: head },
            };
            parsed = Some((command, headers));
        }
        let (head, body) = match self.found {
            Found::Sized { head, body } => match bytes.get(head + body) {
                Some(0) => (head, body),
                Some(_) => return Err(WireError::NoNulAfterBody),
                None => return Ok(Decoded::Incomplete { used: blank }),
            },
            Found::Terminated { head, seen } => match memchr(0, bytes.get(seen..).unwrap_or_default()) {
                Some(at) => (head, seen + at - head),
                None => {
                    let max = usize::try_from(self.body_bytes_max).unwrap_or(usize::MAX);
                    if bytes.len().saturating_sub(head) > max {
                        return Err(WireError::BodyTooLarge { max: self.body_bytes_max });
                    }
                    self.found = Found::Terminated { head, seen: bytes.len() };
                    return Ok(Decoded::Incomplete { used: blank });
                }
            },
            Found::Head { .. } => return Ok(Decoded::Incomplete { used: blank }),
        };
        if body as u64 > self.body_bytes_max {
            return Err(WireError::BodyTooLarge { max: self.body_bytes_max });
        }
        self.found = Found::default();
        let (command, headers) = match parsed {
            Some(parsed) => parsed,
            None => parse_head(bytes.get(..head).unwrap_or_default(), self.version)?,
        };
        let body_bytes = bytes.get(head..head + body).unwrap_or_default();
        let frame = Frame { command, headers, body: body_bytes };
        Ok(Decoded::Frame { frame, used: blank + head + body + 1 })
    }

    /// Length of the unfinished frame at the front, bytes, if its head says it.
    #[must_use]
    pub fn frame_bytes(&self) -> Option<usize> {
        match self.found {
            Found::Sized { head, body } => Some(head + body + 1),
            _ => None,
        }
    }

    /// Reads command and headers once more, of a frame that [`decode`](Self::decode) has found, from a copy of all that is in front of
    /// its body.
    ///
    /// # Errors
    /// None that `decode` did not find.
    pub fn head<'a>(&self, bytes: &'a [u8]) -> Result<(Command, Headers<'a>), WireError> {
        let blank = bytes.iter().position(|byte| !matches!(byte, b'\n' | b'\r')).unwrap_or(bytes.len());
        parse_head(bytes.get(blank..).unwrap_or_default(), self.version)
    }

    fn content_length(&self, length: &[u8]) -> Result<usize, WireError> {
        let length = length.trim_ascii();
        if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
            return Err(WireError::BadContentLength);
        }
        let too_large = WireError::BodyTooLarge { max: self.body_bytes_max };
        let text = std::str::from_utf8(length).map_err(|_| WireError::BadContentLength)?;
        // Digits that do not fit into 64 bits are too large, whatever they are.
        let length: u64 = text.parse().map_err(|_| too_large)?;
        if length > self.body_bytes_max {
            return Err(too_large);
        }
        usize::try_from(length).map_err(|_| too_large)
    }
}

/// Where the head ends, its empty line included. `seen`: there is no such end before.
fn find_head(bytes: &[u8], seen: usize) -> Result<Option<usize>, WireError> {
    // The first line is a command, or this is no frame: said as soon as it is known, however the bytes are cut.
    if bytes.len() > COMMAND_BYTES_MAX
        && memchr(b'\n', bytes.get(..=COMMAND_BYTES_MAX).unwrap_or_default()).is_none()
    {
        return Err(WireError::UnknownCommand);
    }
    // The end may have begun in what was seen: "\n" came, and "\n" or "\r\n" comes now.
    let from = seen.saturating_sub(3);
    let mut at = from;
    while let Some(line_end) = memchr(b'\n', bytes.get(at..).unwrap_or_default()) {
        let next = at + line_end + 1;
        match (bytes.get(next), bytes.get(next + 1)) {
            (Some(b'\n'), _) => return check_head(bytes, from, next + 1).map(Some),
            (Some(b'\r'), Some(b'\n')) => return check_head(bytes, from, next + 2).map(Some),
            _ => {}
        }
        at = next;
    }
    check_head(bytes, from, bytes.len()).map(|_| None)
}

fn check_head(bytes: &[u8], from: usize, to: usize) -> Result<usize, WireError> {
    if memchr(0, bytes.get(from..to).unwrap_or_default()).is_some() {
        return Err(WireError::NulInHead);
    }
    if to > HEAD_BYTES_MAX {
        return Err(WireError::HeadTooLong);
    }
    Ok(to)
}

/// Reads command and headers.
fn parse_head(head: &[u8], version: Version) -> Result<(Command, Headers<'_>), WireError> {
    let end = memchr(b'\n', head).unwrap_or(head.len());
    let (first, mut rest) = head.split_at(end);
    let command = Command::from_bytes(without_cr(first)).ok_or(WireError::UnknownCommand)?;
    rest = rest.get(1..).unwrap_or_default();
    let mut items = SmallVec::new();
    while let Some(end) = memchr(b'\n', rest) {
        let (line, behind) = rest.split_at(end);
        rest = behind.get(1..).unwrap_or_default();
        let line = without_cr(line);
        if line.is_empty() {
            break;
        }
        let colon = memchr(b':', line).ok_or(WireError::HeaderWithoutColon)?;
        let (name, value) = line.split_at(colon);
        if items.len() >= HEADERS_MAX {
            return Err(WireError::TooManyHeaders);
        }
        items.push((name, value.get(1..).unwrap_or_default()));
    }
    // A client's CONNECT is never escaped: it is read as 1.0 is.
    let version = if matches!(command, Command::Connect | Command::Stomp) { Version::V10 } else { version };
    Ok((command, Headers { items, version }))
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

impl<'a> Headers<'a> {
    /// The first value of that name, as it stands on the wire. `name` must need no escaping.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        let found = self.items.iter().find(|(other, _)| self.same_name(other, name));
        found.map(|(_, value)| if self.version == Version::V10 { value.trim_ascii() } else { value })
    }

    /// The first value of that name, unescaped.
    ///
    /// # Errors
    /// [`WireError::BadEscape`].
    pub fn text(&self, name: &[u8]) -> Result<Option<Cow<'a, [u8]>>, WireError> {
        self.get(name).map(|value| unescape(self.version, value)).transpose()
    }

    /// All headers as they stand on the wire, in their order, repeated ones included.
    pub fn raw(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + '_ {
        self.items.iter().copied()
    }

    /// The version whose escapes they have.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether the header at `index` repeats an earlier one, and so does not count.
    #[must_use]
    pub fn is_repeated(&self, index: usize) -> bool {
        let Some((name, _)) = self.items.get(index) else { return false };
        let name = if self.version == Version::V10 { name.trim_ascii() } else { name };
        self.items.iter().take(index).any(|(earlier, _)| self.same_name(earlier, name))
    }

    fn same_name(&self, raw: &[u8], name: &[u8]) -> bool {
        if self.version == Version::V10 { raw.trim_ascii() == name } else { raw == name }
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
