//! The entry point: one partition's whole state, and the calls that change it.
//!
//! A step decides, turns what it decided into records, and folds each record in at once ([`Machine::commit`]), so that
//! the next decision sees it. Handing messages out is not part of a step: steps mark queues, and
//! [`Machine::dispatch`] serves the marked queues after a whole batch of them.
//!
//! ```text
//! publish.rs   a message comes in           settle.rs    a delivery is settled, a lease ends
//! dispatch.rs  messages are handed out      deaths.rs    expiry, rejection, overflow: where dead letters go
//! consume.rs   consumers, links, fetches    catalog.rs   queues, exchanges, bindings
//! filtered.rs  consumers with a condition
//! timers.rs    what time does               inspect.rs   browse, act on one message, explain
//! restore.rs   snapshot and recovery        group.rs     all or nothing
//! lists/       queues as lists, by position  listen.rs    who hears what is sent, at most once
//! spill.rs     pages leave the memory       rewrite.rs   what pins old parts of the journal is copied forward
//! ```

mod catalog;
mod consume;
mod deaths;
mod dispatch;
mod explain;
mod fetch;
mod filtered;
mod group;
mod inspect;
mod listen;
mod lists;
mod publish;
mod restore;
mod rewrite;
mod settle;
mod spill;
mod timers;
mod transfers;

use std::collections::{BTreeSet, VecDeque};

use baton_model::{
    ConnectionId, Event, Name, QueueId, Refusal, RefusalCode, Reply, Request, Seq, Time, Token,
};

use crate::attempts::Attempts;
use crate::clients::Clients;
use crate::context::{Context, Held, Load, Stored};
use crate::paging::Unreadable;
use crate::record::Record;
use crate::state::State;
use publish::Admission;
use transfers::Paces;

pub use rewrite::Rewrite;

/// One partition.
#[derive(Debug)]
pub struct Machine {
    state: State,
    clients: Clients,
    /// Queues to be served at the next dispatch.
    dirty: Vec<QueueId>,
    /// Queues with more to hand out than one dispatch does.
    later: Vec<QueueId>,
    /// Queues whose next message could not be read back yet.
    unread: Vec<QueueId>,
    /// Queues that got dead letters and may be too full now.
    overflowing: Vec<QueueId>,
    /// Queues that are too full and whose oldest message could not be read yet.
    crowded: Vec<QueueId>,
    /// Queues with new elements that somebody waits for who wants them before anything else happens.
    lists_filled: Vec<QueueId>,
    /// Connections whose wait for elements is over and that asked for more behind it.
    lists_resumed: VecDeque<ConnectionId>,
    listeners: listen::Listeners,
    spill: spill::Spill,
    /// When to look at which queue.
    timers: BTreeSet<(u64, QueueId)>,
    attempts: Attempts,
    transfers: Paces,
    /// Behind the newest durable record.
    last_end: Option<u64>,
    /// State of the generator of jitter.
    jitter: u64,
    totals: Totals,
}

/// What has happened since the process began, for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "the fields are the counters they are named after")]
pub struct Totals {
    pub published: u64,
    pub unroutable: u64,
    pub refused: u64,
    pub duplicates: u64,
    pub delivered: u64,
    pub redelivered: u64,
    pub completed: u64,
    pub released: u64,
    pub dead_lettered: u64,
    pub expired: u64,
    pub dropped: u64,
}

/// How much there is at the moment, for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "the fields are what they are named after")]
pub struct Sizes {
    pub queues: usize,
    pub messages: usize,
    pub indexed: u64,
    pub connections: usize,
    pub consumers: usize,
    pub resident_bytes: u64,
}

