//! The checkers bite: each bug planted into the broker is seen by the checkers that are there for it, within few seeds, and
//! still seen in the scenario shrunk from it.

use std::collections::BTreeMap;

use baton_sim::plant::Plant;
use baton_sim::run::{run, run_without};
use baton_sim::scenario::Scenario;
use baton_sim::shrink::shrink;

/// Within so many seeds a planted bug must be seen by each of its checkers.
const SEEDS_MAX: u64 = 150;

/// Runs seeds until all of `checkers` have seen the bug. `durable`, which compares whole states, sees most bugs of recovery
/// first: the others must do without it.
fn is_seen(plant: Plant, checkers: &[&str]) {
    is_seen_from(0, plant, checkers, "durable");
}

/// As [`is_seen`], from a seed on, and with that checker absent every other time.
fn is_seen_from(first: u64, plant: Plant, checkers: &[&str], absent: &str) {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for seed in first..first + SEEDS_MAX {
        for without in ["", absent] {
            if let Some(failure) = run_without(&Scenario::new(seed), plant, false, without).failure {
                seen.entry(failure.checker).or_insert(seed);
            }
        }
        if checkers.iter().all(|checker| seen.contains_key(*checker)) {
            return;
        }
    }
    panic!("{plant:?} was seen by {seen:?} only, not by all of {checkers:?}");
}

#[test]
fn a_disk_that_does_not_sync() {
    // Batches say what was durable when they were written: often recovery itself finds that it was not.
    is_seen(Plant::SkipSync, &["durable", "recovery"]);
}

#[test]
fn effects_that_leave_before_they_are_durable() {
    is_seen(Plant::ReleaseEarly, &["durable", "kept", "lists"]);
}

#[test]
fn leases_forgotten_in_recovery() {
    is_seen(Plant::ForgetLease, &["durable", "one_lease"]);
}

#[test]
fn acknowledgements_lost_in_recovery() {
    is_seen(Plant::LoseAck, &["durable", "settled", "lists"]);
}

#[test]
fn messages_lost_in_recovery() {
    is_seen(Plant::LoseMessage, &["durable", "kept", "lists"]);
}

#[test]
fn deliveries_made_twice() {
    is_seen(Plant::DeliverTwice, &["one_lease"]);
}

#[test]
fn deliveries_out_of_order() {
    is_seen(Plant::SwapDeliveries, &["order"]);
}

#[test]
fn fencing_numbers_that_begin_again() {
    is_seen(Plant::ForgetFences, &["fences"]);
}

#[test]
fn queues_that_count_wrong() {
    is_seen(Plant::Miscount, &["counters"]);
}

#[test]
fn pages_of_indexes_whose_place_was_given_up() {
    is_seen(Plant::LosePage, &["pages"]);
}

#[test]
fn segments_removed_with_what_is_alive_in_them() {
    // The audit comes to a message that cannot be read any more.
    is_seen(Plant::RemoveLive, &["audit"]);
}

#[test]
fn copies_forgotten_in_recovery() {
    is_seen(Plant::LoseCopy, &["durable", "audit"]);
}

#[test]
fn dead_segments_that_stay() {
    // It takes a world in which much was written and little is left.
    is_seen_from(7_400, Plant::KeepSegments, &["budgets"], "durable");
}

#[test]
fn indexes_that_stay_in_memory() {
    is_seen(Plant::KeepPages, &["budgets"]);
}

#[test]
fn receipts_before_anything_is_durable() {
    // Confirms, receipts and commits: the broker has never said what the session tells.
    is_seen_from(0, Plant::AnswerEarly, &["kept", "clients", "lists"], "kept");
}

#[test]
fn settlements_of_other_messages_than_clients_named() {
    is_seen(Plant::SettleAnother, &["clients"]);
}

#[test]
fn repetitions_that_are_not_known() {
    is_seen(Plant::LoseDedupIds, &["dedup"]);
}

#[test]
fn transactions_on_lists_that_have_changed() {
    is_seen(Plant::IgnoreWatches, &["watched"]);
}

#[test]
fn messages_taken_for_repetitions() {
    is_seen(Plant::MixDedupIds, &["dedup"]);
}

#[test]
fn bytes_that_change_on_their_way() {
    is_seen(Plant::GarbleBodies, &["clients"]);
}

#[test]
fn what_fails_still_fails_when_it_is_shrunk() {
    let found = (0..SEEDS_MAX).find_map(|seed| {
        let scenario = Scenario::new(seed);
        Some((run(&scenario, Plant::DeliverTwice, false).failure?, scenario))
    });
    let Some((failure, scenario)) = found else { panic!("nothing fails") };
    let (smaller, again) = shrink(&scenario, &failure, Plant::DeliverTwice);
    assert_eq!(failure.checker, again.checker);
    assert!(smaller.steps.len() * 10 < scenario.steps.len(), "{} steps are left", smaller.steps.len());
    assert_eq!(run(&smaller, Plant::DeliverTwice, false).failure, Some(again));
}
