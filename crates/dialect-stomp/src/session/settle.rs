//! ACK and NACK. Not here: the numbers of deliveries (`unacked`), transactions (`tx`), and that settlements which follow each
//! other become one request (`baton_dialect::settling`).

use baton_dialect::Output;
use baton_model::request::Settle;
use baton_model::{ConsumerId, MessageId, Outcome, Request};
use smallvec::SmallVec;

use super::StompSession;
use super::failure::Failure;
use super::queue::flag;
use super::steps::{Op, Receipt};
use super::subscribe::AckMode;
use super::unacked::Taken;
use crate::frame::{Command, Frame};

/// What every message's id begins with.
pub(super) const MESSAGE_ID_PREFIX: &[u8] = b"ID:baton-";

/// The same as versions with escapes write it.
pub(super) const MESSAGE_ID_PREFIX_ESCAPED: &[u8] = b"ID\\cbaton-";

/// Which delivery is meant.
struct Meant {
    consumer: ConsumerId,
    tag: u64,
}

impl StompSession {
    pub(super) fn settle(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<(), Failure> {
        let receipt = frame.headers.get(b"receipt").map(Receipt::from_slice);
        let transaction = frame.headers.get(b"transaction");
        let outcome = outcome(frame)?;
        let Some(meant) = self.meant(frame)? else {
            // Its subscription is over: the message went back when it ended.
            self.finish(receipt, out);
            return Ok(());
        };
        let Some(subscription) = self.subscriptions.get_mut(&meant.consumer) else { return Ok(()) };
        let planned = transaction.is_some();
        let mut taken: SmallVec<[Taken; 4]> = SmallVec::new();
        let found = match subscription.ack {
            AckMode::Client => subscription.unacked.take_upto(meant.tag, planned, |one| taken.push(one)),
            _ => subscription.unacked.take(meant.tag, planned).map(|one| taken.push(one)),
        };
        if found.is_err() {
            return Err(unknown(frame));
        }
        if let Some(transaction) = transaction {
            self.plan_settle(transaction, meant.consumer, &taken, &outcome)?;
            self.finish(receipt, out);
            return Ok(());
        }
        let deliveries = taken.iter().filter_map(|taken| taken.at);
        let Some(receipt) = receipt else {
            for delivery in deliveries {
                self.settling.add(delivery, &outcome, out);
            }
            return Ok(());
        };
        // Whoever has the receipt may rely on it: it waits until the settlement is on stable storage.
        let token = self.steps.ask(Some(receipt), Op::Nothing);
        let deliveries = deliveries.collect();
        self.submit(Request::Settle(Settle { token: Some(token), deliveries, outcome }), out);
        Ok(())
    }

    /// The delivery that a frame names: 1.2 by `id`, which is the message's `ack` header; before that by `message-id`, in
    /// 1.1 with `subscription`. Since libraries mix them up, each version takes what it can make sense of.
    fn meant(&self, frame: &Frame<'_>) -> Result<Option<Meant>, Failure> {
        let headers = &frame.headers;
        let id = headers.text(b"id")?;
        let id = match id {
            Some(id) => Some(id),
            None => headers.text(b"message-id")?,
        };
        let Some(id) = id else {
            return Err(Failure::missing(
                frame.command.as_str(),
                "id (of the message's 'ack' header) or message-id",
            ));
        };
        if let Some((consumer, tag)) = parse_ack(&id) {
            if consumer.0 >= self.next_consumer {
                return Err(unknown(frame));
            }
            return Ok(self.subscriptions.contains_key(&consumer).then_some(Meant { consumer, tag }));
        }
        let message = parse_message_id(&id).ok_or_else(|| unknown(frame))?;
        let subscription = headers.get(b"subscription");
        let named = subscription.and_then(|id| self.by_id.get(id));
        let found = match (subscription, named) {
            (Some(_), None) => return Err(unknown_subscription(frame)),
            (_, Some(consumer)) => {
                let found = self.subscriptions.get(consumer).and_then(|one| one.find(message));
                found.map(|tag| Meant { consumer: *consumer, tag })
            }
            (None, None) => self
                .subscriptions
                .iter()
                .find_map(|(consumer, one)| one.find(message).map(|tag| Meant { consumer: *consumer, tag })),
        };
        found.map(Some).ok_or_else(|| unknown(frame))
    }
}

/// ACK completes; NACK gives back, or with `requeue:false` dead-letters, as RabbitMQ. Giving back is no failed attempt there.
fn outcome(frame: &Frame<'_>) -> Result<Outcome, Failure> {
    if frame.command == Command::Ack {
        return Ok(Outcome::Complete);
    }
    match frame.headers.get(b"requeue") {
        Some(requeue) if !flag("requeue", requeue)? => Ok(Outcome::Reject { reason: None }),
        _ => Ok(Outcome::Release { failed: false, delay_ms: None }),
    }
}

fn unknown(frame: &Frame<'_>) -> Failure {
    let command = frame.command.as_str();
    Failure::new(
        "message not found",
        format!(
            "{command} names a message that this connection does not hold: settled before, of an ack:auto subscription, or of another connection; acknowledge each message once, by its 'ack' header in STOMP 1.2, by its 'message-id' before"
        ),
    )
}

fn unknown_subscription(frame: &Frame<'_>) -> Failure {
    let command = frame.command.as_str();
    Failure::new(
        "subscription not found",
        format!(
            "{command} names a subscription that this connection does not have; its header must be that of the message"
        ),
    )
}

/// Reads `consumer-tag`.
fn parse_ack(id: &[u8]) -> Option<(ConsumerId, u64)> {
    let dash = memchr::memchr(b'-', id)?;
    let (consumer, tag) = id.split_at(dash);
    let consumer = u32::try_from(digits(consumer)?).ok()?;
    Some((ConsumerId(consumer), digits(tag.get(1..)?)?))
}

/// An escape is read where there should be none: go-stomp writes them in 1.0 too, and who does not undo ours escapes them again.
fn parse_message_id(id: &[u8]) -> Option<MessageId> {
    let number = id.strip_prefix(MESSAGE_ID_PREFIX).or_else(|| id.strip_prefix(MESSAGE_ID_PREFIX_ESCAPED))?;
    digits(number).map(MessageId)
}

fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        assert_eq!(parse_ack(b"3-12"), Some((ConsumerId(3), 12)));
        for id in [&b""[..], b"3", b"-", b"3-", b"-1", b"3-x", b"99999999999-1", b"3-99999999999999999999999"]
        {
            assert_eq!(parse_ack(id), None);
        }
        assert_eq!(parse_message_id(b"ID:baton-77"), Some(MessageId(77)));
        assert_eq!(parse_message_id(b"ID\\cbaton-77"), Some(MessageId(77)));
        assert_eq!(parse_message_id(b"77"), None);
    }
}
