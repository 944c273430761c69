//! Every request against the table of permissions, with users that have exactly one right.

use baton_model::ids::{ConsumerId, LinkId, MessageId, Token};
use baton_model::message::Message;
use baton_model::policy::DeadLetterPolicy;
use baton_model::request::{Fetch, FetchSelect, LeaseMode, Settle, Subscribe};
use baton_model::route::ExchangeKind;
use baton_model::{Bytes, Outcome, Publish, Seq};

use super::*;
use crate::directory::{PermissionSpec, UserSpec};
use crate::password::hash_password;

const T: Token = Token(1);

/// A gate of user `ann` in namespace `/`, open, with these patterns.
fn gate(configure: &str, write: &str, read: &str) -> Gate {
    let mut gate = closed(configure, write, read);
    gate.check(&open("/")).unwrap();
    gate
}

fn closed(configure: &str, write: &str, read: &str) -> Gate {
    let ann = UserSpec {
        name: "ann".into(),
        password_hash: hash_password(b"pw", b"0123456789abcdef").unwrap(),
        permissions: vec![PermissionSpec {
            namespace: "/".into(),
            configure: configure.into(),
            write: write.into(),
            read: read.into(),
        }],
        ..UserSpec::default()
    };
    let directory = Directory::builder().namespace("shop").user(ann).build().unwrap();
    let grant = directory.verify("ann", b"pw", false).unwrap();
    let mut gate = Gate::new(Arc::new(directory));
    gate.authenticated(grant);
    gate
}

fn open(namespace: &str) -> Request {
    Request::Open { token: T, namespace: namespace.into(), label: String::new() }
}

fn publish(exchange: &str) -> Request {
    Request::Publish(Box::new(Publish {
        token: T,
        confirm: false,
        exchange: exchange.into(),
        key: "k".into(),
        more_keys: Default::default(),
        message: Message::new(Bytes::new(), 0),
        durable: false,
        mandatory: false,
        priority: None,
        ttl_ms: None,
        delay_ms: None,
        group_key: None,
        dedup_id: None,
    }))
}

fn subscribe(queue: &str) -> Request {
    Request::Subscribe(Box::new(Subscribe {
        token: T,
        consumer: ConsumerId(1),
        link: LinkId(1),
        queue: queue.into(),
        lease: LeaseMode::Linked,
        window: None,
        credit: None,
        priority: 0,
        exclusive: false,
        session: None,
        linked_lease_ms_max: None,
        filter: None,
        label: Name::default(),
    }))
}

fn fetch(queue: &str) -> Request {
    Request::Fetch(Box::new(Fetch {
        token: T,
        link: LinkId(1),
        queue: queue.into(),
        select: FetchSelect::Next,
        count_max: 1,
        lease: LeaseMode::Linked,
        wait_until: None,
        label: Name::default(),
    }))
}

fn catalog(op: CatalogOp) -> Request {
    Request::Catalog { token: T, op: Box::new(op) }
}

fn declare(name: Option<&str>, dead_letter: Option<&str>) -> Request {
    let dead_letter = dead_letter.map(|exchange| DeadLetterPolicy { exchange: exchange.into(), key: None });
    let policy = Box::new(QueuePolicy { dead_letter, ..QueuePolicy::default() });
    catalog(CatalogOp::DeclareQueue { name: name.map(Name::from), policy })
}

fn declare_exchange(alternate: Option<&str>) -> Request {
    let policy = ExchangePolicy {
        alternate: alternate.map(Name::from),
        ..ExchangePolicy::durable(ExchangeKind::Direct)
    };
    catalog(CatalogOp::DeclareExchange { name: "x".into(), policy })
}

fn binding(destination: Destination) -> Binding {
    Binding { source: "x".into(), destination, key: "k".into(), arguments: Bytes::new() }
}

fn act(action: MessageAction) -> Request {
    Request::Inspect {
        token: T,
        op: Box::new(InspectOp::Act { queue: "q".into(), seqs: vec![Seq(1)], action }),
    }
}

