//! Bytes to commands, and each command to the module of its class. Not here: what commands do, and frames themselves
//! (the codec).

use baton_dialect::Output;
use baton_model::Time;
use bytes::BytesMut;

use super::AmqpSession;
use super::channel::{ChannelState, not_open};
use super::connection::Phase;
use super::failure::Failure;
use super::limits;
use crate::codes::ReplyCode;
use crate::content::Command;
use crate::frame::{Frame, FrameType, PROTOCOL_HEADER, PROTOCOL_HEADER_BYTES, ProtocolHeader, write_payload};
use crate::methods::{Access, Basic, Channel, Confirm, Exchange, Method, Queue, Tx};
use crate::methods::{access, channel};

impl AmqpSession {
    pub(super) fn received(&mut self, now: Time, input: &mut BytesMut, out: &mut Output) {
        if !input.is_empty() {
            self.timers.received(now, self.phase);
        }
        if self.phase == Phase::Header {
            match ProtocolHeader::detect(input) {
                None => return,
                Some(ProtocolHeader::Amqp091) => {
                    drop(input.split_to(PROTOCOL_HEADER_BYTES));
                    self.start(out);
                }
                Some(_) => {
                    out.wire.extend_from_slice(PROTOCOL_HEADER);
                    self.hang_up(out);
                }
            }
        }
        while self.phase != Phase::Gone {
            match self.decoder.batch(input) {
                Ok(None) => return,
                Ok(Some(batch)) => batch.iter().for_each(|frame| self.frame(now, frame, out)),
                Err(error) => {
                    // What follows cannot be read: nothing but our close goes out, and no close-ok can come in.
                    let failure = Failure::from(&error);
                    if self.phase == Phase::Closing {
                        self.hang_up(out);
                    } else {
                        self.fail_connection(&failure, out);
                    }
                    input.clear();
                    return;
                }
            }
        }
        input.clear();
    }

    fn frame(&mut self, now: Time, frame: Frame<'_>, out: &mut Output) {
        if self.phase == Phase::Gone || frame.frame_type == FrameType::Heartbeat {
            return;
        }
        if matches!(self.phase, Phase::Authenticating | Phase::Opening) {
            return self.hold(frame, out);
        }
        if frame.channel == 0 {
            return match Method::decode(frame.payload) {
                Ok(method) => self.connection_method(now, method, out),
                Err(_) if self.phase == Phase::Closing => {}
                Err(error) => self.fail_connection(&Failure::from(&error), out),
            };
        }
        if self.phase == Phase::Closing {
            return;
        }
        if self.phase != Phase::Running {
            let failure = Failure::new(ReplyCode::ChannelError, "the connection is not open yet");
            return self.fail_connection(&failure, out);
        }
        match self.channel(frame.channel).map(|channel| channel.state) {
            Some(ChannelState::Open) => self.channel_frame(frame, out),
            Some(state) => self.ended_channel_frame(frame, state, out),
            None => self.unopened_channel_frame(frame, out),
        }
    }

    /// Keeps a frame of a client that does not wait for the answers of the handshake.
    fn hold(&mut self, frame: Frame<'_>, out: &mut Output) {
        if self.held.len() + frame.payload.len() > limits::HANDSHAKE_BYTES_MAX {
            let text = "too much was sent before the connection is open; wait for the answers";
            return self.fail_connection(&Failure::new(ReplyCode::ResourceError, text), out);
        }
        write_payload(&mut self.held, frame.frame_type, frame.channel, frame.payload.as_bytes());
    }

    /// An answer of the handshake has come: what the client sent meanwhile follows.
    pub(super) fn resume(&mut self, now: Time, out: &mut Output) {
        if !self.held.is_empty() {
            let mut held = std::mem::take(&mut self.held);
            self.received(now, &mut held, out);
        }
    }

    fn channel_frame(&mut self, frame: Frame<'_>, out: &mut Output) {
        let number = frame.channel;
        let Some(channel) = self.channel(number) else { return };
        let before = channel.assembler.held_bytes() as u64;
        let command = channel.assembler.push(frame);
        let after = channel.assembler.held_bytes() as u64;
        if before != after {
            self.assembling_bytes = self.assembling_bytes.saturating_sub(before) + after;
            let most = self.options.body_bytes_max.saturating_add(limits::ASSEMBLY_BYTES_SPARE);
            if self.assembling_bytes > most {
                let text =
                    format!("more than {most} bytes of unfinished messages; finish one before the next");
                return self.fail_connection(&Failure::new(ReplyCode::ResourceError, text), out);
            }
        }
        let failed = match command {
            Ok(None) => return,
            Ok(Some(Command::Publish(publish, content))) => {
                self.publish(number, &publish, content, out).map_err(|failure| failure.of((60, 40)))
            }
            Ok(Some(Command::Method(method))) => {
                let ids = method.ids();
                self.channel_method(number, method, out).map_err(|failure| failure.of(ids))
            }
            Ok(Some(Command::TooLarge { method, body_bytes, body_bytes_max })) => {
                let text =
                    format!("message size {body_bytes} is larger than configured max size {body_bytes_max}");
                Err(Failure::precondition(text).of(method.ids()))
            }
            Ok(Some(Command::Content(method, _))) => Err(servers_only(&method)),
            Err(error) => Err(Failure::from(&error)),
        };
        if let Err(failure) = failed {
            self.fail(number, failure, out);
        }
    }

