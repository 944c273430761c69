//! The examiner behind `baton doctor`: looks at every byte of a directory, also at what recovery would not read,
//! and changes nothing. Judging is `survey`'s; here it is counted and told.

use std::fmt;
use std::path::PathBuf;

use baton_journal::{JournalError, Position, TornTail};

use crate::disk::{Disk, LockFailure};
use crate::layout::{RESERVE_FILE, segment_name, snapshot_name, spare_name};
use crate::os_disk::OsDisk;
use crate::scan::{SegmentScan, offset_in_file, unreadable};
use crate::snapshot;
use crate::survey::{FoundSegment, find_segment, find_tail, inventory, survey};

/// What a directory holds and what opening it would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The directory.
    pub directory: String,
    /// Who has it open right now; its newest batch may then look torn.
    pub in_use_by: Option<String>,
    /// All segments, oldest first.
    pub segments: Vec<SegmentReport>,
    /// All snapshots, newest first.
    pub snapshots: Vec<SnapshotReport>,
    /// Bytes of files that are kept for later segments.
    pub spare_bytes: u64,
    /// The oldest damage, whether or not recovery would meet it.
    pub first_damage: Option<Damage>,
    /// What opening would do.
    pub recovery: Forecast,
}

/// One segment file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReport {
    /// File name.
    pub file: String,
    /// Position of its first batch.
    pub base: Position,
    /// Position behind the last valid batch.
    pub end: Position,
    /// Whether it is closed.
    pub sealed: bool,
    /// Valid batches.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of these records.
    pub record_bytes: u64,
    /// Length of the file.
    pub file_bytes: u64,
    /// What is wrong with it.
    pub damage: Option<Damage>,
}

/// One snapshot file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotReport {
    /// File name.
    pub file: String,
    /// The state it holds is that before this position.
    pub position: Position,
    /// Records in it.
    pub records: u64,
    /// Length of the file.
    pub file_bytes: u64,
    /// What is wrong with it.
    pub damage: Option<Damage>,
}

/// A place where something else stands than should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// File name.
    pub file: String,
    /// Byte offset in it.
    pub offset: u64,
    /// What was expected and found.
    pub what: String,
}

/// What opening would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forecast {
    /// It would open.
    Opens {
        /// The snapshot it would start from.
        snapshot: Option<Position>,
        /// The end of the journal.
        end: Position,
        /// The torn tail it would cut off.
        torn_tail: Option<TornTail>,
    },
    /// It would refuse, with this error.
    Refuses {
        /// The text of the error.
        error: String,
    },
}

impl Report {
    /// Whether there is no damage; a torn tail is none.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.first_damage.is_none() && matches!(self.recovery, Forecast::Opens { .. })
    }
}

fn damage_of(error: JournalError, file: &str) -> Damage {
    match error {
        JournalError::Corrupt { file, offset, what } => Damage { file, offset, what },
        other => Damage { file: file.to_owned(), offset: 0, what: other.to_string() },
    }
}

fn count_batches(found: &FoundSegment, report: &mut SegmentReport) -> Result<(), JournalError> {
    let header = &found.header;
    let mut scan = SegmentScan::new(found.file.as_ref(), &found.name, header.base, header.epoch)?;
    while header.seal.is_none_or(|seal| report.end < seal) {
        let offset = offset_in_file(header.base, report.end);
        match scan.batch_at(report.end)? {
            Ok(batch) => {
                report.batches += 1;
                report.records += u64::from(batch.record_count);
                let lengths = u64::from(batch.record_count) * 4;
                report.record_bytes += u64::from(batch.payload_bytes).saturating_sub(lengths);
                report.end = report.end.plus(batch.framed_bytes());
            }
            Err(defect) if header.seal.is_some() => {
                let file = found.name.clone();
                return Err(JournalError::Corrupt { file, offset, what: defect.to_string() });
            }
            // Of a segment without a seal the end, unless something follows.
            Err(_) => return find_tail(found, header.base, &mut Vec::new()).map(drop),
        }
    }
    Ok(())
}

fn segment_report(disk: &dyn Disk, base: Position) -> SegmentReport {
    let mut report = SegmentReport {
        file: segment_name(base),
        base,
        end: base,
        sealed: false,
        batches: 0,
        records: 0,
        record_bytes: 0,
        file_bytes: 0,
        damage: None,
    };
    let examined = find_segment(disk, base).and_then(|found| {
        report.sealed = found.header.seal.is_some();
        report.file_bytes = found.file_bytes;
        count_batches(&found, &mut report)
    });
    report.damage = examined.err().map(|error| damage_of(error, &report.file));
    report
}

