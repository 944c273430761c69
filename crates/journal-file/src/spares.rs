//! Files with allocated space, ready to become segments: zero-filled ahead of time or recycled from removed
//! segments, and the reserve for essential batches on a full disk. What they contain does not matter, because a
//! batch counts only with the position and epoch of its segment.
//!
//! Why: syncing a write into allocated, written blocks changes no metadata of the file system and takes two
//! thirds of the time of a sync behind the end of a file (or into blocks that were only `fallocate`d).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use baton_journal::JournalError;
use parking_lot::Mutex;

use crate::disk::{Disk, DiskFile, is_full};
use crate::layout::{RESERVE_FILE, TEMPORARY_SUFFIX, spare_name};
use crate::options::Options;
use crate::scan::unreadable;
use crate::survey::Inventory;

/// Zeros written at once, and synced where they went through the system's cache: few, so that a sync of the journal beside it
/// waits little.
const FILL_BYTES: u64 = 1 << 20;
/// A spare with less than this part of the wanted space is of no use (removed segments are somewhat smaller than the next ones as
/// long as the journal grows).
const USEFUL_PART: u64 = 2;
/// A file is too large when it is beyond the wanted size by this part of it: a deep backlog was drained, and the rest is given back.
const EXCESS_PART: u64 = 4;
/// What part of a segment's size is used of a file without prepared space.
const UNPREPARED_PART: u64 = 4;

/// A file that can become a segment by writing a header into it and renaming it.
pub(crate) struct Spare {
    pub(crate) name: String,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) file_bytes: u64,
    /// It was the reserve: only essential batches may go in until there is a reserve again.
    pub(crate) from_reserve: bool,
}

impl Spare {
    /// Gives back what is beyond `wanted_bytes`.
    fn cut(self, wanted_bytes: u64) -> io::Result<Self> {
        if self.file_bytes <= wanted_bytes {
            return Ok(self);
        }
        self.file.set_len_bytes(wanted_bytes)?;
        Ok(Self { file_bytes: wanted_bytes, ..self })
    }
}

struct Pool {
    /// The next segment. One is enough: it is in use before another is needed.
    spare: Option<Spare>,
    reserve: Option<Spare>,
    /// A spare is being made: a removed segment must not become another one.
    making: bool,
    /// Most that the next segment may have, because the first ones after opening are small.
    ramp_bytes: u64,
    /// What all segments have.
    held_bytes: u64,
    next_count: u64,
    /// A removed segment came back, used again or not, since a file was last taken.
    came_back: bool,
}

/// Whether a file is far larger than segments' files are to be.
pub(crate) fn is_too_large(file_bytes: u64, wanted_bytes: u64) -> bool {
    file_bytes > wanted_bytes.saturating_add(wanted_bytes / EXCESS_PART)
}

impl Pool {
    fn wanted_file_bytes(&self, options: &Options) -> u64 {
        Options::file_bytes(options.segment_bytes_for(self.held_bytes))
    }
}

pub(crate) struct Spares {
    disk: Arc<dyn Disk>,
    options: Options,
    pool: Mutex<Pool>,
    /// Set when the journal closes: whoever is filling a file stops.
    stopping: AtomicBool,
}

