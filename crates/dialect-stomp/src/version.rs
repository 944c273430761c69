//! Versions of the protocol and how one is agreed on. <https://stomp.github.io/stomp-specification-1.2.html#protocol-negotiation>

/// A version that is spoken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Version {
    /// 1.0: no escaping, no heart-beats.
    #[default]
    V10,
    /// 1.1: escapes line feed, colon and backslash; heart-beats; NACK.
    V11,
    /// 1.2: escapes carriage return too; acknowledgements by the `ack` header.
    V12,
}

/// All that are spoken, as an `accept-version` header says it.
pub const SUPPORTED: &str = "1.0,1.1,1.2";

impl Version {
    /// As it stands in headers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V10 => "1.0",
            Self::V11 => "1.1",
            Self::V12 => "1.2",
        }
    }

    /// The highest that both sides speak; no `accept-version` header means 1.0. `None`: there is none.
    #[must_use]
    pub fn negotiate(accept: Option<&[u8]>) -> Option<Self> {
        let Some(accept) = accept else { return Some(Self::V10) };
        let known = accept.split(|byte| *byte == b',').filter_map(|version| match version.trim_ascii() {
            b"1.0" => Some(Self::V10),
            b"1.1" => Some(Self::V11),
            b"1.2" => Some(Self::V12),
            _ => None,
        });
        known.max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_is_taken() {
        assert_eq!(Version::negotiate(None), Some(Version::V10));
        assert_eq!(Version::negotiate(Some(b"1.0,1.2, 1.1")), Some(Version::V12));
        assert_eq!(Version::negotiate(Some(b"1.1,2.0")), Some(Version::V11));
        assert_eq!(Version::negotiate(Some(b"2.0")), None);
        assert_eq!(Version::negotiate(Some(b"")), None);
    }
}
