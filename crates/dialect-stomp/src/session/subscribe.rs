//! Subscriptions: what they read from, how they are acknowledged, how they end; and the temporary queues of a connection.
//! Not here: messages that come (`deliver`), browsers (`browse`).

use std::sync::Arc;

use baton_dialect::Output;
use baton_model::event::CancelReason;
use baton_model::filter::Filter;
use baton_model::limits::NAME_BYTES_MAX;
use baton_model::request::{CatalogOp, ConsumerFilter, LeaseMode, Subscribe};
use baton_model::route::{Binding, Destination as Bound};
use baton_model::{Bytes, ConsumerId, LinkId, MessageId, Name, QueuePolicy, Request};

use super::browse::Browser;
use super::destination::{Destination, TOPIC_EXCHANGE, pattern};
use super::failure::Failure;
use super::queue::{Wanted, flag, number, plain, wanted};
use super::steps::{Op, Receipt};
use super::unacked::Unacked;
use super::{StompSession, limits};
use crate::frame::{Frame, Headers};

/// How a subscription's messages are acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AckMode {
    /// Not at all: they are done when they leave.
    Auto,
    /// Each with all before it.
    Client,
    /// Each for itself.
    Individual,
}

/// One subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    /// As it stood on the wire.
    pub(super) id: Box<[u8]>,
    /// The client gave an id, so messages name it.
    pub(super) named: bool,
    pub(super) ack: AckMode,
    pub(super) link: LinkId,
    pub(super) unacked: Unacked,
    pub(super) browser: Option<Browser>,
    /// The queue that a durable subscription keeps its messages in.
    durable_queue: Option<Name>,
    /// Delivered since credit was last given.
    delivered: u32,
}

impl Subscription {
    /// One more was written to a subscription without acknowledgements.
    pub(super) fn delivered(&mut self, consumer: ConsumerId, replenishing: &mut Vec<ConsumerId>) {
        self.delivered += 1;
        if self.delivered == limits::AUTO_CREDIT / 2 {
            replenishing.push(consumer);
        }
    }

    /// The number of the delivery that an acknowledgement means by the message's id.
    pub(super) fn find(&self, message: MessageId) -> Option<u64> {
        self.unacked.find(message, self.ack == AckMode::Client)
    }

    /// What was delivered since this was last asked.
    pub(super) fn take_delivered(&mut self) -> u32 {
        std::mem::take(&mut self.delivered)
    }
}

/// What a subscription reads from.
struct Source {
    queue: Name,
    /// To be made first.
    wanted: Option<Wanted>,
    /// To be bound to an exchange by a key.
    bind: Option<(Name, Name)>,
    durable: bool,
    exclusive: bool,
}

