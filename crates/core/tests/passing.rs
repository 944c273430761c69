//! What comes into a list while somebody waits for it: it goes to them without a record where that is the same as if it had been there
//! for a moment, and by records in all other cases.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use baton_model::list::{ListGroup, ListOp, ListRequest, Listed, Side, Version};
use baton_model::policy::Rate;
use baton_model::{ConnectionId, Event, Message, QueuePolicy, Reply, Request};
use common::{A, B, Broker, LINK, delivered};

const FOR_EVER: Option<u64> = Some(u64::MAX);

type Change = fn(&mut QueuePolicy);

fn push(values: &[&str]) -> ListOp {
    let messages = values.iter().map(|text| Message::new(text.as_bytes().to_vec().into(), 0)).collect();
    ListOp::Push { queue: "q".into(), side: Side::Left, messages, create: true }
}

fn pop() -> ListOp {
    ListOp::Pop { queues: std::iter::once("q".into()).collect(), side: Side::Right, count_max: 1 }
}

fn request(broker: &mut Broker, op: ListOp, wait_ms: Option<u64>) -> Request {
    Request::List(ListRequest { token: broker.token(), link: LINK, op, wait_ms })
}

/// What everybody is told, as text.
fn ask(broker: &mut Broker, from: ConnectionId, op: ListOp, wait_ms: Option<u64>) -> Vec<String> {
    let request = request(broker, op, wait_ms);
    broker.step(from, request).iter().map(|(to, event)| format!("{}: {}", to.0, show(event))).collect()
}

fn show(event: &Event) -> String {
    let Event::Reply { result: Ok(Reply::Listed(listed)), .. } = event else { return format!("{event:?}") };
    match listed {
        Listed::Count(count) => count.to_string(),
        Listed::Popped(popped) => {
            popped.elements.iter().map(|one| String::from_utf8_lossy(one.body_slice()).into_owned()).collect()
        }
        Listed::Element(message) => String::from_utf8_lossy(message.body_slice()).into_owned(),
        other => format!("{other:?}"),
    }
}

/// A broker with a queue of that policy, which somebody waits for.
fn awaited(change: impl FnOnce(&mut QueuePolicy)) -> Broker {
    let mut broker = Broker::default();
    let mut policy = QueuePolicy::of_list(Side::Left);
    change(&mut policy);
    broker.declare("q", policy);
    assert!(ask(&mut broker, B, pop(), FOR_EVER).is_empty());
    broker
}

/// How many records a push of one element makes.
fn records(broker: &mut Broker, op: ListOp) -> (usize, Vec<String>) {
    let before = broker.store.records.len();
    let told = ask(broker, A, op, None);
    (broker.store.records.len() - before, told)
}

#[test]
fn an_element_that_is_awaited_leaves_no_record_and_every_other_does() {
    let mut broker = awaited(|_| {});
    assert_eq!(records(&mut broker, push(&["x"])), (0, vec!["2: x".into(), "1: 1".into()]));
    assert_eq!(records(&mut broker, push(&["stays"])), (1, vec!["1: 1".into()]));
    let totals = broker.machine.totals();
    assert_eq!((totals.published, totals.delivered, totals.completed), (2, 1, 1));
    // Who comes later gets what is there.
    assert_eq!(ask(&mut broker, B, pop(), FOR_EVER), ["2: stays"]);
    broker.restart(false);
    assert_eq!(broker.queue("q").ready, 0);
}

#[test]
fn both_answers_wait_for_what_was_recorded_before() {
    let mut broker = awaited(|_| {});
    let (other, push) = (broker.message("", "other", "x"), request(&mut broker, push(&["x"]), None));
    broker.declare("other", QueuePolicy::default());
    let end = broker.store.end();
    let mut needs = Vec::new();
    broker.run(|machine, now, cx| {
        machine.step(now, A, Request::Publish(Box::new(other)), cx);
        let (before, mut effects) = (cx.effects.len(), Vec::new());
        machine.step(now, A, push, cx);
        effects.extend(cx.effects.drain(before..));
        needs.extend(effects.into_iter().map(|effect| effect.needs.durable));
    });
    assert!(broker.store.end() > end);
    assert_eq!(needs, [Some(broker.store.end()); 2]);
}

