//! Consumers, links and fetches: they come, get room, and go. What they hold when they go is released in `settle`.

use baton_model::event::{CancelReason, Fetched};
use baton_model::policy::KeyMode;
use baton_model::request::{Fetch, FetchSelect, SessionSelect, Subscribe};
use baton_model::{ConnectionId, ConsumerId, Event, LinkId, Refusal, RefusalCode, Reply, Time, Token};

use super::Machine;
use crate::clients::{NewConsumer, Waiting};
use crate::context::{Context, Needs};
use crate::queue::keys::LockError;
use crate::queue::serve::Taker;

impl Machine {
    pub(super) fn subscribe(
        &mut self,
        now: Time,
        connection: ConnectionId,
        subscribe: Subscribe,
    ) -> Result<Reply, Refusal> {
        let id = self.find_queue(connection, &subscribe.queue)?;
        let name = &subscribe.queue;
        if self.clients.connection(connection).is_none_or(|c| c.consumers.contains_key(&subscribe.consumer)) {
            return Err(Refusal::new(
                RefusalCode::Invalid,
                "the connection already has a consumer of that id",
            ));
        }
        let queue = self.state.queue_mut(id).ok_or_else(|| gone(name))?;
        if queue.serve.exclusive || (subscribe.exclusive && !queue.serve.consumers.is_empty()) {
            return Err(Refusal::new(
                RefusalCode::ConsumerExclusive,
                format!("queue '{name}' in vhost '{}' in exclusive use", queue.namespace),
            ));
        }
        let sessions = queue.policy.keys.mode == KeyMode::Session;
        if sessions != subscribe.session.is_some() {
            let text = format!(
                "queue '{name}' needs a session to be asked for exactly if it is a queue of sessions"
            );
            return Err(Refusal::new(RefusalCode::Invalid, text));
        }
        let place = queue.serve.next_turn(subscribe.priority);
        let consumer = self
            .clients
            .add_consumer(NewConsumer {
                connection,
                id: subscribe.consumer,
                link: subscribe.link,
                queue: id,
                lease: subscribe.lease,
                window: subscribe.window,
                credit: subscribe.credit,
                priority: subscribe.priority,
                linked_lease_ms_max: subscribe.linked_lease_ms_max,
                filter: subscribe.filter,
                label: subscribe.label,
                place,
                ended: false,
            })
            .ok_or_else(|| gone(name))?;
        let session = match &subscribe.session {
            None => None,
            Some(select) => match lock(queue, select, consumer) {
                Ok(session) => Some(session),
                Err(refusal) => {
                    self.clients.remove_consumer(consumer);
                    return Err(refusal);
                }
            },
        };
        queue.serve.consumers.insert(place, consumer);
        queue.serve.exclusive = subscribe.exclusive;
        queue.serve.had_consumer = true;
        queue.serve.used(now);
        self.touch(id);
        self.stand(consumer);
        Ok(Reply::Subscribed { consumer: subscribe.consumer, session })
    }

    pub(super) fn unsubscribe(
        &mut self,
        now: Time,
        connection: ConnectionId,
        consumer: ConsumerId,
        cx: &mut Context<'_>,
    ) -> Result<Reply, Refusal> {
        let index = self.clients.connection(connection).and_then(|c| c.consumers.get(&consumer).copied());
        if let Some(index) = index {
            self.end_consumer(now, index, cx);
        }
        Ok(Reply::Unsubscribed { consumer })
    }

    /// A consumer takes no more messages. What it holds stays with its link.
    pub(super) fn end_consumer(&mut self, now: Time, index: u32, cx: &mut Context<'_>) {
        let Some(consumer) = self.clients.consumer_mut(index) else { return };
        let (connection, id, queue_id) = (consumer.connection, consumer.id, consumer.queue);
        let (place, turn, was_ended) = (consumer.place, consumer.turn.take(), consumer.ended);
        consumer.ended = true;
        if was_ended {
            return;
        }
        if let Some(connection) = self.clients.connection_mut(connection) {
            connection.consumers.remove(&id);
        }
        let mut delete = false;
        if let Some(queue) = self.state.queue_mut(queue_id) {
            queue.serve.consumers.remove(&place);
            if let Some(turn) = turn {
                queue.serve.leave(turn);
            }
            queue.serve.exclusive = false;
            queue.serve.used(now);
            queue.index.keys.release_owner(index);
            delete = queue.policy.auto_delete && queue.serve.consumers.is_empty();
        }
        self.touch(queue_id);
        self.forget_ended(index);
        if delete {
            self.delete_queue(queue_id, cx);
        }
    }

