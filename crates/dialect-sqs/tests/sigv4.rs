//! The test cases of `spec/sigv4`, in both forms; and what is wrong with each of them after any change.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::Path;

use baton_dialect_sqs::AccessKey;
use baton_dialect_sqs::error::{Kind, SqsError};
use baton_dialect_sqs::sigv4::{Scope, Verifier, View, parse_timestamp};
use baton_model::{Name, Time};
use serde::Deserialize;

#[derive(Deserialize)]
struct Context {
    credentials: Credentials,
    normalize: bool,
    region: String,
    service: String,
    timestamp: String,
    #[serde(default)]
    omit_session_token: bool,
}

#[derive(Deserialize)]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
}

struct Case {
    name: String,
    context: Context,
    request: String,
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("spec/sigv4");
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            continue;
        }
        let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
        for form in ["header", "query"] {
            cases.push(Case {
                name: format!("{} {form}", path.file_name().unwrap().to_string_lossy()),
                context: serde_json::from_str(&read("context.json")).unwrap(),
                request: read(&format!("{form}-signed-request.txt")),
            });
        }
    }
    cases
}

/// A request as the suite writes it: targets may have blanks and letters of any alphabet, headers may go on in the next line.
fn view(text: &str) -> View<'_> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let (line, rest) = head.split_once('\n').unwrap_or((head, ""));
    let (method, rest_of_line) = line.split_once(' ').unwrap();
    let target = rest_of_line.strip_suffix(" HTTP/1.1").unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = Vec::new();
    let mut begin = 0;
    while begin < rest.len() {
        let mut end = begin + rest[begin..].find('\n').unwrap_or(rest.len() - begin);
        while rest[end..].starts_with("\n ") {
            end += 1 + rest[end + 1..].find('\n').unwrap_or(rest.len() - end - 1);
        }
        let (name, value) = rest[begin..end].split_once(':').unwrap();
        headers.push((name.to_ascii_lowercase().into(), value));
        begin = end + 1;
    }
    View { method, path, query, headers, body: body.as_bytes() }
}

fn verify(case: &Case, view: &View<'_>, now: Time) -> Result<(), SqsError> {
    let context = &case.context;
    // A token that is added after signing is not known to the signature; it must still be the key's.
    let sent = view.headers.iter().any(|(name, _)| name == "x-amz-security-token")
        || view.query.contains("X-Amz-Security-Token");
    let key = AccessKey {
        secret: context.credentials.secret_access_key.clone(),
        session_token: context.credentials.token.clone().filter(|_| sent || !context.omit_session_token),
        user: Name::new("ann"),
    };
    let keys = BTreeMap::from([(Name::new(&context.credentials.access_key_id), key)]);
    let scope = Scope {
        region: &context.region,
        service: &context.service,
        normalize: context.normalize,
        check_time: true,
    };
    Verifier::default().verify(view, &keys, scope, now).map(|key| assert_eq!(key.user, "ann"))
}

fn time(case: &Case) -> Time {
    parse_timestamp(&case.context.timestamp.replace(['-', ':'], "")).unwrap()
}

#[test]
fn every_case_of_the_suite_is_verified_in_both_forms() {
    let cases = cases();
    assert_eq!(cases.len(), 2 * 38);
    for case in &cases {
        let view = view(&case.request);
        verify(case, &view, time(case)).unwrap_or_else(|error| panic!("{}: {error:?}", case.name));
    }
}

#[test]
fn whatever_is_changed_the_signature_no_longer_matches() {
    for case in &cases() {
        let good = view(&case.request);
        let changes: [(&str, View<'_>); 4] = [
            ("method", View { method: "PUT", ..good.clone() }),
            ("path", View { path: "/elsewhere", ..good.clone() }),
            ("body", View { body: b"something else", ..good.clone() }),
            (
                "host",
                View {
                    headers: good
                        .headers
                        .iter()
                        .map(|(name, value)| {
                            (name.clone(), if name == "host" { "evil.example" } else { *value })
                        })
                        .collect(),
                    ..good.clone()
                },
            ),
        ];
        for (what, changed) in &changes {
            let error = verify(case, changed, time(case)).unwrap_err();
            assert_eq!(error.kind, Kind::SignatureDoesNotMatch, "{} {what}", case.name);
        }
    }
}

#[test]
fn signatures_have_their_time() {
    for case in &cases() {
        let good = view(&case.request);
        let presigned = case.name.ends_with("query");
        let at = time(case);
        let kind = |now: Time| verify(case, &good, now).map_err(|error| error.kind);
        assert_eq!(kind(Time(at.0 - 300_001)), Err(Kind::SignatureDoesNotMatch), "{}", case.name);
        assert_eq!(kind(Time(at.0 - 300_000)), Ok(()));
        assert_eq!(kind(Time(at.0 + 300_000)), Ok(()));
        let late = if presigned { Ok(()) } else { Err(Kind::SignatureDoesNotMatch) };
        assert_eq!(kind(Time(at.0 + 300_001)), late, "{}", case.name);
        if presigned {
            assert_eq!(kind(Time(at.0 + 3_600_001)), Err(Kind::RequestExpired), "{}", case.name);
        }
    }
}

#[test]
fn what_is_not_a_signature_is_said_to_be_none() {
    let case = &cases()[0];
    let good = view(
        "GET / HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z\nAuthorization:AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    );
    let with = |authorization: &'static str| {
        let headers = good.headers.iter().cloned();
        let headers = headers.map(|(name, value)| {
            let value = if name == "authorization" { authorization } else { value };
            (name, value)
        });
        let changed = View { headers: headers.collect(), ..good.clone() };
        verify(case, &changed, time(case)).unwrap_err().kind
    };
    assert_eq!(with("Basic YTpi"), Kind::IncompleteSignature);
    assert_eq!(
        with("AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=0"),
        Kind::IncompleteSignature
    );
    assert_eq!(
        with(
            "AWS4-HMAC-SHA256 Credential=nobody/20150830/us-east-1/service/aws4_request, SignedHeaders=host, Signature=0"
        ),
        Kind::InvalidClientTokenId
    );
    assert_eq!(
        with(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/service/aws4_request, SignedHeaders=host, Signature=0"
        ),
        Kind::SignatureDoesNotMatch
    );
    assert_eq!(
        with(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=x-amz-date, Signature=0"
        ),
        Kind::IncompleteSignature
    );
    let unsigned = View { headers: vec![("host".into(), "x")], ..View::default() };
    assert_eq!(verify(case, &unsigned, time(case)).unwrap_err().kind, Kind::MissingAuthenticationToken);
}
