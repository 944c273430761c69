//! What a request says about its signature, wherever it says it.

use std::borrow::Cow;

use super::canonical::{View, decode};
use super::{ALGORITHM, TERMINATOR};
use crate::error::{Kind, SqsError};

/// A signature as a request carries it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature<'a> {
    /// The access key's id.
    pub access_key: Cow<'a, str>,
    /// The day of the scope.
    pub date: Cow<'a, str>,
    /// The region of the scope.
    pub region: Cow<'a, str>,
    /// The service of the scope.
    pub service: Cow<'a, str>,
    /// When it was signed.
    pub timestamp: Cow<'a, str>,
    /// Names of the headers that were signed, in order.
    pub signed_headers: Vec<String>,
    /// The signature, hexadecimal.
    pub signature: Cow<'a, str>,
    /// The token of temporary credentials.
    pub token: Option<Cow<'a, str>>,
    /// Of a presigned request: how long it is good for, seconds.
    pub expires_s: Option<u64>,
}

impl<'a> Signature<'a> {
    /// Reads it. `None`: the request is not signed.
    ///
    /// # Errors
    /// It is signed, but not as it should be.
    pub fn read(view: &View<'a>) -> Result<Option<Self>, SqsError> {
        if let Some(authorization) = view.header("authorization") {
            return from_header(view, authorization).map(Some);
        }
        match view.parameter("X-Amz-Algorithm") {
            Some(algorithm) => from_query(view, &algorithm).map(Some),
            None => Ok(None),
        }
    }
}

fn from_header<'a>(view: &View<'a>, authorization: &'a str) -> Result<Signature<'a>, SqsError> {
    let rest = authorization.strip_prefix(ALGORITHM).filter(|rest| rest.starts_with([' ', ',']));
    let rest = rest
        .ok_or_else(|| incomplete(&format!("The authorization header's algorithm must be {ALGORITHM}.")))?;
    let (mut credential, mut headers, mut signature) = (None, None, None);
    for part in rest.split(',') {
        match part.trim().split_once('=') {
            Some(("Credential", value)) => credential = Some(value),
            Some(("SignedHeaders", value)) => headers = Some(value),
            Some(("Signature", value)) => signature = Some(value),
            _ => {}
        }
    }
    let needed = |value: Option<&'a str>, name: &str| {
        value.ok_or_else(|| incomplete(&format!("Authorization header requires '{name}' parameter.")))
    };
    let timestamp = view.header("x-amz-date").or_else(|| view.header("date")).ok_or_else(|| {
        incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    })?;
    let [access_key, date, region, service] = scope(needed(credential, "Credential")?)?;
    Ok(Signature {
        access_key,
        date,
        region,
        service,
        timestamp: timestamp.into(),
        signed_headers: names(needed(headers, "SignedHeaders")?),
        signature: needed(signature, "Signature")?.into(),
        token: view.header("x-amz-security-token").map(Cow::from),
        expires_s: None,
    })
}

fn from_query<'a>(view: &View<'a>, algorithm: &str) -> Result<Signature<'a>, SqsError> {
    if algorithm != ALGORITHM {
        return Err(incomplete(&format!("X-Amz-Algorithm must be {ALGORITHM}.")));
    }
    let needed = |name: &str| {
        let missing = || incomplete(&format!("AWS query-string parameters must include '{name}'."));
        view.parameter(name).ok_or_else(missing)
    };
    let [access_key, date, region, service] = scope(&needed("X-Amz-Credential")?)?;
    let expires = needed("X-Amz-Expires")?;
    let expires_s = expires.parse().map_err(|_| incomplete("X-Amz-Expires must be a number of seconds."))?;
    Ok(Signature {
        access_key,
        date,
        region,
        service,
        timestamp: needed("X-Amz-Date")?,
        signed_headers: names(&needed("X-Amz-SignedHeaders")?),
        signature: needed("X-Amz-Signature")?,
        token: view.parameter("X-Amz-Security-Token"),
        expires_s: Some(expires_s),
    })
}

/// Takes a credential apart. Keys may have slashes in them, the rest may not.
fn scope<'a>(credential: &str) -> Result<[Cow<'a, str>; 4], SqsError> {
    let mut parts = credential.rsplitn(5, '/');
    let mut next = || parts.next().map(|part| Cow::Owned(part.to_owned()));
    let (terminator, service, region, date, key) = (next(), next(), next(), next(), next());
    match (terminator, service, region, date, key) {
        (Some(terminator), Some(service), Some(region), Some(date), Some(key))
            if terminator == TERMINATOR =>
        {
            Ok([key, date, region, service])
        }
        _ => Err(incomplete(&format!(
            "Credential must have exactly 5 slash-delimited elements, keyid/date/region/service/{TERMINATOR}."
        ))),
    }
}

fn names(list: &str) -> Vec<String> {
    list.split(';').map(str::to_ascii_lowercase).collect()
}

pub(super) fn incomplete(text: &str) -> SqsError {
    SqsError::new(Kind::IncompleteSignature, text.to_owned())
}

impl<'a> View<'a> {
    /// A parameter of the query, its escapes resolved.
    pub(super) fn parameter(&self, name: &str) -> Option<Cow<'a, str>> {
        let pairs = self.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let value = pairs.into_iter().find(|(own, _)| *own == name)?.1;
        if !value.contains('%') {
            return Some(value.into());
        }
        String::from_utf8(decode(value.as_bytes())).ok().map(Cow::Owned)
    }
}
