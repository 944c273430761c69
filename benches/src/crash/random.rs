//! The crash test's random numbers: SplitMix64, small and the same everywhere, so that a seed repeats the choices of a
//! run (not its timing, which belongs to the machine).

/// A stream of pseudo-random numbers.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// An independent stream for one worker of one round.
    pub fn fork(&self, round: u64, worker: u64) -> Random {
        let mut child = Random(self.0 ^ (round << 32) ^ worker.wrapping_mul(0x9e6d_62d0_6f6a_9a9b));
        child.next();
        child
    }

    /// The next 64 bits (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
    #[expect(clippy::should_implement_trait, reason = "an endless stream, not an iterator")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `range`, both ends included.
    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_forks_differ() {
        let (mut one, mut two) = (Random::new(7), Random::new(7));
        assert_eq!((one.next(), one.next()), (two.next(), two.next()));
        assert_ne!(one.fork(1, 1).next(), one.fork(1, 2).next());
        assert_ne!(one.fork(1, 1).next(), one.fork(2, 1).next());
        assert!((0..1_000).all(|_| (3..=5).contains(&one.within(3, 5))));
    }

    #[test]
    fn the_first_numbers_are_those_of_the_paper() {
        // Reference output of SplitMix64 for seed 1234567.
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }
}
