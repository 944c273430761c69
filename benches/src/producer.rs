//! A producer: one thread, one connection, publishes from a prebuilt ring, reads confirms. Two ways to go: as fast as
//! the window of unconfirmed messages allows ([`Pace::Saturate`]), or at a fixed rate whatever the server does
//! ([`Pace::Rate`], an open loop: each message carries the time at which it was due, so that a stall of the server
//! shows up in every message that it delayed). Called by `scenarios`.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::conn::{Connection, check_event, read_some, write_all};
use crate::error::{BenchError, During, Result};
use crate::measure::now_ns;
use crate::tally::{ConfirmWindow, Published};
use crate::wire::scan::{Event, Incoming};
use crate::wire::template::PublishRing;

/// How long the server may stay silent before outstanding confirms are given up.
const SILENCE_NS_MAX: u64 = 20_000_000_000;
/// How often a blocked producer looks whether it should stop.
const POLL_NS: u64 = 100_000_000;

/// How fast to publish.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// As fast as confirms come.
    Saturate,
    /// So many messages per second, evenly spaced, in an open loop.
    Rate(u32),
}

/// What a producer does.
#[derive(Debug, Clone)]
pub struct ProducerPlan {
    /// The server.
    pub address: SocketAddr,
    /// Its number, from 0.
    pub number: u32,
    /// Published to in turn.
    pub queues: Vec<String>,
    /// The run's magic, see `payload`.
    pub magic: u64,
    /// Size of a body.
    pub body_bytes: usize,
    /// How many messages may be unconfirmed.
    pub window: usize,
    /// How fast.
    pub pace: Pace,
    /// Stop after so many messages.
    pub count_max: u64,
}

/// What the coordinator sees and says while a producer runs.
#[derive(Debug, Default)]
pub struct ProducerGauge {
    /// Stop publishing and wait for the confirms.
    pub stop: AtomicBool,
    /// Messages sent so far.
    pub sent: AtomicU64,
    /// Messages confirmed so far.
    pub confirmed: AtomicU64,
}

/// A connected producer, ready to go.
pub struct Producer<'a> {
    plan: ProducerPlan,
    gauge: &'a ProducerGauge,
    stream: TcpStream,
    incoming: Incoming,
    ring: PublishRing,
    window: ConfirmWindow,
}

