//! A small deterministic source of inputs: mutations of corpus files and random bytes, all from one seed. Knows nothing of any
//! format. Used by `main.rs`.

/// Longest input made, in bytes: enough for several frames, small enough for many runs.
const INPUT_BYTES_MAX: usize = 4096;

/// Values at which length checks and sign handling break.
const INTERESTING: &[u64] =
    &[0, 1, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];

/// Splitmix64: tiny, and every seed gives a full period.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts from a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 bits.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound` (0 if `bound` is 0).
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.number() % bound).expect("below a usize")
    }

    fn byte(&mut self) -> u8 {
        self.number().to_be_bytes()[0]
    }
}

/// The next input: mostly a corpus file with a few mutations, sometimes random bytes.
pub fn input(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    if corpus.is_empty() || random.below(8) == 0 {
        let len = random.below(300);
        return (0..len).map(|_| random.byte()).collect();
    }
    let mut input = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(6) {
        mutate(random, corpus, &mut input);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn mutate(random: &mut Random, corpus: &[Vec<u8>], input: &mut Vec<u8>) {
    let at = random.below(input.len() + 1);
    let kind = random.below(8);
    match kind {
        0 => input.insert(at, random.byte()),
        1 => input.truncate(at),
        2 => overwrite(input, at, &random.number().to_be_bytes()[..random.below(9)]),
        3 => {
            let number = INTERESTING[random.below(INTERESTING.len())].to_be_bytes();
            let width = [1, 2, 4, 8][random.below(4)];
            overwrite(input, at, &number[8 - width..]);
        }
        4 => {
            // Another file's tail: keeps both halves well formed.
            let other = &corpus[random.below(corpus.len())];
            input.truncate(at);
            input.extend_from_slice(&other[random.below(other.len())..]);
        }
        5 => {
            let piece = input[at..].to_vec();
            let to = random.below(input.len() + 1);
            input.splice(to..to, piece.into_iter().take(64));
        }
        6 => {
            let end = (at + random.below(16)).min(input.len());
            input.drain(at..end);
        }
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
    }
}

fn overwrite(input: &mut [u8], at: usize, with: &[u8]) {
    for (to, from) in input[at..].iter_mut().zip(with) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs() {
        let corpus = vec![vec![1, 2, 3], b"AMQP".to_vec(), Vec::new()];
        let run = |seed| {
            let mut random = Random::new(seed);
            (0..2000).map(|_| input(&mut random, &corpus)).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        assert!(run(3).iter().all(|input| input.len() <= INPUT_BYTES_MAX));
    }
}
