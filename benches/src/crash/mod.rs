//! The crash test: a broker under load is killed with SIGKILL again and again on the same data directory, and in the
//! end every promise it made is checked. [`schedule`] decides when to kill, [`load`] is what it is killed under,
//! [`ledger`] knows every message and judges, [`finish`] drains. The program is `src/bin/crash.rs`.
//!
//! SIGKILL takes the process and leaves the page cache, so this proves that nothing is answered before it has been
//! handed to the system, and that recovery is right; that it was synced is the simulation's to prove.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::conn::Connection;
use crate::error::{BenchError, During, Result};
use crate::scenarios::run_magic;
use crate::server::{self, Broker, Target};

pub mod finish;
pub mod ledger;
pub mod load;
pub mod random;
pub mod schedule;
pub mod topology;

use ledger::{Ledger, Violation};
use load::{CONTROL, Life, PRODUCERS};
use random::Random;
use schedule::Moment;
use topology::Topology;

/// Queues from the start; further ones come with the declare rounds.
const QUEUES: u16 = 4;

/// What to do.
#[derive(Debug)]
pub struct Plan {
    /// The server under test.
    pub target: Target,
    /// The Baton program; see `server::baton`.
    pub baton_bin: Option<PathBuf>,
    /// At least so many kills.
    pub kills: usize,
    /// Decides when to kill and what the workers do.
    pub seed: u64,
    /// Where the data directory is made.
    pub work_dir: PathBuf,
    /// Leave the data directory where it is, for `baton doctor`.
    pub keep: bool,
}

/// How many checks held.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    /// Checks that held.
    pub passed: usize,
    /// Checks that did not.
    pub failed: usize,
}

impl Outcome {
    fn note(&mut self, held: bool) -> &'static str {
        if held {
            self.passed += 1;
            "ok"
        } else {
            self.failed += 1;
            "FAILED"
        }
    }
}

struct Run<'a> {
    broker: Box<dyn Broker>,
    target: Target,
    random: Random,
    magic: u64,
    ledger: Mutex<Ledger>,
    /// Starts of the broker so far.
    lives: u16,
    kills: usize,
    last_start: Duration,
    outcome: &'a mut Outcome,
    say: &'a mut dyn FnMut(&str),
}

/// Runs the test; `say` gets a line for each round and for each final check. When the test cannot go on, for example
/// since the broker does not start again, that is one failed check more.
pub fn run(plan: &Plan, say: &mut dyn FnMut(&str)) -> Outcome {
    let mut outcome = Outcome::default();
    if let Err(error) = run_rounds(plan, &mut outcome, say) {
        let verdict = outcome.note(false);
        say(&format!("the test could not go on: {error}: {verdict}"));
    }
    outcome
}

fn run_rounds(plan: &Plan, outcome: &mut Outcome, say: &mut dyn FnMut(&str)) -> Result<()> {
    std::fs::create_dir_all(&plan.work_dir).during("make the work directory")?;
    let mut dir = tempfile::Builder::new()
        .prefix("baton-crash-")
        .tempdir_in(&plan.work_dir)
        .during("make a data directory")?;
    if plan.keep {
        dir.disable_cleanup(true);
        say(&format!("everything stays in {}", dir.path().display()));
    }
    let mut random = Random::new(plan.seed);
    let moments = schedule::moments(&mut random, plan.kills);
    let mut run = Run {
        broker: plan.target.broker(dir.path(), plan.baton_bin.as_deref())?,
        target: plan.target,
        random,
        magic: run_magic(),
        ledger: Mutex::new(Ledger::new(CONTROL as usize + 1)),
        lives: 0,
        kills: 0,
        last_start: Duration::ZERO,
        outcome,
        say,
    };
    let mut address = run.start()?;
    let mut topology = Topology::declare(run.target, address, usize::from(QUEUES))?;
    for (round, moment) in moments.iter().enumerate() {
        address = run.round(round + 1, *moment, address, &mut topology)?;
    }
    run.finish(address, &topology)
}

