//! Finding out what a directory holds: which snapshot counts, which segments follow it, where the journal ends, and
//! whether all of that is sound. Only reads. Opening acts on the result; the examiner reports it.

use std::sync::Arc;

use baton_journal::frame::{ALIGN_BYTES, BatchDefect};
use baton_journal::{JournalError, Position, TornTail};

use crate::disk::{Disk, DiskFile};
use crate::layout::{
    FileKind, SEGMENT_HEADER_BYTES, SegmentHeader, decode_header, file_kind, idle_name, segment_name,
    snapshot_name,
};
use crate::scan::{SegmentScan, offset_in_file, unreadable};
use crate::snapshot;

/// A segment file, its header read.
pub(crate) struct FoundSegment {
    pub(crate) name: String,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) file_bytes: u64,
    pub(crate) header: SegmentHeader,
    /// Where its batches end. From the seal; of the newest, found by walking.
    pub(crate) end: Position,
}

/// Names of the files of a directory, sorted by what they are.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    pub(crate) segments: Vec<Position>,
    /// An empty newest segment whose header was being replaced.
    pub(crate) idle: Vec<Position>,
    /// Newest first.
    pub(crate) snapshots: Vec<Position>,
    pub(crate) spares: Vec<u64>,
    pub(crate) reserve: bool,
    pub(crate) temporary: Vec<String>,
}

pub(crate) fn inventory(disk: &dyn Disk) -> Result<Inventory, JournalError> {
    let mut found = Inventory::default();
    for name in disk.list().map_err(|e| unreadable(&disk.name(), e))? {
        match file_kind(&name) {
            FileKind::Segment(base) => found.segments.push(base),
            FileKind::Idle(base) => found.idle.push(base),
            FileKind::Snapshot(position) => found.snapshots.push(position),
            FileKind::Spare(count) => found.spares.push(count),
            FileKind::Reserve => found.reserve = true,
            FileKind::Temporary => found.temporary.push(name),
            FileKind::Lock | FileKind::Foreign => {}
        }
    }
    found.segments.sort_unstable();
    found.snapshots.sort_unstable_by(|a, b| b.cmp(a));
    found.spares.sort_unstable();
    Ok(found)
}

/// What recovery has to work with.
pub(crate) struct Survey {
    pub(crate) segments: Vec<FoundSegment>,
    /// Base of the idle file that stands for the empty newest segment.
    pub(crate) idle: Option<Position>,
    /// The first counts.
    pub(crate) snapshots: Vec<Position>,
    pub(crate) end: Position,
    pub(crate) torn_tail: Option<TornTail>,
    pub(crate) inventory: Inventory,
}

fn corrupt(file: &str, offset: u64, what: impl Into<String>) -> JournalError {
    JournalError::Corrupt { file: file.to_owned(), offset, what: what.into() }
}

pub(crate) fn find_segment(disk: &dyn Disk, base: Position) -> Result<FoundSegment, JournalError> {
    let name = segment_name(base);
    let file = disk.open(&name).map_err(|e| unreadable(&name, e))?;
    let file_bytes = file.len_bytes().map_err(|e| unreadable(&name, e))?;
    let mut page = vec![0; usize::try_from(SEGMENT_HEADER_BYTES).unwrap_or(4096)];
    let read = |page: &mut [u8]| file.read_at(0, page).map_err(|e| unreadable(&name, e));
    if read(&mut page)? < page.len() {
        return Err(corrupt(&name, file_bytes, "the file ends within the segment header"));
    }
    let header = match decode_header(&page, &name, base) {
        Ok(header) => header,
        // Looked at twice, as batches are.
        Err(_) => {
            read(&mut page)?;
            decode_header(&page, &name, base)?
        }
    };
    Ok(FoundSegment { name, file, file_bytes, header, end: header.seal.unwrap_or(base) })
}

