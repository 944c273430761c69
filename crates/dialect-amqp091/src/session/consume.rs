//! Consumers and their limits: consume, cancel, get, qos; and direct reply-to, which is a consumer of a queue that nobody
//! declared. Not here: deliveries (`deliver`).

use baton_dialect::Output;
use baton_model::event::QueueInfo;
use baton_model::policy::QueuePolicy;
use baton_model::request::{CatalogOp, Fetch, FetchSelect, LeaseMode, Subscribe};
use baton_model::{ConsumerId, LinkId, Name, Reply, Request};

use super::failure::Failure;
use super::queue::{TYPE_LABEL, is_counting};
use super::steps::Op;
use super::{AmqpSession, limits};
use crate::codes::ReplyCode;
use crate::methods::basic;
use crate::short_str::ShortStr;
use crate::table::{TableRef, ValueRef};

/// What a client consumes from, and gives as `reply-to`, to get replies without a queue of its own.
pub(super) const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// What the broker puts in place of it begins so.
const REPLY_PREFIX: &str = "amq.rabbitmq.reply-to.";

/// Whether a name is the address of somebody's direct reply-to.
pub(super) fn is_reply_address(name: &str) -> bool {
    name.starts_with(REPLY_PREFIX)
}

/// A consumer.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) link: LinkId,
    pub(super) tag: ShortStr,
    pub(super) no_ack: bool,
    /// The client has cancelled it; deliveries on their way still come.
    pub(super) stopping: bool,
    /// Delivered since credit was last given, for consumers without acknowledgements.
    delivered: u32,
}

impl Consumer {
    /// One more was written to a consumer without acknowledgements.
    pub(super) fn delivered(&mut self, id: ConsumerId, replenishing: &mut Vec<ConsumerId>) {
        self.delivered += 1;
        if self.delivered == limits::NO_ACK_CREDIT / 2 {
            replenishing.push(id);
        }
    }
}

impl AmqpSession {
    pub(super) fn consume(
        &mut self,
        number: u16,
        consume: &basic::Consume,
        out: &mut Output,
    ) -> Result<(), Failure> {
        if self.consumers.len() >= limits::CONSUMERS_MAX {
            let text = format!("more than {} consumers", limits::CONSUMERS_MAX);
            return Err(Failure::new(ReplyCode::ResourceError, text));
        }
        if consume.queue == *REPLY_TO {
            return self.consume_replies(number, consume, out);
        }
        let queue = self.queue_name(number, &consume.queue)?;
        let arguments = Arguments::read(consume.arguments.as_table())?;
        let tag = self.new_tag(number, &consume.consumer_tag)?;
        self.look(number, &queue, consume.exclusive, out);
        self.subscribe(number, &queue, tag, consume, &arguments, out).map(|_| ())
    }

    /// Direct reply-to: an exclusive queue of an unguessable name, consumed without acknowledgements.
    fn consume_replies(
        &mut self,
        number: u16,
        consume: &basic::Consume,
        out: &mut Output,
    ) -> Result<(), Failure> {
        if self.opened(number)?.replies.is_some() {
            return Err(Failure::precondition("reply consumer already set"));
        }
        if !consume.no_ack {
            return Err(Failure::precondition("reply consumer cannot acknowledge"));
        }
        let tag = self.new_tag(number, &consume.consumer_tag)?;
        let address = self.names.next(REPLY_PREFIX);
        let policy = QueuePolicy {
            durable: false,
            exclusive: true,
            auto_delete: true,
            labels: vec![(Name::from(TYPE_LABEL), Name::from("classic"))],
            ..QueuePolicy::default()
        };
        if let Some(token) = self.ask(number, Op::ReplyQueue) {
            let op = CatalogOp::DeclareQueue { name: Some(address.clone()), policy: Box::new(policy) };
            self.submit(Request::Catalog { token, op: Box::new(op) }, out);
        }
        let id = self.subscribe(number, &address, tag, consume, &Arguments::default(), out)?;
        self.opened(number)?.replies = Some((id, address));
        Ok(())
    }

