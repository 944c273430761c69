//! The entry point: one partition's whole state, and the calls that change it.

use baton_model::{ConnectionId, Request, Time};

use crate::context::{Context, Stored};
use crate::record::Record;
use crate::snapshot::Item;

/// One partition.
pub struct Machine {}

impl Machine {
    /// An empty partition. `seed` feeds the jitter of retries; recovery continues with whatever seed it is given.
    #[must_use]
    pub fn new(_seed: u64) -> Self {
        Self {}
    }

    /// Recovery, first: one item of the newest snapshot, in order.
    pub fn restore(&mut self, _item: Item) {}

    /// Recovery, second: a record behind the snapshot, in order, with the place of its content if it has one.
    /// Live traffic calls the same function.
    pub fn apply(&mut self, _record: Record, _content: Option<Stored>) {}

    /// Recovery, last: connections are gone, so linked leases end; fencing numbers move to a new generation.
    /// Timed leases go on. Appends records; call before anything else.
    pub fn recovered(&mut self, _now: Time, _cx: &mut Context<'_>) {}

    /// A connection begins. Its namespace comes with `Request::Open`.
    pub fn connect(&mut self, _connection: ConnectionId) {}

    /// A connection asks for something. Deliveries that become possible leave at the next [`Machine::dispatch`].
    pub fn step(&mut self, _now: Time, _connection: ConnectionId, _request: Request, _cx: &mut Context<'_>) {}

    /// A connection is gone: its consumers stop, its linked leases end as failures, its exclusive queues go.
    pub fn disconnect(&mut self, _now: Time, _connection: ConnectionId, _cx: &mut Context<'_>) {}

    /// Deliveries to a connection stop or go on, because of how fast it reads.
    pub fn pause(&mut self, _connection: ConnectionId, _paused: bool) {}

    /// Does what is due at `now`: expiry, delays, leases, idle queues, waiting fetches.
    pub fn tick(&mut self, _now: Time, _cx: &mut Context<'_>) {}

    /// Hands out what can be delivered. Called once after a batch of steps, so that many deliveries make one record.
    pub fn dispatch(&mut self, _now: Time, _cx: &mut Context<'_>) {}

    /// When [`Machine::tick`] next has something to do. `None`: never.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        None
    }

    /// Tells all durable state, in an order that [`Machine::restore`] takes.
    pub fn snapshot(&self, _each: &mut dyn FnMut(Item)) {}
}
