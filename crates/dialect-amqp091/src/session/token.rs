//! What the session calls its requests by, so that an answer finds its way without a table: a [`Token`] holds the channel
//! and its number there. Not here: what the answers mean (`steps`, `confirms`).
//!
//! ```text
//! publish   1 │ channel: 16 bits │ publishes of that channel number so far: 47 bits
//! ask       0 │ link: 32 bits    │ serial number within the channel: 31 bits
//! ```

use baton_model::{LinkId, Token};

const PUBLISH: u64 = 1 << 63;
const SEQ_BITS: u32 = 47;
const SERIAL_BITS: u32 = 31;

/// Where an answer belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// A publish of that channel number.
    Publish { channel: u16, seq: u64 },
    /// Another request of that link.
    Ask { link: LinkId, serial: u32 },
}

/// The token of a publish. Channel numbers count on when they are opened again, so an answer for the channel that had the
/// number before is told apart. At a million publishes a second the count lasts four years.
pub(super) fn publish(channel: u16, seq: u64) -> Token {
    Token(PUBLISH | u64::from(channel) << SEQ_BITS | seq & ((1 << SEQ_BITS) - 1))
}

/// The token of any other request.
pub(super) fn ask(link: LinkId, serial: u32) -> Token {
    Token(u64::from(link.0) << SERIAL_BITS | u64::from(serial) & ((1 << SERIAL_BITS) - 1))
}

/// The serial number after this one.
pub(super) fn next_serial(serial: u32) -> u32 {
    (serial + 1) & ((1 << SERIAL_BITS) - 1)
}

pub(super) fn origin(token: Token) -> Origin {
    let raw = token.0;
    if raw & PUBLISH != 0 {
        let channel = u16::try_from(raw >> SEQ_BITS & 0xffff).unwrap_or_default();
        return Origin::Publish { channel, seq: raw & ((1 << SEQ_BITS) - 1) };
    }
    let link = LinkId(u32::try_from(raw >> SERIAL_BITS).unwrap_or_default());
    Origin::Ask { link, serial: u32::try_from(raw & ((1 << SERIAL_BITS) - 1)).unwrap_or_default() }
}

/// The link of a channel number that is opened for the `epoch`th time: late events of its predecessors name another link.
pub(super) fn link(channel: u16, epoch: u16) -> LinkId {
    LinkId(u32::from(epoch) << 16 | u32::from(channel))
}

/// The channel number of a link.
pub(super) fn channel_of(link: LinkId) -> u16 {
    u16::try_from(link.0 & 0xffff).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_say_where_they_come_from() {
        for (channel, seq) in [(1, 1), (2047, (1 << 47) - 1), (u16::MAX, 0)] {
            assert_eq!(origin(publish(channel, seq)), Origin::Publish { channel, seq });
        }
        for (channel, epoch, serial) in [(0, 0, 5), (2047, u16::MAX, (1 << 31) - 1)] {
            let link = link(channel, epoch);
            assert_eq!(origin(ask(link, serial)), Origin::Ask { link, serial });
            assert_eq!(channel_of(link), channel);
        }
        assert_eq!(next_serial((1 << 31) - 1), 0);
    }
}
