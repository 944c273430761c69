//! The auditor: looks at everything a broker holds at one moment, and takes it all out at the end. Its steps are part of
//! the world's; what it finds is judged by the checkers.

use std::collections::BTreeMap;

use baton_core::STRETCH_BYTES;
use baton_engine::Port;
use baton_journal_file::SEGMENT_HEADER_BYTES;
use baton_model::event::{Browsed, QueueInfo};
use baton_model::request::{CatalogOp, Fetch, FetchSelect, InspectOp, LeaseMode, MessageState};
use baton_model::{Event, LinkId, Reply, Request, Seq, Token};

use crate::Dice;
use crate::fact::{Audited, Fact, Usage};
use crate::topology;
use crate::world::World;

/// In segments shorter than this, what is alive is not told apart well enough to judge the whole directory.
const SEGMENT_STRETCHES_MIN: u64 = 4;
/// Longer than every lease, delay and time to live, milliseconds.
const LONG_MS: u64 = 120_000;
/// How long the broker has for its housekeeping at the end: longer than it leaves a segment alone that it could not clear.
const IDLE_ROUNDS: u64 = 150;
const IDLE_ROUND_MS: u64 = 100;
/// How often everything is looked at before it is taken for a bug that it changes meanwhile.
const LOOKS_MAX: usize = 5;
/// How often a page may be asked for in vain: a batch is in flight, the next one has it.
const STUCK_MAX: u32 = 20;

impl World {
    /// Looks at everything at one moment at rest.
    pub(crate) fn audit(&mut self) -> bool {
        for _ in 0..LOOKS_MAX {
            if !self.rest() {
                return false;
            }
            let before = self.messages();
            let Some(queues) = self.look() else { return false };
            // What could be read at last may have been due for long: then this was not one moment.
            if self.messages() == before {
                let at = self.now;
                self.tell(&Fact::Audit { at, queues: &queues });
                self.tell_at_rest();
                return self.failure.is_none();
            }
        }
        self.fail("audit", "the number of messages changes though nobody does anything");
        false
    }

    fn messages(&self) -> u64 {
        self.driver.as_ref().map_or(0, |driver| driver.stats().messages)
    }

    /// All queues and what is in them. `None`: the broker died meanwhile, or does not answer.
    fn look(&mut self) -> Option<Vec<Audited>> {
        let mut requests =
            vec![Request::Open { token: Token(1), namespace: "/".into(), label: "auditor".into() }];
        let all = CatalogOp::Queues { after: None, prefix: "".into(), count_max: 1_000 };
        requests.push(Request::Catalog { token: Token(2), op: Box::new(all) });
        let port = self.driver.as_mut()?.connect();
        port.submit(&mut requests, 100);
        self.turn();
        let mut events = Vec::new();
        port.take_events(&mut events);
        let infos = events.into_iter().find_map(|event| match event {
            Event::Reply { result: Ok(Reply::Queues(queues)), .. } => Some(queues),
            _ => None,
        });
        let mut infos = infos.unwrap_or_default();
        let mut pages = BTreeMap::new();
        for queue in topology::QUEUES {
            pages.insert(queue, self.browse_all(&port, queue)?);
        }
        drop(port);
        self.turn();
        self.plant.audited(&mut infos);
        let audited = |info: QueueInfo| Audited {
            messages: pages.remove(info.name.as_str()).unwrap_or_default(),
            info,
        };
        Some(infos.into_iter().map(audited).collect())
    }

    /// All messages of a queue, page by page. `None`: the broker died meanwhile, or does not answer.
    fn browse_all(&mut self, port: &Port, queue: &str) -> Option<Vec<Browsed>> {
        let life = self.life;
        let mut all = Vec::new();
        let mut stuck = 0;
        let mut from = Some(Seq(0));
        while let Some(first) = from.take() {
            let op = InspectOp::Browse {
                queue: queue.into(),
                from: first,
                count_max: 1_000,
                states: Vec::new(),
                headers: Default::default(),
            };
            port.submit(&mut vec![Request::Inspect { token: Token(3), op: Box::new(op) }], 100);
            self.turn();
            let mut events = Vec::new();
            port.take_events(&mut events);
            for event in events {
                if let Event::Reply { result: Ok(Reply::Browsed { messages, next }), .. } = event {
                    // What was just written out can be read once it is durable: then it is asked for again.
                    stuck = if next == Some(first) { stuck + 1 } else { 0 };
                    from = next;
                    all.extend(messages);
                }
            }
            if stuck > 0 {
                self.land();
                self.keep();
                if self.life != life || self.failure.is_some() || self.full {
                    return None;
                }
            }
            if stuck > STUCK_MAX {
                self.fail("audit", &format!("queue {queue} cannot be read at {first}"));
                return None;
            }
        }
        Some(all)
    }

    fn tell_at_rest(&mut self) {
        let Some(driver) = &self.driver else { return };
        let stats = driver.stats();
        let open = self.peers.iter().flatten().filter(|peer| peer.port.is_some()).count() as u64;
        let unread_bytes_max = std::mem::take(&mut self.unread_bytes_max);
        let (messages, connections) = (stats.messages, stats.connections);
        self.tell(&Fact::AtRest { messages, connections, connections_open: open, unread_bytes_max });
    }

