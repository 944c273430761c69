//! The operating system's file system behind the [`Disk`] trait: positional reads and writes, `fdatasync`,
//! `flock`. Nothing is cached or retried here.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use rustix::fs::{FlockOperation, OFlags, fcntl_getfl, fcntl_setfl, flock, statvfs};

use crate::disk::{Disk, DiskFile, DiskLock, LockFailure, write_cached_zeros};
use crate::layout::LOCK_FILE;

/// Messages are nobody's business but the broker's.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A directory of the operating system.
#[derive(Debug)]
pub struct OsDisk {
    directory: PathBuf,
    writable: bool,
}

impl OsDisk {
    /// The directory at `path`, created if it does not exist.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(path: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = path.into();
        if !directory.is_dir() {
            DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(&directory)?;
            if let Some(parent) = directory.parent().filter(|p| !p.as_os_str().is_empty()) {
                File::open(parent)?.sync_all()?;
            }
        }
        Ok(Self { directory, writable: true })
    }

    /// The existing directory at `path`, for reading only: it may be on a read-only file system.
    ///
    /// # Errors
    /// When there is no such directory.
    pub fn read_only(path: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = path.into();
        if !fs::metadata(&directory)?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        Ok(Self { directory, writable: false })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

struct OsLock(#[expect(dead_code, reason = "closing the file releases the lock")] File);

impl DiskLock for OsLock {}

/// Nobody has ever opened the directory for writing.
struct NeverLocked;

impl DiskLock for NeverLocked {}

fn lock_file(path: &Path, writable: bool) -> Result<Box<dyn DiskLock>, LockFailure> {
    let mut options = OpenOptions::new();
    let opened =
        options.read(true).write(writable).create(writable).truncate(false).mode(FILE_MODE).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if !writable && error.kind() == io::ErrorKind::NotFound => {
            return Ok(Box::new(NeverLocked));
        }
        Err(error) => return Err(LockFailure::Io(error)),
    };
    let operation = match writable {
        true => FlockOperation::NonBlockingLockExclusive,
        false => FlockOperation::NonBlockingLockShared,
    };
    match flock(&file, operation) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let pid = fs::read_to_string(path).unwrap_or_default();
            let holder = match pid.trim() {
                "" => "another process".to_owned(),
                pid => format!("process {pid}"),
            };
            return Err(LockFailure::Held { holder });
        }
        Err(errno) => return Err(LockFailure::Io(errno.into())),
    }
    if !writable {
        return Ok(Box::new(OsLock(file)));
    }
    // Only for the message above; the lock itself is the kernel's and ends with this process. A full disk
    // must not keep anyone from opening, so a failure here is none.
    let pid = format!("{}\n", std::process::id());
    let _ = file.set_len(0).and_then(|()| file.write_all_at(pid.as_bytes(), 0));
    Ok(Box::new(OsLock(file)))
}

impl Disk for OsDisk {
    fn name(&self) -> String {
        self.directory.display().to_string()
    }

    fn lock(&self) -> Result<Box<dyn DiskLock>, LockFailure> {
        lock_file(&self.path(LOCK_FILE), self.writable)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            // A name that is not UTF-8 is not ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(self.path(name))?;
        Ok(Arc::new(OsFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(self.writable).open(self.path(name))?;
        Ok(Arc::new(OsFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = statvfs(&self.directory)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    #[expect(clippy::disallowed_methods, reason = "not a time anyone reads, only a number that differs")]
    fn fresh_epoch(&self) -> u64 {
        // `RandomState` is seeded by the operating system; time and process keep two openings apart even
        // if it were not.
        let mut hasher = RandomState::new().build_hasher();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        hasher.write_u128(now.as_nanos());
        hasher.write_u32(std::process::id());
        hasher.finish()
    }
}

struct OsFile(File);

/// What a device wants a buffer that goes to it directly to be aligned to, at most.
const DIRECT_ALIGN_BYTES: usize = 4096;
/// Zeros that go to the device with one call. A quarter of it took a tenth off the rate of a journal written beside it, and smaller
/// ones more.
const DIRECT_ZEROS_BYTES: usize = 1 << 20;

/// Zeros for direct writes, made when they are first needed and kept: a journal that grows needs them again and again.
static ZEROS: Mutex<Vec<u8>> = Mutex::new(Vec::new());

impl OsFile {
    /// Writes zeros to the device itself. The file must be in direct mode.
    fn write_zeros_directly(&self, offset: u64, len_bytes: u64) -> io::Result<()> {
        let mut zeros = ZEROS.lock();
        zeros.resize(DIRECT_ZEROS_BYTES + DIRECT_ALIGN_BYTES, 0);
        let skip = zeros.as_ptr().align_offset(DIRECT_ALIGN_BYTES);
        let aligned = zeros.get(skip..).unwrap_or_default();
        let mut done = 0;
        while done < len_bytes {
            let wanted = usize::try_from(len_bytes - done).unwrap_or(usize::MAX).min(DIRECT_ZEROS_BYTES);
            self.write_at(offset.saturating_add(done), aligned.get(..wanted).unwrap_or_default())?;
            done += wanted as u64;
        }
        Ok(())
    }
}

impl DiskFile for OsFile {
    fn write_zeros(&self, offset: u64, len_bytes: u64) -> io::Result<bool> {
        let flags = fcntl_getfl(&self.0)?;
        // A file system that has no direct mode refuses it here, or the first write.
        let direct = fcntl_setfl(&self.0, flags | OFlags::DIRECT).is_ok();
        if direct {
            let written = self.write_zeros_directly(offset, len_bytes);
            fcntl_setfl(&self.0, flags)?;
            match written {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                written => return written.map(|()| true),
            }
        }
        write_cached_zeros(self, offset, len_bytes).map(|()| false)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len_bytes(&self, len_bytes: u64) -> io::Result<()> {
        self.0.set_len(len_bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
