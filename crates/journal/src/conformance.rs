//! The contract as a test suite. Each function takes a [`Factory`] and panics with what is wrong; the tests of
//! every journal implementation call [`run`]. Only what all of them promise is here: torn writes, full disks
//! and locks are tested where they can happen.

#![allow(clippy::unwrap_used, reason = "a test suite: a panic is the finding")]

mod snapshots;

use std::thread;

use crate::{
    BatchBuilder, Journal, JournalError, JournalErrorKind, Location, Opened, Position, Recovery, SnapshotSink,
};

/// Segment size that the factory should configure: small, so that the suite crosses many segments.
pub const SEGMENT_BYTES: u64 = SEGMENT as u64;
const SEGMENT: usize = 16 << 10;

/// Opens one journal: the first time it is empty, later it holds what the dropped one before had appended.
pub type Opener = Box<dyn FnMut() -> Result<Opened, JournalError>>;
/// Makes a new, empty journal's [`Opener`].
pub type Factory<'a> = dyn FnMut() -> Opener + 'a;

/// Runs the whole suite.
///
/// # Panics
/// When the implementation breaks the contract; the message says how.
pub fn run(factory: &mut Factory<'_>) {
    empty_journal(&mut factory());
    order_survives_reopening(&mut factory());
    positions_are_known_in_advance(&mut factory());
    locations_read_back(&mut factory());
    reads_span_batches_up_to_the_end_of_the_segment(&mut factory());
    scan_walks_whole_batches(&mut factory());
    wrong_batches_are_refused(&mut factory());
    written_is_not_durable(&mut factory());
    syncing_runs_beside_the_writer(&mut factory());
    second_writer_is_excluded(&mut factory());
    epochs_differ(&mut factory());
    snapshots_bound_replay(&mut factory());
    snapshots_are_atomic(&mut factory());
    snapshot_streams_many_records(&mut factory());
    segments_go_whole(&mut factory());
    huge_batch(&mut factory());
    callback_errors_pass_through(&mut factory());
    readers_run_beside_the_writer(&mut factory());
    housekeeping_runs_beside_the_writer(&mut factory());
    many_reopenings(&mut factory());
}

use snapshots::snapshot;
pub use snapshots::{
    segments_go_whole, snapshot_streams_many_records, snapshots_are_atomic, snapshots_bound_replay,
};

type Records = Vec<(Location, Vec<u8>)>;

fn open(opener: &mut Opener) -> (Box<dyn Journal>, Box<dyn Recovery>) {
    let opened = opener().expect("opens");
    (opened.journal, opened.recovery)
}

fn replayed(recovery: &mut dyn Recovery) -> Records {
    let mut records = Vec::new();
    recovery
        .replay(&mut |location, payload| {
            records.push((location, payload.to_vec()));
            Ok(())
        })
        .expect("replays");
    records
}

/// A payload that is a function of its number, between 0 and about 700 bytes.
fn payload(n: usize) -> Vec<u8> {
    format!("record {n} ").bytes().cycle().take(n * 37 % 701).collect()
}

/// Appends `batches` batches of 1 to 5 records and returns the records.
fn fill(journal: &mut dyn Journal, builder: &mut BatchBuilder, batches: usize) -> Records {
    let mut records = Vec::new();
    for batch in 0..batches {
        for n in 0..=batch % 5 {
            let bytes = payload(batch * 5 + n);
            let location = builder.record(|buf| buf.extend_from_slice(&bytes)).unwrap();
            records.push((location, bytes));
        }
        let sealed = builder.finish();
        let end = journal.append(&sealed).expect("appends");
        assert_eq!(end, sealed.end(), "append returns the end of the batch");
        assert_eq!(journal.end(), end);
        builder.recycle(sealed);
    }
    records
}

/// A new journal holds nothing and begins at position 0.
///
/// # Panics
/// When that is not so.
pub fn empty_journal(opener: &mut Opener) {
    for _ in 0..2 {
        let (journal, mut recovery) = open(opener);
        assert_eq!(journal.end(), Position::START);
        assert_eq!(recovery.end(), Position::START);
        assert_eq!(recovery.snapshot_position(), None);
        assert_eq!(recovery.torn_tail(), None);
        assert!(replayed(recovery.as_mut()).is_empty());
        recovery.read_snapshot(&mut |_| panic!("there is no snapshot")).unwrap();
        let segments = journal.housekeeping().segments();
        assert_eq!(segments.len(), 1, "one segment is always active");
        assert!(segments.iter().all(|s| !s.sealed && s.base == s.end));
    }
}

