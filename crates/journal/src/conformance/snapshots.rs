//! What the contract says about snapshots, and about segments that go.

use super::{Opener, fill, open, payload, replayed};
use crate::{Journal, JournalError, JournalErrorKind, Position, Recovery, SnapshotSink};

pub(super) fn snapshot(journal: &dyn Journal, content: &[&[u8]]) -> Result<(), JournalError> {
    let mut write = |sink: &mut dyn SnapshotSink| content.iter().try_for_each(|record| sink.record(record));
    journal.housekeeping().write_snapshot(journal.end(), &mut write)
}

fn snapshot_records(recovery: &mut dyn Recovery) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    recovery
        .read_snapshot(&mut |record| {
            records.push(record.to_vec());
            Ok(())
        })
        .expect("the snapshot reads");
    records
}

/// Replay starts at the newest snapshot, whose content comes back.
///
/// # Panics
/// When that is not so.
pub fn snapshots_bound_replay(opener: &mut Opener) {
    for round in 0..4u8 {
        let (mut journal, mut recovery) = open(opener);
        let mut builder = journal.batch_builder();
        if round > 0 {
            assert_eq!(snapshot_records(recovery.as_mut()), [b"state".to_vec(), vec![], vec![round - 1]]);
            assert_eq!(replayed(recovery.as_mut()).len(), 3);
        }
        fill(journal.as_mut(), &mut builder, 25);
        snapshot(journal.as_ref(), &[b"old", b"state"]).unwrap();
        fill(journal.as_mut(), &mut builder, 25);
        snapshot(journal.as_ref(), &[b"state", b"", &[round]]).unwrap();
        assert_eq!(journal.housekeeping().snapshot_position(), Some(journal.end()));
        fill(journal.as_mut(), &mut builder, 2);
    }
}

/// A snapshot that is not finished, or is refused, changes nothing.
///
/// # Panics
/// When it does.
pub fn snapshots_are_atomic(opener: &mut Opener) {
    let (mut journal, _) = open(opener);
    let mut builder = journal.batch_builder();
    fill(journal.as_mut(), &mut builder, 5);
    let at = journal.end();
    snapshot(journal.as_ref(), &[b"good"]).unwrap();
    fill(journal.as_mut(), &mut builder, 5);
    let given_up = || JournalError::NotUnderstood { position: at, why: "given up".to_owned() };
    let result = journal.housekeeping().write_snapshot(journal.end(), &mut |sink| {
        sink.record(b"half a state")?;
        Err(given_up())
    });
    assert_eq!(result.unwrap_err().kind(), JournalErrorKind::Invalid);
    let housekeeping = journal.housekeeping();
    let beyond = journal.end().plus(8);
    for refused in [beyond, at, Position::START] {
        let result = housekeeping.write_snapshot(refused, &mut |sink| sink.record(b"bad"));
        assert_eq!(result.unwrap_err().kind(), JournalErrorKind::Bug, "snapshot at {refused}");
    }
    assert_eq!(housekeeping.snapshot_position(), Some(at));
    drop((journal, housekeeping));
    let (_, mut recovery) = open(opener);
    assert_eq!(recovery.snapshot_position(), Some(at));
    assert_eq!(snapshot_records(recovery.as_mut()), [b"good".to_vec()]);
}

/// A snapshot of many and of large records comes back as it went in.
///
/// # Panics
/// When it does not.
pub fn snapshot_streams_many_records(opener: &mut Opener) {
    let (mut journal, _) = open(opener);
    let mut builder = journal.batch_builder();
    fill(journal.as_mut(), &mut builder, 3);
    let record = |n: usize| match n {
        777 => vec![7; 3 << 20],
        _ => payload(n),
    };
    let mut write = |sink: &mut dyn SnapshotSink| (0..3000).try_for_each(|n| sink.record(&record(n)));
    journal.housekeeping().write_snapshot(journal.end(), &mut write).unwrap();
    drop(journal);
    let (_, mut recovery) = open(opener);
    let mut n = 0;
    recovery
        .read_snapshot(&mut |bytes| {
            assert!(bytes == record(n), "record {n} of the snapshot differs");
            n += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(n, 3000);
    assert!(replayed(recovery.as_mut()).is_empty());
}

/// Only sealed segments that a snapshot covers can be removed; then they are gone, and the rest stays.
///
/// # Panics
/// When that is not so.
pub fn segments_go_whole(opener: &mut Opener) {
    let (mut journal, _) = open(opener);
    let mut builder = journal.batch_builder();
    let records = fill(journal.as_mut(), &mut builder, 150);
    let housekeeping = journal.housekeeping();
    let segments = housekeeping.segments();
    assert!(segments.len() >= 5, "the suite wants several segments, not {}", segments.len());
    for pair in segments.windows(2) {
        let [a, b] = pair else { unreachable!("windows of two") };
        assert_eq!(a.end, b.base);
        assert!(a.sealed);
    }
    let (first, third) = (*segments.first().unwrap(), *segments.get(2).unwrap());
    let active = *segments.last().unwrap();
    assert!(!active.sealed && active.end == journal.end());
    let kind = |base| housekeeping.remove_segment(base).unwrap_err().kind();
    assert_eq!(kind(first.base), JournalErrorKind::Conflict, "not covered by a snapshot");
    snapshot(journal.as_ref(), &[b"all"]).unwrap();
    assert_eq!(kind(active.base), JournalErrorKind::Conflict, "active");
    assert_eq!(kind(first.base.plus(8)), JournalErrorKind::Conflict, "unknown");
    for gone in [third, first] {
        housekeeping.remove_segment(gone.base).unwrap();
        assert_eq!(kind(gone.base), JournalErrorKind::Conflict, "already removed");
    }
    let check = |journal: &dyn Journal| {
        let reader = journal.reader();
        for (location, bytes) in &records {
            let gone =
                [first, third].iter().any(|s| location.position >= s.base && location.position < s.end);
            match reader.read(*location) {
                Ok(read) => assert!(!gone && read == *bytes),
                Err(error) => assert!(gone && error.kind() == JournalErrorKind::NotFound),
            }
        }
        let reached = reader.scan(first.end, Position(u64::MAX), &mut |_, _| Ok(())).unwrap();
        assert_eq!(reached, third.base, "a scan stops at a hole");
        let error = reader.scan(first.base, Position(u64::MAX), &mut |_, _| Ok(())).unwrap_err();
        assert_eq!(error.kind(), JournalErrorKind::NotFound);
    };
    check(journal.as_ref());
    drop((journal, housekeeping));
    let (mut journal, mut recovery) = open(opener);
    assert!(replayed(recovery.as_mut()).is_empty());
    check(journal.as_ref());
    let mut builder = journal.batch_builder();
    fill(journal.as_mut(), &mut builder, 50);
    check(journal.as_ref());
}
