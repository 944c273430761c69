//! What a journal needs of a file system: one flat directory of files, and promises about what survives. The
//! real one is `os_disk`, the one that loses and tears writes on purpose is `sim_disk`. No format here.

use std::io;
use std::sync::Arc;

/// Zeros written into the system's cache with one call. The system keeps what one call wrote in pages of up to that size, and later
/// takes a small write into such a page for one of the whole page when it decides whom to slow down: megabytes here made outliers
/// of a hundred milliseconds at a few thousand small batches per second, single pages made large batches slower.
const CACHED_ZEROS_BYTES: usize = 64 << 10;

/// Why a directory could not be locked.
#[derive(Debug)]
pub enum LockFailure {
    /// Someone else has it.
    Held {
        /// Who, for example `process 4711`.
        holder: String,
    },
    /// The lock could not be tried.
    Io(io::Error),
}

/// Held as long as the lock is wanted; dropping it unlocks.
pub trait DiskLock: Send + Sync {}

/// One directory.
pub trait Disk: Send + Sync {
    /// How to call it in messages: the path.
    fn name(&self) -> String;

    /// Takes the directory for this process alone.
    ///
    /// # Errors
    /// `Held` when another opening, in this or another process, has it.
    fn lock(&self) -> Result<Box<dyn DiskLock>, LockFailure>;

    /// Names of all files, in no particular order.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Creates a file, empty also if there was one of that name.
    ///
    /// # Errors
    /// What the system says; `StorageFull` when there is no space.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens an existing file for reading and, unless the disk is read-only, writing.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Renames a file atomically, replacing `to`. Durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes creations, renames and removals durable, in the order they were made.
    ///
    /// # Errors
    /// What the system says; nothing may be assumed about what survived.
    fn sync_dir(&self) -> io::Result<()>;

    /// Bytes that can still be written.
    ///
    /// # Errors
    /// What the system says.
    fn free_bytes(&self) -> io::Result<u64>;

    /// A number that no earlier call, also of an earlier process, returned and that outsiders cannot guess.
    fn fresh_epoch(&self) -> u64;
}

/// One open file. Calls may come from several threads.
pub trait DiskFile: Send + Sync {
    /// Writes all of `bytes` at `offset`, extending the file if it ends before.
    ///
    /// # Errors
    /// What the system says; any part may then have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Writes `len_bytes` zeros at `offset`, both multiples of 4096, into a file that nobody else uses yet. Returns whether they
    /// went past the system's cache, so that nothing of them is left for a sync to write.
    ///
    /// # Errors
    /// As for [`DiskFile::write_at`].
    fn write_zeros(&self, offset: u64, len_bytes: u64) -> io::Result<bool> {
        write_cached_zeros(self, offset, len_bytes)?;
        Ok(false)
    }

    /// Reads at `offset` until `buf` is full or the file ends; returns how many bytes were read.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Cuts or extends the file.
    ///
    /// # Errors
    /// What the system says.
    fn set_len_bytes(&self, len_bytes: u64) -> io::Result<()>;

    /// Returns when everything written before is on stable storage.
    ///
    /// # Errors
    /// What the system says. Nothing may be assumed about earlier writes then, and a second try proves nothing.
    fn sync_data(&self) -> io::Result<()>;
}

/// Writes zeros as anything else is written.
pub(crate) fn write_cached_zeros(
    file: &(impl DiskFile + ?Sized),
    offset: u64,
    len_bytes: u64,
) -> io::Result<()> {
    let zeros = vec![0; CACHED_ZEROS_BYTES];
    let mut done = 0;
    while done < len_bytes {
        let wanted = usize::try_from(len_bytes - done).unwrap_or(usize::MAX).min(zeros.len());
        file.write_at(offset.saturating_add(done), zeros.get(..wanted).unwrap_or_default())?;
        done += wanted as u64;
    }
    Ok(())
}

/// Whether an error means that there is no space, as opposed to a broken disk.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
