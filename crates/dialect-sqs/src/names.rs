//! Names of queues as they appear on the wire: in URLs with any host, and in ARNs.

use crate::limits::QUEUE_NAME_MAX;
use crate::options::SqsOptions;

/// Whether a queue may be created under that name: 1 to 80 letters, digits, hyphens and underscores, and `.fifo` behind a FIFO queue's.
pub(crate) fn is_valid(name: &str) -> bool {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    !stem.is_empty()
        && name.len() <= QUEUE_NAME_MAX
        && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether the name is a FIFO queue's.
pub(crate) fn is_fifo(name: &str) -> bool {
    name.ends_with(".fifo")
}

/// The queue that a URL (or only its path) names: its last segment. `None`: it has none, or belongs to another account.
pub(crate) fn from_url<'a>(url: &'a str, account_id: &str) -> Option<&'a str> {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => url,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut segments = path.trim_matches('/').rsplit('/');
    let name = segments.next().filter(|name| !name.is_empty())?;
    // What stands before the name is the account, or whatever other servers put there.
    let foreign = |segment: &str| is_account(segment) && segment != account_id;
    (!segments.next().is_some_and(foreign)).then_some(name)
}

fn is_account(segment: &str) -> bool {
    segment.len() == 12 && segment.bytes().all(|byte| byte.is_ascii_digit())
}

/// A queue's ARN.
pub(crate) fn arn(options: &SqsOptions, name: &str) -> String {
    format!("arn:aws:sqs:{}:{}:{name}", options.region, options.account_id)
}

/// The queue that an ARN names. `None`: it is no ARN of a queue of this account.
pub(crate) fn from_arn<'a>(arn: &'a str, options: &SqsOptions) -> Option<&'a str> {
    let mut parts = arn.splitn(6, ':');
    let fits = parts.next() == Some("arn")
        && parts.next().is_some_and(|partition| partition.starts_with("aws"))
        && parts.next() == Some("sqs")
        && parts.next() == Some(options.region.as_str())
        && parts.next() == Some(options.account_id.as_str());
    parts.next().filter(|name| fits && !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_any_host_are_understood_and_other_accounts_are_not() {
        let account = "000000000000";
        for url in [
            "http://localhost:9324/000000000000/orders",
            "https://sqs.eu-west-1.amazonaws.com/000000000000/orders",
            "http://sqs.us-east-1.localhost.localstack.cloud:4566/000000000000/orders",
            "http://eu-west-1.queue.localhost:4566/000000000000/orders/",
            "http://localhost:4566/queue/us-east-1/000000000000/orders",
            "http://localhost:9324/queue/orders",
            "/000000000000/orders",
            "orders",
        ] {
            assert_eq!(from_url(url, account), Some("orders"), "{url}");
        }
        assert_eq!(from_url("http://localhost:9324/111111111111/orders", account), None);
        assert_eq!(from_url("http://localhost:9324", account), None);
        assert_eq!(from_url("http://localhost:9324/", account), None);
    }

    #[test]
    fn names_are_as_aws_allows_them() {
        for name in ["a", "A-b_9", &"x".repeat(80), "x.fifo"] {
            assert!(is_valid(name), "{name}");
        }
        for name in ["", ".fifo", "a.b", "a b", "ä", &"x".repeat(81), &format!("{}.fifo", "x".repeat(76))] {
            assert!(!is_valid(name), "{name}");
        }
    }

    #[test]
    fn arns_name_queues_of_this_account_and_region() {
        let options = SqsOptions::default();
        assert_eq!(from_arn(&arn(&options, "q.fifo"), &options), Some("q.fifo"));
        for arn in ["arn:aws:sqs:eu-west-1:000000000000:q", "arn:aws:sns:us-east-1:000000000000:q", "q", ""] {
            assert_eq!(from_arn(arn, &options), None, "{arn}");
        }
    }
}
