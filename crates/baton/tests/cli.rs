//! The command line against a real broker: what goes to stdout, what to stderr, and how it ends.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use support::{Broker, run, stderr, stdout};
use tempfile::tempdir;

#[test]
fn queues_are_managed() {
    let dir = tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    let none = broker.run(&["queue", "list"]);
    assert_eq!((stdout(&none).as_str(), none.status.code()), ("", Some(0)));
    assert!(stderr(&none).contains("baton queue create"));

    broker.ok(&[
        "queue",
        "create",
        "jobs",
        "--attempts-max",
        "3",
        "--dead-letter",
        "jobs.dead",
        "--ttl",
        "1h",
    ]);
    let shown = broker.json(&["queue", "show", "jobs"]);
    assert_eq!(shown["policy"]["retry"]["attempts_max"], 3);
    assert_eq!(shown["policy"]["ttl_ms"], 3_600_000);
    assert_eq!(shown["policy"]["dead_letter"], json!({ "exchange": "", "key": "jobs.dead" }));
    let table = broker.ok(&["queue", "list"]);
    let mut lines = table.lines();
    assert!(lines.next().unwrap().starts_with("QUEUE      READY"), "{table}");
    assert_eq!(lines.map(|line| line.split(' ').next().unwrap()).collect::<Vec<_>>(), ["jobs", "jobs.dead"]);
    let other = broker.run(&["queue", "create", "jobs", "--ttl", "1s"]);
    assert_eq!(other.status.code(), Some(10));
    assert!(stderr(&other).contains("baton queue show jobs"), "{}", stderr(&other));
    // What `show` prints can be given to `create`.
    let policy = serde_json::to_string(&shown["policy"]).unwrap();
    let created = broker.feed(&["queue", "create", "copy", "--policy", "-"], policy.as_bytes());
    assert!(created.status.success(), "{}", stderr(&created));
    assert_eq!(broker.json(&["queue", "show", "copy"])["policy"], shown["policy"]);

    broker.ok(&["send", "jobs", "x", "--count", "3"]);
    assert_eq!(broker.run(&["queue", "delete", "jobs", "--if-empty"]).status.code(), Some(10));
    let unsure = broker.run(&["queue", "purge", "jobs"]);
    assert_eq!(unsure.status.code(), Some(2));
    assert!(stderr(&unsure).contains("--yes"));
    assert_eq!(broker.json(&["queue", "purge", "jobs", "--yes"]), json!({ "messages": 3 }));
    broker.ok(&["queue", "delete", "jobs", "--if-empty"]);
    assert_eq!(broker.run(&["queue", "show", "jobs"]).status.code(), Some(9));
}

