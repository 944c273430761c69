//! One fault each: damage in every place, a full disk, a failed sync, recycled content, a second process, flipped
//! bits on the way from the disk. What the crash simulation cannot reach.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stderr
)]

use std::sync::Arc;

use baton_journal::{Journal, JournalError, JournalErrorKind, Location, Opened, Position, SegmentInfo};
use baton_journal_file::disk::Disk;
use baton_journal_file::doctor::{Forecast, examine_on};
use baton_journal_file::{Options, SEGMENT_HEADER_BYTES, SimDisk, open, open_on};

const SEGMENT_BYTES: u64 = 16 << 10;

fn options() -> Options {
    Options { segment_bytes: SEGMENT_BYTES, disk_reserve_bytes: 0, background: false }
}

fn try_open(disk: &SimDisk, options: &Options) -> Result<Opened, JournalError> {
    open_on(Arc::new(disk.clone()), options.clone())
}

fn append(journal: &mut dyn Journal, record: &[u8]) -> Result<Location, JournalError> {
    let mut builder = journal.batch_builder();
    let location = builder.record(|buf| buf.extend_from_slice(record))?;
    journal.append(&builder.finish())?;
    Ok(location)
}

/// Appends numbered records of about 1 KiB until there are `segments` segments.
fn fill(journal: &mut dyn Journal, segments: usize) -> Vec<Location> {
    let mut locations = Vec::new();
    while journal.housekeeping().segments().len() < segments {
        let record = format!("{:04}", locations.len()).repeat(250);
        locations.push(append(journal, record.as_bytes()).unwrap());
    }
    locations
}

fn replay(disk: &SimDisk, options: &Options) -> Result<Vec<Vec<u8>>, JournalError> {
    let mut recovery = try_open(disk, options)?.recovery;
    let mut records = Vec::new();
    recovery.replay(&mut |_, payload| {
        records.push(payload.to_vec());
        Ok(())
    })?;
    Ok(records)
}

fn segment_file(base: Position) -> String {
    format!("{:020}.seg", base.0)
}

#[test]
fn damage_in_a_sealed_segment_is_named_and_nothing_opens() {
    let disk = SimDisk::new(1);
    let mut journal = try_open(&disk, &options()).unwrap().journal;
    let locations = fill(journal.as_mut(), 4);
    let segments = journal.housekeeping().segments();
    drop(journal);
    let before = examine_on(&disk).unwrap();
    assert!(before.is_sound(), "{before}");
    assert_eq!(before.segments.iter().map(|s| s.records).sum::<u64>(), locations.len() as u64);

    let offset = (SEGMENT_HEADER_BYTES + 2000) as usize;
    let victim = segment_file(segments[1].base);
    assert!(disk.damage(&victim, offset, 0x10));
    let image = disk.image();
    let error = try_open(&disk, &options()).err().unwrap();
    let JournalError::Corrupt { file, offset: at, .. } = &error else { panic!("{error}") };
    assert_eq!(*file, victim);
    assert!((*at as usize) < offset && offset < (*at as usize) + 1100, "offset {at} for damage at {offset}");
    assert!(disk.image() == image, "a refused opening changed the disk");

    let report = examine_on(&disk).unwrap();
    assert!(disk.image() == image, "examining changed the disk");
    assert_eq!(report.first_damage.as_ref().unwrap().file, victim);
    assert!(matches!(report.recovery, Forecast::Refuses { .. }));
    assert!(report.to_string().contains(&victim), "{report}");
}

#[test]
fn every_damaged_byte_is_corruption_or_the_torn_last_batch() {
    let make = || {
        let disk = SimDisk::new(2);
        let mut journal = try_open(&disk, &options()).unwrap().journal;
        for n in 0..6 {
            append(journal.as_mut(), &[n; 100]).unwrap();
        }
        drop(journal);
        disk
    };
    let batch_bytes = 144;
    let file = segment_file(Position::START);
    let all = SEGMENT_HEADER_BYTES as usize + 6 * batch_bytes;
    for offset in SEGMENT_HEADER_BYTES as usize..all {
        let disk = make();
        assert!(disk.damage(&file, offset, 0x40));
        let batch = (offset - SEGMENT_HEADER_BYTES as usize) / batch_bytes;
        match replay(&disk, &options()) {
            Err(JournalError::Corrupt { file: named, offset: at, .. }) => {
                assert!(batch < 5, "byte {offset}: the last batch is a torn tail");
                assert_eq!((named, at), (file.clone(), SEGMENT_HEADER_BYTES + (batch * batch_bytes) as u64));
            }
            Ok(records) => assert_eq!(records.len(), 5, "byte {offset}"),
            Err(other) => panic!("byte {offset}: {other}"),
        }
    }
}