/// (request, configure, write, read): the names for which each right is needed; empty where none is.
fn table() -> Vec<(Request, &'static str, &'static str, &'static str)> {
    let to_queue = || binding(Destination::Queue("q".into()));
    let to_exchange = || binding(Destination::Exchange("y".into()));
    let inspect = |op: InspectOp| Request::Inspect { token: T, op: Box::new(op) };
    vec![
        (publish("x"), "", "x", ""),
        (publish(""), "", "amq.default", ""),
        (subscribe("q"), "", "", "q"),
        (fetch("q"), "", "", "q"),
        (catalog(CatalogOp::PurgeQueue { name: "q".into() }), "", "", "q"),
        (declare(Some("q"), None), "q", "", ""),
        (declare(None, None), "amq.gen-", "", ""),
        (declare(Some("q"), Some("dlx")), "q", "dlx", "q"),
        (declare(Some("q"), Some("")), "q", "amq.default", "q"),
        (catalog(CatalogOp::UpdateQueue { name: "q".into(), policy: Box::default() }), "q", "", ""),
        (
            catalog(CatalogOp::DeleteQueue { name: "q".into(), if_unused: false, if_empty: false }),
            "q",
            "",
            "",
        ),
        (declare_exchange(None), "x", "", ""),
        (declare_exchange(Some("ae")), "x", "ae", "x"),
        (catalog(CatalogOp::DeleteExchange { name: "x".into(), if_unused: false }), "x", "", ""),
        (catalog(CatalogOp::Bind(to_queue())), "", "q", "x"),
        (catalog(CatalogOp::Unbind(to_queue())), "", "q", "x"),
        (catalog(CatalogOp::Bind(to_exchange())), "", "y", "x"),
        (catalog(CatalogOp::Unbind(to_exchange())), "", "y", "x"),
        (act(MessageAction::Delete), "", "", "q"),
        (act(MessageAction::Move { to: "r".into() }), "", "amq.default", "q"),
        (
            inspect(InspectOp::Browse {
                queue: "q".into(),
                from: Seq(0),
                count_max: 1,
                states: vec![],
                headers: Bytes::new(),
            }),
            "",
            "",
            "q",
        ),
        (inspect(InspectOp::Explain { queue: "q".into(), seq: None }), "", "", "q"),
        (inspect(InspectOp::Locate { id: MessageId(1) }), "", "", ""),
        (Request::Group { token: T, requests: vec![settle(), publish("x")] }, "", "x", ""),
        (settle(), "", "", ""),
        (catalog(CatalogOp::Queue { name: "q".into() }), "", "", ""),
        (catalog(CatalogOp::Exchanges), "", "", ""),
        (Request::Detach { link: LinkId(1), failed: false }, "", "", ""),
        (Request::Unsubscribe { token: T, consumer: ConsumerId(1) }, "", "", ""),
    ]
}

fn settle() -> Request {
    Request::Settle(Settle { token: None, deliveries: Default::default(), outcome: Outcome::Complete })
}

#[test]
fn every_request_needs_exactly_the_rights_of_the_table() {
    let exactly = |name: &str| if name.is_empty() { String::new() } else { format!("^{name}$") };
    for (request, configure, write, read) in table() {
        let (c, w, r) = (exactly(configure), exactly(write), exactly(read));
        assert_eq!(gate(&c, &w, &r).check(&request), Ok(()), "{request:?}");
        for (missing, name, patterns) in [
            ("configure", configure, ["", ".*", ".*"]),
            ("write", write, [".*", "", ".*"]),
            ("read", read, [".*", ".*", ""]),
        ] {
            let result = gate(patterns[0], patterns[1], patterns[2]).check(&request);
            if name.is_empty() {
                assert_eq!(result, Ok(()), "{request:?} does not need {missing}");
            } else {
                let refusal = result.unwrap_err();
                assert_eq!(refusal.code, RefusalCode::AccessDenied);
                assert!(refusal.text.starts_with(&format!("{missing} access to ")), "{refusal}");
                assert!(
                    refusal.text.ends_with(&format!("'{name}' in vhost '/' refused for user 'ann'")),
                    "{refusal}"
                );
            }
        }
        assert_eq!(gate(".*", ".*", ".*").check(&request), Ok(()), "{request:?}");
    }
}

