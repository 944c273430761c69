//! Some hundred brokers, each from a seed. A failure prints the seed; `cargo run -p baton-sim -- --seed N --seeds 1` shrinks it.
//! `BATON_SIM_SEEDS` runs more.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use baton_sim::plant::Plant;
use baton_sim::run::run;
use baton_sim::scenario::Scenario;

/// Seeds of every run of the tests.
const SEEDS: u64 = 1_000;

/// What many worlds came to together.
#[derive(Default)]
struct Sum {
    lives: u64,
    facts: u64,
    /// Worlds in which pages of an index left the memory.
    paged: u64,
    /// Worlds in which messages were copied so that segments could go.
    rewritten: u64,
}

/// Runs every `stride`-th seed below `seeds` from `first` on.
fn run_some(first: u64, seeds: u64, stride: usize) -> Sum {
    let mut sum = Sum::default();
    for seed in (first..seeds).step_by(stride) {
        let outcome = run(&Scenario::new(seed), Plant::None, false);
        assert_eq!(outcome.failure, None, "seed {seed}");
        sum.lives += outcome.numbers.lives;
        sum.facts += outcome.numbers.facts;
        sum.paged += u64::from(outcome.numbers.cold_messages > 0);
        sum.rewritten += u64::from(outcome.numbers.rewritten_bytes > 0);
    }
    sum
}

#[test]
fn brokers_keep_their_promises_whatever_happens() {
    let seeds = std::env::var("BATON_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(SEEDS);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let sum = std::thread::scope(|scope| {
        let parts: Vec<_> =
            (0..threads as u64).map(|first| scope.spawn(move || run_some(first, seeds, threads))).collect();
        parts.into_iter().map(|part| part.join().unwrap()).fold(Sum::default(), |a, b| Sum {
            lives: a.lives + b.lives,
            facts: a.facts + b.facts,
            paged: a.paged + b.paged,
            rewritten: a.rewritten + b.rewritten,
        })
    });
    assert!(sum.lives > 3 * seeds, "brokers should die often, not be started {} times", sum.lives);
    assert!(sum.facts > 200 * seeds, "much should happen, not {} things", sum.facts);
    assert!(sum.paged > seeds / 5, "queues should be deep often, not in {} worlds", sum.paged);
    assert!(sum.rewritten > seeds / 10, "segments should be cleared often, not in {}", sum.rewritten);
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
