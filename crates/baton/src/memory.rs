//! How much memory there is for this process, and how much of it it holds, as Linux tells it (other systems: unknown); and giving
//! back what is not used any more. Used by
//! the configuration for a default and by `serve::watch`.

use std::fs;
use std::path::Path;

/// Memory that the process may use, bytes: the machine's, or less where a control group (a container) says so.
pub(crate) fn available_bytes() -> Option<u64> {
    let read = |path: &str| fs::read_to_string(path).ok();
    available(&read)
}

/// Memory that the process holds, bytes.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    kib(&status, "VmRSS:")
}

/// Has the allocator give back to the system what is freed. By itself it does so only as it goes on allocating, which a broker that keeps
/// its producers back may not do; the memory that consumers have freed would count for ever.
pub(crate) fn give_back() {
    #[cfg(feature = "mimalloc")]
    #[expect(
        unsafe_code,
        reason = "the allocator's own function, which takes no pointer and may be called by any thread at any time"
    )]
    // SAFETY: no pointers go in or out; what is in use is not touched.
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}

fn available(read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let machine = read("/proc/meminfo").and_then(|text| kib(&text, "MemTotal:"));
    [machine, group_v2(read), group_v1(read)].into_iter().flatten().min()
}

/// Version 2: the limits of our group and of all above it count.
fn group_v2(read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let groups = read("/proc/self/cgroup")?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let limits = Path::new(own).ancestors().filter_map(|group| {
        let path = Path::new("/sys/fs/cgroup").join(group.strip_prefix("/").ok()?).join("memory.max");
        // `max`, which is no number, is no limit.
        read(path.to_str()?)?.trim().parse().ok()
    });
    limits.min()
}

/// Version 1; "no limit" is a number larger than any memory there.
fn group_v1(read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    read("/sys/fs/cgroup/memory/memory.limit_in_bytes")?.trim().parse().ok()
}

/// The value of a line like `VmRSS:   123 kB`, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Option<u64> {
        available(&|path| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned()))
    }

    #[test]
    fn the_smallest_limit_counts() {
        let machine = ("/proc/meminfo", "MemTotal:       1000 kB\nMemFree:  1 kB\n");
        let own = ("/proc/self/cgroup", "0::/a/b\n");
        assert_eq!(of(&[machine]), Some(1_024_000));
        assert_eq!(of(&[machine, own]), Some(1_024_000));
        assert_eq!(of(&[machine, own, ("/sys/fs/cgroup/a/b/memory.max", "max\n")]), Some(1_024_000));
        assert_eq!(of(&[machine, own, ("/sys/fs/cgroup/a/b/memory.max", "5000\n")]), Some(5000));
        let above = ("/sys/fs/cgroup/a/memory.max", "4000\n");
        assert_eq!(of(&[machine, own, above, ("/sys/fs/cgroup/a/b/memory.max", "5000\n")]), Some(4000));
        assert_eq!(of(&[machine, own, ("/sys/fs/cgroup/memory.max", "3000\n")]), Some(3000));
        let old = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(of(&[machine, old]), Some(1_024_000));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn this_process_holds_memory_on_linux() {
        assert!(!cfg!(target_os = "linux") || resident_bytes() < available_bytes());
    }
}