#[test]
fn a_chain_of_waits_goes_on_behind_each() {
    let mut broker = awaited(|_| {});
    assert!(ask(&mut broker, B, pop(), FOR_EVER).is_empty());
    for text in ["a", "b"] {
        let told = vec![format!("2: {text}"), "1: 1".into()];
        assert_eq!(records(&mut broker, push(&[text])), (0, told));
    }
    assert_eq!(ask(&mut broker, A, push(&["c"]), None), ["1: 1"]);
}

#[test]
fn who_watches_sees_that_something_was_there() {
    let mut broker = awaited(|_| {});
    let version = |broker: &mut Broker| {
        let request = request(broker, ListOp::Versions { queues: vec!["q".into()] }, None);
        match &broker.step(A, request)[0].1 {
            Event::Reply { result: Ok(Reply::Listed(Listed::Versions(all))), .. } => all[0],
            other => panic!("{other:?}"),
        }
    };
    let before: Version = version(&mut broker);
    assert_eq!(records(&mut broker, push(&["x"])).0, 0);
    assert_ne!(version(&mut broker), before);
}

#[test]
fn what_may_not_be_taken_at_once_is_recorded() {
    // It has to be there before it is taken, or may be turned away, or is only lent.
    let changes: [(&str, Change, usize, &[&str]); 5] = [
        ("delayed", |policy| policy.delay_ms = 1_000, 1, &["1: 0"]),
        ("expiring", |policy| policy.ttl_ms = Some(1_000), 2, &["1: 1", "2: x"]),
        ("bounded", |policy| policy.capacity.messages_max = Some(5), 2, &["1: 1", "2: x"]),
        ("lent", |policy| policy.list.lease_pops = true, 2, &["1: 1", "2: x"]),
        ("paused", |policy| policy.dispatch.paused = true, 1, &["1: 1"]),
    ];
    for (what, change, count, told) in changes {
        let mut broker = awaited(change);
        let (made, heard) = records(&mut broker, push(&["x"]));
        assert_eq!((made, heard.iter().map(String::as_str).collect()), (count, told.to_vec()), "{what}");
    }
    // Which of several it is depends on all of them.
    let mut broker = awaited(|_| {});
    assert_eq!(ask(&mut broker, A, push(&["a", "b"]), None), ["1: 2", "2: a"]);
    // Nobody is served between the operations of a group.
    let mut broker = awaited(|_| {});
    let token = broker.token();
    let group = ListGroup { token, link: LINK, unless_changed: Vec::new(), ops: vec![push(&["x"]), pop()] };
    broker.step(A, Request::ListGroup(Box::new(group)));
    assert_eq!(ask(&mut broker, A, push(&["y"]), None), ["2: y", "1: 1"]);
}

#[test]
fn only_who_is_first_in_line_and_pops_gets_it_so() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::of_list(Side::Left));
    broker.subscribe(B, 1, "q", |_| {}).0.unwrap();
    ask(&mut broker, A, pop(), Some(10));
    let request = request(&mut broker, push(&["x"]), None);
    let events = broker.step(B, request);
    assert_eq!(delivered(&events), [(B.0, 1, "x".to_owned())]);

    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::of_list(Side::Left));
    let shift = ListOp::Move { from: "q".into(), to: "other".into(), take: Side::Right, put: Side::Left };
    ask(&mut broker, B, shift, FOR_EVER);
    assert!(records(&mut broker, push(&["x"])).0 >= 2);
    assert_eq!(broker.queue("other").ready, 1);
}

#[test]
fn a_limited_rate_holds_for_what_passes_too() {
    let mut broker = awaited(|policy| policy.dispatch.rate = Some(Rate { per_second: 1.0, burst: 1 }));
    assert!(ask(&mut broker, B, pop(), FOR_EVER).is_empty());
    assert_eq!(records(&mut broker, push(&["x"])).1, ["2: x", "1: 1"]);
    assert_eq!(records(&mut broker, push(&["y"])).1, ["1: 1"]);
    let later: Vec<String> = broker.advance(1_000).iter().map(|(_, event)| show(event)).collect();
    assert_eq!(later, ["y"]);
}
