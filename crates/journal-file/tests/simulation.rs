//! Crashes at every single operation that changes the disk, with torn, lost and reordered writes, during work and
//! during recovery. Checked after each: what was confirmed is there in order, nothing is invented, the end is
//! right, and appending goes on. A failure prints the seed and the operation; the same seed gives the same disk.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stderr
)]

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use baton_journal::{Journal, JournalError, Opened, Position};
use baton_journal_file::disk::{Disk, DiskFile, DiskLock, LockFailure};
use baton_journal_file::sim_disk::Random;
use baton_journal_file::{Options, SimDisk, open_on};

const SEGMENT_BYTES: u64 = 12 << 10;

fn options() -> Options {
    Options { segment_bytes: SEGMENT_BYTES, disk_reserve_bytes: 16 << 10, background: false }
}

/// When the work syncs what it writes.
#[derive(Clone, Copy, Debug)]
enum Syncing {
    /// Each batch.
    Always,
    /// One in so many, from the writer or from beside it.
    Sometimes(u64),
}

/// What the journal has promised, as the world outside remembers it.
#[derive(Default)]
struct Promises {
    /// Records of confirmed batches, in order, with the position behind each batch.
    confirmed: Vec<(Vec<u8>, Position)>,
    /// The records of the batch whose append did not return, which may be there or not.
    unknown: Vec<Vec<u8>>,
    /// Everything before this must be there; the same as all confirmed when each batch is synced.
    durable: Position,
    /// Every snapshot that was begun.
    snapshots: Vec<Position>,
    /// The newest one that was confirmed: an older one must not be in force again.
    snapshot: Position,
}

/// The snapshot's content: how many records precede it, and a filler that spans several blocks.
fn snapshot_of(promises: &Promises, position: Position) -> Vec<u8> {
    let count = promises.confirmed.iter().filter(|(_, end)| *end <= position).count();
    format!("{count} records before {position}").into_bytes()
}

fn work(
    journal: &mut dyn Journal,
    syncing: Syncing,
    random: &mut Random,
    promises: &mut Promises,
) -> Result<(), JournalError> {
    let mut builder = journal.batch_builder();
    let housekeeping = journal.housekeeping();
    for step in 0..14 {
        let mut records = Vec::new();
        for _ in 0..=random.below(3) {
            let len = if random.below(12) == 0 { random.below(20_000) } else { random.below(900) };
            let record: Vec<u8> = (0..len).map(|_| (random.next_u64() & 0xff) as u8).collect();
            builder.record(|buf| buf.extend_from_slice(&record))?;
            records.push(record);
        }
        builder.set_durable(journal.durable());
        let batch = builder.finish();
        promises.unknown.clone_from(&records);
        let end = journal.write(&batch)?;
        promises.unknown.clear();
        promises.confirmed.extend(records.into_iter().map(|record| (record, end)));
        match syncing {
            Syncing::Always => drop(journal.sync()?),
            Syncing::Sometimes(one_in) if random.below(one_in) == 0 => drop(housekeeping.sync()?),
            Syncing::Sometimes(_) => {}
        }
        promises.durable = promises.durable.max(journal.durable());
        if step % 5 == 4 {
            let content = snapshot_of(promises, end);
            promises.snapshots.push(end);
            housekeeping.write_snapshot(end, &mut |sink| {
                sink.record(&content)?;
                (0..3).try_for_each(|_| sink.record(&[9; 400]))
            })?;
            promises.snapshot = end;
            promises.durable = promises.durable.max(journal.durable());
            for segment in housekeeping.segments() {
                if segment.sealed && segment.end <= end && random.below(3) > 0 {
                    housekeeping.remove_segment(segment.base)?;
                }
            }
        }
    }
    Ok(())
}

