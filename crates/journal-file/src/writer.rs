//! The writer: one write per batch, one sync when it is asked for, and moving on to the next segment. Where files come from is in
//! `spares`; what happens before the first append is in `open`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use baton_journal::{
    Epoch, Housekeeping, Journal, JournalError, JournalReader, Position, SealedBatch, frame::HEADER_BYTES,
};

use crate::background::Background;
use crate::disk::{DiskLock, is_full};
use crate::layout::{SEAL_OFFSET, encode_header, encode_seal, segment_name};
use crate::options::PAGE_BYTES;
use crate::scan::offset_in_file;
use crate::shared::{Closed, Segment, Shared};
use crate::spares::{Spare, is_too_large};

/// A segment that is left gives back the prepared space behind its end if that is more than this part of it.
const TAIL_PART: u64 = 16;

/// The segment that takes the next batch.
pub(crate) struct Active {
    pub(crate) segment: Arc<Segment>,
    /// Length up to which batches may fill the file. Beyond it only a batch goes that is larger than a whole segment.
    pub(crate) capacity_bytes: u64,
    /// Its file was the reserve, and there is no other: until the disk has space again, only essential
    /// batches may go in.
    pub(crate) essential_only: bool,
    /// Length of the file at which the next segment is asked for; `None` when it has been.
    pub(crate) ask_at_bytes: Option<u64>,
}

/// A journal in a directory. Dropping it closes it and unlocks the directory.
pub struct FileJournal {
    pub(crate) shared: Arc<Shared>,
    pub(crate) active: Active,
    pub(crate) background: Option<Background>,
    pub(crate) _lock: Box<dyn DiskLock>,
}

impl Drop for FileJournal {
    fn drop(&mut self) {
        self.shared.spares.stop();
        self.background = None;
        // From here on another process may own the directory.
        *self.shared.housekeeping.lock() = Closed(true);
    }
}

/// Makes `spare` the segment that begins at `base`: durable when this returns. Whatever fails, no segment
/// has changed.
pub(crate) fn fill_in_header(shared: &Shared, spare: &Spare, base: Position) -> io::Result<()> {
    spare.file.write_at(0, &encode_header(base, shared.epoch))?;
    spare.file.sync_data()
}

/// Gives the prepared file its name and makes it known to readers.
pub(crate) fn put_in_place(shared: &Shared, spare: Spare, base: Position) -> Result<Active, JournalError> {
    let name = segment_name(base);
    shared.disk.rename(&spare.name, &name).map_err(|e| shared.fail("renaming a segment", &name, e))?;
    let directory = shared.disk.name();
    shared.disk.sync_dir().map_err(|e| shared.fail("syncing the directory", &directory, e))?;
    // Prepared space is used up to its end. A file without any stays short, because a prepared one is ready soon.
    let capacity_bytes = match spare.file_bytes {
        0..=PAGE_BYTES => shared.spares.unprepared_file_bytes(),
        prepared_bytes => prepared_bytes,
    };
    // Under steady load a segment whose messages are all gone comes back before this one is full, and filling another with zeros
    // would be a fifth of all the work. When none comes back, the queues grow, and a file takes longer to fill than its
    // last quarter takes to be written.
    let ask_at_bytes = if shared.spares.take_came_back() { capacity_bytes / 4 * 3 } else { 0 };
    let segment = Arc::new(Segment {
        base,
        epoch: shared.epoch,
        name,
        file: spare.file,
        end: AtomicU64::new(base.0),
        sealed: AtomicBool::new(false),
        file_bytes: AtomicU64::new(spare.file_bytes),
    });
    shared.segments.write().insert(base, Arc::clone(&segment));
    shared.spares.note_held(shared.held_bytes());
    Ok(Active {
        segment,
        capacity_bytes,
        essential_only: spare.from_reserve,
        ask_at_bytes: Some(ask_at_bytes),
    })
}

/// Writes the seal into a segment that takes no more batches; durable when this returns.
pub(crate) fn seal(shared: &Shared, segment: &Segment) -> Result<(), JournalError> {
    let end = segment.end();
    if shared.durable.load(Ordering::Acquire) < end.0 {
        // The seal vouches for every batch before it, so it must not reach storage earlier than they.
        segment.file.sync_data().map_err(|e| shared.fail("fdatasync", &segment.name, e))?;
    }
    let slot = encode_seal(segment.epoch, end);
    segment
        .file
        .write_at(SEAL_OFFSET, &slot)
        .map_err(|e| shared.fail("sealing a segment", &segment.name, e))?;
    segment.file.sync_data().map_err(|e| shared.fail("fdatasync", &segment.name, e))?;
    shared.durable.fetch_max(end.0, Ordering::AcqRel);
    segment.sealed.store(true, Ordering::Release);
    Ok(())
}

