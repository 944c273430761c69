//! The world: one broker, its disk, its clients, and the time. Does the steps of a scenario one after the other and tells
//! the checkers what happens. Faults are in `faults`.

use std::collections::{BTreeMap, VecDeque};

use baton_core::snapshot::Item;
use baton_engine::testing::Driver;
use baton_engine::{Health, Options, Port, delivery_bytes};
use baton_journal::Position;
use baton_journal_file::SimDisk;
use baton_model::request::MessageState;
use baton_model::{Event, Fence, Seq, Time};

use crate::Dice;
use crate::actors::{self, Actor};
use crate::checkers::{self, Checker};
use crate::fact::{Fact, Key, Serial};
use crate::pages::Pages;
use crate::plant::{Plant, Planted};
use crate::scenario::{Scenario, Step};

/// When the simulation begins.
const T0: Time = Time(1_700_000_000_000);
/// How many rounds a broker may take to come to rest before that is taken for a bug.
const ROUNDS_MAX: usize = 1_000;
/// After so many rounds only timers go on: leases that end and are granted again, each lingering for a moment.
const TIMERS_ONLY: usize = 100;

/// A promise that was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The checker that saw it.
    pub checker: String,
    /// What it saw.
    pub what: String,
    /// The step during which it was seen; the number of steps when it was seen at the end.
    pub step: usize,
}

/// What happened in a world, in numbers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Numbers {
    /// How often the broker was started.
    pub lives: u64,
    /// How many facts the checkers saw.
    pub facts: u64,
    /// How many pages of queues' indexes were named by states that were durable.
    pub pages: u64,
    /// Most messages that were in queues and not in the memory.
    pub cold_messages: u64,
    /// Bytes of messages that were copied so that segments could go.
    pub rewritten_bytes: u64,
    /// Segments that went.
    pub segments_removed: u64,
}

/// A client, and its connection while it has one.
pub(crate) struct Peer {
    actor: Box<dyn Actor>,
    pub(crate) port: Option<(Key, Port)>,
    unread_bytes: usize,
}

/// See the top of this file.
pub struct World {
    pub(crate) disk: SimDisk,
    pub(crate) driver: Option<Driver>,
    pub(crate) plant: Planted,
    pub(crate) files: baton_journal_file::Options,
    pub(crate) options: Options,
    pub(crate) now: Time,
    /// How often the broker was started.
    pub(crate) life: u64,
    /// A crash within an operation of the disk is planned: by power loss or not, and then again.
    pub(crate) planned: Option<(bool, Option<u64>)>,
    pub(crate) sync_may_fail: bool,
    pub(crate) full: bool,
    pub(crate) failure: Option<Failure>,
    pub(crate) peers: Vec<Option<Peer>>,
    checkers: Vec<Box<dyn Checker>>,
    serials: Serial,
    step: usize,
    /// The state at the end of the last batch that is surely durable, of those that were written after it, with their ends, and of the
    /// one in flight.
    landed: Vec<Item>,
    written: VecDeque<(Position, Vec<Item>)>,
    aloft: Option<Vec<Item>>,
    /// Something was told since everything was last known to be durable.
    told: bool,
    pub(crate) pages: Pages,
    pub(crate) unread_bytes_max: usize,
    trace: Option<Vec<String>>,
    /// What happened until the broker last died.
    past: Numbers,
    numbers: Numbers,
}

impl World {
    /// A broker that was just started, with the queues of [`topology`].
    #[must_use]
    pub fn new(scenario: &Scenario, plant: Plant, traced: bool) -> Self {
        let files = baton_journal_file::Options {
            segment_bytes: scenario.segment_bytes,
            disk_reserve_bytes: 16 << 10,
            background: false,
        };
        let options = Options {
            seed: scenario.seed,
            linger_ms: scenario.linger_ms,
            snapshot_bytes_min: scenario.snapshot_bytes_min,
            resident_bytes_max: scenario.resident_bytes_max,
            index_messages_max: scenario.index_messages_max,
            ..Options::default()
        };
        let peers = scenario.actors.iter().enumerate().map(|(number, role)| {
            role.map(|role| Peer { actor: role.actor(number), port: None, unread_bytes: 0 })
        });
        let mut world = Self {
            disk: SimDisk::new(scenario.seed ^ 0xd15c),
            driver: None,
            plant: Planted::new(plant, scenario.seed),
            files,
            options,
            now: T0,
            life: 0,
            planned: None,
            sync_may_fail: false,
            full: false,
            failure: None,
            peers: peers.collect(),
            checkers: checkers::all(),
            serials: 0,
            step: 0,
            landed: Vec::new(),
            written: VecDeque::new(),
            told: false,
            aloft: None,
            pages: Pages::default(),
            unread_bytes_max: 0,
            trace: traced.then(Vec::new),
            past: Numbers::default(),
            numbers: Numbers::default(),
        };
        world.start(true);
        world.set_up();
        world
    }

