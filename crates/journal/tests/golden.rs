//! The bytes of a batch as `docs/formats/journal.md` has them: a change here is a new format version.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use baton_journal::{BatchBuilder, Epoch, Position};

#[test]
fn a_batch_has_the_documented_bytes() {
    let mut builder = BatchBuilder::new(Epoch(0x1122_3344_5566_7788), Position(0x1000));
    let mut hex = |durable| -> Vec<String> {
        builder.restart(Position(0x1000));
        builder.record(|buf| buf.extend_from_slice(b"baton")).unwrap();
        builder.record(|_| {}).unwrap();
        builder.set_durable(durable);
        let batch = builder.finish();
        batch.bytes().chunks(8).map(|c| c.iter().map(|b| format!("{b:02x}")).collect()).collect()
    };
    let all_durable = hex(Position(0x1000));
    assert_eq!(
        all_durable,
        [
            "42746e423c72edfb", // magic, CRC32C (computed independently, bit by bit)
            "020000000d000000", // version 2, flags 0, 13 payload bytes
            "0010000000000000", // base
            "8877665544332211", // epoch
            "0200000000000000", // 2 records, everything before it durable
            "050000006261746f", // length, record
            "6e00000000000000", // the rest of it, length of an empty record, padding
        ]
    );
    let behind = hex(Position(0x1000 - 24));
    assert_eq!((behind[0].as_str(), behind[4].as_str()), ("42746e42dd16c01b", "0200000003000000"));
    assert_eq!((&behind[1..4], &behind[5..]), (&all_durable[1..4], &all_durable[5..]));
}
