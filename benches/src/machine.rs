//! The figures of the machine that stand beside every result: cores, kernel, what a sync costs, the commit, the date.
//! Called once per comparison.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::error::{During, Result};

/// What a reader needs to judge absolute figures.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// UTC, `YYYY-MM-DD HH:MM`.
    pub date: String,
    /// Short commit id of the working copy, with `+` when it has changes; `unknown` outside a checkout.
    pub commit: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Kernel release.
    pub kernel: String,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// 4 KiB write and fdatasync into a zero-filled file, median in microseconds.
    pub sync_us_p50: f64,
    /// The same, 99th percentile.
    pub sync_us_p99: f64,
}

impl Machine {
    /// Measures syncs in `dir` (300 of them) and asks the system for the rest.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn observe(dir: &Path) -> Result<Machine> {
        let mut syncs = sync_times_us(dir, 300)?;
        syncs.sort_by(f64::total_cmp);
        let at = |share: usize| {
            let index = syncs.len() * share / 100;
            syncs.get(index.min(syncs.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        Ok(Machine {
            date: utc_date(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())),
            commit: commit(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            memory_mib: rustix::system::sysinfo().totalram as u64 / (1024 * 1024),
            sync_us_p50: at(50),
            sync_us_p99: at(99),
        })
    }

    /// The machine in one line of a log, without its end.
    pub fn line(&self) -> String {
        format!(
            "{} cores, {:.1} GiB, Linux {}; 4 KiB write + fdatasync p50 {:.0} µs, p99 {:.0} µs.",
            self.cores,
            self.memory_mib as f64 / 1024.0,
            self.kernel,
            self.sync_us_p50,
            self.sync_us_p99,
        )
    }
}

fn sync_times_us(dir: &Path, count: usize) -> Result<Vec<f64>> {
    const BLOCK: [u8; 4096] = [7; 4096];
    let path = dir.join("sync-probe");
    let file = File::create(&path).during("create the sync probe file")?;
    let write = |block: &[u8], at| file.write_all_at(block, at).during("write the sync probe file");
    let zeros = vec![0; BLOCK.len() * count];
    write(&zeros, 0)?;
    file.sync_all().during("sync the sync probe file")?;
    let mut times = Vec::new();
    for nth in 0..count {
        let start = Instant::now();
        write(&BLOCK, (nth * BLOCK.len()) as u64)?;
        file.sync_data().during("fdatasync the sync probe file")?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    std::fs::remove_file(&path).during("remove the sync probe file")?;
    Ok(times)
}

fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(id) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    // Results and notes do not change what was measured.
    let changed =
        git(&["status", "--porcelain", "--untracked-files=no", "--", "crates", "Cargo.toml", "Cargo.lock"]);
    if changed.is_some_and(|list| !list.is_empty()) { format!("{id}+") } else { id }
}

/// `YYYY-MM-DD HH:MM` of seconds since 1970, in UTC (days to civil date after Howard Hinnant's algorithm).
pub fn utc_date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", rest / 3_600, rest % 3_600 / 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_civil() {
        assert_eq!(utc_date(0), "1970-01-01 00:00");
        assert_eq!(utc_date(951_782_340), "2000-02-28 23:59");
        assert_eq!(utc_date(951_782_400), "2000-02-29 00:00");
        assert_eq!(utc_date(1_795_240_800), "2026-11-21 06:00");
    }

    #[test]
    fn a_machine_is_observed() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::observe(dir.path()).unwrap();
        assert!(machine.cores >= 1 && machine.sync_us_p50 > 0.0);
        assert!(machine.sync_us_p99 >= machine.sync_us_p50);
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
    }
}
