//! Who a request is from. Passwords are slow to check on purpose, and HTTP sends them with every request: what was
//! found right once is remembered, as a keyed hash, for as long as the process lives (users never change in it).

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use baton_access::{Directory, Grant};
use baton_model::{Refusal, RefusalCode};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// Passwords checked at once: each check takes a core for tens of milliseconds and 19 MiB, and anybody can ask for one.
const CHECKS_MAX: usize = 2;

/// What a peer is told, whatever was wrong.
const FAILED: &str = "wrong user or password";

/// Checks users and passwords.
pub(crate) struct Authenticator {
    directory: Arc<Directory>,
    key: hmac::Key,
    /// Only what was right gets in, so there are at most as many as users.
    known: Mutex<HashMap<[u8; 32], Grant>>,
    checks: Semaphore,
}

/// A user's name and password.
#[derive(Clone)]
pub(crate) struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    /// The default user's.
    pub(crate) fn guest() -> Self {
        Self { user: "guest".to_owned(), password: "guest".to_owned() }
    }

    /// Those of HTTP Basic authentication (RFC 7617). `None`: nothing was said.
    ///
    /// # Errors
    /// Something else was said.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
        let decoded = value
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .and_then(|(_, encoded)| STANDARD.decode(encoded.trim()).ok())
            .and_then(|bytes| String::from_utf8(bytes).ok());
        match decoded.as_deref().and_then(|text| text.split_once(':')) {
            Some((user, password)) => Ok(Some(Self { user: user.to_owned(), password: password.to_owned() })),
            None => {
                let text =
                    "the Authorization header is not HTTP Basic: \"Basic \" and base64 of user:password";
                Err(Refusal::new(RefusalCode::AuthenticationFailed, text))
            }
        }
    }
}

impl Authenticator {
    /// Checks against `directory`.
    pub(crate) fn new(directory: Arc<Directory>) -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .expect("the system gives random numbers; without them TLS would not start either");
        Self { directory, key, known: Mutex::default(), checks: Semaphore::new(CHECKS_MAX) }
    }

    /// The users.
    pub(crate) fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Proof that the credentials are right.
    ///
    /// # Errors
    /// `AuthenticationFailed`; the log has the reason.
    pub(crate) async fn grant(&self, credentials: Credentials, loopback: bool) -> Result<Grant, Refusal> {
        let fingerprint = self.fingerprint(&credentials);
        let known = self.known.lock().get(&fingerprint).cloned();
        let outcome = match known {
            Some(grant) => grant.admit(loopback).map(|()| grant),
            None => self.verify(credentials, loopback).await,
        };
        match outcome {
            Ok(grant) => {
                self.known.lock().entry(fingerprint).or_insert_with(|| grant.clone());
                Ok(grant)
            }
            Err(refusal) => {
                tracing::warn!(reason = refusal.text, "a login over HTTP failed");
                Err(Refusal::new(RefusalCode::AuthenticationFailed, FAILED))
            }
        }
    }

    async fn verify(&self, credentials: Credentials, loopback: bool) -> Result<Grant, Refusal> {
        let stopped = |_| Refusal::new(RefusalCode::Unavailable, "the broker is shutting down");
        let _permit =
            self.checks.acquire().await.map_err(|_| Refusal::new(RefusalCode::Unavailable, FAILED))?;
        let directory = Arc::clone(&self.directory);
        tokio::task::spawn_blocking(move || {
            directory.verify(&credentials.user, credentials.password.as_bytes(), loopback)
        })
        .await
        .map_err(stopped)?
    }

    fn fingerprint(&self, credentials: &Credentials) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        // The length keeps user and password apart whatever is in them.
        context.update(&credentials.user.len().to_le_bytes());
        context.update(credentials.user.as_bytes());
        context.update(credentials.password.as_bytes());
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(context.sign().as_ref());
        fingerprint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn basic_authentication_is_read() {
        let credentials = Credentials::from_headers(&headers("basic YW5uOmE6Yg==")).unwrap().unwrap();
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("ann", "a:b"));
        assert!(Credentials::from_headers(&HeaderMap::new()).unwrap().is_none());
        for bad in ["Bearer x", "Basic %%%", "Basic YW5u", "Basic"] {
            assert!(Credentials::from_headers(&headers(bad)).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn what_was_right_once_is_remembered_and_nothing_else() {
        let directory = Arc::new(Directory::builder().guest(true).build().unwrap());
        let authenticator = Authenticator::new(directory);
        assert!(authenticator.grant(Credentials::guest(), true).await.is_ok());
        assert_eq!(authenticator.known.lock().len(), 1);
        let wrong = Credentials { password: "x".to_owned(), ..Credentials::guest() };
        let refusal = authenticator.grant(wrong, true).await.unwrap_err();
        assert_eq!((refusal.code, refusal.text.as_str()), (RefusalCode::AuthenticationFailed, FAILED));
        // Remembered, and still only from this machine.
        assert!(authenticator.grant(Credentials::guest(), false).await.is_err());
        assert_eq!(authenticator.known.lock().len(), 1);
    }
}