#[test]
fn a_damaged_header_is_corruption() {
    let disk = SimDisk::new(3);
    let mut journal = try_open(&disk, &options()).unwrap().journal;
    append(journal.as_mut(), b"x").unwrap();
    drop(journal);
    for offset in 0..64 {
        assert!(disk.damage(&segment_file(Position::START), offset, 0x80));
        let kind = try_open(&disk, &options()).err().unwrap().kind();
        assert!(
            matches!(kind, JournalErrorKind::Corrupt | JournalErrorKind::Invalid),
            "byte {offset}: {kind:?}"
        );
        assert!(disk.damage(&segment_file(Position::START), offset, 0x80));
    }
    assert_eq!(replay(&disk, &options()).unwrap(), [b"x".to_vec()]);
}

#[test]
fn a_torn_tail_is_cut_off_reported_and_written_over() {
    let disk = SimDisk::new(4);
    let mut journal = try_open(&disk, &options()).unwrap().journal;
    for n in 0..3 {
        append(journal.as_mut(), &[n; 100]).unwrap();
    }
    let end = journal.end();
    drop(journal);
    assert!(disk.damage(&segment_file(Position::START), (SEGMENT_HEADER_BYTES + end.0) as usize - 20, 1));
    let report = examine_on(&disk).unwrap();
    let Forecast::Opens { torn_tail: Some(torn), .. } = &report.recovery else { panic!("{report}") };
    assert_eq!(torn.offset, SEGMENT_HEADER_BYTES + 288);
    assert!(report.is_sound(), "a torn tail is no damage: {report}");

    let Opened { mut journal, recovery } = try_open(&disk, &options()).unwrap();
    assert_eq!(recovery.torn_tail(), Some(torn));
    assert_eq!(journal.end(), Position(288));
    append(journal.as_mut(), b"instead").unwrap();
    drop((journal, recovery));
    let records = replay(&disk, &options()).unwrap();
    assert_eq!(records, [vec![0; 100], vec![1; 100], b"instead".to_vec()]);
}

#[test]
fn a_last_batch_whose_padding_was_torn_off_counts() {
    let disk = SimDisk::new(5);
    let mut journal = try_open(&disk, &options()).unwrap().journal;
    append(journal.as_mut(), &[7; 101]).unwrap();
    let end = journal.end();
    drop(journal);
    let file = disk.open(&segment_file(Position::START)).unwrap();
    // 101 bytes and what frames them are no multiple of 8.
    file.set_len_bytes(SEGMENT_HEADER_BYTES + end.0 - 1).unwrap();
    for _ in 0..2 {
        let Opened { mut journal, recovery } = try_open(&disk, &options()).unwrap();
        assert_eq!((recovery.end(), recovery.torn_tail()), (journal.end(), None));
        append(journal.as_mut(), b"more").unwrap();
    }
    assert!(examine_on(&disk).unwrap().is_sound());
    assert_eq!(replay(&disk, &options()).unwrap(), [vec![7; 101], b"more".to_vec(), b"more".to_vec()]);
}

#[test]
fn a_newest_segment_that_ends_in_front_of_a_snapshot_is_corruption() {
    let disk = SimDisk::new(6);
    let mut journal = try_open(&disk, &options()).unwrap().journal;
    append(journal.as_mut(), &[7; 500]).unwrap();
    let end = journal.end();
    journal.housekeeping().write_snapshot(end, &mut |sink| sink.record(b"state")).unwrap();
    drop(journal);
    disk.open(&segment_file(Position::START)).unwrap().set_len_bytes(SEGMENT_HEADER_BYTES + 100).unwrap();
    let Err(JournalError::Corrupt { file, what, .. }) = try_open(&disk, &options()) else {
        panic!("it opens")
    };
    assert_eq!(file, segment_file(Position::START));
    assert!(what.contains("which a snapshot covers"), "{what}");
}