    /// A frame for a channel that is over or about to be: everything but the end itself is dropped.
    fn ended_channel_frame(&mut self, frame: Frame<'_>, state: ChannelState, out: &mut Output) {
        let number = frame.channel;
        if frame.frame_type != FrameType::Method || frame.payload.as_bytes().first_chunk() != Some(&[0, 20]) {
            return;
        }
        match (Method::decode(frame.payload), state) {
            (Ok(Method::Channel(Channel::CloseOk(_))), ChannelState::Closing) => self.free_channel(number),
            (Ok(Method::Channel(Channel::Close(_))), _) => self.close_channel(number, out),
            (Err(error), _) => self.fail_connection(&Failure::from(&error), out),
            _ => {}
        }
    }

    fn unopened_channel_frame(&mut self, frame: Frame<'_>, out: &mut Output) {
        let failure = match frame.frame_type {
            FrameType::Method => match Method::decode(frame.payload) {
                Ok(Method::Channel(Channel::Open(_))) => match self.open_channel(frame.channel, out) {
                    Ok(()) => return,
                    Err(failure) => failure.of((20, 10)),
                },
                // The answer to a close that crossed the client's own.
                Ok(Method::Channel(Channel::CloseOk(_))) => return,
                Ok(method) => not_open().of(method.ids()),
                Err(error) => Failure::from(&error),
            },
            _ => not_open(),
        };
        self.fail_connection(&failure, out);
    }

    fn channel_method(&mut self, number: u16, method: Method, out: &mut Output) -> Result<(), Failure> {
        self.check_steps(number)?;
        match method {
            Method::Basic(method) => self.basic(number, method, out),
            Method::Channel(method) => self.channel_class(number, &method, out),
            Method::Queue(method) => self.queue_class(number, method, out),
            Method::Exchange(method) => self.exchange_class(number, method, out),
            Method::Confirm(Confirm::Select(select)) => self.confirm_select(number, select.no_wait, out),
            Method::Tx(Tx::Select(_)) => self.tx_select(number, out),
            Method::Tx(Tx::Commit(_)) => self.tx_commit(number, out),
            Method::Tx(Tx::Rollback(_)) => self.tx_rollback(number, out),
            // Tickets went out of the protocol; old clients still ask for one.
            Method::Access(Access::Request(_)) => {
                self.answer(number, Method::Access(Access::RequestOk(access::RequestOk { ticket: 1 })), out);
                Ok(())
            }
            Method::Connection(_) => {
                Err(Failure::new(ReplyCode::CommandInvalid, "class connection belongs on channel 0"))
            }
            method => Err(servers_only(&method)),
        }
    }

    fn channel_class(&mut self, number: u16, method: &Channel, out: &mut Output) -> Result<(), Failure> {
        match method {
            Channel::Open(_) => {
                return Err(Failure::new(ReplyCode::ChannelError, "second 'channel.open' seen"));
            }
            Channel::Close(_) => self.close_channel(number, out),
            Channel::Flow(flow) if flow.active => {
                self.answer(number, channel::FlowOk { active: true }, out);
            }
            Channel::Flow(_) => return Err(Failure::new(ReplyCode::NotImplemented, "active=false")),
            // Answers to questions that were not asked, or are long answered.
            Channel::CloseOk(_) | Channel::FlowOk(_) => {}
            Channel::OpenOk(_) => return Err(servers_only_named("channel.open-ok")),
        }
        Ok(())
    }

    fn basic(&mut self, number: u16, method: Basic, out: &mut Output) -> Result<(), Failure> {
        match method {
            Basic::Ack(ack) => self.ack(number, ack.delivery_tag, ack.multiple, out),
            Basic::Nack(nack) => self.nack(number, nack.delivery_tag, nack.multiple, nack.requeue, out),
            Basic::Reject(reject) => self.reject(number, reject.delivery_tag, reject.requeue, out),
            Basic::Get(get) => self.get(number, &get, out),
            Basic::Consume(consume) => self.consume(number, &consume, out),
            Basic::Cancel(cancel) => self.cancel(number, &cancel, out),
            Basic::Qos(qos) => self.qos(number, &qos, out),
            Basic::Recover(recover) => self.recover(number, recover.requeue, false, out),
            Basic::RecoverAsync(recover) => self.recover(number, recover.requeue, true, out),
            // The answer to a cancel that we sent.
            Basic::CancelOk(_) => Ok(()),
            method => Err(servers_only(&Method::Basic(method))),
        }
    }

    fn queue_class(&mut self, number: u16, method: Queue, out: &mut Output) -> Result<(), Failure> {
        match method {
            Queue::Declare(declare) => self.declare_queue(number, &declare, out),
            Queue::Bind(bind) => self.bind_queue(number, &bind, out),
            Queue::Unbind(unbind) => self.unbind_queue(number, &unbind, out),
            Queue::Purge(purge) => self.purge_queue(number, &purge, out),
            Queue::Delete(delete) => self.delete_queue(number, &delete, out),
            method => Err(servers_only(&Method::Queue(method))),
        }
    }

    fn exchange_class(&mut self, number: u16, method: Exchange, out: &mut Output) -> Result<(), Failure> {
        match method {
            Exchange::Declare(declare) => self.declare_exchange(number, &declare, out),
            Exchange::Delete(delete) => self.delete_exchange(number, &delete, out),
            Exchange::Bind(bind) => self.bind_exchange(number, &bind, out),
            Exchange::Unbind(unbind) => self.unbind_exchange(number, &unbind, out),
            method => Err(servers_only(&Method::Exchange(method))),
        }
    }
}

fn servers_only(method: &Method) -> Failure {
    servers_only_named(method.name()).of(method.ids())
}

fn servers_only_named(name: &str) -> Failure {
    Failure::new(ReplyCode::CommandInvalid, format!("{name} is not for clients to send"))
}