    /// A consumer ends without having asked to.
    pub(super) fn cancel_consumer(
        &mut self,
        now: Time,
        index: u32,
        reason: CancelReason,
        cx: &mut Context<'_>,
    ) {
        if let Some(consumer) = self.clients.consumer(index).filter(|consumer| !consumer.ended) {
            cx.emit(consumer.connection, None, Event::Cancelled { consumer: consumer.id, reason });
            self.end_consumer(now, index, cx);
        }
    }

    pub(super) fn credit(&mut self, connection: ConnectionId, consumer: ConsumerId, more: u32) {
        let index = self.clients.connection(connection).and_then(|c| c.consumers.get(&consumer).copied());
        let Some(index) = index else { return };
        if let Some(credit) = self.clients.consumer_mut(index).and_then(|consumer| consumer.credit.as_mut()) {
            *credit = credit.saturating_add(more);
        }
        self.stand(index);
    }

    pub(super) fn link_window(&mut self, connection: ConnectionId, link: LinkId, window: Option<u32>) {
        self.change_link(connection, link, |link| link.window = window);
    }

    pub(super) fn flow(&mut self, connection: ConnectionId, link: LinkId, active: bool) {
        self.change_link(connection, link, |link| link.active = active);
    }

    fn change_link(
        &mut self,
        connection: ConnectionId,
        link: LinkId,
        change: impl FnOnce(&mut crate::clients::Link),
    ) {
        let Some(index) = self.clients.link(connection, link) else { return };
        let Some(link) = self.clients.links.get_mut(index as usize) else { return };
        change(link);
        for consumer in link.consumers.clone() {
            self.stand(consumer);
        }
    }

    /// Deliveries to a connection stop or go on, because of how fast it reads.
    pub fn pause(&mut self, connection: ConnectionId, paused: bool) {
        let Some(connection) = self.clients.connection_mut(connection) else { return };
        connection.paused = paused;
        let links: Vec<u32> = connection.links.values().copied().collect();
        for index in links {
            let Some(link) = self.clients.links.get_mut(index as usize) else { continue };
            link.paused = paused;
            for consumer in link.consumers.clone() {
                self.stand(consumer);
            }
        }
    }

    pub(super) fn fetch(&mut self, now: Time, connection: ConnectionId, fetch: Fetch, cx: &mut Context<'_>) {
        let token = fetch.token;
        match self.try_fetch(now, connection, fetch, cx) {
            Ok(None) => {}
            Ok(Some((fetched, needs))) => {
                cx.emit(connection, needs, Event::Fetched { token, result: Ok(fetched) });
            }
            Err(refusal) => cx.emit(connection, None, Event::Fetched { token, result: Err(refusal) }),
        }
    }

    /// `None`: it waits.
    fn try_fetch(
        &mut self,
        now: Time,
        connection: ConnectionId,
        fetch: Fetch,
        cx: &mut Context<'_>,
    ) -> Result<Option<(Fetched, Needs)>, Refusal> {
        let id = self.find_queue(connection, &fetch.queue)?;
        // What waits for the line to be served goes to those who stand in it already.
        self.dispatch(now, cx);
        let fetcher = self.clients.fetcher(connection, fetch.link, id, &fetch.label);
        let consumer = fetcher.ok_or_else(|| gone(&fetch.queue))?;
        let (fetched, needs) = match &fetch.select {
            FetchSelect::Seqs(seqs) => self.take_by_seqs(now, id, consumer, seqs, fetch.lease, cx),
            FetchSelect::Next => self.take_for_fetch(now, id, consumer, fetch.count_max, fetch.lease, cx),
            FetchSelect::Attempt(name) => self.take_for_attempt(now, id, consumer, name, &fetch, cx),
        };
        self.forget_ended(consumer);
        self.touch(id);
        let queue = self.state.queue_mut(id).ok_or_else(|| gone(&fetch.queue))?;
        queue.serve.used(now);
        let wait_until =
            fetch.wait_until.filter(|at| *at > now && !matches!(fetch.select, FetchSelect::Seqs(_)));
        let (true, Some(until)) = (fetched.deliveries.is_empty(), wait_until) else {
            return Ok(Some((fetched, needs)));
        };
        let number = self.clients.next_fetch();
        let turn = queue.serve.stand(0, Taker::Fetch(number));
        queue.serve.fetch_waits(until, number);
        if let Some(connection) = self.clients.connection_mut(connection) {
            connection.fetches.insert(fetch.token, number);
        }
        self.clients.waiting.insert(number, Waiting { connection, queue: id, fetch, turn });
        Ok(None)
    }

