//! AWS Signature Version 4, the verifying side: in the header `Authorization`, or in the query of a presigned request.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
//!
//! [`Signature`] is what a request says about itself, `canonical` the form of it that was signed, [`Verifier`] compares. The
//! rules of who may do what are not here: a signature proves that somebody has a key.

mod canonical;
mod date;
mod signature;

use std::collections::BTreeMap;

use baton_model::{Name, Time};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub use canonical::View;
pub use date::parse as parse_timestamp;
pub use signature::Signature;

use crate::error::{Kind, SqsError};
use crate::limits::{CLOCK_SKEW_MS_MAX, PRESIGNED_S_MAX};
use crate::message::hex;
use crate::options::AccessKey;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";

/// Where a signature must be made for.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The region.
    pub region: &'a str,
    /// The service.
    pub service: &'a str,
    /// Dots and empty segments of paths are resolved before signing, as every service but S3 has it.
    pub normalize: bool,
    /// Signatures must be of about now.
    pub check_time: bool,
}

/// Verifies signatures; keeps the last signing key, which is good for a day.
#[derive(Debug, Default)]
pub struct Verifier {
    cached: Option<(Name, Name, [u8; 32])>,
}

impl Verifier {
    /// Checks a request's signature. Returns the access key's id and the key.
    ///
    /// # Errors
    /// What AWS answers: no signature, one that cannot be read, an unknown key, another scope, too old, or wrong.
    pub fn verify<'k>(
        &mut self,
        view: &View<'_>,
        keys: &'k BTreeMap<Name, AccessKey>,
        scope: Scope<'_>,
        now: Time,
    ) -> Result<&'k AccessKey, SqsError> {
        let signature = Signature::read(view)?.ok_or_else(missing)?;
        let key = keys.get(&*signature.access_key).ok_or_else(unknown_key)?;
        check_scope(&signature, scope)?;
        check_token(&signature, key)?;
        if scope.check_time {
            check_time(&signature, now)?;
        }
        let signing_key = self.signing_key(&signature, key);
        // Some signers add the token to a presigned request only after they signed it. It was compared above.
        let attempts = if signature.token.is_some() && signature.expires_s.is_some() { 2 } else { 1 };
        for with_token in [true, false].into_iter().take(attempts) {
            let canonical = canonical::request(view, &signature, scope.normalize, with_token)?;
            let expected = hex(&hmac(&signing_key, string_to_sign(&signature, &canonical).as_bytes()));
            // Comparing must not take longer the more of it is right.
            if expected.as_bytes().ct_eq(signature.signature.as_bytes()).unwrap_u8() == 1 {
                return Ok(key);
            }
        }
        Err(SqsError::new(
            Kind::SignatureDoesNotMatch,
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
        ))
    }

    fn signing_key(&mut self, signature: &Signature<'_>, key: &AccessKey) -> [u8; 32] {
        if let Some((id, date, cached)) = &self.cached
            && *id == *signature.access_key
            && *date == *signature.date
        {
            return *cached;
        }
        let secret = format!("AWS4{}", key.secret);
        let parts = [&*signature.date, &*signature.region, &*signature.service, TERMINATOR];
        let made = parts.iter().fold(None, |made: Option<[u8; 32]>, part| {
            let key = made.as_ref().map_or(secret.as_bytes(), <[u8; 32]>::as_slice);
            Some(hmac(key, part.as_bytes()))
        });
        let made = made.unwrap_or_default();
        self.cached = Some((Name::new(&*signature.access_key), Name::new(&*signature.date), made));
        made
    }
}

fn string_to_sign(signature: &Signature<'_>, canonical: &str) -> String {
    let Signature { date, region, service, timestamp, .. } = signature;
    let hash = hex(&Sha256::digest(canonical.as_bytes()));
    format!("{ALGORITHM}\n{timestamp}\n{date}/{region}/{service}/{TERMINATOR}\n{hash}")
}

fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key may have any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

fn check_scope(signature: &Signature<'_>, scope: Scope<'_>) -> Result<(), SqsError> {
    let wrong = |what: &str, is: &str| {
        let text = format!("Credential should be scoped to {what}, not '{is}'.");
        Err(SqsError::new(Kind::SignatureDoesNotMatch, text))
    };
    if !signature.timestamp.starts_with(&*signature.date) {
        return wrong("the date of the request", &signature.date);
    }
    if signature.region != scope.region {
        return wrong("a valid region", &signature.region);
    }
    if signature.service != scope.service {
        return wrong(&format!("correct service: '{}'", scope.service), &signature.service);
    }
    Ok(())
}

fn check_token(signature: &Signature<'_>, key: &AccessKey) -> Result<(), SqsError> {
    let same = match (&key.session_token, &signature.token) {
        (None, None) => true,
        (Some(own), Some(sent)) => own.as_bytes().ct_eq(sent.as_bytes()).unwrap_u8() == 1,
        _ => false,
    };
    if same { Ok(()) } else { Err(unknown_key()) }
}

fn check_time(signature: &Signature<'_>, now: Time) -> Result<(), SqsError> {
    let unreadable = || {
        let text = format!("Date must be in ISO-8601 'basic format'. Got '{}'.", signature.timestamp);
        SqsError::new(Kind::IncompleteSignature, text)
    };
    let at = date::parse(&signature.timestamp).ok_or_else(unreadable)?;
    let (shown, now_shown) = (&signature.timestamp, date::format(now));
    if at > now.after_ms(CLOCK_SKEW_MS_MAX) {
        let text = format!("Signature not yet current: {shown} is still later than {now_shown} (+ 5 min.)");
        return Err(SqsError::new(Kind::SignatureDoesNotMatch, text));
    }
    match signature.expires_s {
        Some(seconds) if seconds > PRESIGNED_S_MAX => {
            let text = format!("X-Amz-Expires must be at most {PRESIGNED_S_MAX} seconds.");
            Err(SqsError::new(Kind::IncompleteSignature, text))
        }
        Some(seconds) if now > at.after_ms(seconds * 1_000) => {
            let text = format!("Request has expired: it was good for {seconds} seconds from {shown}.");
            Err(SqsError::new(Kind::RequestExpired, text))
        }
        None if now > at.after_ms(CLOCK_SKEW_MS_MAX) => {
            let text = format!("Signature expired: {shown} is now earlier than {now_shown} (- 5 min.)");
            Err(SqsError::new(Kind::SignatureDoesNotMatch, text))
        }
        _ => Ok(()),
    }
}

/// A request without any signature.
#[must_use]
pub fn missing() -> SqsError {
    SqsError::new(Kind::MissingAuthenticationToken, "Request is missing Authentication Token")
}

fn unknown_key() -> SqsError {
    SqsError::new(Kind::InvalidClientTokenId, "The security token included in the request is invalid.")
}
