//! The connection itself: handshake, tuning, heartbeats, blocked, close. Not here: channels and what happens on them.
//!
//! ```text
//! Header ─▶ Start ─▶ Authenticating ─▶ Tune ─▶ Open ─▶ Opening ─▶ Running ─▶ Leaving (client closes)
//!                                                 any of them ─▶ Closing (we close) ─▶ Gone
//! ```

use baton_dialect::Output;
use baton_model::{LinkId, Name, Refusal, Reply, Request, Time};
use bytes::Bytes;

use super::auth;
use super::failure::{Failure, refused};
use super::{AmqpSession, limits, token, write};
use crate::codes::ReplyCode;
use crate::frame::write_heartbeat;
use crate::methods::connection as methods;
use crate::methods::{Connection, Method};
use crate::short_str::ShortStr;
use crate::table::{FieldTable, TableRef, ValueRef};

/// Where the connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// The protocol header has not come.
    Header,
    /// `start` is sent.
    Start,
    /// The credentials are being checked.
    Authenticating,
    /// `tune` is sent.
    Tune,
    /// `tune-ok` has come, `open` has not.
    Open,
    /// The vhost is being opened.
    Opening,
    Running,
    /// The client closed; answered when the engine has let go.
    Leaving,
    /// We closed and wait for `close-ok`.
    Closing,
    /// Nothing follows.
    Gone,
}

/// What the client said of itself, and what was agreed with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    pub(super) product: String,
    pub(super) user: Name,
    pub(super) vhost: Name,
    mechanism: String,
    wants_auth_close: bool,
    pub(super) wants_cancel: bool,
    wants_blocked: bool,
    /// Producers shall stop: heard before the handshake was over.
    blocked: Option<Name>,
    pub(super) channel_max: u16,
    /// Whole frames that we may send; 0: any.
    pub(super) frame_bytes_max: u32,
}

/// Serial numbers of the connection's own questions (its link is 0).
const AUTHENTICATE: u32 = 1;
const OPEN: u32 = 2;
const NEW_SECRET: u32 = 3;
const GOODBYE: u32 = 4;
const NOBODY_WAITS: u32 = 5;

/// The connection's own questions belong to no channel.
const NO_CHANNEL: LinkId = LinkId(0);

/// When something must have happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timers {
    last_received: Time,
    last_sent: Time,
    /// 0: no heartbeats.
    heartbeat_ms: u64,
    /// The handshake or a close must be done by then.
    give_up: Option<Time>,
    /// Known only since the first call with a time.
    now: Time,
}

impl Timers {
    pub(super) fn received(&mut self, now: Time, phase: Phase) {
        self.now = now;
        self.last_received = now;
        if phase == Phase::Header && self.give_up.is_none() {
            self.give_up = Some(now.after_ms(limits::HANDSHAKE_MS_MAX));
        }
    }

    pub(super) fn sent(&mut self, now: Time) {
        self.now = now;
        self.last_sent = now;
    }

    /// We are called at least every half interval. When a call comes much later than that, time has jumped (a suspended
    /// machine, a test clock that was moved), and what the peer sent meanwhile may still be unread: it gets its time again.
    fn ticked(&mut self, now: Time) {
        if self.heartbeat_ms > 0 && now.since_ms(self.now) > self.heartbeat_ms {
            self.last_received = now;
        }
        self.now = now;
    }

    /// By then the peer must have sent something.
    fn silent_until(&self) -> Option<Time> {
        let ms = self.heartbeat_ms * limits::HEARTBEATS_MISSED_MAX;
        (ms > 0).then(|| self.last_received.after_ms(ms))
    }

    /// By then we must have sent something. Twice an interval, so that one that is late does no harm.
    fn beat_at(&self) -> Option<Time> {
        (self.heartbeat_ms > 0).then(|| self.last_sent.after_ms(self.heartbeat_ms / 2))
    }
}