impl FileJournal {
    fn full(&self, needed_bytes: u64, free_bytes: u64) -> JournalError {
        let reserve_bytes = self.shared.options.disk_reserve_bytes;
        JournalError::Full { needed_bytes, free_bytes, reserve_bytes }
    }

    /// Whether the disk is so full that only essential batches may take `needed_bytes` of it. Refuses others.
    fn check_space(&self, batch: &SealedBatch, needed_bytes: u64) -> Result<bool, JournalError> {
        let free_bytes = self.shared.spares.free_bytes()?;
        let scarce = free_bytes < self.shared.options.disk_reserve_bytes.saturating_add(needed_bytes);
        if scarce && !batch.is_essential() {
            return Err(self.full(batch.len_bytes() as u64, free_bytes));
        }
        Ok(scarce)
    }

    /// A file for the next segment with its header in it, or `Full`.
    fn next_file(&self, batch: &SealedBatch) -> Result<Spare, JournalError> {
        let base = batch.base();
        let batch_bytes = batch.len_bytes() as u64;
        let room = |spare: &Spare| spare.file_bytes >= offset_in_file(base, base) + batch_bytes;
        if self.background.is_none() {
            self.shared.spares.prepare();
        }
        let taken = self.shared.spares.take();
        let needed_bytes = match &taken {
            Some(spare) if room(spare) => 0,
            Some(_) => batch_bytes,
            None => self.shared.spares.unprepared_file_bytes().max(batch_bytes),
        };
        let scarce = match self.check_space(batch, needed_bytes) {
            Ok(scarce) => scarce,
            Err(error) => {
                taken.into_iter().for_each(|spare| self.shared.spares.keep(spare));
                return Err(error);
            }
        };
        let made = match taken {
            Some(spare) => Ok(spare),
            None => self.shared.spares.make_empty(),
        };
        let made = made.and_then(|spare| fill_in_header(&self.shared, &spare, base).map(|()| spare));
        match made {
            // What an acknowledgement took of the last space is for acknowledgements.
            Ok(spare) => Ok(Spare { from_reserve: scarce, ..spare }),
            Err(error) if is_full(&error) => self.reserve_file(batch),
            Err(error) => Err(self.shared.fail("preparing a segment", &segment_name(base), error)),
        }
    }

    /// The reserve with the header of the next segment in it, if the batch may use it and fits.
    fn reserve_file(&self, batch: &SealedBatch) -> Result<Spare, JournalError> {
        let base = batch.base();
        let needed_bytes = offset_in_file(base, batch.end());
        let full = || self.full(batch.len_bytes() as u64, self.shared.spares.free_bytes().unwrap_or(0));
        if !batch.is_essential() {
            return Err(full());
        }
        let reserve = self.shared.spares.take_reserve().ok_or_else(full)?;
        if reserve.file_bytes < needed_bytes {
            self.shared.spares.keep(reserve);
            return Err(full());
        }
        let filled = fill_in_header(&self.shared, &reserve, base);
        filled.map_err(|e| self.shared.fail("preparing a segment", &reserve.name, e))?;
        tracing::warn!(directory = self.shared.disk.name(), "the disk is full: using the reserve");
        Ok(reserve)
    }

