//! When each round's kill comes. The kinds take turns in a fixed proportion, the moments come from the seed.

use std::time::Duration;

use super::random::Random;

/// A moment to kill the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Under load, after so long.
    Load(Duration),
    /// Under load, so long after a queue's declare-ok (and bind-ok, when `bind`), with confirmed messages in it when
    /// `publish` is not 0.
    Declare {
        /// From the load's start to the declare.
        load: Duration,
        /// From the last answer to the kill.
        after: Duration,
        /// Bind the queue, too.
        bind: bool,
        /// Messages that are published and confirmed in between.
        publish: u64,
    },
    /// The instant at which a batch of so many messages is confirmed.
    Confirm {
        /// From the load's start to the batch.
        load: Duration,
        /// Messages in the batch.
        batch: u64,
    },
    /// Under load, and again during the start-up that follows, so many times, each at a share (in 1/1000) of the time
    /// that the last start took.
    StartUp {
        /// Load before the first kill.
        load: Duration,
        /// The shares, one for each further kill.
        shares: [u64; 2],
    },
}

impl Moment {
    /// How often this moment kills.
    pub fn kills(self) -> usize {
        match self {
            Moment::StartUp { shares, .. } => 1 + shares.len(),
            _ => 1,
        }
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Moment::Load(load) => write!(f, "load {} ms", load.as_millis()),
            Moment::Declare { after, bind, publish, .. } => {
                let what = if *bind { "declare and bind" } else { "declare" };
                write!(f, "{} us after {what}, {publish} messages", after.as_micros())
            }
            Moment::Confirm { batch, .. } => write!(f, "as {batch} messages are confirmed"),
            Moment::StartUp { shares: [first, second], .. } => {
                write!(f, "start-up, at {}% and {}%", first / 10, second / 10)
            }
        }
    }
}

/// The moments of a run with at least `kills` kills.
pub fn moments(random: &mut Random, kills: usize) -> Vec<Moment> {
    let mut moments = Vec::new();
    let mut planned = 0;
    while planned < kills {
        let moment = match moments.len() % 6 {
            1 | 4 => Moment::Declare {
                load: Duration::from_millis(random.within(20, 300)),
                after: Duration::from_micros(if random.chance(50) { 0 } else { random.within(0, 3_000) }),
                bind: random.chance(60),
                publish: if random.chance(50) { random.within(1, 20) } else { 0 },
            },
            2 => Moment::StartUp {
                load: Duration::from_millis(random.within(50, 500)),
                shares: [random.within(0, 999), random.within(0, 999)],
            },
            3 => Moment::Confirm {
                load: Duration::from_millis(random.within(20, 400)),
                batch: random.within(1, 64),
            },
            _ => Moment::Load(Duration::from_millis(random.within(30, 900))),
        };
        planned += moment.kills();
        moments.push(moment);
    }
    moments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_kills_hold_every_kind_and_repeat_with_the_seed() {
        let plan = moments(&mut Random::new(5), 30);
        assert!(plan.iter().map(|moment| moment.kills()).sum::<usize>() >= 30);
        let count = |wanted: fn(&Moment) -> bool| plan.iter().filter(|moment| wanted(moment)).count();
        assert!(count(|moment| matches!(moment, Moment::Declare { .. })) >= 6);
        assert!(count(|moment| matches!(moment, Moment::StartUp { .. })) >= 3);
        assert!(count(|moment| matches!(moment, Moment::Load(_))) >= 6);
        assert!(count(|moment| matches!(moment, Moment::Confirm { .. })) >= 3);
        assert_eq!(plan, moments(&mut Random::new(5), 30));
        assert_ne!(plan, moments(&mut Random::new(6), 30));
    }
}