/// What was appended is replayed, in order, at the same locations; appending goes on behind it.
///
/// # Panics
/// When that is not so.
pub fn order_survives_reopening(opener: &mut Opener) {
    let mut expected = Records::new();
    for _ in 0..3 {
        let (mut journal, mut recovery) = open(opener);
        assert_eq!(recovery.end(), journal.end());
        assert!(replayed(recovery.as_mut()) == expected, "replay differs from what was appended");
        let mut builder = journal.batch_builder();
        expected.extend(fill(journal.as_mut(), &mut builder, 40));
        assert_eq!(journal.sync().unwrap(), journal.end());
        assert_eq!(journal.durable(), journal.end());
    }
    let (journal, mut recovery) = open(opener);
    assert!(replayed(recovery.as_mut()) == expected, "replay differs from what was appended");
    assert!(journal.housekeeping().segments().len() > 2, "the suite should cross segments");
}

/// Batches built ahead fit, also across segments.
///
/// # Panics
/// When that is not so.
pub fn positions_are_known_in_advance(opener: &mut Opener) {
    let (mut journal, _) = open(opener);
    let mut builder = journal.batch_builder();
    let mut batches = Vec::new();
    let mut expected = Records::new();
    for n in 0..100 {
        let bytes = payload(n + 10);
        let location = builder.record(|buf| buf.extend_from_slice(&bytes)).unwrap();
        expected.push((location, bytes));
        batches.push(builder.finish());
    }
    for batch in &batches {
        journal.append(batch).expect("a batch built in advance fits");
    }
    drop(journal);
    let (_, mut recovery) = open(opener);
    assert!(replayed(recovery.as_mut()) == expected, "replay differs from what was appended");
}

/// Locations, and parts of them, read back; nothing is read beyond the end.
///
/// # Panics
/// When that is not so.
pub fn locations_read_back(opener: &mut Opener) {
    let (mut journal, _) = open(opener);
    let mut builder = journal.batch_builder();
    let mut records = fill(journal.as_mut(), &mut builder, 60);
    let check = |journal: &dyn Journal, records: &Records| {
        let reader = journal.reader();
        let mut buf = vec![1, 2, 3];
        for (location, bytes) in records {
            assert!(reader.read(*location).unwrap() == *bytes, "read at {location:?} differs");
            if let Some(part) = location.part(3, 4) {
                reader.read_into(part, &mut buf).unwrap();
                assert_eq!(Some(buf.as_slice()), bytes.get(3..7));
            }
        }
        let beyond = Location { position: journal.end(), len_bytes: 1 };
        assert_eq!(reader.read(beyond).unwrap_err().kind(), JournalErrorKind::NotFound);
        let far = Location { position: journal.end().plus(1 << 40), len_bytes: 1 };
        assert_eq!(reader.read(far).unwrap_err().kind(), JournalErrorKind::NotFound);
        let across = Location { position: Position(journal.end().0 - 8), len_bytes: 16 };
        assert_eq!(reader.read(across).unwrap_err().kind(), JournalErrorKind::NotFound);
    };
    check(journal.as_ref(), &records);
    drop(journal);
    let (mut journal, _) = open(opener);
    let mut builder = journal.batch_builder();
    records.extend(fill(journal.as_mut(), &mut builder, 10));
    check(journal.as_ref(), &records);
}

