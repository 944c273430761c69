//! The load under which the broker is killed: producers with confirms and consumers with acks, each on a connection of
//! its own, all of which end when the broker does. They report to the ledger as they go and judge nothing themselves.
//!
//! A consumer turns its channel into a witness: now and then it publishes a marker to its own queue, behind the acks
//! it has written. When the marker is confirmed, everything that the channel said before it has been processed and is
//! durable, so those acks count as completed. (Same channel and same queue, so that it holds for a broker with one log
//! for each queue, too.)

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ledger::{Ledger, MessageId, Violation};
use super::random::Random;
use super::topology::{EXCHANGE, Topology};
use crate::conn::{CHANNEL, Connection, check_event, read_some, write_all};
use crate::error::Result;
use crate::payload::Payload;
use crate::tally::ConfirmWindow;
use crate::wire::encode::{self, Properties, Route};
use crate::wire::scan::{Confirm, Event, Incoming};
use crate::wire::template::filler;

/// Producers of a life; their numbers come first.
pub const PRODUCERS: u32 = 3;
/// Consumers of a life; their markers' numbers follow.
pub const CONSUMERS: u32 = 6;
/// The producer number of single messages.
pub const CONTROL: u32 = PRODUCERS + CONSUMERS;
/// Small bodies: the test is about order of events, not about bytes.
pub const BODY_BYTES: usize = 160;
/// Producers pause above this many confirmed messages that nobody has acknowledged, so that drains stay short.
const BACKLOG_MAX: u64 = 5_000;
const WINDOW: usize = 64;
const PREFETCH: u16 = 64;
/// Deliveries that a consumer keeps unsettled on purpose, so that a kill finds some in flight.
const HELD_MAX: usize = 16;
/// Acks after which a marker follows.
const ACKS_PER_MARKER: usize = 32;
const POLL: Duration = Duration::from_millis(10);

/// What all workers of a life share.
pub struct Life<'a> {
    /// The broker.
    pub address: SocketAddr,
    /// Which start of the broker this is, from 1.
    pub number: u16,
    /// The run's magic, see `payload`.
    pub magic: u64,
    /// What is known of every message.
    pub ledger: &'a Mutex<Ledger>,
    /// The queues.
    pub topology: &'a Topology,
    /// End without a kill.
    pub stop: AtomicBool,
}

impl Life<'_> {
    /// The ledger, also after a worker panicked: the panic itself is reported by whoever joins.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Encodes one message of `producer` to `queue`, entered into the ledger before it can be sent.
    pub fn put_message(
        &self,
        out: &mut Vec<u8>,
        producer: u32,
        queue: u16,
        through_exchange: bool,
    ) -> MessageId {
        let sequence = self.ledger().publish(producer, queue);
        let mut body = filler(BODY_BYTES);
        Payload { producer, sequence, sent_ns: u64::from(self.number) }.write(self.magic, &mut body);
        let name = self.topology.name(queue);
        let exchange = if through_exchange { EXCHANGE } else { "" };
        let route = Route { exchange, routing_key: name.as_bytes(), mandatory: true };
        encode::publish(out, CHANNEL, route, Properties::default(), &body);
        MessageId { producer, sequence }
    }
}

/// Publishes to random queues until the broker dies or the life is stopped.
///
/// # Errors
/// How the connection ended; expected when the broker was killed.
pub fn produce(life: &Life<'_>, producer: u32, mut random: Random) -> Result<()> {
    let mut conn = Connection::open(life.address)?;
    conn.confirm_select()?;
    conn.set_read_timeout(POLL)?;
    let (stream, mut incoming, mut out) = conn.parts();
    let mut confirms = Confirms::new(WINDOW);
    let queues = u64::try_from(life.topology.queues.len()).unwrap_or(1);
    while !life.stopped() || confirms.outstanding() > 0 {
        let room = if life.stopped() || life.ledger().backlog() > BACKLOG_MAX { 0 } else { confirms.room() };
        // Batches of random size: full windows alone would hide what happens at the edges of a group commit.
        let count = if room == 0 { 0 } else { random.within(1, room as u64) };
        for _ in 0..count {
            let queue = u16::try_from(random.next() % queues).unwrap_or(0);
            let bound = life.topology.queues.get(usize::from(queue)).is_some_and(|queue| queue.bound);
            let id = life.put_message(&mut out, producer, queue, bound && random.chance(50));
            confirms.sent(id);
        }
        write_all(&stream, &out)?;
        out.clear();
        read_some(&mut incoming, &stream)?;
        while let Some(event) = incoming.next_event()? {
            match event {
                Event::Confirm(confirm) => {
                    let settled = confirms.settle(confirm);
                    let mut ledger = life.ledger();
                    settled.into_iter().for_each(|id| ledger.confirm(id));
                }
                Event::Return { body } => note_return(life, body),
                other => check_event(&other)?,
            }
        }
    }
    Ok(())
}

