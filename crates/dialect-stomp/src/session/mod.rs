//! The server's side of one STOMP connection: bytes in, requests out; events in, bytes out. A pure state machine behind
//! [`baton_dialect::Session`]; time comes as an argument. Called by the connection driver in `net` and by tests.
//! Not here: the codec (the rest of this crate), queues and routes (`core`), users (`access`).
//!
//! ```text
//! connection.rs   CONNECT, heart-beats, DISCONNECT    steps.rs     what waits for the engine, and receipts in order
//! destination.rs  names of queues and topics          queue.rs     headers that shape a queue
//! send.rs         messages in; envelope.rs: headers to the neutral envelope
//! subscribe.rs    subscriptions, temporary queues     browse.rs    subscriptions that only look
//! deliver.rs      messages out                        settle.rs    ACK, NACK; unacked.rs: numbers of deliveries
//! tx.rs           transactions                        failure.rs   what ERROR frames say
//! ```

mod browse;
mod connection;
mod deliver;
mod destination;
mod envelope;
mod failure;
pub mod limits;
mod queue;
mod send;
mod settle;
mod steps;
mod subscribe;
#[cfg(test)]
mod tests;
mod tx;
mod unacked;

use std::collections::BTreeMap;

use baton_dialect::large::{LARGE_BYTES_MIN, LargeBody};
use baton_dialect::names::SecretNames;
use baton_dialect::settling::Settling;
use baton_dialect::{Output, Session, SessionContext};
use baton_model::{ConsumerId, Event, Name, Request, Time, Token};
use bytes::{Buf, BytesMut};

use crate::frame::{Command, Decoded, Frame, FrameDecoder};
use crate::version::Version;
use connection::{Client, Phase, Timers};
use failure::Failure;
use send::Routes;
use steps::{AUTHENTICATE, OPEN, Receipt, Steps};
use subscribe::Subscription;
use tx::Transaction;

/// What can be configured of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionOptions {
    /// Largest body accepted, bytes. The message with its headers is bounded by the session's context as well.
    pub body_bytes_max: u64,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { body_bytes_max: baton_model::limits::MESSAGE_BYTES_MAX_DEFAULT }
    }
}

/// One connection.
#[derive(Debug)]
pub struct StompSession {
    context: SessionContext,
    phase: Phase,
    version: Version,
    decoder: FrameDecoder,
    /// Bytes that came before CONNECTED was said.
    held: BytesMut,
    timers: Timers,
    client: Client,
    steps: Steps,
    routes: Routes,
    subscriptions: BTreeMap<ConsumerId, Subscription>,
    /// Subscriptions by the client's ids, as they stand on the wire.
    by_id: BTreeMap<Box<[u8]>, ConsumerId>,
    next_consumer: u32,
    transactions: BTreeMap<Box<[u8]>, Transaction>,
    /// Bytes of bodies in them.
    tx_bytes: u64,
    settling: Settling,
    /// Subscriptions whose credit is due at the end of the burst.
    replenishing: Vec<ConsumerId>,
    /// Real names of temporary queues, and whether replies in them are listened for.
    temp_queues: BTreeMap<Name, (Name, bool)>,
    /// Sends that were repeated because their queue was gone, and whether their first answer has come.
    resent: BTreeMap<Token, bool>,
    resends: u64,
    /// Of what the broker names.
    names: SecretNames,
    /// Where envelopes are written before their size is known.
    scratch: Vec<u8>,
    /// The body of the frame that is being worked on, if it is large: the frame itself then has none.
    large: Option<LargeBody>,
}

/// What became of the bytes at the front.
enum Next {
    /// A frame of so many.
    Used(usize),
    /// There is no whole frame; so many are done with.
    Incomplete { blank: usize },
    /// A frame whose body is not to be copied.
    Large { bytes: usize, body_at: usize },
}

