//! The directory under `fixtures/` was written by the version in its name and must stay readable for ever. A new format
//! version adds a directory; none is ever written again. `BATON_WRITE_FIXTURE=DIR` makes one with this build.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use std::path::{Path, PathBuf};

use baton_journal::{Opened, Position};
use baton_journal_file::doctor::{Forecast, examine};
use baton_journal_file::{Options, open};

fn options() -> Options {
    Options { segment_bytes: 8 << 10, disk_reserve_bytes: 0, background: false }
}

/// Record `n` of the fixture: 0 to 1,500 bytes that say which one it is.
fn record(n: usize) -> Vec<u8> {
    format!("fixture record {n};").bytes().cycle().take(n * 211 % 1501).collect()
}

const BATCHES: usize = 24;
const SNAPSHOT_AFTER: usize = 15;

/// Each batch has three records; the one after batch 15 is preceded by a snapshot; the second segment is removed.
/// One batch in three is not synced before the next (in version 1 all were).
fn write_fixture(directory: &Path) {
    let mut journal = open(directory, options()).unwrap().journal;
    for batch in 0..BATCHES {
        if batch == 8 {
            // A second opening, for a second epoch.
            drop(journal);
            journal = open(directory, options()).unwrap().journal;
        }
        let mut builder = journal.batch_builder();
        for n in batch * 3..batch * 3 + 3 {
            builder.record(|buf| buf.extend_from_slice(&record(n))).unwrap();
        }
        builder.set_durable(journal.durable());
        let end = journal.write(&builder.finish()).unwrap();
        if batch % 3 != 1 {
            journal.sync().unwrap();
        }
        if batch + 1 == SNAPSHOT_AFTER {
            let mut write = |sink: &mut dyn baton_journal::SnapshotSink| {
                (0..SNAPSHOT_AFTER * 3).try_for_each(|n| sink.record(&record(n)))
            };
            let housekeeping = journal.housekeeping();
            housekeeping.write_snapshot(end, &mut write).unwrap();
            let second = housekeeping.segments()[1];
            housekeeping.remove_segment(second.base).unwrap();
        }
    }
}

fn copy_of(fixture: &str) -> tempfile::TempDir {
    let from = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(fixture);
    let to = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}

fn check(directory: &Path) {
    let report = examine(directory).unwrap();
    assert!(report.is_sound(), "{report}");
    let Forecast::Opens { snapshot, end, torn_tail } = &report.recovery else { panic!("{report}") };
    assert_eq!(*torn_tail, None);
    let Opened { mut journal, mut recovery } = open(directory, options()).unwrap();
    assert_eq!((recovery.snapshot_position(), recovery.end()), (*snapshot, *end));
    let mut state = Vec::new();
    recovery
        .read_snapshot(&mut |bytes| {
            state.push(bytes.to_vec());
            Ok(())
        })
        .unwrap();
    assert_eq!(state.len(), SNAPSHOT_AFTER * 3);
    recovery
        .replay(&mut |_, payload| {
            state.push(payload.to_vec());
            Ok(())
        })
        .unwrap();
    assert_eq!(state.len(), BATCHES * 3);
    assert!(state.iter().enumerate().all(|(n, bytes)| *bytes == record(n)));
    // What precedes the snapshot can still be read, except for the removed segment.
    let segments = journal.housekeeping().segments();
    assert_eq!(segments[0].base, Position::START);
    assert!(segments[1].base > segments[0].end, "a hole");
    let mut first = 0;
    let reached = journal.reader().scan(Position::START, Position(u64::MAX), &mut |_, payload| {
        assert_eq!(payload, record(first));
        first += 1;
        Ok(())
    });
    assert_eq!(reached.unwrap(), segments[0].end);
    assert!(first > 3);
    let mut builder = journal.batch_builder();
    builder.record(|buf| buf.extend_from_slice(b"goes on")).unwrap();
    journal.append(&builder.finish()).unwrap();
}

#[test]
fn version_1_stays_readable() {
    check(copy_of("v1").path());
}

#[test]
fn version_2_stays_readable() {
    check(copy_of("v2").path());
}

#[test]
fn this_build_writes_what_it_reads() {
    let directory = tempfile::tempdir().unwrap();
    write_fixture(directory.path());
    check(directory.path());
}

#[test]
fn a_fixture_is_written_on_request() {
    if let Some(directory) = std::env::var_os("BATON_WRITE_FIXTURE") {
        write_fixture(Path::new(&directory));
    }
}

#[test]
fn a_newer_version_is_refused_by_name() {
    let directory = copy_of("v1");
    let file = directory.path().join(format!("{:020}.seg", 0));
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[12] = 3;
    std::fs::write(&file, bytes).unwrap();
    let error = open(directory.path(), options()).err().unwrap();
    assert!(error.to_string().contains("format version 3"), "{error}");
}
