//! The bytes of a batch as `docs/formats/journal.md` has them: a change here is a new format version.
#![allow(clippy::unwrap_used)]

use baton_journal::{BatchBuilder, Epoch, Position};

#[test]
fn a_batch_has_the_documented_bytes() {
    let mut builder = BatchBuilder::new(Epoch(0x1122_3344_5566_7788), Position(0x1000));
    builder.record(|buf| buf.extend_from_slice(b"baton")).unwrap();
    builder.record(|_| {}).unwrap();
    let batch = builder.finish();
    let hex: Vec<String> =
        batch.bytes().chunks(8).map(|c| c.iter().map(|b| format!("{b:02x}")).collect()).collect();
    assert_eq!(
        hex,
        [
            "42746e42ef1f5d48", // magic, CRC32C (computed independently, bit by bit)
            "010000000d000000", // version 1, flags 0, 13 payload bytes
            "0010000000000000", // base
            "8877665544332211", // epoch
            "0200000000000000", // 2 records, reserved
            "050000006261746f", // length, record
            "6e00000000000000", // the rest of it, length of an empty record, padding
        ]
    );
}
