//! Some hundred brokers, each from a seed. A failure prints the seed; `cargo run -p baton-sim -- --seed N --seeds 1` shrinks it.
//! `BATON_SIM_SEEDS` runs more.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use baton_sim::plant::Plant;
use baton_sim::run::run;
use baton_sim::scenario::Scenario;

/// Seeds of every run of the tests.
const SEEDS: u64 = 200;

#[test]
fn brokers_keep_their_promises_whatever_happens() {
    let seeds = std::env::var("BATON_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(SEEDS);
    let (mut lives, mut facts, mut paged, mut rewritten) = (0, 0, 0, 0);
    for seed in 0..seeds {
        let outcome = run(&Scenario::new(seed), Plant::None, false);
        assert_eq!(outcome.failure, None, "seed {seed}");
        lives += outcome.numbers.lives;
        facts += outcome.numbers.facts;
        paged += u64::from(outcome.numbers.cold_messages > 0);
        rewritten += u64::from(outcome.numbers.rewritten_bytes > 0);
    }
    assert!(lives > 3 * seeds, "brokers should die often, not be started {lives} times");
    assert!(facts > 200 * seeds, "much should happen, not {facts} things");
}

#[test]
fn the_same_seed_gives_the_same_disk_and_the_same_trace() {
    for seed in 0..12 {
        let both = [(); 2].map(|()| run(&Scenario::new(seed), Plant::None, true));
        assert!(!both[0].trace.is_empty());
        for (first, second) in both[0].trace.iter().zip(&both[1].trace) {
            assert_eq!(first, second, "seed {seed}");
        }
        assert!(both[0].image == both[1].image, "seed {seed}: not the same bytes");
        assert_eq!(both[0].trace.len(), both[1].trace.len(), "seed {seed}");
    }
}

#[test]
fn seeds_make_a_difference() {
    let images: Vec<_> = (0..4).map(|seed| run(&Scenario::new(seed), Plant::None, false).image).collect();
    assert!(images.windows(2).all(|pair| pair[0] != pair[1]));
}