/// A returned message means that its queue or binding is gone.
pub fn note_return(life: &Life<'_>, body: &[u8]) {
    let text = match Payload::read(life.magic, body) {
        Ok(payload) => format!("message {} of producer {} was returned", payload.sequence, payload.producer),
        Err(error) => format!("a message was returned: {error}"),
    };
    life.ledger().violation(Violation::Topology, &text);
}

/// Consumes one queue until the broker dies or the life is stopped; now and then it breaks its own connection and
/// comes back.
///
/// # Errors
/// How the connection ended; expected when the broker was killed.
pub fn consume(life: &Life<'_>, marker_producer: u32, queue: u16, mut random: Random) -> Result<()> {
    while !life.stopped() {
        let mut conn = Connection::open(life.address)?;
        conn.confirm_select()?;
        conn.qos(PREFETCH)?;
        conn.consume(life.topology.name(queue), false)?;
        conn.set_read_timeout(POLL)?;
        let (stream, incoming, out) = conn.parts();
        let mut consumer = Consumer {
            life,
            stream,
            incoming,
            out,
            queue,
            marker_producer,
            acked: Vec::new(),
            messages_acked: 0,
            held: VecDeque::new(),
            markers: Confirms::new(usize::from(PREFETCH)),
            witnessed: VecDeque::new(),
        };
        consumer.run(&mut random)?;
    }
    Ok(())
}

struct Consumer<'a> {
    life: &'a Life<'a>,
    stream: TcpStream,
    incoming: Incoming,
    out: Vec<u8>,
    queue: u16,
    marker_producer: u32,
    /// Acked on this channel and not yet behind a marker.
    acked: Vec<MessageId>,
    /// How many of those are messages of producers: markers alone ask for no further marker.
    messages_acked: usize,
    held: VecDeque<u64>,
    markers: Confirms,
    /// Which acks each outstanding marker is the witness of, oldest first.
    witnessed: VecDeque<(MessageId, Vec<MessageId>)>,
}

