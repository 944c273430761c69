//! Targets for Amazon SQS: parameters of both protocols, signatures, and the session between a client that says anything
//! and an engine that answers as an engine may. Promises: no panic; every request gets exactly one response, which can be read;
//! what the session asks of the engine is never asked twice under one token.

use std::collections::BTreeMap;
use std::sync::Arc;

use baton_dialect::SessionContext;
use baton_dialect::http::{HttpOutput, HttpRequest, HttpSession};
use baton_dialect_sqs::input;
use baton_dialect_sqs::sigv4::{Scope, Verifier, View};
use baton_dialect_sqs::wire::{Call, parameters};
use baton_dialect_sqs::{AccessKey, SqsOptions, SqsSession};
use baton_model::event::{Delivery, Fetched, QueueInfo, Transfer, TransferState};
use baton_model::policy::{DeadLetterPolicy, DedupPolicy};
use baton_model::{
    Bytes, ConsumerId, DeliveryRef, Event, Fence, LinkId, Message, MessageId, Name, PublishOutcome, QueueId,
    QueuePolicy, Refusal, RefusalCode, Reply, Request, Seq, Time,
};
use http::{Method, Response};

/// Every action, and one that is none.
const ACTIONS: [&str; 24] = [
    "SendMessage",
    "SendMessageBatch",
    "ReceiveMessage",
    "DeleteMessage",
    "DeleteMessageBatch",
    "ChangeMessageVisibility",
    "ChangeMessageVisibilityBatch",
    "CreateQueue",
    "GetQueueUrl",
    "ListQueues",
    "ListDeadLetterSourceQueues",
    "GetQueueAttributes",
    "SetQueueAttributes",
    "DeleteQueue",
    "PurgeQueue",
    "ListQueueTags",
    "TagQueue",
    "UntagQueue",
    "AddPermission",
    "RemovePermission",
    "StartMessageMoveTask",
    "CancelMessageMoveTask",
    "ListMessageMoveTasks",
    "Dance",
];

/// Reads the operations; a list that ends early is as good as any.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Up to the next byte 0, or all that is left.
    fn text(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest.get(1..).unwrap_or_default();
        taken
    }
}

fn request(json: bool, action: &str, path: &str, body: &[u8]) -> HttpRequest {
    let mut builder =
        http::Request::builder().method(Method::POST).uri(path).header("host", "localhost:9324");
    builder = builder.header("authorization", "AWS4-HMAC-SHA256 whatever");
    let mut bytes = body.to_vec();
    if json {
        let target = format!("AmazonSQS.{action}");
        builder = builder.header("x-amz-target", target).header("content-type", "application/x-amz-json-1.0");
    } else {
        builder = builder.header("content-type", "application/x-www-form-urlencoded");
        bytes.extend_from_slice(format!("&Action={action}").as_bytes());
    }
    let (head, ()) = builder.body(()).unwrap().into_parts();
    HttpRequest { head, body: bytes.into() }
}

/// Parameters of both protocols, in every shape.
pub fn wire(data: &[u8]) {
    let mut input = Input(data);
    let json = input.byte() & 1 == 0;
    let body = input.text();
    let _ = parameters(body, b"");
    let request = request(json, "Any", "/000000000000/q", body);
    let Ok(call) = Call::read(&request) else { return };
    macro_rules! read {
        ($($shape:ident)*) => { $( let _ = call.input::<input::$shape<'_>>(); )* };
    }
    read!(CreateQueue OneQueue GetQueueUrl GetQueueAttributes SetQueueAttributes TagQueue UntagQueue);
    read!(AddPermission RemovePermission CancelMessageMoveTask SendMessage SendMessageBatch ReceiveMessage);
    read!(Settle SettleBatch List MoveTask);
}

/// Signatures: lines of `name:value` up to an empty one, then the body; the first line is the target.
pub fn sigv4(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.split('\n');
    let target = lines.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase().into(), value)).collect();
    let view = View { method: "GET", path, query, headers, body: body.as_bytes() };
    let key = AccessKey {
        secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
        session_token: None,
        user: Name::new("ann"),
    };
    let keys = BTreeMap::from([(Name::new("AKIDEXAMPLE"), key)]);
    for normalize in [true, false] {
        let scope = Scope { region: "us-east-1", service: "service", normalize, check_time: true };
        let _ = Verifier::default().verify(&view, &keys, scope, Time(1_440_938_160_000));
    }
}

