//! What was encoded is read back, whatever it was; what was not encoded is refused without a panic.

use std::sync::Arc;

use baton_model::event::{Death, DeathReason, Transfer, TransferState};
use baton_model::list::Side;
use baton_model::policy::{
    Backoff, BackoffOn, Capacity, Counter, DeadLetterPolicy, DedupPolicy, DispatchPolicy, Growth, KeyMode,
    KeyPoison, KeyPolicy, ListPolicy, Overflow, Rate, ReleaseTo, RetryPolicy,
};
use baton_model::request::MessageState;
use baton_model::route::{Binding, Destination, ExchangeKind, ExchangePolicy};
use baton_model::{Fence, Message, MessageId, Name, Overlay, QueueId, QueuePolicy, Seq, Time};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::context::Stored;
use crate::queue::page::Summary;
use crate::record::{
    Enqueued, Leased, Moved, Place, QueueCreated, Released, Removal, Runs, TransferNoted, Transferred,
};
use crate::snapshot::{EntryItem, Item};

fn name() -> BoxedStrategy<Name> {
    prop_oneof![Just(String::new()), "[a-z.]{1,12}", "\\PC{0,40}"].prop_map(Name::from).boxed()
}

fn number() -> BoxedStrategy<u64> {
    prop_oneof![0..200u64, any::<u64>(), Just(u64::MAX)].boxed()
}

fn time() -> BoxedStrategy<Time> {
    number().prop_map(Time).boxed()
}

fn queue() -> BoxedStrategy<QueueId> {
    any::<u32>().prop_map(QueueId).boxed()
}

fn seq() -> BoxedStrategy<Seq> {
    number().prop_map(Seq).boxed()
}

fn real() -> BoxedStrategy<f64> {
    (-1e9..1e9f64).boxed()
}

fn runs() -> BoxedStrategy<Runs> {
    vec((0..u64::MAX / 2, 0..5000u32), 0..6)
        .prop_map(|runs| {
            let mut all = Runs::default();
            runs.into_iter().for_each(|(first, count)| all.push_run(Seq(first), count));
            all
        })
        .boxed()
}

fn message() -> BoxedStrategy<Message> {
    (vec(any::<u8>(), 0..300), 0..400u32)
        .prop_map(|(content, envelope)| Message::new(content.into(), envelope))
        .boxed()
}

fn labels() -> BoxedStrategy<Vec<(Name, Name)>> {
    vec((name(), name()), 0..3).boxed()
}

fn place() -> BoxedStrategy<Place> {
    (queue(), seq(), any::<u8>(), of(time()), of(time()), of(name()), of((name(), time())))
        .prop_map(|(queue, seq, priority, expires_at, deliver_at, key, dedup)| Place {
            queue,
            seq,
            priority,
            expires_at,
            deliver_at,
            key,
            dedup,
        })
        .boxed()
}

fn death_reason() -> BoxedStrategy<DeathReason> {
    use DeathReason::{AttemptsSpent, Expired, Operator, Overflow, Rejected};
    select(vec![Rejected, Expired, Overflow, AttemptsSpent, Operator]).boxed()
}

fn overlay() -> BoxedStrategy<Arc<Overlay>> {
    let death = (
        (name(), death_reason(), of(name()), number()),
        (time(), time(), name(), vec(name(), 0..3), of(number())),
    )
        .prop_map(|((queue, reason, detail, count), (first_at, last_at, exchange, keys, ttl_ms))| Death {
            queue,
            reason,
            detail,
            count,
            first_at,
            last_at,
            exchange,
            keys,
            ttl_ms,
        });
    (name(), vec(name(), 0..3), any::<bool>(), vec(death, 0..3), of((name(), death_reason(), name())))
        .prop_map(|(exchange, keys, ttl_removed, deaths, first_death)| {
            Arc::new(Overlay { exchange, keys, ttl_removed, deaths, first_death })
        })
        .boxed()
}

