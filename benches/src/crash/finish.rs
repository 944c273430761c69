//! The end of a crash run: every binding routes, every queue is drained, and after a clean stop nothing comes back.

use std::time::{Duration, Instant};

use super::ledger::{MessageId, Violation};
use super::load::{Confirms, Life, note_return};
use crate::conn::{CHANNEL, Connection, QueueOptions, check_event, read_some, write_all};
use crate::error::{BenchError, Result};
use crate::payload::Payload;
use crate::wire::encode;
use crate::wire::scan::Event;

const POLL: Duration = Duration::from_millis(20);
/// How long a queue must be silent, and say that it is empty, before it counts as drained.
const SILENCE: Duration = Duration::from_millis(400);
/// How long one queue may take to be drained.
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// How long a confirm may take.
const CONFIRM_MAX: Duration = Duration::from_secs(30);

/// Publishes messages on a connection of its own and waits for all confirms. `queues` has the queue of each message;
/// a bound queue is addressed through the exchange.
///
/// # Errors
/// The connection broke, the broker refused a message or did not answer.
pub fn publish_confirmed(life: &Life<'_>, producer: u32, queues: &[u16]) -> Result<()> {
    let mut conn = Connection::open(life.address)?;
    conn.confirm_select()?;
    conn.set_read_timeout(POLL)?;
    let (stream, mut incoming, mut out) = conn.parts();
    let mut confirms = Confirms::new(queues.len());
    for queue in queues {
        let bound = life.topology.queues.get(usize::from(*queue)).is_some_and(|queue| queue.bound);
        confirms.sent(life.put_message(&mut out, producer, *queue, bound));
    }
    write_all(&stream, &out)?;
    let deadline = Instant::now() + CONFIRM_MAX;
    while confirms.outstanding() > 0 {
        if Instant::now() > deadline {
            return Err(BenchError::Run(format!("{} messages were never confirmed", confirms.outstanding())));
        }
        read_some(&mut incoming, &stream)?;
        while let Some(event) = incoming.next_event()? {
            match event {
                Event::Confirm(confirm) if confirm.positive => {
                    let settled = confirms.settle(confirm);
                    let mut ledger = life.ledger();
                    settled.into_iter().for_each(|id| ledger.confirm(id));
                }
                Event::Confirm(_) => return Err(BenchError::Run("a message was refused".to_owned())),
                Event::Return { body } => note_return(life, body),
                other => check_event(&other)?,
            }
        }
    }
    Ok(())
}

/// Drains every queue and acknowledges everything; a clean stop of the broker afterwards keeps those acks. Returns the
/// number of deliveries.
///
/// # Errors
/// A queue cannot be consumed: that is a finding by itself.
pub fn drain_all(life: &Life<'_>) -> Result<u64> {
    let mut deliveries = 0;
    for number in 0..u16::try_from(life.topology.queues.len()).unwrap_or(u16::MAX) {
        let drained = drain(life, number);
        deliveries += drained.map_err(|error| {
            BenchError::Run(format!("queue {} cannot be drained: {error}", life.topology.name(number)))
        })?;
    }
    Ok(deliveries)
}

fn drain(life: &Life<'_>, queue: u16) -> Result<u64> {
    let name = life.topology.name(queue);
    let mut asker = Connection::open(life.address)?;
    let mut conn = Connection::open(life.address)?;
    conn.qos(200)?;
    conn.consume(name, false)?;
    conn.set_read_timeout(POLL)?;
    let (stream, mut incoming, mut out) = conn.parts();
    let (start, mut last, mut deliveries) = (Instant::now(), Instant::now(), 0);
    loop {
        while let Some(event) = incoming.next_event()? {
            let Event::Deliver(delivery) = event else {
                check_event(&event)?;
                continue;
            };
            deliveries += 1;
            last = Instant::now();
            let mut ledger = life.ledger();
            match Payload::read(life.magic, delivery.body) {
                Ok(payload) => {
                    let id = MessageId { producer: payload.producer, sequence: payload.sequence };
                    ledger.deliver(id, queue, delivery.redelivered, life.number);
                    ledger.ack(id);
                }
                Err(error) => ledger.violation(Violation::Unknown, &error.to_string()),
            }
            encode::ack(&mut out, CHANNEL, delivery.tag);
        }
        write_all(&stream, &out)?;
        out.clear();
        if last.elapsed() > SILENCE {
            let state = asker.declare_queue(name, QueueOptions { passive: true, arguments: &[] })?;
            if state.messages == 0 {
                break;
            }
            if start.elapsed() > DRAIN_MAX {
                return Err(BenchError::Run(format!("{} messages stay in it", state.messages)));
            }
        }
        read_some(&mut incoming, &stream)?;
    }
    asker.close()?;
    Ok(deliveries)
}
