//! Servers that run already, whatever they speak: they are given by name, address and process, and take turns. Who produces and
//! consumes is the protocol's to say ([`crate::stomp`], [`crate::redis`]); how long, what is counted and what is compared is here.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::{BenchError, During, Result};
use crate::measure::{Probe, await_all};
use crate::scenarios::flow::join;
use crate::tally::{Arrivals, Bitmap, Published, verdict};

/// How long connecting, writing and a call of the set-up may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a worker that waits looks whether it should stop.
const POLL: Duration = Duration::from_millis(50);
/// First size of a receive buffer: some reads of whatever a socket holds.
const BUFFER_BYTES: usize = 1024 * 1024;
/// With less room than this what was not taken is moved to the front.
const ROOM_BYTES_MIN: usize = 256 * 1024;

/// A server that runs.
#[derive(Clone, Debug)]
pub struct Server {
    /// For the table.
    pub name: String,
    /// Where it speaks the protocol.
    pub address: SocketAddr,
    /// Its process; its children count too.
    pub pid: u32,
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("{text:?} is no server; write NAME=ADDRESS:PORT@PID");
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (address, pid) = rest.rsplit_once('@').ok_or_else(wrong)?;
        let address = address.parse().map_err(|_| wrong())?;
        Ok(Self { name: name.to_owned(), address, pid: pid.parse().map_err(|_| wrong())? })
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Producers, and as many consumers, on one queue.
    pub workers: usize,
    /// Load before the measurement.
    pub warmup: Duration,
    /// Measured.
    pub duration: Duration,
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Unanswered messages per producer, and messages asked for or unsettled per consumer.
    pub window: usize,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Messages received per second.
    pub per_second: f64,
    /// CPU of the server for one message, microseconds.
    pub cpu_us: f64,
    /// Messages that were confirmed.
    pub confirmed: u64,
    /// Of those, messages that never arrived.
    pub lost: u64,
    /// Messages that came twice.
    pub duplicates: u64,
}

/// Runs one workload once. `consumer` and `producer` connect; what they return does the work until it is told to stop, and
/// says what arrived, and what was confirmed.
///
/// # Errors
/// A worker failed.
pub fn run<C, P>(
    server: &Server,
    plan: Plan,
    consumer: impl Fn() -> Result<C>,
    producer: impl Fn(u32) -> Result<P>,
) -> Result<Run>
where
    C: FnOnce(&AtomicU64, &AtomicBool) -> Result<Arrivals> + Send,
    P: FnOnce(&AtomicBool) -> Result<Bitmap> + Send,
{
    let (stop_producers, stop_consumers) = (&AtomicBool::new(false), &AtomicBool::new(false));
    let received = &AtomicU64::new(0);
    std::thread::scope(|scope| {
        let mut consumers = Vec::new();
        for _ in 0..plan.workers {
            let work = consumer()?;
            consumers.push(scope.spawn(move || work(received, stop_consumers)));
        }
        let mut producers = Vec::new();
        for (number, _) in (0_u32..).zip(0..plan.workers) {
            let work = producer(number)?;
            producers.push(scope.spawn(move || work(stop_producers)));
        }
        std::thread::sleep(plan.warmup);
        let mut probe = Probe::new(server.pid);
        let (before, cpu_before, started) =
            (received.load(Ordering::Relaxed), probe.cpu_ns(), Instant::now());
        std::thread::sleep(plan.duration);
        probe.refresh();
        let elapsed = started.elapsed().as_secs_f64();
        let (count, cpu) =
            (received.load(Ordering::Relaxed) - before, probe.cpu_ns().saturating_sub(cpu_before));
        stop_producers.store(true, Ordering::Relaxed);
        // A producer that failed still has to leave the consumers their end.
        let confirmed: Vec<Result<Bitmap>> = producers.into_iter().map(join).collect();
        let promised: u64 = confirmed.iter().flatten().map(Bitmap::len).sum();
        await_all(|| received.load(Ordering::Relaxed), promised);
        stop_consumers.store(true, Ordering::Relaxed);
        let mut arrivals = Arrivals::default();
        for one in consumers {
            arrivals.merge(&join(one)?);
        }
        let published = |one: Bitmap| Published { count: one.len(), refused: vec![], unsettled: vec![] };
        let published: Vec<Published> =
            confirmed.into_iter().map(|one| one.map(published)).collect::<Result<_>>()?;
        let verdict = verdict(&published, &arrivals);
        Ok(Run {
            per_second: count as f64 / elapsed,
            cpu_us: cpu as f64 / 1_000.0 / count.max(1) as f64,
            confirmed: promised,
            lost: verdict.lost,
            duplicates: verdict.duplicates,
        })
    })
}

/// A connection, with what was read and not taken. The buffer is not filled anew for each read: what a client spends the
/// server does not have.
pub struct Link {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// Nobody is there.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, CALL_TIMEOUT).during("connect")?;
        stream.set_nodelay(true).during("set TCP_NODELAY")?;
        stream.set_read_timeout(Some(POLL)).during("set a read time-out")?;
        stream.set_write_timeout(Some(CALL_TIMEOUT)).during("set a write time-out")?;
        Ok(Self { stream, buffer: vec![0; BUFFER_BYTES], start: 0, end: 0 })
    }

    /// Writes all of it; nothing is no call.
    ///
    /// # Errors
    /// The server is gone, or does not read.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() { Ok(()) } else { self.stream.write_all(bytes).during("write to the server") }
    }

    /// Reads what there is; false when nothing came in time.
    ///
    /// # Errors
    /// The server is gone.
    pub fn read(&mut self) -> Result<bool> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.buffer.len() - self.end < ROOM_BYTES_MIN {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.buffer.len() - self.end < ROOM_BYTES_MIN {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        match self.stream.read(self.buffer.get_mut(self.end..).unwrap_or_default()) {
            Ok(0) => Err(BenchError::Disconnected),
            Ok(count) => {
                self.end += count;
                Ok(true)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error).during("read from the server"),
        }
    }

    /// What was read and not taken.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Takes the next `bytes` of it.
    pub fn take(&mut self, bytes: usize) -> &[u8] {
        let from = self.start;
        self.start = self.end.min(from + bytes);
        self.buffer.get(from..self.start).unwrap_or_default()
    }
}
