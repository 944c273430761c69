//! The session with an engine that the test plays: who may ask, what is asked of the engine, what the answers look like in both
//! protocols, and what becomes of a receive whose peer goes away.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::Arc;

use baton_dialect::SessionContext;
use baton_dialect::http::{HttpOutput, HttpRequest, HttpSession};
use baton_dialect_sqs::error::SqsError;
use baton_dialect_sqs::{AccessKey, SqsOptions, SqsSession};
use baton_model::event::{Fetched, QueueInfo};
use baton_model::request::{CatalogOp, FetchSelect, LeaseMode};
use baton_model::{
    Bytes, ConsumerId, Delivery, DeliveryRef, Event, Fence, LinkId, MessageId, Name, Outcome, PublishOutcome,
    QueueId, QueuePolicy, Refusal, RefusalCode, Reply, Request, Seq, Time, Token,
};
use http::{Method, Response};
use serde_json::{Value, json};

const NOW: Time = Time(1_700_000_000_000);

struct Client {
    session: SqsSession,
    out: HttpOutput,
}

impl Client {
    fn new(options: SqsOptions) -> Self {
        let context = SessionContext {
            peer: Name::new("test"),
            loopback: true,
            encrypted: false,
            entropy: 1,
            message_bytes_max: 1 << 20,
            version: "0",
        };
        Self { session: SqsSession::new(&context, Arc::new(options)), out: HttpOutput::default() }
    }

    fn json(&mut self, action: &str, body: &Value) {
        let target = format!("AmazonSQS.{action}");
        let headers = [
            ("x-amz-target", target.as_str()),
            ("content-type", "application/x-amz-json-1.0"),
            ("authorization", "AWS4-HMAC-SHA256 x"),
        ];
        self.send("/", &headers, body.to_string());
    }

    fn query(&mut self, body: &str) {
        let headers =
            [("content-type", "application/x-www-form-urlencoded"), ("authorization", "AWS4-HMAC-SHA256 x")];
        self.send("/", &headers, body.to_owned());
    }

    fn send(&mut self, path: &str, headers: &[(&str, &str)], body: String) {
        let mut builder = http::Request::builder().method(Method::POST).uri(path).header("host", "sqs.test");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let (head, ()) = builder.body(()).unwrap().into_parts();
        self.session.request(NOW, HttpRequest { head, body: body.into() }, &mut self.out);
    }

