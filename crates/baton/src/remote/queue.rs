//! `baton queue list|show|create|purge|delete`.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use ureq::http::Method;

use super::http::{Api, encode};
use super::{items, number, text};
use crate::cli::remote_args::{CreateArgs, QueueCommand};
use crate::exit::{Exit, Failure};
use crate::output::{self, sanitise, table};

/// Queues asked for at once.
const PAGE: usize = 500;

/// Runs the command.
///
/// # Errors
/// What the broker refused, or that it does not answer.
pub(crate) fn run(command: QueueCommand) -> Result<Exit, Failure> {
    match command {
        QueueCommand::List { prefix, server } => list(&Api::new(&server)?, &prefix, server.json)?,
        QueueCommand::Show { queue, server } => {
            let api = Api::new(&server)?;
            let info = api.get(&api.path(&["queues", &queue]))?;
            if server.json { output::json(&info)? } else { output::data(&show(&info))? }
        }
        QueueCommand::Create(args) => create(&args)?,
        QueueCommand::Purge { queue, yes, server } => {
            let api = Api::new(&server)?;
            if !yes {
                output::confirm(&format!("Drop all messages that wait in {queue}?"), "--yes")?;
            }
            let answer = api.post(&api.path(&["queues", &queue, "purge"]), &json!({}))?;
            counted(&answer, &format!("purged from {queue}"), server.json)?;
        }
        QueueCommand::Delete { queue, if_empty, if_unused, yes, server } => {
            let api = Api::new(&server)?;
            if !yes && !if_empty {
                output::confirm(&format!("Delete {queue} and all messages in it?"), "--yes")?;
            }
            let path = format!("{}?if_empty={if_empty}&if_unused={if_unused}", api.path(&["queues", &queue]));
            let answer = api.call(Method::DELETE, &path, None, Duration::ZERO)?;
            counted(&answer, &format!("deleted with {queue}"), server.json)?;
        }
    }
    Ok(Exit::Success)
}

fn counted(answer: &Json, what: &str, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return output::json(answer);
    }
    output::note(&format!("{} messages {what}", number(answer, "messages")));
    Ok(())
}