    /// Asks as a client that the checkers know, and lets the broker answer.
    fn ask(&mut self, mut requests: Vec<Request>) -> Vec<Event> {
        let Some(driver) = &mut self.driver else { return Vec::new() };
        let port = driver.connect();
        let (key, at) = (self.life << 32 | port.id().0, self.now);
        requests.insert(0, Request::Open { token: Token(1), namespace: "/".into(), label: "sim".into() });
        for request in &requests {
            self.tell(&Fact::Asked { at, by: key, request });
        }
        port.submit(&mut requests, 100);
        self.rest();
        let mut events = Vec::new();
        port.take_events(&mut events);
        for event in &events {
            self.tell(&Fact::Told { at: self.now, to: key, event });
        }
        drop(port);
        self.tell(&Fact::Cut { key });
        self.rest();
        events
    }

    pub(crate) fn set_up(&mut self) {
        let requests = topology::setup().into_iter().zip(2..);
        let requests =
            requests.map(|(op, token)| Request::Catalog { token: Token(token), op: Box::new(op) }).collect();
        self.ask(requests);
    }

    /// What follows all scenarios: the network delivers what is on its way, nothing fails any more, and everything that is
    /// left is taken out.
    pub(crate) fn finish(&mut self, seed: u64) {
        self.heal();
        let mut dice = Dice::new(seed ^ 0xf1a1);
        for _ in 0..4 {
            for actor in 0..self.peers.len() {
                self.up(actor, dice.number());
            }
            self.turn();
            self.land();
            for actor in 0..self.peers.len() {
                self.down(actor, dice.number());
            }
        }
        if !self.audit() {
            return;
        }
        if dice.one_in(2) {
            self.crash(dice.one_in(2), None);
            if self.failure.is_some() || !self.audit() {
                return;
            }
        }
        for actor in 0..self.peers.len() {
            self.cut(actor);
        }
        // Leases end, and what they were about may have to wait for its retry.
        for _ in 0..2 {
            self.now = self.now.after_ms(LONG_MS);
            if !self.audit() {
                return;
            }
        }
        if self.idle() {
            self.drain();
        }
    }

    /// Lets housekeeping come to its end, and tells what the broker takes then. False: something changed meanwhile, or broke.
    fn idle(&mut self) -> bool {
        let before = self.messages();
        for _ in 0..IDLE_ROUNDS {
            self.now = self.now.after_ms(IDLE_ROUND_MS);
            self.turn();
            self.land();
            self.keep();
        }
        let Some(driver) = &self.driver else { return false };
        let stats = driver.stats();
        let stretch = stats.journal_end / STRETCH_BYTES;
        let files = self.disk.image();
        // By their names: each one's end is where the next begins.
        let segments: Vec<(u64, u64)> = files
            .iter()
            .filter_map(|(name, file)| Some((name.strip_suffix(".seg")?.parse().ok()?, file.len() as u64)))
            .collect();
        let settled = segments.windows(2).filter(|pair| {
            let (base, end) = (pair[0].0, pair[1].0);
            end.div_ceil(STRETCH_BYTES) <= stretch && end - base >= STRETCH_BYTES
        });
        let longest_bytes = segments.iter().map(|(_, bytes)| *bytes).max().unwrap_or_default();
        let large = self.files.segment_bytes >= SEGMENT_STRETCHES_MIN * STRETCH_BYTES;
        let others = files.iter().filter(|(name, _)| !name.ends_with(".snap"));
        let mut directory_bytes: u64 = others.map(|(_, file)| file.len() as u64).sum();
        for pair in segments.windows(2).filter(|pair| pair[1].0.div_ceil(STRETCH_BYTES) > stretch) {
            // What was prepared behind a torn tail goes with its segment, when the journal has grown by a stretch.
            directory_bytes -= pair[0].1.saturating_sub(pair[1].0 - pair[0].0 + SEGMENT_HEADER_BYTES);
        }
        let usage = Usage {
            indexed_messages: stats.indexed_messages,
            index_messages_max: self.options.index_messages_max,
            resident_bytes: stats.resident_bytes,
            resident_bytes_max: self.options.resident_bytes_max,
            live_bytes: stats.live_bytes,
            snapshot_bytes_min: self.options.snapshot_bytes_min,
            segments: settled.clone().count() as u64,
            disk_bytes: settled.map(|pair| pair[0].1).sum(),
            segment_bytes: longest_bytes,
            directory_bytes: large.then_some(directory_bytes),
            segment_bytes_max: self.files.segment_bytes.max(longest_bytes),
        };
        if self.failure.is_none() && before == self.messages() {
            self.tell(&Fact::Idle { usage });
        }
        self.failure.is_none()
    }

    /// Takes out everything: what waits must be handed out, and nothing may be left.
    fn drain(&mut self) {
        for queue in topology::QUEUES {
            let fetch = |token, select| {
                Request::Fetch(Box::new(Fetch {
                    token: Token(token),
                    link: LinkId(1),
                    queue: queue.into(),
                    select,
                    count_max: 10_000,
                    lease: LeaseMode::Settled,
                    wait_until: None,
                    label: "drain".into(),
                }))
            };
            let deferred = InspectOp::Browse {
                queue: queue.into(),
                from: Seq(0),
                count_max: 1_000,
                states: vec![MessageState::Deferred],
                headers: Default::default(),
            };
            let browse = Request::Inspect { token: Token(2), op: Box::new(deferred) };
            let events = self.ask(vec![browse]);
            let seqs = events.iter().find_map(|event| match event {
                Event::Reply { result: Ok(Reply::Browsed { messages, .. }), .. } => {
                    Some(messages.iter().map(|message| message.seq).collect::<Vec<Seq>>())
                }
                _ => None,
            });
            let by_seqs = fetch(2, FetchSelect::Seqs(seqs.unwrap_or_default()));
            self.ask(vec![by_seqs, fetch(3, FetchSelect::Next)]);
        }
        self.tell(&Fact::Drained);
        self.audit();
    }
}