impl AmqpSession {
    pub(super) fn next_deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::Gone => None,
            // The first tick is only to learn what time it is.
            Phase::Header if self.timers.give_up.is_none() => Some(Time(0)),
            Phase::Running => [self.timers.silent_until(), self.timers.beat_at()].into_iter().flatten().min(),
            _ => self.timers.give_up,
        }
    }

    pub(super) fn on_tick(&mut self, now: Time, out: &mut Output) {
        self.timers.ticked(now);
        match self.phase {
            Phase::Gone => {}
            Phase::Header if self.timers.give_up.is_none() => {
                self.timers.give_up = Some(now.after_ms(limits::HANDSHAKE_MS_MAX));
            }
            Phase::Running => {
                if self.timers.silent_until().is_some_and(|at| at <= now) {
                    // Dead or unreachable: there is nobody to say goodbye to.
                    self.detach_all(true, out);
                    self.hang_up(out);
                } else if self.timers.beat_at().is_some_and(|at| at <= now) {
                    write_heartbeat(&mut out.wire);
                    self.timers.sent(now);
                }
            }
            Phase::Leaving if self.timers.give_up.is_some_and(|at| at <= now) => self.goodbye(out),
            _ if self.timers.give_up.is_some_and(|at| at <= now) => self.hang_up(out),
            _ => {}
        }
    }

    /// The header was right: our side of the handshake begins.
    pub(super) fn start(&mut self, out: &mut Output) {
        self.phase = Phase::Start;
        let capability = |table: FieldTable, name: &'static str| table.with(name, true);
        let capabilities = [
            "publisher_confirms",
            "exchange_exchange_bindings",
            "basic.nack",
            "consumer_cancel_notify",
            "connection.blocked",
            "consumer_priorities",
            "authentication_failure_close",
            "per_consumer_qos",
            "direct_reply_to",
        ]
        .into_iter()
        .fold(FieldTable::new(), capability);
        let properties = FieldTable::new()
            .with("capabilities", capabilities)
            .with("product", "Baton")
            .with("version", self.context.version)
            .with("platform", "Rust")
            .with("information", "AMQP 0-9-1 with RabbitMQ's extensions");
        let start = methods::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: properties.encode(),
            mechanisms: Bytes::from_static(auth::MECHANISMS),
            locales: Bytes::from_static(b"en_US"),
        };
        write(out, 0, &start);
    }

    pub(super) fn connection_method(&mut self, _now: Time, method: Method, out: &mut Output) {
        let ids = method.ids();
        let Method::Connection(method) = method else {
            if self.phase != Phase::Closing {
                let text = format!("{} belongs on a channel, not on 0", method.name());
                self.fail_connection(&Failure::new(ReplyCode::CommandInvalid, text).of(ids), out);
            }
            return;
        };
        let result = match (self.phase, method) {
            (Phase::Closing, Connection::CloseOk(_)) => {
                self.hang_up(out);
                Ok(())
            }
            (Phase::Closing, Connection::Close(_)) => {
                write(out, 0, &methods::CloseOk);
                Ok(())
            }
            (Phase::Closing | Phase::Leaving, _) => Ok(()),
            (_, Connection::Close(_)) => {
                self.leave(out);
                Ok(())
            }
            (Phase::Start, Connection::StartOk(start_ok)) => self.start_ok(&start_ok, out),
            (Phase::Tune, Connection::TuneOk(tune_ok)) => self.tune_ok(&tune_ok),
            (Phase::Open, Connection::Open(open)) => {
                self.open(&open, out);
                Ok(())
            }
            (Phase::Running, Connection::UpdateSecret(update)) => {
                let token = token::ask(NO_CHANNEL, NEW_SECRET);
                let user = self.client.user.clone();
                let password = Bytes::copy_from_slice(&update.new_secret);
                self.submit(Request::Authenticate { token, user, password }, out);
                Ok(())
            }
            (_, method) => {
                let name = Method::Connection(method).name();
                Err(Failure::new(ReplyCode::CommandInvalid, format!("{name} is not expected now")))
            }
        };
        if let Err(failure) = result {
            self.fail_connection(&failure.of(ids), out);
        }
    }

    fn start_ok(&mut self, start_ok: &methods::StartOk, out: &mut Output) -> Result<(), Failure> {
        let properties = start_ok.client_properties.as_table();
        properties.check()?;
        self.client.read_properties(properties)?;
        self.client.mechanism = start_ok.mechanism.as_str().to_owned();
        let Some((user, password)) = auth::read(&self.client.mechanism, &start_ok.response) else {
            self.login_refused(out);
            return Ok(());
        };
        self.client.user = user.clone();
        self.phase = Phase::Authenticating;
        let token = token::ask(NO_CHANNEL, AUTHENTICATE);
        self.submit(Request::Authenticate { token, user, password }, out);
        Ok(())
    }

    fn login_refused(&mut self, out: &mut Output) {
        if !self.client.wants_auth_close {
            return self.hang_up(out);
        }
        let text = format!(
            "Login was refused using authentication mechanism {}. For details see the broker logfile.",
            self.client.mechanism
        );
        self.fail_connection(&Failure::new(ReplyCode::AccessRefused, text), out);
    }

    fn tune_ok(&mut self, tune_ok: &methods::TuneOk) -> Result<(), Failure> {
        let not_allowed = |text: String| Err(Failure::new(ReplyCode::NotAllowed, text));
        let (frame_max, proposed) = (tune_ok.frame_max, self.options.frame_bytes_max);
        if frame_max != 0 && frame_max < limits::TUNED_FRAME_BYTES_MIN {
            let min = limits::TUNED_FRAME_BYTES_MIN;
            return not_allowed(format!("frame_max={frame_max} < {min} min size"));
        }
        if frame_max > proposed {
            return not_allowed(format!(
                "negotiated frame_max = {frame_max} higher than the maximum allowed value ({proposed})"
            ));
        }
        let (channel_max, proposed_channels) = (tune_ok.channel_max, self.options.channel_max);
        if channel_max > proposed_channels {
            return not_allowed(format!(
                "negotiated channel_max = {channel_max} higher than the maximum allowed value ({proposed_channels})"
            ));
        }
        // 0 means that the client sets no limit of its own: ours holds.
        self.client.frame_bytes_max = if frame_max == 0 { proposed } else { frame_max };
        self.client.channel_max = if channel_max == 0 { proposed_channels } else { channel_max };
        self.decoder.set_frame_bytes_max(self.client.frame_bytes_max);
        self.timers.heartbeat_ms = u64::from(tune_ok.heartbeat) * 1_000;
        self.phase = Phase::Open;
        Ok(())
    }

    fn open(&mut self, open: &methods::Open, out: &mut Output) {
        self.phase = Phase::Opening;
        self.client.vhost = Name::from(open.virtual_host.as_str());
        let label = format!("amqp {} ({})", self.context.peer, self.client.product);
        let token = token::ask(NO_CHANNEL, OPEN);
        self.submit(Request::Open { token, namespace: self.client.vhost.clone(), label }, out);
    }

    /// The engine or the driver answered a question of the connection itself.
    pub(super) fn connection_answered(
        &mut self,
        serial: u32,
        result: Result<Reply, Refusal>,
        out: &mut Output,
    ) {
        match (serial, self.phase, result) {
            (AUTHENTICATE, Phase::Authenticating, Ok(reply)) => {
                if let Reply::Authenticated { user } = reply {
                    self.client.user = user;
                }
                self.phase = Phase::Tune;
                let tune = methods::Tune {
                    channel_max: self.options.channel_max,
                    frame_max: self.options.frame_bytes_max,
                    heartbeat: self.options.heartbeat_s,
                };
                write(out, 0, &tune);
            }
            (AUTHENTICATE, Phase::Authenticating, Err(_)) => self.login_refused(out),
            (OPEN, Phase::Opening, Ok(_)) => {
                self.phase = Phase::Running;
                self.timers.last_received = self.timers.now;
                self.timers.last_sent = self.timers.now;
                write(out, 0, &methods::OpenOk::default());
                if let Some(reason) = self.client.blocked.take() {
                    self.blocked(Some(&reason), out);
                }
            }
            (OPEN, Phase::Opening, Err(refusal)) => {
                let mut failure = refused(&refusal, "", &self.client.vhost);
                // Whatever the reason, RabbitMQ says 530 here, and clients match on it.
                failure.code = ReplyCode::NotAllowed;
                self.fail_connection(&failure.of((10, 40)), out);
            }
            (NEW_SECRET, Phase::Running, Ok(_)) => write(out, 0, &methods::UpdateSecretOk),
            (NEW_SECRET, Phase::Running, Err(refusal)) => {
                let text = format!("new secret was refused: {}", refusal.text);
                self.fail_connection(&Failure::new(ReplyCode::NotAllowed, text).of((10, 70)), out);
            }
            (GOODBYE, Phase::Leaving, _) => self.goodbye(out),
            _ => {}
        }
    }

    /// The client closes. It is answered when the engine has taken back what the connection held, so that whoever has the
    /// answer finds messages back in their queues and exclusive queues gone.
    fn leave(&mut self, out: &mut Output) {
        self.write_confirms(out);
        self.phase = Phase::Leaving;
        self.timers.give_up = Some(self.timers.now.after_ms(limits::CLOSE_MS_MAX));
        let opened = !self.client.vhost.is_empty() || self.open_channels > 0;
        if !opened {
            return self.goodbye(out);
        }
        self.detach_all(true, out);
        for name in std::mem::take(&mut self.owned) {
            self.delete_owned(name, token::ask(NO_CHANNEL, NOBODY_WAITS), out);
        }
        let token = token::ask(NO_CHANNEL, GOODBYE);
        self.submit(Request::Group { token, requests: Vec::new() }, out);
    }

    fn goodbye(&mut self, out: &mut Output) {
        write(out, 0, &methods::CloseOk);
        self.hang_up(out);
    }

    /// Closes the connection with an error, and gives back what it held.
    pub(super) fn fail_connection(&mut self, failure: &Failure, out: &mut Output) {
        self.close_with(failure, true, out);
    }

    /// The broker closes the connection for reasons of its own: deliveries that end so are nobody's failure.
    pub(super) fn shut_down(&mut self, reason: &str, out: &mut Output) {
        if self.phase == Phase::Header {
            return self.hang_up(out);
        }
        let text = format!("broker forced connection closure with reason '{reason}'");
        self.close_with(&Failure::new(ReplyCode::ConnectionForced, text), false, out);
    }

    fn close_with(&mut self, failure: &Failure, failed: bool, out: &mut Output) {
        if matches!(self.phase, Phase::Closing | Phase::Leaving | Phase::Gone) {
            return;
        }
        self.write_confirms(out);
        self.detach_all(failed, out);
        self.phase = Phase::Closing;
        self.timers.give_up = Some(self.timers.now.after_ms(limits::CLOSE_MS_MAX));
        let (class_id, method_id) = failure.method;
        let reply_text = failure.code.text(&failure.text);
        write(out, 0, &methods::Close { reply_code: failure.code.code(), reply_text, class_id, method_id });
    }

    pub(super) fn hang_up(&mut self, out: &mut Output) {
        self.phase = Phase::Gone;
        out.close = true;
    }

    /// Producers shall stop, or may go on.
    pub(super) fn blocked(&mut self, reason: Option<&Name>, out: &mut Output) {
        if self.phase != Phase::Running {
            self.client.blocked = reason.cloned();
            return;
        }
        match reason {
            _ if !self.client.wants_blocked => {}
            Some(reason) => write(out, 0, &methods::Blocked { reason: ShortStr::truncated(reason) }),
            None => write(out, 0, &methods::Unblocked),
        }
    }
}

impl Client {
    fn read_properties(&mut self, properties: TableRef<'_>) -> Result<(), Failure> {
        let text = |key: &str| Ok::<_, Failure>(properties.get(key)?.and_then(ValueRef::as_str));
        let product = [text("product")?, text("version")?].into_iter().flatten().collect::<Vec<_>>();
        let printable = |c: &char| !c.is_control();
        self.product = product.join(" ").chars().filter(printable).take(limits::PRODUCT_CHARS_MAX).collect();
        if let Some(ValueRef::Table(capabilities)) = properties.get("capabilities")? {
            let has = |key: &str| Ok::<_, Failure>(capabilities.get(key)?.and_then(ValueRef::as_bool));
            self.wants_auth_close = has("authentication_failure_close")?.unwrap_or_default();
            self.wants_cancel = has("consumer_cancel_notify")?.unwrap_or_default();
            self.wants_blocked = has("connection.blocked")?.unwrap_or_default();
        }
        Ok(())
    }
}