impl StompSession {
    pub(super) fn subscribe(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<(), Failure> {
        let headers = &frame.headers;
        let raw = headers.get(b"destination").ok_or_else(|| Failure::missing("SUBSCRIBE", "destination"))?;
        let text = headers.text(b"destination")?.unwrap_or_default();
        let destination = Destination::parse(&text)?;
        let id = self.subscription_id(headers, raw)?;
        let ack = ack_mode(headers)?;
        if self.subscriptions.len() >= limits::SUBSCRIPTIONS_MAX {
            let text = format!("more than {} subscriptions", limits::SUBSCRIPTIONS_MAX);
            return Err(Failure::new("resource_error", text));
        }
        let selector = selector(headers)?;
        let source = self.source(&destination, headers, &text, out)?;
        let receipt = headers.get(b"receipt").map(Receipt::from_slice);
        if flag_of(headers, "browser")?.unwrap_or_default() {
            let named = headers.get(b"id").is_some();
            let condition = selector.map(|(condition, _)| condition);
            return self.browse((source.queue, condition), id, named, receipt, out);
        }
        let options = Options::read(headers)?;
        if let Some(wanted) = source.wanted {
            self.declare(&source.queue, wanted, out);
        }
        if let Some((exchange, key)) = source.bind {
            let token = self.steps.ask(None, Op::Nothing);
            let destination = Bound::Queue(source.queue.clone());
            let binding = Binding { source: exchange, destination, key, arguments: Bytes::new() };
            self.submit(Request::Catalog { token, op: Box::new(CatalogOp::Bind(binding)) }, out);
        }
        let consumer = self.add_subscription(id, headers.get(b"id").is_some(), ack);
        // What a subscription to a topic does not want, nobody waits for.
        let drop_others = matches!(destination, Destination::Topic(_) | Destination::Exchange(..));
        let filter = selector.map(|(condition, text)| ConsumerFilter { condition, drop_others, text });
        if source.durable
            && let Some(subscription) = self.subscriptions.get_mut(&consumer)
        {
            subscription.durable_queue = Some(source.queue.clone());
        }
        let label = String::from_utf8_lossy(headers.get(b"id").unwrap_or(raw)).into_owned();
        let subscribe = Subscribe {
            token: self.steps.ask(receipt, Op::Nothing),
            consumer,
            link: LinkId(consumer.0),
            queue: source.queue,
            lease: if ack == AckMode::Auto { LeaseMode::Settled } else { LeaseMode::Linked },
            window: options.window.filter(|_| ack != AckMode::Auto),
            credit: (ack == AckMode::Auto).then_some(limits::AUTO_CREDIT),
            priority: options.priority,
            exclusive: options.exclusive || source.exclusive,
            session: None,
            linked_lease_ms_max: None,
            filter,
            label: Name::from(label),
        };
        self.submit(Request::Subscribe(Box::new(subscribe)), out);
        Ok(())
    }

    /// Takes up a subscription; nothing is asked of the engine.
    pub(super) fn add_subscription(&mut self, id: Box<[u8]>, named: bool, ack: AckMode) -> ConsumerId {
        let consumer = ConsumerId(self.next_consumer);
        self.next_consumer += 1;
        self.by_id.insert(id.clone(), consumer);
        let link = LinkId(consumer.0);
        let unacked = Unacked::default();
        let subscription =
            Subscription { id, named, ack, link, unacked, browser: None, durable_queue: None, delivered: 0 };
        self.subscriptions.insert(consumer, subscription);
        consumer
    }

    /// The client's id, which 1.1 and up demand; in 1.0 the destination stands for it.
    fn subscription_id(&self, headers: &Headers<'_>, destination: &[u8]) -> Result<Box<[u8]>, Failure> {
        let id = match headers.get(b"id") {
            Some(id) if !id.is_empty() => id,
            Some(_) => return Err(Failure::header("id", b"", "not empty")),
            None if self.version == crate::Version::V10 => destination,
            None => return Err(Failure::missing("SUBSCRIBE", "id")),
        };
        if self.by_id.contains_key(id) {
            let shown = String::from_utf8_lossy(id);
            let text = format!(
                "subscription '{shown}' is in use on this connection; unsubscribe it first or choose another id"
            );
            return Err(Failure::new("duplicate subscription", text));
        }
        Ok(id.into())
    }

    fn source(
        &mut self,
        destination: &Destination,
        headers: &Headers<'_>,
        text: &[u8],
        out: &mut Output,
    ) -> Result<Source, Failure> {
        let queue =
            |queue: Name, wanted| Source { queue, wanted, bind: None, durable: false, exclusive: false };
        match destination {
            Destination::Queue(name) => Ok(queue(name.clone(), Some(wanted(headers, plain())?))),
            Destination::ExistingQueue(name) | Destination::ReplyQueue(name) => Ok(queue(name.clone(), None)),
            Destination::TempQueue(name) => {
                if self.temp_queues.get(name).is_some_and(|(_, listening)| *listening) {
                    let text = format!(
                        "replies to /temp-queue/{name} come by themselves, since a SEND named it in reply-to; do not subscribe to it"
                    );
                    return Err(Failure::new("invalid destination", text));
                }
                Ok(queue(self.temp_queue(name, out)?, None))
            }
            Destination::Topic(key) => {
                self.bound(headers, text, Name::const_new(TOPIC_EXCHANGE), pattern(key))
            }
            Destination::Exchange(exchange, key) => {
                self.bound(headers, text, exchange.clone(), key.clone().unwrap_or_default())
            }
        }
    }

    /// A subscription to an exchange has a queue of its own: one that goes with the subscription, or a durable one, which is
    /// found again by its name.
    fn bound(
        &mut self,
        headers: &Headers<'_>,
        text: &[u8],
        exchange: Name,
        key: Name,
    ) -> Result<Source, Failure> {
        let bind = Some((exchange, key));
        if let Some(queue) = self.activemq_queue(headers)? {
            let wanted = wanted(headers, plain())?;
            return Ok(Source { queue, wanted: Some(wanted), bind, durable: true, exclusive: true });
        }
        let asked = match flag_of(headers, "durable")? {
            Some(durable) => durable,
            None => flag_of(headers, "persistent")?.unwrap_or_default(),
        };
        let named = headers.text(b"x-queue-name")?;
        if !asked {
            let base =
                QueuePolicy { durable: false, auto_delete: true, exclusive: named.is_none(), ..plain() };
            let queue = match named {
                Some(named) => queue_name(&String::from_utf8_lossy(&named))?,
                None => self.names.next("stomp-subscription-"),
            };
            let wanted = Some(wanted(headers, base)?);
            return Ok(Source { queue, wanted, bind, durable: false, exclusive: false });
        }
        let queue = match named {
            Some(named) => queue_name(&String::from_utf8_lossy(&named))?,
            None => durable_name(headers, text)?,
        };
        let wanted = Some(wanted(headers, plain())?);
        Ok(Source { queue, wanted, bind, durable: true, exclusive: false })
    }

    /// The queue of a durable subscription as ActiveMQ names it: by `client-id` of CONNECT and `activemq.subscriptionName`.
    fn activemq_queue(&self, headers: &Headers<'_>) -> Result<Option<Name>, Failure> {
        let name = match headers.text(b"activemq.subscriptionName")? {
            Some(name) => Some(name),
            None => headers.text(b"durable-subscription-name")?,
        };
        let Some(name) = name else { return Ok(None) };
        if self.client.id.is_empty() {
            return Err(Failure::new(
                "missing header",
                "a durable subscription by activemq.subscriptionName needs the header 'client-id' in CONNECT",
            ));
        }
        let name = String::from_utf8_lossy(&name);
        queue_name(&format!("stomp-client.{}.{name}", self.client.id)).map(Some)
    }

    pub(super) fn unsubscribe(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<(), Failure> {
        let headers = &frame.headers;
        let receipt = headers.get(b"receipt").map(Receipt::from_slice);
        let id = headers.get(b"id").or_else(|| headers.get(b"destination"));
        let id = id.ok_or_else(|| Failure::missing("UNSUBSCRIBE", "id"))?;
        let forget = flag_of(headers, "durable")?.unwrap_or_default();
        let mut queue = self.activemq_queue(headers)?;
        let consumer = self.by_id.get(id).copied();
        if forget && queue.is_none() {
            let active =
                consumer.and_then(|consumer| self.subscriptions.get(&consumer)?.durable_queue.clone());
            queue = match (active, headers.text(b"destination")?) {
                (Some(active), _) => Some(active),
                (None, Some(destination)) => Some(durable_name(headers, &destination)?),
                (None, None) => None,
            };
        }
        if consumer.is_none() && queue.is_none() {
            let shown = String::from_utf8_lossy(id);
            let text = format!(
                "this connection has no subscription '{shown}'; a durable one is deleted by its id with durable:true and its destination"
            );
            return Err(Failure::new("subscription not found", text));
        }
        let last = queue.is_none();
        if let Some(consumer) = consumer {
            self.end_subscription(consumer, if last { receipt.clone() } else { None }, out);
        }
        if let Some(name) = queue {
            let token = self.steps.ask(receipt, Op::Nothing);
            let op = CatalogOp::DeleteQueue { name, if_unused: false, if_empty: false };
            self.submit(Request::Catalog { token, op: Box::new(op) }, out);
        }
        Ok(())
    }

    /// No message of it comes any more; those that are not settled go back, which is no failure of theirs.
    fn end_subscription(&mut self, consumer: ConsumerId, receipt: Option<Receipt>, out: &mut Output) {
        let Some(subscription) = self.subscriptions.get(&consumer) else { return };
        let (id, link) = (subscription.id.clone(), subscription.link);
        self.by_id.remove(&id);
        if subscription.browser.is_some() {
            self.subscriptions.remove(&consumer);
            return self.finish(receipt, out);
        }
        let token = self.steps.ask(receipt, Op::Unsubscribe { consumer });
        // The link first: what it holds is back in its place before the answer comes.
        self.submit(Request::Detach { link, failed: false }, out);
        self.submit(Request::Unsubscribe { token, consumer }, out);
    }

    /// The engine has ended a subscription that was unsubscribed.
    pub(super) fn unsubscribed(&mut self, consumer: ConsumerId) {
        self.subscriptions.remove(&consumer);
    }

    /// A subscription ended without having asked to.
    pub(super) fn cancelled(&mut self, consumer: ConsumerId, reason: CancelReason, out: &mut Output) {
        let Some(subscription) = self.subscriptions.get(&consumer) else { return };
        if self.by_id.get(&subscription.id) != Some(&consumer) {
            return;
        }
        let shown = String::from_utf8_lossy(&subscription.id).into_owned();
        let failure = match reason {
            CancelReason::QueueDeleted => Failure::new(
                "server cancelled subscription",
                format!("the queue of subscription '{shown}' was deleted; subscribe again"),
            ),
            CancelReason::TooSlow => Failure::new(
                "server cancelled subscription",
                format!(
                    "subscription '{shown}' held a message longer than its queue allows; acknowledge sooner"
                ),
            ),
        };
        self.fail(failure, None, out);
    }

    /// The end of a burst: subscriptions without acknowledgements get as much credit as was written to them.
    pub(super) fn replenish(&mut self, out: &mut Output) {
        while let Some(consumer) = self.replenishing.pop() {
            if let Some(subscription) = self.subscriptions.get_mut(&consumer) {
                let more = subscription.take_delivered();
                out.requests.push(Request::Credit { consumer, more });
            }
        }
    }

    /// The queue behind a temporary name, made when it is first used. It goes with the connection.
    pub(super) fn temp_queue(&mut self, name: &Name, out: &mut Output) -> Result<Name, Failure> {
        if let Some((queue, _)) = self.temp_queues.get(name) {
            return Ok(queue.clone());
        }
        if self.temp_queues.len() >= limits::TEMP_QUEUES_MAX {
            let text =
                format!("more than {} temporary queues; use one for all replies", limits::TEMP_QUEUES_MAX);
            return Err(Failure::new("resource_error", text));
        }
        let queue = self.names.next("amq.gen-");
        let policy = QueuePolicy { durable: false, exclusive: true, ..plain() };
        let token = self.steps.ask(None, Op::Declare { name: queue.clone(), wanted: None });
        let op = CatalogOp::DeclareQueue { name: Some(queue.clone()), policy: Box::new(policy) };
        self.submit(Request::Catalog { token, op: Box::new(op) }, out);
        self.temp_queues.insert(name.clone(), (queue.clone(), false));
        Ok(queue)
    }

    /// Replies come by themselves, with the temporary name as their subscription, as RabbitMQ has it.
    pub(super) fn listen_for_replies(
        &mut self,
        name: &Name,
        queue: &Name,
        destination: &[u8],
        out: &mut Output,
    ) -> Result<(), Failure> {
        match self.temp_queues.get_mut(name) {
            Some((_, listening)) if !*listening => *listening = true,
            _ => return Ok(()),
        }
        let subscribed = self.subscriptions.len() >= limits::SUBSCRIPTIONS_MAX;
        if subscribed {
            return Err(Failure::new("resource_error", "too many subscriptions to listen for replies"));
        }
        let consumer = self.add_subscription(destination.into(), true, AckMode::Auto);
        let subscribe = Subscribe {
            token: self.steps.ask(None, Op::Nothing),
            consumer,
            link: LinkId(consumer.0),
            queue: queue.clone(),
            lease: LeaseMode::Settled,
            window: None,
            credit: Some(limits::AUTO_CREDIT),
            priority: 0,
            exclusive: false,
            session: None,
            linked_lease_ms_max: None,
            filter: None,
            label: Name::from_utf8_lossy(destination),
        };
        self.submit(Request::Subscribe(Box::new(subscribe)), out);
        Ok(())
    }
}

/// What else a subscription can ask for.
struct Options {
    window: Option<u32>,
    priority: i32,
    exclusive: bool,
}

impl Options {
    fn read(headers: &Headers<'_>) -> Result<Self, Failure> {
        let prefetch = match headers.get(b"prefetch-count") {
            Some(value) => Some(number("prefetch-count", value)?),
            None => match headers.get(b"activemq.prefetchSize") {
                Some(value) => Some(number("activemq.prefetchSize", value)?),
                None => None,
            },
        };
        let window = match prefetch {
            None => Some(limits::PREFETCH_DEFAULT),
            // No limit, as RabbitMQ.
            Some(0) => None,
            Some(count) => Some(u32::try_from(count).unwrap_or(u32::MAX)),
        };
        let priority = match (headers.get(b"x-priority"), headers.get(b"activemq.priority")) {
            (Some(value), _) => integer("x-priority", value)?,
            (None, Some(value)) => integer("activemq.priority", value)?,
            (None, None) => 0,
        };
        let exclusive = flag_of(headers, "activemq.exclusive")?.unwrap_or_default();
        Ok(Self { window, priority, exclusive })
    }
}

fn integer(name: &str, value: &[u8]) -> Result<i32, Failure> {
    let text = std::str::from_utf8(value.trim_ascii()).ok();
    text.and_then(|text| text.parse().ok()).ok_or_else(|| Failure::header(name, value, "a whole number"))
}

fn ack_mode(headers: &Headers<'_>) -> Result<AckMode, Failure> {
    match headers.get(b"ack") {
        None | Some(b"auto") => Ok(AckMode::Auto),
        Some(b"client") => Ok(AckMode::Client),
        Some(b"client-individual") => Ok(AckMode::Individual),
        Some(other) => Err(Failure::header("ack", other, "auto, client or client-individual")),
    }
}

/// The condition of a `selector` header, and its text, if there is one.
fn selector(headers: &Headers<'_>) -> Result<Option<(Arc<Filter>, Name)>, Failure> {
    let Some(text) = headers.text(b"selector")? else { return Ok(None) };
    let text = std::str::from_utf8(&text).map_err(|_| Failure::header("selector", &text, "UTF-8"))?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    let filter = baton_dialect::selector::parse(text);
    filter.map(|filter| Some((Arc::new(filter), Name::from(text)))).map_err(|error| {
        Failure::new(
            "invalid selector",
            format!("{error} in: {text}; it must be a condition of SQL-92 as JMS has it"),
        )
    })
}

/// A header that is true or false, if it is there.
pub(super) fn flag_of(headers: &Headers<'_>, name: &str) -> Result<Option<bool>, Failure> {
    headers.get(name.as_bytes()).map(|value| flag(name, value)).transpose()
}

/// The queue of a durable subscription as RabbitMQ's clients mean it: by its id and its destination. Readable, since
/// operators meet it.
fn durable_name(headers: &Headers<'_>, destination: &[u8]) -> Result<Name, Failure> {
    let id = headers.text(b"id")?.ok_or_else(|| Failure::missing("a durable subscription", "id"))?;
    let (id, destination) = (String::from_utf8_lossy(&id), String::from_utf8_lossy(destination));
    queue_name(&format!("stomp-subscription.{id}.{}", destination.trim_start_matches('/')))
}

fn queue_name(name: &str) -> Result<Name, Failure> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        let text = format!(
            "the subscription's queue would be called '{name}': names have 1 to {NAME_BYTES_MAX} bytes; choose shorter ids"
        );
        return Err(Failure::new("invalid header", text));
    }
    Ok(Name::from(name))
}
