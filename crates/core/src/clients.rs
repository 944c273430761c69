//! Who is connected: connections, links, consumers and fetches that wait. None of it is recorded; after a restart clients
//! come again. Which messages they hold is in the entries; here are only the counts that windows and credit need.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use baton_model::list::ListOp;
use baton_model::request::{ConsumerFilter, Fetch, LeaseMode};
use baton_model::{ConnectionId, ConsumerId, LinkId, Name, QueueId, Request, Seq, Time, Token};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use slab::Slab;
use smallvec::SmallVec;

use crate::queue::filtering::Filtering;
use crate::queue::serve::Turn;

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The namespace its names are in; set by `Request::Open`.
    pub(crate) namespace: Name,
    /// For humans.
    pub(crate) label: String,
    pub(crate) links: BTreeMap<LinkId, u32>,
    pub(crate) consumers: BTreeMap<ConsumerId, u32>,
    pub(crate) fetches: BTreeMap<Token, u64>,
    /// Its waits for elements of lists.
    pub(crate) list_waits: BTreeMap<Token, u64>,
    /// Operations on lists, and groups of them, that it asked for behind one that waits.
    pub(crate) lists_behind: VecDeque<Request>,
    /// Exclusive queues that go with it.
    pub(crate) owned: Vec<QueueId>,
    pub(crate) paused: bool,
}

/// A scope of leases in a connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) connection: ConnectionId,
    pub(crate) id: LinkId,
    pub(crate) window: Option<u32>,
    pub(crate) unsettled: u32,
    /// The session lets deliveries flow.
    pub(crate) active: bool,
    /// The connection reads fast enough.
    pub(crate) paused: bool,
    /// Consumers of the link, the ended ones that still hold leases and those that stand for fetches included.
    pub(crate) consumers: Vec<u32>,
}

/// One consumer, or what stands for the fetches of a link from one queue.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) connection: ConnectionId,
    pub(crate) id: ConsumerId,
    pub(crate) link: u32,
    pub(crate) queue: QueueId,
    pub(crate) lease: LeaseMode,
    pub(crate) window: Option<u32>,
    pub(crate) credit: Option<u32>,
    pub(crate) priority: i32,
    pub(crate) linked_lease_ms_max: Option<u64>,
    pub(crate) filtering: Option<Box<Filtering>>,
    pub(crate) label: Name,
    pub(crate) unsettled: u32,
    /// It takes no more messages: cancelled, or it only stands for fetches.
    pub(crate) ended: bool,
    /// Its place among the queue's consumers.
    pub(crate) place: Turn,
    /// Its place in the line, while it stands there.
    pub(crate) turn: Option<Turn>,
    /// Places it has leased, oldest first. Settled ones are left until they come to the front or are too many.
    leases: VecDeque<Seq>,
}

/// A fetch that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) connection: ConnectionId,
    pub(crate) queue: QueueId,
    pub(crate) fetch: Fetch,
    pub(crate) turn: Turn,
}

/// One that waits for elements of lists.
#[derive(Debug)]
pub(crate) struct WaitingList {
    pub(crate) connection: ConnectionId,
    pub(crate) token: Token,
    pub(crate) link: LinkId,
    pub(crate) op: ListOp,
    pub(crate) until: Time,
    pub(crate) namespace: Name,
    /// Where it stands in the lines of queues.
    pub(crate) turns: SmallVec<[(QueueId, Turn); 1]>,
    /// Names of which there is no queue yet.
    pub(crate) absent: SmallVec<[Name; 1]>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    connections: HashMap<ConnectionId, Connection, FixedState>,
    pub(crate) links: Slab<Link>,
    pub(crate) consumers: Slab<Consumer>,
    pub(crate) waiting: BTreeMap<u64, Waiting>,
    pub(crate) waiting_lists: BTreeMap<u64, WaitingList>,
    list_deadlines: BTreeSet<(u64, u64)>,
    /// Who waits for a queue that does not exist, by namespace and name, in the order they came.
    lists_absent: BTreeMap<(Name, Name), Vec<u64>>,
    next_fetch: u64,
}

/// What a new consumer is.
pub(crate) struct NewConsumer {
    pub(crate) connection: ConnectionId,
    pub(crate) id: ConsumerId,
    pub(crate) link: LinkId,
    pub(crate) queue: QueueId,
    pub(crate) lease: LeaseMode,
    pub(crate) window: Option<u32>,
    pub(crate) credit: Option<u32>,
    pub(crate) priority: i32,
    pub(crate) linked_lease_ms_max: Option<u64>,
    pub(crate) filter: Option<ConsumerFilter>,
    pub(crate) label: Name,
    pub(crate) place: Turn,
    /// It only stands for fetches.
    pub(crate) ended: bool,
}

