//! Target for the journal on disk: opening, recovering and reading whatever files are there, through the simulated disk.
//!
//! The first byte chooses. Even: the rest is a script that writes a journal and then damages its files, and what is read afterwards is
//! compared with what was written. Odd: the rest is the files themselves, if bit 1 is set with their checksums put right, so that
//! the checks behind the checksums are reached.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use baton_journal::frame::crc32c;
use baton_journal::{JournalError, Location, Opened, Position};
use baton_journal_file::disk::Disk;
use baton_journal_file::{Options, SEGMENT_HEADER_BYTES, SimDisk, doctor, open_on};

/// Most batches, reopenings and damages of one script.
const STEPS_MAX: usize = 64;
/// Behind every header page of a file given in full: header, seal and mark, then batches.
const SLOTS: [(usize, usize); 3] = [(0, 64), (512, 24), (1024, 24)];
const PAGE_BYTES: usize = 4096;

/// Records in the order in which they were read.
type Records = Vec<(Location, Vec<u8>)>;

/// Records by their place, and where batches end.
#[derive(Default)]
struct Written {
    records: BTreeMap<Position, Vec<u8>>,
    batch_ends: Vec<Position>,
}

/// What the damage of a script allows.
#[derive(Default)]
struct Harm {
    /// Something other than the batches of the newest segment was touched.
    anywhere: bool,
    /// The first touched place in the newest segment's batches.
    newest_from: Option<Position>,
    /// All that was done there is to cut the file.
    only_cut: bool,
}

fn options() -> Options {
    Options { segment_bytes: 4096, disk_reserve_bytes: 0, background: false }
}

/// Opens, recovers and reads what the input describes.
pub fn journal(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else { return };
    if mode % 2 == 0 { script(rest) } else { files(rest, mode & 2 != 0) }
}

fn byte(data: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = data.split_first()?;
    *data = rest;
    Some(first)
}

fn number(data: &mut &[u8]) -> Option<usize> {
    Some(usize::from(u16::from_le_bytes([byte(data)?, byte(data)?])))
}

/// Everything that recovery yields, or why there is nothing.
fn recover(disk: &SimDisk) -> Result<(Opened, Records), JournalError> {
    let mut opened = open_on(Arc::new(disk.clone()), options())?;
    let mut found = Vec::new();
    opened.recovery.read_snapshot(&mut |_| Ok(()))?;
    opened.recovery.replay(&mut |location, bytes| {
        found.push((location, bytes.to_vec()));
        Ok(())
    })?;
    Ok((opened, found))
}

/// What was recovered can be read by its location, nothing can be read beyond the end, and all of it is there after an append
/// and another opening.
fn use_it(disk: &SimDisk, mut opened: Opened, found: &[(Location, Vec<u8>)]) {
    let reader = opened.journal.reader();
    for (location, bytes) in found {
        assert_eq!(
            reader.read(*location).unwrap(),
            bytes.as_slice(),
            "a record reads differently by location"
        );
    }
    let end = opened.journal.end();
    for position in [end, end.plus(8), Position(end.0.saturating_sub(1))] {
        let read = reader.read(Location { position, len_bytes: 9 });
        assert!(read.is_err(), "something was read beyond the end");
    }
    if end.0 > u64::MAX / 2 {
        return;
    }
    let mut builder = opened.journal.batch_builder();
    let added = builder.record(|buf| buf.extend_from_slice(b"added")).unwrap();
    opened.journal.append(&builder.finish()).unwrap();
    drop((opened, reader));
    let (_opened, again) = recover(disk).unwrap();
    let (last, before) = again.split_last().unwrap();
    assert!(before == found, "another opening finds something else");
    assert_eq!((last.0, last.1.as_slice()), (added, b"added".as_slice()));
}

fn script(mut data: &[u8]) {
    let disk = SimDisk::new(7);
    let mut written = Written::default();
    let mut opened = open_on(Arc::new(disk.clone()), options()).unwrap();
    for _ in 0..STEPS_MAX {
        let Some(step) = byte(&mut data) else { break };
        match step % 8 {
            0..=3 => {
                let mut builder = opened.journal.batch_builder();
                for n in 0..=step % 4 {
                    let record = vec![step ^ n; number(&mut data).unwrap_or(1) % 1500];
                    let location = builder.record(|buf| buf.extend_from_slice(&record)).unwrap();
                    // Nothing in two records of no bytes tells them apart but their place.
                    written.records.insert(location.position, record);
                }
                written.batch_ends.push(opened.journal.append(&builder.finish()).unwrap());
            }
            4 => {
                let end = opened.journal.end();
                // Refused when there is one already.
                let _maybe = opened.journal.housekeeping().write_snapshot(end, &mut |sink| {
                    sink.record(&[step; 40])?;
                    sink.record(b"")
                });
            }
            5 | 6 => {
                drop(opened);
                opened = open_on(Arc::new(disk.clone()), options()).unwrap();
            }
            _ => break,
        }
    }
    let end = opened.journal.end();
    drop(opened);
    let harm = damage(&disk, data, end);
    let _report = doctor::examine_on(&disk).unwrap();
    judge(&disk, &written, &harm, end);
}

