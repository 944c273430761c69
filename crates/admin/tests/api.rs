//! The API over a real engine with a journal in memory: every route, as an HTTP client sees it, without a socket.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use baton_access::{Directory, PermissionSpec, UserSpec, hash_password};
use baton_admin::metrics::{Figure, FigureValue};
use baton_admin::{Admin, Broker, LoginFuture, Options};
use baton_engine::{Clock, Engine, Port, TestClock, Waker};
use baton_journal::MemoryStore;
use baton_model::{Bytes, Name};
use serde_json::{Value, json};
use tower::ServiceExt;

const QUEUES: &str = "/api/v1/namespaces/default/queues";
const LOOPBACK: &str = "127.0.0.1:40000";

struct TestBroker {
    engine: Engine,
    directory: Arc<Directory>,
    not_ready: Vec<String>,
}

impl Broker for TestBroker {
    fn connect(&self, waker: Waker) -> Port {
        self.engine.connect(waker)
    }

    fn advance_clock_ms(&self, ms: u64) -> bool {
        let moved = self.engine.clock().advance_ms(ms);
        self.engine.clock_moved();
        moved
    }

    fn not_ready(&self) -> Vec<String> {
        self.not_ready.clone()
    }

    fn login(&self, user: Name, password: Bytes, loopback: bool) -> LoginFuture {
        let result = self.directory.verify(&user, &password, loopback);
        Box::pin(async move { result })
    }

    fn figures(&self) -> Vec<Figure> {
        let value = FigureValue::Counter(self.engine.stats().published);
        vec![Figure { name: "messages_published", help: "Messages taken in", value }]
    }
}

struct Api {
    router: Router,
    peer: SocketAddr,
    user: Option<&'static str>,
}

fn api_of(directory: Directory, guest: bool, not_ready: Vec<String>) -> Api {
    let directory = Arc::new(directory);
    let clock: Arc<dyn Clock> = Arc::new(TestClock::default());
    let opened = MemoryStore::new(1 << 20).open().unwrap();
    let engine = Engine::start(opened, Arc::clone(&clock), baton_engine::Options::default()).unwrap();
    let broker = Arc::new(TestBroker { engine, directory: Arc::clone(&directory), not_ready });
    let options = Options { guest, message_bytes_max: 1 << 20 };
    let router = Admin::new(broker, clock, directory, options).router();
    Api { router, peer: LOOPBACK.parse().unwrap(), user: None }
}

fn api() -> Api {
    api_of(Directory::builder().namespace("staging").guest(true).build().unwrap(), true, Vec::new())
}

