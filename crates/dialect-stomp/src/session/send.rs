//! Messages in: where a SEND goes, and the request it becomes. Headers are read in `envelope`, queues shaped in `queue`,
//! transactions kept in `tx`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use baton_dialect::Output;
use baton_model::request::CatalogOp;
use baton_model::{
    Event, Message, Name, Publish, PublishOutcome, Refusal, Reply, Request, Tag, Time, Token, ValueRef,
};
use smallvec::SmallVec;

use super::destination::{Destination, TOPIC_EXCHANGE};
use super::envelope::Sent;
use super::failure::Failure;
use super::queue::{Wanted, plain, wanted};
use super::steps::{Op, Receipt, UNCONFIRMED};
use super::{StompSession, limits};
use crate::frame::Frame;

/// Where a destination leads.
#[derive(Clone, Debug)]
pub(super) struct Route {
    exchange: Name,
    key: Name,
    /// A message that finds no queue is not dropped: the queue is made anew.
    must_arrive: bool,
}

/// Routes by their destinations as they stand on the wire.
#[derive(Debug, Default)]
pub(super) struct Routes {
    known: BTreeMap<Box<[u8]>, Route>,
    /// Queues that this connection has declared for sending.
    declared: BTreeMap<Name, ()>,
}

impl Routes {
    fn remember(&mut self, destination: &[u8], route: Route) {
        if self.known.len() >= limits::ROUTES_MAX {
            self.known.clear();
        }
        self.known.insert(destination.into(), route);
    }

    fn is_new(&mut self, queue: &Name) -> bool {
        if self.declared.len() >= limits::ROUTES_MAX {
            self.declared.clear();
            self.known.clear();
        }
        self.declared.insert(queue.clone(), ()).is_none()
    }
}

impl StompSession {
    pub(super) fn send(&mut self, now: Time, frame: &Frame<'_>, out: &mut Output) -> Result<(), Failure> {
        let sent = Sent::read(now, &frame.headers)?;
        let destination = sent.destination.ok_or_else(|| Failure::missing("SEND", "destination"))?;
        let route = match self.routes.known.get(destination) {
            Some(route) => route.clone(),
            None => self.find_route(destination, &sent.meant(destination)?, frame, out)?,
        };
        self.check_user(&sent)?;
        let reply_to = self.reply_address(&sent, out)?;
        self.scratch.clear();
        let keys = sent.write(
            &mut self.scratch,
            (&route.exchange, &route.key),
            reply_to.as_deref().map(str::as_bytes),
        )?;
        let message = self.message(frame.body);
        let body_bytes = message.body_slice().len() as u64;
        let receipt = sent.receipt.map(Receipt::from_slice);
        let confirm = receipt.is_some() && sent.transaction.is_none();
        let token = if confirm { self.steps.ask(receipt.clone(), Op::Nothing) } else { UNCONFIRMED };
        let request = Request::Publish(Box::new(Publish {
            token,
            confirm,
            exchange: route.exchange,
            key: route.key,
            more_keys: SmallVec::new(),
            durable: sent.durable == Some(true),
            mandatory: route.must_arrive,
            priority: sent.priority,
            ttl_ms: sent.ttl_ms,
            delay_ms: sent.delay_ms,
            group_key: keys.group,
            dedup_id: keys.dedup,
            message,
        }));
        if let Some(transaction) = sent.transaction {
            self.plan_publish(transaction, request, body_bytes)?;
            self.finish(receipt, out);
            return Ok(());
        }
        // Completions may wait for the end of the burst: that a message counts as done later does no harm.
        self.settling.flush_unless_complete(out);
        out.requests.push(request);
        Ok(())
    }

    /// A destination that was not sent to yet.
    fn find_route(
        &mut self,
        raw: &[u8],
        text: &[u8],
        frame: &Frame<'_>,
        out: &mut Output,
    ) -> Result<Route, Failure> {
        let direct = |queue: Name| Route { exchange: Name::default(), key: queue, must_arrive: true };
        let route = match Destination::parse(text)? {
            Destination::Queue(queue) => {
                if self.routes.is_new(&queue) {
                    let wanted = wanted(&frame.headers, plain())?;
                    self.declare(&queue, wanted, out);
                }
                direct(queue)
            }
            Destination::ExistingQueue(queue) | Destination::ReplyQueue(queue) => {
                Route { must_arrive: false, ..direct(queue) }
            }
            Destination::TempQueue(name) => {
                let queue = self.temp_queue(&name, out)?;
                // The name is the connection's own: cheap to find, and not to be remembered beyond its queue.
                return Ok(Route { must_arrive: false, ..direct(queue) });
            }
            Destination::Topic(key) => {
                Route { exchange: Name::const_new(TOPIC_EXCHANGE), key, must_arrive: false }
            }
            Destination::Exchange(exchange, key) => {
                Route { exchange, key: key.unwrap_or_default(), must_arrive: false }
            }
        };
        self.routes.remember(raw, route.clone());
        Ok(route)
    }

    /// Makes a queue, or sees that it is as wanted.
    pub(super) fn declare(&mut self, name: &Name, wanted: Wanted, out: &mut Output) {
        let policy = Box::new(wanted.policy.clone());
        let op = Op::Declare { name: name.clone(), wanted: Some(Box::new(wanted)) };
        let token = self.steps.ask(None, op);
        let op = Box::new(CatalogOp::DeclareQueue { name: Some(name.clone()), policy });
        self.submit(Request::Catalog { token, op }, out);
    }