    /// Takes a waiting fetch out of the line, to be answered by the caller.
    pub(super) fn end_waiting(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.clients.waiting.remove(&number)?;
        if let Some(queue) = self.state.queue_mut(waiting.queue) {
            queue.serve.leave(waiting.turn);
            queue.serve.fetch_done(waiting.fetch.wait_until.unwrap_or_default(), number);
        }
        if let Some(connection) = self.clients.connection_mut(waiting.connection) {
            connection.fetches.remove(&waiting.fetch.token);
        }
        Some(waiting)
    }

    /// A waiting fetch is answered with nothing.
    pub(super) fn fetch_in_vain(&mut self, number: u64, cx: &mut Context<'_>) {
        let Some(waiting) = self.end_waiting(number) else { return };
        let nothing = Fetched { held_back: self.at_limit(waiting.queue), ..Fetched::default() };
        let event = Event::Fetched { token: waiting.fetch.token, result: Ok(nothing) };
        cx.emit(waiting.connection, None, event);
    }

    pub(super) fn cancel_fetch(&mut self, connection: ConnectionId, token: Token, cx: &mut Context<'_>) {
        let number = self.clients.connection(connection).and_then(|c| c.fetches.get(&token).copied());
        if let Some(number) = number {
            self.fetch_in_vain(number, cx);
        }
    }

    /// The link is gone: its consumers stop, its fetches are forgotten, its linked leases end.
    pub(super) fn detach(
        &mut self,
        now: Time,
        connection: ConnectionId,
        link: LinkId,
        failed: bool,
        cx: &mut Context<'_>,
    ) {
        let Some(found) = self.clients.connection(connection) else { return };
        let Some(index) = found.links.get(&link).copied() else { return };
        let fetches: Vec<u64> = found.fetches.values().copied().collect();
        for number in fetches {
            if self.clients.waiting.get(&number).is_some_and(|waiting| waiting.fetch.link == link) {
                self.end_waiting(number);
            }
        }
        let consumers = self.clients.links.get(index as usize).map(|link| link.consumers.clone());
        let consumers = consumers.unwrap_or_default();
        // First nobody of the link takes messages any more, then what it holds goes back.
        for consumer in &consumers {
            if let Some(consumer) = self.clients.consumer_mut(*consumer) {
                consumer.window = Some(0);
            }
        }
        for consumer in &consumers {
            self.release_all(now, *consumer, failed, cx);
        }
        for consumer in consumers {
            self.let_go(consumer);
            self.end_consumer(now, consumer, cx);
            self.clients.remove_consumer(consumer);
        }
        self.clients.remove_link(index);
    }

    /// A connection is gone: its consumers stop, its linked leases end as failures, its exclusive queues go.
    pub fn disconnect(&mut self, now: Time, connection: ConnectionId, cx: &mut Context<'_>) {
        let Some(found) = self.clients.connection(connection) else { return };
        let links: Vec<LinkId> = found.links.keys().copied().collect();
        let list_waits: Vec<u64> = found.list_waits.values().copied().collect();
        let owned = found.owned.clone();
        let fetches: Vec<u64> = found.fetches.values().copied().collect();
        for number in fetches {
            self.end_waiting(number);
        }
        for number in list_waits {
            self.forget_list_wait(number);
        }
        self.stop_listening(connection);
        for link in links {
            self.detach(now, connection, link, true, cx);
        }
        for queue in owned {
            self.delete_queue(queue, cx);
        }
        self.clients.remove_connection(connection);
    }
}

fn lock(
    queue: &mut crate::queue::Queue,
    select: &SessionSelect,
    consumer: u32,
) -> Result<baton_model::Name, Refusal> {
    let name = match select {
        SessionSelect::Next => None,
        SessionSelect::Key(name) => Some(name),
    };
    queue.index.keys.lock(name, consumer).map_err(|error| match error {
        LockError::Owned => Refusal::new(
            RefusalCode::QueueLocked,
            format!("the session is locked by another consumer of queue '{}'", queue.name),
        ),
        LockError::NoneFree => Refusal::new(
            RefusalCode::MessageNotFound,
            format!("queue '{}' has no free session with messages", queue.name),
        ),
    })
}

/// The queue or connection vanished in the same step: only a broken client can see this.
fn gone(name: &baton_model::Name) -> Refusal {
    Refusal::new(RefusalCode::QueueNotFound, format!("queue '{name}' is gone"))
}