/// A session and its engine.
pub fn session(data: &[u8]) {
    let mut input = Input(data);
    let context = SessionContext {
        peer: Name::new("fuzz"),
        loopback: true,
        encrypted: false,
        entropy: 7,
        message_bytes_max: 1 << 20,
        version: "0",
    };
    let options = Arc::new(SqsOptions { relaxed: input.byte() & 1 == 0, ..SqsOptions::default() });
    let mut run = Run {
        session: SqsSession::new(&context, options),
        now: Time(1_000_000),
        input,
        out: HttpOutput::default(),
    };
    while !run.input.0.is_empty() {
        run.request();
    }
}

struct Run<'a> {
    session: SqsSession,
    now: Time,
    input: Input<'a>,
    out: HttpOutput,
}

impl Run<'_> {
    fn request(&mut self) {
        let choice = self.input.byte();
        let json = choice & 1 == 0;
        let action = ACTIONS[usize::from(choice >> 1) % ACTIONS.len()];
        let body = self.input.text();
        if choice > 200 {
            self.session.catalog_changed();
        }
        self.now = self.now.after_ms(u64::from(choice));
        self.session.request(self.now, request(json, action, "/000000000000/q", body), &mut self.out);
        let mut asked = std::collections::BTreeSet::new();
        for _ in 0..64 {
            if let Some(response) = self.out.response.take() {
                assert!(!self.session.busy(), "it has answered and still waits");
                check(json, &response);
                self.out.requests.clear();
                return;
            }
            assert!(self.session.busy(), "it neither answers nor waits");
            let requests = std::mem::take(&mut self.out.requests);
            assert!(!requests.is_empty() || !asked.is_empty(), "it waits for nothing");
            let events: Vec<Event> = requests.iter().filter_map(|request| self.answer(request)).collect();
            asked.extend(requests.iter().map(|request| format!("{request:?}").len()));
            if self.input.byte() == 0xff {
                self.session.abandoned(self.now, &mut self.out);
            }
            for event in events {
                self.session.event(self.now, event, &mut self.out);
            }
            if !self.session.busy() && self.out.response.is_none() {
                // It was abandoned.
                self.out.requests.clear();
                return;
            }
        }
        panic!("64 rounds and no response");
    }

    /// What an engine may say. Requests without a token of the open one are answered as well.
    fn answer(&mut self, request: &Request) -> Option<Event> {
        let choice = self.input.byte();
        let refusal = || Refusal::new(code(choice), "no");
        Some(match request {
            Request::Publish(publish) => Event::Published {
                token: publish.token,
                outcome: match choice % 4 {
                    0 => PublishOutcome::Refused(refusal()),
                    1 => PublishOutcome::Duplicate { id: MessageId(choice.into()), seq: Seq(choice.into()) },
                    _ => PublishOutcome::Accepted {
                        id: MessageId(1),
                        seq: Seq(1),
                        queues: (choice % 3).into(),
                    },
                },
            },
            Request::Fetch(fetch) => {
                let fetched = Fetched {
                    deliveries: (0..choice % 3).map(|_| self.delivery(&publish_content(choice))).collect(),
                    remaining: 0,
                    held_back: choice & 64 != 0,
                };
                let result = if choice == 1 { Err(refusal()) } else { Ok(fetched) };
                Event::Fetched { token: fetch.token, result }
            }
            Request::Settle(settle) => {
                let stale = settle.deliveries.iter().copied().filter(|_| choice & 1 == 0).collect();
                Event::Settled { token: settle.token?, stale }
            }
            Request::Catalog { token, .. } | Request::Inspect { token, .. } => {
                Event::Reply { token: *token, result: self.reply(request, choice).map_err(|()| refusal()) }
            }
            _ => return None,
        })
    }

    fn reply(&mut self, request: &Request, choice: u8) -> Result<Reply, ()> {
        use baton_model::request::CatalogOp;
        if choice % 8 == 7 {
            return Err(());
        }
        Ok(match request {
            Request::Catalog { op, .. } => match &**op {
                CatalogOp::DeclareQueue { .. } | CatalogOp::Queue { .. } => {
                    Reply::Queue { created: choice & 1 == 0, info: Box::new(info("q", choice)) }
                }
                CatalogOp::Queues { .. } => {
                    Reply::Queues(vec![info("q", choice), info("q.fifo", choice), info("amq.x", choice)])
                }
                CatalogOp::UpdateQueue { .. } | CatalogOp::Rest { .. } => Reply::Done,
                _ => Reply::Count((choice % 2).into()),
            },
            _ => {
                let transfer = |state| Transfer {
                    id: choice.into(),
                    to: None,
                    per_second: Some(3),
                    state,
                    moved: 1,
                    to_move: 2,
                    started_at: self.now,
                };
                Reply::Transfers(vec![
                    transfer(TransferState::Running),
                    transfer(TransferState::Failed(Name::new("why"))),
                ])
            }
        })
    }

    fn delivery(&self, message: &Message) -> Delivery {
        Delivery {
            at: DeliveryRef { queue: QueueId(1), seq: Seq(3), fence: Fence(4) },
            consumer: ConsumerId(0),
            link: LinkId(0),
            id: MessageId(9),
            message: message.clone(),
            acquired: 2,
            failed: 1,
            redelivered: true,
            enqueued_at: self.now,
            first_acquired_at: Some(self.now),
            lease_until: None,
            overlay: None,
        }
    }
}

