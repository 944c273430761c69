//! The canonical form of a request, which is what a signature is over.

use std::borrow::Cow;
use std::fmt::Write;

use baton_dialect::http::HttpRequest;
use sha2::{Digest, Sha256};

use super::Signature;
use super::signature::incomplete;
use crate::error::{Kind, SqsError};
use crate::message::hex;

/// What of a request goes into its signature.
#[derive(Clone, Debug, Default)]
pub struct View<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, as it was sent.
    pub path: &'a str,
    /// The query, as it was sent.
    pub query: &'a str,
    /// The headers with their names in lower case, as they came.
    pub headers: Vec<(Cow<'a, str>, &'a str)>,
    /// The body.
    pub body: &'a [u8],
}

impl<'a> View<'a> {
    /// The view of an HTTP request. Headers that are no text are left out: whoever signed one is refused.
    #[must_use]
    pub fn of(request: &'a HttpRequest) -> Self {
        let headers = request.head.headers.iter();
        Self {
            method: request.method().as_str(),
            path: request.path(),
            query: request.query(),
            headers: headers
                .filter_map(|(name, value)| {
                    Some((name.as_str().into(), std::str::from_utf8(value.as_bytes()).ok()?))
                })
                .collect(),
            body: &request.body,
        }
    }

    /// The first header of a name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| *value)
    }
}

/// Headers that must be signed where they are sent: who could change them could change what is asked.
const MUST_BE_SIGNED: [&str; 2] = ["host", "x-amz-target"];

/// The canonical request; `with_token`: of a presigned one, with its session token.
///
/// # Errors
/// A header is said to be signed that is not there, or one is not that must be; or the body is not what the request says.
pub(super) fn request(
    view: &View<'_>,
    signature: &Signature<'_>,
    normalize: bool,
    with_token: bool,
) -> Result<String, SqsError> {
    for name in MUST_BE_SIGNED {
        let sent = name == "host" || view.header(name).is_some();
        if sent && !signature.signed_headers.iter().any(|signed| signed == name) {
            return Err(incomplete(&format!("'{name}' must be among the signed headers.")));
        }
    }
    let mut text = String::with_capacity(512);
    text.push_str(view.method);
    text.push('\n');
    let path = if normalize { normalized(view.path) } else { view.path.to_owned() };
    encode(&mut text, path.as_bytes(), true);
    text.push('\n');
    text.push_str(&query(view.query, signature.expires_s.is_some(), with_token));
    text.push('\n');
    for name in &signature.signed_headers {
        header(&mut text, view, name)?;
    }
    text.push('\n');
    text.push_str(&signature.signed_headers.join(";"));
    text.push('\n');
    let hash = hex(&Sha256::digest(view.body));
    if view.header("x-amz-content-sha256").is_some_and(|said| said != hash) {
        return Err(SqsError::new(
            Kind::SignatureDoesNotMatch,
            "The body is not the one that the header x-amz-content-sha256 tells of.",
        ));
    }
    text.push_str(&hash);
    Ok(text)
}

/// A header's line: all values of that name, runs of blanks in them made one.
fn header(text: &mut String, view: &View<'_>, name: &str) -> Result<(), SqsError> {
    let mut values = view.headers.iter().filter(|(own, _)| own == name).map(|(_, value)| *value).peekable();
    if values.peek().is_none() {
        return Err(incomplete(&format!("The signed header '{name}' is not there.")));
    }
    text.push_str(name);
    for (index, value) in values.enumerate() {
        text.push(if index == 0 { ':' } else { ',' });
        let mut words = value.split_ascii_whitespace();
        text.extend(words.next());
        words.for_each(|word| {
            text.push(' ');
            text.push_str(word);
        });
    }
    text.push('\n');
    Ok(())
}

/// The query's parameters with their escapes made uniform, in order, without the signature itself.
fn query(query: &str, presigned: bool, with_token: bool) -> String {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let uniform = |part: &str| {
                let mut text = String::with_capacity(part.len());
                encode(&mut text, &decode(part.as_bytes()), false);
                text
            };
            (uniform(name), uniform(value))
        })
        .filter(|(name, _)| !(presigned && name == "X-Amz-Signature"))
        .filter(|(name, _)| with_token || name != "X-Amz-Security-Token")
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// Resolves `.` and `..` and empty segments.
fn normalized(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let mut text = String::with_capacity(path.len());
    for segment in &segments {
        text.push('/');
        text.push_str(segment);
    }
    let is_folder = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    if segments.is_empty() || is_folder {
        text.push('/');
    }
    text
}

/// Resolves percent escapes; what is none stays as it is.
pub(super) fn decode(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digit = |index: usize| char::from(*tail.get(index)?).to_digit(16);
                match (digit(0), digit(1)) {
                    (Some(high), Some(low)) => {
                        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                        rest = tail.get(2..).unwrap_or_default();
                    }
                    _ => bytes.push(b'%'),
                }
            }
            byte => bytes.push(*byte),
        }
    }
    bytes
}

/// Escapes everything but letters, digits and `-._~`, and where it is a path the slash.
fn encode(text: &mut String, bytes: &[u8], path: bool) {
    for byte in bytes {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if plain || path && *byte == b'/' {
            text.push(char::from(*byte));
        } else {
            let written = write!(text, "%{byte:02X}");
            debug_assert!(written.is_ok(), "a string takes everything");
        }
    }
}
