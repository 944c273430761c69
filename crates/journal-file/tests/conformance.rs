//! The contract of `baton-journal`, kept on a real directory and on the simulated disk.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use baton_journal::conformance::{self, Opener};
use baton_journal_file::{Options, SimDisk, open, open_on};

fn options(background: bool) -> Options {
    Options { segment_bytes: conformance::SEGMENT_BYTES, background, ..Options::default() }
}

fn in_directory(options: &Options) -> Opener {
    let directory = tempfile::tempdir().unwrap();
    let options = options.clone();
    Box::new(move || open(directory.path(), options.clone()))
}

#[test]
fn in_a_real_directory() {
    let options = options(true);
    conformance::run(&mut || in_directory(&options));
}

#[test]
fn in_a_real_directory_without_threads() {
    let options = options(false);
    conformance::run(&mut || in_directory(&options));
}

#[test]
fn on_the_simulated_disk() {
    let mut seed = 0;
    conformance::run(&mut || {
        seed += 1;
        let disk = SimDisk::new(seed);
        let options = options(false);
        Box::new(move || open_on(Arc::new(disk.clone()), options.clone()))
    });
}

#[test]
fn with_the_defaults() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path(), Options::default()).unwrap());
    let mut journal = open(directory.path(), Options::default()).unwrap().journal;
    let mut builder = journal.batch_builder();
    let body = vec![7; 3 << 20];
    let mut locations = Vec::new();
    for _ in 0..40 {
        locations.push(builder.record(|buf| buf.extend_from_slice(&body)).unwrap());
        let batch = builder.finish();
        journal.append(&batch).unwrap();
        builder.recycle(batch);
    }
    let reader = journal.reader();
    assert!(locations.iter().all(|l| reader.read(*l).unwrap() == body));
    let housekeeping = journal.housekeeping();
    assert!(housekeeping.segments().len() >= 3);
    housekeeping.write_snapshot(journal.end(), &mut |sink| sink.record(b"all")).unwrap();
    for segment in housekeeping.segments().into_iter().filter(|s| s.sealed) {
        housekeeping.remove_segment(segment.base).unwrap();
    }
    for _ in 0..40 {
        locations.push(builder.record(|buf| buf.extend_from_slice(&body)).unwrap());
        journal.append(&builder.finish()).unwrap();
    }
    drop((journal, housekeeping));
    let mut recovery = open(directory.path(), Options::default()).unwrap().recovery;
    let mut count = 0;
    recovery
        .replay(&mut |_, payload| {
            count += usize::from(payload == body);
            Ok(())
        })
        .unwrap();
    assert_eq!(count, 40);
}
