//! A disk in memory that fails on purpose and always in the same way for the same seed. For the tests here
//! and for the simulation of whole brokers; the real disk is `os_disk`.
//!
//! # The faults
//! - **Power loss**, at a chosen operation or whenever the test says so. Of what was written and not synced each
//!   write is, independently, lost, kept, cut at any byte, cut at a sector, or kept in an arbitrary subset of its
//!   sectors: so later writes may survive earlier ones. A sync in progress counts as not done. Creations, renames and
//!   removals since the last directory sync survive up to an arbitrary point in their order, as on a journaling
//!   file system. What was synced stays. A write never harms bytes outside its range.
//! - **Process death** ([`SimDisk::kill_process`]): everything written is there, nothing more is synced.
//! - **Failed sync**: an arbitrary part of the unsynced writes reaches the medium, the rest never will, and
//!   reading still shows all of it until power is lost; a later sync says "fine". This is what Linux does.
//! - **Disk full**: a write stops at the byte where the space ends.
//! - **Damage**: bits of a file flipped for ever, or now and then on a read.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

mod medium;

pub use medium::Random;
use medium::{Change, Inode, apply, apply_torn};

use crate::disk::{Disk, DiskFile, DiskLock, LockFailure};

#[derive(Debug, Clone)]
enum DirectoryChange {
    Put(String, u64),
    Remove(String),
    Rename(String, String),
}

#[derive(Debug)]
struct State {
    random: Random,
    inodes: BTreeMap<u64, Inode>,
    directory: BTreeMap<String, u64>,
    medium_directory: BTreeMap<String, u64>,
    unsynced: Vec<DirectoryChange>,
    inode_count: u64,
    operations: u64,
    power_loss_at: Option<u64>,
    powered: bool,
    failing_sync: Option<u64>,
    /// One has failed since the last start.
    failed_sync: bool,
    capacity_bytes: u64,
    read_flip_one_in: Option<u64>,
    locked: bool,
    /// Files opened before a power loss or the death of the process must not be used after it.
    generation: u64,
}

/// The disk. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

fn apply_directory(directory: &mut BTreeMap<String, u64>, change: &DirectoryChange) {
    match change {
        DirectoryChange::Put(name, inode) => {
            directory.insert(name.clone(), *inode);
        }
        DirectoryChange::Remove(name) => {
            directory.remove(name);
        }
        DirectoryChange::Rename(from, to) => {
            if let Some(inode) = directory.remove(from) {
                directory.insert(to.clone(), inode);
            }
        }
    }
}

fn power_is_off() -> io::Error {
    io::Error::other("the simulated power is off")
}

fn not_found(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no file {name} on the simulated disk"))
}

impl State {
    fn check_power(&self) -> io::Result<()> {
        if self.powered { Ok(()) } else { Err(power_is_off()) }
    }

    /// Counts an operation that changes the disk; `true` when the power fails during it.
    fn begin_change(&mut self) -> io::Result<bool> {
        self.check_power()?;
        self.operations += 1;
        if self.power_loss_at == Some(self.operations) {
            self.powered = false;
        }
        Ok(!self.powered)
    }

    fn change_directory(&mut self, change: DirectoryChange) -> io::Result<()> {
        let lost = self.begin_change()?;
        apply_directory(&mut self.directory, &change);
        self.unsynced.push(change);
        if lost { Err(power_is_off()) } else { Ok(()) }
    }

    fn used_bytes(&self) -> u64 {
        let lengths = self.directory.values().filter_map(|inode| self.inodes.get(inode));
        lengths.map(|inode| inode.current.len() as u64).sum()
    }

    fn restart(&mut self) {
        self.powered = true;
        self.power_loss_at = None;
        (self.failing_sync, self.failed_sync) = (None, false);
        self.locked = false;
        self.generation += 1;
    }
}