/// Changes, cuts and extends files as the input says.
fn damage(disk: &SimDisk, mut data: &[u8], end: Position) -> Harm {
    let mut harm = Harm { only_cut: true, ..Harm::default() };
    let names: Vec<String> = disk.image().into_keys().collect();
    let newest = names.iter().rfind(|name| name.ends_with(".seg")).cloned().unwrap_or_default();
    let base = newest.trim_end_matches(".seg").parse().map(Position).unwrap_or_default();
    for _ in 0..STEPS_MAX {
        let (Some(which), Some(at), Some(how)) = (byte(&mut data), number(&mut data), byte(&mut data)) else {
            break;
        };
        let name = &names[usize::from(which) % names.len()];
        let file = disk.open(name).unwrap();
        let len = usize::try_from(file.len_bytes().unwrap()).unwrap();
        let at = at % (len + PAGE_BYTES);
        match how % 4 {
            0 => file.set_len_bytes(at.min(len) as u64).unwrap(),
            1 => file.write_at(at as u64, &[how; 70]).unwrap(),
            _ if at < len => assert!(disk.damage(name, at, usize::from(how).max(1).to_le_bytes()[0])),
            _ => continue,
        }
        if name.starts_with("spare-") || name == "lock" {
            continue;
        }
        let position = base.plus((at as u64).saturating_sub(SEGMENT_HEADER_BYTES));
        if *name != newest || (at as u64) < SEGMENT_HEADER_BYTES {
            harm.anywhere = true;
        } else {
            harm.only_cut &= how % 4 == 0;
            if position < end {
                let first = harm.newest_from.map_or(position, |first| first.min(position));
                harm.newest_from = Some(first);
            }
        }
    }
    harm
}

/// Nothing is recovered that was not written, nothing is missing in the middle, and what stands before the damage is there.
fn judge(disk: &SimDisk, written: &Written, harm: &Harm, end: Position) {
    let (opened, found) = match recover(disk) {
        Ok(recovered) => recovered,
        Err(error) => {
            let cut = harm.only_cut || harm.newest_from.is_none();
            // Garbage behind the end is a torn tail, and so is a cut, unless a snapshot knows what was cut off.
            let covered =
                disk.image().keys().filter_map(|name| name.strip_suffix(".snap")?.parse().ok()).max();
            let lost = harm.newest_from.is_some_and(|from| from < Position(covered.unwrap_or(0)));
            assert!(harm.anywhere || !cut || lost, "it does not open: {error}");
            return;
        }
    };
    for (location, bytes) in &found {
        assert_eq!(written.records.get(&location.position), Some(bytes), "a record that was never written");
    }
    let from = opened.recovery.snapshot_position().unwrap_or_default();
    let reached = opened.journal.end();
    // Behind 40 bytes of a batch, but an empty record may be the last thing of one.
    let expected = written.records.range((Bound::Excluded(from), Bound::Included(reached))).count();
    assert_eq!(found.len(), expected, "records are missing between {from} and {reached}");
    if !harm.anywhere {
        let sound = harm.newest_from.unwrap_or(end);
        let whole = written.batch_ends.iter().rfind(|batch_end| **batch_end <= sound);
        assert!(reached >= whole.copied().unwrap_or_default(), "a sound batch before {sound} was given up");
    }
    use_it(disk, opened, &found);
}

fn files(mut data: &[u8], repair: bool) {
    let disk = SimDisk::new(7);
    while let (Some(kind), Some(len)) = (byte(&mut data), number(&mut data)) {
        let (content, rest) = data.split_at(len.min(data.len()));
        data = rest;
        let mut content = if kind % 4 == 1 { content.to_vec() } else { spread(content) };
        if repair {
            put_right(&mut content, kind % 4 == 1);
        }
        // Both kinds of files repeat their name there.
        let position = content.get(16..24).map_or(0, |at| u64::from_le_bytes(at.try_into().unwrap()));
        let name = match kind % 4 {
            0 => format!("{position:020}.seg"),
            1 => format!("{position:020}.snap"),
            2 => format!("{position:020}.idle"),
            _ => format!("spare-{position:020}"),
        };
        disk.create(&name).unwrap().write_at(0, &content).unwrap();
    }
    let _report = doctor::examine_on(&disk).unwrap();
    if let Ok((opened, found)) = recover(&disk) {
        use_it(&disk, opened, &found);
    }
}

/// The input has the parts of the header page without the zeros between them.
fn spread(mut content: &[u8]) -> Vec<u8> {
    let parts: usize = SLOTS.iter().map(|(_, len)| len).sum();
    if content.len() < parts {
        return content.to_vec();
    }
    let mut file = vec![0; PAGE_BYTES];
    for (at, len) in SLOTS {
        let (part, rest) = content.split_at(len);
        file[at..at + len].copy_from_slice(part);
        content = rest;
    }
    file.extend_from_slice(content);
    file
}

fn put_right(file: &mut [u8], snapshot: bool) {
    let covered = if snapshot { 12..32 } else { 12..64 };
    let Some(crc) = file.get(covered).map(crc32c) else { return };
    file[8..12].copy_from_slice(&crc.to_le_bytes());
    if snapshot {
        return put_right_chain(file, 32, 0, 4, 16, 1);
    }
    for (at, len) in &SLOTS[1..] {
        if let Some(crc) = file.get(at + 8..at + len).map(crc32c) {
            file[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        }
    }
    put_right_chain(file, PAGE_BYTES, 4, 12, 40, 8);
}

/// Batches of a segment, or blocks of a snapshot: a checksum over everything behind it, a length of what follows the head.
fn put_right_chain(file: &mut [u8], start: usize, crc_at: usize, len_at: usize, head: usize, align: usize) {
    let mut at = start;
    while let Some(len) = file.get(at + len_at..at + len_at + 4) {
        let len = u32::from_le_bytes(len.try_into().unwrap()) as usize;
        let Some(crc) = file.get(at + crc_at + 4..at + head + len).map(crc32c) else { return };
        file[at + crc_at..at + crc_at + 4].copy_from_slice(&crc.to_le_bytes());
        at += (head + len).next_multiple_of(align);
    }
}
