//! Where each event of the engine goes. Not here: what becomes of it.

use baton_dialect::Output;
use baton_model::event::CancelReason;
use baton_model::{ConsumerId, Event, Time};

use super::connection::Phase;
use super::failure::Failure;
use super::steps::Answer;
use super::token::Origin;
use super::{AmqpSession, token};
use crate::methods::basic;

impl AmqpSession {
    pub(super) fn on_event(&mut self, now: Time, event: Event, out: &mut Output) {
        if matches!(self.phase, Phase::Closing | Phase::Gone) {
            return;
        }
        match event {
            Event::Delivered(delivery) => self.deliver(&delivery, out),
            Event::Published { token, outcome } => self.published(token, &outcome, out),
            Event::Returned { token, exchange, key, message } => {
                self.return_message(token, &exchange, &key, &message, out);
            }
            Event::Reply { token, result } => match token::origin(token) {
                Origin::Ask { link, serial } if token::channel_of(link) == 0 => {
                    self.connection_answered(serial, result, out);
                    self.resume(now, out);
                }
                Origin::Ask { link, serial } => self.answered(link, serial, Answer::Reply(result), out),
                Origin::Publish { .. } => {}
            },
            Event::Fetched { token, result } => {
                if let Origin::Ask { link, serial } = token::origin(token) {
                    self.answered(link, serial, Answer::Fetched(result), out);
                }
            }
            Event::Cancelled { consumer, reason } => self.cancelled(consumer, reason, out),
            Event::LeaseEnded { link, delivery } => {
                let number = token::channel_of(link);
                if let Some(channel) = self.channel(number).filter(|channel| channel.link == link) {
                    channel.unacked.lease_ended(delivery);
                }
            }
            Event::Blocked { reason } => self.blocked(reason.as_ref(), out),
            Event::Closing { reason } => self.shut_down(&reason, out),
            // Settlements ask for no answer, and nobody listens.
            Event::Settled { .. } | Event::Heard { .. } => {}
        }
    }

    /// A consumer ended without having asked to.
    fn cancelled(&mut self, id: ConsumerId, reason: CancelReason, out: &mut Output) {
        let Some(consumer) = self.consumers.get(&id) else { return };
        let (number, tag, stopping) =
            (token::channel_of(consumer.link), consumer.tag.clone(), consumer.stopping);
        self.forget_consumer(id);
        if stopping {
            return;
        }
        if self.client.wants_cancel {
            // Behind what the channel waits for: whoever deletes the queue itself hears of that first, as in RabbitMQ.
            self.answer(number, basic::Cancel { consumer_tag: tag, no_wait: true }, out);
        } else if reason == CancelReason::TooSlow {
            let text = format!(
                "delivery acknowledgement on channel {number} timed out. This timeout can be configured per queue and consumer with x-consumer-timeout"
            );
            self.fail(number, Failure::precondition(text), out);
        }
    }
}