impl SimDisk {
    /// An empty disk without limits, whose faults follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: Random::new(seed),
            inodes: BTreeMap::new(),
            directory: BTreeMap::new(),
            medium_directory: BTreeMap::new(),
            unsynced: Vec::new(),
            inode_count: 0,
            operations: 0,
            power_loss_at: None,
            powered: true,
            failing_sync: None,
            failed_sync: false,
            capacity_bytes: u64::MAX,
            read_flip_one_in: None,
            locked: false,
            generation: 0,
        })))
    }

    /// How many operations have changed, or tried to change, the disk so far: writes, syncs, creations, renames, removals.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// Power fails during the operation with this number; from then on every call fails until [`SimDisk::cycle_power`].
    pub fn lose_power_at(&self, operation: u64) {
        self.0.lock().power_loss_at = Some(operation);
    }

    /// Whether power is lost.
    #[must_use]
    pub fn is_dark(&self) -> bool {
        !self.0.lock().powered
    }

    /// Power loss and return: what was not synced is lost, torn or kept. Locks are gone, planned faults too.
    pub fn cycle_power(&self) {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        for inode in state.inodes.values_mut() {
            for change in std::mem::take(&mut inode.unsynced) {
                apply_torn(&mut state.random, &mut inode.medium, &change);
            }
            inode.current.clone_from(&inode.medium);
        }
        let kept = state.random.below_usize(state.unsynced.len() + 1);
        for change in std::mem::take(&mut state.unsynced).iter().take(kept) {
            apply_directory(&mut state.medium_directory, change);
        }
        state.directory.clone_from(&state.medium_directory);
        let reachable: Vec<u64> = state.directory.values().copied().collect();
        state.inodes.retain(|inode, _| reachable.contains(inode));
        state.restart();
    }

    /// The process dies: its lock is gone, what it wrote is there, but not yet synced.
    pub fn kill_process(&self) {
        self.0.lock().restart();
    }

    /// The `count`-th file sync from now (1 is the next) fails.
    pub fn fail_sync(&self, count: u64) {
        self.0.lock().failing_sync = Some(count);
    }

    /// Whether a file sync has failed since the power came back or the process was killed.
    #[must_use]
    pub fn has_failed_sync(&self) -> bool {
        self.0.lock().failed_sync
    }

    /// From now on the disk holds at most this many bytes.
    pub fn set_capacity_bytes(&self, capacity_bytes: u64) {
        self.0.lock().capacity_bytes = capacity_bytes;
    }

    /// Bytes of all files together.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.0.lock().used_bytes()
    }

    /// About one read in `one_in` gets one flipped bit; `None` ends that.
    pub fn set_read_flips(&self, one_in: Option<u64>) {
        self.0.lock().read_flip_one_in = one_in;
    }

    /// Flips the bits of `mask` in one byte of a file, for ever. Returns whether there is such a byte.
    #[must_use]
    pub fn damage(&self, name: &str, offset: usize, mask: u8) -> bool {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        let inode = state.directory.get(name).and_then(|inode| state.inodes.get_mut(inode));
        let Some(inode) = inode else { return false };
        if let Some(byte) = inode.medium.get_mut(offset) {
            *byte ^= mask;
        }
        inode.current.get_mut(offset).map(|byte| *byte ^= mask).is_some()
    }

    /// Removes a file behind the journal's back. Returns whether there was one.
    #[must_use]
    pub fn lose_file(&self, name: &str) -> bool {
        let mut state = self.0.lock();
        state.medium_directory.remove(name);
        state.directory.remove(name).is_some()
    }

    /// All files as reading shows them: to compare two disks, or to keep one.
    #[must_use]
    pub fn image(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.0.lock();
        let content = |inode: &u64| state.inodes.get(inode).map(|i| i.current.clone()).unwrap_or_default();
        state.directory.iter().map(|(name, inode)| (name.clone(), content(inode))).collect()
    }
}

struct SimLock(SimDisk, u64);

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        if state.generation == self.1 {
            state.locked = false;
        }
    }
}

impl Disk for SimDisk {
    fn name(&self) -> String {
        "the simulated disk".to_owned()
    }

