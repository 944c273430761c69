//! Targets for what recovery reads: records, and items of snapshots.

use baton_core::codec;
use bytes::Bytes;

/// Reads the input as a record, or as an item of a snapshot if its first byte is odd. What can be read is written and read
/// again: the second reading is the first, byte for byte.
pub fn decode(data: &[u8]) {
    let Some((&which, bytes)) = data.split_first() else { return };
    if which % 2 == 0 { record(bytes) } else { item(bytes) }
}

fn record(bytes: &[u8]) {
    let read = codec::decode(bytes);
    let shared = codec::decode_shared(&Bytes::copy_from_slice(bytes));
    assert_eq!(read.is_ok(), shared.is_ok(), "copying and sharing disagree");
    let (Ok((record, range)), Ok((same, same_range))) = (read, shared) else { return };
    assert_eq!(range, same_range);
    if let Some(range) = range {
        let end = range.offset as usize + range.len_bytes as usize;
        assert!(end <= bytes.len(), "a content beyond its record");
    }
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let written = codec::encode(&record, &mut first);
    assert_eq!(codec::encode(&same, &mut second), written);
    assert!(first == second, "copying and sharing make different records");
    // Compared as bytes: a record may hold a number that is not one, which equals nothing.
    let (again, again_range) = codec::decode(&first).unwrap();
    assert_eq!(again_range, written);
    second.clear();
    codec::encode(&again, &mut second);
    assert!(first == second, "{record:?} is {again:?} when it is read again");
}

fn item(bytes: &[u8]) {
    let Ok(item) = codec::decode_item(bytes) else { return };
    let (mut first, mut second) = (Vec::new(), Vec::new());
    codec::encode_item(&item, &mut first);
    let again = codec::decode_item(&first).unwrap();
    codec::encode_item(&again, &mut second);
    assert!(first == second, "{item:?} is {again:?} when it is read again");
}