    /// The answer to [`Self::declare`].
    pub(super) fn declared(
        &mut self,
        name: &Name,
        wanted: Option<&Wanted>,
        result: Result<Reply, Refusal>,
    ) -> Result<(), Failure> {
        let reply = result.map_err(|refusal| {
            self.routes.declared.remove(name);
            Failure::from(&refusal)
        })?;
        if let (Reply::Queue { created: false, info }, Some(wanted)) = (&reply, wanted)
            && let Some(header) = wanted.difference(&info.policy)
        {
            return Err(Failure::new(
                "precondition_failed",
                format!(
                    "inequivalent header '{header}' for queue '{name}' in vhost '{}': the queue exists and is different; leave the header out, write /amq/queue/{name}, or delete the queue first",
                    self.client.vhost
                ),
            ));
        }
        Ok(())
    }

    /// Envelope and body in one buffer of their exact size. The decoder has seen to the body's.
    fn message(&mut self, body: &[u8]) -> Message {
        if let Some(large) = self.large.take() {
            return large.into_message(&self.scratch);
        }
        let envelope_bytes = u32::try_from(self.scratch.len()).unwrap_or(u32::MAX);
        let mut buf = Vec::with_capacity(self.scratch.len() + body.len());
        buf.extend_from_slice(&self.scratch);
        buf.extend_from_slice(body);
        Message::new(buf.into(), envelope_bytes)
    }

    fn check_user(&self, sent: &Sent<'_>) -> Result<(), Failure> {
        let Some(user) = sent.user_id else { return Ok(()) };
        if sent.meant(user)? == self.client.user.as_bytes() {
            return Ok(());
        }
        let claimed = String::from_utf8_lossy(user);
        Err(Failure::new(
            "precondition_failed",
            format!("header 'user-id' is '{claimed}' but the connection's user is '{}'", self.client.user),
        ))
    }

    /// A `reply-to` of a temporary queue becomes the queue's real name; others stay as they are.
    fn reply_address(&mut self, sent: &Sent<'_>, out: &mut Output) -> Result<Option<Name>, Failure> {
        let Some(raw) = sent.reply_to else { return Ok(None) };
        if !raw.starts_with(b"/temp-queue/") && !raw.starts_with(b"temp-queue") {
            return Ok(None);
        }
        let text: Cow<'_, [u8]> = sent.meant(raw)?;
        match Destination::parse(&text)? {
            Destination::TempQueue(name) => {
                let queue = self.temp_queue(&name, out)?;
                self.listen_for_replies(&name, &queue, &text, out)?;
                Ok(Some(queue))
            }
            _ => Ok(None),
        }
    }

    /// The engine has taken a message, or has refused it.
    pub(super) fn published(&mut self, token: Token, outcome: PublishOutcome, out: &mut Output) {
        match outcome {
            PublishOutcome::Refused(refusal) if token == UNCONFIRMED => {
                self.fail(Failure::from(&refusal), None, out);
            }
            PublishOutcome::Refused(refusal) => self.answered(token, Err(Failure::from(&refusal)), out),
            PublishOutcome::Accepted { queues: 0, .. } if self.resent.contains_key(&token) => {
                if self.resent.get_mut(&token).is_some_and(|heard| std::mem::replace(heard, true)) {
                    self.resent.remove(&token);
                    let text = "the queue was deleted and could not be made anew";
                    self.answered(token, Err(Failure::new("not_found", text)), out);
                }
            }
            PublishOutcome::Accepted { .. } | PublishOutcome::Duplicate { .. } => {
                if !self.resent.is_empty() {
                    self.resent.remove(&token);
                }
                self.answered(token, Ok(()), out);
            }
        }
    }

    /// A message found its queue gone. As a queue is made by the first message, so it is made anew by this one.
    pub(super) fn returned(&mut self, event: Event, out: &mut Output) {
        let Event::Returned { token, exchange, key, message } = event else { return };
        self.resends += 1;
        if self.resends > limits::RESENDS_MAX {
            let text = format!("queue '{key}' is deleted again and again while messages are sent to it");
            return self.fail(Failure::new("not_found", text), None, out);
        }
        let Ok(wanted) = wanted(&crate::frame::Headers::default(), plain()) else { return };
        self.declare(&key, wanted, out);
        let confirm = token != UNCONFIRMED;
        if confirm {
            // The first answer, that it reached no queue, is on its way; that of the second sending counts.
            self.resent.insert(token, false);
        }
        let publish = again(token, confirm, exchange, key, message);
        self.submit(Request::Publish(Box::new(publish)), out);
    }
}

/// The publish that a message came with, from its envelope.
fn again(token: Token, confirm: bool, exchange: Name, key: Name, message: Message) -> Publish {
    let envelope = message.envelope();
    let number = |tag| match envelope.get(tag) {
        Some(ValueRef::U64(number)) => Some(number),
        _ => None,
    };
    let name = |tag| envelope.str(tag).map(Name::from);
    Publish {
        token,
        confirm,
        exchange,
        key,
        more_keys: SmallVec::new(),
        durable: envelope.get(Tag::Durable) == Some(ValueRef::Bool(true)),
        mandatory: false,
        priority: envelope
            .get(Tag::Priority)
            .and_then(|value| value.as_i64())
            .and_then(|p| u8::try_from(p).ok()),
        ttl_ms: number(Tag::TtlMs),
        delay_ms: number(Tag::DelayMs),
        group_key: name(Tag::GroupKey),
        dedup_id: name(Tag::DedupId),
        message,
    }
}
