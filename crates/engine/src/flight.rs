//! The batch in flight and the events that leave when it has landed. Shared by the partition and whoever appends.
//!
//! Exactly one batch is in flight at a time. Events of a connection must not overtake each other, though two threads push
//! them: the landing side pushes what was parked with the flight **before** it says that the flight has landed, and the
//! partition parks with the flight whatever must come behind that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use baton_journal::{JournalError, Position};
use baton_model::Event;
use parking_lot::{Condvar, Mutex};

use crate::port::Outbox;

/// Events of one connection that leave together.
pub(crate) struct Group {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) events: Vec<Event>,
}

/// Where a connection's group is among those parked, while it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Slot {
    round: u64,
    index: usize,
}

/// See the top of this file.
#[derive(Default)]
pub(crate) struct Flight {
    /// Everything before this is durable, and what waited for it has left.
    landed: AtomicU64,
    /// The last batch did not land, and none will.
    failed: AtomicBool,
    /// The disk is full: only essential batches get through.
    full: AtomicBool,
    state: Mutex<State>,
    landing: Condvar,
}

#[derive(Default)]
struct State {
    aloft: bool,
    /// The partition asked to be woken.
    wanted: bool,
    /// Somebody blocks in [`Flight::wait`].
    awaited: bool,
    parked: Vec<Group>,
    /// Tells valid slots from old ones: grows when `parked` begins anew.
    round: u64,
    failure: Option<JournalError>,
}

impl Flight {
    pub(crate) fn starting_at(position: Position) -> Self {
        Self { landed: AtomicU64::new(position.0), ..Self::default() }
    }

    /// Everything before this position is durable.
    pub(crate) fn landed(&self) -> u64 {
        self.landed.load(Ordering::Acquire)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// Why the last batch did not land, if it did not: nothing will land any more.
    pub(crate) fn failure(&self) -> Option<JournalError> {
        if self.failed.load(Ordering::Acquire) { self.state.lock().failure.clone() } else { None }
    }

    /// A batch is on its way; `parked` leave when it has landed. Returns the slot of the first of them, the others follow.
    pub(crate) fn take_off(&self, parked: Vec<Group>) -> Slot {
        let mut state = self.state.lock();
        debug_assert!(!state.aloft, "one batch at a time");
        state.aloft = true;
        state.round += 1;
        state.parked = parked;
        Slot { round: state.round, index: 0 }
    }

    /// Parks more events with the flight, each connection's behind those it has there already; `each` hands them over.
    /// If the flight has landed meanwhile, they leave now.
    pub(crate) fn attach(&self, groups: &mut dyn Iterator<Item = (Group, &mut Slot)>) {
        let mut state = self.state.lock();
        if !state.aloft {
            // Only the partition starts a flight, and it is here: none begins while these are pushed.
            let failed = state.failure.is_some();
            drop(state);
            groups.filter(|_| !failed).for_each(|(mut group, _)| group.outbox.push(&mut group.events, 0));
            return;
        }
        for (mut group, slot) in groups {
            if slot.round == state.round
                && let Some(parked) = state.parked.get_mut(slot.index)
            {
                parked.events.append(&mut group.events);
            } else {
                *slot = Slot { round: state.round, index: state.parked.len() };
                state.parked.push(group);
            }
        }
    }

    /// The batch in flight is durable, or never will be: then what waited for it never leaves. Returns whether the
    /// partition wants to know.
    pub(crate) fn land(&self, result: Result<Position, JournalError>) -> bool {
        let mut state = self.state.lock();
        match result {
            Ok(end) => {
                while !state.parked.is_empty() {
                    let parked = std::mem::take(&mut state.parked);
                    state.round += 1;
                    drop(state);
                    for mut group in parked {
                        group.outbox.push(&mut group.events, 0);
                    }
                    state = self.state.lock();
                }
                self.landed.store(end.0, Ordering::Release);
            }
            Err(error) => {
                state.parked.clear();
                state.round += 1;
                state.failure = Some(error);
                self.failed.store(true, Ordering::Release);
                state.wanted = true;
            }
        }
        state.aloft = false;
        if std::mem::take(&mut state.awaited) {
            self.landing.notify_all();
        }
        std::mem::take(&mut state.wanted)
    }

    /// Asks to be woken when the flight has landed. False: it has landed already.
    pub(crate) fn want(&self) -> bool {
        let mut state = self.state.lock();
        state.wanted = state.aloft;
        state.aloft
    }

    /// Blocks until nothing is in flight, or for so long. Returns whether nothing is.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let mut state = self.state.lock();
        while state.aloft {
            state.awaited = true;
            if self.landing.wait_for(&mut state, timeout).timed_out() {
                break;
            }
        }
        !state.aloft
    }
}

impl Slot {
    /// The slot behind this one.
    pub(crate) fn next(self) -> Self {
        Self { index: self.index + 1, ..self }
    }
}
