//! Redis's protocol: LPUSHes with a window of unanswered ones, and BRPOPs of which as many wait at the server. The servers run
//! already; they are given as for `stomp`, and take turns. Called by `main`.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::{BenchError, During, Result};
use crate::measure::{Probe, now_ns};
use crate::payload::Payload;
use crate::stomp::{Plan, Run, Server};
use crate::tally::{Arrivals, Bitmap};

/// How long connecting and writing may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a worker that waits looks whether it should stop.
const POLL: Duration = Duration::from_millis(50);
/// How long consumers may receive nothing, while elements are missing, before those count as lost.
const STALL_MAX: Duration = Duration::from_secs(20);
/// Bytes asked for in one read.
const READ_BYTES: usize = 256 * 1024;

/// Runs the workload once.
///
/// # Errors
/// A worker failed.
pub fn run(server: &Server, plan: Plan) -> Result<Run> {
    let magic = now_ns();
    let key = format!("bench-{magic:x}");
    let (stop_producers, stop_consumers) = (AtomicBool::new(false), AtomicBool::new(false));
    let received = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let mut consumers = Vec::new();
        let mut producers = Vec::new();
        for (number, _) in (0_u32..).zip(0..plan.workers) {
            let (key, received) = (&key, &received);
            let (stop, stop_too) = (&stop_consumers, &stop_producers);
            let consumer = Peer::connect(server.address)?;
            consumers.push(scope.spawn(move || consume(consumer, key, magic, plan.window, received, stop)));
            let producer = Peer::connect(server.address)?;
            producers.push(scope.spawn(move || produce(producer, key, (magic, number), plan, stop_too)));
        }
        std::thread::sleep(plan.warmup);
        let mut probe = Probe::new(server.pid);
        let (before, cpu_before, started) =
            (received.load(Ordering::Relaxed), probe.cpu_ns(), Instant::now());
        std::thread::sleep(plan.duration);
        probe.refresh();
        let elapsed = started.elapsed().as_secs_f64();
        let count = received.load(Ordering::Relaxed) - before;
        let cpu = probe.cpu_ns().saturating_sub(cpu_before);
        stop_producers.store(true, Ordering::Relaxed);
        let confirmed: Vec<Bitmap> = producers.into_iter().map(join).collect::<Result<_>>()?;
        let promised: u64 = confirmed.iter().map(Bitmap::len).sum();
        await_all(&received, promised);
        stop_consumers.store(true, Ordering::Relaxed);
        let mut arrivals = Arrivals::default();
        for one in consumers {
            arrivals.merge(&join(one)?);
        }
        let published: Vec<crate::tally::Published> = confirmed
            .into_iter()
            .map(|one| crate::tally::Published { count: one.len(), refused: vec![], unsettled: vec![] })
            .collect();
        let verdict = crate::tally::verdict(&published, &arrivals);
        Ok(Run {
            per_second: count as f64 / elapsed,
            cpu_us: cpu as f64 / 1_000.0 / count.max(1) as f64,
            confirmed: promised,
            lost: verdict.lost,
            duplicates: verdict.duplicates,
        })
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

/// Pushes as fast as the answers allow; the sequences that were answered.
fn produce(
    mut peer: Peer,
    key: &str,
    (magic, producer): (u64, u32),
    plan: Plan,
    stop: &AtomicBool,
) -> Result<Bitmap> {
    let mut confirmed = Bitmap::default();
    let (mut next, mut answered) = (0_u64, 0_u64);
    let window = plan.window as u64;
    let mut body = vec![b'x'; plan.body_bytes];
    Payload { producer, sequence: 0, sent_ns: 0 }.write(magic, &mut body);
    let head = format!("*3\r\n$5\r\nLPUSH\r\n${}\r\n{key}\r\n${}\r\n", key.len(), body.len()).into_bytes();
    let mut out = Vec::new();
    loop {
        let stopping = stop.load(Ordering::Relaxed);
        if stopping && answered == next {
            return Ok(confirmed);
        }
        out.clear();
        while !stopping && next - answered < window {
            Payload { producer, sequence: next, sent_ns: 0 }.patch(magic, &mut body);
            out.extend_from_slice(&head);
            out.extend_from_slice(&body);
            out.extend_from_slice(b"\r\n");
            next += 1;
        }
        if !out.is_empty() {
            peer.stream.write_all(&out).during("write to the server")?;
        }
        peer.read()?;
        while let Some(line) = peer.line()? {
            if line.first() != Some(&b':') {
                return Err(unexpected(line));
            }
            // Answers come in the order of the commands.
            confirmed.insert(answered);
            answered += 1;
        }
    }
}

/// Pops, with `window` commands at the server at any time.
fn consume(
    mut peer: Peer,
    key: &str,
    magic: u64,
    window: usize,
    received: &AtomicU64,
    stop: &AtomicBool,
) -> Result<Arrivals> {
    let command = format!("*3\r\n$5\r\nBRPOP\r\n${}\r\n{key}\r\n$1\r\n0\r\n", key.len()).into_bytes();
    let mut arrivals = Arrivals::default();
    let mut wanted = window;
    let mut out = Vec::new();
    loop {
        out.clear();
        (0..wanted).for_each(|_| out.extend_from_slice(&command));
        if !out.is_empty() {
            peer.stream.write_all(&out).during("write to the server")?;
        }
        wanted = 0;
        let came = peer.read()?;
        let mut fresh = 0;
        while let Some(body) = peer.popped()? {
            let payload = Payload::read(magic, body).map_err(BenchError::Wire)?;
            fresh += u64::from(arrivals.note(payload.producer, payload.sequence));
            wanted += 1;
        }
        received.fetch_add(fresh, Ordering::Relaxed);
        if !came && stop.load(Ordering::Relaxed) {
            return Ok(arrivals);
        }
    }
}

fn unexpected(line: &[u8]) -> BenchError {
    BenchError::Run(format!("unexpected answer {}", String::from_utf8_lossy(line)))
}

/// A connection, with what was read and not taken.
struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
    taken: usize,
}

