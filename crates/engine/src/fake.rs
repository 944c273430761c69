//! A stand-in for the core in this crate's unit tests: one queue, first in first out, one consumer; and it breaks when told to.
//! The real core is used in `tests/`.

use std::collections::VecDeque;

use baton_core::machine::{Sizes, Totals};
use baton_core::record::{Enqueued, Leased, Place, Record, Removal, Runs};
use baton_core::snapshot::{EntryItem, Item};
use baton_core::{Context, Effect, Held, Load, Needs, Rewrite, Stored, Unreadable};
use baton_model::request::MessageState;
use baton_model::{
    ConnectionId, ConsumerId, Delivery, DeliveryRef, Event, Fence, LinkId, Message, MessageId, Publish,
    PublishOutcome, QueueId, Reply, Request, Seq, Time,
};

const QUEUE: QueueId = QueueId(1);

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    seq: u64,
    message: Option<Message>,
    envelope_bytes: u32,
    stored: Stored,
    leased: bool,
}

/// See the top of this file. Keys of publishes are commands: `panic` breaks it, `timer` sets its timer 1 s ahead, `transient` stores nothing,
/// `evict` keeps the content in the journal only.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    entries: VecDeque<Entry>,
    next_seq: u64,
    consumer: Option<(ConnectionId, u32)>,
    in_flight: u32,
    timer: Option<Time>,
    pub(crate) generation: u32,
    pub(crate) paused: bool,
}

impl Machine {
    pub(crate) fn new(_seed: u64) -> Self {
        Self { next_seq: 1, ..Self::default() }
    }

    pub(crate) fn catalog_version(&self) -> u64 {
        0
    }

    pub(crate) fn set_resident_bytes_max(&mut self, _: u64) {}

    pub(crate) fn set_index_messages_max(&mut self, _: u64) {}

    #[expect(clippy::unnecessary_wraps, reason = "the core's can fail")]
    pub(crate) fn apply(
        &mut self,
        record: Record,
        content: Option<Stored>,
        _: &mut dyn Load,
    ) -> Result<(), Unreadable> {
        self.fold(record, content);
        Ok(())
    }

    fn fold(&mut self, record: Record, content: Option<Stored>) {
        match record {
            Record::Enqueued(enqueued) => {
                let seq = enqueued.places[0].seq.0;
                self.next_seq = seq + 1;
                self.entries.push_back(Entry {
                    seq,
                    envelope_bytes: enqueued.message.envelope_bytes(),
                    message: Some(enqueued.message),
                    stored: content.expect("it has one"),
                    leased: false,
                });
            }
            Record::Leased(leased) => {
                for seq in leased.seqs.iter() {
                    self.entries.iter_mut().find(|e| e.seq == seq.0).unwrap().leased = true;
                }
            }
            Record::Removed { seqs, .. } => {
                self.entries.retain(|entry| seqs.iter().all(|seq| seq.0 != entry.seq));
            }
            Record::Recovered { generation, .. } => {
                self.generation = generation;
                self.entries.iter_mut().for_each(|entry| entry.leased = false);
            }
            other => panic!("the fake knows no {other:?}"),
        }
    }

    pub(crate) fn unfinished(&self) -> bool {
        false
    }

    pub(crate) fn held(&mut self, in_use: &mut dyn FnMut(Held), _: &mut dyn FnMut(Held)) {
        self.entries.iter().for_each(|entry| in_use(entry.stored.into()));
    }

    pub(crate) fn rewrite(&mut self, _: &mut Rewrite, _: u64, _: &mut Context<'_>) -> bool {
        true
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals { published: self.next_seq - 1, ..Totals::default() }
    }

    pub(crate) fn sizes(&self) -> Sizes {
        Sizes { messages: self.entries.len(), ..Sizes::default() }
    }

    pub(crate) fn connect(&mut self, _: ConnectionId) {}

    pub(crate) fn disconnect(&mut self, _: Time, connection: ConnectionId, _: &mut Context<'_>) {
        if self.consumer.is_some_and(|(consumer, _)| consumer == connection) {
            self.consumer = None;
            self.in_flight = 0;
            self.entries.iter_mut().for_each(|entry| entry.leased = false);
        }
    }

    pub(crate) fn pause(&mut self, _: ConnectionId, paused: bool) {
        self.paused = paused;
    }

    pub(crate) fn step(
        &mut self,
        now: Time,
        connection: ConnectionId,
        request: Request,
        cx: &mut Context<'_>,
    ) {
        let mut emit = |needs: Option<u64>, event| {
            cx.effects.push(Effect { connection, event, needs: needs.into() });
        };
        match request {
            Request::Publish(publish) => self.publish(now, connection, *publish, cx),
            Request::Subscribe(subscribe) => {
                self.consumer = Some((connection, subscribe.window.unwrap_or(u32::MAX)));
                let reply = Reply::Subscribed { consumer: subscribe.consumer, session: None };
                emit(None, Event::Reply { token: subscribe.token, result: Ok(reply) });
            }
            Request::Settle(settle) => {
                let seqs: Runs = settle.deliveries.iter().map(|delivery| delivery.seq).collect();
                self.in_flight -= u32::try_from(seqs.count()).unwrap();
                for seq in seqs.iter() {
                    cx.store.free(self.entries.iter().find(|e| e.seq == seq.0).unwrap().stored.into());
                }
                let removed =
                    Record::Removed { queue: QUEUE, seqs, reason: Removal::Completed, durable: true };
                let end = cx.store.append(&removed).end;
                self.fold(removed, None);
                if let Some(token) = settle.token {
                    let event = Event::Settled { token, stale: Vec::new() };
                    cx.effects.push(Effect { connection, event, needs: Some(end).into() });
                }
            }
            Request::Open { token, .. } => emit(None, Event::Reply { token, result: Ok(Reply::Opened) }),
            // What is in it is of no interest here.
            Request::Group { token, .. } => emit(None, Event::Reply { token, result: Ok(Reply::Done) }),
            other => panic!("the fake knows no {other:?}"),
        }
    }

