//! Frames in one piece, in pieces, and broken ones.

use bytes::{Buf, BytesMut};
use proptest::prelude::*;

use super::*;

const MAX: u64 = 1_000;

type Owned = (Command, Vec<(Vec<u8>, Vec<u8>)>, Vec<u8>);

fn owned(frame: &Frame<'_>) -> Owned {
    let headers = frame.headers.raw().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    (frame.command, headers, frame.body.to_vec())
}

/// All frames of `bytes`, given in pieces of that size.
fn frames(bytes: &[u8], piece: usize) -> Result<Vec<Owned>, WireError> {
    let mut decoder = FrameDecoder::new(MAX);
    decoder.set_version(Version::V12);
    let mut input = BytesMut::new();
    let mut all = Vec::new();
    for piece in bytes.chunks(piece) {
        input.extend_from_slice(piece);
        loop {
            let (used, more) = match decoder.decode(&input)? {
                Decoded::Frame { frame, used } => {
                    all.push(owned(&frame));
                    (used, true)
                }
                Decoded::Incomplete { used } => (used, false),
            };
            input.advance(used);
            if !more {
                break;
            }
        }
    }
    Ok(all)
}

fn error(bytes: &[u8]) -> WireError {
    frames(bytes, bytes.len()).unwrap_err()
}

#[test]
fn frames_are_found_wherever_the_bytes_are_cut() {
    let bytes = b"\n\r\nSEND\ndestination:/queue/a\ncontent-length:3\n\na\0b\0\n\nACK\r\nid:1\r\n\r\n\0SEND\ndestination:b\n\nbody\0";
    let whole = frames(bytes, bytes.len()).unwrap();
    assert_eq!(whole.len(), 3);
    assert_eq!(whole[0].2, b"a\0b");
    assert_eq!(whole[1].1, [(b"id".to_vec(), b"1".to_vec())]);
    assert_eq!(whole[2].2, b"body");
    for piece in 1..bytes.len() {
        assert_eq!(frames(bytes, piece).unwrap(), whole, "in pieces of {piece}");
    }
}

#[test]
fn of_repeated_headers_the_first_counts() {
    let bytes = b"SEND\ndestination:a\ndestination:b\n\n\0";
    let mut decoder = FrameDecoder::new(MAX);
    let Decoded::Frame { frame, .. } = decoder.decode(bytes).unwrap() else { panic!("a frame") };
    assert_eq!(frame.headers.get(b"destination"), Some(&b"a"[..]));
    assert!(!frame.headers.is_repeated(0));
    assert!(frame.headers.is_repeated(1));
}

#[test]
fn only_1_0_takes_off_spaces() {
    let bytes = b"SEND\ndestination : a \n\n\0";
    let mut decoder = FrameDecoder::new(MAX);
    let Decoded::Frame { frame, .. } = decoder.decode(bytes).unwrap() else { panic!("a frame") };
    assert_eq!(frame.headers.get(b"destination"), Some(&b"a"[..]));
    decoder.set_version(Version::V11);
    let Decoded::Frame { frame, .. } = decoder.decode(bytes).unwrap() else { panic!("a frame") };
    assert_eq!(frame.headers.get(b"destination"), None);
    assert_eq!(frame.headers.get(b"destination "), Some(&b" a "[..]));
}

#[test]
fn what_is_no_frame_is_refused() {
    assert_eq!(error(b"HELLO\n\n\0"), WireError::UnknownCommand);
    assert_eq!(error(b"GET / HTTP/1.1 and what browsers say more"), WireError::UnknownCommand);
    assert_eq!(error(b"SEND\nno colon\n\n\0"), WireError::HeaderWithoutColon);
    assert_eq!(error(b"SEND\na:b\0"), WireError::NulInHead);
    assert_eq!(error(b"SEND\ncontent-length:x\n\n\0"), WireError::BadContentLength);
    assert_eq!(error(b"SEND\ncontent-length:-1\n\n\0"), WireError::BadContentLength);
    assert_eq!(error(b"SEND\ncontent-length:1\n\nab\0"), WireError::NoNulAfterBody);
}

#[test]
fn sizes_are_limited_as_soon_as_they_are_known() {
    let too_large = WireError::BodyTooLarge { max: MAX };
    assert_eq!(error(b"SEND\ncontent-length:1001\n\n"), too_large);
    assert_eq!(error(b"SEND\ncontent-length:99999999999999999999999\n\n"), too_large);
    let body = |bytes: usize| [b"SEND\n\n".to_vec(), vec![b'x'; bytes], vec![0]].concat();
    assert_eq!(frames(&body(1_000), 100).unwrap().len(), 1);
    assert_eq!(error(&body(1_001)), too_large);
    let head = |bytes: usize| [b"SEND\na:".to_vec(), vec![b'x'; bytes - 9], b"\n\n\0".to_vec()].concat();
    assert_eq!(frames(&head(HEAD_BYTES_MAX), 8_000).unwrap().len(), 1);
    assert_eq!(error(&head(HEAD_BYTES_MAX + 1)), WireError::HeadTooLong);
    let many = |count: usize| ["SEND\n".to_owned(), "a:b\n".repeat(count), "\n\0".to_owned()].concat();
    assert_eq!(frames(many(HEADERS_MAX).as_bytes(), 5_000).unwrap().len(), 1);
    assert_eq!(error(many(HEADERS_MAX + 1).as_bytes()), WireError::TooManyHeaders);
}

proptest! {
    #[test]
    fn any_bytes_give_the_same_however_they_are_cut(
        bytes in prop::collection::vec(prop_oneof![
            Just(&b"SEND\n"[..]), Just(&b"ACK\n"[..]), Just(&b"a:b\n"[..]), Just(&b"\n"[..]), Just(&b"\0"[..]),
            Just(&b"\r\n"[..]), Just(&b"content-length:2\n"[..]), Just(&b"xy"[..]), Just(&b"\r"[..]),
        ], 0..20).prop_map(|parts| parts.concat()),
        piece in 1_usize..7,
    ) {
        if let Ok(whole) = frames(&bytes, bytes.len().max(1)) {
            prop_assert_eq!(frames(&bytes, piece), Ok(whole));
        }
    }
}