/// The snapshots with the newest sound one first, and behind it all others. A damaged one is passed over, loudly, if
/// an older one can be read; whether the segments behind that one still exist is found out later.
fn usable_snapshots(disk: &dyn Disk, snapshots: &[Position]) -> Result<Vec<Position>, JournalError> {
    let mut first_error = None;
    for (i, position) in snapshots.iter().enumerate() {
        match snapshot::read(disk, *position, &mut |_| Ok(())) {
            Ok(_) => {
                let mut sorted = snapshots.to_vec();
                sorted.rotate_left(i);
                return Ok(sorted);
            }
            Err(error) => {
                tracing::warn!(snapshot = snapshot_name(*position), %error, "a snapshot cannot be used");
                first_error.get_or_insert(error);
            }
        }
    }
    first_error.map_or(Ok(Vec::new()), Err)
}

/// Walks the batches of `segment` from `from` until `until` or a defect.
fn walk(
    segment: &FoundSegment,
    from: Position,
    until: Option<Position>,
    window: &mut Vec<u8>,
) -> Result<(Position, Option<BatchDefect>), JournalError> {
    let (base, epoch) = (segment.header.base, segment.header.epoch);
    let mut scan =
        SegmentScan::new(segment.file.as_ref(), &segment.name, base, epoch)?.reusing(std::mem::take(window));
    let (mut at, mut found) = (from, None);
    while found.is_none() && until.is_none_or(|until| at < until) {
        match scan.batch_at(at)? {
            Ok(header) => at = at.plus(header.framed_bytes()),
            Err(defect) => found = Some(defect),
        }
    }
    *window = scan.into_window();
    Ok((at, found))
}

/// Checks a sealed segment from `from` on: its batches must reach its seal exactly.
fn check_sealed(
    segment: &FoundSegment,
    from: Position,
    seal: Position,
    window: &mut Vec<u8>,
) -> Result<(), JournalError> {
    let (at, defect) = walk(segment, from, Some(seal), window)?;
    let offset = offset_in_file(segment.header.base, at);
    match defect {
        Some(defect) => Err(corrupt(&segment.name, offset, defect.to_string())),
        None if at != seal => Err(corrupt(&segment.name, offset, "the last batch reaches beyond the seal")),
        None => Ok(()),
    }
}

/// Finds the end of the newest segment, which has no seal, and judges what stands there.
pub(crate) fn find_tail(
    segment: &FoundSegment,
    from: Position,
    window: &mut Vec<u8>,
) -> Result<(Position, Option<TornTail>), JournalError> {
    let header = &segment.header;
    let (end, defect) = walk(segment, from, None, window)?;
    let offset = offset_in_file(header.base, end);
    let defect = defect.unwrap_or(BatchDefect::NoBatch);
    if header.mark.is_some_and(|mark| mark > end) {
        return Err(corrupt(&segment.name, offset, format!("{defect}, though this place was synced")));
    }
    // The padding of the last batch may be torn off; what a snapshot covers may not.
    if segment.file_bytes + ALIGN_BYTES as u64 <= offset {
        let what = format!("the file ends in front of position {end}, which a snapshot covers");
        return Err(corrupt(&segment.name, segment.file_bytes, what));
    }
    let mut scan = SegmentScan::new(segment.file.as_ref(), &segment.name, header.base, header.epoch)?
        .reusing(std::mem::take(window));
    let mut follows = false;
    let mut at = end;
    while let Some(behind) = scan.valid_batch_behind(at)? {
        follows = true;
        // It was written when this place was durable already. (Version 1 left that to a flag of the segment.)
        if behind.durable > end && !header.relaxed {
            let found = offset_in_file(header.base, behind.base);
            let what =
                format!("{defect}, but a valid batch that was written later follows at offset {found}");
            return Err(corrupt(&segment.name, offset, what));
        }
        let next = behind.base.plus(behind.framed_bytes() - ALIGN_BYTES as u64);
        if next <= at {
            break;
        }
        at = next;
    }
    let clean = !follows && matches!(defect, BatchDefect::NoBatch | BatchDefect::Stale { .. });
    let torn = || TornTail { file: segment.name.clone(), offset, position: end, what: defect.to_string() };
    Ok((end, (!clean).then(torn)))
}

