//! Opening: lock, survey, make durable what was found, begin a segment for the new epoch. And the [`Recovery`] that
//! the engine then reads.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use baton_journal::frame::ALIGN_BYTES;
use baton_journal::{
    EachRecord, EachSnapshotRecord, Epoch, JournalError, JournalReader, Opened, Position, Recovery, TornTail,
};

use crate::background::Background;
use crate::disk::{Disk, LockFailure, is_full};
use crate::layout::{idle_name, segment_name};
use crate::options::Options;
use crate::os_disk::OsDisk;
use crate::scan::{offset_in_file, unreadable};
use crate::shared::{Segment, Shared};
use crate::snapshot;
use crate::spares::{Spare, Spares};
use crate::survey::{FoundSegment, Survey, survey};
use crate::writer::{Active, FileJournal, fill_in_header, put_in_place, seal};

/// What is read and written at once when the newest segment is written again.
const COPY_BYTES: usize = 1 << 20;

/// Opens the journal in the directory at `path`, which is created if it does not exist.
///
/// # Errors
/// `Locked` when another process has it; `Corrupt` when more is damaged than a crash explains; `Unsupported` for
/// files of a newer version; `Full` when there is not even space for an empty segment; `Unreadable` and `Failed`
/// when the disk does not do what it should.
pub fn open(path: impl Into<PathBuf>, options: Options) -> Result<Opened, JournalError> {
    let path = path.into();
    let disk = OsDisk::create(path.clone()).map_err(|e| unreadable(&path.display().to_string(), e))?;
    open_on(Arc::new(disk), options)
}

/// Opens the journal on any [`Disk`].
///
/// # Errors
/// As for [`open`].
pub fn open_on(disk: Arc<dyn Disk>, options: Options) -> Result<Opened, JournalError> {
    let lock = disk.lock().map_err(|failure| match failure {
        LockFailure::Held { holder } => JournalError::Locked { directory: disk.name(), holder },
        LockFailure::Io(error) => unreadable(&disk.name(), error),
    })?;
    let found = survey(disk.as_ref())?;
    if let Some(torn) = &found.torn_tail {
        tracing::warn!(
            segment = torn.file,
            offset = torn.offset,
            position = torn.position.0,
            what = torn.what,
            "a crash tore the end of the journal, which is cut off; it was not durable yet"
        );
    }
    make_durable(disk.as_ref(), &found)?;
    let held_bytes = found.segments.iter().map(|segment| segment.file_bytes).sum();
    let spares = Spares::adopt(&disk, &options, &found.inventory, held_bytes)?;
    let epoch = Epoch(disk.fresh_epoch());
    let (end, snapshot) = (found.end, found.snapshots.first().copied());
    let mut segments = BTreeMap::new();
    let mut last = None;
    for segment in found.segments {
        let known = Arc::new(known_segment(&segment));
        last = Some((segment, Arc::clone(&known)));
        segments.insert(known.base, known);
    }
    if last.as_ref().is_some_and(|(_, known)| known.end() == known.base) {
        segments.pop_last();
    }
    let shared = Arc::new(Shared::new(disk, options, epoch, segments, spares, found.snapshots));
    let mut active = begin_segment(&shared, last, found.idle, end, found.torn_tail.is_none())?;
    shared.durable.fetch_max(end.0, Ordering::AcqRel);
    let background = match shared.options.background {
        true => Some(Background::start(&shared).map_err(|e| unreadable("a thread", e))?),
        false => None,
    };
    match &background {
        Some(background) => background.prepare_soon(),
        None => shared.spares.prepare(),
    }
    if !shared.spares.has_reserve() && shared.spares.free_bytes()? < shared.options.disk_reserve_bytes {
        active.essential_only = true;
    }
    let recovery = FileRecovery { shared: Arc::clone(&shared), snapshot, end, torn_tail: found.torn_tail };
    let journal = FileJournal { shared, active, background, _lock: lock };
    Ok(Opened { journal: Box::new(journal), recovery: Box::new(recovery) })
}

fn failed(during: &'static str, file: &str, source: std::io::Error) -> JournalError {
    JournalError::Failed { during, file: file.to_owned(), source: Arc::new(source) }
}

/// A process that died without a power loss leaves writes that can be read but are not on stable storage yet. What
/// recovery builds upon must be. If it died of a failed sync, the system may show what it failed to write and take it for
/// written: only writing it again makes the next sync bring it there.
fn make_durable(disk: &dyn Disk, found: &Survey) -> Result<(), JournalError> {
    if let Some(newest) = found.segments.last() {
        write_again(newest)?;
        newest.file.sync_data().map_err(|e| failed("fdatasync", &newest.name, e))?;
    }
    disk.sync_dir().map_err(|e| failed("syncing the directory", &disk.name(), e))
}

