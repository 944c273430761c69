//! The simulated disk keeps its own word: what was synced stays, what was not can be lost in every promised way.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::io::ErrorKind;

use baton_journal_file::SimDisk;
use baton_journal_file::disk::Disk;

fn content(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    disk.image().remove(name)
}

#[test]
fn what_was_synced_stays() {
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let file = disk.create("a").unwrap();
        file.write_at(0, &[1; 3000]).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir().unwrap();
        file.write_at(1000, &[2; 1000]).unwrap();
        disk.cycle_power();
        let bytes = content(&disk, "a").unwrap();
        assert_eq!(bytes.len(), 3000);
        assert!(bytes[..1000].iter().chain(&bytes[2000..]).all(|b| *b == 1), "seed {seed}");
        assert!(bytes[1000..2000].iter().all(|b| *b == 1 || *b == 2));
        assert!(file.write_at(0, b"x").is_err(), "a handle from before the power loss");
    }
}

#[test]
fn what_was_not_synced_is_lost_torn_and_reordered() {
    let (mut first, mut second, mut torn) = (BTreeSet::new(), BTreeSet::new(), 0);
    let mut later_without_earlier = 0;
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let file = disk.create("a").unwrap();
        file.write_at(0, &[0; 4096]).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir().unwrap();
        file.write_at(0, &[1; 2048]).unwrap();
        file.write_at(2048, &[2; 2048]).unwrap();
        disk.cycle_power();
        let bytes = content(&disk, "a").unwrap();
        let count = |from: usize| bytes[from..from + 2048].iter().filter(|b| **b != 0).count();
        first.insert(count(0));
        second.insert(count(2048));
        torn += usize::from(count(0) % 512 != 0);
        later_without_earlier += usize::from(count(0) == 0 && count(2048) == 2048);
    }
    for seen in [&first, &second] {
        assert!(seen.contains(&0) && seen.contains(&2048) && seen.len() > 10, "{seen:?}");
    }
    assert!(torn > 10 && later_without_earlier > 3, "{torn} {later_without_earlier}");
}

#[test]
fn names_are_durable_after_a_directory_sync_and_lost_in_order_before() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        disk.create("kept").unwrap();
        disk.sync_dir().unwrap();
        disk.rename("kept", "renamed").unwrap();
        disk.create("later").unwrap();
        disk.cycle_power();
        seen.insert(disk.image().into_keys().collect::<Vec<_>>());
    }
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let expected = [names(&["kept"]), names(&["renamed"]), names(&["later", "renamed"])];
    assert_eq!(seen, BTreeSet::from(expected));
}

#[test]
fn a_failed_sync_forgets_and_the_next_one_lies() {
    let mut lost = 0;
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let file = disk.create("a").unwrap();
        disk.sync_dir().unwrap();
        file.write_at(0, &[1; 1024]).unwrap();
        disk.fail_sync(1);
        assert!(file.sync_data().is_err());
        assert!(file.sync_data().is_ok());
        assert_eq!(content(&disk, "a").unwrap(), [1; 1024], "reading still shows it");
        disk.cycle_power();
        lost += usize::from(content(&disk, "a").unwrap() != [1; 1024]);
    }
    assert!(lost > 10);
}

#[test]
fn a_full_disk_stops_in_the_middle_of_a_write() {
    let disk = SimDisk::new(1);
    disk.set_capacity_bytes(100);
    let file = disk.create("a").unwrap();
    file.write_at(0, &[1; 60]).unwrap();
    assert_eq!(file.write_at(50, &[2; 60]).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!((disk.used_bytes(), disk.free_bytes().unwrap()), (100, 0));
    file.write_at(0, &[3; 100]).unwrap();
    disk.remove("a").unwrap();
    assert_eq!(disk.free_bytes().unwrap(), 100);
}
