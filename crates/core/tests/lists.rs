//! Queues as lists: every operation against a naive vector, at every step also against the fold of the records; who waits is
//! served in order; what AMQP-like consumers and list clients do to each other.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod common;

use std::collections::BTreeMap;

use baton_model::list::{ExpireIf, ListGroup, ListOp, ListRequest, Listed, Side};
use baton_model::request::{LeaseMode, Outcome};
use baton_model::{ConnectionId, Event, Message, QueuePolicy, Refusal, RefusalCode, Reply, Request};
use common::{A, B, Broker, LINK, delivered};
use proptest::prelude::*;
use proptest::sample::select;

/// A third connection, for who does not wait.
const C: ConnectionId = ConnectionId(3);

fn message(text: &str) -> Message {
    Message::new(text.as_bytes().to_vec().into(), 0)
}

fn text(message: &Message) -> String {
    String::from_utf8(message.body().to_vec()).unwrap()
}

fn push(queue: &str, side: Side, values: &[&str]) -> ListOp {
    let messages = values.iter().map(|value| message(value)).collect();
    ListOp::Push { queue: queue.into(), side, messages, create: true }
}

fn pop(queue: &str, side: Side) -> ListOp {
    ListOp::Pop { queues: std::iter::once(queue.into()).collect(), side, count_max: 1 }
}

fn range(queue: &str) -> ListOp {
    ListOp::Range { queue: queue.into(), first: 0, last: -1 }
}

fn ask(
    broker: &mut Broker,
    from: ConnectionId,
    op: ListOp,
    wait_ms: Option<u64>,
) -> Vec<(ConnectionId, Event)> {
    let token = broker.token();
    broker.step(from, Request::List(ListRequest { token, link: LINK, op, wait_ms }))
}

fn answers(events: &[(ConnectionId, Event)]) -> Vec<(u64, Result<Listed, Refusal>)> {
    let replies = events.iter().filter_map(|(to, event)| match event {
        Event::Reply { result: Ok(Reply::Listed(listed)), .. } => Some((to.0, Ok(listed.clone()))),
        Event::Reply { result: Err(refusal), .. } => Some((to.0, Err(refusal.clone()))),
        _ => None,
    });
    replies.collect()
}

/// An answer as text: what is compared.
fn show(result: &Result<Listed, Refusal>) -> String {
    match result {
        Err(refusal) => format!("{:?}", refusal.code),
        Ok(Listed::Element(message)) => text(message),
        Ok(Listed::Elements(all)) => all.iter().map(text).collect::<Vec<_>>().join(" "),
        Ok(Listed::Popped(popped)) => {
            format!("{}: {}", popped.queue, popped.elements.iter().map(text).collect::<Vec<_>>().join(" "))
        }
        Ok(Listed::Count(count)) => count.to_string(),
        Ok(Listed::Absent) => "nil".into(),
        Ok(Listed::Done) => "OK".into(),
        Ok(Listed::All(all)) => all.iter().map(show).collect::<Vec<_>>().join(", "),
        Ok(other) => format!("{other:?}"),
    }
}

fn does(broker: &mut Broker, op: ListOp) -> String {
    let events = ask(broker, A, op, None);
    let all = answers(&events);
    show(&all.iter().find(|(to, _)| *to == A.0).unwrap().1)
}

/// Lists as vectors: index 0 is the left.
#[derive(Default)]
struct Naive(BTreeMap<String, Vec<String>>);

impl Naive {
    fn list(&mut self, key: &str) -> &mut Vec<String> {
        self.0.entry(key.into()).or_default()
    }

    fn put(&mut self, key: &str, side: Side, value: String) {
        match side {
            Side::Left => self.list(key).insert(0, value),
            Side::Right => self.list(key).push(value),
        }
    }

    fn take(&mut self, key: &str, side: Side) -> Option<String> {
        let list = self.list(key);
        match side {
            _ if list.is_empty() => None,
            Side::Left => Some(list.remove(0)),
            Side::Right => list.pop(),
        }
    }

