//! A scenario: who is there and what happens, step by step. Made from a seed; parts of it can be left out to shrink it.

use crate::Dice;
use crate::actors::Role;

/// What happens next. `roll` seeds the random choices within the step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "what the fields are is said by their names and types")]
pub enum Step {
    /// A client does something.
    Act { actor: usize, roll: u64 },
    /// The network moves what a client sent, or some of it, to the broker.
    Up { actor: usize, roll: u64 },
    /// The network moves what the broker sent, or some of it, to a client.
    Down { actor: usize, roll: u64 },
    /// The partition turns.
    Turn,
    /// The batch in flight is appended.
    Land,
    /// A job of housekeeping is done.
    Keep,
    /// Time passes.
    Pass { ms: u64 },
    /// A fault; see `faults`.
    Fault { fault: Fault },
    /// The auditor looks at everything.
    Audit,
}

/// What goes wrong. Described in `faults`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "described where they are injected")]
pub enum Fault {
    Cut { actor: usize },
    Kill { again: Option<u64> },
    PowerLoss { again: Option<u64> },
    CrashDuring { operations: u64, power: bool, again: Option<u64> },
    FailSync { count: u64 },
    Full { spare_bytes: u64 },
    Space,
    Shutdown,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Where it came from; also seeds the disk and the retries' jitter.
    pub seed: u64,
    /// The clients; `None`: left out.
    pub actors: Vec<Option<Role>>,
    /// What happens.
    pub steps: Vec<Step>,
    /// Records wait for company so long, milliseconds.
    pub linger_ms: u64,
    /// Contents beyond this are read back from the disk, bytes.
    pub resident_bytes_max: u64,
    /// Messages of which the index stays in memory.
    pub index_messages_max: u64,
    /// A snapshot is due when the journal has grown by this, bytes.
    pub snapshot_bytes_min: u64,
    /// Size of the journal's segments.
    pub segment_bytes: u64,
}

/// Steps of a scenario, unless told otherwise.
pub const STEPS: usize = 600;

impl Scenario {
    /// The scenario of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x5eed_0000_0000_0001);
        // In most worlds somebody sends more than is taken.
        let deep = !dice.one_in(3);
        let mut actors: Vec<Option<Role>> = Vec::new();
        for _ in 0..3 + dice.index(6) {
            actors.push(Some(Role::any(&mut dice)));
        }
        // Somebody sends and somebody takes, or nothing happens.
        actors[0] = Some(Role::Producer);
        actors[1] = Some(Role::Consumer);
        if deep {
            actors.push(Some(Role::Hoarder));
        }
        // How rough the seed's world is: from calm to a crash every thirty steps.
        let fault_one_in = *dice.pick(&[30, 60, 120, 400, 100_000]);
        let cut_one_in = *dice.pick(&[30, 100, 400]);
        let busy = *dice.pick(&[2, 5, 10]);
        let steps = (0..STEPS)
            .map(|_| {
                if dice.one_in(fault_one_in) {
                    return Step::Fault { fault: Fault::any(&mut dice) };
                }
                if dice.one_in(cut_one_in) {
                    return Step::Fault { fault: Fault::Cut { actor: dice.index(actors.len()) } };
                }
                Step::any(&mut dice, actors.len(), busy)
            })
            .collect();
        Self {
            seed,
            actors,
            steps,
            linger_ms: *dice.pick(&[0, 5, 50]),
            resident_bytes_max: *dice.pick(&[0, 500, 128 << 20]),
            index_messages_max: *dice.pick(&[0, 64, 400, 128 << 10]),
            snapshot_bytes_min: *dice.pick(&[2 << 10, 8 << 10, 1 << 20]),
            segment_bytes: if deep {
                *dice.pick(&[288 << 10, 288 << 10, 512 << 10])
            } else {
                *dice.pick(&[8 << 10, 32 << 10, 256 << 10])
            },
        }
    }
}

impl Step {
    fn any(dice: &mut Dice, actors: usize, busy: u64) -> Self {
        let actor = dice.index(actors);
        let roll = dice.number();
        match dice.below(100) {
            0..34 => Self::Act { actor, roll },
            34..50 => Self::Up { actor, roll },
            50..64 => Self::Down { actor, roll },
            64..80 => Self::Turn,
            80..90 => Self::Land,
            90..92 => Self::Keep,
            92..93 => Self::Audit,
            _ => Self::Pass {
                ms: match dice.below(40) {
                    0 => 1_000 + dice.below(60_000),
                    1..8 => dice.below(400),
                    _ => dice.below(4 * busy),
                },
            },
        }
    }
}

impl Fault {
    fn any(dice: &mut Dice) -> Self {
        let again = dice.maybe(3, 40).map(|operations| operations + 1);
        match dice.below(12) {
            0..2 => Self::Kill { again },
            2..4 => Self::PowerLoss { again },
            4..9 => Self::CrashDuring { operations: 1 + dice.below(12), power: dice.one_in(2), again },
            9 => Self::FailSync { count: 1 + dice.below(3) },
            10 => {
                *dice.pick(&[Self::Full { spare_bytes: dice.clone().below(3000) }, Self::Space, Self::Space])
            }
            _ => Self::Shutdown,
        }
    }
}