impl StompSession {
    /// A connection whose first bytes have not been read yet.
    #[must_use]
    pub fn new(context: SessionContext, options: SessionOptions) -> Self {
        let body_bytes_max = options.body_bytes_max.min(context.message_bytes_max);
        let names = SecretNames::new(context.entropy);
        Self {
            context,
            phase: Phase::Stranger,
            version: Version::V10,
            decoder: FrameDecoder::new(body_bytes_max),
            held: BytesMut::new(),
            timers: Timers::default(),
            client: Client::default(),
            steps: Steps::default(),
            routes: Routes::default(),
            subscriptions: BTreeMap::new(),
            by_id: BTreeMap::new(),
            next_consumer: 1,
            transactions: BTreeMap::new(),
            tx_bytes: 0,
            settling: Settling::default(),
            replenishing: Vec::new(),
            temp_queues: BTreeMap::new(),
            resent: BTreeMap::new(),
            resends: 0,
            names,
            scratch: Vec::new(),
            large: None,
        }
    }

    /// Hands a request on, behind the settlements that came before it.
    fn submit(&mut self, request: Request, out: &mut Output) {
        self.settling.flush(out);
        out.requests.push(request);
    }

    fn take_frames(&mut self, now: Time, input: &mut BytesMut, out: &mut Output) {
        let mut used = 0;
        while matches!(self.phase, Phase::Stranger | Phase::Running) {
            match self.take_frame(now, input.get(used..).unwrap_or_default(), out) {
                Next::Used(bytes) => used += bytes,
                Next::Incomplete { blank } => {
                    used += blank;
                    break;
                }
                Next::Large { bytes, body_at } => {
                    input.advance(std::mem::take(&mut used));
                    let mut whole = input.split_to(bytes.min(input.len()));
                    if input.is_empty() {
                        // Nothing of the buffer stays with the connection.
                        *input = BytesMut::new();
                    }
                    whole.truncate(bytes.saturating_sub(1));
                    self.large_frame(now, whole, body_at, out);
                }
            }
        }
        input.advance(used.min(input.len()));
        if self.is_over() {
            input.clear();
        }
    }

    /// Does what the frame at the front asks for, unless it is not whole or large.
    fn take_frame(&mut self, now: Time, bytes: &[u8], out: &mut Output) -> Next {
        match self.decoder.decode(bytes) {
            Ok(Decoded::Incomplete { used }) => Next::Incomplete { blank: used },
            Ok(Decoded::Frame { frame: Frame { command: Command::Send, body, .. }, used })
                if body.len() >= LARGE_BYTES_MIN =>
            {
                Next::Large { bytes: used, body_at: used.saturating_sub(body.len() + 1) }
            }
            Ok(Decoded::Frame { frame, used }) => {
                self.frame(now, &frame, out);
                Next::Used(used)
            }
            Err(error) => {
                self.fail(Failure::from(error), None, out);
                Next::Incomplete { blank: 0 }
            }
        }
    }

    /// A SEND that becomes a message where it lies: only its head is copied.
    fn large_frame(&mut self, now: Time, whole: BytesMut, body_at: usize, out: &mut Output) {
        let head = whole.get(..body_at).unwrap_or_default().to_vec();
        match self.decoder.head(&head) {
            Ok((command, headers)) => {
                self.large = Some(LargeBody::new(whole, body_at));
                self.frame(now, &Frame { command, headers, body: &[] }, out);
                self.large = None;
            }
            Err(error) => self.fail(Failure::from(error), None, out),
        }
    }

