//! Who a request says it is from: HTTP Basic authentication. Whether that is true the broker around the API knows (see
//! [`crate::Broker::login`]).

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use baton_model::{Refusal, RefusalCode};

/// A user's name and password.
#[derive(Clone)]
pub(crate) struct Credentials {
    /// The user.
    pub(crate) user: String,
    /// The password.
    pub(crate) password: String,
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
}
