//! `baton peek`: shows messages in place, without disturbing them.

use serde_json::{Value as Json, json};

use super::http::{Api, encode};
use super::{items, number, text};
use crate::cli::remote_args::PeekArgs;
use crate::exit::{Exit, Failure};
use crate::output::{self, sanitise, table};

/// Most messages of one page, as the broker allows.
const PAGE_MAX: u32 = 1_000;
/// Enough of a body for a table.
const BODY_BYTES_TABLE: u32 = 256;
/// Enough of a body for JSON, without asking for gigabytes by accident.
const BODY_BYTES_JSON: u32 = 1024 * 1024;

/// Runs the command.
///
/// # Errors
/// What the broker refused, or that it does not answer.
pub(crate) fn run(args: &PeekArgs) -> Result<Exit, Failure> {
    let api = Api::new(&args.server)?;
    let body_bytes = if args.server.json { BODY_BYTES_JSON } else { BODY_BYTES_TABLE };
    let states = args.states.join(",");
    let mut messages: Vec<Json> = Vec::new();
    let mut from = args.from;
    let next = loop {
        let left = args.count - u32::try_from(messages.len()).unwrap_or(u32::MAX).min(args.count);
        let path = format!(
            "{}?from={from}&count_max={}&state={}&body_bytes_max={body_bytes}",
            api.path(&["queues", &args.queue, "messages"]),
            left.min(PAGE_MAX),
            encode(&states)
        );
        let page = api.get(&path)?;
        messages.extend_from_slice(items(&page, "messages"));
        let next = page.get("next").and_then(Json::as_u64);
        match next {
            Some(next) if messages.len() < usize::try_from(args.count).unwrap_or(usize::MAX) => from = next,
            next => break next,
        }
    };
    if args.server.json {
        output::json(&json!({ "messages": messages, "next": next }))?;
        return Ok(Exit::Success);
    }
    if messages.is_empty() {
        output::note(&format!("no messages in {}", args.queue));
        return Ok(Exit::Success);
    }
    output::data(&shown(&messages))?;
    if let Some(next) = next {
        output::note(&format!("there are more; go on with --from {next}"));
    }
    Ok(Exit::Success)
}

fn shown(messages: &[Json]) -> String {
    let mut table = table::table(&["#seq", "state", "age", "#tries", "#size", "headers", "body"]);
    for message in messages {
        let headers = message.get("headers").map_or(String::new(), ToString::to_string);
        let body = match text(message, "encoding").as_str() {
            "base64" => format!("(base64) {}", text(message, "body")),
            _ => text(message, "body"),
        };
        table.add_row([
            text(message, "seq"),
            text(message, "state"),
            table::ago(message.get("enqueued_at_ms").and_then(Json::as_u64)),
            text(message, "acquired"),
            table::bytes(number(message, "body_bytes")),
            sanitise::one_line(&headers, 40),
            sanitise::one_line(&body, 60),
        ]);
    }
    table::text(&table)
}
