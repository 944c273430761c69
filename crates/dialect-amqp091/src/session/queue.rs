//! Queues: declare, bind, unbind, purge, delete. What their arguments mean is in `arguments`.

use baton_dialect::Output;
use baton_model::request::CatalogOp;
use baton_model::route::Destination;
use baton_model::{Name, QueuePolicy, Reply, Request, Token};

use super::arguments::{difference, queue_policy};
use super::consume::REPLY_TO;
use super::exchange::{RESERVED_PREFIX, binding};
use super::failure::{Failure, locked_text};
use super::steps::Op;
use super::{AmqpSession, write};
use crate::codes::ReplyCode;
use crate::methods::queue as methods;
use crate::short_str::ShortStr;

/// The label of a queue's type.
pub(super) const TYPE_LABEL: &str = "x-queue-type";

/// What a client declared.
#[derive(Debug)]
pub(super) struct WantedQueue {
    pub(super) policy: QueuePolicy,
    /// It named the type; otherwise any will do.
    pub(super) names_type: bool,
}

/// Whether deliveries of the queue show their counters: RabbitMQ's quorum queues do.
pub(super) fn is_counting(policy: &QueuePolicy) -> bool {
    policy.labels.iter().any(|(name, value)| name == TYPE_LABEL && value == "quorum")
}

impl AmqpSession {
    pub(super) fn declare_queue(
        &mut self,
        number: u16,
        declare: &methods::Declare,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let no_wait = declare.no_wait;
        if declare.passive && declare.queue == *REPLY_TO {
            if !no_wait {
                let ok = methods::DeclareOk { queue: declare.queue.detached(), ..Default::default() };
                self.answer(number, ok, out);
            }
            return Ok(());
        }
        if declare.passive {
            let name = self.queue_name(number, &declare.queue)?;
            let step = Op::DeclareQueue { name: name.clone(), wanted: None, reserved: false, no_wait };
            self.ask_catalog(number, step, CatalogOp::Queue { name }, out);
            return Ok(());
        }
        let wanted = queue_policy(declare, &self.client.vhost)?;
        // Named here and not by the engine, so that commands which follow at once may mean it by an empty name.
        let unnamed = declare.queue.is_empty();
        let name = if unnamed { self.names.next("amq.gen-") } else { Name::from(declare.queue.as_str()) };
        let reserved = !unnamed && name.starts_with(RESERVED_PREFIX);
        let op = if reserved {
            CatalogOp::Queue { name: name.clone() }
        } else {
            let policy = Box::new(wanted.policy.clone());
            CatalogOp::DeclareQueue { name: Some(name.clone()), policy }
        };
        self.opened(number)?.queue = name.clone();
        // Its answer tells the type. If it fails, the channel does too, and is not read from.
        self.ask_once(&name);
        let step = Op::DeclareQueue { name, wanted: Some(Box::new(wanted)), reserved, no_wait };
        self.ask_catalog(number, step, op, out);
        Ok(())
    }

    /// The queue is there: is it as it was wanted?
    pub(super) fn queue_declared(
        &mut self,
        number: u16,
        asked: &Name,
        wanted: Option<&WantedQueue>,
        no_wait: bool,
        reply: Reply,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let Reply::Queue { created, info } = reply else {
            // Somebody's direct reply-to: it is there, and that is all to be said.
            let ok = methods::DeclareOk { queue: ShortStr::truncated(asked), ..Default::default() };
            if !no_wait {
                write(out, number, &ok);
            }
            return Ok(());
        };
        let name = &info.name;
        if let Some(wanted) = wanted {
            let vhost = &self.client.vhost;
            if wanted.policy.exclusive != info.policy.exclusive {
                return Err(Failure::new(ReplyCode::ResourceLocked, locked_text(name, vhost)));
            }
            if let Some((argument, how)) = difference(wanted, &info.policy).filter(|_| !created) {
                return Err(Failure::precondition(format!(
                    "inequivalent arg '{argument}' for queue '{name}' in vhost '{vhost}': {how}"
                )));
            }
            if created && info.policy.exclusive {
                self.owned.push(name.clone());
            }
        }
        self.remember(&info);
        self.opened(number)?.queue = name.clone();
        if !no_wait {
            let ok = methods::DeclareOk {
                queue: ShortStr::truncated(name),
                message_count: u32::try_from(info.ready).unwrap_or(u32::MAX),
                consumer_count: info.consumers,
            };
            write(out, number, &ok);
        }
        Ok(())
    }

    pub(super) fn bind_queue(
        &mut self,
        number: u16,
        bind: &methods::Bind,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let name = self.queue_name(number, &bind.queue)?;
        // As in RabbitMQ: without a queue and a key, the key is the queue's name.
        let key = if bind.queue.is_empty() && bind.routing_key.is_empty() {
            name.as_str()
        } else {
            bind.routing_key.as_str()
        };
        let destination = Destination::Queue(name.clone());
        let binding = binding(bind.exchange.as_str(), destination, key, bind.arguments.as_table())?;
        let step = Op::BindQueue { name: name.clone(), no_wait: bind.no_wait };
        self.ask_catalog(number, step, CatalogOp::Bind(binding), out);
        Ok(())
    }

    pub(super) fn unbind_queue(
        &mut self,
        number: u16,
        unbind: &methods::Unbind,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let name = self.queue_name(number, &unbind.queue)?;
        let destination = Destination::Queue(name.clone());
        let key = unbind.routing_key.as_str();
        let binding = binding(unbind.exchange.as_str(), destination, key, unbind.arguments.as_table())?;
        self.ask_catalog(number, Op::UnbindQueue { name }, CatalogOp::Unbind(binding), out);
        Ok(())
    }

    pub(super) fn purge_queue(
        &mut self,
        number: u16,
        purge: &methods::Purge,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let name = self.queue_name(number, &purge.queue)?;
        let step = Op::PurgeQueue { name: name.clone(), no_wait: purge.no_wait };
        self.ask_catalog(number, step, CatalogOp::PurgeQueue { name }, out);
        Ok(())
    }

    pub(super) fn delete_queue(
        &mut self,
        number: u16,
        delete: &methods::Delete,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let name = self.queue_name(number, &delete.queue)?;
        let step = Op::DeleteQueue { name: name.clone(), no_wait: delete.no_wait };
        let &methods::Delete { if_unused, if_empty, .. } = delete;
        self.ask_catalog(number, step, CatalogOp::DeleteQueue { name, if_unused, if_empty }, out);
        Ok(())
    }

    /// Deletes a queue of the connection's own, with whatever it holds.
    pub(super) fn delete_owned(&mut self, name: Name, token: Token, out: &mut Output) {
        let op = Box::new(CatalogOp::DeleteQueue { name, if_unused: false, if_empty: false });
        self.submit(Request::Catalog { token, op }, out);
    }

    /// The queue that a name means: an empty one the channel's last declared.
    pub(super) fn queue_name(&mut self, number: u16, name: &ShortStr) -> Result<Name, Failure> {
        if !name.is_empty() {
            return Ok(Name::from(name.as_str()));
        }
        match &self.opened(number)?.queue {
            none if none.is_empty() => Err(Failure::new(ReplyCode::NotFound, "no previously declared queue")),
            last => Ok(last.clone()),
        }
    }
}
