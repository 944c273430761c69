//! What a server costs, read from `/proc`: CPU of its whole process tree, resident memory, bytes it wrote, bytes its
//! data takes on disk, and cache flushes of the device below. Reading costs nothing on the hot path. Called by
//! `scenarios`; figures of the machine itself are in `machine`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock: what message bodies carry and latencies are differences of.
#[inline]
pub fn now_ns() -> u64 {
    clock_ns(ClockId::Monotonic)
}

/// CPU time of this process (all threads), in nanoseconds.
pub fn own_cpu_ns() -> u64 {
    clock_ns(ClockId::ProcessCPUTime)
}

fn clock_ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // Both parts are non-negative for these clocks.
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// The process tree below (and with) `root`, as it is now.
pub fn process_tree(root: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
            && let Some(stat) = Stat::read(pid)
        {
            parents.push((pid, stat.parent));
        }
    }
    let mut tree = vec![root];
    let mut at = 0;
    while let Some(&parent) = tree.get(at) {
        tree.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    tree
}

/// The fields of `/proc/PID/stat` that we use.
struct Stat {
    parent: u32,
    /// utime + stime of the process and of its children that ended, in clock ticks.
    ticks: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Stat> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The second field is the program's name in parentheses and may hold anything; count from the last parenthesis.
    fn parse(text: &str) -> Option<Stat> {
        let (_, after_name) = text.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        // man proc_pid_stat: state is field 3, ppid 4, utime 14, stime 15, cutime 16, cstime 17.
        let parent = fields.get(1)?.parse().ok()?;
        let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
        Some(Stat { parent, ticks })
    }
}

/// A server under measurement.
#[derive(Debug, Clone)]
pub struct Probe {
    root: u32,
    tree: Vec<u32>,
}

impl Probe {
    /// The process that was started, with what it has started since; its children count too.
    pub fn new(pid: u32) -> Probe {
        Probe { root: pid, tree: process_tree(pid) }
    }

    /// Looks for processes that were started since. Not done at every reading: it walks all of `/proc`, and this
    /// program shares its cores with what it measures.
    pub fn refresh(&mut self) {
        self.tree = process_tree(self.root);
    }

    /// CPU used so far by the tree, in nanoseconds, to the clock tick (10 ms on Linux).
    pub fn cpu_ns(&self) -> u64 {
        let tick_ns = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
        let ticks: u64 = self.tree.iter().filter_map(|pid| Stat::read(*pid)).map(|stat| stat.ticks).sum();
        ticks * tick_ns
    }

    /// Resident memory of the tree, in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.sum("status", "VmRSS:")
    }

    /// Bytes that the tree caused to be written to storage (page cache write-back included), 0 when unreadable.
    pub fn written_bytes(&self) -> u64 {
        self.sum("io", "write_bytes:")
    }

    fn sum(&self, file: &str, field: &str) -> u64 {
        self.tree
            .iter()
            .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/{file}")).ok())
            .filter_map(|text| {
                let line = text.lines().find_map(|line| line.strip_prefix(field).map(str::to_owned))?;
                line.split_ascii_whitespace().next()?.parse::<u64>().ok()
            })
            .sum()
    }
}

/// Bytes on disk (blocks, not lengths) of a directory with everything in it.
pub fn disk_bytes(path: &Path) -> u64 {
    let Ok(meta) = fs::symlink_metadata(path) else { return 0 };
    let below: u64 = if meta.is_dir() {
        fs::read_dir(path).into_iter().flatten().flatten().map(|entry| disk_bytes(&entry.path())).sum()
    } else {
        0
    };
    meta.blocks() * 512 + below
}

/// Cache flushes that the device under `path` completed since boot: every sync that reaches a disk with a volatile
/// cache is one. It counts the whole machine, so keep it quiet. `None` where the kernel does not say.
pub fn device_flushes(path: &Path) -> Option<u64> {
    let device = fs::metadata(path).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stat = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
    // Documentation/block/stat.rst: "flush I/Os" is the 16th field.
    stat.split_ascii_whitespace().nth(15)?.parse().ok()
}

/// How long nothing may move, while messages are missing, before those count as lost.
pub const STALL_MAX: Duration = Duration::from_secs(20);

/// Waits until as many are done as were promised, or nothing has moved for [`STALL_MAX`].
pub fn await_all(done: impl Fn() -> u64, promised: u64) {
    let mut last = (0, Instant::now());
    loop {
        let now = done();
        if now >= promised || last.1.elapsed() > STALL_MAX {
            return;
        }
        if now > last.0 {
            last = (now, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_with_a_hostile_name_is_read() {
        let line = "42 (a) b (c) S 7 1 1 0 -1 4194304 0 0 0 0 10 20 3 4 20 0 5 0 100";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.parent, stat.ticks), (7, 37));
        assert!(Stat::parse("garbage").is_none());
    }

    #[test]
    fn the_tree_of_this_process_holds_its_children() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let tree = process_tree(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(tree.contains(&std::process::id()) && tree.contains(&child.id()));
        let probe = Probe::new(std::process::id());
        assert!(probe.resident_kib() > 500);
        assert!(own_cpu_ns() > 0);
    }

    #[test]
    fn disk_bytes_counts_blocks_below_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/file"), vec![1; 100_000]).unwrap();
        assert!(disk_bytes(dir.path()) >= 100_000);
    }
}