    fn requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.out.requests)
    }

    fn event(&mut self, event: Event) {
        self.session.event(NOW, event, &mut self.out);
    }

    /// The engine says that the queue exists.
    fn found(&mut self, name: &str) {
        let requests = self.requests();
        let [Request::Catalog { token, op }] = requests.as_slice() else { panic!("{requests:?}") };
        assert!(matches!(&**op, CatalogOp::Queue { name: asked } if asked == name), "{op:?}");
        self.event(Event::Reply { token: *token, result: Ok(queue(name)) });
    }

    fn response(&mut self) -> (u16, String) {
        let response: Response<Bytes> = self.out.response.take().expect("there is a response");
        (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
    }

    fn answer(&mut self) -> Value {
        let (status, body) = self.response();
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

fn queue(name: &str) -> Reply {
    let info = QueueInfo {
        name: Name::new(name),
        id: QueueId(7),
        policy: QueuePolicy::default(),
        ready: 0,
        scheduled: 0,
        in_flight: 0,
        deferred: 0,
        bytes: 0,
        consumers: 0,
        oldest_at: None,
        created_at: NOW,
        changed_at: NOW,
    };
    Reply::Queue { created: false, info: Box::new(info) }
}

fn published(token: Token, id: u64) -> Event {
    Event::Published {
        token,
        outcome: PublishOutcome::Accepted { id: MessageId(id), seq: Seq(id), queues: 1 },
    }
}

fn delivery(request: &Request) -> Delivery {
    let Request::Publish(publish) = request else { panic!("{request:?}") };
    Delivery {
        at: DeliveryRef { queue: QueueId(7), seq: Seq(3), fence: Fence(4) },
        consumer: ConsumerId(0),
        link: LinkId(0),
        id: MessageId(5),
        message: publish.message.clone(),
        acquired: 2,
        failed: 0,
        redelivered: true,
        enqueued_at: NOW,
        first_acquired_at: Some(NOW),
        lease_until: None,
        overlay: None,
    }
}

#[test]
fn a_batch_is_one_hand_over_and_its_bad_entries_fail_alone() {
    let mut client = Client::new(SqsOptions::default());
    let entries = json!([
        { "Id": "good", "MessageBody": "hello" },
        { "Id": "bad", "MessageBody": "x", "DelaySeconds": 901 },
        { "Id": "refused", "MessageBody": "y" },
    ]);
    client.json("SendMessageBatch", &json!({ "QueueUrl": "http://any/000000000000/q", "Entries": entries }));
    client.found("q");
    let requests = client.requests();
    assert_eq!(requests.len(), 2);
    let tokens: Vec<Token> = requests
        .iter()
        .map(|request| match request {
            Request::Publish(publish) => {
                assert!(publish.confirm && publish.durable && publish.key == "q");
                publish.token
            }
            other => panic!("{other:?}"),
        })
        .collect();
    // Answers may come in any order.
    let refusal = Refusal::new(RefusalCode::QueueFull, "full");
    client.event(Event::Published { token: tokens[1], outcome: PublishOutcome::Refused(refusal) });
    assert!(client.out.response.is_none());
    client.event(published(tokens[0], 1));
    let answer = client.answer();
    assert_eq!(answer["Successful"][0]["Id"], "good");
    assert_eq!(answer["Successful"][0]["MD5OfMessageBody"], "5d41402abc4b2a76b9719d911017c592");
    let failed: Vec<(&str, &str)> = answer["Failed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["Id"].as_str().unwrap(), entry["Code"].as_str().unwrap()))
        .collect();
    assert_eq!(failed, [("bad", "InvalidParameterValue"), ("refused", "OverLimit")]);
    // What the queue is like is known now, until some queue changes.
    client.json("SendMessage", &json!({ "QueueUrl": "q", "MessageBody": "again" }));
    assert!(matches!(client.requests().as_slice(), [Request::Publish(_)]));
    client.session.abandoned(NOW, &mut client.out);
    client.session.catalog_changed();
    client.json("SendMessage", &json!({ "QueueUrl": "q", "MessageBody": "again" }));
    client.found("q");
}

#[test]
fn what_was_sent_is_received_in_both_protocols() {
    let mut client = Client::new(SqsOptions::default());
    let attributes = json!({ "n": { "DataType": "Number.int", "StringValue": "007" } });
    client.json(
        "SendMessage",
        &json!({ "QueueUrl": "q", "MessageBody": "a <b> & \"c\"", "MessageAttributes": attributes }),
    );
    client.found("q");
    let sent = client.requests().remove(0);
    client.session.abandoned(NOW, &mut client.out);

    let ask = json!({ "QueueUrl": "q", "MessageAttributeNames": ["All"], "AttributeNames": ["All"],
        "WaitTimeSeconds": 5, "VisibilityTimeout": 9 });
    client.json("ReceiveMessage", &ask);
    let requests = client.requests();
    let [Request::Fetch(fetch)] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(fetch.select, FetchSelect::Next);
    assert_eq!(fetch.lease, LeaseMode::Timed(Some(9_000)));
    assert_eq!(fetch.wait_until, Some(NOW.after_ms(5_000)));
    let fetched = Fetched { deliveries: vec![delivery(&sent)], ..Fetched::default() };
    client.event(Event::Fetched { token: fetch.token, result: Ok(fetched.clone()) });
    let answer = client.answer();
    let message = &answer["Messages"][0];
    assert_eq!(message["Body"], "a <b> & \"c\"");
    assert_eq!(message["MessageAttributes"]["n"], json!({ "StringValue": "007", "DataType": "Number.int" }));
    assert_eq!(message["Attributes"]["ApproximateReceiveCount"], "2");

    client.query("Action=ReceiveMessage&QueueUrl=q&MessageAttributeName.1=n");
    let Request::Fetch(fetch) = client.requests().remove(0) else { panic!() };
    assert_eq!(fetch.wait_until, None);
    client.event(Event::Fetched { token: fetch.token, result: Ok(fetched) });
    let (_, xml) = client.response();
    assert!(xml.contains("<Body>a &lt;b&gt; &amp; &quot;c&quot;</Body>"), "{xml}");
    assert!(xml.contains("<MessageAttribute><Name>n</Name><Value><StringValue>007</StringValue>"), "{xml}");

    let handle = message["ReceiptHandle"].as_str().unwrap();
    client.json("DeleteMessage", &json!({ "QueueUrl": "q", "ReceiptHandle": handle }));
    let Request::Settle(settle) = client.requests().remove(0) else { panic!() };
    assert_eq!(settle.outcome, Outcome::CompleteLate);
    assert_eq!(settle.deliveries.as_slice(), [delivery(&sent).at]);
    client.event(Event::Settled { token: settle.token.unwrap(), stale: Vec::new() });
    assert_eq!(client.response(), (200, String::new()));
}

#[test]
fn what_an_abandoned_receive_gets_goes_back() {
    let mut client = Client::new(SqsOptions::default());
    client.json("SendMessage", &json!({ "QueueUrl": "q", "MessageBody": "x" }));
    client.found("q");
    let sent = client.requests().remove(0);
    client.session.abandoned(NOW, &mut client.out);
    assert!(!client.session.busy(), "a send is done or refused, whether anybody hears of it or not");

    client.json("ReceiveMessage", &json!({ "QueueUrl": "q", "WaitTimeSeconds": 20 }));
    let Request::Fetch(fetch) = client.requests().remove(0) else { panic!() };
    client.session.abandoned(NOW, &mut client.out);
    assert!(client.session.busy());
    let cancelled = client.requests();
    assert!(matches!(cancelled.as_slice(), [Request::CancelFetch { token }] if *token == fetch.token));
    // It had been given something already.
    let fetched = Fetched { deliveries: vec![delivery(&sent)], ..Fetched::default() };
    client.event(Event::Fetched { token: fetch.token, result: Ok(fetched) });
    let Request::Settle(settle) = client.requests().remove(0) else { panic!() };
    assert_eq!(settle.outcome, Outcome::Release { failed: false, delay_ms: Some(0) });
    assert!(!client.session.busy() && client.out.response.is_none());
}

#[test]
fn a_shutdown_ends_waiting_and_late_answers_belong_to_nobody() {
    let mut client = Client::new(SqsOptions::default());
    client.json("ReceiveMessage", &json!({ "QueueUrl": "q", "WaitTimeSeconds": 20 }));
    client.found("q");
    let Request::Fetch(fetch) = client.requests().remove(0) else { panic!() };
    client.session.stop_waiting(NOW, &mut client.out);
    assert!(matches!(client.requests().as_slice(), [Request::CancelFetch { .. }]));
    client.event(published(Token(fetch.token.0 - 256), 1));
    assert!(client.out.response.is_none());
    client.event(Event::Fetched { token: fetch.token, result: Ok(Fetched::default()) });
    assert_eq!(client.answer(), json!({}));
    client.json("ReceiveMessage", &json!({ "QueueUrl": "q", "WaitTimeSeconds": 20 }));
    client.event(Event::Closing { reason: Name::new("bye") });
    assert_eq!(client.response().0, 503);
}

#[test]
fn who_may_ask_depends_on_the_keys() {
    let body = json!({}).to_string();
    let target = ("x-amz-target", "AmazonSQS.ListQueues");
    let date = ("x-amz-date", "20231114T221320Z");
    let refused = |options: SqsOptions, headers: &[(&str, &str)]| {
        let mut client = Client::new(options);
        client.send("/", headers, body.clone());
        let (status, text) = client.response();
        assert!(client.out.user.is_none() && client.requests().is_empty());
        (status, serde_json::from_str::<Value>(&text).unwrap()["__type"].as_str().unwrap().to_owned())
    };
    let missing = (403, "com.amazon.coral.service#MissingAuthenticationTokenException".to_owned());
    let unknown = (403, "com.amazon.coral.service#UnrecognizedClientException".to_owned());
    let any = (
        "authorization",
        "AWS4-HMAC-SHA256 Credential=a/20231114/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0",
    );
    assert_eq!(refused(SqsOptions::default(), &[target]), missing);
    assert_eq!(refused(SqsOptions::default(), &[target, any, ("origin", "http://evil.example")]), missing);
    let key = AccessKey { secret: "s".into(), session_token: None, user: Name::new("ann") };
    let keys = BTreeMap::from([(Name::new("b"), key)]);
    assert_eq!(refused(SqsOptions { keys, ..SqsOptions::default() }, &[target, any, date]), unknown);
    assert_eq!(refused(SqsOptions { guest: None, ..SqsOptions::default() }, &[target, any, date]), unknown);

    let mut client = Client::new(SqsOptions::default());
    client.send("/", &[target, any], body.clone());
    assert_eq!(client.out.user.as_deref(), Some("guest"));
    assert!(matches!(client.requests().as_slice(), [Request::Catalog { .. }]));
}

#[test]
fn nonsense_gets_an_error_in_its_protocol() {
    let mut client = Client::new(SqsOptions::default());
    let mut error = |action: &str, body: &str| {
        let target = format!("AmazonSQS.{action}");
        client.send("/", &[("x-amz-target", &target), ("authorization", "AWS4 x")], body.to_owned());
        let response = client.out.response.take().unwrap();
        let code = response.headers().get("x-amzn-query-error").unwrap().to_str().unwrap().to_owned();
        assert_eq!(response.status().as_u16(), 400, "{action} {body}");
        assert!(response.headers().contains_key("x-amzn-requestid"));
        code
    };
    assert_eq!(error("SendMessage", "{no json"), "MalformedInput;Sender");
    assert_eq!(error("SendMessage", r#"{"QueueUrl":"q","MessageBody":7}"#), "MalformedInput;Sender");
    assert_eq!(error("Dance", "{}"), "InvalidAction;Sender");
    assert_eq!(error("SendMessage", "{}"), "MissingParameter;Sender");
    assert_eq!(
        error("DeleteMessage", r#"{"QueueUrl":"http://x/999999999999/q"}"#),
        "AWS.SimpleQueueService.NonExistentQueue;Sender"
    );
    client.query("Action=SendMessage&a=%ZZ");
    let (status, xml) = client.response();
    assert_eq!(status, 400);
    assert!(xml.contains("<Error><Type>Sender</Type><Code>MalformedInput</Code>"), "{xml}");
    client.query("QueueUrl=q");
    assert!(client.response().1.contains("<Code>MissingParameter</Code>"));
}

#[test]
fn every_refusal_has_its_code() {
    use RefusalCode as R;
    for (code, query, status) in [
        (R::QueueNotFound, "AWS.SimpleQueueService.NonExistentQueue", 400),
        (R::NamespaceNotFound, "InvalidAddress", 400),
        (R::ExchangeNotFound, "AWS.SimpleQueueService.UnsupportedOperation", 400),
        (R::BindingNotFound, "AWS.SimpleQueueService.UnsupportedOperation", 400),
        (R::MessageNotFound, "AWS.SimpleQueueService.MessageNotInflight", 400),
        (R::LeaseLost, "AWS.SimpleQueueService.MessageNotInflight", 400),
        (R::ExchangeMismatch, "AWS.SimpleQueueService.UnsupportedOperation", 400),
        (R::QueueLocked, "AWS.SimpleQueueService.UnsupportedOperation", 400),
        (R::ConsumerExclusive, "AWS.SimpleQueueService.UnsupportedOperation", 400),
        (R::InUse, "AWS.SimpleQueueService.UnsupportedOperation", 400),
        (R::NotEmpty, "AWS.SimpleQueueService.UnsupportedOperation", 400),
        (R::NameReserved, "AccessDenied", 403),
        (R::Invalid, "InvalidParameterValue", 400),
        (R::QueueFull, "OverLimit", 403),
        (R::MessageTooLarge, "InvalidParameterValue", 400),
        (R::DiskFull, "ServiceUnavailable", 503),
        (R::AccessDenied, "AccessDenied", 403),
        (R::AuthenticationFailed, "AccessDenied", 403),
        (R::Unavailable, "ServiceUnavailable", 503),
        (R::Unsupported, "AWS.SimpleQueueService.UnsupportedOperation", 400),
    ] {
        let error = SqsError::from_refusal(&Refusal::new(code, "why"));
        let shown = error.kind.shown();
        assert_eq!((shown.query, shown.status.as_u16()), (query, status), "{code:?}");
        assert_eq!(error.kind.is_sender_fault(), status < 500);
    }
}