#[test]
fn an_empty_record_at_the_end_of_a_segment_is_read() {
    let disk = SimDisk::new(8);
    let mut journal = try_open(&disk, &options()).unwrap().journal;
    // 40 bytes of a batch and 4 of each record's length: the second record lies at the end.
    append(journal.as_mut(), b"").unwrap();
    let mut builder = journal.batch_builder();
    builder.record(|buf| buf.extend_from_slice(b"")).unwrap();
    let last = builder.record(|buf| buf.extend_from_slice(b"")).unwrap();
    assert_eq!(last.position, journal.append(&builder.finish()).unwrap());
    assert!(journal.reader().read(last).unwrap().is_empty());
}

#[test]
fn a_missing_segment_is_corruption_unless_a_snapshot_covers_it() {
    for (victim, covered) in [(0, false), (1, false), (2, false), (0, true), (2, true)] {
        let disk = SimDisk::new(5);
        let mut journal = try_open(&disk, &options()).unwrap().journal;
        fill(journal.as_mut(), 4);
        let segments = journal.housekeeping().segments();
        if covered {
            let everything = journal.end();
            journal.housekeeping().write_snapshot(everything, &mut |s| s.record(b"all")).unwrap();
            append(journal.as_mut(), b"later").unwrap();
        }
        drop(journal);
        assert!(disk.lose_file(&segment_file(segments[victim].base)));
        match try_open(&disk, &options()) {
            Ok(_) => assert!(covered),
            Err(error) => assert!(!covered && error.kind() == JournalErrorKind::Corrupt, "{victim}: {error}"),
        }
    }
}

#[test]
fn recycled_content_is_never_taken_for_live() {
    // Records of constant size make old batches stand exactly where new ones would.
    let disk = SimDisk::new(6);
    let mut journal = try_open(&disk, &options()).unwrap().journal;
    let mut written = 0u32;
    let mut recycled = 0;
    for round in 0..20 {
        for _ in 0..25 {
            append(journal.as_mut(), &written.to_le_bytes().repeat(250)).unwrap();
            written += 1;
        }
        let housekeeping = journal.housekeeping();
        housekeeping.write_snapshot(journal.end(), &mut |sink| sink.record(&written.to_le_bytes())).unwrap();
        for segment in housekeeping.segments().iter().filter(|s| s.sealed) {
            housekeeping.remove_segment(segment.base).unwrap();
        }
        recycled += disk.image().keys().filter(|name| name.starts_with("spare-")).count();
        append(journal.as_mut(), &written.to_le_bytes().repeat(250)).unwrap();
        written += 1;
        drop((journal, housekeeping));
        if round % 2 == 0 {
            disk.cycle_power();
        }
        let opened = try_open(&disk, &options()).unwrap();
        let mut recovery = opened.recovery;
        let mut found = Vec::new();
        recovery
            .replay(&mut |_, payload| {
                found.push(u32::from_le_bytes(payload[..4].try_into().unwrap()));
                Ok(())
            })
            .unwrap();
        assert_eq!(found, [written - 1], "round {round}");
        journal = opened.journal;
    }
    assert!(recycled > 0, "nothing was recycled, the test tests nothing");
    assert!(disk.image().len() < 12, "files pile up: {:?}", disk.image().keys());
}

#[test]
fn a_body_that_imitates_a_batch_is_not_taken_for_one() {
    use baton_journal::{BatchBuilder, Epoch};
    let disk = SimDisk::new(7);
    let mut journal = try_open(&disk, &options()).unwrap().journal;
    append(journal.as_mut(), b"before").unwrap();
    // The forger knows every position, but not the epoch.
    let at = journal.end().plus(40 + 4);
    let mut forger = BatchBuilder::new(Epoch(1), at.plus(4));
    forger.record(|buf| buf.extend_from_slice(b"forged")).unwrap();
    let mut body = vec![0; 4];
    body.extend_from_slice(&forger.finish().bytes());
    append(journal.as_mut(), &body).unwrap();
    let offset = (SEGMENT_HEADER_BYTES + at.0) as usize - 44;
    drop(journal);
    assert!(disk.damage(&segment_file(Position::START), offset, 0xff));
    assert_eq!(replay(&disk, &options()).unwrap(), [b"before".to_vec()]);
}