    fn subscribe(
        &mut self,
        number: u16,
        queue: &Name,
        tag: ShortStr,
        consume: &basic::Consume,
        arguments: &Arguments,
        out: &mut Output,
    ) -> Result<ConsumerId, Failure> {
        let id = ConsumerId(self.next_consumer);
        self.next_consumer = self.next_consumer.wrapping_add(1);
        let channel = self.opened(number)?;
        let (link, prefetch) = (channel.link, channel.prefetch);
        channel.tags.insert(tag.clone(), id);
        let no_ack = consume.no_ack;
        self.consumers.insert(id, Consumer { link, tag: tag.clone(), no_ack, stopping: false, delivered: 0 });
        let label = Name::from(tag.as_str());
        let op = Op::Consume { queue: queue.clone(), tag, no_wait: consume.no_wait };
        if let Some(token) = self.ask(number, op) {
            let subscribe = Subscribe {
                token,
                consumer: id,
                link,
                queue: queue.clone(),
                lease: if no_ack { LeaseMode::Settled } else { LeaseMode::Linked },
                window: prefetch.filter(|_| !no_ack),
                credit: no_ack.then_some(limits::NO_ACK_CREDIT),
                priority: arguments.priority,
                exclusive: consume.exclusive,
                session: None,
                linked_lease_ms_max: arguments.timeout_ms,
                filter: None,
                label,
            };
            self.submit(Request::Subscribe(Box::new(subscribe)), out);
        }
        Ok(id)
    }

    /// The tag that the client chose, if it may, or a new one.
    fn new_tag(&mut self, number: u16, tag: &ShortStr) -> Result<ShortStr, Failure> {
        if tag.is_empty() {
            let name = self.names.next("amq.ctag-");
            return Ok(ShortStr::truncated(&name));
        }
        if self.opened(number)?.tags.contains_key(tag) {
            let text = format!("attempt to reuse consumer tag '{tag}'");
            return Err(Failure::new(ReplyCode::NotAllowed, text));
        }
        Ok(tag.detached())
    }

    /// The first time that a queue is read from, asks for its type: only some show their counters. Exclusive consumers
    /// always ask, since a queue with a single active consumer refuses them.
    fn look(&mut self, number: u16, queue: &Name, exclusive: bool, out: &mut Output) {
        if !self.ask_once(queue) && !exclusive {
            return;
        }
        if let Some(token) = self.ask(number, Op::Look { name: queue.clone(), exclusive }) {
            let op = Box::new(CatalogOp::Queue { name: queue.clone() });
            self.submit(Request::Catalog { token, op }, out);
        }
    }

    /// The answer to [`Self::look`].
    pub(super) fn looked(&mut self, name: &Name, exclusive: bool, reply: &Reply) -> Result<(), Failure> {
        let Reply::Queue { info, .. } = reply else {
            self.known.remove(name);
            return Ok(());
        };
        self.remember(info);
        if exclusive && info.policy.dispatch.single_active {
            let vhost = &self.client.vhost;
            let text = format!(
                "queue '{name}' in vhost '{vhost}' has a single active consumer and takes no exclusive ones"
            );
            return Err(Failure::new(ReplyCode::AccessRefused, text));
        }
        Ok(())
    }

    /// Whether nobody has asked for the type of the queue yet; now somebody has.
    pub(super) fn ask_once(&mut self, name: &Name) -> bool {
        if self.known.len().max(self.counting.len()) >= limits::KNOWN_QUEUES_MAX {
            self.known.clear();
            self.counting.clear();
        }
        self.known.insert(name.clone())
    }

    /// The type of a queue is told.
    pub(super) fn remember(&mut self, info: &QueueInfo) {
        if is_counting(&info.policy) && self.counting.len() < 2 * limits::KNOWN_QUEUES_MAX {
            self.counting.insert(info.id);
        }
    }

    pub(super) fn cancel(
        &mut self,
        number: u16,
        cancel: &basic::Cancel,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let channel = self.opened(number)?;
        let Some(id) = channel.tags.remove(&cancel.consumer_tag) else {
            if !cancel.no_wait {
                let consumer_tag = cancel.consumer_tag.clone();
                self.answer(number, basic::CancelOk { consumer_tag }, out);
            }
            return Ok(());
        };
        if channel.replies.as_ref().is_some_and(|(consumer, _)| *consumer == id) {
            channel.replies = None;
        }
        if let Some(consumer) = self.consumers.get_mut(&id) {
            consumer.stopping = true;
        }
        let tag = cancel.consumer_tag.detached();
        if let Some(token) = self.ask(number, Op::Cancel { consumer: id, tag, no_wait: cancel.no_wait }) {
            self.submit(Request::Unsubscribe { token, consumer: id }, out);
        }
        Ok(())
    }