impl Spares {
    /// Takes over what an earlier opening left, and removes what is of no use. The segments have `held_bytes`.
    pub(crate) fn adopt(
        disk: &Arc<dyn Disk>,
        options: &Options,
        inventory: &Inventory,
        held_bytes: u64,
    ) -> Result<Self, JournalError> {
        let open = |name: &str, from_reserve| -> Result<Spare, JournalError> {
            let file = disk.open(name).map_err(|e| unreadable(name, e))?;
            let file_bytes = file.len_bytes().map_err(|e| unreadable(name, e))?;
            Ok(Spare { name: name.to_owned(), file, file_bytes, from_reserve })
        };
        let useless = |name: &str| disk.remove(name).map_err(|e| unreadable(name, e));
        let wanted_bytes = Options::file_bytes(options.segment_bytes_for(held_bytes));
        let mut kept = None;
        for count in &inventory.spares {
            let spare = open(&spare_name(*count), false)?;
            if spare.file_bytes >= Options::file_bytes(options.first_segment_bytes()) && kept.is_none() {
                let name = spare.name.clone();
                kept = Some(spare.cut(wanted_bytes).map_err(|e| unreadable(&name, e))?);
            } else {
                useless(&spare.name)?;
            }
        }
        let mut reserve = None;
        if inventory.reserve {
            let spare = open(RESERVE_FILE, true)?;
            let wanted_bytes = options.reserve_file_bytes();
            if wanted_bytes > 0 && spare.file_bytes >= wanted_bytes {
                reserve = Some(spare.cut(wanted_bytes).map_err(|e| unreadable(RESERVE_FILE, e))?);
            } else {
                useless(RESERVE_FILE)?;
            }
        }
        for name in &inventory.temporary {
            useless(name)?;
        }
        let next_count = inventory.spares.last().map_or(0, |last| last + 1);
        let ramp_bytes = options.next_segment_bytes(options.first_segment_bytes());
        let (spare, making, came_back) = (kept, false, false);
        let pool = Pool { spare, reserve, making, ramp_bytes, held_bytes, next_count, came_back };
        let (disk, options) = (Arc::clone(disk), options.clone());
        Ok(Self { disk, options, pool: Mutex::new(pool), stopping: AtomicBool::new(false) })
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// A prepared file, if there is one.
    pub(crate) fn take(&self) -> Option<Spare> {
        self.pool.lock().spare.take()
    }

    /// Takes note of what all segments have. A spare that is far larger than segments are to be by that gives back what is too much.
    pub(crate) fn note_held(&self, held_bytes: u64) {
        let (spare, wanted_bytes) = {
            let mut pool = self.pool.lock();
            pool.held_bytes = held_bytes;
            let wanted_bytes = pool.wanted_file_bytes(&self.options);
            let too_large = |spare: &mut Spare| is_too_large(spare.file_bytes, wanted_bytes);
            (pool.spare.take_if(too_large), wanted_bytes)
        };
        if let Some(spare) = spare {
            self.keep_cut(spare, wanted_bytes);
        }
    }

    /// How large a segment's file is to be by now, if the next one is ready.
    pub(crate) fn wanted_if_ready(&self) -> Option<u64> {
        let pool = self.pool.lock();
        pool.spare.as_ref().map(|_| pool.wanted_file_bytes(&self.options))
    }

    /// How much of a file without prepared space is used: a prepared one is ready soon.
    pub(crate) fn unprepared_file_bytes(&self) -> u64 {
        Options::file_bytes(self.options.segment_bytes_for(self.pool.lock().held_bytes) / UNPREPARED_PART)
    }

    /// Whether removed segments come back, so that the next file need not be filled at once. Forgotten with this call.
    pub(crate) fn take_came_back(&self) -> bool {
        std::mem::take(&mut self.pool.lock().came_back)
    }

    /// The reserve, if there is one.
    pub(crate) fn take_reserve(&self) -> Option<Spare> {
        self.pool.lock().reserve.take()
    }

    pub(crate) fn has_reserve(&self) -> bool {
        self.options.reserve_file_bytes() == 0 || self.pool.lock().reserve.is_some()
    }

    /// Bytes the file system has left, above which any batch may take space.
    pub(crate) fn free_bytes(&self) -> Result<u64, JournalError> {
        self.disk.free_bytes().map_err(|e| unreadable(&self.disk.name(), e))
    }

    /// Creates a file of `file_bytes` zeros, or of as many as the disk has space for. Past the system's cache where possible, else
    /// synced step by step if `gently`, so that the journal's own syncs never wait behind a long queue of zeros.
    fn zero_filled(&self, name: &str, file_bytes: u64, gently: bool) -> io::Result<Spare> {
        let file = self.disk.create(name)?;
        let mut filled = 0;
        while filled < file_bytes && !self.stopping.load(Ordering::Acquire) {
            let wanted = (file_bytes - filled).min(FILL_BYTES);
            match file.write_zeros(filled, wanted) {
                Ok(past_the_cache) => {
                    filled += wanted;
                    if gently && !past_the_cache {
                        file.sync_data()?;
                    }
                }
                Err(error) if is_full(&error) => break,
                Err(error) => return Err(error),
            }
        }
        if gently {
            file.sync_data()?;
        }
        let file_bytes = file.len_bytes()?;
        Ok(Spare { name: name.to_owned(), file, file_bytes, from_reserve: false })
    }

    /// The file for the first segment of an opening, filled here and now. Less than wanted on a full disk. Synced
    /// together with the header that the caller writes.
    pub(crate) fn make_first(&self) -> io::Result<Spare> {
        let file_bytes = Options::file_bytes(self.options.first_segment_bytes());
        self.zero_filled(&format!("first{TEMPORARY_SUFFIX}"), file_bytes, false)
    }

    /// An empty file: when a segment is needed before the prepared one is ready.
    pub(crate) fn make_empty(&self) -> io::Result<Spare> {
        let name = format!("next{TEMPORARY_SUFFIX}");
        let file = self.disk.create(&name)?;
        Ok(Spare { name, file, file_bytes: 0, from_reserve: false })
    }

    /// Makes the reserve and the next spare, if they are missing and the disk has the space. Failure only
    /// means that there is none: the writer then does without.
    pub(crate) fn prepare(&self) {
        if let Err(error) = self.try_prepare() {
            tracing::warn!(directory = self.disk.name(), %error, "could not prepare the next segment");
        }
    }

    fn try_prepare(&self) -> io::Result<()> {
        let reserve_bytes = self.options.reserve_file_bytes();
        if !self.has_reserve() {
            let temporary = format!("{RESERVE_FILE}{TEMPORARY_SUFFIX}");
            let wanted = self.options.disk_reserve_bytes.saturating_add(reserve_bytes);
            if let Some(mut made) = self.make_ahead(&temporary, RESERVE_FILE, reserve_bytes, wanted)? {
                made.from_reserve = true;
                self.pool.lock().reserve = Some(made);
            }
        }
        let (bytes, count) = {
            let mut pool = self.pool.lock();
            if pool.spare.is_some() {
                return Ok(());
            }
            let bytes = pool.ramp_bytes.min(self.options.segment_bytes_for(pool.held_bytes));
            let count = pool.next_count;
            pool.ramp_bytes = self.options.next_segment_bytes(pool.ramp_bytes);
            pool.next_count += 1;
            pool.making = true;
            (Options::file_bytes(bytes), count)
        };
        let name = spare_name(count);
        let wanted = self.options.disk_reserve_bytes.saturating_add(bytes);
        let made = self.make_ahead(&format!("{name}{TEMPORARY_SUFFIX}"), &name, bytes, wanted);
        self.pool.lock().making = false;
        if let Some(made) = made? {
            self.keep_cut(made, bytes);
        }
        Ok(())
    }

    /// A complete file called `name`, if that many bytes are free.
    fn make_ahead(
        &self,
        temporary: &str,
        name: &str,
        file_bytes: u64,
        wanted_free_bytes: u64,
    ) -> io::Result<Option<Spare>> {
        if self.disk.free_bytes()? < wanted_free_bytes {
            return Ok(None);
        }
        let made = self.zero_filled(temporary, file_bytes, true);
        match made {
            Ok(made) if made.file_bytes >= file_bytes => {
                self.disk.rename(temporary, name)?;
                self.disk.sync_dir()?;
                Ok(Some(Spare { name: name.to_owned(), ..made }))
            }
            made => {
                self.disk.remove(temporary)?;
                made.map(|_| None)
            }
        }
    }

    /// Takes the file of a removed segment that nobody reads any more, or removes it. `file` is `None` when
    /// somebody still does. The caller syncs the directory and then calls [`Spares::keep`] with the result.
    pub(crate) fn recycle(
        &self,
        name: &str,
        file: Option<Arc<dyn DiskFile>>,
        file_bytes: u64,
    ) -> io::Result<Option<Spare>> {
        let reserve_bytes = self.options.reserve_file_bytes();
        let new_name = {
            let mut pool = self.pool.lock();
            pool.came_back = true;
            let wanted_bytes = pool.wanted_file_bytes(&self.options);
            let useful = file_bytes >= wanted_bytes / USEFUL_PART && !is_too_large(file_bytes, wanted_bytes);
            if file.is_none() {
                None
            } else if reserve_bytes > 0 && pool.reserve.is_none() && file_bytes >= reserve_bytes {
                Some((RESERVE_FILE.to_owned(), true))
            } else if useful && pool.spare.is_none() && !pool.making {
                pool.next_count += 1;
                Some((spare_name(pool.next_count - 1), false))
            } else {
                None
            }
        };
        match new_name.zip(file) {
            Some(((new_name, from_reserve), file)) => {
                self.disk.rename(name, &new_name)?;
                Ok(Some(Spare { name: new_name, file, file_bytes, from_reserve }))
            }
            None => self.disk.remove(name).map(|()| None),
        }
    }

    /// A recycled file may be used from now on: its new name is durable.
    pub(crate) fn keep(&self, spare: Spare) {
        let wanted_bytes = {
            let pool = self.pool.lock();
            match spare.from_reserve && pool.reserve.is_none() {
                true => self.options.reserve_file_bytes(),
                false => pool.wanted_file_bytes(&self.options),
            }
        };
        self.keep_cut(spare, wanted_bytes);
    }

    /// Puts a file of at most `wanted_bytes` where it is missing, or removes it.
    fn keep_cut(&self, spare: Spare, wanted_bytes: u64) {
        let name = spare.name.clone();
        let cut = spare.cut(wanted_bytes).and_then(|spare| match self.put(spare) {
            None => Ok(()),
            Some(surplus) => self.disk.remove(&surplus.name),
        });
        if let Err(error) = cut {
            // Whatever it has is found, and used or removed, at the next opening.
            tracing::warn!(directory = self.disk.name(), name, %error, "a prepared file is of no use");
        }
    }

    /// Puts a file where it is missing; returns it if nothing is.
    fn put(&self, spare: Spare) -> Option<Spare> {
        let mut pool = self.pool.lock();
        if spare.from_reserve && pool.reserve.is_none() {
            pool.reserve = Some(spare);
        } else if pool.spare.is_none() {
            pool.spare = Some(Spare { from_reserve: false, ..spare });
        } else {
            return Some(spare);
        }
        None
    }
}