#[test]
fn a_failed_sync_is_final_and_recovery_tells_the_truth() {
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let mut journal = try_open(&disk, &options()).unwrap().journal;
        for n in 0..5 {
            append(journal.as_mut(), &[n; 3000]).unwrap();
        }
        disk.fail_sync(1);
        let first = append(journal.as_mut(), &[5; 3000]).unwrap_err();
        assert!(first.is_final());
        let again = append(journal.as_mut(), &[6; 10]).unwrap_err();
        assert_eq!(first.to_string(), again.to_string(), "the same error again");
        assert_eq!(journal.sync().unwrap_err().to_string(), first.to_string());
        let snapshot = journal.housekeeping().write_snapshot(journal.end(), &mut |s| s.record(b"x"));
        assert_eq!(snapshot.unwrap_err().to_string(), first.to_string());
        drop(journal);
        disk.cycle_power();
        let records = replay(&disk, &options()).unwrap();
        assert!(records.len() == 5 || records.len() == 6, "seed {seed}: {} records", records.len());
        assert!(records.iter().enumerate().all(|(n, r)| *r == [n as u8; 3000]));
    }
}

#[test]
fn what_a_restart_finds_after_a_failed_sync_lasts_though_the_system_takes_it_for_written() {
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let mut journal = try_open(&disk, &options()).unwrap().journal;
        append(journal.as_mut(), &[0; 3000]).unwrap();
        disk.fail_sync(1);
        append(journal.as_mut(), &[1; 3000]).unwrap_err();
        drop(journal);
        // The process is restarted on the running system, which still shows what it could not write.
        disk.kill_process();
        let mut journal = try_open(&disk, &options()).unwrap().journal;
        append(journal.as_mut(), &[2; 3000]).unwrap();
        drop(journal);
        disk.cycle_power();
        let records = replay(&disk, &options()).unwrap();
        assert_eq!(records, [[0; 3000], [1; 3000], [2; 3000]], "seed {seed}");
    }
}

fn append_flagged(
    journal: &mut dyn Journal,
    record: &[u8],
    essential: bool,
) -> Result<Location, JournalError> {
    let mut builder = journal.batch_builder();
    let location = builder.record(|buf| buf.extend_from_slice(record))?;
    if essential {
        builder.mark_essential();
    }
    journal.append(&builder.finish())?;
    Ok(location)
}

#[test]
fn a_full_disk_refuses_publishes_takes_acks_and_recovers() {
    for capacity_bytes in (150_000..190_000).step_by(1009) {
        let disk = SimDisk::new(capacity_bytes);
        disk.set_capacity_bytes(capacity_bytes);
        let options = Options { disk_reserve_bytes: 64 << 10, ..options() };
        let mut journal = try_open(&disk, &options).unwrap().journal;
        let mut expected: Vec<Vec<u8>> = Vec::new();
        let refused = loop {
            let record = (expected.len() as u32).to_le_bytes().repeat(400);
            match append_flagged(journal.as_mut(), &record, false) {
                Ok(_) => expected.push(record),
                Err(error) => break error,
            }
            assert!(expected.len() < 1000, "the disk never gets full");
        };
        assert!(matches!(refused, JournalError::Full { .. }), "{refused}");
        assert!(!expected.is_empty());
        // Acknowledgements go on: at least what the reserve file holds.
        for n in 0..60u32 {
            let ack = n.to_le_bytes().repeat(10);
            append_flagged(journal.as_mut(), &ack, true).unwrap_or_else(|e| panic!("ack {n}: {e}"));
            expected.push(ack);
            let free_bytes = capacity_bytes - disk.used_bytes();
            match append_flagged(journal.as_mut(), &[1; 9000], false) {
                Err(error) => assert_eq!(error.kind(), JournalErrorKind::Limit),
                Ok(_) => {
                    assert!(free_bytes >= (64 << 10) + 9000, "only {free_bytes} bytes were free");
                    expected.push(vec![1; 9000]);
                }
            }
        }
        // Also across a restart on the full disk.
        drop(journal);
        disk.cycle_power();
        assert!(replay(&disk, &options).unwrap() == expected, "capacity {capacity_bytes}");
        let mut journal = try_open(&disk, &options).unwrap().journal;
        append_flagged(journal.as_mut(), b"ack after restart", true).unwrap();
        expected.push(b"ack after restart".to_vec());
        // Draining made everything dead: a snapshot, removal, and publishing goes on.
        let housekeeping = journal.housekeeping();
        housekeeping.write_snapshot(journal.end(), &mut |sink| sink.record(b"empty")).unwrap();
        for segment in housekeeping.segments().iter().filter(|s| s.sealed) {
            housekeeping.remove_segment(segment.base).unwrap();
        }
        for n in 0..10u8 {
            append_flagged(journal.as_mut(), &[n; 1600], false)
                .unwrap_or_else(|e| panic!("publish {n}: {e}"));
        }
        drop((journal, housekeeping));
        disk.cycle_power();
        assert_eq!(replay(&disk, &options).unwrap().len(), 10);
    }
}