/// Content that need be no envelope: damage shows as fields that are missing.
fn publish_content(choice: u8) -> Message {
    let bytes: Vec<u8> = (0..choice).map(|i| i.wrapping_mul(choice)).collect();
    Message::new(Bytes::from(bytes), u32::from(choice / 2))
}

fn info(name: &str, choice: u8) -> QueueInfo {
    let mut policy = QueuePolicy::default();
    if choice & 2 != 0 {
        policy.dead_letter = Some(DeadLetterPolicy { exchange: Name::default(), key: Some(Name::new("q")) });
        policy.retry.attempts_max = Some(3);
    }
    if choice & 4 != 0 {
        policy.dedup =
            Some(DedupPolicy { window_ms: 1, by_body: choice & 8 != 0, per_key: choice & 16 != 0 });
        policy.labels =
            vec![(Name::new("sqs-tag:k"), Name::new("v")), (Name::new("sqs:Policy"), Name::new("[]"))];
    }
    QueueInfo {
        name: Name::new(name),
        id: QueueId(1),
        policy,
        ready: 1,
        scheduled: 2,
        in_flight: 3,
        deferred: 4,
        bytes: 5,
        consumers: 6,
        oldest_at: None,
        created_at: Time(7),
        changed_at: Time(8),
    }
}

fn code(choice: u8) -> RefusalCode {
    let codes = [
        RefusalCode::QueueNotFound,
        RefusalCode::AccessDenied,
        RefusalCode::QueueLocked,
        RefusalCode::InUse,
        RefusalCode::MessageTooLarge,
        RefusalCode::Unavailable,
        RefusalCode::MessageNotFound,
    ];
    codes[usize::from(choice) % codes.len()]
}

fn check(json: bool, response: &Response<Bytes>) {
    let body = response.body();
    if json {
        assert!(
            body.is_empty() || serde_json::from_slice::<serde_json::Value>(body).is_ok(),
            "no JSON: {body:?}"
        );
    } else {
        let text = std::str::from_utf8(body).unwrap();
        assert!(text.starts_with("<?xml") && text.ends_with('>'), "{text}");
    }
    assert!(response.status().is_success() || response.status().as_u16() >= 400);
}