impl Run<'_> {
    fn ledger(&mut self) -> &mut Ledger {
        self.ledger.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn start(&mut self) -> Result<std::net::SocketAddr> {
        let begun = Instant::now();
        let address = server::start(self.broker.as_mut())?;
        self.last_start = begun.elapsed();
        self.lives += 1;
        Ok(address)
    }

    fn kill(&mut self) {
        self.broker.process().kill();
        self.kills += 1;
    }

    /// One life under load, its end, and the start of the next, with a look at what must be there.
    fn round(
        &mut self,
        round: usize,
        moment: Moment,
        address: std::net::SocketAddr,
        topology: &mut Topology,
    ) -> Result<std::net::SocketAddr> {
        let (before, violations) = (self.ledger().totals(), self.ledger().violations());
        let begun = Instant::now();
        self.live(round, moment, address, topology)?;
        let lived = begun.elapsed();
        if let Moment::StartUp { shares, .. } = moment {
            for share in shares {
                self.broker.spawn()?;
                std::thread::sleep(self.last_start * u32::try_from(share).unwrap_or(0) / 1_000);
                self.kill();
            }
        }
        let address = self.start()?;
        for missing in topology.missing(address)? {
            self.ledger().violation(Violation::Topology, &format!("after round {round}: {missing}"));
        }
        let (after, broken) = (self.ledger().totals(), self.ledger().violations() - violations);
        let verdict = self.outcome.note(broken == 0);
        let line = format!(
            "round {round:>2}, {:>2} kills, {moment}: lived {} ms, published {}, confirmed {}, delivered {}, completed {}; \
             ready again in {} ms; {broken} promises broken: {verdict}",
            self.kills,
            lived.as_millis(),
            after.published - before.published,
            after.confirmed - before.confirmed,
            after.deliveries - before.deliveries,
            after.completed - before.completed,
            self.last_start.as_millis(),
        );
        (self.say)(&line);
        Ok(address)
    }

    /// Load until the moment has come; the broker is dead afterwards.
    fn live(
        &mut self,
        round: usize,
        moment: Moment,
        address: std::net::SocketAddr,
        topology: &mut Topology,
    ) -> Result<()> {
        let mut random = self.random.fork(round as u64, u64::MAX);
        let seen = topology.clone();
        let ledger = std::mem::take(&mut self.ledger);
        let life = Life {
            address,
            number: self.lives,
            magic: self.magic,
            ledger: &ledger,
            topology: &seen,
            stop: AtomicBool::new(false),
        };
        let ended = std::thread::scope(|scope| {
            let life = &life;
            let mut workers = Vec::new();
            for producer in 0..PRODUCERS {
                let random = self.random.fork(round as u64, u64::from(producer));
                workers.push(scope.spawn(move || load::produce(life, producer, random)));
            }
            for consumer in PRODUCERS..CONTROL {
                let random = self.random.fork(round as u64, u64::from(consumer));
                // The first queues always have a consumer, the rest go to whatever queues there are.
                let queue = u16::try_from(consumer - PRODUCERS).unwrap_or(0);
                let queue = if queue < QUEUES {
                    queue
                } else {
                    u16::try_from(random.clone().next() % seen.queues.len() as u64).unwrap_or(0)
                };
                workers.push(scope.spawn(move || load::consume(life, consumer, queue, random)));
            }
            let led_up = lead_up(moment, life, topology, &mut random);
            // Whoever ends before the kill found something: a broker that closes connections by itself.
            let early = workers.iter().position(|worker| worker.is_finished());
            self.kill();
            let ends: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            (led_up, early, ends)
        });
        self.ledger = ledger;
        let (led_up, early, ends) = ended;
        if ends.iter().any(std::result::Result::is_err) {
            return Err(BenchError::Run("a worker panicked".to_owned()));
        }
        led_up?;
        if let Some(early) = early
            && let Some(Ok(Err(error))) = ends.get(early)
        {
            return Err(BenchError::Run(format!("a worker ended before the broker was killed: {error}")));
        }
        Ok(())
    }

    /// Bindings, drain, clean stop, and a last look.
    fn finish(&mut self, address: std::net::SocketAddr, topology: &Topology) -> Result<()> {
        let queues: Vec<u16> = (0..).take(topology.queues.len()).collect();
        let drained = self.idle_life(address, topology, |life| {
            // Every queue must still take a message, through its binding where it has one, and give it out again.
            finish::publish_confirmed(life, CONTROL, &queues)?;
            finish::drain_all(life)
        })?;
        self.ledger().find_lost();
        let begun = Instant::now();
        self.broker.process().stop()?;
        let stopped = begun.elapsed();
        let address = self.start()?;
        let left = self.idle_life(address, topology, finish::drain_all)?;
        self.broker.process().stop()?;
        let (totals, kills) = (self.ledger().totals(), self.kills);
        (self.say)(&format!(
            "{kills} kills; {} published, {} confirmed, {} deliveries, {} completed for certain, {drained} drained at the \
             end; {} redelivered within a life, {} across lives ({} of them flagged)",
            totals.published,
            totals.confirmed,
            totals.deliveries,
            totals.completed,
            totals.repeats_within_life,
            totals.repeats_across_lives,
            totals.flagged_across_lives,
        ));
        for kind in Violation::ALL {
            let count = self.ledger().count(kind);
            let verdict = self.outcome.note(count == 0);
            let line = format!("{}: {count} times not: {verdict}", kind.promise());
            (self.say)(&line);
        }
        let verdict = self.outcome.note(left == 0);
        (self.say)(&format!(
            "after a clean stop ({} ms) nothing came back: {left} did: {verdict}",
            stopped.as_millis()
        ));
        // A run in which nothing was exercised proves nothing.
        let exercised =
            totals.completed > 0 && totals.repeats_across_lives > 0 && totals.repeats_within_life > 0;
        let verdict = self.outcome.note(exercised);
        (self.say)(&format!("the run had completions and redeliveries of both kinds: {verdict}"));
        for text in self.ledger().kept().to_vec() {
            (self.say)(&format!("  {text}"));
        }
        Ok(())
    }

    /// Runs `work` on a broker without load.
    fn idle_life<T>(
        &mut self,
        address: std::net::SocketAddr,
        topology: &Topology,
        work: impl FnOnce(&Life<'_>) -> Result<T>,
    ) -> Result<T> {
        let life = Life {
            address,
            number: self.lives,
            magic: self.magic,
            ledger: &self.ledger,
            topology,
            stop: AtomicBool::new(false),
        };
        work(&life)
    }
}

/// Everything up to the kill.
fn lead_up(moment: Moment, life: &Life<'_>, topology: &mut Topology, random: &mut Random) -> Result<()> {
    match moment {
        Moment::Load(load) | Moment::StartUp { load, .. } => std::thread::sleep(load),
        Moment::Confirm { load, batch } => {
            std::thread::sleep(load);
            let queues: Vec<u16> =
                (0..batch).map(|_| u16::try_from(random.within(0, 3)).unwrap_or(0)).collect();
            finish::publish_confirmed(life, CONTROL, &queues)?;
        }
        Moment::Declare { load, after, bind, publish } => {
            // The connection is open before, so that nothing lies between the answer and the kill.
            let mut conn = Connection::open(life.address)?;
            std::thread::sleep(load);
            let number = topology.add(&mut conn, bind)?;
            if publish > 0 {
                let queues = vec![number; usize::try_from(publish).unwrap_or(1)];
                let life = Life { topology, stop: AtomicBool::new(false), ..*life };
                finish::publish_confirmed(&life, CONTROL, &queues)?;
            }
            if !after.is_zero() {
                std::thread::sleep(after);
            }
        }
    }
    Ok(())
}