impl Api {
    async fn raw(&self, method: &str, path: &str, body: String) -> (StatusCode, String) {
        let mut request = Request::builder().method(method).uri(path).extension(ConnectInfo(self.peer));
        if let Some(user) = self.user {
            request = request.header("authorization", user);
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let status = response.status();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, text) = self.raw(method, path, body).await;
        (status.as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn ok(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    async fn get(&self, path: &str) -> Value {
        self.ok("GET", path, Value::Null).await
    }

    async fn fails(&self, method: &str, path: &str, body: Value) -> (u16, String) {
        let (status, answer) = self.call(method, path, body).await;
        assert!(status >= 400, "{method} {path}: {status} {answer}");
        assert!(!answer["message"].as_str().unwrap().is_empty());
        (status, answer["code"].as_str().unwrap().to_owned())
    }
}

fn bodies(answer: &Value) -> Vec<&str> {
    answer["messages"].as_array().unwrap().iter().map(|message| message["body"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn queues_are_created_shown_changed_listed_and_deleted() {
    let api = api();
    let jobs = format!("{QUEUES}/jobs");
    let created = api.ok("PUT", &jobs, json!({ "ttl_ms": 60000, "retry": { "attempts_max": 3 } })).await;
    assert_eq!(created["created"], true);
    assert_eq!(
        api.ok("PUT", &jobs, json!({ "ttl_ms": 60000, "retry": { "attempts_max": 3 } })).await["created"],
        false
    );
    assert_eq!(api.fails("PUT", &jobs, json!({ "ttl_ms": 1 })).await, (409, "in-use".into()));
    assert_eq!(api.fails("PUT", &jobs, json!({ "tll_ms": 1 })).await, (400, "invalid".into()));

    let shown = api.ok("PATCH", &jobs, json!({ "ttl_ms": null, "dispatch": { "paused": true } })).await;
    assert_eq!(shown["policy"]["dispatch"]["paused"], true);
    assert_eq!(shown["policy"].get("ttl_ms"), None);
    assert_eq!(shown["policy"]["retry"]["attempts_max"], 3);

    for name in ["a%2Fb", "other", "jobs2"] {
        api.ok("PUT", &format!("{QUEUES}/{name}"), Value::Null).await;
    }
    let page = api.get(&format!("{QUEUES}?count_max=2")).await;
    let names = |page: &Value| -> Vec<String> {
        page["queues"].as_array().unwrap().iter().map(|q| q["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&page), ["a/b", "jobs"]);
    let page = api.get(&format!("{QUEUES}?count_max=2&after={}", page["next"].as_str().unwrap())).await;
    assert_eq!(names(&page), ["jobs2", "other"]);
    assert_eq!(names(&api.get(&format!("{QUEUES}?prefix=jobs")).await), ["jobs", "jobs2"]);
    assert!(names(&api.get("/api/v1/namespaces/staging/queues").await).is_empty());
    assert_eq!(api.get("/api/v1/namespaces").await["namespaces"], json!(["default", "staging"]));

    api.ok("DELETE", &jobs, Value::Null).await;
    assert_eq!(api.fails("GET", &jobs, Value::Null).await, (404, "queue-not-found".into()));
    assert_eq!(api.fails("GET", "/api/v1/namespaces/no/queues", Value::Null).await.0, 404);
}

#[tokio::test]
async fn messages_go_in_are_peeked_and_come_out() {
    let api = api();
    let jobs = format!("{QUEUES}/jobs");
    api.ok("PUT", &jobs, Value::Null).await;
    let messages = format!("{jobs}/messages");
    let one = api.ok("POST", &messages, json!({ "body": "one", "headers": { "tries": 1 } })).await;
    assert_eq!(one["queues"], 1);
    let many = api
        .ok(
            "POST",
            &messages,
            json!({ "messages": [{ "body": "two" }, { "body": "AP8=", "encoding": "base64" }] }),
        )
        .await;
    assert_eq!((many["refused"].as_u64(), many["messages"].as_array().unwrap().len()), (Some(0), 2));

    let peeked = api.get(&messages).await;
    assert_eq!(bodies(&peeked), ["one", "two", "AP8="]);
    assert_eq!(peeked["messages"][0]["headers"]["tries"], 1);
    assert_eq!(peeked["messages"][2]["encoding"], "base64");
    let page = api.get(&format!("{messages}?count_max=2&state=ready&body_bytes_max=1")).await;
    assert_eq!(bodies(&page), ["o", "t"]);
    let rest = api.get(&format!("{messages}?from={}", page["next"])).await;
    assert_eq!(bodies(&rest), ["AP8="]);

    let receive = format!("{jobs}/receive");
    let taken = api.ok("POST", &receive, json!({ "count_max": 2, "lease_ms": 60000 })).await;
    assert_eq!(bodies(&taken), ["one", "two"]);
    assert_eq!(taken["remaining"], 1);
    assert_eq!(api.get(&jobs).await["in_flight"], 2);
    let receipt = |i: usize| taken["messages"][i]["receipt"].clone();
    let settle = format!("{jobs}/settle");
    let settled = api.ok("POST", &settle, json!({ "receipts": [receipt(0)], "outcome": "complete" })).await;
    assert_eq!(settled, json!({ "settled": 1, "stale": [] }));
    let again = api.ok("POST", &settle, json!({ "receipts": [receipt(0)], "outcome": "complete" })).await;
    assert_eq!(again, json!({ "settled": 0, "stale": [receipt(0)] }));
    api.ok("POST", &settle, json!({ "receipts": [receipt(1)], "outcome": "release", "delay_ms": 0 })).await;

    let taken = api.ok("POST", &receive, json!({ "count_max": 9, "settle": "complete" })).await;
    assert_eq!(bodies(&taken), ["two", "AP8="]);
    assert_eq!(taken["messages"][0]["redelivered"], true);
    assert_eq!(bodies(&api.ok("POST", &receive, Value::Null).await), Vec::<&str>::new());
    assert_eq!(api.get(&jobs).await["ready"], 0);
}

#[tokio::test]
async fn a_receipt_does_not_reach_into_another_queue() {
    let api = api();
    for queue in ["mine", "yours"] {
        api.ok("PUT", &format!("{QUEUES}/{queue}"), Value::Null).await;
        api.ok("POST", &format!("{QUEUES}/{queue}/messages"), json!({ "body": queue })).await;
    }
    let taken = api.ok("POST", &format!("{QUEUES}/yours/receive"), Value::Null).await;
    let body = json!({ "receipts": [taken["messages"][0]["receipt"]], "outcome": "complete" });
    assert_eq!(api.fails("POST", &format!("{QUEUES}/mine/settle"), body).await, (409, "lease-lost".into()));
    let body = json!({ "receipts": ["nonsense"], "outcome": "complete" });
    assert_eq!(api.fails("POST", &format!("{QUEUES}/mine/settle"), body).await.0, 400);
}

#[tokio::test]
async fn a_waiting_receive_gets_what_comes_and_gives_back_what_nobody_takes() {
    let api = Arc::new(api());
    let jobs = format!("{QUEUES}/jobs");
    api.ok("PUT", &jobs, Value::Null).await;
    let waiting = tokio::spawn({
        let (api, path) = (Arc::clone(&api), format!("{jobs}/receive"));
        async move { api.ok("POST", &path, json!({ "wait_ms": 20000, "settle": "complete" })).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    api.ok("POST", &format!("{jobs}/messages"), json!({ "body": "late" })).await;
    assert_eq!(bodies(&waiting.await.unwrap()), ["late"]);

    let gone = tokio::spawn({
        let (api, path) = (Arc::clone(&api), format!("{jobs}/receive"));
        async move { api.ok("POST", &path, json!({ "wait_ms": 20000 })).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    gone.abort();
    let _ = gone.await;
    api.ok("POST", &format!("{jobs}/messages"), json!({ "body": "for the next" })).await;
    let taken = api.ok("POST", &format!("{jobs}/receive"), json!({ "wait_ms": 5000 })).await;
    assert_eq!(bodies(&taken), ["for the next"]);
}

#[tokio::test]
async fn single_messages_are_acted_on() {
    let api = api();
    for queue in ["jobs", "other", "dead"] {
        let policy = if queue == "jobs" { json!({ "dead_letter": { "key": "dead" } }) } else { Value::Null };
        api.ok("PUT", &format!("{QUEUES}/{queue}"), policy).await;
    }
    let jobs = format!("{QUEUES}/jobs");
    let mut seqs = Vec::new();
    for body in ["delete", "move", "bury", "purge"] {
        let sent = api.ok("POST", &format!("{jobs}/messages"), json!({ "body": body })).await;
        seqs.push(sent["seq"].clone());
    }
    let actions = format!("{jobs}/actions");
    let one = json!({ "messages": 1 });
    assert_eq!(api.ok("POST", &actions, json!({ "seqs": [seqs[0]], "action": "delete" })).await, one);
    assert_eq!(
        api.ok("POST", &actions, json!({ "seqs": [seqs[1]], "action": "move", "to": "other" })).await,
        one
    );
    assert_eq!(api.ok("POST", &actions, json!({ "seqs": [seqs[2]], "action": "dead-letter" })).await, one);
    assert_eq!(api.fails("POST", &actions, json!({ "seqs": [seqs[3]], "action": "move" })).await.0, 400);
    assert_eq!(bodies(&api.get(&format!("{QUEUES}/other/messages")).await), ["move"]);
    let dead = api.get(&format!("{QUEUES}/dead/messages")).await;
    assert_eq!(bodies(&dead), ["bury"]);
    assert_eq!(dead["messages"][0]["deaths"][0]["reason"], "rejected");
    assert_eq!(api.ok("POST", &format!("{jobs}/purge"), Value::Null).await, one);
}

#[tokio::test]
async fn the_test_clock_makes_delayed_messages_ready_and_explain_says_why_not() {
    let api = api();
    let jobs = format!("{QUEUES}/jobs");
    api.ok("PUT", &jobs, Value::Null).await;
    let sent =
        api.ok("POST", &format!("{jobs}/messages"), json!({ "body": "later", "delay_ms": 3600000 })).await;
    assert_eq!(api.get(&jobs).await["scheduled"], 1);
    let why = api.get(&format!("{jobs}/explain?seq={}", sent["seq"])).await;
    assert!(!why["reasons"].as_array().unwrap().is_empty(), "{why}");
    api.ok("POST", "/admin/clock/advance", json!({ "ms": 3600001 })).await;
    let taken = api.ok("POST", &format!("{jobs}/receive"), json!({ "wait_ms": 5000 })).await;
    assert_eq!(bodies(&taken), ["later"]);
}

#[tokio::test]
async fn exchanges_and_bindings_route() {
    let api = api();
    let base = "/api/v1/namespaces/default";
    api.ok("PUT", &format!("{QUEUES}/audit"), Value::Null).await;
    api.ok("PUT", &format!("{base}/exchanges/events"), json!({ "kind": "topic" })).await;
    assert_eq!(
        api.fails("PUT", &format!("{base}/exchanges/events"), json!({ "kind": "fanout" })).await.0,
        409
    );
    let binding = json!({ "source": "events", "queue": "audit", "key": "order.*" });
    api.ok("PUT", &format!("{base}/bindings"), binding.clone()).await;
    let listed = api.get(&format!("{base}/bindings")).await;
    assert!(listed["bindings"].as_array().unwrap().contains(&binding), "{listed}");
    let send = format!("{base}/exchanges/events/messages");
    assert_eq!(
        api.ok("POST", &format!("{send}?key=order.created"), json!({ "body": "x" })).await["queues"],
        1
    );
    assert_eq!(api.ok("POST", &format!("{send}?key=other"), json!({ "body": "x" })).await["queues"], 0);
    api.ok("DELETE", &format!("{base}/bindings"), binding).await;
    assert_eq!(
        api.ok("POST", &format!("{send}?key=order.created"), json!({ "body": "x" })).await["queues"],
        0
    );
    api.ok("DELETE", &format!("{base}/exchanges/events"), Value::Null).await;
    assert_eq!(api.fails("POST", &format!("{send}?key=k"), json!({ "body": "x" })).await.0, 404);
    assert_eq!(api.fails("POST", &format!("{QUEUES}/nowhere/messages"), json!({ "body": "x" })).await.0, 404);
}

#[tokio::test]
async fn strangers_are_asked_who_they_are_and_users_do_what_they_may() {
    let hash = hash_password(b"secret", b"0123456789abcdef").unwrap();
    let permissions = vec![PermissionSpec {
        namespace: "default".into(),
        read: "^mine$".into(),
        ..PermissionSpec::default()
    }];
    let ann = UserSpec { name: "ann".into(), password_hash: hash, permissions, ..UserSpec::default() };
    let mut api = api_of(Directory::builder().user(ann).build().unwrap(), false, Vec::new());
    let mine = format!("{QUEUES}/mine");
    assert_eq!(api.fails("GET", QUEUES, Value::Null).await, (401, "authentication-failed".into()));
    api.user = Some("Basic YW5uOndyb25n");
    assert_eq!(api.fails("GET", QUEUES, Value::Null).await.0, 401);
    api.user = Some("Basic YW5uOnNlY3JldA==");
    api.get(QUEUES).await;
    assert_eq!(api.fails("PUT", &mine, Value::Null).await, (403, "access-denied".into()));
    assert_eq!(api.fails("POST", &format!("{mine}/messages"), json!({})).await.0, 403);
    assert_eq!(api.fails("GET", &format!("{QUEUES}/yours/messages"), Value::Null).await.0, 403);
    assert_eq!(api.fails("GET", &format!("{mine}/messages"), Value::Null).await.0, 404);
    assert_eq!(api.fails("POST", "/admin/clock/advance", json!({ "ms": 1 })).await.0, 403);
}

#[tokio::test]
async fn the_guest_is_only_assumed_on_this_machine() {
    let mut api = api();
    api.get(QUEUES).await;
    api.peer = "[::ffff:127.0.0.1]:1".parse().unwrap();
    api.get(QUEUES).await;
    api.peer = "192.0.2.1:1".parse().unwrap();
    assert_eq!(api.fails("GET", QUEUES, Value::Null).await.0, 401);
    assert_eq!(api.fails("GET", "/metrics", Value::Null).await.0, 401);
    api.user = Some("Basic Z3Vlc3Q6Z3Vlc3Q=");
    assert_eq!(api.fails("GET", QUEUES, Value::Null).await.0, 401);
}

#[tokio::test]
async fn metrics_and_health_answer() {
    let api = api();
    let jobs = format!("{QUEUES}/jobs");
    api.ok("PUT", &jobs, Value::Null).await;
    api.ok("POST", &format!("{jobs}/messages"), json!({ "messages": [{}, {}] })).await;
    let (status, text) = api.raw("GET", "/metrics", String::new()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("baton_messages_published_total 2"), "{text}");
    let line = "baton_queue_messages{namespace=\"default\",queue=\"jobs\",state=\"ready\"} 2";
    assert!(text.contains(line), "{text}");
    assert_eq!(api.raw("GET", "/healthz", String::new()).await.0, StatusCode::OK);
    assert_eq!(api.raw("GET", "/readyz", String::new()).await.0, StatusCode::OK);

    let directory = Directory::builder().guest(true).build().unwrap();
    let broken = api_of(directory, true, vec!["the disk is full".to_owned()]);
    let (status, text) = broken.raw("GET", "/readyz", String::new()).await;
    assert_eq!((status, text.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "the disk is full\n"));
}

#[tokio::test]
async fn mistakes_get_json_with_the_right_status() {
    let api = api();
    assert_eq!(api.fails("GET", "/api/v2", Value::Null).await.0, 404);
    assert_eq!(api.fails("POST", QUEUES, Value::Null).await.0, 405);
    let (status, text) = api.raw("PUT", &format!("{QUEUES}/q"), "{".to_owned()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("invalid"), "{text}");
    assert_eq!(api.fails("GET", &format!("{QUEUES}?count_max=x"), Value::Null).await.0, 400);
    assert_eq!(api.fails("GET", &format!("{QUEUES}/{}", "x".repeat(256)), Value::Null).await.0, 400);
    let large = "x".repeat(3 << 20);
    let (status, _) =
        api.raw("POST", &format!("{QUEUES}/q/messages"), json!({ "body": large }).to_string()).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}
