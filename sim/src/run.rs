//! One seed, from the scenario to the verdict.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::plant::Plant;
use crate::scenario::Scenario;
use crate::world::{Failure, Numbers, World};

/// What came of a scenario.
#[derive(Debug)]
pub struct Outcome {
    /// The first broken promise.
    pub failure: Option<Failure>,
    /// Everything that happened, if it was to be traced.
    pub trace: Vec<String>,
    /// The disk at the end.
    pub image: BTreeMap<String, Vec<u8>>,
    /// What happened, in numbers.
    pub numbers: Numbers,
}

/// Runs a scenario. A panic counts as a failure of the checker `panic`.
#[must_use]
pub fn run(scenario: &Scenario, plant: Plant, traced: bool) -> Outcome {
    run_without(scenario, plant, traced, "")
}

/// Runs a scenario in the absence of one checker, so that others have to see what it would see first.
#[must_use]
pub fn run_without(scenario: &Scenario, plant: Plant, traced: bool, checker: &str) -> Outcome {
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(scenario, plant, traced);
        world.dismiss(checker);
        let failure = world.run(scenario);
        Outcome { failure, trace: world.trace().to_vec(), image: world.image(), numbers: world.numbers() }
    }));
    ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Outcome {
            failure: Some(Failure {
                checker: "panic".to_owned(),
                what: text.unwrap_or_default(),
                step: scenario.steps.len(),
            }),
            trace: Vec::new(),
            image: BTreeMap::new(),
            numbers: Numbers::default(),
        }
    })
}