fn retry() -> BoxedStrategy<RetryPolicy> {
    let growth =
        prop_oneof![Just(Growth::Constant), Just(Growth::Linear), real().prop_map(Growth::Exponential)];
    let on = select(vec![BackoffOn::Failed, BackoffOn::Returned, BackoffOn::All]);
    let backoff = (growth, number(), number(), real(), on)
        .prop_map(|(growth, min_ms, max_ms, jitter, on)| Backoff { growth, min_ms, max_ms, jitter, on });
    (of(any::<u32>()), select(vec![Counter::Failed, Counter::Acquired]), of(backoff))
        .prop_map(|(attempts_max, counter, backoff)| RetryPolicy { attempts_max, counter, backoff })
        .boxed()
}

fn queue_policy() -> BoxedStrategy<QueuePolicy> {
    let overflow = select(vec![Overflow::DropOldest, Overflow::Refuse, Overflow::RefuseAndDeadLetter]);
    let capacity = (of(number()), of(number()), of(number()), overflow).prop_map(
        |(messages_max, bytes_max, message_bytes_max, overflow)| Capacity {
            messages_max,
            bytes_max,
            message_bytes_max,
            overflow,
        },
    );
    let mode = select(vec![KeyMode::Off, KeyMode::Ordered, KeyMode::Session, KeyMode::Sticky, KeyMode::Fair]);
    let poison = select(vec![KeyPoison::Skip, KeyPoison::Block, KeyPoison::Park]);
    let dispatch = (any::<bool>(), of((real(), any::<u32>())), of(number()), any::<bool>()).prop_map(
        |(paused, rate, in_flight_max, single_active)| {
            let rate = rate.map(|(per_second, burst)| Rate { per_second, burst });
            DispatchPolicy { paused, rate, in_flight_max, single_active }
        },
    );
    (
        (any::<[bool; 6]>(), of(number()), of(number()), number(), capacity, of((name(), of(name())))),
        (any::<u8>(), retry(), number(), of(number()), select(vec![ReleaseTo::Original, ReleaseTo::Back])),
        ((mode, poison), of((number(), any::<bool>(), any::<bool>())), dispatch, labels(), list()),
    )
        .prop_map(|((flags, idle_ms_max, ttl_ms, delay_ms, capacity, dead_letter), b, c)| QueuePolicy {
            durable: flags[0],
            exclusive: flags[1],
            auto_delete: flags[2],
            persist_all: flags[3],
            drop_expired: flags[4],
            ttl_since_sent: flags[5],
            idle_ms_max,
            ttl_ms,
            delay_ms,
            capacity,
            dead_letter: dead_letter.map(|(exchange, key)| DeadLetterPolicy { exchange, key }),
            priority_max: b.0,
            retry: b.1,
            lease_ms: b.2,
            linked_lease_ms_max: b.3,
            release_to: b.4,
            keys: KeyPolicy { mode: c.0.0, poison: c.0.1 },
            dedup: c.1.map(|(window_ms, by_body, per_key)| DedupPolicy { window_ms, by_body, per_key }),
            dispatch: c.2,
            labels: c.3,
            list: c.4,
        })
        .boxed()
}

fn list() -> BoxedStrategy<ListPolicy> {
    let front = select(vec![None, Some(Side::Left), Some(Side::Right)]);
    (front, any::<bool>(), of(number()), of(time()))
        .prop_map(|(front, lease_pops, empty_ms_max, expires_at)| ListPolicy {
            front,
            lease_pops,
            empty_ms_max,
            expires_at,
        })
        .boxed()
}

fn exchange_policy() -> BoxedStrategy<ExchangePolicy> {
    use ExchangeKind::{Direct, Fanout, Headers, Pattern, Topic};
    (select(vec![Direct, Fanout, Topic, Headers, Pattern]), any::<[bool; 3]>(), of(name()), labels())
        .prop_map(|(kind, flags, alternate, labels)| ExchangePolicy {
            kind,
            durable: flags[0],
            auto_delete: flags[1],
            internal: flags[2],
            alternate,
            labels,
        })
        .boxed()
}

