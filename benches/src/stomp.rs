//! STOMP: persistent SENDs with a receipt each, in a window of outstanding ones, and `client-individual` ACKs, the acks of
//! what one read brought leaving with one write. The servers run already; they are given by name, address and process, and
//! take turns. Called by `main`.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::{BenchError, During, Result};
use crate::measure::{Probe, now_ns};
use crate::payload::Payload;
use crate::tally::{Arrivals, Bitmap};

/// How long a call of the set-up may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a worker that waits looks whether it should stop.
const POLL: Duration = Duration::from_millis(50);
/// How long consumers may receive nothing, while messages are missing, before those count as lost.
const STALL_MAX: Duration = Duration::from_secs(20);
/// Bytes asked for in one read.
const READ_BYTES: usize = 256 * 1024;

/// A server that runs.
#[derive(Clone, Debug)]
pub struct Server {
    /// For the table.
    pub name: String,
    /// Where it speaks STOMP.
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
    /// Receipts outstanding per producer, and messages unsettled per consumer.
    pub window: usize,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Messages received per second.
    pub per_second: f64,
    /// CPU of the server for one message, microseconds.
    pub cpu_us: f64,
    /// Receipts that came.
    pub confirmed: u64,
    /// Of those, messages that never arrived.
    pub lost: u64,
    /// Messages that came twice.
    pub duplicates: u64,
}

/// Runs the workload once.
///
/// # Errors
/// A worker failed.
pub fn run(server: &Server, plan: Plan) -> Result<Run> {
    let magic = now_ns();
    let queue = format!("/queue/bench-{magic:x}");
    let (stop_producers, stop_consumers) = (AtomicBool::new(false), AtomicBool::new(false));
    let received = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let mut consumers = Vec::new();
        for _ in 0..plan.workers {
            let peer = Peer::subscribe(server.address, &queue, plan.window)?;
            consumers.push(scope.spawn(|| consume(peer, magic, &received, &stop_consumers)));
        }
        let mut producers = Vec::new();
        for (number, _) in (0_u32..).zip(0..plan.workers) {
            let peer = Peer::connect(server.address)?;
            let (queue, stop) = (&queue, &stop_producers);
            producers.push(scope.spawn(move || produce(peer, queue, (magic, number), plan, stop)));
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
        let confirmed: Vec<Result<Bitmap>> = producers.into_iter().map(join).collect();
        let promised: u64 = confirmed.iter().flatten().map(Bitmap::len).sum();
        await_all(&received, promised);
        stop_consumers.store(true, Ordering::Relaxed);
        let mut arrivals = Arrivals::default();
        for one in consumers {
            arrivals.merge(&join(one)?);
        }
        let mut run = Run {
            per_second: count as f64 / elapsed,
            cpu_us: cpu as f64 / 1_000.0 / count.max(1) as f64,
            confirmed: promised,
            lost: 0,
            duplicates: 0,
        };
        let confirmed: Vec<crate::tally::Published> = confirmed
            .into_iter()
            .map(|one| {
                one.map(|one| crate::tally::Published {
                    count: one.len(),
                    refused: vec![],
                    unsettled: vec![],
                })
            })
            .collect::<Result<_>>()?;
        let verdict = crate::tally::verdict(&confirmed, &arrivals);
        (run.lost, run.duplicates) = (verdict.lost, verdict.duplicates);
        Ok(run)
    })
}

fn join<T>(worker: std::thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    worker.join().unwrap_or_else(|_| Err(BenchError::Run("a worker panicked".to_owned())))
}

