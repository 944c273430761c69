//! Password hashes: Argon2 in PHC string form (`$argon2id$v=19$m=…,t=…,p=…$salt$hash`). Checking one takes tens of
//! milliseconds and about 19 MiB on purpose; who calls and how often is up to `net`. Salts come from the caller.

use std::fmt;

use argon2::password_hash::phc;
use argon2::{Argon2, Params, PasswordHasher, PasswordVerifier};

use crate::limits::{PASSWORD_BYTES_MAX, SALT_BYTES_MIN};

/// A password hash that was found to be well-formed.
#[derive(Clone)]
pub struct PasswordHash(phc::PasswordHash);

/// What is wrong with a password hash, or with what one should be made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PasswordError {
    /// The text is not an Argon2 hash with salt and output.
    #[error(
        "the password is not an Argon2 hash ($argon2id$v=19$…); make one with `baton config password` and put it in quotes"
    )]
    NotAHash,
    /// The salt has the wrong length.
    #[error("a salt has {SALT_BYTES_MIN} to 64 bytes; 16 random ones are right")]
    Salt,
    /// The password is too long.
    #[error("a password has at most {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
}

impl PasswordHash {
    /// Reads a PHC string.
    ///
    /// # Errors
    /// [`PasswordError::NotAHash`]: it is something else, a plain password for example.
    pub fn parse(text: &str) -> Result<Self, PasswordError> {
        let hash = phc::PasswordHash::new(text).map_err(|_| PasswordError::NotAHash)?;
        let usable = hash.algorithm.as_str().starts_with("argon2")
            && hash.salt.is_some()
            && hash.hash.is_some()
            && Params::try_from(&hash).is_ok();
        if usable { Ok(Self(hash)) } else { Err(PasswordError::NotAHash) }
    }

    /// Whether `password` is the one. Slow on purpose; the cost is in the hash's own parameters.
    #[must_use]
    pub fn matches(&self, password: &[u8]) -> bool {
        password.len() <= PASSWORD_BYTES_MAX && Argon2::default().verify_password(password, &self.0).is_ok()
    }
}

/// Shows no hash: it would end up in logs.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// Hashes `password` with `salt` (random, 16 bytes) and Argon2id's recommended cost, to a PHC string for the configuration.
///
/// # Errors
/// [`PasswordError::Salt`] and [`PasswordError::TooLong`].
pub fn hash_password(password: &[u8], salt: &[u8]) -> Result<String, PasswordError> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(PasswordError::TooLong);
    }
    if salt.len() < SALT_BYTES_MIN {
        return Err(PasswordError::Salt);
    }
    let hash: phc::PasswordHash =
        Argon2::default().hash_password_with_salt(password, salt).map_err(|_| PasswordError::Salt)?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_knows_its_password_and_no_other() {
        let text = hash_password(b"s3cret", b"0123456789abcdef").unwrap();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        let hash = PasswordHash::parse(&text).unwrap();
        assert!(hash.matches(b"s3cret"));
        assert!(!hash.matches(b"s3cres"));
        assert!(!hash.matches(b""));
        assert_eq!(format!("{hash:?}"), "PasswordHash(…)");
    }

    #[test]
    fn the_cost_is_the_hashes_own() {
        let weak = Argon2::from(Params::new(256, 2, 1, None).unwrap());
        let hash: phc::PasswordHash = weak.hash_password_with_salt(b"password", b"somesalt").unwrap();
        let hash = PasswordHash::parse(&hash.to_string()).unwrap();
        assert!(hash.matches(b"password"));
        assert!(!hash.matches(b"Password"));
    }

    #[test]
    fn what_is_no_hash_is_refused_with_the_remedy() {
        for text in
            ["", "guest", "$argon2id$x", "$2b$12$abcdefghijklmnopqrstuv", "$argon2id$v=19$m=8,t=1,p=1"]
        {
            let error = PasswordHash::parse(text).unwrap_err();
            assert!(error.to_string().contains("baton config password"), "{text}: {error}");
        }
        assert_eq!(hash_password(b"x", b"short"), Err(PasswordError::Salt));
        assert_eq!(hash_password(&[b'x'; 1025], b"0123456789abcdef"), Err(PasswordError::TooLong));
    }
}