fn binding() -> BoxedStrategy<Box<Binding>> {
    (name(), any::<bool>(), name(), name(), vec(any::<u8>(), 0..20))
        .prop_map(|(source, to_queue, to, key, arguments)| {
            let destination = if to_queue { Destination::Queue(to) } else { Destination::Exchange(to) };
            Box::new(Binding { source, destination, key, arguments: arguments.into() })
        })
        .boxed()
}

fn transfer() -> BoxedStrategy<Record> {
    let state = prop_oneof![
        Just(TransferState::Running),
        Just(TransferState::Completed),
        Just(TransferState::Cancelled),
        name().prop_map(TransferState::Failed),
    ];
    (
        queue(),
        [number(), number(), number(), number()],
        time(),
        of(name()),
        of(any::<u32>()),
        state,
        any::<bool>(),
    )
        .prop_map(|(queue, [id, moved, to_move, end], started_at, to, per_second, state, durable)| {
            let transfer = Transfer { id, to, per_second, state, moved, to_move, started_at };
            Record::TransferNoted(Box::new(TransferNoted { queue, transfer, end: Seq(end), durable }))
        })
        .boxed()
}

fn catalog_record() -> BoxedStrategy<Record> {
    prop_oneof![
        (queue(), name(), name(), queue_policy(), time()).prop_map(|(queue, namespace, name, policy, at)| {
            Record::QueueCreated(Box::new(QueueCreated { queue, namespace, name, policy, at }))
        }),
        (queue(), queue_policy(), time()).prop_map(|(queue, policy, at)| Record::QueueChanged {
            queue,
            policy: Box::new(policy),
            at
        }),
        queue().prop_map(|queue| Record::QueueDeleted { queue }),
        (name(), name(), exchange_policy()).prop_map(|(namespace, name, policy)| {
            Record::ExchangeCreated { namespace, name, policy: Box::new(policy) }
        }),
        (name(), name()).prop_map(|(namespace, name)| Record::ExchangeDeleted { namespace, name }),
        (name(), binding(), any::<bool>()).prop_map(|(namespace, binding, durable)| Record::Bound {
            namespace,
            binding,
            durable
        }),
        (name(), binding()).prop_map(|(namespace, binding)| Record::Unbound { namespace, binding }),
        (name(), name(), time(), time()).prop_map(|(namespace, name, at, until)| Record::NameRested {
            namespace,
            name,
            at,
            until
        }),
        transfer(),
    ]
    .boxed()
}

fn message_record() -> BoxedStrategy<Record> {
    let reason = select(vec![Removal::Completed, Removal::Expired, Removal::Dropped, Removal::Deleted]);
    prop_oneof![
        (number(), time(), message(), vec(place(), 0..3), of(overlay()), any::<bool>()).prop_map(
            |(id, at, message, places, overlay, durable)| {
                let places = places.into_iter().collect();
                Record::Enqueued(Box::new(Enqueued {
                    id: MessageId(id),
                    at,
                    message,
                    overlay,
                    places,
                    durable,
                }))
            }
        ),
        (queue(), number(), time(), of(time()), any::<bool>(), runs(), any::<bool>()).prop_map(
            |(queue, fence, at, until, linked, seqs, durable)| {
                Record::Leased(Leased { queue, fence: Fence(fence), at, until, linked, seqs, durable })
            }
        ),
        (queue(), runs(), reason, any::<bool>()).prop_map(|(queue, seqs, reason, durable)| Record::Removed {
            queue,
            seqs,
            reason,
            durable
        }),
        (queue(), runs(), any::<bool>(), of(time()), of(seq()), any::<bool>()).prop_map(
            |(queue, seqs, failed, deliver_at, back, durable)| {
                Record::Released(Released { queue, seqs, failed, deliver_at, back, durable })
            }
        ),
        (queue(), runs(), any::<bool>()).prop_map(|(queue, seqs, durable)| Record::Deferred {
            queue,
            seqs,
            durable
        }),
        (queue(), seq(), time(), any::<bool>()).prop_map(|(queue, seq, until, durable)| Record::Extended {
            queue,
            seq,
            until,
            durable
        }),
        (queue(), seq(), time(), vec(place(), 0..3), overlay(), any::<bool>()).prop_map(
            |(from, seq, at, places, overlay, durable)| {
                let places = places.into_iter().collect();
                Record::Moved(Box::new(Moved { from, seq, at, places, overlay, durable }))
            }
        ),
        (queue(), runs(), queue(), seq(), time(), of(time()), any::<bool>()).prop_map(
            |(from, seqs, to, first, at, expires_at, durable)| {
                Record::Transferred(Transferred { from, seqs, to, first, at, expires_at, durable })
            }
        ),
        (queue(), seq(), message(), any::<bool>())
            .prop_map(|(queue, seq, message, durable)| Record::Edited { queue, seq, message, durable }),
        (queue(), seq(), message(), any::<bool>())
            .prop_map(|(queue, seq, message, durable)| Record::Copied { queue, seq, message, durable }),
        (queue(), name(), any::<bool>(), any::<bool>())
            .prop_map(|(queue, key, held, durable)| Record::KeyHeld { queue, key, held, durable }),
        (any::<u32>(), time()).prop_map(|(generation, at)| Record::Recovered { generation, at }),
    ]
    .boxed()
}