    /// A consumer is over, and no delivery of it follows.
    pub(super) fn forget_consumer(&mut self, id: ConsumerId) {
        let Some(consumer) = self.consumers.remove(&id) else { return };
        let number = super::token::channel_of(consumer.link);
        if let Some(channel) = self.channel(number).filter(|channel| channel.link == consumer.link) {
            if channel.tags.get(&consumer.tag) == Some(&id) {
                channel.tags.remove(&consumer.tag);
            }
            channel.replies.take_if(|(replies, _)| *replies == id);
        }
    }

    pub(super) fn get(&mut self, number: u16, get: &basic::Get, out: &mut Output) -> Result<(), Failure> {
        let queue = self.queue_name(number, &get.queue)?;
        self.look(number, &queue, false, out);
        let link = self.opened(number)?.link;
        let op = Op::Get { queue: queue.clone(), no_ack: get.no_ack };
        if let Some(token) = self.ask(number, op) {
            let fetch = Fetch {
                token,
                link,
                queue,
                select: FetchSelect::Next,
                count_max: 1,
                lease: if get.no_ack { LeaseMode::Settled } else { LeaseMode::Linked },
                wait_until: None,
                label: Name::from("basic.get"),
            };
            self.submit(Request::Fetch(Box::new(fetch)), out);
        }
        Ok(())
    }

    pub(super) fn qos(&mut self, number: u16, qos: &basic::Qos, out: &mut Output) -> Result<(), Failure> {
        if qos.prefetch_size != 0 {
            let text = format!("prefetch_size!=0 ({})", qos.prefetch_size);
            return Err(Failure::new(ReplyCode::NotImplemented, text));
        }
        let window = (qos.prefetch_count > 0).then_some(u32::from(qos.prefetch_count));
        let channel = self.opened(number)?;
        if qos.global {
            let link = channel.link;
            self.submit(Request::LinkWindow { link, window }, out);
        } else {
            channel.prefetch = window;
        }
        self.answer(number, basic::QosOk, out);
        Ok(())
    }

    /// The end of a burst: consumers without acknowledgements get as much credit as was written to them.
    pub(super) fn replenish(&mut self, out: &mut Output) {
        while let Some(id) = self.replenishing.pop() {
            if let Some(consumer) = self.consumers.get_mut(&id) {
                let more = std::mem::take(&mut consumer.delivered);
                out.requests.push(Request::Credit { consumer: id, more });
            }
        }
    }
}

/// Arguments of `basic.consume`. Others are ignored, as in RabbitMQ.
#[derive(Clone, Copy, Debug, Default)]
struct Arguments {
    priority: i32,
    timeout_ms: Option<u64>,
}

impl Arguments {
    fn read(table: TableRef<'_>) -> Result<Self, Failure> {
        table.check()?;
        let mut arguments = Self::default();
        if let Some(value) = table.get("x-priority")? {
            let priority = value.as_i64().ok_or_else(|| invalid("x-priority", "it must be an integer"))?;
            let clamped = priority.clamp(i32::MIN.into(), i32::MAX.into());
            arguments.priority = i32::try_from(clamped).unwrap_or_default();
        }
        if let Some(value) = table.get("x-consumer-timeout")? {
            let ms = value.as_i64().and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms > 0);
            let ms = ms.ok_or_else(|| invalid("x-consumer-timeout", "it must be milliseconds above 0"))?;
            arguments.timeout_ms = Some(ms);
        }
        // Streams alone have offsets; whoever asks for one expects a stream.
        if table.get("x-stream-offset")?.is_some_and(|value| value != ValueRef::Void) {
            return Err(invalid("x-stream-offset", "streams are not offered"));
        }
        Ok(arguments)
    }
}

fn invalid(name: &str, why: &str) -> Failure {
    Failure::precondition(format!("invalid arg '{name}' for basic.consume: {why}"))
}