/// Opens, compares with the promises, and takes what was found as the truth from here on.
fn reopen(
    disk: &SimDisk,
    options: &Options,
    promises: &mut Promises,
) -> Result<Box<dyn Journal>, JournalError> {
    let Opened { journal, mut recovery } = open_on(Arc::new(disk.clone()), options.clone())?;
    let start = recovery.snapshot_position().unwrap_or_default();
    assert!(start >= promises.snapshot, "snapshot {start} in force, {} was confirmed", promises.snapshot);
    promises.snapshot = start;
    if start > Position::START {
        assert!(promises.snapshots.contains(&start), "a snapshot at {start} that nobody wrote");
        let mut records = Vec::new();
        recovery.read_snapshot(&mut |record| {
            records.push(record.to_vec());
            Ok(())
        })?;
        assert_eq!(records[0], snapshot_of(promises, start), "the snapshot's content");
        assert_eq!(records.len(), 4);
    }
    let mut found = Vec::new();
    recovery.replay(&mut |location, payload| {
        found.push((payload.to_vec(), location.end()));
        Ok(())
    })?;
    let before: Vec<_> = promises.confirmed.iter().filter(|(_, end)| *end <= start).cloned().collect();
    let expected: Vec<_> = promises.confirmed.iter().skip(before.len()).cloned().collect();
    let all_unknown = expected.len() + promises.unknown.len();
    let end = recovery.end();
    assert_eq!(end, journal.end());
    assert!(end >= promises.durable, "the end is {end}, but {} was durable", promises.durable);
    if found.len() == all_unknown && !promises.unknown.is_empty() {
        // The batch in flight made it, whole.
        promises.confirmed.extend(promises.unknown.drain(..).map(|record| (record, end)));
    } else {
        let durable = expected.iter().filter(|(_, end)| *end <= promises.durable).count();
        assert!(found.len() >= durable, "{} records found, {durable} durable", found.len());
        assert!(found.len() <= expected.len(), "{} found, {} appended", found.len(), expected.len());
        promises.confirmed.truncate(before.len() + found.len());
        promises.unknown.clear();
    }
    for (i, (record, _)) in found.iter().enumerate() {
        assert!(*record == promises.confirmed[before.len() + i].0, "record {i} behind the snapshot differs");
    }
    if let Some((_, last_end)) = promises.confirmed.last() {
        assert_eq!(end, *last_end, "the end is not behind the last record");
    }
    promises.durable = end;
    promises.snapshots.retain(|position| *position <= end);
    Ok(journal)
}

/// One life: work until power fails at `crash_at`, then again during recovery at `crash_again_at` (counted from there), then
/// for good. Returns the number of operations without a crash.
fn life(
    seed: u64,
    syncing: Syncing,
    crash_at: Option<u64>,
    crash_again_at: Option<u64>,
    kill: bool,
) -> SimDisk {
    let (disk, options) = (SimDisk::new(seed), options());
    let mut random = Random::new(seed ^ 0xabcd);
    let mut promises = Promises::default();
    if let Some(operation) = crash_at {
        disk.lose_power_at(operation);
    }
    let run = |promises: &mut Promises, random: &mut Random| {
        let mut journal = reopen(&disk, &options, promises)?;
        work(journal.as_mut(), syncing, random, promises)?;
        drop(journal);
        let mut journal = reopen(&disk, &options, promises)?;
        work(journal.as_mut(), syncing, random, promises)?;
        promises.durable = journal.sync()?;
        Ok(())
    };
    let outcome: Result<(), JournalError> = run(&mut promises, &mut random);
    assert_eq!(outcome.is_err(), disk.is_dark(), "without a crash nothing fails: {outcome:?}");
    if kill && disk.is_dark() {
        // The process died instead: its writes are there. What recovery then finds must last.
        disk.kill_process();
    } else {
        disk.cycle_power();
    }
    if let Some(again) = crash_again_at {
        disk.lose_power_at(disk.operations() + again);
        let outcome = reopen(&disk, &options, &mut promises).map(drop);
        // It may end well all the same: preparing spare segments is allowed to fail.
        assert!(outcome.is_ok() || disk.is_dark(), "recovery failed without a crash: {outcome:?}");
        disk.cycle_power();
    }
    let after: Result<(), JournalError> = (|| {
        drop(reopen(&disk, &options, &mut promises)?);
        disk.cycle_power();
        let mut journal = reopen(&disk, &options, &mut promises)?;
        work(journal.as_mut(), syncing, &mut random, &mut promises)?;
        promises.durable = journal.sync()?;
        drop(journal);
        disk.cycle_power();
        reopen(&disk, &options, &mut promises).map(drop)
    })();
    after.unwrap_or_else(|error| panic!("after the crash: {error}"));
    disk
}