impl Machine {
    /// An empty partition. `seed` feeds the jitter of retries; recovery continues with whatever seed it is given.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            state: State::new(),
            clients: Clients::default(),
            dirty: Vec::new(),
            later: Vec::new(),
            unread: Vec::new(),
            overflowing: Vec::new(),
            crowded: Vec::new(),
            lists_filled: Vec::new(),
            lists_resumed: VecDeque::new(),
            listeners: listen::Listeners::default(),
            spill: spill::Spill::default(),
            timers: BTreeSet::new(),
            attempts: Attempts::default(),
            transfers: Paces::default(),
            last_end: None,
            jitter: seed,
            totals: Totals::default(),
        }
    }

    /// Contents kept in memory beyond what is being handed out, bytes. Those beyond lie in the journal only, and are read
    /// back when their turn comes.
    pub fn set_resident_bytes_max(&mut self, bytes: u64) {
        self.state.contents.resident_bytes_max = bytes;
    }

    /// Messages of which the index is kept in memory, about. Pages of it beyond lie in the journal, and are read back when
    /// their turn comes.
    pub fn set_index_messages_max(&mut self, messages: u64) {
        self.spill.messages_max = messages;
    }

    /// Recovery, second: a record behind the snapshot, in order, with the place of its content if it has one.
    /// Live traffic goes through the same fold.
    ///
    /// # Errors
    /// A page of an index that the record is about cannot be read: recovery must be given up.
    pub fn apply(
        &mut self,
        record: Record,
        content: Option<Stored>,
        load: &mut dyn Load,
    ) -> Result<(), Unreadable> {
        let written = match &record {
            Record::PageWritten { queue, page, .. } => Some((*queue, *page)),
            _ => None,
        };
        self.state.apply(record, content, load)?;
        self.spill_folded(written);
        Ok(())
    }

    /// What of the journal is in use: after recovery, what it must keep. Pages that were given up since the snapshot come as
    /// `given_up`: they are in use until the next one.
    pub fn held(&mut self, in_use: &mut dyn FnMut(Held), given_up: &mut dyn FnMut(Held)) {
        self.state.all_held(in_use);
        self.state.contents.uses.freed_pages.drain(..).for_each(given_up);
    }

    /// What has happened since the process began.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// How much there is.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        Sizes {
            queues: self.state.queues.len(),
            messages: self.state.contents.len()
                + usize::try_from(self.state.cold_messages).unwrap_or(usize::MAX),
            indexed: self.state.contents.holds(),
            connections: self.clients.connections(),
            consumers: self.clients.consumers.len(),
            resident_bytes: self.state.contents.resident_bytes(),
        }
    }

    /// Grows with every change of queues, exchanges and bindings; begins anew with each process.
    #[must_use]
    pub fn catalog_version(&self) -> u64 {
        self.state.catalog_version
    }

    /// A connection begins. Its namespace comes with `Request::Open`.
    pub fn connect(&mut self, connection: ConnectionId) {
        self.clients.connect(connection);
    }

    /// A connection asks for something. Deliveries that become possible leave at the next [`Machine::dispatch`].
    pub fn step(&mut self, now: Time, connection: ConnectionId, request: Request, cx: &mut Context<'_>) {
        match request {
            Request::Publish(publish) => self.publish(now, connection, *publish, Admission::Asked, cx),
            Request::Settle(settle) => self.settle(now, connection, &settle, cx),
            Request::Credit { consumer, more } => self.credit(connection, consumer, more),
            Request::Fetch(fetch) => self.fetch(now, connection, *fetch, cx),
            Request::CancelFetch { token } => {
                self.cancel_fetch(connection, token, cx);
                self.cancel_list_wait(connection, token, cx);
            }
            request @ (Request::List(_) | Request::ListGroup(_)) => self.list(now, connection, request, cx),
            Request::Listen { token, exchange, topic } => {
                let result = self.listen(connection, exchange, topic);
                reply(cx, connection, token, None, result);
            }
            Request::Unlisten { token, exchange, topic } => {
                let done = self.unlisten(connection, exchange, topic);
                reply(cx, connection, token, None, Ok(done));
            }
            Request::Listeners { token, exchange } => {
                let who = self.who_listens(connection, exchange);
                reply(cx, connection, token, None, Ok(who));
            }
            Request::Subscribe(subscribe) => {
                let token = subscribe.token;
                let result = self.subscribe(now, connection, *subscribe);
                reply(cx, connection, token, None, result);
            }
            Request::Unsubscribe { token, consumer } => {
                let result = self.unsubscribe(now, connection, consumer, cx);
                reply(cx, connection, token, None, result);
            }
            Request::LinkWindow { link, window } => self.link_window(connection, link, window),
            Request::Flow { link, active } => self.flow(connection, link, active),
            Request::Recover { token, link } => self.recover_link(now, connection, link, token, cx),
            Request::Detach { link, failed } => self.detach(now, connection, link, failed, cx),
            Request::Group { token, requests } => self.group(now, connection, token, requests, cx),
            Request::Catalog { token, op } => {
                let mut needs = None;
                let result = self.catalog(now, connection, *op, &mut needs, cx);
                reply(cx, connection, token, needs, result);
            }
            Request::Inspect { token, op } => {
                let mut needs = None;
                let result = self.inspect(now, connection, *op, &mut needs, cx);
                reply(cx, connection, token, needs, result);
            }
            Request::Open { token, namespace, label } => {
                self.state.namespace_mut(&namespace);
                if let Some(connection) = self.clients.connection_mut(connection) {
                    connection.namespace = namespace;
                    connection.label = label;
                }
                reply(cx, connection, token, None, Ok(Reply::Opened));
            }
            Request::Authenticate { token, .. } => {
                let refusal = Refusal::new(
                    RefusalCode::Unsupported,
                    "a partition knows no users: the connection driver answers this",
                );
                reply(cx, connection, token, None, Err(refusal));
            }
        }
    }

    /// Folds a record in, and writes it if it is durable. Returns what must be durable for others to rely on it.
    fn commit(&mut self, record: Record, cx: &mut Context<'_>) -> Option<u64> {
        let (end, content) = if record.durable() {
            let appended = cx.store.append(&record);
            self.last_end = Some(appended.end);
            (Some(appended.end), appended.content)
        } else {
            (None, None)
        };
        self.state
            .apply(record, content, cx.store)
            .expect("whoever decided about a message has looked at it, so its page is in memory");
        self.tell_uses(cx);
        end
    }

    /// Tells the store what of the journal is no longer in use, or used once more.
    fn tell_uses(&mut self, cx: &mut Context<'_>) {
        let uses = &mut self.state.contents.uses;
        uses.freed.drain(..).for_each(|at| cx.store.free(at));
        uses.held.drain(..).for_each(|at| cx.store.hold(at));
        uses.freed_pages.drain(..).for_each(|at| cx.store.free_page(at));
    }

    /// The queue has something new to be served.
    fn touch(&mut self, queue: QueueId) {
        if let Some(queue) = self.state.queue_mut(queue)
            && !queue.serve.dirty
        {
            queue.serve.dirty = true;
            self.dirty.push(queue.id);
        }
    }

    /// A message's lease ends: its holder has room for another. Call before the record that ends the lease.
    fn give_up(&mut self, queue: QueueId, seq: Seq) {
        let Some(queue) = self.state.queue_mut(queue) else { return };
        let Some(entry) = queue.entries.get_mut(seq) else { return };
        let holder = std::mem::replace(&mut entry.holder, crate::queue::NONE);
        if holder == crate::queue::NONE {
            return;
        }
        let entries = &queue.entries;
        self.clients.gave_up(holder, |seq| entries.get(seq).is_some_and(|entry| entry.holder == holder));
        self.room(holder);
    }

    /// A consumer may have room again: it stands in line, and so do those that share its link's window.
    fn room(&mut self, consumer: u32) {
        let Some(link) = self.clients.consumer(consumer).map(|consumer| consumer.link) else { return };
        match self.clients.links.get(link as usize) {
            Some(link) if link.window.is_some() => {
                for consumer in link.consumers.clone() {
                    self.stand(consumer);
                }
            }
            _ => self.stand(consumer),
        }
        self.forget_ended(consumer);
    }

    /// A consumer stands in line if it can take a message and does not stand there yet.
    fn stand(&mut self, index: u32) {
        if !self.clients.can_take(index) {
            return;
        }
        let Some(consumer) = self.clients.consumer_mut(index) else { return };
        let Some(queue) = self.state.queue_mut(consumer.queue) else { return };
        if consumer.turn.is_none() {
            consumer.turn =
                Some(queue.serve.stand(consumer.priority, crate::queue::serve::Taker::Consumer(index)));
        }
        let id = queue.id;
        self.touch(id);
    }

    /// An ended consumer goes when it holds nothing more.
    fn forget_ended(&mut self, index: u32) {
        if self.clients.consumer(index).is_some_and(|c| c.ended && c.unsettled == 0) {
            self.clients.remove_consumer(index);
        }
    }

    /// The connection's namespace.
    fn namespace(&self, connection: ConnectionId) -> Name {
        self.clients.connection(connection).map(|c| c.namespace.clone()).unwrap_or_default()
    }

    /// A queue by its name in the connection's namespace, if the connection may use it.
    fn find_queue(&self, connection: ConnectionId, name: &Name) -> Result<QueueId, Refusal> {
        let namespace = self.clients.connection(connection).map_or("", |c| c.namespace.as_str());
        let found = self.state.namespaces.get(namespace).and_then(|names| names.queues.get(name));
        let Some(id) = found.copied() else {
            return Err(Refusal::new(
                RefusalCode::QueueNotFound,
                format!("no queue '{name}' in vhost '{namespace}'"),
            ));
        };
        let owner = self.state.queue(id).and_then(|queue| queue.serve.owner);
        if owner.is_some_and(|owner| owner != connection) {
            return Err(Refusal::new(
                RefusalCode::QueueLocked,
                format!(
                    "cannot obtain exclusive access to locked queue '{name}' in vhost '{namespace}'. It was originally declared on another connection or the exclusive property value does not match that of the original declaration."
                ),
            ));
        }
        Ok(id)
    }

    /// A number between 0 and 1, decided by the seed.
    fn random(&mut self) -> f64 {
        // SplitMix64, by its published constants: good enough to spread retries, and reproducible.
        self.jitter = self.jitter.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.jitter;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Answers a request.
fn reply(
    cx: &mut Context<'_>,
    connection: ConnectionId,
    token: Token,
    needs: Option<u64>,
    result: Result<Reply, Refusal>,
) {
    cx.emit(connection, needs, Event::Reply { token, result });
}