/// One read may cover several batches of a segment; where the segment ends is in the error of one that asks for more.
///
/// # Panics
/// When that is not so.
pub fn reads_span_batches_up_to_the_end_of_the_segment(opener: &mut Opener) {
    let (mut journal, _) = open(opener);
    let mut builder = journal.batch_builder();
    let records = fill(journal.as_mut(), &mut builder, 40);
    let reader = journal.reader();
    for segment in journal.housekeeping().segments() {
        let len_bytes = u32::try_from(segment.end.since(segment.base)).unwrap();
        let whole = reader.read(Location { position: segment.base, len_bytes }).unwrap();
        for (location, bytes) in records.iter().filter(|(l, _)| l.position >= segment.base) {
            let from = usize::try_from(location.position.since(segment.base)).unwrap();
            if let Some(found) = whole.get(from..from + bytes.len()).filter(|_| location.end() <= segment.end)
            {
                assert!(found == bytes, "the record at {location:?} differs");
            }
        }
        let error = reader.read(Location { position: segment.base, len_bytes: len_bytes + 1 }).unwrap_err();
        let JournalError::NotFound { position } = error else { panic!("{error}") };
        assert_eq!(position, segment.end);
    }
}

/// A scan from any batch boundary yields the records from there, up to the limit, and says where it stopped.
///
/// # Panics
/// When that is not so.
pub fn scan_walks_whole_batches(opener: &mut Opener) {
    let (mut journal, _) = open(opener);
    let mut builder = journal.batch_builder();
    let mut boundaries = vec![Position::START];
    let mut all = Records::new();
    for _ in 0..30 {
        all.extend(fill(journal.as_mut(), &mut builder, 2));
        boundaries.push(journal.end());
    }
    let reader = journal.reader();
    for (i, from) in boundaries.iter().enumerate() {
        for until in boundaries.iter().skip(i).step_by(7).copied().chain([Position(u64::MAX)]) {
            let mut got = Records::new();
            let reached = reader
                .scan(*from, until, &mut |location, payload| {
                    got.push((location, payload.to_vec()));
                    Ok(())
                })
                .unwrap();
            assert_eq!(reached, until.min(journal.end()));
            let within = |location: Location| location.position >= *from && location.position < until;
            let expected: Records = all.iter().filter(|(l, _)| within(*l)).cloned().collect();
            assert!(got == expected, "scan from {from} until {until} differs");
        }
    }
    let inside = Position(boundaries.get(3).unwrap().0 + 8);
    let error = reader.scan(inside, Position(u64::MAX), &mut |_, _| Ok(())).unwrap_err();
    assert_eq!(error.kind(), JournalErrorKind::Corrupt, "a scan from inside a batch must be noticed");
}

/// A batch for another place or another opening is refused, and nothing changes.
///
/// # Panics
/// When that is not so.
pub fn wrong_batches_are_refused(opener: &mut Opener) {
    let (mut journal, _) = open(opener);
    let mut builder = journal.batch_builder();
    builder.record(|b| b.push(1)).unwrap();
    let first = builder.finish();
    builder.record(|b| b.push(2)).unwrap();
    let second = builder.finish();
    assert_eq!(journal.append(&second).unwrap_err().kind(), JournalErrorKind::Bug);
    journal.append(&first).unwrap();
    assert_eq!(journal.append(&first).unwrap_err().kind(), JournalErrorKind::Bug);
    drop(journal);
    let (mut journal, mut recovery) = open(opener);
    assert_eq!(replayed(recovery.as_mut()).len(), 1);
    assert_eq!(journal.append(&second).unwrap_err().kind(), JournalErrorKind::Bug, "of an earlier opening");
}

