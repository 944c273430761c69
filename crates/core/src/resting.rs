//! Names that are not to be used for a while, because a queue of that name was just deleted. Only for those who ask: who
//! declares a queue gets it. Part of the recorded state.

use std::collections::BTreeMap;

use baton_model::limits::NAMES_RESTING_MAX;
use baton_model::{Name, Time};

/// All names that rest: until when, by namespace and name.
#[derive(Debug, Default)]
pub(crate) struct Resting(BTreeMap<(Name, Name), Time>);

impl Resting {
    /// Lets a name rest.
    pub(crate) fn rest(&mut self, now: Time, namespace: Name, name: Name, until: Time) {
        if self.0.len() >= NAMES_RESTING_MAX {
            self.0.retain(|_, until| *until > now);
        }
        if self.0.len() >= NAMES_RESTING_MAX
            && let Some(first) = self.0.iter().min_by_key(|(_, until)| **until).map(|(name, _)| name.clone())
        {
            self.0.remove(&first);
        }
        self.0.insert((namespace, name), until);
    }

    /// All that rest: namespace, name, until when.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Name, &Name, Time)> {
        self.0.iter().map(|((namespace, name), until)| (namespace, name, *until))
    }

    /// How much longer a name rests, milliseconds.
    pub(crate) fn left_ms(&self, now: Time, namespace: &Name, name: &Name) -> u64 {
        self.0.get(&(namespace.clone(), name.clone())).map_or(0, |until| until.since_ms(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_rest_for_their_time_and_do_not_pile_up() {
        let mut resting = Resting::default();
        let name = |i: usize| Name::from(i.to_string());
        for i in 0..=NAMES_RESTING_MAX {
            resting.rest(Time(0), name(0), name(i), Time(10 + i as u64));
        }
        assert_eq!(resting.0.len(), NAMES_RESTING_MAX);
        assert_eq!(resting.left_ms(Time(0), &name(0), &name(0)), 0, "it had least time left");
        assert_eq!(resting.left_ms(Time(5), &name(0), &name(1)), 6);
        assert_eq!(resting.left_ms(Time(11), &name(0), &name(1)), 0);
        assert_eq!(resting.left_ms(Time(0), &name(1), &name(1)), 0);
        resting.rest(Time(1_000_000), name(0), name(7), Time(1_000_001));
        assert_eq!(resting.0.len(), 1);
    }
}
