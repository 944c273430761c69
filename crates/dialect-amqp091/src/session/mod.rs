//! The server's side of one AMQP 0-9-1 connection: bytes in, requests out; events in, bytes out. A pure state machine
//! behind [`baton_dialect::Session`]; time comes as an argument. Called by the connection driver in `net` and by tests.
//! Not here: the codec (the rest of this crate), queues and routes (`core`), users (`access`).
//!
//! ```text
//! connection.rs  handshake, heartbeats, close     auth.rs       PLAIN and AMQPLAIN
//! channel.rs     channels, their errors           steps.rs      commands that wait for the engine, in their order
//! exchange.rs    exchanges and bindings           queue.rs      queues; arguments.rs: x-arguments and equivalence
//! publish.rs     messages in; envelope.rs, values.rs: properties and headers to and from the neutral envelope
//! confirms.rs    acknowledgements to publishers   deliver.rs    messages out; deaths.rs: x-death
//! consume.rs     consumers, get, qos              settle.rs     ack, nack, reject, recover; unacked.rs: delivery tags
//! tx.rs          transactions                     failure.rs    refusals as close codes and texts
//! events.rs      where each event goes            token.rs      how answers find their way back
//! ```

mod arguments;
mod auth;
mod channel;
mod confirms;
mod connection;
mod consume;
mod deaths;
mod deliver;
mod dispatch;
mod envelope;
mod events;
mod exchange;
mod failure;
pub mod limits;
mod publish;
mod queue;
mod settle;
mod steps;
#[cfg(test)]
mod tests;
mod token;
mod tx;
mod unacked;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use baton_dialect::names::SecretNames;
use baton_dialect::settling::Settling;
use baton_dialect::{Output, Session, SessionContext};
use baton_model::{ConsumerId, Event, Name, QueueId, Request, Time};
use bytes::BytesMut;

use crate::frame::{self, FrameDecoder};
use crate::limits::{FRAME_BYTES_MAX_DEFAULT, MESSAGE_BYTES_MAX_DEFAULT};
use channel::Slot;
use connection::{Client, Phase, Timers};
use consume::Consumer;

/// What can be configured of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionOptions {
    /// Frame size proposed, bytes; clients may choose less.
    pub frame_bytes_max: u32,
    /// Highest channel number proposed, at least 1.
    pub channel_max: u16,
    /// Heartbeat interval proposed, seconds; 0: none unless the client wants some.
    pub heartbeat_s: u16,
    /// Largest body accepted, bytes. The message with its headers is bounded by the session's context as well.
    pub body_bytes_max: u64,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            frame_bytes_max: FRAME_BYTES_MAX_DEFAULT,
            channel_max: limits::CHANNEL_MAX_DEFAULT,
            heartbeat_s: limits::HEARTBEAT_S_DEFAULT,
            body_bytes_max: MESSAGE_BYTES_MAX_DEFAULT,
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct AmqpSession {
    context: SessionContext,
    options: SessionOptions,
    phase: Phase,
    timers: Timers,
    decoder: FrameDecoder,
    /// Frames that came before the answer to the handshake's last step.
    held: BytesMut,
    /// What the client said of itself.
    client: Client,
    /// By channel number; index 0 is unused.
    slots: Vec<Slot>,
    open_channels: usize,
    consumers: BTreeMap<ConsumerId, Consumer>,
    next_consumer: u32,
    /// Of what the broker names.
    names: SecretNames,
    /// Queues whose type was asked for.
    known: BTreeSet<Name>,
    /// Those of them whose deliveries show counters.
    counting: BTreeSet<QueueId>,
    /// Exclusive queues of this connection, which go before its close is answered.
    owned: Vec<Name>,
    settling: Settling,
    /// Channels with confirms to write at the end of the burst.
    confirming: Vec<u16>,
    /// Consumers whose credit is due at the end of the burst.
    replenishing: Vec<ConsumerId>,
    /// Bytes of bodies half received.
    assembling_bytes: u64,
    /// Where envelopes are written before their size is known.
    scratch: Vec<u8>,
}

impl AmqpSession {
    /// A connection whose first bytes have not been read yet.
    #[must_use]
    pub fn new(context: SessionContext, options: SessionOptions) -> Self {
        let names = SecretNames::new(context.entropy);
        Self {
            context,
            options,
            phase: Phase::Header,
            timers: Timers::default(),
            decoder: FrameDecoder::default(),
            held: BytesMut::new(),
            client: Client::default(),
            slots: Vec::new(),
            open_channels: 0,
            consumers: BTreeMap::new(),
            next_consumer: 1,
            names,
            known: BTreeSet::new(),
            counting: BTreeSet::new(),
            owned: Vec::new(),
            settling: Settling::default(),
            confirming: Vec::new(),
            replenishing: Vec::new(),
            assembling_bytes: 0,
            scratch: Vec::new(),
        }
    }

    /// Hands a request on, behind the settlements that came before it.
    fn submit(&mut self, request: Request, out: &mut Output) {
        self.settling.flush(out);
        out.requests.push(request);
    }
}

impl Session for AmqpSession {
    fn receive(&mut self, now: Time, input: &mut BytesMut, out: &mut Output) {
        self.received(now, input, out);
        self.settling.flush(out);
    }

    fn event(&mut self, now: Time, event: Event, out: &mut Output) {
        self.on_event(now, event, out);
        self.settling.flush(out);
    }

    fn tick(&mut self, now: Time, out: &mut Output) {
        self.on_tick(now, out);
    }

    fn deadline(&self) -> Option<Time> {
        self.next_deadline()
    }

    fn flush(&mut self, now: Time, out: &mut Output) {
        self.write_confirms(out);
        self.replenish(out);
        if !out.wire.is_empty() {
            self.timers.sent(now);
        }
    }

    fn disconnected(&mut self, _now: Time, out: &mut Output) {
        out.wire.clear();
        self.detach_all(true, out);
        out.wire.clear();
    }

    fn describe(&self) -> String {
        let Client { user, vhost, product, .. } = &self.client;
        format!(
            "AMQP 0-9-1 {} user '{user}' vhost '{vhost}' client '{product}' {} channels",
            self.context.peer, self.open_channels
        )
    }
}

/// Appends a method to what goes to the peer.
fn write<M: crate::methods::MethodFields>(out: &mut Output, channel: u16, method: &M) {
    frame::write_method(&mut out.wire, channel, method);
}