impl Consumer<'_> {
    /// Until the broker dies, the life is stopped, or the dice say that the connection breaks.
    fn run(&mut self, random: &mut Random) -> Result<()> {
        loop {
            let quiet = !self.take_events(random)?;
            if self.messages_acked >= ACKS_PER_MARKER || (quiet && self.messages_acked > 0) {
                self.put_marker();
            }
            write_all(&self.stream, &self.out)?;
            self.out.clear();
            if self.life.stopped() || random.next().is_multiple_of(400) {
                return Ok(());
            }
            read_some(&mut self.incoming, &self.stream)?;
        }
    }

    /// Works off what the buffer holds; false when that was nothing.
    fn take_events(&mut self, random: &mut Random) -> Result<bool> {
        let mut any = false;
        while let Some(event) = self.incoming.next_event()? {
            any = true;
            let (tag, redelivered, payload) = match event {
                Event::Deliver(delivery) => {
                    (delivery.tag, delivery.redelivered, Payload::read(self.life.magic, delivery.body))
                }
                Event::Confirm(confirm) => {
                    let settled = self.markers.settle(confirm);
                    self.complete(&settled);
                    continue;
                }
                Event::Return { body } => {
                    note_return(self.life, body);
                    continue;
                }
                other => {
                    check_event(&other)?;
                    continue;
                }
            };
            match payload {
                Ok(payload) => self.decide(tag, redelivered, payload, random),
                Err(error) => {
                    self.life.ledger().violation(Violation::Unknown, &error.to_string());
                    encode::ack(&mut self.out, CHANNEL, tag);
                }
            }
        }
        Ok(any)
    }

    /// Mostly ack; sometimes give back; sometimes keep.
    fn decide(&mut self, tag: u64, redelivered: bool, payload: Payload, random: &mut Random) {
        let id = MessageId { producer: payload.producer, sequence: payload.sequence };
        let choice = random.next() % 100;
        let mut ledger = self.life.ledger();
        ledger.deliver(id, self.queue, redelivered, self.life.number);
        if choice >= 8 {
            ledger.ack(id);
            drop(ledger);
            encode::ack(&mut self.out, CHANNEL, tag);
            self.acked.push(id);
            self.messages_acked += usize::from(!(PRODUCERS..CONTROL).contains(&id.producer));
            return;
        }
        drop(ledger);
        if choice < 4 {
            return encode::nack(&mut self.out, CHANNEL, tag, true);
        }
        self.held.push_back(tag);
        if self.held.len() > HELD_MAX
            && let Some(oldest) = self.held.pop_front()
        {
            encode::nack(&mut self.out, CHANNEL, oldest, true);
        }
    }

    fn put_marker(&mut self) {
        if self.markers.room() == 0 {
            return;
        }
        let id = self.life.put_message(&mut self.out, self.marker_producer, self.queue, false);
        self.markers.sent(id);
        self.witnessed.push_back((id, std::mem::take(&mut self.acked)));
        self.messages_acked = 0;
    }

    fn complete(&mut self, markers: &[MessageId]) {
        let mut ledger = self.life.ledger();
        for marker in markers {
            ledger.confirm(*marker);
            if let Some(at) = self.witnessed.iter().position(|(id, _)| id == marker)
                && let Some((_, acked)) = self.witnessed.remove(at)
            {
                acked.into_iter().for_each(|id| ledger.complete(id));
            }
        }
    }
}

/// The confirms of one channel, by message.
pub struct Confirms {
    window: ConfirmWindow,
    /// Sent and without answer, with the channel's publish count.
    waiting: VecDeque<(u64, MessageId)>,
    published: u64,
}

impl Confirms {
    /// At most `limit` unconfirmed messages.
    pub fn new(limit: usize) -> Confirms {
        Confirms { window: ConfirmWindow::new(limit), waiting: VecDeque::new(), published: 0 }
    }

    /// See [`ConfirmWindow::room`].
    pub fn room(&self) -> usize {
        self.window.room()
    }

    /// Messages without an answer.
    pub fn outstanding(&self) -> u64 {
        self.window.outstanding()
    }

    /// Notes the next publish of the channel.
    pub fn sent(&mut self, id: MessageId) {
        self.window.sent(1);
        self.published += 1;
        self.waiting.push_back((self.published, id));
    }

    /// The messages that this confirm promises; none for a refusal.
    pub fn settle(&mut self, confirm: Confirm) -> Vec<MessageId> {
        self.window.settle(confirm);
        let meant = |tag: u64| {
            if confirm.multiple { confirm.tag == 0 || tag <= confirm.tag } else { tag == confirm.tag }
        };
        let mut settled = Vec::new();
        self.waiting.retain(|(tag, id)| {
            if meant(*tag) {
                settled.push(*id);
            }
            !meant(*tag)
        });
        if confirm.positive { settled } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirms_name_the_messages_they_promise() {
        let id = |sequence| MessageId { producer: 1, sequence };
        let confirm = |tag, multiple, positive| Confirm { tag, multiple, positive };
        let mut confirms = Confirms::new(8);
        (10..15).for_each(|sequence| confirms.sent(id(sequence)));
        assert_eq!(confirms.settle(confirm(2, false, true)), [id(11)]);
        assert_eq!(confirms.settle(confirm(3, true, true)), [id(10), id(12)]);
        assert_eq!(confirms.settle(confirm(4, false, false)), []);
        assert_eq!((confirms.outstanding(), confirms.room()), (1, 7));
        assert_eq!(confirms.settle(confirm(0, true, true)), [id(14)]);
        assert_eq!(confirms.outstanding(), 0);
    }
}