impl<'a> Producer<'a> {
    /// Connects and turns confirms on.
    ///
    /// # Errors
    /// The server is not there or refuses.
    pub fn connect(plan: ProducerPlan, gauge: &'a ProducerGauge) -> Result<Producer<'a>> {
        let mut conn = Connection::open(plan.address)?;
        conn.confirm_select()?;
        conn.set_read_timeout(Duration::from_nanos(POLL_NS))?;
        let (stream, incoming, _) = conn.parts();
        let ring = PublishRing::new(&plan.queues, plan.number, plan.magic, plan.body_bytes, plan.window);
        let window = ConfirmWindow::new(plan.window);
        Ok(Producer { plan, gauge, stream, incoming, ring, window })
    }

    /// Publishes until told to stop or the count is reached, then waits for the outstanding confirms.
    ///
    /// # Errors
    /// The connection broke or the server closed it.
    pub fn run(mut self) -> Result<Published> {
        match self.plan.pace {
            Pace::Saturate => self.saturate()?,
            Pace::Rate(per_second) => self.open_loop(per_second)?,
        }
        let mut silent_since = now_ns();
        while self.window.outstanding() > 0 {
            if read_some(&mut self.incoming, &self.stream)? {
                silent_since = now_ns();
                self.take_confirms()?;
            } else if now_ns() - silent_since > SILENCE_NS_MAX {
                break;
            }
        }
        Ok(self.window.finish())
    }

    fn done(&self) -> bool {
        self.gauge.stop.load(Ordering::Relaxed) || self.ring.next_sequence() >= self.plan.count_max
    }

    fn saturate(&mut self) -> Result<()> {
        while !self.done() {
            let left = self.plan.count_max - self.ring.next_sequence();
            let room = self.window.room().min(usize::try_from(left).unwrap_or(usize::MAX));
            if room > 0 {
                // One clock call per batch: the messages do leave together.
                let now = now_ns();
                self.send(room, |_| now)?;
            }
            if read_some(&mut self.incoming, &self.stream)? {
                self.take_confirms()?;
            }
        }
        Ok(())
    }

    fn open_loop(&mut self, per_second: u32) -> Result<()> {
        // Default timer slack is 50 us, which would be a quarter of the spacing at 5,000/s.
        rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))
            .during("set the timer slack")?;
        self.stream.set_nonblocking(true).during("make the socket non-blocking")?;
        let spacing_ns = 1_000_000_000 / u64::from(per_second.max(1));
        let start = now_ns();
        while !self.done() {
            let now = now_ns();
            let first = self.ring.next_sequence();
            let due = ((now - start) / spacing_ns + 1).saturating_sub(first);
            let count = usize::try_from(due).unwrap_or(usize::MAX).min(self.window.room());
            if count > 0 {
                self.send(count, |nth| start + (first + nth) * spacing_ns)?;
            }
            if self.window.room() == 0 {
                // Only a confirm can help; wake up now and then to see whether to stop.
                self.wait(PollFlags::IN, now + POLL_NS)?;
            } else {
                // Confirms wait for the next message that is due: being woken for each would cost the shared cores
                // more than sending, and changes nothing that is measured.
                self.wait(PollFlags::empty(), start + self.ring.next_sequence() * spacing_ns)?;
            }
            if read_some(&mut self.incoming, &self.stream)? {
                self.take_confirms()?;
            }
        }
        self.stream.set_nonblocking(false).during("make the socket blocking again")
    }

    /// Waits for the socket, or with no flags for the time alone; at most until the given time.
    fn wait(&self, flags: PollFlags, until_ns: u64) -> Result<()> {
        let wait = until_ns.saturating_sub(now_ns());
        let timeout = Timespec {
            tv_sec: i64::try_from(wait / 1_000_000_000).unwrap_or(1),
            tv_nsec: i64::try_from(wait % 1_000_000_000).unwrap_or(0),
        };
        match poll(&mut [PollFd::new(&self.stream, flags)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(errno).during("poll the socket"),
        }
    }

    fn send(&mut self, count: usize, sent_ns: impl Fn(u64) -> u64) -> Result<()> {
        let bytes = self.ring.batch(count, sent_ns);
        self.window.sent(count);
        match self.plan.pace {
            Pace::Saturate => write_all(&self.stream, bytes)?,
            Pace::Rate(_) => write_nonblocking(&self.stream, bytes)?,
        }
        self.gauge.sent.store(self.ring.next_sequence(), Ordering::Relaxed);
        Ok(())
    }

    fn take_confirms(&mut self) -> Result<()> {
        while let Some(event) = self.incoming.next_event()? {
            match event {
                Event::Confirm(confirm) => self.window.settle(confirm),
                Event::Return { .. } => return Err(BenchError::Run("a message was returned".to_owned())),
                other => check_event(&other)?,
            }
        }
        self.gauge.confirmed.store(self.window.confirmed(), Ordering::Relaxed);
        Ok(())
    }
}

/// Writes all of it to a non-blocking socket, waiting while its buffer is full.
fn write_nonblocking(mut stream: &TcpStream, mut bytes: &[u8]) -> Result<()> {
    use std::io::{ErrorKind, Write};
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(BenchError::Disconnected),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let second = Timespec { tv_sec: 1, tv_nsec: 0 };
                poll(&mut [PollFd::new(stream, PollFlags::OUT)], Some(&second)).during("poll the socket")?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).during("write to the server"),
        }
    }
    Ok(())
}