#[test]
fn when_others_eat_the_disk_acks_use_the_reserve_to_its_end() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let options = Options { disk_reserve_bytes: 128 << 10, ..options() };
        let mut journal = try_open(&disk, &options).unwrap().journal;
        let mut expected = Vec::new();
        for n in 0..seed as u8 {
            append_flagged(journal.as_mut(), &[n; 900], false).unwrap();
            expected.push(vec![n; 900]);
        }
        disk.set_capacity_bytes(disk.used_bytes() + seed * 100);
        let mut acks = 0u64;
        let full = loop {
            match append_flagged(journal.as_mut(), &acks.to_le_bytes(), true) {
                Ok(_) => expected.push(acks.to_le_bytes().to_vec()),
                Err(error) => break error,
            }
            acks += 1;
            assert!(acks < 10_000, "seed {seed}: a disk without end");
        };
        assert!(matches!(full, JournalError::Full { .. }), "seed {seed}: {full}");
        assert!(acks > 200, "seed {seed}: only {acks} acknowledgements found space");
        // Still usable, and as soon as there is space everything goes.
        disk.set_capacity_bytes(u64::MAX);
        append_flagged(journal.as_mut(), b"publish", false).unwrap();
        expected.push(b"publish".to_vec());
        drop(journal);
        disk.cycle_power();
        assert!(replay(&disk, &options).unwrap() == expected, "seed {seed}");
    }
}

#[test]
fn a_batch_refused_for_lack_of_space_never_comes_back() {
    // Without a reserve the disk fills to the last byte, so that writes stop anywhere in a batch.
    for capacity_bytes in (40_000..44_200).step_by(7) {
        let disk = SimDisk::new(capacity_bytes);
        disk.set_capacity_bytes(capacity_bytes);
        let mut journal = try_open(&disk, &options()).unwrap().journal;
        let mut count = 0u8;
        while append(journal.as_mut(), &vec![count; 700 + usize::from(count)]).is_ok() {
            count += 1;
        }
        // Every other time, because what is appended next would hide what was left behind.
        let small = capacity_bytes % 2 == 0 && append(journal.as_mut(), b"small").is_ok();
        drop(journal);
        disk.cycle_power();
        disk.set_capacity_bytes(u64::MAX);
        let records = replay(&disk, &options()).unwrap();
        assert_eq!(records.len(), usize::from(count) + usize::from(small), "capacity {capacity_bytes}");
    }
}

/// Writes a batch of one record of 100 bytes, 144 in all, without a sync.
fn write(journal: &mut dyn Journal, n: u8) {
    let mut builder = journal.batch_builder();
    builder.record(|buf| buf.extend_from_slice(&[n; 100])).unwrap();
    builder.set_durable(journal.durable());
    journal.write(&builder.finish()).unwrap();
}

#[test]
fn what_was_not_synced_is_given_up_and_what_was_is_damage() {
    const BATCH_BYTES: u64 = 144;
    for damaged in 0..8u64 {
        let disk = SimDisk::new(damaged);
        let mut journal = try_open(&disk, &options()).unwrap().journal;
        for n in 0..8 {
            if n == 6 {
                // The batches behind say that those before it are durable.
                journal.sync().unwrap();
            }
            write(journal.as_mut(), n);
        }
        assert_eq!(
            (journal.durable(), journal.end()),
            (Position(6 * BATCH_BYTES), Position(8 * BATCH_BYTES))
        );
        drop(journal);
        let offset = SEGMENT_HEADER_BYTES as usize + (damaged * BATCH_BYTES) as usize + 60;
        assert!(disk.damage(&segment_file(Position::START), offset, 1));
        if damaged < 6 {
            let error = try_open(&disk, &options()).err().unwrap();
            assert_eq!(error.kind(), JournalErrorKind::Corrupt, "batch {damaged} was synced");
        } else {
            assert_eq!(replay(&disk, &options()).unwrap().len() as u64, damaged, "never promised");
        }
    }
}

