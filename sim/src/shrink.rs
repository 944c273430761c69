//! Makes a failing scenario smaller while it still fails in the eyes of the same checker: the steps behind the failure go,
//! then whole clients, then runs of steps, each half as long as the ones before.

use crate::plant::Plant;
use crate::run::run;
use crate::scenario::Scenario;
use crate::world::Failure;

/// Most attempts, so that a slow scenario does not keep anybody waiting.
const ATTEMPTS_MAX: usize = 600;

/// The smallest scenario that was found, and how it fails.
#[must_use]
pub fn shrink(scenario: &Scenario, failure: &Failure, plant: Plant) -> (Scenario, Failure) {
    let mut best = (scenario.clone(), failure.clone());
    let mut attempts = 0;
    let mut attempt = |candidate: Scenario, best: &mut (Scenario, Failure)| {
        attempts += 1;
        if attempts > ATTEMPTS_MAX {
            return false;
        }
        match run(&candidate, plant, false).failure {
            Some(found) if found.checker == best.1.checker => {
                *best = (candidate, found);
                true
            }
            _ => false,
        }
    };
    let mut cut = best.0.clone();
    cut.steps.truncate(failure.step + 1);
    attempt(cut, &mut best);
    for actor in 0..scenario.actors.len() {
        let mut without = best.0.clone();
        without.actors[actor] = None;
        attempt(without, &mut best);
    }
    let mut length = best.0.steps.len().next_power_of_two() / 2;
    while length > 0 {
        let mut at = 0;
        while at < best.0.steps.len() {
            let mut without = best.0.clone();
            let end = (at + length).min(without.steps.len());
            without.steps.drain(at..end);
            if !attempt(without, &mut best) {
                at += length;
            }
        }
        length /= 2;
    }
    best
}