#[test]
fn refusals_are_worded_as_rabbitmq_words_them() {
    let mut gate = gate("", "^orders$", "");
    assert_eq!(
        gate.check(&publish("")).unwrap_err().text,
        "write access to exchange 'amq.default' in vhost '/' refused for user 'ann'"
    );
    assert_eq!(
        gate.check(&subscribe("q")).unwrap_err().text,
        "read access to queue 'q' in vhost '/' refused for user 'ann'"
    );
}

#[test]
fn nothing_is_allowed_before_login_and_open() {
    let mut gate = Gate::new(Arc::new(Directory::builder().guest(true).build().unwrap()));
    let login = Request::Authenticate { token: T, user: "guest".into(), password: Bytes::new() };
    assert_eq!(gate.check(&login), Ok(()));
    for request in [open("/"), publish("x"), settle()] {
        assert_eq!(gate.check(&request).unwrap_err().code, RefusalCode::AccessDenied);
    }
    let mut gate = closed(".*", ".*", ".*");
    assert!(gate.check(&publish("x")).unwrap_err().text.contains("no namespace is open"));
}

#[test]
fn namespaces_are_found_by_all_their_names_and_closed_to_strangers() {
    let mut gate = closed(".*", ".*", ".*");
    gate.check(&open("default")).unwrap();
    assert_eq!(gate.namespace(), "/");
    let missing = gate.check(&open("nowhere")).unwrap_err();
    assert_eq!(
        (missing.code, missing.text.as_str()),
        (RefusalCode::NamespaceNotFound, "vhost nowhere not found")
    );
    let closed = gate.check(&open("shop")).unwrap_err();
    assert_eq!(closed.code, RefusalCode::AccessDenied);
    assert_eq!(closed.text, "access to vhost 'shop' refused for user 'ann'");
    assert_eq!(gate.namespace(), "/", "a refused open changes nothing");
}

#[test]
fn what_is_remembered_was_allowed() {
    let mut gate = gate("", "^[a-h]$", "");
    for round in 0..3 {
        for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            assert_eq!(gate.check(&publish(name)), Ok(()), "{name} in round {round}");
        }
        for name in ["i", "", "aa"] {
            assert!(gate.check(&publish(name)).is_err(), "{name}");
        }
        assert!(gate.check(&subscribe("a")).is_err(), "writing is not reading");
    }
}

#[test]
fn another_login_is_another_set_of_rights() {
    let user = |name: &str, write: &str| UserSpec {
        name: name.into(),
        password_hash: hash_password(name.as_bytes(), b"0123456789abcdef").unwrap(),
        permissions: vec![PermissionSpec {
            namespace: "/".into(),
            write: write.into(),
            ..Default::default()
        }],
        ..UserSpec::default()
    };
    let directory =
        Arc::new(Directory::builder().user(user("ann", "^a$")).user(user("bob", "^b$")).build().unwrap());
    let mut gate = Gate::new(Arc::clone(&directory));
    gate.authenticated(directory.verify("ann", b"ann", true).unwrap());
    gate.check(&open("/")).unwrap();
    assert_eq!(gate.check(&publish("a")), Ok(()));
    gate.authenticated(directory.verify("bob", b"bob", true).unwrap());
    assert!(gate.check(&publish("a")).is_err());
    assert_eq!(gate.check(&publish("b")), Ok(()));
}

#[test]
fn reply_queues_need_no_permission_while_they_are_exclusive() {
    let mut gate = gate("", "", "");
    assert_eq!(gate.check(&subscribe("amq.rabbitmq.reply-to")), Ok(()));
    let name = Some(Name::new("amq.rabbitmq.reply-to.g1"));
    let exclusive = Box::new(QueuePolicy { exclusive: true, ..QueuePolicy::default() });
    assert_eq!(
        gate.check(&catalog(CatalogOp::DeclareQueue { name: name.clone(), policy: exclusive })),
        Ok(())
    );
    assert!(gate.check(&catalog(CatalogOp::DeclareQueue { name, policy: Box::default() })).is_err());
}
