//! `baton send`: one message, or the same one many times in batches with a progress bar.

use std::fmt::Write;
use std::io::{IsTerminal, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use serde_json::{Map, Value as Json, json};

use super::http::{Api, encode};
use super::{items, text};
use crate::cli::remote_args::SendArgs;
use crate::exit::{Exit, Failure};
use crate::output;

/// Most messages of one request.
const BATCH_MESSAGES_MAX: u64 = 500;
/// Most bytes of one request, unless one message alone is larger.
const BATCH_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Runs the command.
///
/// # Errors
/// What the broker refused, or that it does not answer; the text says how many messages were sent before.
pub(crate) fn run(args: &SendArgs) -> Result<Exit, Failure> {
    let message = message(args, body(&args.body)?)?;
    let api = Api::new(&args.server)?;
    let path = if args.exchange.is_empty() {
        api.path(&["queues", &args.queue, "messages"])
    } else {
        format!("{}?key={}", api.path(&["exchanges", &args.exchange, "messages"]), encode(&args.queue))
    };
    let size = u64::try_from(message.to_string().len()).unwrap_or(u64::MAX);
    let batch_max = (BATCH_BYTES_MAX / size.max(1)).clamp(1, BATCH_MESSAGES_MAX);
    let bar = progress(args.count, args.count > batch_max);
    let mut sent = 0;
    let mut answers = Vec::new();
    while sent < args.count {
        let batch = batch_max.min(args.count - sent);
        let messages: Vec<&Json> = (0..batch).map(|_| &message).collect();
        let answer = api.post(&path, &json!({ "messages": messages })).map_err(|failure| match sent {
            0 => failure,
            _ => Failure::new(
                failure.exit,
                format!("{}; {sent} of {} were sent before", failure.text, args.count),
            ),
        })?;
        check(&answer, args, sent)?;
        if args.count == 1 {
            answers.extend_from_slice(items(&answer, "messages"));
        }
        sent += batch;
        bar.inc(batch);
    }
    bar.finish_and_clear();
    report(args, sent, &answers)?;
    Ok(Exit::Success)
}

/// Fails with the first refusal of a batch, or when no queue took the messages.
fn check(answer: &Json, args: &SendArgs, sent: u64) -> Result<(), Failure> {
    let messages = items(answer, "messages");
    let accepted = |message: &&Json| message.get("error").is_none();
    if let Some(error) = messages.iter().find_map(|message| message.get("error")) {
        let before = sent + u64::try_from(messages.iter().filter(accepted).count()).unwrap_or(0);
        let code = text(error, "code");
        let exit = if code.ends_with("-not-found") { Exit::NotFound } else { Exit::Refused };
        let count = if args.count > 1 {
            format!("; {before} of {} were accepted", args.count)
        } else {
            String::new()
        };
        return Err(Failure::new(exit, format!("{}{count}", text(error, "message"))));
    }
    if messages.iter().any(|message| message.get("queues").and_then(Json::as_u64) == Some(0)) {
        let (what, remedy) = match args.exchange.as_str() {
            "" => (
                format!("there is no queue {0}", args.queue),
                format!("create it with `baton queue create {}`", args.queue),
            ),
            exchange => {
                (format!("no queue is bound to {exchange} for {}", args.queue), "bind one".to_owned())
            }
        };
        return Err(Failure::new(Exit::NotFound, format!("{what}; nothing took the message; {remedy}")));
    }
    Ok(())
}

fn report(args: &SendArgs, sent: u64, answers: &[Json]) -> Result<(), Failure> {
    let first = answers.first();
    if args.server.json {
        return output::json(&first.cloned().unwrap_or_else(|| json!({ "sent": sent })));
    }
    match first {
        Some(one) if one.get("duplicate").and_then(Json::as_bool) == Some(true) => {
            output::note(&format!("a duplicate of message {}; nothing was stored", text(one, "id")));
        }
        Some(one) => {
            output::note(&format!("sent; message {}, sequence number {}", text(one, "id"), text(one, "seq")));
        }
        None => output::note(&format!("{sent} messages sent")),
    }
    Ok(())
}

fn progress(count: u64, long: bool) -> ProgressBar {
    if !long || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{bar:40} {pos}/{len} messages  {rate}  {eta} left";
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
            // The bar is for the eye; a line it cannot write is no loss.
            let _ = write!(out, "{:.0}/s", state.per_sec());
        });
    ProgressBar::new(count).with_style(style)
}

fn body(given: &str) -> Result<Vec<u8>, Failure> {
    if given != "-" {
        return Ok(given.as_bytes().to_vec());
    }
    if std::io::stdin().is_terminal() {
        output::note("reading the body from the terminal; end it with Ctrl-D");
    }
    let mut body = Vec::new();
    std::io::stdin()
        .read_to_end(&mut body)
        .map_err(|error| Failure::new(Exit::Failure, format!("cannot read the body from stdin: {error}")))?;
    Ok(body)
}

fn message(args: &SendArgs, body: Vec<u8>) -> Result<Json, Failure> {
    let mut message = Map::new();
    match String::from_utf8(body) {
        Ok(text) => message.insert("body".to_owned(), text.into()),
        Err(error) => {
            message.insert("encoding".to_owned(), "base64".into());
            message.insert("body".to_owned(), STANDARD.encode(error.as_bytes()).into())
        }
    };
    let mut set = |name: &str, value: Option<Json>| {
        if let Some(value) = value {
            message.insert(name.to_owned(), value);
        }
    };
    set("headers", headers(&args.headers)?);
    set("content_type", args.content_type.clone().map(Json::from));
    set("priority", args.priority.map(Json::from));
    set("ttl_ms", args.ttl.map(Json::from));
    set("delay_ms", args.delay.map(Json::from));
    set("group_key", args.group_key.clone().map(Json::from));
    set("dedup_id", args.dedup_id.clone().map(Json::from));
    set("correlation_id", args.correlation_id.clone().map(Json::from));
    set("reply_to", args.reply_to.clone().map(Json::from));
    set("durable", args.transient.then(|| false.into()));
    Ok(Json::Object(message))
}

fn headers(given: &[String]) -> Result<Option<Json>, Failure> {
    let mut headers = Map::new();
    for header in given {
        let Some((name, value)) = header.split_once('=') else {
            return Err(Failure::new(
                Exit::Usage,
                format!("{header:?} is not a header; write it like name=value"),
            ));
        };
        let value = match (value, value.parse::<i64>()) {
            ("true", _) => Json::Bool(true),
            ("false", _) => Json::Bool(false),
            (_, Ok(number)) if number.to_string() == value => number.into(),
            (text, _) => text.into(),
        };
        headers.insert(name.to_owned(), value);
    }
    Ok((!headers.is_empty()).then_some(Json::Object(headers)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_keep_simple_types() {
        let given = ["a=1", "b=true", "c=x=y", "d=007", "e="].map(str::to_owned);
        let expected = json!({ "a": 1, "b": true, "c": "x=y", "d": "007", "e": "" });
        assert_eq!(headers(&given).unwrap(), Some(expected));
        assert!(headers(&["nothing".to_owned()]).unwrap_err().text.contains("name=value"));
    }
}