#[test]
fn a_failed_sync_is_final_also_from_beside_the_writer() {
    let disk = SimDisk::new(3);
    let mut journal = try_open(&disk, &options()).unwrap().journal;
    write(journal.as_mut(), 1);
    disk.fail_sync(1);
    assert!(journal.housekeeping().sync().unwrap_err().is_final());
    let mut builder = journal.batch_builder();
    builder.record(|buf| buf.push(1)).unwrap();
    builder.set_durable(journal.durable());
    assert!(journal.write(&builder.finish()).unwrap_err().is_final(), "the writer stops too");
    assert!(journal.sync().unwrap_err().is_final() && journal.housekeeping().sync().unwrap_err().is_final());
    assert_eq!(journal.durable(), Position::START);
}

#[test]
fn a_segment_that_is_being_read_is_not_recycled() {
    // Also a quarter of it, which is what segments have at first, is larger than what a scan reads at once.
    let options = Options { segment_bytes: 4 << 20, ..options() };
    let disk = SimDisk::new(9);
    let mut journal = try_open(&disk, &options).unwrap().journal;
    let mut written = 0u32;
    let mut write = |journal: &mut dyn Journal, segments: usize| {
        while journal.housekeeping().segments().len() < segments {
            append(journal, &written.to_le_bytes().repeat(4096)).unwrap();
            written += 1;
        }
    };
    write(journal.as_mut(), 3);
    let (housekeeping, reader) = (journal.housekeeping(), journal.reader());
    housekeeping.write_snapshot(journal.end(), &mut |sink| sink.record(b"all")).unwrap();
    let first = housekeeping.segments()[0];
    let mut seen = 0u32;
    reader
        .scan(Position::START, first.end, &mut |_, payload| {
            assert!(payload == seen.to_le_bytes().repeat(4096), "record {seen} changed while it was read");
            if seen == 0 {
                housekeeping.remove_segment(first.base)?;
                write(journal.as_mut(), 4);
            }
            seen += 1;
            Ok(())
        })
        .unwrap();
    assert!(seen > 32, "only {seen} records in the segment");
    // One that nobody reads is.
    housekeeping.remove_segment(housekeeping.segments()[0].base).unwrap();
    assert!(disk.image().keys().any(|name| name.starts_with("spare-")));
}

#[test]
fn what_is_prepared_follows_what_is_held() {
    const SEGMENT_BYTES: u64 = 512 << 10;
    const HELD_BYTES: u64 = 40 << 20;
    let options = Options { segment_bytes: SEGMENT_BYTES, disk_reserve_bytes: 512 << 10, background: false };
    let disk = SimDisk::new(10);
    let mut journal = try_open(&disk, &options).unwrap().journal;
    let everything = |disk: &SimDisk| disk.image().values().map(|file| file.len() as u64).sum::<u64>();
    let length = |segment: &SegmentInfo| segment.file_bytes - SEGMENT_HEADER_BYTES;
    // Nobody keeps anything: it takes less than two segments, all in all.
    for round in 0..200u32 {
        append(journal.as_mut(), &round.to_le_bytes().repeat(4096)).unwrap();
        let housekeeping = journal.housekeeping();
        let sealed: Vec<_> = housekeeping.segments().into_iter().filter(|segment| segment.sealed).collect();
        if !sealed.is_empty() {
            housekeeping.write_snapshot(journal.end(), &mut |sink| sink.record(b"nothing")).unwrap();
        }
        for segment in sealed {
            assert!(length(&segment) <= SEGMENT_BYTES / 4);
            housekeeping.remove_segment(segment.base).unwrap();
        }
        assert!(everything(&disk) < 2 * SEGMENT_BYTES, "{} bytes in round {round}", everything(&disk));
    }
    // A backlog makes segments longer,
    let housekeeping = journal.housekeeping();
    let held_bytes = || housekeeping.segments().iter().map(SegmentInfo::len_bytes).sum::<u64>();
    while held_bytes() < HELD_BYTES {
        append(journal.as_mut(), &[1; 16 << 10]).unwrap();
    }
    assert_eq!(housekeeping.segments().iter().map(length).max(), Some(SEGMENT_BYTES));
    let files_bytes = housekeeping.segments().iter().map(|segment| segment.file_bytes).sum::<u64>();
    assert!(files_bytes < HELD_BYTES / 8 * 9, "{files_bytes} bytes of files");
    assert!(everything(&disk) < files_bytes + 2 * SEGMENT_BYTES);
    // and when it is gone, so is what was prepared for it, also what is in use.
    housekeeping.write_snapshot(journal.end(), &mut |sink| sink.record(b"all")).unwrap();
    for segment in housekeeping.segments().iter().filter(|segment| segment.sealed) {
        housekeeping.remove_segment(segment.base).unwrap();
    }
    for n in 0..2u8 {
        append(journal.as_mut(), &[n; 100]).unwrap();
    }
    let active = *housekeeping.segments().last().unwrap();
    assert!(length(&active) <= SEGMENT_BYTES / 3, "{active:?}");
    assert!(everything(&disk) < 2 * SEGMENT_BYTES, "{} bytes at the end", everything(&disk));
    drop((journal, housekeeping));
    disk.cycle_power();
    assert_eq!(replay(&disk, &options).unwrap(), [[0; 100], [1; 100]]);
    assert!(examine_on(&disk).unwrap().is_sound());
}

