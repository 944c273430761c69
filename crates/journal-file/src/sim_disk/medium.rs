//! The medium under the simulated disk: what becomes of single writes that were not synced, and the random numbers
//! that decide it. Directories, power and errors are in the parent module.

const SECTOR_BYTES: usize = 512;

/// Small, fast, seeded; the quality of its randomness decides nothing but coverage (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64().checked_rem(bound).unwrap_or(0)
    }

    pub(super) fn below_usize(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap_or(0)
    }
}

/// One write, not synced yet.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

/// A file.
#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    /// What reading shows.
    pub(super) current: Vec<u8>,
    /// What is on the medium.
    pub(super) medium: Vec<u8>,
    pub(super) unsynced: Vec<Change>,
}

pub(super) fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::SetLen(len) => bytes.resize(*len, 0),
        Change::Write { offset, bytes: new } => write_part(bytes, *offset, new),
    }
}

fn write_part(bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
    let end = offset + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(to) = bytes.get_mut(offset..end) {
        to.copy_from_slice(new);
    }
}

/// Brings an arbitrary part of `change` to the medium.
pub(super) fn apply_torn(random: &mut Random, medium: &mut Vec<u8>, change: &Change) {
    let Change::Write { offset, bytes } = change else {
        if random.below(2) == 0 {
            apply(medium, change);
        }
        return;
    };
    let cut = match random.below(5) {
        0 => 0,
        1 => bytes.len(),
        2 => random.below_usize(bytes.len() + 1),
        3 => {
            let sectors_end = (offset + random.below_usize(bytes.len() + 1)) / SECTOR_BYTES * SECTOR_BYTES;
            sectors_end.saturating_sub(*offset)
        }
        _ => {
            let mut at = 0;
            while at < bytes.len() {
                let next =
                    bytes.len().min((offset + at) / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES - offset);
                if random.below(2) == 0 {
                    write_part(medium, offset + at, bytes.get(at..next).unwrap_or_default());
                }
                at = next;
            }
            0
        }
    };
    if cut > 0 {
        write_part(medium, *offset, bytes.get(..cut).unwrap_or_default());
    }
}