fn entry() -> BoxedStrategy<Item> {
    entry_item().prop_map(|entry| Item::Entry(Box::new(entry))).boxed()
}

/// A page: any numbers, of one queue, none of them in flight.
fn page() -> BoxedStrategy<(QueueId, u64, Vec<EntryItem>)> {
    let of_page = |queue: QueueId, entry: EntryItem| {
        let state = match entry.state {
            MessageState::InFlight => MessageState::Ready,
            state => state,
        };
        EntryItem { queue, state, linked: false, ..entry }
    };
    (queue(), number(), vec(entry_item(), 1..20))
        .prop_map(move |(queue, page, entries)| {
            (queue, page, entries.into_iter().map(|entry| of_page(queue, entry)).collect())
        })
        .boxed()
}

fn page_item() -> BoxedStrategy<Item> {
    (page(), number(), any::<u32>())
        .prop_map(|((queue, page, entries), position, len_bytes)| Item::Page {
            queue,
            page,
            at: Stored { position, len_bytes },
            summary: Box::new(Summary::of(&small(entries))),
        })
        .boxed()
}

/// Entries whose contents' lengths can be added up.
fn small(mut entries: Vec<EntryItem>) -> Vec<EntryItem> {
    entries.iter_mut().for_each(|entry| entry.content.len_bytes %= 1000);
    entries
}

fn entry_item() -> BoxedStrategy<EntryItem> {
    use MessageState::{Deferred, InFlight, Ready, Scheduled};
    let state = select(vec![Ready, Scheduled, InFlight, Deferred]);
    (
        (queue(), seq(), number(), number(), any::<u32>(), any::<u32>(), time()),
        (of(time()), any::<u32>(), any::<u32>(), state, of(time()), of(time())),
        (number(), any::<u8>(), of(name()), of(overlay()), any::<bool>()),
    )
        .prop_map(|(a, b, c)| EntryItem {
            queue: a.0,
            seq: a.1,
            id: MessageId(a.2),
            content: Stored { position: a.3, len_bytes: a.4 },
            envelope_bytes: a.5,
            enqueued_at: a.6,
            first_acquired_at: b.0,
            acquired: b.1,
            failed: b.2,
            state: b.3,
            until: b.4,
            expires_at: b.5,
            fence: Fence(c.0),
            linked: c.4,
            priority: c.1,
            key: c.2,
            overlay: c.3,
        })
        .boxed()
}