impl Clients {
    pub(crate) fn connect(&mut self, id: ConnectionId) {
        self.connections.entry(id).or_insert_with(|| Connection {
            namespace: Name::const_new("/"),
            label: String::new(),
            links: BTreeMap::new(),
            consumers: BTreeMap::new(),
            fetches: BTreeMap::new(),
            list_waits: BTreeMap::new(),
            lists_behind: VecDeque::new(),
            owned: Vec::new(),
            paused: false,
        });
    }

    pub(crate) fn connection(&self, id: ConnectionId) -> Option<&Connection> {
        self.connections.get(&id)
    }

    pub(crate) fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(&id)
    }

    /// Takes a connection out; its links must be gone.
    pub(crate) fn remove_connection(&mut self, id: ConnectionId) -> Option<Connection> {
        self.connections.remove(&id)
    }

    /// The link of that id, made on first use.
    pub(crate) fn link(&mut self, connection: ConnectionId, id: LinkId) -> Option<u32> {
        let owner = self.connections.get_mut(&connection)?;
        if let Some(index) = owner.links.get(&id) {
            return Some(*index);
        }
        let index = self.links.insert(Link {
            connection,
            id,
            window: None,
            unsettled: 0,
            active: true,
            paused: owner.paused,
            consumers: Vec::new(),
        });
        let index = number(index);
        owner.links.insert(id, index);
        Some(index)
    }

    /// Takes a link out; its consumers must be gone.
    pub(crate) fn remove_link(&mut self, index: u32) {
        if let Some(link) = self.links.try_remove(index as usize)
            && let Some(connection) = self.connections.get_mut(&link.connection)
        {
            connection.links.remove(&link.id);
        }
    }

    pub(crate) fn consumer(&self, index: u32) -> Option<&Consumer> {
        self.consumers.get(index as usize)
    }

    pub(crate) fn consumer_mut(&mut self, index: u32) -> Option<&mut Consumer> {
        self.consumers.get_mut(index as usize)
    }

    /// Adds a consumer; `None` if the connection is gone.
    pub(crate) fn add_consumer(&mut self, new: NewConsumer) -> Option<u32> {
        let link = self.link(new.connection, new.link)?;
        let index = number(self.consumers.insert(Consumer {
            connection: new.connection,
            id: new.id,
            link,
            queue: new.queue,
            lease: new.lease,
            window: new.window,
            credit: new.credit,
            priority: new.priority,
            linked_lease_ms_max: new.linked_lease_ms_max,
            filtering: new.filter.map(|filter| Box::new(Filtering::new(filter))),
            label: new.label,
            unsettled: 0,
            ended: new.ended,
            place: new.place,
            turn: None,
            leases: VecDeque::new(),
        }));
        self.links.get_mut(link as usize)?.consumers.push(index);
        if !new.ended {
            self.connections.get_mut(&new.connection)?.consumers.insert(new.id, index);
        }
        Some(index)
    }

    /// Takes a consumer out entirely, whatever it still holds.
    pub(crate) fn remove_consumer(&mut self, index: u32) {
        let Some(consumer) = self.consumers.try_remove(index as usize) else { return };
        if let Some(link) = self.links.get_mut(consumer.link as usize) {
            link.unsettled = link.unsettled.saturating_sub(consumer.unsettled);
            link.consumers.retain(|other| *other != index);
        }
        if let Some(connection) = self.connections.get_mut(&consumer.connection)
            && connection.consumers.get(&consumer.id) == Some(&index)
        {
            connection.consumers.remove(&consumer.id);
        }
    }

    /// What stands for a link's fetches from a queue, made on first use.
    pub(crate) fn fetcher(
        &mut self,
        connection: ConnectionId,
        link: LinkId,
        queue: QueueId,
        label: &Name,
    ) -> Option<u32> {
        let link_index = self.link(connection, link)?;
        let consumers = &self.links.get(link_index as usize)?.consumers;
        let found = consumers.iter().find(|index| {
            self.consumers
                .get(**index as usize)
                .is_some_and(|c| c.ended && c.queue == queue && c.id == FETCHER)
        });
        if let Some(index) = found {
            return Some(*index);
        }
        self.add_consumer(NewConsumer {
            connection,
            id: FETCHER,
            link,
            queue,
            lease: LeaseMode::Linked,
            window: None,
            credit: None,
            priority: 0,
            linked_lease_ms_max: None,
            filter: None,
            label: label.clone(),
            place: (std::cmp::Reverse(0), 0),
            ended: true,
        })
    }

    /// Whether a consumer may get a message now.
    pub(crate) fn can_take(&self, index: u32) -> bool {
        let Some(consumer) = self.consumers.get(index as usize) else { return false };
        let Some(link) = self.links.get(consumer.link as usize) else { return false };
        !consumer.ended
            && link.active
            && !link.paused
            && consumer.credit != Some(0)
            && consumer.window.is_none_or(|window| consumer.unsettled < window)
            && link.window.is_none_or(|window| link.unsettled < window)
    }

    /// A message goes to a consumer. `held`: it stays unsettled.
    pub(crate) fn took(&mut self, index: u32, seq: Seq, held: bool) {
        let Some(consumer) = self.consumers.get_mut(index as usize) else { return };
        if let Some(credit) = &mut consumer.credit {
            *credit = credit.saturating_sub(1);
        }
        if held {
            consumer.unsettled += 1;
            consumer.leases.push_back(seq);
            if let Some(link) = self.links.get_mut(consumer.link as usize) {
                link.unsettled += 1;
            }
        }
    }

    /// A consumer no longer holds a message. `holds` tells whether it holds the message at a place, for tidying up.
    pub(crate) fn gave_up(&mut self, index: u32, holds: impl Fn(Seq) -> bool) {
        let Some(consumer) = self.consumers.get_mut(index as usize) else { return };
        consumer.unsettled = consumer.unsettled.saturating_sub(1);
        if let Some(link) = self.links.get_mut(consumer.link as usize) {
            link.unsettled = link.unsettled.saturating_sub(1);
        }
        while consumer.leases.front().is_some_and(|seq| !holds(*seq)) {
            consumer.leases.pop_front();
        }
        if consumer.leases.len() > 2 * consumer.unsettled as usize + 64 {
            consumer.leases.retain(|seq| holds(*seq));
        }
    }

    /// Places a consumer has leased, some of which it may no longer hold, in order.
    pub(crate) fn leases(&self, index: u32) -> Vec<Seq> {
        let leases = self.consumers.get(index as usize).map(|consumer| &consumer.leases);
        let mut seqs: Vec<Seq> = leases.into_iter().flatten().copied().collect();
        seqs.sort_unstable();
        seqs.dedup();
        seqs
    }

    pub(crate) fn add_waiting_list(&mut self, number: u64, waiting: WaitingList) {
        for name in &waiting.absent {
            self.lists_absent.entry((waiting.namespace.clone(), name.clone())).or_default().push(number);
        }
        self.list_deadlines.insert((waiting.until.0, number));
        if let Some(connection) = self.connections.get_mut(&waiting.connection) {
            connection.list_waits.insert(waiting.token, number);
        }
        self.waiting_lists.insert(number, waiting);
    }

    /// Takes it out; the lines it stands in are the caller's to leave.
    pub(crate) fn remove_waiting_list(&mut self, number: u64) -> Option<WaitingList> {
        let waiting = self.waiting_lists.remove(&number)?;
        self.list_deadlines.remove(&(waiting.until.0, number));
        for name in &waiting.absent {
            let key = (waiting.namespace.clone(), name.clone());
            if let Some(numbers) = self.lists_absent.get_mut(&key) {
                numbers.retain(|other| *other != number);
                if numbers.is_empty() {
                    self.lists_absent.remove(&key);
                }
            }
        }
        if let Some(connection) = self.connections.get_mut(&waiting.connection) {
            connection.list_waits.remove(&waiting.token);
        }
        Some(waiting)
    }

    /// Who waited for a queue of that name, which is there now.
    pub(crate) fn list_appeared(&mut self, namespace: &Name, name: &Name) -> Vec<u64> {
        if self.lists_absent.is_empty() {
            return Vec::new();
        }
        self.lists_absent.remove(&(namespace.clone(), name.clone())).unwrap_or_default()
    }

    /// The queue goes that one stands in line of: it waits for another of that name.
    pub(crate) fn list_vanished(&mut self, number: u64, queue: QueueId, name: &Name) {
        let Some(waiting) = self.waiting_lists.get_mut(&number) else { return };
        waiting.turns.retain(|(other, _)| *other != queue);
        waiting.absent.push(name.clone());
        let key = (waiting.namespace.clone(), name.clone());
        self.lists_absent.entry(key).or_default().push(number);
    }

    /// One that has waited long enough at `now`.
    pub(crate) fn list_wait_due(&self, now: Time) -> Option<u64> {
        self.list_deadlines.first().filter(|(at, _)| *at <= now.0).map(|(_, number)| *number)
    }

    /// When the next one has waited long enough.
    pub(crate) fn next_list_deadline(&self) -> Option<u64> {
        self.list_deadlines.first().map(|(at, _)| *at).filter(|at| *at != u64::MAX)
    }

    pub(crate) fn list_wait_of(&self, connection: ConnectionId, token: Token) -> Option<u64> {
        self.connections.get(&connection)?.list_waits.get(&token).copied()
    }

    /// A number for a fetch that will wait.
    pub(crate) fn next_fetch(&mut self) -> u64 {
        self.next_fetch += 1;
        self.next_fetch
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.len()
    }
}

/// The id of what stands for fetches; sessions choose their consumers' ids from below.
pub(crate) const FETCHER: ConsumerId = ConsumerId(u32::MAX);

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("memory ends before four thousand million consumers")
}