/// Writes what was found in a segment to where it is.
fn write_again(segment: &FoundSegment) -> Result<(), JournalError> {
    let end = offset_in_file(segment.header.base, segment.end);
    let mut buf = vec![0; COPY_BYTES];
    let mut offset = 0;
    while offset < end {
        let wanted = usize::try_from(end - offset).unwrap_or(COPY_BYTES).min(COPY_BYTES);
        let part = buf.get_mut(..wanted).unwrap_or_default();
        let count = segment.file.read_at(offset, part).map_err(|e| unreadable(&segment.name, e))?;
        let found = part.get(..count).unwrap_or_default();
        if found.is_empty() && end - offset < ALIGN_BYTES as u64 {
            // A write that was torn brought the last batch but not all of the padding behind it.
            break;
        }
        if found.is_empty() {
            return Err(unreadable(&segment.name, ErrorKind::UnexpectedEof.into()));
        }
        segment.file.write_at(offset, found).map_err(|e| failed("rewriting", &segment.name, e))?;
        offset = offset.saturating_add(found.len() as u64);
    }
    Ok(())
}

fn known_segment(found: &FoundSegment) -> Segment {
    Segment {
        base: found.header.base,
        epoch: found.header.epoch,
        name: found.name.clone(),
        file: Arc::clone(&found.file),
        end: AtomicU64::new(found.end.0),
        sealed: AtomicBool::new(true),
        file_bytes: AtomicU64::new(found.file_bytes),
    }
}

/// The segment for the batches of this opening. An empty newest segment is used again; another one is sealed
/// and, if nothing suspicious stands behind its end, cut to its length.
fn begin_segment(
    shared: &Shared,
    last: Option<(FoundSegment, Arc<Segment>)>,
    idle: Option<Position>,
    end: Position,
    may_cut: bool,
) -> Result<Active, JournalError> {
    let empty = last.as_ref().is_some_and(|(_, known)| known.end() == known.base);
    if idle.is_some() || empty {
        return use_again(shared, end, idle.is_some());
    }
    if let Some((found, known)) = last {
        if found.header.seal.is_none() {
            seal(shared, &known)?;
        }
        let used_bytes = offset_in_file(known.base, known.end());
        if may_cut && found.file_bytes > used_bytes {
            known.file.set_len_bytes(used_bytes).map_err(|e| failed("truncating", &known.name, e))?;
            known.file_bytes.store(used_bytes, Ordering::Release);
        }
    }
    let name = segment_name(end);
    let full = || JournalError::Full {
        needed_bytes: offset_in_file(end, end),
        free_bytes: shared.spares.free_bytes().unwrap_or(0),
        reserve_bytes: shared.options.disk_reserve_bytes,
    };
    let ready = |spare: Spare| fill_in_header(shared, &spare, end).map(|()| spare);
    let made = match shared.spares.take() {
        Some(spare) => ready(spare),
        None => shared.spares.make_first().and_then(ready),
    };
    let spare = match made {
        Ok(spare) => spare,
        Err(error) if is_full(&error) => {
            let reserve = shared.spares.take_reserve().ok_or_else(full)?;
            ready(reserve).map_err(|e| failed("preparing a segment", &name, e))?
        }
        Err(error) => return Err(failed("preparing a segment", &name, error)),
    };
    put_in_place(shared, spare, end)
}

/// Gives the empty newest segment the epoch of this opening. It is set aside under another name first: a crash
/// while its header is written must not look like damage. Needs no space.
fn use_again(shared: &Shared, base: Position, set_aside: bool) -> Result<Active, JournalError> {
    let (name, idle) = (segment_name(base), idle_name(base));
    if !set_aside {
        shared.disk.rename(&name, &idle).map_err(|e| failed("renaming a segment", &name, e))?;
        shared.disk.sync_dir().map_err(|e| failed("syncing the directory", &shared.disk.name(), e))?;
    }
    let file = shared.disk.open(&idle).map_err(|e| unreadable(&idle, e))?;
    let file_bytes = file.len_bytes().map_err(|e| unreadable(&idle, e))?;
    let spare = Spare { name: idle, file, file_bytes, from_reserve: false };
    fill_in_header(shared, &spare, base).map_err(|e| failed("preparing a segment", &name, e))?;
    put_in_place(shared, spare, base)
}

struct FileRecovery {
    shared: Arc<Shared>,
    snapshot: Option<Position>,
    end: Position,
    torn_tail: Option<TornTail>,
}

impl Recovery for FileRecovery {
    fn snapshot_position(&self) -> Option<Position> {
        self.snapshot
    }

    fn end(&self) -> Position {
        self.end
    }

    fn torn_tail(&self) -> Option<&TornTail> {
        self.torn_tail.as_ref()
    }

    fn read_snapshot(&mut self, each: &mut EachSnapshotRecord<'_>) -> Result<(), JournalError> {
        let Some(position) = self.snapshot else { return Ok(()) };
        snapshot::read(self.shared.disk.as_ref(), position, each).map(drop)
    }

    fn replay(&mut self, each: &mut EachRecord<'_>) -> Result<(), JournalError> {
        let reached = self.shared.scan(self.snapshot.unwrap_or_default(), self.end, each)?;
        if reached < self.end {
            return Err(JournalError::NotFound { position: reached });
        }
        Ok(())
    }
}