fn await_all(received: &AtomicU64, promised: u64) {
    let mut last = (0, Instant::now());
    loop {
        let now = received.load(Ordering::Relaxed);
        if now >= promised || last.1.elapsed() > STALL_MAX {
            return;
        }
        if now > last.0 {
            last = (now, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sends as fast as receipts allow; the sequences that were confirmed.
fn produce(
    mut peer: Peer,
    queue: &str,
    (magic, producer): (u64, u32),
    plan: Plan,
    stop: &AtomicBool,
) -> Result<Bitmap> {
    let mut confirmed = Bitmap::default();
    let (mut next, mut outstanding) = (0_u64, 0_usize);
    let mut body = vec![b'x'; plan.body_bytes];
    Payload { producer, sequence: 0, sent_ns: 0 }.write(magic, &mut body);
    let mut out = Vec::new();
    loop {
        let stopping = stop.load(Ordering::Relaxed);
        if stopping && outstanding == 0 {
            return Ok(confirmed);
        }
        out.clear();
        while !stopping && outstanding < plan.window {
            Payload { producer, sequence: next, sent_ns: 0 }.patch(magic, &mut body);
            let length = body.len();
            let head = format!(
                "SEND\ndestination:{queue}\npersistent:true\nreceipt:{next}\ncontent-length:{length}\n\n"
            );
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(&body);
            out.push(0);
            next += 1;
            outstanding += 1;
        }
        if !out.is_empty() {
            peer.stream.write_all(&out).during("write to the server")?;
        }
        peer.read()?;
        while let Some((command, head, _)) = peer.frame()? {
            if command == b"RECEIPT" {
                let receipt = header(head, b"receipt-id").and_then(number);
                let receipt =
                    receipt.ok_or_else(|| BenchError::Run("a receipt without its id".to_owned()))?;
                confirmed.insert(receipt);
                outstanding = outstanding.saturating_sub(1);
            }
        }
    }
}

/// Receives and acknowledges each message by itself.
fn consume(mut peer: Peer, magic: u64, received: &AtomicU64, stop: &AtomicBool) -> Result<Arrivals> {
    let mut arrivals = Arrivals::default();
    let mut acks = Vec::new();
    loop {
        let mut fresh = 0;
        acks.clear();
        while let Some((command, head, body)) = peer.frame()? {
            if command != b"MESSAGE" {
                continue;
            }
            let payload = Payload::read(magic, body).map_err(BenchError::Wire)?;
            let ack =
                header(head, b"ack").ok_or_else(|| BenchError::Run("a message without ack".to_owned()))?;
            acks.extend_from_slice(b"ACK\nid:");
            acks.extend_from_slice(ack);
            acks.extend_from_slice(b"\n\n\0");
            fresh += u64::from(arrivals.note(payload.producer, payload.sequence));
        }
        if !acks.is_empty() {
            peer.stream.write_all(&acks).during("write to the server")?;
        }
        received.fetch_add(fresh, Ordering::Relaxed);
        if !peer.read()? && stop.load(Ordering::Relaxed) {
            return Ok(arrivals);
        }
    }
}

/// A connection, with what was read and not taken.
struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
    taken: usize,
}

/// Command, headers, body.
type Parts<'a> = (&'a [u8], &'a [u8], &'a [u8]);

impl Peer {
    fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, CALL_TIMEOUT).during("connect")?;
        stream.set_nodelay(true).during("set TCP_NODELAY")?;
        stream.set_read_timeout(Some(POLL)).during("set a read time-out")?;
        stream.set_write_timeout(Some(CALL_TIMEOUT)).during("set a write time-out")?;
        let mut peer = Self { stream, buffer: Vec::new(), taken: 0 };
        peer.call(
            "CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\nheart-beat:0,0\n\n\0",
            b"CONNECTED",
        )?;
        Ok(peer)
    }

    fn subscribe(address: SocketAddr, queue: &str, window: usize) -> Result<Self> {
        let mut peer = Self::connect(address)?;
        let frame = format!(
            "SUBSCRIBE\nid:1\ndestination:{queue}\nack:client-individual\nprefetch-count:{window}\nactivemq.prefetchSize:{window}\nreceipt:s\n\n\0"
        );
        peer.call(&frame, b"RECEIPT")?;
        Ok(peer)
    }

    fn call(&mut self, frame: &str, expected: &[u8]) -> Result<()> {
        self.stream.write_all(frame.as_bytes()).during("write to the server")?;
        let until = Instant::now() + CALL_TIMEOUT;
        while Instant::now() < until {
            self.read()?;
            if let Some((command, _, _)) = self.frame()? {
                return if command == expected {
                    Ok(())
                } else {
                    Err(BenchError::Run(format!("unexpected {}", String::from_utf8_lossy(command))))
                };
            }
        }
        Err(BenchError::Run("the server did not answer".to_owned()))
    }

    /// Reads what there is; false when nothing came in time.
    fn read(&mut self) -> Result<bool> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let filled = self.buffer.len();
        self.buffer.resize(filled + READ_BYTES, 0);
        let result = self.stream.read(self.buffer.get_mut(filled..).unwrap_or_default());
        let (count, result) = match result {
            Ok(0) => (0, Err(BenchError::Disconnected)),
            Ok(count) => (count, Ok(true)),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                (0, Ok(false))
            }
            Err(error) => (0, Err(error).during("read from the server")),
        };
        self.buffer.truncate(filled + count);
        result
    }

    /// The next whole frame; an ERROR fails.
    fn frame(&mut self) -> Result<Option<Parts<'_>>> {
        let bytes = self.buffer.get(self.taken..).unwrap_or_default();
        let blank = bytes.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        let bytes = bytes.get(blank..).unwrap_or_default();
        let Some(head_end) = find(bytes, b"\n\n") else { return Ok(None) };
        let (head, rest) = bytes.split_at(head_end + 1);
        let rest = rest.get(1..).unwrap_or_default();
        let length =
            header(head, b"content-length").and_then(number).and_then(|length| usize::try_from(length).ok());
        let Some(length) = length.or_else(|| rest.iter().position(|byte| *byte == 0)) else {
            return Ok(None);
        };
        if rest.len() <= length {
            return Ok(None);
        }
        self.taken += blank + head_end + 2 + length + 1;
        let command = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let body = rest.get(..length).unwrap_or_default();
        if command == b"ERROR" {
            let text = format!("{}\n{}", String::from_utf8_lossy(head), String::from_utf8_lossy(body));
            return Err(BenchError::Run(text));
        }
        Ok(Some((command, head, body)))
    }
}

fn find(bytes: &[u8], what: &[u8; 2]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == what)
}

fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| line.strip_prefix(name)?.strip_prefix(b":"))
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}