    /// Makes `spare`, whose header is written, the active segment.
    fn move_on(&mut self, spare: Spare, base: Position) -> Result<(), JournalError> {
        let old = Arc::clone(&self.active.segment);
        if old.end() > old.base {
            seal(&self.shared, &old)?;
            self.give_tail_back(&old);
            self.active = put_in_place(&self.shared, spare, base)?;
        } else {
            // Empty and of the same name: it is replaced.
            self.active = put_in_place(&self.shared, spare, base)?;
            old.sealed.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// A sealed segment ends where its seal says: what was prepared behind that is of no use.
    fn give_tail_back(&self, sealed: &Segment) {
        let used_bytes = offset_in_file(sealed.base, sealed.end()).next_multiple_of(PAGE_BYTES);
        let file_bytes = sealed.file_bytes.load(Ordering::Acquire);
        if file_bytes.saturating_sub(used_bytes) <= file_bytes / TAIL_PART {
            return;
        }
        match sealed.file.set_len_bytes(used_bytes) {
            Ok(()) => sealed.file_bytes.store(used_bytes, Ordering::Release),
            // It goes with the segment.
            Err(error) => tracing::warn!(segment = sealed.name, %error, "unused space stays"),
        }
    }

    /// Has the next segment prepared when it is time, once.
    fn ask_for_next(&mut self, offset: u64) {
        if self.active.ask_at_bytes.is_some_and(|ask_at| offset >= ask_at) {
            self.active.ask_at_bytes = None;
            if let Some(background) = &self.background {
                background.prepare_soon();
            }
        }
    }

    fn fits(&self, batch: &SealedBatch) -> bool {
        let segment = &self.active.segment;
        let empty = segment.end() == segment.base;
        offset_in_file(segment.base, batch.end()) <= self.active.capacity_bytes || empty
    }

    /// Whether what is prepared of the active segment is far more than is to be, and another is ready.
    fn is_too_large(&self) -> bool {
        let segment = &self.active.segment;
        let wanted_bytes = self.shared.spares.wanted_if_ready();
        segment.end() > segment.base
            && wanted_bytes.is_some_and(|bytes| is_too_large(self.active.capacity_bytes, bytes))
    }

    /// Writes the batch, with one call unless something large is attached to it. The zeros behind it fill the last page, so that the file system need
    /// not read that page first when the file is a recycled one.
    fn write_out(&self, batch: &SealedBatch) -> io::Result<()> {
        let segment = &self.active.segment;
        let end_offset = offset_in_file(segment.base, batch.end());
        let slack_bytes = usize::try_from(end_offset.next_multiple_of(PAGE_BYTES) - end_offset).unwrap_or(0);
        let mut offset = offset_in_file(segment.base, batch.base());
        for piece in batch.pieces(slack_bytes).filter(|piece| !piece.is_empty()) {
            segment.file.write_at(offset, piece)?;
            offset += piece.len() as u64;
        }
        Ok(())
    }

    /// After a write stopped for lack of space: what was written of the batch must not count, even if it was
    /// all of it and only the zeros behind did not fit.
    fn undo(&self, batch: &SealedBatch) -> Result<(), JournalError> {
        let segment = &self.active.segment;
        let offset = offset_in_file(segment.base, batch.base());
        match segment.file.write_at(offset, &[0; HEADER_BYTES]) {
            Ok(()) => segment.file.sync_data().map_err(|e| self.shared.fail("fdatasync", &segment.name, e)),
            // Then nothing of the header was written either.
            Err(error) if is_full(&error) => Ok(()),
            Err(error) => Err(self.shared.fail("writing", &segment.name, error)),
        }
    }

    fn write_or_use_reserve(&mut self, batch: &SealedBatch) -> Result<(), JournalError> {
        match self.write_out(batch) {
            Ok(()) => return Ok(()),
            Err(error) if is_full(&error) => {}
            Err(error) => return Err(self.shared.fail("writing", &self.active.segment.name, error)),
        }
        self.undo(batch)?;
        let reserve = self.reserve_file(batch)?;
        self.move_on(reserve, batch.base())?;
        self.write_out(batch).map_err(|e| self.shared.fail("writing", &self.active.segment.name, e))
    }

    /// Before a batch goes into a segment for essential ones: is it one, or has the disk space again?
    fn check_reserve(&mut self, batch: &SealedBatch) -> Result<(), JournalError> {
        self.check_space(batch, batch.len_bytes() as u64)?;
        if !batch.is_essential() {
            self.active.essential_only = false;
            if let Some(background) = &self.background {
                background.prepare_soon();
            }
        }
        Ok(())
    }
}

impl Journal for FileJournal {
    fn epoch(&self) -> Epoch {
        self.shared.epoch
    }

    fn end(&self) -> Position {
        self.active.segment.end()
    }

    fn durable(&self) -> Position {
        Position(self.shared.durable.load(Ordering::Acquire))
    }

    fn write(&mut self, batch: &SealedBatch) -> Result<Position, JournalError> {
        self.shared.check()?;
        let expected = self.end();
        if batch.base() != expected || batch.epoch() != self.shared.epoch {
            let (epoch, got, got_epoch) = (self.shared.epoch, batch.base(), batch.epoch());
            return Err(JournalError::OutOfSequence { expected, epoch, got, got_epoch });
        }
        if batch.durable() > self.durable() {
            return Err(JournalError::NotDurable { claimed: batch.durable(), durable: self.durable() });
        }
        if self.active.essential_only {
            self.check_reserve(batch)?;
        }
        let fits = self.fits(batch);
        if !fits || self.is_too_large() {
            match self.next_file(batch) {
                Ok(spare) => self.move_on(spare, batch.base())?,
                Err(JournalError::Full { .. }) if fits => {}
                Err(error) => return Err(error),
            }
        }
        self.write_or_use_reserve(batch)?;
        let segment = &self.active.segment;
        let end = batch.end();
        let file_bytes = offset_in_file(segment.base, end).next_multiple_of(PAGE_BYTES);
        segment.file_bytes.fetch_max(file_bytes, Ordering::AcqRel);
        segment.end.store(end.0, Ordering::Release);
        self.ask_for_next(file_bytes);
        Ok(end)
    }

    fn sync(&mut self) -> Result<Position, JournalError> {
        self.shared.sync()
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        Arc::clone(&self.shared) as Arc<dyn JournalReader>
    }

    fn housekeeping(&self) -> Arc<dyn Housekeeping> {
        Arc::clone(&self.shared) as Arc<dyn Housekeeping>
    }
}
