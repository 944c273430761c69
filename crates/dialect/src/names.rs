//! Names that nobody can guess: of queues that the broker names, of temporary queues, of addresses for replies. They come from
//! a connection's secret, since a session has no randomness. Not here: what the names are for.

use baton_model::Name;

/// Makes the names of one connection, each of them once.
#[derive(Debug)]
pub struct SecretNames {
    secret: u64,
    count: u64,
}

impl SecretNames {
    /// Of a connection with that secret: [`SessionContext::entropy`](crate::SessionContext::entropy).
    #[must_use]
    pub fn new(secret: u64) -> Self {
        Self { secret, count: 0 }
    }

    /// A name nobody can guess and nobody had before: the prefix and 32 hexadecimal digits.
    pub fn next(&mut self, prefix: &str) -> Name {
        self.count += 1;
        // The secret is not known, so a mix of it that cannot be turned back is not either; two words of 64 bits.
        let (high, low) = (mix(self.secret, self.count), mix(!self.secret, self.count));
        Name::from(format!("{prefix}{high:016x}{low:016x}"))
    }
}

/// SplitMix64's finisher by its published constants, over the secret and the count, with the secret added again at the
/// end so that the outputs do not give it away.
fn mix(secret: u64, count: u64) -> u64 {
    let mut z = secret.wrapping_add(count.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)).wrapping_add(secret.rotate_left(32))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_comes_twice() {
        let mut seen = BTreeSet::new();
        for secret in [0, 1, 2, u64::MAX] {
            let mut names = SecretNames::new(secret);
            for _ in 0..1_000 {
                let name = names.next("amq.gen-");
                assert_eq!(name.len(), "amq.gen-".len() + 32);
                assert!(name.starts_with("amq.gen-") && seen.insert(name));
            }
        }
    }

    #[test]
    fn a_connection_has_the_same_names_again_only_with_the_same_secret() {
        let first = |secret| SecretNames::new(secret).next("");
        assert_eq!(first(7), first(7));
        assert_ne!(first(7), first(8));
    }
}