/// Runs `life` and says which one it was when it fails.
fn named_life(seed: u64, syncing: Syncing, crash_at: u64, crash_again_at: Option<u64>, kill: bool) {
    let result = std::panic::catch_unwind(|| life(seed, syncing, Some(crash_at), crash_again_at, kill));
    if let Err(panic) = result {
        eprintln!(
            "SEED {seed}, {syncing:?}, crash at operation {crash_at}, again at {crash_again_at:?}, kill {kill}"
        );
        std::panic::resume_unwind(panic);
    }
}

/// A disk that answers some syncs without doing anything: a planted bug for the checks above to find.
struct LyingDisk {
    disk: SimDisk,
    files: bool,
}

struct LyingFile(Arc<dyn DiskFile>);

impl DiskFile for LyingFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buf)
    }
    fn len_bytes(&self) -> io::Result<u64> {
        self.0.len_bytes()
    }
    fn set_len_bytes(&self, len_bytes: u64) -> io::Result<()> {
        self.0.set_len_bytes(len_bytes)
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

impl LyingDisk {
    fn wrap(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        if self.files { Arc::new(LyingFile(file)) } else { file }
    }
}

impl Disk for LyingDisk {
    fn name(&self) -> String {
        self.disk.name()
    }
    fn lock(&self) -> Result<Box<dyn DiskLock>, LockFailure> {
        self.disk.lock()
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(self.disk.create(name)?))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(self.disk.open(name)?))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync_dir(&self) -> io::Result<()> {
        if self.files { self.disk.sync_dir() } else { Ok(()) }
    }
    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }
    fn fresh_epoch(&self) -> u64 {
        self.disk.fresh_epoch()
    }
}

/// Whether work on `lying`, a power loss, and a look at what is there breaks a promise.
fn is_caught(lying: LyingDisk) -> bool {
    let disk = lying.disk.clone();
    let options = options();
    let mut promises = Promises::default();
    let mut journal = open_on(Arc::new(lying), options.clone()).unwrap().journal;
    work(journal.as_mut(), Syncing::Always, &mut Random::new(3), &mut promises).unwrap();
    drop(journal);
    disk.cycle_power();
    let look = std::panic::AssertUnwindSafe(|| reopen(&disk, &options, &mut promises).map(drop));
    !matches!(std::panic::catch_unwind(look), Ok(Ok(())))
}

#[test]
fn skipped_syncs_are_caught() {
    let caught =
        |files| (0..20).filter(|seed| is_caught(LyingDisk { disk: SimDisk::new(*seed), files })).count();
    assert!(caught(true) >= 18, "of a disk that never syncs a file");
    assert!(caught(false) >= 12, "of a disk that never syncs its directory");
}

fn seeds() -> u64 {
    std::env::var("BATON_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(4)
}

fn crash_everywhere(syncing: Syncing) {
    for seed in 0..seeds() {
        let operations = life(seed, syncing, None, None, false).operations();
        assert!(operations > 100, "the work should touch the disk often, not {operations} times");
        for crash_at in 1..=operations {
            let again = (crash_at % 2 == 0).then_some(1 + (crash_at / 2 + seed) % 24);
            named_life(seed, syncing, crash_at, again, (crash_at + seed) % 3 == 0);
        }
    }
}

#[test]
fn power_fails_at_every_operation() {
    crash_everywhere(Syncing::Always);
}

#[test]
fn power_fails_at_every_operation_when_some_batches_are_synced() {
    crash_everywhere(Syncing::Sometimes(4));
}

#[test]
fn the_same_seed_gives_the_same_disk() {
    let image = |seed, crash_at| -> BTreeMap<String, Vec<u8>> {
        life(seed, Syncing::Always, Some(crash_at), Some(7), false).image()
    };
    for seed in 0..8 {
        assert!(image(seed, 60 + seed) == image(seed, 60 + seed), "seed {seed} is not deterministic");
    }
    assert!(image(1, 60) != image(2, 60), "seeds make no difference");
}