fn item() -> BoxedStrategy<Item> {
    let dedup =
        (name(), number(), seq(), time()).prop_map(|(name, id, seq, t)| (name, MessageId(id), seq, t));
    prop_oneof![
        (any::<u32>(), number(), any::<u32>()).prop_map(|(next_queue, next_message, generation)| {
            Item::Machine { next_queue, next_message, generation }
        }),
        catalog_record().prop_map(Item::Catalog),
        (queue(), seq(), number(), vec(name(), 0..3), vec(dedup, 0..3)).prop_map(
            |(queue, next_seq, fence, held_keys, dedup)| Item::Queue {
                queue,
                next_seq,
                last_fence: Fence(fence),
                held_keys,
                dedup
            }
        ),
        entry(),
        page_item(),
    ]
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn records_are_read_back(record in prop_oneof![message_record(), catalog_record()], before in 0..9usize) {
        let mut buf = vec![0xaa; before];
        let range = encode(&record, &mut buf);
        let bytes = Bytes::from(buf.split_off(before));
        let (copied, copied_range) = decode(&bytes).unwrap();
        let (shared, shared_range) = decode_shared(&bytes).unwrap();
        prop_assert_eq!(&copied, &record);
        prop_assert_eq!(&shared, &record);
        prop_assert_eq!(copied_range, range);
        prop_assert_eq!(shared_range, range);
        let message = match &record {
            Record::Enqueued(enqueued) => Some(&enqueued.message),
            Record::Edited { message, .. } | Record::Copied { message, .. } => Some(message),
            _ => None,
        };
        let located = range.map(|range| {
            let from = range.offset as usize;
            &bytes[from..from + range.len_bytes as usize]
        });
        prop_assert_eq!(located, message.map(|message| &message.content()[..]));
        for cut in 0..bytes.len() {
            prop_assert!(decode(&bytes[..cut]).is_err(), "cut at {} and not noticed", cut);
        }
        let longer = [&bytes[..], &[0]].concat();
        let trailing = DecodeError { offset: bytes.len(), defect: Defect::Trailing };
        prop_assert_eq!(decode(&longer).unwrap_err(), trailing);
    }

    #[test]
    fn pages_are_read_back(page in page(), before in 0..9usize) {
        let (queue, number, entries) = page;
        let mut buf = vec![0xaa; before];
        let record = Record::PageWritten { queue, page: number, entries: entries.clone() };
        let range = encode(&record, &mut buf).unwrap();
        let bytes = buf.split_off(before);
        prop_assert_eq!(decode(&bytes).unwrap(), (record, Some(range)));
        // It is read alone, too.
        let from = range.offset as usize;
        let alone = &bytes[from..from + range.len_bytes as usize];
        prop_assert_eq!(decode_page(alone).unwrap(), entries);
        for at in 0..alone.len() {
            let mut damaged = alone.to_vec();
            damaged[at] ^= 1;
            prop_assert!(decode_page(&damaged).is_err(), "damage at {} and not noticed", at);
            prop_assert!(decode_page(&alone[..at]).is_err(), "cut at {} and not noticed", at);
        }
    }

    #[test]
    fn items_are_read_back(item in item()) {
        let mut buf = Vec::new();
        encode_item(&item, &mut buf);
        prop_assert_eq!(decode_item(&buf).unwrap(), item);
        for cut in 0..buf.len() {
            prop_assert!(decode_item(&buf[..cut]).is_err(), "cut at {} and not noticed", cut);
        }
    }

    #[test]
    fn soup_is_no_panic(kind in 0..30u8, soup in vec(any::<u8>(), 0..120)) {
        let bytes = [&[kind], &soup[..]].concat();
        if let Ok((record, range)) = decode(&bytes) {
            let (again, _) = decode_shared(&Bytes::from(bytes.clone())).unwrap();
            // A soup that is a record stays one (compared by its bytes: it may hold numbers that are none).
            let (mut one, mut two) = (Vec::new(), Vec::new());
            prop_assert_eq!(encode(&record, &mut one).map(|r| r.len_bytes), range.map(|r| r.len_bytes));
            encode(&again, &mut two);
            prop_assert_eq!(one, two);
        }
        let _ = decode_item(&bytes);
    }

    #[test]
    fn flipped_bytes_are_no_panic(record in message_record(), at in any::<prop::sample::Index>(), with in 1..=255u8) {
        let mut buf = Vec::new();
        encode(&record, &mut buf);
        let at = at.index(buf.len());
        buf[at] ^= with;
        let _ = decode(&buf);
    }
}