#[test]
fn routes_are_managed() {
    let dir = tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    let none = broker.run(&["route", "list"]);
    assert_eq!((stdout(&none).as_str(), none.status.code()), ("", Some(0)));
    assert!(stderr(&none).contains("baton route add"));

    let added = broker.run(&["route", "add", "audit", "news.*"]);
    assert!(added.status.success() && stderr(&added).contains("created queue audit"), "{}", stderr(&added));
    assert_eq!(broker.json(&["queue", "show", "audit"])["policy"]["durable"], true);
    broker.ok(&["route", "add", "audit", "news.*"]);
    broker.ok(&["route", "add", "mail", "order.#", "--exchange", "amq.topic"]);
    let news = json!({ "source": "amq.pubsub", "queue": "audit", "key": "news.*" });
    assert_eq!(broker.json(&["route", "list", "audit"]), json!({ "bindings": [&news] }));
    assert_eq!(broker.json(&["route", "list"])["bindings"].as_array().unwrap().len(), 2);
    let table = broker.ok(&["route", "list", "--exchange", "amq.topic"]);
    assert!(table.contains("order.#") && !table.contains("audit"), "{table}");

    broker.ok(&["send", "--exchange", "amq.pubsub", "news.sport", "news.sport"]);
    let unheard = broker.run(&["send", "--exchange", "amq.pubsub", "weather", "rain"]);
    assert_eq!(unheard.status.code(), Some(9));
    broker.ok(&["send", "--exchange", "amq.topic", "order.a.b", "order"]);
    assert_eq!(broker.ok(&["receive", "audit", "--raw", "--count", "9"]), "news.sport\n");
    assert_eq!(broker.ok(&["receive", "mail", "--raw", "--count", "9"]), "order\n");

    let mistyped = broker.run(&["route", "remove", "audit", "new.*"]);
    assert_eq!(mistyped.status.code(), Some(9));
    assert!(stderr(&mistyped).contains("baton route list audit"), "{}", stderr(&mistyped));
    broker.ok(&["route", "remove", "audit", "news.*"]);
    assert_eq!(broker.json(&["route", "list", "audit"]), json!({ "bindings": [] }));
    broker.run(&["send", "--exchange", "amq.pubsub", "news.sport", "x"]);
    assert_eq!(broker.run(&["receive", "audit"]).status.code(), Some(9));
    assert_eq!(broker.run(&["route", "add", "audit", "x", "--exchange", "nowhere"]).status.code(), Some(9));

    broker.feed(&["queue", "create", "brief", "--policy", "-"], br#"{"durable": false}"#);
    let brief = broker.run(&["route", "add", "brief", "*"]);
    assert!(brief.status.success() && stderr(&brief).contains("not durable"), "{}", stderr(&brief));
}

#[test]
fn messages_keep_their_bytes_and_their_properties() {
    let dir = tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    broker.ok(&["queue", "create", "a/b ü"]);
    let arguments = [
        "send",
        "a/b ü",
        "-",
        "--content-type",
        "text/x",
        "-H",
        "tries=0",
        "-H",
        "name=ann",
        "--priority",
        "4",
    ];
    let sent = broker.feed(&arguments, b"\xff\x00\n");
    assert!(sent.status.success(), "{}", stderr(&sent));
    assert_eq!(stdout(&sent), "", "what is said to people goes to stderr");

    let peeked = broker.json(&["peek", "a/b ü"]);
    let message = &peeked["messages"][0];
    assert_eq!(message["headers"], json!({ "tries": 0, "name": "ann" }));
    assert_eq!((&message["content_type"], &message["priority"]), (&json!("text/x"), &json!(4)));
    assert_eq!(message["acquired"], 0);

    let received = broker.run(&["receive", "a/b ü", "--raw"]);
    assert_eq!(received.stdout, b"\xff\x00\n\n");
    let nothing = broker.run(&["receive", "a/b ü"]);
    assert_eq!(nothing.status.code(), Some(9));
    assert!(stderr(&nothing).contains("baton explain"));
}

#[test]
fn kept_messages_stay_where_they_were() {
    let dir = tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    broker.ok(&["queue", "create", "jobs"]);
    for body in ["1", "2", "3"] {
        broker.ok(&["send", "jobs", body]);
    }
    assert_eq!(broker.ok(&["receive", "jobs", "--raw", "--count", "2", "--keep"]), "1\n2\n");
    let lines = broker.ok(&["receive", "jobs", "--json", "--count", "9"]);
    let messages: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let bodies: Vec<&str> = messages.iter().map(|message| message["body"].as_str().unwrap()).collect();
    assert_eq!(bodies, ["1", "2", "3"]);
    assert_eq!((&messages[0]["redelivered"], &messages[0]["failed"]), (&json!(true), &json!(0)));
}

#[test]
fn what_nobody_reads_goes_back() {
    let dir = tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    broker.ok(&["queue", "create", "jobs"]);
    broker.ok(&["send", "jobs", "x", "--count", "5"]);
    let mut child =
        broker.command(&["receive", "jobs", "--count", "5"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(support::wait(&mut child).code(), Some(0));
    assert_eq!(broker.json(&["queue", "show", "jobs"])["ready"], 5);
}

#[test]
fn following_prints_what_comes_until_it_is_stopped() {
    let dir = tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    broker.ok(&["queue", "create", "jobs"]);
    let arguments = ["receive", "jobs", "--follow", "--raw"];
    let mut child = broker.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for body in ["first", "second"] {
        broker.ok(&["send", "jobs", body]);
        assert_eq!(lines.next().unwrap().unwrap(), body);
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    child.wait().unwrap();
    // What waits is nobody's: the fetch of the killed process takes nothing.
    broker.ok(&["send", "jobs", "third"]);
    assert_eq!(broker.ok(&["receive", "jobs", "--raw", "--wait", "5s"]), "third\n");
}

#[test]
fn many_messages_are_sent_in_batches() {
    let dir = tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    broker.ok(&["queue", "create", "jobs", "--messages-max", "1200", "--overflow", "refuse"]);
    broker.ok(&["send", "jobs", "x", "--count", "1100"]);
    assert_eq!(broker.json(&["queue", "show", "jobs"])["ready"], 1100);
    let full = broker.run(&["send", "jobs", "x", "--count", "1100"]);
    assert_eq!(full.status.code(), Some(10));
    assert!(stderr(&full).contains("100 of 1100 were accepted"), "{}", stderr(&full));
    assert_eq!(broker.json(&["peek", "jobs", "--count", "1050"])["messages"].as_array().unwrap().len(), 1050);
}

#[test]
fn time_is_moved_on_a_test_clock_only() {
    let dir = tempdir().unwrap();
    let broker = Broker::start(dir.path(), &["--test-clock"]);
    broker.ok(&["queue", "create", "jobs"]);
    broker.ok(&["send", "jobs", "later", "--delay", "1h"]);
    assert!(!broker.ok(&["explain", "jobs", "1"]).is_empty());
    assert_eq!(broker.run(&["receive", "jobs"]).status.code(), Some(9));
    assert_eq!(broker.raw_http("POST", "/admin/clock/advance", "{\"ms\":3600000}").0, 200);
    assert_eq!(broker.ok(&["receive", "jobs", "--raw", "--wait", "5s"]), "later\n");
    drop(broker);

    let other = tempdir().unwrap();
    let broker = Broker::start(other.path(), &[]);
    let (status, answer) = broker.raw_http("POST", "/admin/clock/advance", "{\"ms\":1}");
    assert_eq!(status, 501);
    assert!(answer.contains("--test-clock"), "{answer}");
}

#[test]
fn metrics_count_what_happened() {
    let dir = tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    broker.ok(&["queue", "create", "jobs"]);
    broker.ok(&["send", "jobs", "x", "--count", "3"]);
    broker.ok(&["receive", "jobs"]);
    let (status, text) = broker.raw_http("GET", "/metrics", "");
    assert_eq!(status, 200);
    for line in [
        "baton_messages_published_total 3",
        "baton_messages_completed_total 1",
        "baton_queue_messages{namespace=\"default\",queue=\"jobs\",state=\"ready\"} 2",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    for name in [
        "journal_syncs_total",
        "journal_append_seconds_count",
        "process_resident_memory_bytes",
        "connections_open",
        "inbox_bytes",
    ] {
        assert!(text.contains(&format!("\nbaton_{name} ")), "{name} is missing in\n{text}");
    }
    let documented = include_str!("../../../docs/features/observability.md");
    for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(documented.contains(name), "observability.md says nothing of {name}");
    }
}

#[test]
fn without_a_broker_the_error_names_the_remedy() {
    let output = run(&["queue", "list", "--server", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(8));
    let error = stderr(&output);
    assert!(error.contains("http://127.0.0.1:1") && error.contains("--server"), "{error}");
    assert_eq!(run(&["queue", "list", "--server", "localhost"]).status.code(), Some(2));
}
