//! `baton receive`: takes messages under a timed lease, prints them, and only then acknowledges (or gives them back),
//! so that a message is never lost between the broker and the terminal.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use ureq::http::Method;

use super::http::Api;
use super::{items, text};
use crate::cli::remote_args::ReceiveArgs;
use crate::exit::{Exit, Failure};
use crate::output::{self, sanitise};

/// How long one request waits while following. Well below what proxies cut off.
const FOLLOW_WAIT_MS: u64 = 20_000;
/// Most messages taken at once: what is taken and not yet printed is lost to others until its lease ends.
const BATCH_MAX: u64 = 100;
/// Long enough to print a batch into a slow pipe.
const LEASE_MS: u64 = 60_000;

/// Runs the command. Nothing there is exit code 9.
///
/// # Errors
/// What the broker refused, or that it does not answer.
pub(crate) fn run(args: &ReceiveArgs) -> Result<Exit, Failure> {
    let api = Api::new(&args.server)?;
    let mut left = args.count.unwrap_or(if args.follow { u64::MAX } else { 1 });
    let mut received = 0_u64;
    let mut kept = Vec::new();
    let mut wait_ms = args.wait.unwrap_or(if args.follow { FOLLOW_WAIT_MS } else { 0 });
    let result = loop {
        if left == 0 {
            break Ok(());
        }
        let messages = match take(&api, &args.queue, left.min(BATCH_MAX), wait_ms) {
            Ok(messages) => messages,
            Err(failure) => break Err(failure),
        };
        if messages.is_empty() && !args.follow {
            break Ok(());
        }
        if let Err(failure) = print_and_settle(args, &api, &messages, &mut kept) {
            break Err(failure);
        }
        let count = u64::try_from(messages.len()).unwrap_or(u64::MAX);
        received += count;
        left = left.saturating_sub(count);
        wait_ms = if args.follow { FOLLOW_WAIT_MS } else { 0 };
    };
    // What is kept goes back at the end, all at once: given back earlier, it would be received again.
    settle(&api, &args.queue, &kept, "release")?;
    result?;
    if received == 0 {
        output::note(&format!("nothing to receive in {}; `baton explain {0}` says why", args.queue));
        return Ok(Exit::NotFound);
    }
    Ok(Exit::Success)
}

fn take(api: &Api, queue: &str, count_max: u64, wait_ms: u64) -> Result<Vec<Json>, Failure> {
    let body = json!({ "count_max": count_max, "wait_ms": wait_ms, "lease_ms": LEASE_MS, "settle": "lease" });
    let path = api.path(&["queues", queue, "receive"]);
    let answer = api.call(Method::POST, &path, Some(&body), Duration::from_millis(wait_ms))?;
    Ok(items(&answer, "messages").to_vec())
}

fn print_and_settle(
    args: &ReceiveArgs,
    api: &Api,
    messages: &[Json],
    kept: &mut Vec<Json>,
) -> Result<(), Failure> {
    let mut printed = 0;
    let mut outcome = Ok(());
    for message in messages {
        outcome = print(args, message);
        if outcome.is_err() {
            break;
        }
        printed += 1;
    }
    let mut receipts: Vec<Json> =
        messages.iter().filter_map(|message| message.get("receipt").cloned()).collect();
    let unseen = receipts.split_off(printed.min(receipts.len()));
    if args.keep {
        kept.extend(receipts);
    } else {
        settle(api, &args.queue, &receipts, "complete")?;
    }
    // Whoever reads may have enough (`| head`): what they did not get goes back.
    settle(api, &args.queue, &unseen, "release")?;
    outcome
}

fn print(args: &ReceiveArgs, message: &Json) -> Result<(), Failure> {
    if args.server.json {
        output::data(&format!("{message}\n"))
    } else if args.raw {
        let mut body = raw_body(message);
        body.push(b'\n');
        output::bytes(&body)
    } else {
        output::data(&human(message))
    }
}

fn settle(api: &Api, queue: &str, receipts: &[Json], outcome: &str) -> Result<(), Failure> {
    if receipts.is_empty() {
        return Ok(());
    }
    let body = json!({ "receipts": receipts, "outcome": outcome, "delay_ms": 0 });
    let answer = api.post(&api.path(&["queues", queue, "settle"]), &body)?;
    let stale = items(&answer, "stale").len();
    if stale > 0 {
        output::warning(&format!(
            "the lease of {stale} messages ended before they were settled; they will come again"
        ));
    }
    Ok(())
}

/// A message for a human: a line of facts, the headers, the body.
fn human(message: &Json) -> String {
    let mut facts = vec![format!("seq {}", text(message, "seq"))];
    if message.get("redelivered").and_then(Json::as_bool) == Some(true) {
        facts.push(format!("delivered {} times", text(message, "acquired")));
    }
    for field in ["content_type", "type", "correlation_id", "reply_to", "group_key", "priority"] {
        let value = text(message, field);
        if !value.is_empty() {
            facts.push(format!("{field} {}", sanitise::one_line(&value, 60)));
        }
    }
    let mut shown = format!("-- {}\n", facts.join(", "));
    if let Some(headers) = message.get("headers") {
        shown.push_str(&format!("-- headers {}\n", sanitise::for_stdout(&headers.to_string())));
    }
    if text(message, "encoding") == "base64" {
        shown.push_str(&format!("-- body in base64, {} bytes\n", text(message, "body_bytes")));
    }
    shown.push_str(&sanitise::for_stdout(&text(message, "body")));
    shown.push('\n');
    shown
}

/// The body as it was sent; on a terminal harmless.
fn raw_body(message: &Json) -> Vec<u8> {
    let body = text(message, "body");
    if text(message, "encoding") == "base64" {
        let bytes = STANDARD.decode(&body).unwrap_or_default();
        return sanitise::bytes_for_stdout(bytes);
    }
    sanitise::for_stdout(&body).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_shown_with_its_facts() {
        let message = json!({
            "seq": 4, "redelivered": true, "acquired": 2, "content_type": "text/plain", "headers": {"a": 1},
            "body": "hello", "encoding": "utf-8", "body_bytes": 5
        });
        let expected = "-- seq 4, delivered 2 times, content_type text/plain\n-- headers {\"a\":1}\nhello\n";
        assert_eq!(human(&message), expected);
        assert_eq!(raw_body(&json!({"body": "AP8=", "encoding": "base64"})), [0, 255]);
    }
}