/// The bytes that `docs/formats/records.md` shows. If this fails, old journals can no longer be read.
#[test]
fn bytes_are_as_documented() {
    let place = Place {
        queue: QueueId(1),
        seq: Seq(300),
        priority: 0,
        expires_at: None,
        deliver_at: None,
        key: None,
        dedup: None,
    };
    let message = Message::new(Bytes::from_static(b"\x01\x11body"), 2);
    let enqueued = Enqueued {
        id: MessageId(7),
        at: Time(1000),
        message,
        overlay: None,
        places: std::iter::once(place).collect(),
        durable: true,
    };
    let mut buf = Vec::new();
    let range = encode(&Record::Enqueued(Box::new(enqueued)), &mut buf).unwrap();
    assert_eq!(buf, b"\x10\x01\x07\xe8\x07\x01\x00\x01\xac\x02\x02\x06\x01\x11body");
    assert_eq!(range, ContentRange { offset: 12, len_bytes: 6 });

    buf.clear();
    let mut seqs = Runs::default();
    [300, 301, 302, 299].into_iter().for_each(|seq| seqs.push(Seq(seq)));
    let leased = Leased {
        queue: QueueId(1),
        fence: Fence(9),
        at: Time(1000),
        until: Some(Time(31_000)),
        linked: false,
        seqs: seqs.clone(),
        durable: true,
    };
    encode(&Record::Leased(leased), &mut buf);
    assert_eq!(buf, b"\x11\x03\x01\x09\xe8\x07\x98\xf2\x01\x02\xd8\x04\x03\x07\x01");

    buf.clear();
    encode(&Record::Removed { queue: QueueId(1), seqs, reason: Removal::Deleted, durable: true }, &mut buf);
    assert_eq!(buf, b"\x12\x07\x01\x02\xd8\x04\x03\x07\x01");
}

#[test]
fn damage_is_named_with_its_offset() {
    let error = decode(&[200]).unwrap_err();
    assert_eq!(error, DecodeError { offset: 0, defect: Defect::UnknownKind(200) });
    let error = decode(&[kind::LEASED, 0x80]).unwrap_err();
    assert_eq!(error, DecodeError { offset: 1, defect: Defect::UnknownBits(0x80) });
    let error = decode(&[kind::KEY_HELD, 1, 1, 1, 0xff]).unwrap_err();
    assert_eq!(error, DecodeError { offset: 3, defect: Defect::NotUtf8 });
    assert!(error.to_string().contains("at byte 3"), "{error}");
    let future = [kind::QUEUE_CHANGED, 1, 1, 0x80, 0x80, 0x80, 0x80, 0x01];
    assert!(matches!(decode(&future).unwrap_err().defect, Defect::UnknownBits(_)));
    // A claim of 2^60 runs or a run beyond the last number costs nothing and is refused.
    let claim = [kind::REMOVED, 1, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
    assert_eq!(decode(&claim).unwrap_err().defect, Defect::Truncated);
    let beyond = [kind::REMOVED, 1, 1, 1, 1, 5];
    assert!(matches!(decode(&beyond).unwrap_err().defect, Defect::BadValue("run of numbers")));
}

#[test]
fn a_head_tells_where_a_long_content_is_and_has_its_envelope() {
    let message = Message::new(Bytes::from_static(b"envelope, and the body behind it"), 8);
    let record = Record::Copied { queue: QueueId(1), seq: Seq(2), message, durable: true };
    let mut buf = Vec::new();
    encode(&record, &mut buf);
    let (whole, range) = decode_head(&buf, 32).unwrap();
    assert_eq!((whole, range), decode(&buf).unwrap());
    let (head, range) = decode_head(&buf, 31).unwrap();
    let Record::Copied { message, .. } = head else { panic!("another record") };
    assert_eq!((&message.content()[..], message.envelope_bytes()), (&b"envelope"[..], 8));
    assert_eq!(range.unwrap().len_bytes, 32);
}