    /// Does all steps and what follows them. The first broken promise, if there was one.
    pub fn run(&mut self, scenario: &Scenario) -> Option<Failure> {
        for (index, step) in scenario.steps.iter().enumerate() {
            self.step = index;
            self.take(*step);
            if self.failure.is_some() {
                return self.failure.clone();
            }
        }
        self.step = scenario.steps.len();
        self.finish(scenario.seed);
        self.failure.clone()
    }

    /// Sends a checker home.
    pub fn dismiss(&mut self, checker: &str) {
        self.checkers.retain(|other| other.name() != checker);
    }

    /// Everything that happened, if it was to be traced.
    #[must_use]
    pub fn trace(&self) -> &[String] {
        self.trace.as_deref().unwrap_or_default()
    }

    /// All files as they are.
    #[must_use]
    pub fn image(&self) -> BTreeMap<String, Vec<u8>> {
        self.disk.image()
    }

    /// What happened so far.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        Numbers { lives: self.life, pages: self.pages.count(), ..self.numbers }
    }

    /// Looks at what the broker says of itself, which it forgets when it dies.
    fn count(&mut self) {
        let Some(driver) = &self.driver else { return };
        let stats = driver.stats();
        let cold = stats.messages.saturating_sub(stats.indexed_messages);
        self.numbers.cold_messages = self.numbers.cold_messages.max(cold);
        self.numbers.rewritten_bytes = self.past.rewritten_bytes + stats.rewritten_bytes;
        self.numbers.segments_removed = self.past.segments_removed + stats.segments_removed;
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Act { actor, roll } => self.with_peer(actor, roll, |peer, dice, world| {
                peer.actor.act(dice, world);
            }),
            Step::Up { actor, roll } => self.up(actor, roll),
            Step::Down { actor, roll } => self.down(actor, roll),
            Step::Turn => self.turn(),
            Step::Land => {
                self.land();
            }
            Step::Keep => {
                self.keep();
            }
            Step::Pass { ms } => self.now = self.now.after_ms(ms),
            Step::Fault { fault } => self.inject(fault),
            Step::Audit => {
                self.audit();
            }
        }
    }

    /// Lets a connected actor do something; one that is not connects first.
    fn with_peer(
        &mut self,
        actor: usize,
        roll: u64,
        act: impl FnOnce(&mut Peer, &mut Dice, &mut actors::World<'_>),
    ) {
        let Some(Some(peer)) = self.peers.get_mut(actor) else { return };
        let Some(driver) = &mut self.driver else { return };
        let mut known = Vec::new();
        let (serials, plant) = (&mut self.serials, &mut self.plant);
        let mut world = actors::World { now: self.now, serials, known: &mut known, plant };
        let mut begins = false;
        if peer.port.is_none() {
            let port = driver.connect();
            peer.port = Some((self.life << 32 | port.id().0, port));
            peer.actor.connect(&mut world);
            begins = peer.actor.speaks_bytes();
        }
        act(peer, &mut Dice::new(roll), &mut world);
        let Some(by) = peer.port.as_ref().map(|(key, _)| *key) else { return };
        if begins {
            self.tell(&Fact::Spoken { by });
        }
        for known in &known {
            self.tell(&Fact::Client { by, known });
        }
    }

    pub(crate) fn up(&mut self, actor: usize, roll: u64) {
        let mut requests = Vec::new();
        self.with_peer(actor, roll, |peer, dice, world| requests = peer.actor.up(dice, world));
        let Some(Some(Peer { port: Some((key, port)), .. })) = self.peers.get(actor) else { return };
        let (by, at) = (*key, self.now);
        let mut submitted = requests.clone();
        self.plant.submitted(&mut submitted);
        port.submit(&mut submitted, 100);
        for request in &requests {
            self.tell(&Fact::Asked { at, by, request });
        }
        self.cut_if_over(actor);
    }

    /// Ends a connection that its session or its client wants to end.
    fn cut_if_over(&mut self, actor: usize) {
        if self
            .peers
            .get(actor)
            .is_some_and(|peer| peer.as_ref().is_some_and(|peer| peer.actor.wants_close()))
        {
            self.cut(actor);
        }
    }

    pub(crate) fn down(&mut self, actor: usize, roll: u64) {
        self.with_peer(actor, roll, |peer, dice, world| {
            let bytes = peer.actor.down(dice, world);
            peer.unread_bytes = peer.unread_bytes.saturating_sub(bytes);
            if let Some((_, port)) = &peer.port {
                port.written(bytes);
            }
        });
        self.cut_if_over(actor);
    }

    pub(crate) fn cut(&mut self, actor: usize) {
        let Some(Some(peer)) = self.peers.get_mut(actor) else { return };
        if let Some((key, _port)) = peer.port.take() {
            peer.actor.cut();
            peer.unread_bytes = 0;
            self.tell(&Fact::Cut { key });
        }
    }

    pub(crate) fn lose_connections(&mut self) {
        for peer in self.peers.iter_mut().flatten() {
            if peer.port.take().is_some() {
                peer.actor.cut();
                peer.unread_bytes = 0;
            }
        }
    }

    pub(crate) fn turn(&mut self) {
        let Some(driver) = &mut self.driver else { return };
        // What a batch that landed for sure left behind is what recovery must find from now on.
        let aloft = driver.turn(self.now);
        if aloft && self.aloft.is_none() {
            self.aloft = Some(normalised(driver.state(), self.now));
        }
        self.tap();
        self.note_durable();
        self.count();
        self.bury();
    }

    pub(crate) fn land(&mut self) -> bool {
        let Some(driver) = &mut self.driver else { return false };
        let landed = driver.land();
        if landed && !self.disk.is_dark() {
            if self.sync_may_fail {
                // Whether it is durable or failed is what the partition notices now.
                self.unsure();
            } else {
                self.settle_states();
            }
        }
        self.tap();
        self.note_durable();
        self.bury();
        landed
    }

    /// Lets the partition notice what became of its batch, and believes it.
    fn unsure(&mut self) {
        let Some(driver) = &mut self.driver else { return };
        let aloft = driver.turn(self.now);
        if driver.partition().stopped().is_none() {
            let next = aloft.then(|| normalised(driver.state(), self.now));
            self.settle_states();
            self.aloft = next;
        }
    }

    /// Everything is durable, and this is the state.
    pub(crate) fn all_landed(&mut self, state: Vec<Item>) {
        self.written.clear();
        match self.pages.expanded(normalised(state, self.now)) {
            Ok(items) => self.landed = normalised(items, Time(0)),
            Err(why) => self.fail("pages", &why),
        }
    }

    /// The batch in flight is written.
    fn settle_states(&mut self) {
        let Some(aloft) = self.aloft.take() else { return };
        let end = self.driver.as_ref().map(|driver| driver.stored().0);
        match (self.pages.expanded(aloft), end) {
            (Ok(items), Some(end)) => self.written.push_back((end, normalised(items, Time(0)))),
            (Ok(_), None) => {}
            (Err(why), _) => self.fail("pages", &why),
        }
    }

    /// Takes note of how far storage has got.
    fn note_durable(&mut self) {
        let Some(driver) = self.driver.as_ref().filter(|_| !self.disk.is_dark()) else { return };
        let (end, durable) = driver.stored();
        while let Some((_, state)) = self.written.pop_front_if(|(end, _)| *end <= durable) {
            self.landed = state;
        }
        if end == durable && std::mem::take(&mut self.told) {
            self.tell(&Fact::Durable);
        }
    }

    pub(crate) fn keep(&mut self) -> bool {
        let kept = self.driver.as_mut().is_some_and(Driver::keep);
        self.note_durable();
        self.bury();
        kept
    }

    /// Takes what left the broker: it is promised from here on.
    pub(crate) fn tap(&mut self) {
        let mut all: Vec<(usize, Key, Vec<Event>)> = Vec::new();
        for (index, peer) in self.peers.iter().enumerate() {
            let mut events = Vec::new();
            if let Some(Peer { port: Some((key, port)), .. }) = peer
                && port.take_events(&mut events)
            {
                all.push((index, *key, events));
            }
        }
        self.plant.tapped(&mut all);
        let at = self.now;
        for (index, to, events) in all {
            for event in events {
                self.told = true;
                self.tell(&Fact::Told { at, to, event: &event });
                let Some(Some(peer)) = self.peers.get_mut(index) else { continue };
                peer.unread_bytes += delivery_bytes(&event);
                self.unread_bytes_max = self.unread_bytes_max.max(peer.unread_bytes);
                peer.actor.arrived(event);
            }
        }
    }

    pub(crate) fn tell(&mut self, fact: &Fact<'_>) {
        self.numbers.facts += 1;
        if let Some(trace) = &mut self.trace {
            let mut line = format!("{fact:?}");
            line.truncate(1000);
            trace.push(format!("{}: {line}", self.step));
        }
        for checker in &mut self.checkers {
            if let Err(what) = checker.see(fact)
                && self.failure.is_none()
            {
                self.failure = Some(Failure { checker: checker.name().to_owned(), what, step: self.step });
            }
        }
    }

    pub(crate) fn fail(&mut self, checker: &str, what: &str) {
        let failure = Failure { checker: checker.to_owned(), what: what.to_owned(), step: self.step };
        self.failure.get_or_insert(failure);
    }

    /// The broker is back: compares what it found with what was promised. The process leaves everything that was written, a
    /// power failure may leave less.
    pub(crate) fn back(&mut self, power: bool) {
        self.past = self.numbers;
        let Some(driver) = &self.driver else { return };
        let state = match self.pages.expanded(driver.state()) {
            Ok(state) => state,
            Err(why) => return self.fail("pages", &why),
        };
        let found = recovered(normalised(state.clone(), self.now));
        // What a batch that did not land wrote cannot be read: then it is not what was found either.
        let aloft = self.aloft.take().and_then(|aloft| self.pages.expanded(aloft).ok());
        let aloft = aloft.map(|aloft| normalised(aloft, Time(0)));
        let mut states = vec![std::mem::take(&mut self.landed)];
        states.extend(self.written.drain(..).map(|(_, state)| state));
        let surely = if power { 0 } else { states.len() - 1 };
        states.extend(aloft);
        // What its time was over for at the crash may have been forgotten since.
        let at = self.now;
        let may_be = |state: Vec<Item>| normalised(recovered(state), at);
        let mut may_be = states.into_iter().skip(surely).map(may_be).peekable();
        let promised = may_be.peek().cloned().unwrap_or_default();
        let known =
            if may_be.any(|state| state == found) { Ok(()) } else { Err(difference(&found, &promised)) };
        self.landed = found;
        self.tell(&Fact::Back { at, state: &state, known });
    }

    /// Turns, appends and keeps house until nothing is left to do. False: it died meanwhile, or cannot.
    pub(crate) fn rest(&mut self) -> bool {
        let life = self.life;
        for round in 0..ROUNDS_MAX {
            // Whatever lingers is due.
            self.now = self.now.after_ms(self.options.linger_ms + 1);
            self.turn();
            let (landed, kept) = (self.land(), self.keep());
            if self.life != life || self.failure.is_some() || self.full {
                return false;
            }
            let Some(driver) = &self.driver else { return false };
            let quiet = driver.timeout_ms(self.now).is_none_or(|ms| ms > self.options.linger_ms);
            let timers_only = round > TIMERS_ONLY && self.aloft.is_none();
            if !kept && (quiet && !landed || timers_only) {
                return driver.health() == Health::Running;
            }
        }
        self.fail("rest", "the broker does not come to rest");
        false
    }
}

