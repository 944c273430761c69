//! MD5 of several texts at once. One step of MD5 waits for the one before it, so a processor does little of it at a time;
//! four texts side by side fill a vector of the processor, and with three vectors one works while another waits: twelve texts
//! take little longer than four. Called for batches.
//!
//! The algorithm is RFC 1321's; the tests hold it against the crate that digests single texts.

use wide::u32x4;

use super::{Digest16, md5};

/// Vectors that are worked on in turns. More than three do not fit the registers of every 64-bit processor.
const VECTORS: usize = 3;
/// Texts that are digested side by side: four in a vector of what every 64-bit processor has.
const LANES: usize = 4 * VECTORS;
/// Fewer texts are digested sooner one after the other.
const SIDE_BY_SIDE_MIN: usize = 4;
/// Bytes of a block.
const BLOCK: usize = 64;

/// The same word of each lane.
#[derive(Clone, Copy)]
struct Words([u32x4; VECTORS]);

impl Words {
    fn all(word: u32) -> Self {
        Self([u32x4::splat(word); VECTORS])
    }

    fn of(lanes: [u32; LANES]) -> Self {
        let (vectors, _) = lanes.as_chunks::<4>();
        let mut words = Self::all(0);
        words.0.iter_mut().zip(vectors).for_each(|(to, from)| *to = u32x4::new(*from));
        words
    }

    fn lanes(self) -> [u32; LANES] {
        let mut lanes = [0; LANES];
        let (vectors, _) = lanes.as_chunks_mut::<4>();
        vectors.iter_mut().zip(self.0).for_each(|(to, from)| *to = from.to_array());
        lanes
    }

    #[inline(always)]
    fn zip(mut self, other: Self, of: impl Fn(u32x4, u32x4) -> u32x4) -> Self {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = of(*mine, theirs);
        }
        self
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    fn rotated(mut self, bits: u32) -> Self {
        for words in &mut self.0 {
            *words = *words << bits | *words >> (32 - bits);
        }
        self
    }
}

/// The four functions of the four rounds.
#[inline(always)]
fn f(b: Words, c: Words, d: Words) -> Words {
    d.zip(b.zip(c.zip(d, |c, d| c ^ d), |b, cd| b & cd), |d, bcd| d ^ bcd)
}

#[inline(always)]
fn g(b: Words, c: Words, d: Words) -> Words {
    f(d, b, c)
}

#[inline(always)]
fn h(b: Words, c: Words, d: Words) -> Words {
    b.zip(c, |b, c| b ^ c).zip(d, |bc, d| bc ^ d)
}

#[inline(always)]
fn i(b: Words, c: Words, d: Words) -> Words {
    c.zip(b.zip(d, |b, d| b | !d), |c, bd| c ^ bd)
}

type State = [Words; 4];

const BEGIN: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// A round: steps with words and constants, four at a time, the state turned by one place after each.
macro_rules! round {
    ($of:ident, $a:ident $b:ident $c:ident $d:ident, $s:expr,
        $(($w0:ident, $k0:literal) ($w1:ident, $k1:literal) ($w2:ident, $k2:literal) ($w3:ident, $k3:literal))*) => {
        let [s0, s1, s2, s3] = $s;
        $(
            $a = step($of($b, $c, $d), $a, $b, $w0, $k0, s0);
            $d = step($of($a, $b, $c), $d, $a, $w1, $k1, s1);
            $c = step($of($d, $a, $b), $c, $d, $w2, $k2, s2);
            $b = step($of($c, $d, $a), $b, $c, $w3, $k3, s3);
        )*
    };
}

#[inline(always)]
fn step(mixed: Words, a: Words, b: Words, word: Words, constant: u32, bits: u32) -> Words {
    a.plus(mixed).plus(word).plus(Words::all(constant)).rotated(bits).plus(b)
}

/// One block of each lane.
fn compress(state: &mut State, words: &[Words; 16]) {
    let [mut a, mut b, mut c, mut d] = *state;
    let [w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15] = *words;
    round!(f, a b c d, [7, 12, 17, 22],
        (w0, 0xd76a_a478) (w1, 0xe8c7_b756) (w2, 0x2420_70db) (w3, 0xc1bd_ceee) (w4, 0xf57c_0faf) (w5, 0x4787_c62a) (w6, 0xa830_4613) (w7, 0xfd46_9501)
        (w8, 0x6980_98d8) (w9, 0x8b44_f7af) (w10, 0xffff_5bb1) (w11, 0x895c_d7be) (w12, 0x6b90_1122) (w13, 0xfd98_7193) (w14, 0xa679_438e) (w15, 0x49b4_0821));
    round!(g, a b c d, [5, 9, 14, 20],
        (w1, 0xf61e_2562) (w6, 0xc040_b340) (w11, 0x265e_5a51) (w0, 0xe9b6_c7aa) (w5, 0xd62f_105d) (w10, 0x0244_1453) (w15, 0xd8a1_e681) (w4, 0xe7d3_fbc8)
        (w9, 0x21e1_cde6) (w14, 0xc337_07d6) (w3, 0xf4d5_0d87) (w8, 0x455a_14ed) (w13, 0xa9e3_e905) (w2, 0xfcef_a3f8) (w7, 0x676f_02d9) (w12, 0x8d2a_4c8a));
    round!(h, a b c d, [4, 11, 16, 23],
        (w5, 0xfffa_3942) (w8, 0x8771_f681) (w11, 0x6d9d_6122) (w14, 0xfde5_380c) (w1, 0xa4be_ea44) (w4, 0x4bde_cfa9) (w7, 0xf6bb_4b60) (w10, 0xbebf_bc70)
        (w13, 0x289b_7ec6) (w0, 0xeaa1_27fa) (w3, 0xd4ef_3085) (w6, 0x0488_1d05) (w9, 0xd9d4_d039) (w12, 0xe6db_99e5) (w15, 0x1fa2_7cf8) (w2, 0xc4ac_5665));
    round!(i, a b c d, [6, 10, 15, 21],
        (w0, 0xf429_2244) (w7, 0x432a_ff97) (w14, 0xab94_23a7) (w5, 0xfc93_a039) (w12, 0x655b_59c3) (w3, 0x8f0c_cc92) (w10, 0xffef_f47d) (w1, 0x8584_5dd1)
        (w8, 0x6fa8_7e4f) (w15, 0xfe2c_e6e0) (w6, 0xa301_4314) (w13, 0x4e08_11a1) (w4, 0xf753_7e82) (w11, 0xbd3a_f235) (w2, 0x2ad7_d2bb) (w9, 0xeb86_d391));
    for (old, new) in state.iter_mut().zip([a, b, c, d]) {
        *old = old.plus(new);
    }
}