    fn cut(&mut self, key: &str, first: i64, last: i64) -> std::ops::Range<usize> {
        let length = self.list(key).len() as i64;
        let at = |index: i64| if index < 0 { index + length } else { index };
        let (first, end) = (at(first).max(0), (at(last) + 1).clamp(0, length));
        if first >= end { 0..0 } else { first as usize..end as usize }
    }

    fn index(&mut self, key: &str, index: i64) -> Option<usize> {
        let length = self.list(key).len() as i64;
        let index = if index < 0 { index + length } else { index };
        (0..length).contains(&index).then_some(index as usize)
    }

    fn does(&mut self, op: &ListOp) -> String {
        self.at_ends(op).or_else(|| self.inside(op)).unwrap_or_else(|| self.whole(op))
    }

    fn at_ends(&mut self, op: &ListOp) -> Option<String> {
        Some(match op {
            ListOp::Push { queue, side, messages, create } => {
                if *create || !self.list(queue).is_empty() {
                    messages.iter().for_each(|message| self.put(queue, *side, text(message)));
                }
                self.list(queue).len().to_string()
            }
            ListOp::Pop { queues, side, count_max } => {
                for queue in queues {
                    let taken: Vec<String> = (0..*count_max).map_while(|_| self.take(queue, *side)).collect();
                    if !taken.is_empty() {
                        return Some(format!("{queue}: {}", taken.join(" ")));
                    }
                }
                "nil".into()
            }
            ListOp::Move { from, to, take, put } => match self.take(from, *take) {
                None => "nil".into(),
                Some(value) => {
                    self.put(to, *put, value.clone());
                    value
                }
            },
            _ => return None,
        })
    }

    fn inside(&mut self, op: &ListOp) -> Option<String> {
        Some(match op {
            ListOp::Range { queue, first, last } => {
                let range = self.cut(queue, *first, *last);
                self.list(queue)[range].join(" ")
            }
            ListOp::Index { queue, index } => match self.index(queue, *index) {
                Some(index) => self.list(queue)[index].clone(),
                None => "nil".into(),
            },
            ListOp::Set { queue, index, message } => match self.index(queue, *index) {
                _ if self.list(queue).is_empty() => "QueueNotFound".into(),
                Some(index) => {
                    self.list(queue)[index] = text(message);
                    "OK".into()
                }
                None => "MessageNotFound".into(),
            },
            ListOp::Insert { queue, pivot, side, message } => {
                let pivot = String::from_utf8(pivot.to_vec()).unwrap();
                let list = self.list(queue);
                match list.iter().position(|value| *value == pivot) {
                    _ if list.is_empty() => "0".into(),
                    None => "nil".into(),
                    Some(at) => {
                        list.insert(at + usize::from(*side == Side::Right), text(message));
                        list.len().to_string()
                    }
                }
            }
            ListOp::Remove { queue, value, count } => {
                let value = String::from_utf8(value.to_vec()).unwrap();
                let list = self.list(queue);
                let mut at: Vec<usize> = (0..list.len()).filter(|at| list[*at] == value).collect();
                if *count < 0 {
                    at.reverse();
                }
                let max = if *count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
                at.truncate(max);
                at.sort_unstable();
                at.iter().rev().for_each(|at| drop(list.remove(*at)));
                at.len().to_string()
            }
            _ => return None,
        })
    }

    fn whole(&mut self, op: &ListOp) -> String {
        match op {
            ListOp::Trim { queue, first, last } => {
                let range = self.cut(queue, *first, *last);
                let kept = self.list(queue)[range].to_vec();
                *self.list(queue) = kept;
                "OK".into()
            }
            ListOp::Rename { from, to, .. } => {
                if self.list(from).is_empty() {
                    return "QueueNotFound".into();
                }
                if from != to {
                    let moved = std::mem::take(self.list(from));
                    *self.list(to) = moved;
                }
                "1".into()
            }
            ListOp::Delete { queues } => {
                let had = queues.iter().filter(|queue| !std::mem::take(self.list(queue)).is_empty());
                had.count().to_string()
            }
            ListOp::Length { queue } => self.list(queue).len().to_string(),
            other => panic!("{other:?}"),
        }
    }
}

