//! Watches the memory of the process and the space of the data directory, and raises and ends the engine's resource alarms.
//! What an alarm does is the engine's business; where the watermarks are, the configuration's.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use baton_engine::{Alarms, Engine};

use crate::config::Limits;
use crate::memory;

/// How often is looked. At half a gigabyte a second, more than the engine takes in, 128 MB come in between.
const INTERVAL: Duration = Duration::from_millis(250);

/// What was seen last, for metrics. Bytes.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Space left to us on the file system of the data.
    pub disk_free: AtomicU64,
}

/// A watermark. The alarm begins when it is met, and ends only when there is some more room than that, so that it does not
/// come and go with every message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Watermark {
    begins: u64,
    ends: u64,
    on: bool,
}

impl Watermark {
    /// At most so much may be used; ends below 95 % of it. 0: never.
    fn used_max(max: u64) -> Self {
        let begins = if max == 0 { u64::MAX } else { max };
        Self { begins, ends: begins - begins / 20, on: false }
    }

    /// Takes note of what is used. Returns whether that changed the alarm.
    fn used(&mut self, used: u64) -> bool {
        let on = if self.on { used >= self.ends } else { used >= self.begins };
        std::mem::replace(&mut self.on, on) != on
    }

    /// At least so much must be free; ends when there is a tenth more.
    fn free_min(min: u64) -> Self {
        Self { begins: min, ends: min.saturating_add(min / 10), on: false }
    }

    /// Takes note of what is free. Returns whether that changed the alarm.
    fn free(&mut self, free: u64) -> bool {
        let on = if self.on { free < self.ends } else { free < self.begins };
        std::mem::replace(&mut self.on, on) != on
    }
}

/// The watching thread; ends when this is dropped.
pub(crate) struct Watch {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Looks for the first time, so that a broker that begins short of something takes nothing in, then starts the thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(
        engine: Engine,
        limits: &Limits,
        data_dir: &Path,
        seen: Arc<Seen>,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel(0);
        let mut watcher = Watcher {
            memory: Watermark::used_max(limits.memory_bytes_max.value),
            disk: Watermark::free_min(limits.disk_free_bytes_min.value),
            data_dir: data_dir.to_owned(),
            seen,
        };
        if let Some(alarms) = watcher.look() {
            engine.set_alarms(alarms);
        }
        let thread = std::thread::Builder::new().name("baton-watch".to_owned()).spawn(move || {
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                if let Some(alarms) = watcher.look() {
                    engine.set_alarms(alarms);
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the watching thread panicked");
        }
    }
}

struct Watcher {
    memory: Watermark,
    disk: Watermark,
    data_dir: PathBuf,
    seen: Arc<Seen>,
}

impl Watcher {
    /// The alarms, if they have changed. What cannot be measured raises none.
    fn look(&mut self) -> Option<Alarms> {
        if self.memory.on {
            // What consumers have freed shall end the alarm.
            memory::give_back();
        }
        let resident = memory::resident_bytes().unwrap_or_default();
        let free = free_bytes(&self.data_dir).unwrap_or(u64::MAX);
        self.seen.disk_free.store(free, Ordering::Relaxed);
        let memory = self.memory.used(resident);
        if memory {
            self.tell_memory(resident);
        }
        let disk = self.disk.free(free);
        if disk {
            self.tell_disk(free);
        }
        (memory || disk).then_some(Alarms { memory: self.memory.on, disk: self.disk.on })
    }

    fn tell_memory(&self, resident_bytes: u64) {
        if self.memory.on {
            tracing::warn!(
                resident_bytes,
                limit_bytes = self.memory.begins,
                "memory alarm: publishes are held or refused, consumers go on; consume messages, close idle connections, or \
                 raise limits.memory_bytes_max"
            );
        } else {
            tracing::info!(resident_bytes, "the memory alarm is over: publishes are taken");
        }
    }

    fn tell_disk(&self, free_bytes: u64) {
        if self.disk.on {
            tracing::warn!(
                free_bytes,
                limit_bytes = self.disk.begins,
                data_dir = %self.data_dir.display(),
                "disk alarm: publishes are held or refused, consumers go on; consume messages, free space on the file system \
                 of the data directory, or lower limits.disk_free_bytes_min"
            );
        } else {
            tracing::info!(free_bytes, "the disk alarm is over: publishes are taken");
        }
    }
}

fn free_bytes(directory: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(directory).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_ends_later_than_it_began() {
        let mut memory = Watermark::used_max(1000);
        let seen =
            [(999, false), (1000, true), (999, true), (950, true), (949, false), (999, false), (1500, true)];
        for (used, on) in seen {
            let before = memory.on;
            assert_eq!((memory.used(used), memory.on), (before != on, on), "{used}");
        }
        let mut disk = Watermark::free_min(1000);
        for (free, on) in
            [(1000, false), (999, true), (1000, true), (1099, true), (1100, false), (1000, false), (0, true)]
        {
            let before = disk.on;
            assert_eq!((disk.free(free), disk.on), (before != on, on), "{free}");
        }
    }

    #[test]
    fn a_watermark_of_zero_is_none() {
        let mut memory = Watermark::used_max(0);
        assert!(!memory.used(1 << 60) && !memory.on);
        let mut disk = Watermark::free_min(0);
        assert!(!disk.free(0) && !disk.on);
    }

    #[test]
    fn what_is_seen_is_kept_for_metrics() {
        let dir = tempfile::tempdir().unwrap();
        let seen = Arc::new(Seen::default());
        let mut watcher = Watcher {
            memory: Watermark::used_max(1),
            disk: Watermark::free_min(u64::MAX),
            data_dir: dir.path().to_owned(),
            seen: Arc::clone(&seen),
        };
        assert_eq!(watcher.look(), Some(Alarms { memory: cfg!(target_os = "linux"), disk: true }));
        assert_eq!(watcher.look(), None, "nothing has changed");
        assert!(seen.disk_free.load(Ordering::Relaxed) > 0);
    }
}