    fn lock(&self) -> Result<Box<dyn DiskLock>, LockFailure> {
        let mut state = self.0.lock();
        state.check_power().map_err(LockFailure::Io)?;
        if state.locked {
            return Err(LockFailure::Held { holder: "another simulated process".to_owned() });
        }
        state.locked = true;
        Ok(Box::new(SimLock(self.clone(), state.generation)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.0.lock();
        state.check_power()?;
        Ok(state.directory.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.inode_count += 1;
        let (inode, generation) = (state.inode_count, state.generation);
        state.inodes.insert(inode, Inode::default());
        state.change_directory(DirectoryChange::Put(name.to_owned(), inode))?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode, generation }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.0.lock();
        state.check_power()?;
        let inode = *state.directory.get(name).ok_or_else(|| not_found(name))?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode, generation: state.generation }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        if !state.directory.contains_key(from) {
            return Err(not_found(from));
        }
        state.change_directory(DirectoryChange::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        if !state.directory.contains_key(name) {
            return Err(not_found(name));
        }
        state.change_directory(DirectoryChange::Remove(name.to_owned()))
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        if state.begin_change()? {
            return Err(power_is_off());
        }
        for change in std::mem::take(&mut state.unsynced) {
            apply_directory(&mut state.medium_directory, &change);
        }
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.0.lock();
        state.check_power()?;
        Ok(state.capacity_bytes.saturating_sub(state.used_bytes()))
    }

    fn fresh_epoch(&self) -> u64 {
        self.0.lock().random.next_u64()
    }
}

struct SimFile {
    disk: SimDisk,
    inode: u64,
    generation: u64,
}

impl SimFile {
    fn with<T>(&self, act: impl FnOnce(&mut State, u64) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.0.lock();
        state.check_power()?;
        if state.generation != self.generation {
            return Err(io::Error::other("a file handle of a process that is dead"));
        }
        act(&mut state, self.inode)
    }
}

fn gone() -> io::Error {
    io::Error::other("the file is gone")
}

impl DiskFile for SimFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.with(|state, inode| {
            let lost = state.begin_change()?;
            let free_bytes = state.capacity_bytes.saturating_sub(state.used_bytes());
            let inode = state.inodes.get_mut(&inode).ok_or_else(gone)?;
            let new_bytes = (offset + bytes.len()).saturating_sub(inode.current.len()) as u64;
            let missing_bytes = usize::try_from(new_bytes.saturating_sub(free_bytes)).unwrap_or(usize::MAX);
            let fitting = bytes.get(..bytes.len().saturating_sub(missing_bytes)).unwrap_or_default();
            let change = Change::Write { offset, bytes: fitting.to_vec() };
            if !fitting.is_empty() {
                apply(&mut inode.current, &change);
                inode.unsynced.push(change);
            }
            if lost {
                Err(power_is_off())
            } else if missing_bytes > 0 {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            } else {
                Ok(())
            }
        })
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.with(|state, inode| {
            let flip = state.read_flip_one_in.is_some_and(|one_in| state.random.below(one_in) == 0);
            let inode = state.inodes.get(&inode).ok_or_else(gone)?;
            let rest = inode.current.get(offset..).unwrap_or_default();
            let count = rest.len().min(buf.len());
            if let (Some(to), Some(from)) = (buf.get_mut(..count), rest.get(..count)) {
                to.copy_from_slice(from);
            }
            let at = state.random.clone().below_usize(count);
            if let Some(byte) = buf.get_mut(at).filter(|_| flip && count > 0) {
                *byte ^= 1 << (at % 8);
            }
            Ok(count)
        })
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.with(|state, inode| Ok(state.inodes.get(&inode).ok_or_else(gone)?.current.len() as u64))
    }

    fn set_len_bytes(&self, len_bytes: u64) -> io::Result<()> {
        let change = Change::SetLen(usize::try_from(len_bytes).map_err(io::Error::other)?);
        self.with(|state, inode| {
            let lost = state.begin_change()?;
            let inode = state.inodes.get_mut(&inode).ok_or_else(gone)?;
            apply(&mut inode.current, &change);
            inode.unsynced.push(change);
            if lost { Err(power_is_off()) } else { Ok(()) }
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state, inode| {
            let lost = state.begin_change()?;
            let inode = state.inodes.get_mut(&inode).ok_or_else(gone)?;
            if lost {
                return Err(power_is_off());
            }
            state.failing_sync = state.failing_sync.map(|count| count.saturating_sub(1));
            let fails = state.failing_sync == Some(0);
            state.failed_sync |= fails;
            for change in std::mem::take(&mut inode.unsynced) {
                if fails {
                    apply_torn(&mut state.random, &mut inode.medium, &change);
                } else {
                    apply(&mut inode.medium, &change);
                }
            }
            if fails {
                state.failing_sync = None;
                return Err(io::Error::other("the simulated disk failed to sync"));
            }
            Ok(())
        })
    }
}