/// A text's blocks: those that stand in it, and one or two with what is left of it, its end mark and its length.
struct Blocks<'a> {
    whole: &'a [[u8; BLOCK]],
    last: [[u8; BLOCK]; 2],
    count: usize,
}

impl<'a> Blocks<'a> {
    fn of(text: &'a [u8]) -> Self {
        let (whole, rest) = text.as_chunks::<BLOCK>();
        let mut last = [0; 2 * BLOCK];
        let more = if rest.len() < BLOCK - 8 { 1 } else { 2 };
        last.iter_mut().zip(rest.iter().chain([&0x80])).for_each(|(to, from)| *to = *from);
        let bits = (text.len() as u64).wrapping_mul(8).to_le_bytes();
        last.iter_mut().skip(more * BLOCK - 8).zip(bits).for_each(|(to, from)| *to = from);
        let (blocks, _) = last.as_chunks::<BLOCK>();
        let last = blocks.try_into().unwrap_or([[0; BLOCK]; 2]);
        Self { whole, last, count: whole.len() + more }
    }

    fn get(&self, nth: usize) -> &[u8; BLOCK] {
        const NONE: [u8; BLOCK] = [0; BLOCK];
        let last = || self.last.get(nth.checked_sub(self.whole.len())?);
        self.whole.get(nth).or_else(last).unwrap_or(&NONE)
    }
}

/// The digests of texts, in their order.
pub(crate) fn md5_each(texts: &[&[u8]]) -> Vec<Digest16> {
    let mut digests = Vec::with_capacity(texts.len());
    for group in texts.chunks(LANES) {
        if group.len() < SIDE_BY_SIDE_MIN {
            digests.extend(group.iter().map(|text| md5(text)));
        } else {
            side_by_side(group, &mut digests);
        }
    }
    digests
}

fn side_by_side(group: &[&[u8]], digests: &mut Vec<Digest16>) {
    let mut lanes: [Blocks<'_>; LANES] = std::array::from_fn(|_| Blocks { count: 0, ..Blocks::of(&[]) });
    lanes.iter_mut().zip(group).for_each(|(lane, text)| *lane = Blocks::of(text));
    let mut state = BEGIN.map(Words::all);
    let most = lanes.iter().map(|lane| lane.count).max().unwrap_or_default();
    for nth in 0..most {
        let before = state;
        compress(&mut state, &side_by_side_words(&lanes, nth));
        // A text that has ended keeps its digest.
        let ended = Words::of(lanes.each_ref().map(|lane| if nth < lane.count { 0 } else { u32::MAX }));
        for (new, old) in state.iter_mut().zip(before) {
            let back = old.zip(*new, |old, new| old ^ new).zip(ended, |change, ended| change & ended);
            *new = new.zip(back, |new, back| new ^ back);
        }
    }
    let state = state.map(Words::lanes);
    for lane in 0..group.len() {
        let mut digest = [0; 16];
        let words = state.iter().filter_map(|words| words.get(lane)).flat_map(|word| word.to_le_bytes());
        digest.iter_mut().zip(words).for_each(|(to, from)| *to = from);
        digests.push(digest);
    }
}

/// The words of each lane's block, word by word.
fn side_by_side_words(lanes: &[Blocks<'_>; LANES], nth: usize) -> [Words; 16] {
    let mut words = [[0; LANES]; 16];
    for (lane, blocks) in lanes.iter().enumerate() {
        let (quads, _) = blocks.get(nth).as_chunks::<4>();
        for (words, quad) in words.iter_mut().zip(quads) {
            if let Some(word) = words.get_mut(lane) {
                *word = u32::from_le_bytes(*quad);
            }
        }
    }
    words.map(Words::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_single_texts_whatever_the_lengths_beside_each_other() {
        let text: Vec<u8> = (0..5_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for count in 0..=20 {
            for stride in [0, 1, 7, 55, 56, 64, 119, 240] {
                let texts: Vec<&[u8]> = (0..count).map(|nth| &text[nth..nth + nth * stride]).collect();
                let single: Vec<Digest16> = texts.iter().map(|text| md5(text)).collect();
                assert_eq!(md5_each(&texts), single, "{count} texts, {stride} bytes apart");
            }
        }
        for length in 0..300 {
            let texts = [&text[..length], &text[1..1 + length], &text[..0], &text[..4_999]];
            assert_eq!(md5_each(&texts), texts.map(md5), "{length} bytes");
        }
    }
}