    fn frame(&mut self, now: Time, frame: &Frame<'_>, out: &mut Output) {
        let result = match (self.phase, frame.command) {
            (_, Command::Connect | Command::Stomp) => self.connect(frame, out),
            (Phase::Stranger, command) => {
                let text = format!("the first frame must be CONNECT, not {}", command.as_str());
                Err(Failure::new("not connected", text))
            }
            _ if self.steps.is_full() => {
                let text = format!("more than {} frames wait for their receipts", limits::STEPS_MAX);
                Err(Failure::new("resource_error", text))
            }
            (_, Command::Send) => self.send(now, frame, out),
            (_, Command::Ack | Command::Nack) => self.settle(frame, out),
            (_, Command::Subscribe) => self.subscribe(frame, out),
            (_, Command::Unsubscribe) => self.unsubscribe(frame, out),
            (_, Command::Begin) => self.begin(frame, out),
            (_, Command::Commit) => self.commit(frame, out),
            (_, Command::Abort) => self.abort(frame, out),
            (_, Command::Disconnect) => {
                self.disconnect(frame, out);
                Ok(())
            }
        };
        if let Err(failure) = result {
            self.fail(failure, frame.headers.get(b"receipt").map(Receipt::from_slice), out);
        }
    }

    fn on_event(&mut self, now: Time, event: Event, out: &mut Output) {
        if self.phase == Phase::Gone {
            return;
        }
        match event {
            Event::Delivered(delivery) if self.phase == Phase::Running => self.deliver(&delivery, out),
            Event::Published { token, outcome } => self.published(token, outcome, out),
            Event::Returned { .. } => self.returned(event, out),
            Event::Settled { token, .. } => self.answered(token, Ok(()), out),
            Event::Reply { token, result } if matches!(token, AUTHENTICATE | OPEN) => {
                self.connection_answered(token, result, out);
                self.resume(now, out);
            }
            Event::Reply { token, result } => self.replied(token, result, out),
            Event::Cancelled { consumer, reason } => self.cancelled(consumer, reason, out),
            Event::LeaseEnded { link, delivery } => {
                if let Some(subscription) = self.subscriptions.get_mut(&ConsumerId(link.0)) {
                    subscription.unacked.lease_ended(delivery);
                }
            }
            Event::Closing { reason } => self.shut_down(&reason, out),
            // The protocol has no word for it: receipts come later.
            Event::Blocked { .. } | Event::Delivered(_) | Event::Fetched { .. } | Event::Heard { .. } => {}
        }
    }

    /// Frames that came before CONNECTED are taken now.
    fn resume(&mut self, now: Time, out: &mut Output) {
        if self.phase == Phase::Running && !self.held.is_empty() {
            let mut held = std::mem::take(&mut self.held);
            self.take_frames(now, &mut held, out);
            self.held = held;
        }
    }
}

impl Session for StompSession {
    fn receive(&mut self, now: Time, input: &mut BytesMut, out: &mut Output) {
        self.timers.received(now);
        match self.phase {
            Phase::Opening => {
                self.held.extend_from_slice(input);
                input.clear();
                if self.held.len() > limits::HANDSHAKE_BYTES_MAX {
                    let text = "wait for CONNECTED before you send more";
                    self.fail(Failure::new("resource_error", text), None, out);
                }
            }
            Phase::Ending | Phase::Gone => input.clear(),
            Phase::Authenticating => {}
            Phase::Stranger | Phase::Running => {
                if !self.held.is_empty() {
                    // The rest of a frame that began before CONNECTED.
                    self.held.extend_from_slice(input);
                    std::mem::swap(&mut self.held, input);
                    self.held.clear();
                }
                self.take_frames(now, input, out);
            }
        }
        self.settling.flush(out);
    }

    fn waits_out_alarms(&self) -> bool {
        true
    }

    fn awaited_bytes(&self) -> usize {
        self.decoder.frame_bytes().unwrap_or_default()
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
        self.replenish(out);
        if !out.wire.is_empty() || !out.attached.is_empty() {
            self.timers.sent(now);
        }
    }

    fn disconnected(&mut self, _now: Time, _out: &mut Output) {}

    fn describe(&self) -> String {
        let Client { user, vhost, id } = &self.client;
        format!(
            "STOMP {} {} user '{user}' vhost '{vhost}' client '{id}'",
            self.version.as_str(),
            self.context.peer
        )
    }
}
