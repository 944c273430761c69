//! The batch in flight and the events that leave with it. Shared by the partition and whoever appends.
//!
//! Exactly one batch is in flight at a time, and it passes two stages: written (it survives the end of the process) and, if it
//! is synced, durable. Then it has landed. Events of a connection must not overtake each other, though two threads push
//! them: the landing side pushes what was parked for a stage **before** it says that the stage is reached, and the
//! partition parks with the flight whatever must come behind that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use baton_journal::{JournalError, Position};
use baton_model::Event;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::port::Outbox;

/// How far a batch has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Stage {
    /// It is in the system's hands.
    Written,
    /// It is on stable storage.
    Durable,
}

/// Events of one connection that leave together.
pub(crate) struct Group {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) events: Vec<Event>,
}

/// Where a connection's group is among those parked for a stage, while it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Slot {
    round: u64,
    index: usize,
}

/// See the top of this file.
#[derive(Default)]
pub(crate) struct Flight {
    /// Everything before this is written, and durable if that was asked for, and what waited for it has left.
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
    written: Parked,
    durable: Parked,
    failure: Option<JournalError>,
}

/// What is parked for a stage.
#[derive(Default)]
struct Parked {
    /// The stage is not reached yet.
    open: bool,
    groups: Vec<Group>,
    /// Tells valid slots from old ones: grows when `groups` begins anew.
    round: u64,
}

impl State {
    fn parked(&mut self, stage: Stage) -> &mut Parked {
        match stage {
            Stage::Written => &mut self.written,
            Stage::Durable => &mut self.durable,
        }
    }
}

impl Parked {
    fn begin(&mut self, groups: Vec<Group>) -> Slot {
        self.open = true;
        self.round += 1;
        self.groups = groups;
        Slot { round: self.round, index: 0 }
    }

    fn give_up(&mut self) {
        self.open = false;
        self.groups.clear();
        self.round += 1;
    }
}

impl Flight {
    pub(crate) fn starting_at(position: Position) -> Self {
        Self { landed: AtomicU64::new(position.0), ..Self::default() }
    }

    /// Everything before this position has landed.
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

    /// A batch is on its way; what is parked leaves when it is written, and durable. Returns the slots of the first of each, the
    /// others follow.
    pub(crate) fn take_off(&self, written: Vec<Group>, durable: Vec<Group>) -> (Slot, Slot) {
        let mut state = self.state.lock();
        debug_assert!(!state.aloft, "one batch at a time");
        state.aloft = true;
        (state.written.begin(written), state.durable.begin(durable))
    }

    /// Parks more events with the flight, each connection's behind those it has there already; `each` hands them over.
    /// If the flight has reached that stage meanwhile, they leave now.
    pub(crate) fn attach(&self, stage: Stage, groups: &mut dyn Iterator<Item = (Group, &mut Slot)>) {
        let mut state = self.state.lock();
        if !state.parked(stage).open {
            // Only the partition starts a flight, and it is here: none begins while these are pushed.
            let failed = state.failure.is_some();
            drop(state);
            groups.filter(|_| !failed).for_each(|(mut group, _)| group.outbox.push(&mut group.events, 0));
            return;
        }
        let parked = state.parked(stage);
        for (mut group, slot) in groups {
            if slot.round == parked.round
                && let Some(there) = parked.groups.get_mut(slot.index)
            {
                there.events.append(&mut group.events);
            } else {
                *slot = Slot { round: parked.round, index: parked.groups.len() };
                parked.groups.push(group);
            }
        }
    }

    /// The batch in flight is written, and will be synced.
    pub(crate) fn written(&self) {
        drop(self.reach(self.state.lock(), Stage::Written));
    }

    /// The batch in flight has reached its last stage, or never will: then what waited for it never leaves. Returns whether
    /// the partition wants to know.
    pub(crate) fn land(&self, result: Result<Position, JournalError>) -> bool {
        let mut state = self.state.lock();
        match result {
            Ok(end) => {
                state = self.reach(state, Stage::Written);
                state = self.reach(state, Stage::Durable);
                self.landed.store(end.0, Ordering::Release);
            }
            Err(error) => {
                state.written.give_up();
                state.durable.give_up();
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

    /// Pushes what is parked for a stage until nothing is, and closes it.
    fn reach<'a>(&'a self, mut state: MutexGuard<'a, State>, stage: Stage) -> MutexGuard<'a, State> {
        loop {
            let parked = state.parked(stage);
            if parked.groups.is_empty() {
                parked.open = false;
                return state;
            }
            let groups = std::mem::take(&mut parked.groups);
            parked.round += 1;
            drop(state);
            for mut group in groups {
                group.outbox.push(&mut group.events, 0);
            }
            state = self.state.lock();
        }
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
