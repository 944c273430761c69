//! The catalog: queues, exchanges and bindings are made, looked at, changed and deleted.

use baton_model::event::{CancelReason, QueueInfo};
use baton_model::request::{CatalogOp, MessageState};
use baton_model::route::{Binding, Destination, ExchangePolicy};
use baton_model::{ConnectionId, Event, Name, QueueId, QueuePolicy, Refusal, RefusalCode, Reply, Seq, Time};

use super::Machine;
use super::publish::survives;
use crate::context::Context;
use crate::number::whole;
use crate::queue::entries::Slot;
use crate::queue::{Entry, NONE, Queue};
use crate::record::{QueueCreated, Record, Removal, Runs};

impl Machine {
    pub(super) fn catalog(
        &mut self,
        now: Time,
        from: ConnectionId,
        op: CatalogOp,
        needs: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Result<Reply, Refusal> {
        match op {
            CatalogOp::DeclareQueue { name, policy } => {
                self.declare_queue(now, from, name, *policy, needs, cx)
            }
            CatalogOp::Queue { name } => {
                let id = self.find_queue(from, &name)?;
                self.queue_reply(id, false)
            }
            CatalogOp::UpdateQueue { name, policy } => {
                self.update_queue(now, from, &name, *policy, needs, cx)
            }
            CatalogOp::DeleteQueue { name, if_unused, if_empty } => {
                let id = self.find_queue(from, &name)?;
                let count = self.check_deletable(id, if_unused, if_empty)?;
                *needs = self.delete_queue(id, cx);
                Ok(Reply::Count(count))
            }
            CatalogOp::PurgeQueue { name } => {
                let id = self.find_queue(from, &name)?;
                let (count, end) = self.purge(id, cx);
                *needs = end;
                Ok(Reply::Count(count))
            }
            CatalogOp::ClearQueue { name } => {
                let id = self.find_queue(from, &name)?;
                let (count, end) = self.clear(id, cx);
                *needs = end;
                Ok(Reply::Count(count))
            }
            CatalogOp::Rest { name, until } => {
                let namespace = self.namespace(from);
                *needs = self.commit(Record::NameRested { namespace, name, at: now, until }, cx);
                Ok(Reply::Done)
            }
            CatalogOp::Resting { name } => {
                Ok(Reply::Count(self.state.resting.left_ms(now, &self.namespace(from), &name)))
            }
            CatalogOp::Queues { after, prefix, count_max } => {
                Ok(Reply::Queues(self.list_queues(from, after.as_ref(), &prefix, count_max)))
            }
            CatalogOp::DeclareExchange { name, policy } => {
                Ok(self.declare_exchange(from, name, policy, needs, cx))
            }
            CatalogOp::Exchange { name } => {
                let policy = self.exchange_policy(from, &name)?;
                Ok(Reply::Exchange { created: false, policy: Box::new(policy) })
            }
            CatalogOp::DeleteExchange { name, if_unused } => {
                self.delete_exchange(from, &name, if_unused, needs, cx)
            }
            CatalogOp::Exchanges => {
                let names = self.state.namespaces.get(&self.namespace(from));
                let exchanges = names.into_iter().flat_map(|names| &names.exchanges);
                let all = exchanges.map(|(name, exchange)| {
                    (name.clone(), exchange.policy.clone(), exchange.bindings().cloned().collect())
                });
                Ok(Reply::Exchanges(all.collect()))
            }
            CatalogOp::Bind(binding) => self.bind(from, binding, needs, cx),
            CatalogOp::Unbind(binding) => self.unbind(from, binding, needs, cx),
        }
    }

    fn declare_queue(
        &mut self,
        now: Time,
        from: ConnectionId,
        name: Option<Name>,
        policy: QueuePolicy,
        needs: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Result<Reply, Refusal> {
        if let Some(name) = &name {
            match self.find_queue(from, name) {
                Ok(id) => {
                    if let Some(queue) = self.state.queue_mut(id) {
                        queue.serve.used(now);
                    }
                    self.touch(id);
                    return self.queue_reply(id, false);
                }
                Err(refusal) if refusal.code == RefusalCode::QueueNotFound => {}
                Err(refusal) => return Err(refusal),
            }
        }
        let namespace = self.namespace(from);
        let name = name.unwrap_or_else(|| self.unused_name(&namespace));
        let id = QueueId(self.state.next_queue);
        self.state.next_queue += 1;
        let exclusive = policy.exclusive;
        let created = QueueCreated { queue: id, namespace, name, policy, at: now };
        *needs = self.commit(Record::QueueCreated(Box::new(created)), cx);
        if exclusive && let Some(connection) = self.clients.connection_mut(from) {
            connection.owned.push(id);
        }
        if let Some(queue) = self.state.queue_mut(id) {
            queue.serve.owner = exclusive.then_some(from);
        }
        self.queue_appeared(id);
        self.touch(id);
        self.queue_reply(id, true)
    }

    /// A name for a queue whose declarer gave none, as RabbitMQ forms them.
    fn unused_name(&mut self, namespace: &Name) -> Name {
        loop {
            let (high, low) = (whole(self.random() * 1e15), whole(self.random() * 1e15));
            let name = Name::from(format!("amq.gen-{high:013x}{low:013x}"));
            if self.state.namespaces.get(namespace).is_none_or(|names| !names.queues.contains_key(&name)) {
                return name;
            }
        }
    }

    fn queue_reply(&self, id: QueueId, created: bool) -> Result<Reply, Refusal> {
        let queue = self.state.queue(id).ok_or_else(|| not_found(&Name::default()))?;
        Ok(Reply::Queue { created, info: Box::new(info(queue)) })
    }

    fn update_queue(
        &mut self,
        now: Time,
        from: ConnectionId,
        name: &Name,
        mut policy: QueuePolicy,
        needs: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Result<Reply, Refusal> {
        let id = self.find_queue(from, name)?;
        let queue = self.state.queue(id).ok_or_else(|| not_found(name))?;
        let old = &queue.policy;
        // Facts about the list, which an operator who changes the policy does not mean to forget.
        policy.list.front = policy.list.front.or(old.list.front);
        policy.list.expires_at = policy.list.expires_at.or(old.list.expires_at);
        if (old.durable, old.exclusive) != (policy.durable, policy.exclusive) {
            let text =
                format!("queue '{name}' cannot change whether it is durable or exclusive: delete it first");
            return Err(Refusal::new(RefusalCode::Invalid, text));
        }
        let old_ttl_ms = old.ttl_ms;
        if old.keys.mode != policy.keys.mode && queue.entries.len() > 0 {
            let text =
                format!("queue '{name}' holds messages: its ordering can only change while it is empty");
            return Err(Refusal::new(RefusalCode::NotEmpty, text));
        }
        // Another time to live concerns every message.
        if policy.ttl_since_sent && old_ttl_ms != policy.ttl_ms && !self.warm_queue(id, cx) {
            let text =
                format!("messages of queue '{name}' cannot be read from disk at the moment: try again");
            return Err(Refusal::new(RefusalCode::Unavailable, text));
        }
        *needs = self.commit(Record::QueueChanged { queue: id, policy: Box::new(policy), at: now }, cx);
        self.overflowing.push(id);
        self.touch(id);
        Ok(Reply::Done)
    }

    fn check_deletable(&self, id: QueueId, if_unused: bool, if_empty: bool) -> Result<u64, Refusal> {
        let queue = self.state.queue(id).ok_or_else(|| not_found(&Name::default()))?;
        let place = format!("queue '{}' in vhost '{}'", queue.name, queue.namespace);
        if if_unused && !queue.serve.consumers.is_empty() {
            return Err(Refusal::new(RefusalCode::InUse, format!("{place} in use")));
        }
        if if_empty && queue.entries.len() > 0 {
            return Err(Refusal::new(RefusalCode::NotEmpty, format!("{place} is not empty")));
        }
        Ok(queue.index.counts.ready)
    }

    /// A queue goes, with its messages, bindings and consumers.
    pub(super) fn delete_queue(&mut self, id: QueueId, cx: &mut Context<'_>) -> Option<u64> {
        let queue = self.state.queue(id)?;
        let now = queue.changed_at;
        let held = queue.entries.hot_from(Seq(0)).filter(|(_, entry)| entry.holder != NONE);
        let held: Vec<Seq> = held.map(|(seq, _)| seq).collect();
        let consumers: Vec<u32> = queue.serve.consumers.values().copied().collect();
        let fetches: Vec<u64> = queue.serve.fetches().collect();
        let (namespace, name) = (queue.namespace.clone(), queue.name.clone());
        let (owner, timer) = (queue.serve.owner, queue.serve.timer);
        if let Some(queue) = self.state.queue_mut(id) {
            // It goes anyway: ending its last consumer must not delete it again.
            queue.policy.auto_delete = false;
        }
        for number in fetches {
            if let Some(waiting) = self.end_waiting(number) {
                let event = Event::Fetched { token: waiting.fetch.token, result: Err(not_found(&name)) };
                cx.emit(waiting.connection, None, event);
            }
        }
        self.queue_vanishes(id);
        for consumer in consumers {
            self.cancel_consumer(now, consumer, CancelReason::QueueDeleted, cx);
        }
        for seq in held {
            self.give_up(id, seq);
        }
        if let Some(owner) = owner.and_then(|owner| self.clients.connection_mut(owner)) {
            owner.owned.retain(|owned| *owned != id);
        }
        if let Some(timer) = timer {
            self.timers.remove(&(timer, id));
        }
        self.transfers.forget(id);
        let destination = Destination::Queue(name);
        let sources = self.sources_of(&namespace, &destination);
        let end = self.commit(Record::QueueDeleted { queue: id }, cx);
        self.delete_unbound(&namespace, sources, cx);
        end
    }

    /// Drops all ready messages.
    fn purge(&mut self, id: QueueId, cx: &mut Context<'_>) -> (u64, Option<u64>) {
        self.drop_where(id, |entry| entry.state == MessageState::Ready, cx)
    }

    /// Drops all messages; whoever holds one has room again.
    fn clear(&mut self, id: QueueId, cx: &mut Context<'_>) -> (u64, Option<u64>) {
        let held = self.state.queue(id).into_iter().flat_map(|queue| queue.entries.hot_from(Seq(0)));
        let held: Vec<Seq> = held.filter(|(_, entry)| entry.holder != NONE).map(|(seq, _)| seq).collect();
        held.into_iter().for_each(|seq| self.give_up(id, seq));
        self.drop_where(id, |_| true, cx)
    }

    fn drop_where(
        &mut self,
        id: QueueId,
        goes: impl Fn(&Entry) -> bool,
        cx: &mut Context<'_>,
    ) -> (u64, Option<u64>) {
        let Some(range) = self.state.queue(id).map(|queue| queue.entries.page_range()) else {
            return (0, None);
        };
        let (mut durable, mut transient) = (Runs::default(), Runs::default());
        for page in range {
            let Some(queue) = self.state.queue(id) else { break };
            match queue.entries.page(page) {
                Some(Slot::Cold(cold)) if cold.summary.is_plainly_ready() => {
                    cold.summary.places(page).for_each(|seq| durable.push(seq));
                    continue;
                }
                slot => {
                    // What cannot be read now stays.
                    let cold = matches!(slot, Some(Slot::Cold(_)));
                    if cold && !self.warm_page(id, page, cx) {
                        continue;
                    }
                }
            }
            let Some(Slot::Hot(hot)) = self.state.queue(id).and_then(|queue| queue.entries.page(page)) else {
                continue;
            };
            for (seq, entry) in hot.entries(page) {
                if goes(entry) {
                    if entry.durable { durable.push(seq) } else { transient.push(seq) }
                }
            }
        }
        let count = durable.count() + transient.count();
        let mut needs = None;
        for (seqs, durable) in [(durable, true), (transient, false)] {
            if !seqs.is_empty() {
                let record = Record::Removed { queue: id, seqs, reason: Removal::Deleted, durable };
                needs = needs.max(self.commit(record, cx));
            }
        }
        self.touch(id);
        (count, needs)
    }

    fn list_queues(
        &self,
        from: ConnectionId,
        after: Option<&Name>,
        prefix: &Name,
        count_max: u32,
    ) -> Vec<QueueInfo> {
        let Some(names) = self.state.namespaces.get(&self.namespace(from)) else { return Vec::new() };
        let start = after.map_or(std::ops::Bound::Included(prefix), |after| {
            if after > prefix { std::ops::Bound::Excluded(after) } else { std::ops::Bound::Included(prefix) }
        });
        names
            .queues
            .range::<Name, _>((start, std::ops::Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix.as_str()))
            .take(count_max as usize)
            .filter_map(|(_, id)| self.state.queue(*id).map(info))
            .collect()
    }

    fn declare_exchange(
        &mut self,
        from: ConnectionId,
        name: Name,
        policy: ExchangePolicy,
        needs: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Reply {
        if let Ok(existing) = self.exchange_policy(from, &name) {
            return Reply::Exchange { created: false, policy: Box::new(existing) };
        }
        let namespace = self.namespace(from);
        let record = Record::ExchangeCreated { namespace, name, policy: Box::new(policy.clone()) };
        *needs = self.commit(record, cx);
        Reply::Exchange { created: true, policy: Box::new(policy) }
    }

    pub(super) fn exchange_policy(&self, from: ConnectionId, name: &Name) -> Result<ExchangePolicy, Refusal> {
        let namespace = self.namespace(from);
        let names = self.state.namespaces.get(&namespace);
        names.and_then(|names| names.exchanges.get(name)).map(|exchange| exchange.policy.clone()).ok_or_else(
            || {
                let text = format!("no exchange '{name}' in vhost '{namespace}'");
                Refusal::new(RefusalCode::ExchangeNotFound, text)
            },
        )
    }

    fn delete_exchange(
        &mut self,
        from: ConnectionId,
        name: &Name,
        if_unused: bool,
        needs: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Result<Reply, Refusal> {
        self.exchange_policy(from, name)?;
        let namespace = self.namespace(from);
        let destination = Destination::Exchange(name.clone());
        let sources = self.sources_of(&namespace, &destination);
        let unbound = self.state.namespaces.get(&namespace).and_then(|names| names.exchanges.get(name));
        if if_unused && unbound.is_some_and(|exchange| !exchange.is_unbound()) {
            let text = format!("exchange '{name}' in vhost '{namespace}' in use");
            return Err(Refusal::new(RefusalCode::InUse, text));
        }
        let record = Record::ExchangeDeleted { namespace: namespace.clone(), name: name.clone() };
        *needs = self.commit(record, cx);
        self.delete_unbound(&namespace, sources, cx);
        Ok(Reply::Done)
    }

    fn bind(
        &mut self,
        from: ConnectionId,
        binding: Binding,
        needs: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Result<Reply, Refusal> {
        let source = self.exchange_policy(from, &binding.source)?;
        let destination_durable = match &binding.destination {
            Destination::Queue(name) => {
                let id = self.find_queue(from, name)?;
                self.state.queue(id).is_some_and(survives)
            }
            Destination::Exchange(name) => self.exchange_policy(from, name)?.durable,
        };
        let namespace = self.namespace(from);
        let known =
            self.state.namespaces.get(&namespace).and_then(|names| names.exchanges.get(&binding.source));
        if known.is_some_and(|exchange| exchange.has(&binding)) {
            return Ok(Reply::Done);
        }
        let durable = source.durable && destination_durable;
        *needs = self.commit(Record::Bound { namespace, binding: Box::new(binding), durable }, cx);
        Ok(Reply::Done)
    }

    fn unbind(
        &mut self,
        from: ConnectionId,
        binding: Binding,
        needs: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Result<Reply, Refusal> {
        let namespace = self.namespace(from);
        let names = self.state.namespaces.get(&namespace);
        let exchange = names.and_then(|names| names.exchanges.get(&binding.source));
        if exchange.is_some_and(|exchange| exchange.has(&binding)) {
            let source = binding.source.clone();
            let record = Record::Unbound { namespace: namespace.clone(), binding: Box::new(binding) };
            *needs = self.commit(record, cx);
            self.delete_unbound(&namespace, vec![source], cx);
        }
        Ok(Reply::Done)
    }

    /// Exchanges with bindings to a destination.
    fn sources_of(&self, namespace: &Name, destination: &Destination) -> Vec<Name> {
        let Some(names) = self.state.namespaces.get(namespace) else { return Vec::new() };
        let mut sources: Vec<Name> =
            names.bindings_to(destination).into_iter().map(|binding| binding.source.clone()).collect();
        sources.dedup();
        sources
    }

    /// Auto-delete exchanges that have lost their last binding go, and so on.
    fn delete_unbound(&mut self, namespace: &Name, mut candidates: Vec<Name>, cx: &mut Context<'_>) {
        while let Some(name) = candidates.pop() {
            let names = self.state.namespaces.get(namespace);
            let exchange = names.and_then(|names| names.exchanges.get(&name));
            if exchange.is_some_and(|exchange| exchange.policy.auto_delete && exchange.is_unbound()) {
                candidates.extend(self.sources_of(namespace, &Destination::Exchange(name.clone())));
                self.commit(Record::ExchangeDeleted { namespace: namespace.clone(), name }, cx);
            }
        }
    }
}

fn not_found(name: &Name) -> Refusal {
    Refusal::new(RefusalCode::QueueNotFound, format!("no queue '{name}'"))
}

/// What everybody may know of a queue.
pub(super) fn info(queue: &Queue) -> QueueInfo {
    let counts = queue.index.counts;
    let oldest = queue.index.ready.peek().and_then(|(_, seq)| queue.entries.enqueued_at(seq));
    QueueInfo {
        name: queue.name.clone(),
        id: queue.id,
        policy: queue.policy.clone(),
        ready: counts.ready,
        scheduled: counts.scheduled,
        in_flight: counts.in_flight,
        deferred: counts.deferred,
        bytes: counts.bytes,
        consumers: u32::try_from(queue.serve.consumers.len()).unwrap_or(u32::MAX),
        oldest_at: oldest.map(Time),
        created_at: queue.created_at,
        changed_at: queue.changed_at,
    }
}