fn file_bytes(disk: &dyn Disk, name: &str) -> u64 {
    disk.open(name).and_then(|file| file.len_bytes()).unwrap_or(0)
}

fn snapshot_report(disk: &dyn Disk, position: Position) -> SnapshotReport {
    let file = snapshot_name(position);
    let read = snapshot::read(disk, position, &mut |_| Ok(()));
    SnapshotReport {
        position,
        records: *read.as_ref().unwrap_or(&0),
        file_bytes: file_bytes(disk, &file),
        damage: read.err().map(|error| damage_of(error, &file)),
        file,
    }
}

/// Examines the directory at `path`.
///
/// # Errors
/// `Unreadable` when it cannot be listed. Everything else is in the report.
pub fn examine(path: impl Into<PathBuf>) -> Result<Report, JournalError> {
    let path = path.into();
    let disk = OsDisk::read_only(path.clone()).map_err(|e| unreadable(&path.display().to_string(), e))?;
    examine_on(&disk)
}

/// Examines any [`Disk`].
///
/// # Errors
/// As for [`examine`].
pub fn examine_on(disk: &dyn Disk) -> Result<Report, JournalError> {
    let in_use_by = match disk.lock() {
        Err(LockFailure::Held { holder }) => Some(holder),
        Err(LockFailure::Io(_)) | Ok(_) => None,
    };
    let found = inventory(disk)?;
    let segments: Vec<_> = found.segments.iter().map(|base| segment_report(disk, *base)).collect();
    let snapshots: Vec<_> = found.snapshots.iter().map(|position| snapshot_report(disk, *position)).collect();
    let recovery = survey(disk);
    let in_recovery = recovery.as_ref().err().cloned().map(|error| damage_of(error, &disk.name()));
    let in_files = segments
        .iter()
        .filter_map(|s| s.damage.as_ref())
        .chain(snapshots.iter().filter_map(|s| s.damage.as_ref()));
    let first_damage = in_files.min_by_key(|d| (d.file.clone(), d.offset)).cloned().or(in_recovery);
    let spares = found.spares.iter().map(|count| spare_name(*count)).chain([RESERVE_FILE.to_owned()]);
    Ok(Report {
        directory: disk.name(),
        in_use_by,
        spare_bytes: spares.map(|name| file_bytes(disk, &name)).sum(),
        first_damage,
        recovery: match recovery {
            Ok(survey) => Forecast::Opens {
                snapshot: survey.snapshots.first().copied(),
                end: survey.end,
                torn_tail: survey.torn_tail,
            },
            Err(error) => Forecast::Refuses { error: error.to_string() },
        },
        segments,
        snapshots,
    })
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}: {}", self.file, self.offset, self.what)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.directory)?;
        if let Some(holder) = &self.in_use_by {
            writeln!(f, "in use by {holder}: the newest segment changes while it is read")?;
        }
        for s in &self.segments {
            let state = if s.sealed { "sealed" } else { "active" };
            writeln!(
                f,
                "{}  {state}  positions {}..{}  {} batches, {} records, {} record bytes, {} file bytes",
                s.file, s.base, s.end, s.batches, s.records, s.record_bytes, s.file_bytes
            )?;
        }
        for s in &self.snapshots {
            writeln!(f, "{}  {} records, {} file bytes", s.file, s.records, s.file_bytes)?;
        }
        writeln!(f, "{} bytes in spare files", self.spare_bytes)?;
        match &self.first_damage {
            Some(damage) => writeln!(f, "first damage: {damage}")?,
            None => writeln!(f, "no damage")?,
        }
        match &self.recovery {
            Forecast::Opens { snapshot, end, torn_tail } => {
                match snapshot {
                    Some(position) => write!(f, "opening starts from the snapshot at {position}")?,
                    None => write!(f, "opening starts from the beginning")?,
                }
                write!(f, " and ends at {end}")?;
                if let Some(torn) = torn_tail {
                    write!(
                        f,
                        "; a torn batch is cut off: {} at offset {}: {}",
                        torn.file, torn.offset, torn.what
                    )?;
                }
                writeln!(f)
            }
            Forecast::Refuses { error } => writeln!(f, "opening is refused: {error}"),
        }
    }
}