/// What must be the same before and after a restart: not the numbers that transient messages move too, and not what time
/// has forgotten.
fn normalised(items: Vec<Item>, now: Time) -> Vec<Item> {
    items
        .into_iter()
        .filter(|item| !matches!(item, Item::Machine { .. }))
        .map(|item| match item {
            Item::Queue { queue, held_keys, mut dedup, .. } => {
                dedup.retain(|(_, _, _, until)| *until > now);
                Item::Queue { queue, next_seq: Seq(0), last_fence: Fence(0), held_keys, dedup }
            }
            Item::Entry(mut entry) => {
                if entry.state != MessageState::InFlight {
                    entry.fence = Fence(0);
                }
                Item::Entry(entry)
            }
            other => other,
        })
        .collect()
}

/// What a restart makes of a state: linked leases end.
fn recovered(items: Vec<Item>) -> Vec<Item> {
    items
        .into_iter()
        .map(|item| match item {
            Item::Entry(mut entry) if entry.linked && entry.state == MessageState::InFlight => {
                entry.state = MessageState::Ready;
                entry.linked = false;
                entry.until = None;
                entry.fence = Fence(0);
                Item::Entry(entry)
            }
            other => other,
        })
        .collect()
}

fn difference(found: &[Item], promised: &[Item]) -> String {
    let missing = promised.iter().find(|item| !found.contains(item));
    let new = found.iter().find(|item| !promised.contains(item));
    format!("missing {missing:?}, new {new:?} ({} and {} items)", promised.len(), found.len())
}