/// What was written can be read and replayed, and is durable when a sync says so, whoever asked for it; a batch may not
/// claim more than that.
///
/// # Panics
/// When that is not so.
pub fn written_is_not_durable(opener: &mut Opener) {
    let (mut journal, _) = open(opener);
    let mut builder = journal.batch_builder();
    let mut expected = fill(journal.as_mut(), &mut builder, 2);
    let synced = journal.end();
    assert_eq!(journal.durable(), synced);
    let mut write = |journal: &mut dyn Journal, builder: &mut BatchBuilder, n: usize, durable| {
        let bytes = payload(n);
        let location = builder.record(|buf| buf.extend_from_slice(&bytes)).unwrap();
        builder.set_durable(durable);
        let batch = builder.finish();
        assert_eq!(batch.durable(), durable);
        let end = journal.write(&batch)?;
        assert_eq!((end, journal.end()), (batch.end(), end), "write returns the end of the batch");
        assert!(journal.reader().read(location).unwrap() == bytes, "what was written can be read");
        expected.push((location, bytes));
        Ok::<Position, JournalError>(end)
    };
    for n in 10..13 {
        write(journal.as_mut(), &mut builder, n, synced).expect("a batch behind others that are not durable");
        assert_eq!(journal.durable(), synced, "nobody has synced");
    }
    let end = journal.end();
    let error = write(journal.as_mut(), &mut builder, 13, end).expect_err("it claims too much");
    assert_eq!((error.kind(), journal.end()), (JournalErrorKind::Bug, end));
    builder.restart(end);
    assert_eq!(journal.housekeeping().sync().unwrap(), end, "a sync from beside");
    assert_eq!(journal.durable(), end);
    write(journal.as_mut(), &mut builder, 14, end).expect("now it is right");
    assert_eq!(journal.sync().unwrap(), journal.end());
    write(journal.as_mut(), &mut builder, 15, end).expect("it may know less than there is");
    write(journal.as_mut(), &mut builder, 16, end).expect("it may know less than there is");
    drop(journal);
    let (journal, mut recovery) = open(opener);
    assert!(replayed(recovery.as_mut()) == expected, "replay differs from what was written");
    assert_eq!(journal.durable(), journal.end(), "recovery makes durable what it hands over");
}

/// Syncs on another thread neither disturb the writer nor say too much.
///
/// # Panics
/// When they do.
pub fn syncing_runs_beside_the_writer(opener: &mut Opener) {
    let (mut journal, _) = open(opener);
    let mut builder = journal.batch_builder();
    let housekeeping = journal.housekeeping();
    let (to_syncer, from_writer) = std::sync::mpsc::sync_channel::<Position>(2);
    let syncing = thread::spawn(move || {
        for written in from_writer {
            assert!(housekeeping.sync().expect("a sync beside the writer") >= written);
        }
    });
    let mut expected = Records::new();
    for n in 0..200 {
        let bytes = payload(n);
        let location = builder.record(|buf| buf.extend_from_slice(&bytes)).unwrap();
        expected.push((location, bytes));
        builder.set_durable(journal.durable());
        let sealed = builder.finish();
        journal.write(&sealed).expect("a write beside a sync");
        assert!(journal.durable() <= journal.end());
        builder.recycle(sealed);
        if n % 10 == 9 {
            to_syncer.send(journal.end()).unwrap();
        }
    }
    drop(to_syncer);
    syncing.join().expect("the syncer found nothing wrong");
    assert_eq!(journal.durable(), journal.end());
    drop(journal);
    let (_, mut recovery) = open(opener);
    assert!(replayed(recovery.as_mut()) == expected, "replay differs from what was written");
}

/// While one journal is open, a second cannot be.
///
/// # Panics
/// When it can.
pub fn second_writer_is_excluded(opener: &mut Opener) {
    let (journal, _) = open(opener);
    let error = opener().err().expect("a second opening must fail");
    assert_eq!(error.kind(), JournalErrorKind::Conflict);
    drop(journal);
    open(opener);
}

/// Each opening has an epoch of its own.
///
/// # Panics
/// When two are alike.
pub fn epochs_differ(opener: &mut Opener) {
    let mut epochs: Vec<u64> = (0..5).map(|_| open(opener).0.epoch().0).collect();
    epochs.sort_unstable();
    epochs.dedup();
    assert_eq!(epochs.len(), 5);
}

/// A batch larger than a segment is taken, and so are those around it.
///
/// # Panics
/// When that is not so.
pub fn huge_batch(opener: &mut Opener) {
    let (mut journal, _) = open(opener);
    let mut builder = journal.batch_builder();
    let mut expected = Records::new();
    for size in [10, 5 * SEGMENT, 20, 7 * SEGMENT + 1, 30] {
        let bytes: Vec<u8> = (0..=250).cycle().take(size).collect();
        let location = builder.record(|buf| buf.extend_from_slice(&bytes)).unwrap();
        expected.push((location, bytes));
        journal.append(&builder.finish()).unwrap();
    }
    drop(journal);
    let (journal, mut recovery) = open(opener);
    assert!(replayed(recovery.as_mut()) == expected, "replay differs from what was appended");
    let reader = journal.reader();
    for (location, bytes) in expected {
        assert!(reader.read(location).unwrap() == bytes);
    }
}