fn list(api: &Api, prefix: &str, as_json: bool) -> Result<(), Failure> {
    let mut queues: Vec<Json> = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut path = format!("{}?prefix={}&count_max={PAGE}", api.path(&["queues"]), encode(prefix));
        if let Some(after) = &after {
            path.push_str(&format!("&after={}", encode(after)));
        }
        let page = api.get(&path)?;
        queues.extend_from_slice(items(&page, "queues"));
        match page.get("next").and_then(Json::as_str) {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    if as_json {
        return output::json(&json!({ "queues": queues }));
    }
    if queues.is_empty() {
        output::note(&match prefix {
            "" => "no queues; create one with `baton queue create NAME`".to_owned(),
            prefix => format!("no queues whose names begin with {prefix}"),
        });
        return Ok(());
    }
    let mut table = table::table(&[
        "queue",
        "#ready",
        "#in flight",
        "#scheduled",
        "#deferred",
        "#size",
        "#consumers",
        "oldest",
    ]);
    for queue in &queues {
        table.add_row([
            sanitise::one_line(&text(queue, "name"), 60),
            text(queue, "ready"),
            text(queue, "in_flight"),
            text(queue, "scheduled"),
            text(queue, "deferred"),
            table::bytes(number(queue, "bytes")),
            text(queue, "consumers"),
            table::ago(queue.get("oldest_at_ms").and_then(Json::as_u64)),
        ]);
    }
    output::data(&table::text(&table))
}

/// A queue for a human: its counts, then its policy as dotted names, so that what is printed can be searched.
fn show(info: &Json) -> String {
    let mut table = table::table(&["field", "value"]);
    for (field, value) in info.as_object().into_iter().flatten() {
        if field != "policy" {
            add(&mut table, field, value);
        }
    }
    if let Some(policy) = info.get("policy") {
        add(&mut table, "policy", policy);
    }
    table::text(&table)
}

fn add(table: &mut comfy_table::Table, field: &str, value: &Json) {
    match value {
        Json::Object(fields) => {
            fields.iter().for_each(|(name, value)| add(table, &format!("{field}.{name}"), value));
        }
        Json::String(text) => drop(table.add_row([field, &sanitise::one_line(text, 100)])),
        other => {
            let text = other.to_string();
            let text = match (field, other.as_u64()) {
                ("bytes", Some(count)) => table::bytes(count),
                (field, Some(at)) if field.ends_with("_at_ms") => table::ago(Some(at)),
                _ => text,
            };
            table.add_row([field, &text]);
        }
    }
}

fn create(args: &CreateArgs) -> Result<(), Failure> {
    let api = Api::new(&args.server)?;
    let mut policy = match &args.policy {
        Some(path) => read_policy(path)?,
        None => Map::new(),
    };
    overlay(args, &mut policy);
    if let Some(dead_letter) = &args.dead_letter {
        let path = api.path(&["queues", dead_letter]);
        match api.get(&path) {
            Err(failure) if failure.exit == Exit::NotFound => {
                api.call(Method::PUT, &path, Some(&json!({})), Duration::ZERO)?;
                output::note(&format!("created queue {dead_letter} for dead letters"));
            }
            Err(failure) => return Err(failure),
            Ok(_) => {}
        }
    }
    let path = api.path(&["queues", &args.queue]);
    let answer = api.call(Method::PUT, &path, Some(&Json::Object(policy)), Duration::ZERO)?;
    if args.server.json {
        return output::json(&answer);
    }
    let created = answer.get("created").and_then(Json::as_bool) == Some(true);
    if created {
        output::note(&format!("created queue {}", args.queue));
    } else {
        output::note(&format!("queue {} exists already, with this policy", args.queue));
    }
    Ok(())
}

fn read_policy(path: &Path) -> Result<Map<String, Json>, Failure> {
    let wrong = |error: String| {
        Failure::new(Exit::Usage, format!("cannot use the policy {}: {error}", path.display()))
    };
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    }
    .map_err(|error| wrong(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
}

/// Lays the flags over the policy.
fn overlay(args: &CreateArgs, policy: &mut Map<String, Json>) {
    let mut set = |path: &[&str], value: Option<Json>| {
        let Some(value) = value else { return };
        let Some((last, parents)) = path.split_last() else { return };
        let mut object = &mut *policy;
        for name in parents {
            let next = object.entry(*name).or_insert_with(|| json!({}));
            if !next.is_object() {
                *next = json!({});
            }
            let Some(next) = next.as_object_mut() else { return };
            object = next;
        }
        object.insert((*last).to_owned(), value);
    };
    set(&["ttl_ms"], args.ttl.map(Json::from));
    set(&["delay_ms"], args.delay.map(Json::from));
    set(&["lease_ms"], args.lease.map(Json::from));
    set(&["priority_max"], args.priority_max.map(Json::from));
    set(&["capacity", "messages_max"], args.messages_max.map(Json::from));
    set(&["capacity", "overflow"], args.overflow.clone().map(Json::from));
    set(&["retry", "attempts_max"], args.attempts_max.map(Json::from));
    set(&["list", "lease_pops"], args.lease_pops.then_some(Json::Bool(true)));
    set(&["dead_letter"], args.dead_letter.as_ref().map(|queue| json!({ "exchange": "", "key": queue })));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    #[test]
    fn flags_lie_over_the_policy() {
        let (command, _) = cli::parse([
            "baton",
            "queue",
            "create",
            "q",
            "--ttl",
            "5s",
            "--attempts-max",
            "3",
            "--overflow",
            "refuse",
            "--dead-letter",
            "d",
            "--lease-pops",
        ])
        .unwrap();
        let cli::Command::Queue(QueueCommand::Create(args)) = command else { panic!() };
        let mut policy =
            json!({ "ttl_ms": 1, "capacity": { "messages_max": 7 } }).as_object().unwrap().clone();
        overlay(&args, &mut policy);
        let expected = json!({
            "ttl_ms": 5000, "capacity": { "messages_max": 7, "overflow": "refuse" }, "retry": { "attempts_max": 3 },
            "dead_letter": { "exchange": "", "key": "d" }, "list": { "lease_pops": true }
        });
        assert_eq!(Json::Object(policy), expected);
    }

    #[test]
    fn a_queue_is_shown_field_by_field() {
        let shown = show(
            &json!({ "name": "q", "ready": 3, "bytes": 2048, "policy": { "capacity": { "overflow": "refuse" } } }),
        );
        assert!(shown.contains("2.0 KiB"), "{shown}");
        assert!(
            shown
                .lines()
                .any(|line| line.starts_with("policy.capacity.overflow") && line.ends_with("refuse")),
            "{shown}"
        );
    }
}