#[test]
fn flipped_bits_on_reading_never_become_content() {
    let mut opened = 0;
    for seed in 0..60 {
        let disk = SimDisk::new(seed);
        let mut journal = try_open(&disk, &options()).unwrap().journal;
        let locations = fill(journal.as_mut(), 3);
        drop(journal);
        disk.set_read_flips(Some(12));
        match replay(&disk, &options()) {
            Ok(records) => {
                opened += 1;
                assert!(records.len() <= locations.len());
                for (n, record) in records.iter().enumerate() {
                    assert!(
                        *record == format!("{n:04}").repeat(250).as_bytes(),
                        "seed {seed}: record {n} differs"
                    );
                }
            }
            Err(error) => assert!(
                matches!(error.kind(), JournalErrorKind::Corrupt | JournalErrorKind::Invalid),
                "seed {seed}: {error}"
            ),
        }
    }
    assert!(opened > 5, "looking twice should help more often than {opened} times of 60");
}

#[test]
fn a_damaged_newest_snapshot_falls_back_to_the_one_before() {
    let disk = SimDisk::new(8);
    let mut journal = try_open(&disk, &options()).unwrap().journal;
    append(journal.as_mut(), b"one").unwrap();
    let first = journal.end();
    journal.housekeeping().write_snapshot(first, &mut |s| s.record(b"state 1")).unwrap();
    append(journal.as_mut(), b"two").unwrap();
    let second = journal.end();
    journal.housekeeping().write_snapshot(second, &mut |s| s.record(b"state 2")).unwrap();
    append(journal.as_mut(), b"three").unwrap();
    drop(journal);
    assert!(disk.damage(&format!("{:020}.snap", second.0), 60, 1));
    let report = examine_on(&disk).unwrap();
    assert!(!report.is_sound() && report.first_damage.unwrap().file.ends_with(".snap"));
    assert_eq!(try_open(&disk, &options()).unwrap().recovery.snapshot_position(), Some(first));
    assert_eq!(replay(&disk, &options()).unwrap(), [b"two".to_vec(), b"three".to_vec()]);
    assert!(disk.damage(&format!("{:020}.snap", first.0), 60, 1));
    assert_eq!(try_open(&disk, &options()).err().unwrap().kind(), JournalErrorKind::Corrupt);
}

#[test]
fn a_locked_directory_names_who_holds_it() {
    let directory = tempfile::tempdir().unwrap();
    let held = open(directory.path(), options()).unwrap();
    let error = open(directory.path(), options()).err().unwrap();
    assert_eq!(error.kind(), JournalErrorKind::Conflict);
    let text = error.to_string();
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    let report = baton_journal_file::doctor::examine(directory.path()).unwrap();
    assert_eq!(report.in_use_by, Some(format!("process {}", std::process::id())));
    // Whoever still reads does not keep the lock.
    let (reader, housekeeping) = (held.journal.reader(), held.journal.housekeeping());
    drop(held);
    drop(open(directory.path(), options()).unwrap());
    assert!(housekeeping.write_snapshot(Position::START, &mut |_| Ok(())).is_err(), "it is closed");
    drop(reader);
}

#[test]
fn examining_a_directory_that_is_none_fails_and_creates_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("nothing");
    assert!(baton_journal_file::doctor::examine(&missing).is_err());
    assert!(!missing.exists());
}