impl Peer {
    fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, CALL_TIMEOUT).during("connect")?;
        stream.set_nodelay(true).during("set TCP_NODELAY")?;
        stream.set_read_timeout(Some(POLL)).during("set a read time-out")?;
        stream.set_write_timeout(Some(CALL_TIMEOUT)).during("set a write time-out")?;
        Ok(Self { stream, buffer: Vec::new(), taken: 0 })
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

    /// The next whole line, without its end.
    fn line(&mut self) -> Result<Option<&[u8]>> {
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        let Some(length) = line_length(rest) else { return Ok(None) };
        self.taken += length + 2;
        Ok(rest.get(..length))
    }

    /// The element of the next whole answer to a BRPOP: an array of the key and the element.
    fn popped(&mut self) -> Result<Option<&[u8]>> {
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        let Some(length) = line_length(rest) else { return Ok(None) };
        let (first, _) = rest.split_at(length);
        if first != b"*2" {
            return Err(unexpected(first));
        }
        let Some((_, key_end)) = bulk(rest, length + 2)? else { return Ok(None) };
        let Some((body, end)) = bulk(rest, key_end)? else { return Ok(None) };
        self.taken += end;
        Ok(Some(body))
    }
}

fn line_length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == b"\r\n")
}

/// The bulk string at `at` and where it ends, if all of it is there.
fn bulk(bytes: &[u8], at: usize) -> Result<Option<(&[u8], usize)>> {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some(length) = line_length(rest) else { return Ok(None) };
    let head = rest.get(..length).unwrap_or_default();
    let bytes =
        head.strip_prefix(b"$").and_then(|text| std::str::from_utf8(text).ok()?.parse::<usize>().ok());
    let bytes = bytes.ok_or_else(|| unexpected(head))?;
    let start = length + 2;
    let body = rest.get(start..start + bytes).filter(|_| rest.len() >= start + bytes + 2);
    Ok(body.map(|body| (body, at + start + bytes + 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_strings_are_taken_whole() {
        let text = b"$3\r\nkey\r\n$5\r\nhe\r\no\r\n";
        assert_eq!(bulk(text, 0).unwrap(), Some((b"key".as_slice(), 9)));
        assert_eq!(bulk(text, 9).unwrap(), Some((b"he\r\no".as_slice(), text.len())));
        assert_eq!(bulk(&text[..text.len() - 1], 9).unwrap(), None);
        assert!(bulk(b"-ERR\r\n", 0).is_err());
    }
}