/// Any operation, with indexes up to that far from either end.
fn op(far: i64) -> impl Strategy<Value = ListOp> {
    let key = || select(vec!["k", "l"]);
    let side = || select(vec![Side::Left, Side::Right]);
    let value = || select(vec!["a", "b", "c", "d"]);
    let index = move || -far..far;
    prop_oneof![
        6 => (key(), side(), proptest::collection::vec(value(), 1..4), any::<bool>()).prop_map(
            |(queue, side, values, create)| {
                let messages = values.iter().map(|value| message(value)).collect();
                ListOp::Push { queue: queue.into(), side, messages, create }
            }
        ),
        3 => (key(), key(), side(), 1..3_u64).prop_map(|(first, second, side, count_max)| ListOp::Pop {
            queues: [first.into(), second.into()].into_iter().collect(),
            side,
            count_max
        }),
        3 => (key(), key(), side(), side()).prop_map(|(from, to, take, put)| ListOp::Move {
            from: from.into(),
            to: to.into(),
            take,
            put
        }),
        1 => (key(), index(), index())
            .prop_map(|(queue, first, last)| ListOp::Range { queue: queue.into(), first, last }),
        1 => (key(), index()).prop_map(|(queue, index)| ListOp::Index { queue: queue.into(), index }),
        1 => (key(), index(), value()).prop_map(|(queue, index, value)| ListOp::Set {
            queue: queue.into(),
            index,
            message: message(value)
        }),
        3 => (key(), value(), side(), value()).prop_map(|(queue, pivot, side, value)| ListOp::Insert {
            queue: queue.into(),
            pivot: pivot.as_bytes().into(),
            side,
            message: message(value)
        }),
        1 => (key(), value(), -3..3_i64).prop_map(|(queue, value, count)| ListOp::Remove {
            queue: queue.into(),
            value: value.as_bytes().into(),
            count
        }),
        1 => (key(), -far..far / 3, -far / 3..far + 2)
            .prop_map(|(queue, first, last)| ListOp::Trim { queue: queue.into(), first, last }),
        1 => (key(), key()).prop_map(|(from, to)| ListOp::Rename {
            from: from.into(),
            to: to.into(),
            if_absent: false
        }),
        1 => key().prop_map(|queue| ListOp::Delete { queues: vec![queue.into()] }),
        1 => key().prop_map(|queue| ListOp::Length { queue: queue.into() }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_operation_does_what_a_vector_does(
        ops in proptest::collection::vec(op(6), 1..60),
        restarts in proptest::collection::vec(0..60_usize, 0..3),
    ) {
        agree(&mut Broker::default(), &mut Naive::default(), ops, &restarts)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// The same with lists of several pages, most of which are not in memory.
    #[test]
    fn every_operation_does_what_a_vector_does_from_disk(
        ops in proptest::collection::vec(op(600), 1..20),
        restarts in proptest::collection::vec(0..20_usize, 0..3),
        left in any::<bool>(),
    ) {
        let mut broker = Broker::with_index_messages_max(100);
        let mut naive = Naive::default();
        let side = if left { Side::Left } else { Side::Right };
        for (key, count) in [("k", 700), ("l", 400)] {
            // Values in no order that pages have, and each of them often.
            let values: Vec<&str> = (0..count).map(|i| ["a", "b", "c", "d"][i * 7 % 11 % 4]).collect();
            let op = push(key, side, &values);
            prop_assert_eq!(naive.does(&op), does(&mut broker, op));
        }
        let sizes = broker.machine.sizes();
        prop_assert!(sizes.messages == 1_100 && sizes.indexed < 600, "{:?}", sizes);
        agree(&mut broker, &mut naive, ops, &restarts)?;
    }
}

/// Does the operations to both, restarts before some of them, and compares answers and all elements.
fn agree(
    broker: &mut Broker,
    naive: &mut Naive,
    ops: Vec<ListOp>,
    restarts: &[usize],
) -> Result<(), TestCaseError> {
    for (step, op) in ops.into_iter().enumerate() {
        if restarts.contains(&step) {
            broker.restart(step % 2 == 0);
            open(broker);
        }
        let expected = naive.does(&op);
        prop_assert_eq!(does(broker, op.clone()), expected, "{:?}", op);
        for key in ["k", "l"] {
            let expected = naive.list(key).join(" ");
            prop_assert_eq!(does(broker, range(key)), expected, "{} after {:?}", key, op);
        }
    }
    Ok(())
}

fn open(broker: &mut Broker) {
    for connection in [A, B] {
        let token = broker.token();
        broker.step(connection, Request::Open { token, namespace: "/".into(), label: String::new() });
    }
}

#[test]
fn both_usual_pairs_are_first_in_first_out_for_consumers_too() {
    for (push_side, key) in [(Side::Left, "lpush"), (Side::Right, "rpush")] {
        let mut broker = Broker::default();
        for value in ["1", "2", "3"] {
            does(&mut broker, push(key, push_side, &[value]));
        }
        assert_eq!(broker.drain(key), ["1", "2", "3"]);
    }
    for (pop_side, key) in [(Side::Left, "lpop"), (Side::Right, "rpop")] {
        let mut broker = Broker::default();
        broker.declare(key, QueuePolicy::default());
        for value in ["1", "2", "3"] {
            broker.send(key, value);
        }
        for value in ["1", "2", "3"] {
            assert_eq!(does(&mut broker, pop(key, pop_side)), format!("{key}: {value}"));
        }
    }
}

#[test]
fn what_is_in_flight_is_no_element_and_comes_back_to_its_place() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    for value in ["1", "2", "3"] {
        broker.send("q", value);
    }
    let held = broker.fetch("q", 2);
    assert_eq!(does(&mut broker, range("q")), "3");
    assert_eq!(does(&mut broker, push("q", Side::Left, &["0"])), "2");
    broker.settle(&held, Outcome::Release { failed: false, delay_ms: None });
    assert_eq!(does(&mut broker, ListOp::Length { queue: "q".into() }), "4");
    assert_eq!(broker.drain("q").len(), 4);
    assert_eq!(does(&mut broker, ListOp::Exist { queues: vec!["q".into()] }), "0");
}

#[test]
fn many_pushes_in_front_make_room_again_and_again() {
    let mut broker = Broker::default();
    does(&mut broker, push("q", Side::Right, &["first"]));
    for i in 0..1_100 {
        does(&mut broker, push("q", Side::Left, &[&i.to_string()]));
    }
    assert_eq!(does(&mut broker, ListOp::Index { queue: "q".into(), index: 0 }), "1099");
    assert_eq!(does(&mut broker, ListOp::Index { queue: "q".into(), index: -1 }), "first");
    broker.restart(true);
    open(&mut broker);
    assert_eq!(does(&mut broker, ListOp::Index { queue: "q".into(), index: 1 }), "1098");
}

#[test]
fn the_longest_waiting_is_served_first_with_what_is_outermost_after_the_whole_push() {
    let mut broker = Broker::default();
    broker.run(|machine, _, _| machine.connect(C));
    let forever = Some(u64::MAX);
    // Nobody has a queue yet: they wait by name.
    assert!(answers(&ask(&mut broker, B, pop("q", Side::Left), forever)).is_empty());
    assert!(answers(&ask(&mut broker, A, pop("q", Side::Left), forever)).is_empty());
    let events = ask(&mut broker, C, push("q", Side::Left, &["a", "b", "c"]), None);
    let all: Vec<(u64, String)> = answers(&events).iter().map(|(to, r)| (*to, show(r))).collect();
    assert_eq!(all, [(C.0, "3".to_owned()), (B.0, "q: c".to_owned()), (A.0, "q: b".to_owned())]);
    assert_eq!(does(&mut broker, range("q")), "a");
}

#[test]
fn nobody_comes_between_a_push_and_who_waits_for_it() {
    let mut broker = Broker::default();
    let forever = Some(u64::MAX);
    ask(&mut broker, B, pop("q", Side::Right), forever);
    // Both in one batch of steps, before any dispatch.
    let (first, second) = (broker.token(), broker.token());
    let request = |token, op| Request::List(ListRequest { token, link: LINK, op, wait_ms: None });
    let events = broker.run(|machine, now, cx| {
        machine.step(now, A, request(first, push("q", Side::Left, &["x"])), cx);
        machine.step(now, A, request(second, pop("q", Side::Right)), cx);
    });
    let all: Vec<(u64, String)> = answers(&events).iter().map(|(to, r)| (*to, show(r))).collect();
    assert_eq!(all, [(B.0, "q: x".to_owned()), (A.0, "1".to_owned()), (A.0, "nil".to_owned())]);
}

#[test]
fn what_stands_behind_a_wait_is_done_when_that_is_over_and_comes_last_in_line() {
    let mut broker = Broker::default();
    broker.run(|machine, _, _| machine.connect(C));
    // B waits for three elements, one after the other, A for one; then B asks how many are left.
    for wait in [Some(u64::MAX), Some(u64::MAX), Some(100)] {
        assert!(ask(&mut broker, B, pop("q", Side::Right), wait).is_empty());
    }
    assert!(ask(&mut broker, B, ListOp::Length { queue: "q".into() }, None).is_empty());
    assert!(ask(&mut broker, A, pop("q", Side::Right), Some(u64::MAX)).is_empty());
    let events = ask(&mut broker, C, push("q", Side::Left, &["a", "b"]), None);
    let shown = |events: &[_]| -> Vec<(u64, String)> {
        answers(events).iter().map(|(to, result)| (*to, show(result))).collect()
    };
    // B's second wait began when its first was over, behind A's.
    assert_eq!(shown(&events)[1..], [(B.0, "q: a".into()), (A.0, "q: b".into())]);
    // Its third begins now: it has its whole time, and what comes by other ways serves it, too.
    broker.advance(1_000);
    broker.send("q", "c");
    let events = broker.advance(99);
    assert!(answers(&events).is_empty());
    let events = broker.advance(1);
    assert_eq!(shown(&events), [(B.0, "nil".into()), (B.0, "0".into())]);
}

#[test]
fn a_wait_behind_another_can_be_given_up_and_there_are_not_too_many() {
    let mut broker = Broker::default();
    ask(&mut broker, B, pop("q", Side::Left), Some(u64::MAX));
    let token = broker.token();
    let request = ListRequest { token, link: LINK, op: pop("q", Side::Left), wait_ms: Some(u64::MAX) };
    broker.step(B, Request::List(request));
    let events = broker.step(B, Request::CancelFetch { token });
    assert_eq!(show(&answers(&events)[0].1), "nil");
    for _ in 0..baton_model::limits::LIST_REQUESTS_BEHIND_MAX {
        assert!(ask(&mut broker, B, push("other", Side::Left, &["x"]), None).is_empty());
    }
    let events = ask(&mut broker, B, range("other"), None);
    assert_eq!(show(&answers(&events)[0].1), "Invalid");
    // Who goes away asks for nothing more.
    broker.run(|machine, now, cx| machine.disconnect(now, B, cx));
    does(&mut broker, push("q", Side::Left, &["x"]));
    assert_eq!(does(&mut broker, range("q")), "x");
    assert_eq!(does(&mut broker, range("other")), "");
}

#[test]
fn waiting_ends_in_time_and_survives_the_queue() {
    let mut broker = Broker::default();
    ask(&mut broker, A, pop("q", Side::Left), Some(500));
    let events = broker.advance(1_000);
    assert_eq!(show(&answers(&events)[0].1), "nil");

    broker.declare("q", QueuePolicy::default());
    ask(&mut broker, B, pop("q", Side::Left), Some(u64::MAX));
    let op =
        baton_model::request::CatalogOp::DeleteQueue { name: "q".into(), if_unused: false, if_empty: false };
    broker.catalog(A, op).unwrap();
    let events = ask(&mut broker, A, push("q", Side::Right, &["back"]), None);
    assert_eq!(show(&answers(&events)[0].1), "q: back");
    // Who goes away waits no more.
    ask(&mut broker, B, pop("q", Side::Left), Some(u64::MAX));
    broker.run(|machine, now, cx| machine.disconnect(now, B, cx));
    does(&mut broker, push("q", Side::Right, &["stays"]));
    assert_eq!(does(&mut broker, range("q")), "stays");
}

#[test]
fn a_waiting_move_chains_to_who_waits_for_its_target() {
    let mut broker = Broker::default();
    let forever = Some(u64::MAX);
    ask(&mut broker, A, pop("done", Side::Left), forever);
    let op = ListOp::Move { from: "todo".into(), to: "done".into(), take: Side::Right, put: Side::Left };
    ask(&mut broker, B, op, forever);
    broker.send_new("todo", "job");
    assert_eq!(does(&mut broker, range("todo")), "");
    assert_eq!(does(&mut broker, range("done")), "");
}

trait SendNew {
    fn send_new(&mut self, queue: &str, body: &str);
}

impl SendNew for Broker {
    /// Declares the queue as an AMQP client would, and sends to it.
    fn send_new(&mut self, queue: &str, body: &str) {
        self.declare(queue, QueuePolicy::default());
        self.send(queue, body);
    }
}

#[test]
fn a_group_is_one_step_and_heeds_what_changed() {
    let mut broker = Broker::default();
    does(&mut broker, push("q", Side::Right, &["a"]));
    let versions = {
        let events = ask(&mut broker, A, ListOp::Versions { queues: vec!["q".into(), "none".into()] }, None);
        match &answers(&events)[0].1 {
            Ok(Listed::Versions(versions)) => versions.clone(),
            other => panic!("{other:?}"),
        }
    };
    let group = |broker: &mut Broker| {
        let group = ListGroup {
            token: broker.token(),
            link: LINK,
            unless_changed: vec![("q".into(), versions[0]), ("none".into(), versions[1])],
            ops: vec![push("q", Side::Right, &["b"]), pop("q", Side::Left), range("q")],
        };
        let events = broker.step(A, Request::ListGroup(Box::new(group)));
        show(&answers(&events)[0].1)
    };
    assert_eq!(group(&mut broker), "2, q: a, b");
    assert_eq!(group(&mut broker), "Changed");
}

#[test]
fn expiry_goes_with_the_list() {
    let mut broker = Broker::default();
    let at = Some(broker.now.after_ms(1_000));
    let expire = |at, condition| ListOp::Expire { queue: "q".into(), at, condition };
    assert_eq!(does(&mut broker, expire(at, ExpireIf::default())), "0");
    does(&mut broker, push("q", Side::Right, &["a"]));
    assert_eq!(does(&mut broker, expire(at, ExpireIf { some: true, ..ExpireIf::default() })), "0");
    assert_eq!(does(&mut broker, expire(at, ExpireIf { none: true, ..ExpireIf::default() })), "1");
    broker.restart(false);
    open(&mut broker);
    broker.advance(999);
    assert_eq!(does(&mut broker, range("q")), "a");
    broker.advance(1);
    assert_eq!(does(&mut broker, range("q")), "");
    does(&mut broker, push("q", Side::Right, &["b"]));
    broker.advance(5_000);
    assert_eq!(does(&mut broker, range("q")), "b");
    // What was emptied begins anew without the expiry.
    let soon = Some(broker.now.after_ms(10));
    does(&mut broker, expire(soon, ExpireIf::default()));
    does(&mut broker, pop("q", Side::Left));
    does(&mut broker, push("q", Side::Right, &["c"]));
    broker.advance(100);
    assert_eq!(does(&mut broker, range("q")), "c");
}

#[test]
fn a_queue_that_a_push_made_goes_when_it_has_been_empty_for_long() {
    let mut broker = Broker::default();
    does(&mut broker, push("q", Side::Right, &["a"]));
    broker.advance(600_000);
    assert_eq!(does(&mut broker, pop("q", Side::Left)), "q: a");
    broker.advance(59_000);
    assert_eq!(broker.queue("q").ready, 0);
    broker.advance(61_000);
    let op = baton_model::request::CatalogOp::Queue { name: "q".into() };
    assert_eq!(broker.catalog(A, op).unwrap_err().code, RefusalCode::QueueNotFound);
}

#[test]
fn popped_elements_can_be_leases_that_come_back() {
    let mut broker = Broker::default();
    let mut policy = QueuePolicy::default();
    policy.list.lease_pops = true;
    broker.declare("q", policy);
    broker.send("q", "job");
    let events = ask(&mut broker, B, pop("q", Side::Left), None);
    let Ok(Listed::Popped(popped)) = &answers(&events)[0].1 else { panic!("{events:?}") };
    assert_eq!(popped.leases.len(), 1);
    assert_eq!(does(&mut broker, range("q")), "");
    broker.run(|machine, now, cx| machine.disconnect(now, B, cx));
    assert_eq!(does(&mut broker, range("q")), "job");
    let again = broker.fetch_as(A, "q", 1, LeaseMode::Linked);
    assert_eq!((again[0].acquired, again[0].failed), (2, 1));
}

#[test]
fn keyed_queues_give_and_take_but_have_no_positions() {
    let mut broker = Broker::default();
    let policy = QueuePolicy { priority_max: 9, ..QueuePolicy::default() };
    broker.declare("q", policy);
    broker.send("q", "low");
    let mut high = broker.message("", "q", "high");
    high.priority = Some(9);
    broker.publish(high);
    assert_eq!(does(&mut broker, range("q")), "Unsupported");
    assert_eq!(does(&mut broker, pop("q", Side::Left)), "q: high");
    assert_eq!(does(&mut broker, pop("q", Side::Right)), "Unsupported");
    assert_eq!(does(&mut broker, push("q", Side::Right, &["more"])), "2");
    assert_eq!(broker.drain("q"), ["low", "more"]);
}

#[test]
fn consumers_get_what_lists_push() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    broker.subscribe(B, 1, "q", |_| {}).0.unwrap();
    let events = ask(&mut broker, A, push("q", Side::Left, &["x"]), None);
    assert_eq!(delivered(&events), [(B.0, 1, "x".to_owned())]);
}

#[test]
fn an_element_that_cannot_be_read_now_keeps_who_waits_for_it_waiting() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::of_list(Side::Left));
    broker.machine.set_resident_bytes_max(0);
    let mut late = broker.message("", "q", "x");
    late.delay_ms = Some(1_000);
    broker.publish(late);
    assert!(ask(&mut broker, B, pop("q", Side::Left), Some(u64::MAX)).is_empty());
    broker.store.unreadable = true;
    broker.advance(1_000);
    assert_eq!(broker.queue("q").ready, 1);
    broker.store.unreadable = false;
    let events = broker.run(|machine, now, cx| machine.tick(now, cx));
    assert_eq!(show(&answers(&events)[0].1), "q: x");
}
