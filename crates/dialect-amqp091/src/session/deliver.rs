//! Messages out: deliveries, answers to `basic.get`, returned messages; from the envelope to the wire in one pass.

use baton_dialect::Output;
use baton_model::event::{Delivery, Fetched};
use baton_model::value::ListRef;
use baton_model::{Message, Name, Overlay, Refusal, Token, ValueRef as Neutral};

use super::channel::ChannelState;
use super::envelope::{Address, Shown, put_properties, take_address};
use super::failure::{Failure, refused};
use super::steps::Op;
use super::token::Origin;
use super::{AmqpSession, token, write};
use crate::codes::ReplyCode;
use crate::content::{DeliverRef, write_content_to};
use crate::error::EncodeError;
use crate::methods::basic;
use crate::short_str::{ShortRef, ShortStr};

impl AmqpSession {
    /// A message for a consumer.
    pub(super) fn deliver(&mut self, delivery: &Delivery, out: &mut Output) {
        let counting = self.counts(delivery);
        let Some(consumer) = self.consumers.get_mut(&delivery.consumer) else { return };
        let number = token::channel_of(consumer.link);
        let slot = self.slots.get_mut(usize::from(number)).and_then(|slot| slot.channel.as_deref_mut());
        let Some(channel) = slot.filter(|channel| channel.link == consumer.link) else { return };
        let delivery_tag = if consumer.no_ack {
            consumer.delivered(delivery.consumer, &mut self.replenishing);
            channel.unacked.skip()
        } else {
            channel.unacked.push(delivery.at)
        };
        let envelope = delivery.message.envelope();
        let mut fields = envelope.fields();
        let address = take_address(&mut fields);
        let overlay = delivery.overlay.as_deref();
        let (exchange, routing_key) = sent_by(&address, overlay);
        let method = DeliverRef {
            consumer_tag: consumer.tag.as_short(),
            delivery_tag,
            redelivered: delivery.redelivered,
            exchange,
            routing_key,
        };
        let shown = shown(delivery, &address, counting);
        let max = self.client.frame_bytes_max;
        let written = write_content_to(out, number, max, &method, &delivery.message, |wire| {
            put_properties(wire, fields, &shown);
        });
        if let Err(error) = written {
            self.cannot_write(&error, out);
        }
    }

    /// The answer to a `basic.get`.
    pub(super) fn got(
        &mut self,
        number: u16,
        op: &Op,
        result: Result<Fetched, Refusal>,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let Op::Get { queue, no_ack } = op else { return Ok(()) };
        let fetched = result.map_err(|refusal| refused(&refusal, queue, &self.client.vhost))?;
        let Some(delivery) = fetched.deliveries.first() else {
            write(out, number, &basic::GetEmpty::default());
            return Ok(());
        };
        let counting = self.counts(delivery);
        let channel = self.opened(number)?;
        let delivery_tag = if *no_ack { channel.unacked.skip() } else { channel.unacked.push(delivery.at) };
        let envelope = delivery.message.envelope();
        let mut fields = envelope.fields();
        let address = take_address(&mut fields);
        let (exchange, routing_key) = sent_by(&address, delivery.overlay.as_deref());
        let method = basic::GetOk {
            delivery_tag,
            redelivered: delivery.redelivered,
            exchange: kept(exchange),
            routing_key: kept(routing_key),
            message_count: u32::try_from(fetched.remaining).unwrap_or(u32::MAX),
        };
        let shown = shown(delivery, &address, counting);
        let max = self.client.frame_bytes_max;
        let written = write_content_to(out, number, max, &method, &delivery.message, |wire| {
            put_properties(wire, fields, &shown);
        });
        if let Err(error) = written {
            self.cannot_write(&error, out);
        }
        Ok(())
    }

    /// A mandatory message that reached no queue goes back.
    pub(super) fn return_message(
        &mut self,
        token: Token,
        exchange: &Name,
        key: &Name,
        message: &Message,
        out: &mut Output,
    ) {
        let Origin::Publish { channel: number, seq } = token::origin(token) else { return };
        let Some(channel) = self.channel(number) else { return };
        let open = matches!(channel.state, ChannelState::Open | ChannelState::Doomed);
        if !open || seq <= channel.published_before {
            return;
        }
        let method = basic::Return {
            reply_code: ReplyCode::NoRoute.code(),
            reply_text: ShortStr::from_static(ReplyCode::NoRoute.name()),
            exchange: ShortStr::truncated(exchange),
            routing_key: ShortStr::truncated(key),
        };
        let envelope = message.envelope();
        let mut fields = envelope.fields();
        take_address(&mut fields);
        let max = self.client.frame_bytes_max;
        let written = write_content_to(out, number, max, &method, message, |wire| {
            put_properties(wire, fields, &Shown::default());
        });
        if let Err(error) = written {
            self.cannot_write(&error, out);
        }
    }

    /// Headers that do not fit into the frames the client agreed to cannot be split: the message cannot be sent to it.
    fn cannot_write(&mut self, error: &EncodeError, out: &mut Output) {
        self.fail_connection(&Failure::new(ReplyCode::ResourceError, error.to_string()), out);
    }

    /// Whether the delivery's queue is of a type that shows its counters.
    fn counts(&self, delivery: &Delivery) -> bool {
        (delivery.failed > 0 || delivery.acquired > 1) && self.counting.contains(&delivery.at.queue)
    }
}

/// Exchange and key to show: those of the last hop. What other protocols allow beyond 255 bytes is cut off.
fn sent_by<'a>(address: &Address<'a>, overlay: Option<&'a Overlay>) -> (ShortRef<'a>, ShortRef<'a>) {
    let (exchange, key) = match overlay {
        Some(overlay) => {
            (overlay.exchange.as_bytes(), overlay.keys.first().map_or(&b""[..], |key| key.as_bytes()))
        }
        None => (address.exchange, address.key),
    };
    (short(exchange), short(key))
}

fn short(bytes: &[u8]) -> ShortRef<'_> {
    let cut = bytes.get(..crate::limits::SHORT_STRING_BYTES_MAX).unwrap_or(bytes);
    ShortRef::from_bytes(cut).unwrap_or_default()
}

fn kept(text: ShortRef<'_>) -> ShortStr {
    text.as_str().map(ShortStr::truncated).unwrap_or_default()
}

fn shown<'a>(delivery: &'a Delivery, address: &Address<'_>, counting: bool) -> Shown<'a> {
    let overlay = delivery.overlay.as_deref();
    let without_cc = match (overlay, address.keys) {
        (Some(overlay), Some(keys)) => !same_keys(keys, &overlay.keys),
        _ => false,
    };
    Shown {
        overlay,
        delivery_count: Some(delivery.failed).filter(|failed| counting && *failed > 0),
        acquired_count: Some(delivery.acquired.saturating_sub(1)).filter(|before| counting && *before > 0),
        without_cc,
    }
}

fn same_keys(sent: ListRef<'_>, now: &[Name]) -> bool {
    let sent = sent.filter_map(|key| match key {
        Neutral::Str(key) => Some(key),
        _ => None,
    });
    sent.eq(now.iter().map(|key| key.as_bytes()))
}
