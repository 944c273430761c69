//! Logins: passwords are checked on blocking threads, few at a time, and successes are remembered for as long as the
//! process lives, so that a reconnect does not cost tens of milliseconds. Used by the driver and by `admin`.
//!
//! What is remembered is an HMAC of user and password under a key made at start; a wrong password is never remembered.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use baton_access::{Directory, Grant};
use baton_model::{Name, Refusal, RefusalCode};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::limits::LOGINS_REMEMBERED;

/// Checks who somebody is.
pub struct Authenticator {
    directory: Arc<Directory>,
    /// As many checks at one time: each needs a core and about 19 MiB.
    slots: Semaphore,
    key: hmac::Key,
    known: Mutex<HashMap<[u8; 32], Grant>>,
}

impl Authenticator {
    /// An authenticator for these users.
    ///
    /// # Panics
    /// If the system has no randomness; nothing safe can be done then.
    #[must_use]
    pub fn new(directory: Arc<Directory>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            directory,
            slots: Semaphore::new(cores.div_ceil(2)),
            key: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
                .expect("a system that runs TLS has randomness"),
            known: Mutex::default(),
        }
    }

    /// The users.
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// The answer if it is known without hashing: these credentials were right before.
    pub fn known(&self, user: &str, password: &[u8], loopback: bool) -> Option<Result<Grant, Refusal>> {
        let grant = self.known.lock().get(&self.digest(user, password)).cloned()?;
        Some(grant.admit(loopback).map(|()| grant))
    }

    /// Checks user and password, slowly if they are not known.
    ///
    /// # Errors
    /// `AuthenticationFailed` with a text for the log, or `Unavailable`.
    pub async fn login(
        self: Arc<Self>,
        user: Name,
        password: Bytes,
        loopback: bool,
    ) -> Result<Grant, Refusal> {
        if let Some(answer) = self.known(&user, &password, loopback) {
            return answer;
        }
        let unavailable = || Refusal::new(RefusalCode::Unavailable, "passwords cannot be checked; try again");
        let _slot = self.slots.acquire().await.map_err(|_| unavailable())?;
        // Many connections of one program often come at once: the first of them has done the work.
        if let Some(answer) = self.known(&user, &password, loopback) {
            return answer;
        }
        let this = Arc::clone(&self);
        let checked = tokio::task::spawn_blocking(move || {
            let result = this.directory.verify(&user, &password, loopback);
            if let Ok(grant) = &result {
                this.remember(this.digest(&user, &password), grant);
            }
            result
        });
        checked.await.unwrap_or_else(|_| Err(unavailable()))
    }

    fn remember(&self, digest: [u8; 32], grant: &Grant) {
        let mut known = self.known.lock();
        if known.len() >= LOGINS_REMEMBERED
            && let Some(any) = known.keys().next().copied()
        {
            known.remove(&any);
        }
        known.insert(digest, grant.clone());
    }

    fn digest(&self, user: &str, password: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&(user.len() as u64).to_le_bytes());
        context.update(user.as_bytes());
        context.update(password);
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authenticator() -> Arc<Authenticator> {
        Arc::new(Authenticator::new(Arc::new(Directory::builder().guest(true).build().unwrap())))
    }

    async fn login(authenticator: &Arc<Authenticator>, user: &str, password: &str, loopback: bool) -> bool {
        let password = Bytes::copy_from_slice(password.as_bytes());
        Arc::clone(authenticator).login(Name::new(user), password, loopback).await.is_ok()
    }

    #[tokio::test]
    async fn successes_are_remembered_and_nothing_else() {
        let authenticator = authenticator();
        assert!(authenticator.known("guest", b"guest", true).is_none());
        assert!(!login(&authenticator, "guest", "wrong", true).await);
        assert!(authenticator.known("guest", b"wrong", true).is_none());
        assert!(login(&authenticator, "guest", "guest", true).await);
        assert!(authenticator.known("guest", b"guest", true).unwrap().is_ok());
        assert!(authenticator.known("guestg", b"uest", true).is_none());
        assert!(authenticator.known("guest", b"guest", false).unwrap().is_err(), "guest stays local");
        assert!(!login(&authenticator, "guest", "guest", false).await);
    }

    #[tokio::test]
    async fn a_crowd_with_one_password_costs_one_check() {
        let authenticator = authenticator();
        let crowd: Vec<_> = (0..200)
            .map(|_| {
                let authenticator = Arc::clone(&authenticator);
                tokio::spawn(async move { login(&authenticator, "guest", "guest", true).await })
            })
            .collect();
        for member in crowd {
            assert!(member.await.unwrap());
        }
        assert_eq!(authenticator.known.lock().len(), 1);
    }

    #[test]
    fn memory_is_bounded() {
        let authenticator = authenticator();
        let grant = authenticator.directory.verify("guest", b"guest", true).unwrap();
        for n in 0..LOGINS_REMEMBERED + 10 {
            authenticator.remember(authenticator.digest("u", &n.to_le_bytes()), &grant);
        }
        assert_eq!(authenticator.known.lock().len(), LOGINS_REMEMBERED);
    }
}