/// An error of a callback ends the call and comes out unchanged.
///
/// # Panics
/// When it does not.
pub fn callback_errors_pass_through(opener: &mut Opener) {
    let (mut journal, _) = open(opener);
    let mut builder = journal.batch_builder();
    fill(journal.as_mut(), &mut builder, 5);
    snapshot(journal.as_ref(), &[b"a", b"b"]).unwrap();
    fill(journal.as_mut(), &mut builder, 5);
    drop(journal);
    let (_, mut recovery) = open(opener);
    let refuse = || JournalError::NotUnderstood { position: Position(1), why: "no".to_owned() };
    let mut calls = 0;
    let result = recovery.replay(&mut |_, _| {
        calls += 1;
        Err(refuse())
    });
    assert_eq!((result.unwrap_err().kind(), calls), (JournalErrorKind::Invalid, 1));
    let result = recovery.read_snapshot(&mut |_| {
        calls += 1;
        Err(refuse())
    });
    assert_eq!((result.unwrap_err().kind(), calls), (JournalErrorKind::Invalid, 2));
}

/// Readers on other threads see whole, right bytes while the writer appends.
///
/// # Panics
/// When they do not.
pub fn readers_run_beside_the_writer(opener: &mut Opener) {
    let (mut journal, _) = open(opener);
    let mut builder = journal.batch_builder();
    let (to_readers, from_writer) = std::sync::mpsc::sync_channel::<Records>(4);
    let reader = journal.reader();
    let reading = thread::spawn(move || {
        let mut count = 0usize;
        for records in from_writer {
            for (location, bytes) in records {
                assert!(reader.read(location).unwrap() == bytes);
                count += 1;
            }
        }
        count
    });
    let mut written = 0;
    for _ in 0..20 {
        let records = fill(journal.as_mut(), &mut builder, 10);
        written += records.len();
        to_readers.send(records).unwrap();
    }
    drop(to_readers);
    assert_eq!(reading.join().expect("the reader found nothing wrong"), written);
}

/// Snapshots and removals on another thread neither disturb the writer nor lose what they do not cover.
///
/// # Panics
/// When they do.
pub fn housekeeping_runs_beside_the_writer(opener: &mut Opener) {
    let (mut journal, _) = open(opener);
    let mut builder = journal.batch_builder();
    let housekeeping = journal.housekeeping();
    let (to_keeper, from_writer) = std::sync::mpsc::sync_channel::<Position>(2);
    let keeping = thread::spawn(move || {
        for position in from_writer {
            let mut write = |sink: &mut dyn SnapshotSink| (0..50).try_for_each(|n| sink.record(&payload(n)));
            housekeeping.write_snapshot(position, &mut write).expect("a snapshot beside the writer");
            for segment in housekeeping.segments() {
                if segment.sealed && segment.end <= position {
                    housekeeping.remove_segment(segment.base).expect("a removal beside the writer");
                }
            }
        }
    });
    let mut since_snapshot = Records::new();
    for _ in 0..25 {
        fill(journal.as_mut(), &mut builder, 10);
        to_keeper.send(journal.end()).unwrap();
        since_snapshot = fill(journal.as_mut(), &mut builder, 10);
    }
    drop(to_keeper);
    keeping.join().expect("housekeeping found nothing wrong");
    drop(journal);
    let (_, mut recovery) = open(opener);
    assert!(replayed(recovery.as_mut()) == since_snapshot, "replay behind the last snapshot differs");
}

/// Opening again and again, with and without an append in between, loses and invents nothing.
///
/// # Panics
/// When it does.
pub fn many_reopenings(opener: &mut Opener) {
    let mut expected = Records::new();
    for round in 0..12 {
        let (mut journal, mut recovery) = open(opener);
        assert!(replayed(recovery.as_mut()) == expected, "round {round}: replay differs");
        if round % 3 != 0 {
            let mut builder = journal.batch_builder();
            expected.extend(fill(journal.as_mut(), &mut builder, 1));
        }
    }
}