/// Checks all segments against each other and, from `start` on, batch by batch. Returns the end.
fn check_segments(
    segments: &mut [FoundSegment],
    idle: Option<Position>,
    start: Position,
) -> Result<(Position, Option<TornTail>), JournalError> {
    let bases: Vec<Position> = segments.iter().map(|s| s.header.base).chain(idle).collect();
    if bases.first().is_none_or(|first| *first > start) && !(bases.is_empty() && start == Position::START) {
        let missing = segment_name(start);
        return Err(corrupt(&missing, 0, format!("no segment file holds position {start}")));
    }
    let mut torn_tail = None;
    let mut window = Vec::new();
    for (i, segment) in segments.iter_mut().enumerate() {
        let from = segment.header.base.max(start);
        match (segment.header.seal, bases.get(i + 1)) {
            (Some(seal), next) => {
                if seal >= start {
                    check_sealed(segment, from, seal, &mut window)?;
                }
                let joined = next.is_none_or(|next| *next == seal || (*next > seal && *next <= start));
                if !joined {
                    let what =
                        format!("the segment ends at {seal}, but the next begins elsewhere: one is missing");
                    return Err(corrupt(&segment_name(seal), 0, what));
                }
            }
            (None, Some(_)) => {
                let offset = crate::layout::SEAL_OFFSET;
                return Err(corrupt(&segment.name, offset, "it has no seal, though a later segment exists"));
            }
            (None, None) => (segment.end, torn_tail) = find_tail(segment, from, &mut window)?,
        }
    }
    let end = idle.or(segments.last().map(|s| s.end)).unwrap_or_default();
    if end < start {
        let name = segments.last().map_or_else(|| idle_name(end), |s| s.name.clone());
        return Err(corrupt(&name, 0, format!("the journal ends at {end}, before the snapshot at {start}")));
    }
    Ok((end, torn_tail))
}

/// Finds out what `disk` holds.
pub(crate) fn survey(disk: &dyn Disk) -> Result<Survey, JournalError> {
    let inventory = inventory(disk)?;
    let snapshots = usable_snapshots(disk, &inventory.snapshots)?;
    let mut segments =
        inventory.segments.iter().map(|base| find_segment(disk, *base)).collect::<Result<Vec<_>, _>>()?;
    let newest = inventory.segments.last();
    let idle = inventory.idle.iter().copied().max().filter(|idle| newest.is_none_or(|newest| newest < idle));
    let start = snapshots.first().copied().unwrap_or_default();
    let (end, torn_tail) = check_segments(&mut segments, idle, start)?;
    Ok(Survey { segments, idle, snapshots, end, torn_tail, inventory })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{SEAL_OFFSET, encode_seal};
    use crate::{Options, SimDisk, open_on};

    #[test]
    fn a_seal_that_disagrees_with_the_batches_is_corruption() {
        let disk = SimDisk::new(1);
        let options = Options { background: false, ..Options::default() };
        for n in 0..2 {
            let mut journal = open_on(Arc::new(disk.clone()), options.clone()).unwrap().journal;
            let mut builder = journal.batch_builder();
            builder.record(|buf| buf.extend_from_slice(&[n; 100])).unwrap();
            journal.append(&builder.finish()).unwrap();
        }
        let found = survey(&disk).unwrap();
        let (first, end) = (&found.segments[0], found.segments[0].end);
        assert_eq!((first.header.seal, end), (Some(Position(144)), Position(144)));
        for wrong in [Position(136), Position(152)] {
            first.file.write_at(SEAL_OFFSET, &encode_seal(first.header.epoch, wrong)).unwrap();
            let error = survey(&disk).err().unwrap();
            assert!(matches!(error, JournalError::Corrupt { .. }), "{error}");
        }
        first.file.write_at(SEAL_OFFSET, &encode_seal(first.header.epoch, end)).unwrap();
        assert_eq!(survey(&disk).unwrap().end, Position(288));
    }
}
