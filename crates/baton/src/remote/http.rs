//! A blocking client of the HTTP API: one connection, JSON in and out, errors that say what to do.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;
use ureq::http::{Method, Request};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::cli::remote_args::ServerArgs;
use crate::exit::{Exit, Failure};
use crate::password;

/// Longest for a connection: brokers are near, and a wrong address should be noticed soon.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);
/// Longest for an answer, on top of what a request itself waits.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);
/// Largest answer read: a page of messages with large bodies.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// A broker's API.
pub(crate) struct Api {
    agent: ureq::Agent,
    server: String,
    namespace: String,
    authorization: Option<String>,
}

impl Api {
    /// Prepares a client; nothing is sent yet. Asks for the password if only a user was given.
    ///
    /// # Errors
    /// When the URL or the certificate file is wrong, or no password can be asked for.
    pub(crate) fn new(args: &ServerArgs) -> Result<Self, Failure> {
        let server = args.server.trim_end_matches('/').to_owned();
        if !server.starts_with("http://") && !server.starts_with("https://") {
            return Err(Failure::new(
                Exit::Usage,
                format!(
                    "{server:?} is not a server's URL; write it like http://127.0.0.1:9324 (--server or BATON_SERVER)"
                ),
            ));
        }
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_WAIT_MAX))
            .user_agent(concat!("baton/", env!("CARGO_PKG_VERSION")));
        if server.starts_with("https://") {
            config = config.tls_config(tls(args.ca_cert.as_deref())?);
        }
        Ok(Self {
            agent: config.build().new_agent(),
            server,
            namespace: args.namespace.clone(),
            authorization: args.user.as_deref().map(authorization).transpose()?,
        })
    }

    /// The path of something in the namespace, from its parts.
    pub(crate) fn path(&self, parts: &[&str]) -> String {
        let mut path = format!("/api/v1/namespaces/{}", encode(&self.namespace));
        for part in parts {
            path.push('/');
            path.push_str(&encode(part));
        }
        path
    }

    /// Sends a request and reads the answer. `wait` is how long the request itself may wait at the broker.
    ///
    /// # Errors
    /// When nobody answers, or the broker refuses.
    pub(crate) fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
        wait: Duration,
    ) -> Result<Json, Failure> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.server));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let text = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                body.to_string()
            }
            None => String::new(),
        };
        let request = request.body(text).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        let request =
            self.agent.configure_request(request).timeout_global(Some(wait + ANSWER_WAIT_MAX)).build();
        let mut response = self.agent.run(request).map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let text = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_string()
            .map_err(|error| self.unreachable(&error))?;
        let json = if text.is_empty() { Ok(Json::Null) } else { serde_json::from_str(&text) };
        match json {
            Ok(json) if status.is_success() => Ok(json),
            Ok(json) => Err(self.refused(status.as_u16(), &json)),
            Err(_) => Err(Failure::new(
                Exit::Failure,
                format!(
                    "{} answered {status}, and not as a Baton broker does; is the address right?",
                    self.server
                ),
            )),
        }
    }

    /// GET.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub(crate) fn get(&self, path: &str) -> Result<Json, Failure> {
        self.call(Method::GET, path, None, Duration::ZERO)
    }

    /// POST.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub(crate) fn post(&self, path: &str, body: &Json) -> Result<Json, Failure> {
        self.call(Method::POST, path, Some(body), Duration::ZERO)
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        let text = match error {
            ureq::Error::Timeout(_) => {
                format!("{} did not answer in time; look at the broker's log", self.server)
            }
            error => format!(
                "no broker answers at {}: {error}; start one with `baton`, or name another with --server (BATON_SERVER)",
                self.server
            ),
        };
        Failure::new(Exit::Unreachable, text)
    }

    fn refused(&self, status: u16, json: &Json) -> Failure {
        let message = json.get("message").and_then(Json::as_str).unwrap_or("the broker gave no reason");
        match status {
            401 => {
                Failure::new(Exit::Refused, format!("{message}; name a user with --user NAME (BATON_USER)"))
            }
            404 => Failure::new(Exit::NotFound, message),
            _ => Failure::new(Exit::Refused, message),
        }
    }
}

fn authorization(user: &str) -> Result<String, Failure> {
    let credentials = if user.contains(':') {
        user.to_owned()
    } else {
        format!("{user}:{}", password::ask(&format!("password of {user}: "))?)
    };
    Ok(format!("Basic {}", STANDARD.encode(credentials)))
}

fn tls(ca_cert: Option<&Path>) -> Result<TlsConfig, Failure> {
    let Some(path) = ca_cert else {
        return Err(Failure::new(
            Exit::Usage,
            "an https server needs --ca-cert FILE (BATON_CA_CERT): the certificate, or its authority, to trust",
        ));
    };
    let wrong = |error: String| Failure::new(Exit::Usage, format!("cannot use {}: {error}", path.display()));
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let certificates: Vec<Certificate<'static>> = ureq::tls::parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(Ok(certificate)),
            Ok(_) => None,
            Err(error) => Some(Err(wrong(error.to_string()))),
        })
        .collect::<Result<_, _>>()?;
    if certificates.is_empty() {
        return Err(wrong("it holds no certificate".to_owned()));
    }
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&certificates))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build())
}

/// A part of a path, percent-encoded.
pub(crate) fn encode(part: &str) -> String {
    let mut encoded = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    // `.` and `..` mean something else in a path.
    if matches!(encoded.as_str(), "." | "..") { encoded.replace('.', "%2E") } else { encoded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_parts_are_encoded() {
        assert_eq!(encode("orders.created"), "orders.created");
        assert_eq!(encode("a/b c?ü"), "a%2Fb%20c%3F%C3%BC");
        assert_eq!(encode(".."), "%2E%2E");
    }
}
