//! Messages between SQS's form and the neutral envelope: attributes, digests, ids.
//!
//! An attribute becomes a header of the nearest neutral type, so that every other protocol sees it; what would get lost on
//! the way (types of one's own, digits of numbers, digests that were computed already) is kept beside it in the
//! envelope's `Original`, which only this dialect reads. A message of another protocol has none: its headers are shown
//! as attributes by their types.

mod attributes;
mod envelope;
mod lanes;
mod original;

use std::ops::Deref;

use baton_model::MessageId;
use md5::{Digest, Md5};

pub(crate) use attributes::{Attribute, Attributes, check, digest, is_allowed, trace_header};
pub(crate) use envelope::{Outgoing, Received, received, write};
pub(crate) use lanes::md5_each;

/// A digest as it is shown: hexadecimal.
pub(crate) type Digest16 = [u8; 16];

/// The MD5 of bytes.
pub(crate) fn md5(bytes: &[u8]) -> Digest16 {
    Md5::digest(bytes).into()
}

const DIGITS: [u8; 16] = *b"0123456789abcdef";

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push_hex(&mut text, bytes);
    text
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    // Pieces of a size that is known: no digit is pushed by itself.
    for piece in bytes.chunks(16) {
        let mut digits = [0; 32];
        put_hex(&mut digits, piece);
        text.push_str(
            std::str::from_utf8(digits.get(..2 * piece.len()).unwrap_or_default()).unwrap_or_default(),
        );
    }
}

/// Two digits for each byte, as far as there is room.
fn put_hex(digits: &mut [u8; 32], bytes: &[u8]) {
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble & 15)).copied().unwrap_or(b'0');
    for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(*byte)];
    }
}

/// Mixes a word so that each of its bits changes half of the result's. SplitMix64's finisher, by its published constants.
pub(crate) fn mix(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A short text of ASCII whose length is known: an answer has several for each message, and none of them is to be allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ascii<const N: usize>([u8; N]);

impl<const N: usize> Deref for Ascii<N> {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// A digest as it is shown.
pub(crate) fn hex16(digest: &Digest16) -> Ascii<32> {
    let mut digits = [0; 32];
    put_hex(&mut digits, digest);
    Ascii(digits)
}

/// A UUID (version 4 in form) of two words.
pub(crate) fn uuid(high: u64, low: u64) -> Ascii<36> {
    let high = high & 0xffff_ffff_ffff_0fff | 0x4000;
    let low = low & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000;
    let mut digits = [0; 32];
    put_hex(&mut digits, &(u128::from(high) << 64 | u128::from(low)).to_be_bytes());
    let mut text = [b'-'; 36];
    let places = (0..36).filter(|place| !matches!(place, 8 | 13 | 18 | 23));
    for (place, digit) in places.zip(digits) {
        if let Some(to) = text.get_mut(place) {
            *to = digit;
        }
    }
    Ascii(text)
}

/// The id that SQS shows for a message: the same for every receiver, and wherever the message is moved.
pub(crate) fn message_id(id: MessageId) -> Ascii<36> {
    uuid(mix(id.0), mix(id.0 ^ 0x7371_735f_6964_5f5f))
}

/// The sequence number that SQS shows for a place: 20 digits, growing.
pub(crate) fn sequence_number(seq: baton_model::Seq) -> String {
    // Below this no queue ever comes: it would take a million messages a second for two hundred thousand years.
    10_000_000_000_000_000_000_u64.saturating_add(seq.0).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_look_like_uuids_and_differ() {
        let (one, two) = (message_id(MessageId(1)), message_id(MessageId(2)));
        assert_ne!(one, two);
        assert_eq!(one.len(), 36);
        assert_eq!(
            &*uuid(0x0123_4567_89ab_cdef, 0xffff_0123_4567_89ab),
            "01234567-89ab-4def-bfff-0123456789ab"
        );
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(matches!(one.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        assert_eq!(hex(&md5(b"hello")), "5d41402abc4b2a76b9719d911017c592");
        assert_eq!(&*hex16(&md5(b"hello")), "5d41402abc4b2a76b9719d911017c592");
        assert_eq!(sequence_number(baton_model::Seq(7)), "10000000000000000007");
    }
}