    fn publish(&mut self, now: Time, connection: ConnectionId, publish: Publish, cx: &mut Context<'_>) {
        let mut emit = |needs: Option<u64>, event| {
            cx.effects.push(Effect { connection, event, needs: needs.into() });
        };
        assert!(publish.key != "panic", "told to break");
        if publish.key == "timer" {
            self.timer = Some(now.after_ms(1000));
        }
        let id = MessageId(self.next_seq);
        let seq = Seq(self.next_seq);
        let accepted = PublishOutcome::Accepted { id, seq, queues: 1 };
        if publish.key == "transient" {
            let token = publish.token;
            return emit(None, Event::Published { token, outcome: accepted });
        }
        let place = Place {
            queue: QUEUE,
            seq,
            priority: 0,
            expires_at: None,
            deliver_at: None,
            key: None,
            dedup: None,
        };
        let places = std::iter::once(place).collect();
        let (message, overlay) = (publish.message, None);
        let record =
            Record::Enqueued(Box::new(Enqueued { id, at: now, message, overlay, places, durable: true }));
        let appended = cx.store.append(&record);
        self.fold(record, appended.content);
        if publish.key == "evict" {
            self.entries.back_mut().unwrap().message = None;
        }
        if publish.confirm {
            let event = Event::Published { token: publish.token, outcome: accepted };
            emit(Some(appended.end), event);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.timer
    }

    pub(crate) fn tick(&mut self, _: Time, cx: &mut Context<'_>) {
        self.timer = None;
        if let Some((connection, _)) = self.consumer {
            let event = Event::Blocked { reason: Some("the timer".into()) };
            cx.effects.push(Effect { connection, event, needs: Needs::default() });
        }
    }

    pub(crate) fn dispatch(&mut self, now: Time, cx: &mut Context<'_>) {
        let Some((connection, window)) = self.consumer else { return };
        let mut seqs = Runs::default();
        for entry in self.entries.iter_mut().filter(|entry| !entry.leased) {
            if self.in_flight >= window || self.paused {
                break;
            }
            let message = match &entry.message {
                Some(message) => message.clone(),
                None => {
                    let Some(content) = cx.store.load(entry.stored) else { break };
                    Message::new(content, entry.envelope_bytes)
                }
            };
            entry.leased = true;
            self.in_flight += 1;
            seqs.push(Seq(entry.seq));
            let needs = Some(entry.stored.position + u64::from(entry.stored.len_bytes));
            let delivery = Delivery {
                at: DeliveryRef { queue: QUEUE, seq: Seq(entry.seq), fence: Fence(1) },
                consumer: ConsumerId(1),
                link: LinkId(1),
                id: MessageId(entry.seq),
                message,
                acquired: 1,
                failed: 0,
                redelivered: false,
                enqueued_at: now,
                first_acquired_at: None,
                lease_until: None,
                overlay: None,
            };
            cx.effects.push(Effect {
                connection,
                event: Event::Delivered(Box::new(delivery)),
                needs: needs.into(),
            });
        }
        if !seqs.is_empty() {
            let (queue, fence, at) = (QUEUE, Fence(1), now);
            let leased = Leased { queue, fence, at, until: None, linked: true, seqs, durable: true };
            cx.store.append(&Record::Leased(leased));
        }
    }

    pub(crate) fn recovered(&mut self, now: Time, cx: &mut Context<'_>) {
        let record = Record::Recovered { generation: self.generation + 1, at: now };
        cx.store.append(&record);
        self.fold(record, None);
    }

    #[expect(clippy::unnecessary_wraps, reason = "the core's can fail")]
    pub(crate) fn restore(&mut self, item: Item, _: &mut dyn Load) -> Result<(), Unreadable> {
        match item {
            Item::Machine { next_message, generation, .. } => {
                self.next_seq = next_message;
                self.generation = generation;
            }
            Item::Entry(entry) => self.entries.push_back(Entry {
                seq: entry.seq.0,
                message: None,
                envelope_bytes: entry.envelope_bytes,
                stored: entry.content,
                leased: entry.state == MessageState::InFlight,
            }),
            other => panic!("the fake knows no {other:?}"),
        }
        Ok(())
    }

    pub(crate) fn snapshot(&self, each: &mut dyn FnMut(Item)) {
        each(Item::Machine { next_queue: 2, next_message: self.next_seq, generation: self.generation });
        for entry in &self.entries {
            each(Item::Entry(Box::new(EntryItem {
                queue: QUEUE,
                seq: Seq(entry.seq),
                id: MessageId(entry.seq),
                content: entry.stored,
                envelope_bytes: entry.envelope_bytes,
                enqueued_at: Time(1),
                first_acquired_at: None,
                acquired: 0,
                failed: 0,
                state: if entry.leased { MessageState::InFlight } else { MessageState::Ready },
                until: None,
                expires_at: None,
                fence: Fence(1),
                linked: true,
                priority: 0,
                key: None,
                overlay: None,
            })));
        }
    }
}
