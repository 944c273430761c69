//! What the machine and the journal do together: batches of 1, 16, 128 and 1,024 records of 1 KiB, each batch written
//! and synced before the next. `cargo run --release -p baton-journal-file --example append -- DIR [SECONDS]`; DIR is on the disk
//! to be measured and gets a directory that is removed again. Also: how long opening takes, and the same batches
//! without this crate (`write` and `fdatasync` at the end of a file), for comparison in the same run.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a measuring program for a terminal")]

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use baton_journal::Position;
use baton_journal_file::{Options, open};

const RECORD_BYTES: usize = 1024;

struct Measured {
    batches: u64,
    elapsed: Duration,
    latencies: Vec<Duration>,
}

impl Measured {
    fn print(mut self, name: &str, records_per_batch: usize) {
        self.latencies.sort_unstable();
        let at = |share: usize| {
            let index = self.latencies.len() * share / 100;
            self.latencies.get(index).copied().unwrap_or_default().as_micros()
        };
        let seconds = self.elapsed.as_secs_f64();
        let records = self.batches * records_per_batch as u64;
        println!(
            "{name:<22} {records_per_batch:>5} records  {:>8.0} syncs/s {:>10.0} records/s {:>7.1} MB/s  p50 {:>5} us  p99 {:>6} us",
            self.batches as f64 / seconds,
            records as f64 / seconds,
            (records * RECORD_BYTES as u64) as f64 / seconds / 1e6,
            at(50),
            at(99),
        );
    }
}

fn repeat(
    limit: Duration,
    mut step: impl FnMut() -> Result<Duration, Box<dyn Error>>,
) -> Result<Measured, Box<dyn Error>> {
    let mut latencies = Vec::with_capacity(1 << 17);
    let started = Instant::now();
    while started.elapsed() < limit {
        latencies.push(step()?);
    }
    Ok(Measured { batches: latencies.len() as u64, elapsed: started.elapsed(), latencies })
}

fn journal(directory: &Path, records: usize, limit: Duration) -> Result<Measured, Box<dyn Error>> {
    let mut journal = open(directory, Options::default())?.journal;
    let housekeeping = journal.housekeeping();
    let mut builder = journal.batch_builder();
    let body = [0x5a; RECORD_BYTES];
    let measured = repeat(limit, || {
        for _ in 0..records {
            builder.record(|buf| buf.extend_from_slice(&body))?;
        }
        let before = Instant::now();
        let batch = builder.finish();
        journal.append(&batch)?;
        let latency = before.elapsed();
        builder.recycle(batch);
        // As a drained queue would: now and then a snapshot, and dead segments go (and are recycled).
        if housekeeping.segments().len() > 3 {
            let end: Position = journal.end();
            housekeeping.write_snapshot(end, &mut |sink| sink.record(b"drained"))?;
            for segment in housekeeping.segments().into_iter().filter(|s| s.sealed) {
                housekeeping.remove_segment(segment.base)?;
            }
        }
        Ok(latency)
    })?;
    Ok(measured)
}

fn plain_file(path: &Path, records: usize, limit: Duration) -> Result<Measured, Box<dyn Error>> {
    let file = File::create(path)?;
    let bytes = vec![0x5a; records * RECORD_BYTES];
    let mut offset = 0;
    repeat(limit, || {
        let before = Instant::now();
        file.write_all_at(&bytes, offset)?;
        file.sync_data()?;
        offset += bytes.len() as u64;
        Ok(before.elapsed())
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let parent = arguments.next().unwrap_or_else(|| ".".to_owned());
    let seconds = arguments.next().map_or(Ok(2.0), |text| text.parse::<f64>())?;
    let limit = Duration::from_secs_f64(seconds);
    let directory = Path::new(&parent).join(format!("baton-append-{}", std::process::id()));
    for attempt in ["first", "second"] {
        let before = Instant::now();
        let opened = open(&directory, Options::default())?;
        println!("{attempt} opening: {:.1} ms", before.elapsed().as_secs_f64() * 1e3);
        drop(opened);
    }
    for records in [1, 16, 128, 1024] {
        journal(&directory, records, limit)?.print("journal", records);
        let path = directory.join("plain");
        plain_file(&path, records, limit)?.print("plain file, appending", records);
        std::fs::remove_file(&path)?;
    }
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}
