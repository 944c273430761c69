//! STOMP: persistent SENDs with a receipt each, in a window of outstanding ones, and `client-individual` ACKs, the acks of
//! what one read brought leaving with one write. The servers run already ([`crate::running`]). Called by `main`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::error::{BenchError, Result};
use crate::measure::now_ns;
use crate::payload::Payload;
use crate::running::{CALL_TIMEOUT, Link, Plan, Run, Server};
use crate::tally::{Arrivals, Bitmap};

/// Runs the workload once.
///
/// # Errors
/// A worker failed.
pub fn run(server: &Server, plan: Plan) -> Result<Run> {
    let magic = now_ns();
    let queue = &format!("/queue/bench-{magic:x}");
    let consumer = || {
        let peer = Peer::subscribe(server.address, queue, plan.window)?;
        Ok(move |received: &AtomicU64, stop: &AtomicBool| consume(peer, magic, received, stop))
    };
    let producer = |number| {
        let peer = Peer::connect(server.address)?;
        Ok(move |stop: &AtomicBool| produce(peer, queue, (magic, number), plan, stop))
    };
    crate::running::run(server, plan, consumer, producer)
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
        peer.link.write(&out)?;
        peer.link.read()?;
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
        peer.link.write(&acks)?;
        received.fetch_add(fresh, Ordering::Relaxed);
        if !peer.link.read()? && stop.load(Ordering::Relaxed) {
            return Ok(arrivals);
        }
    }
}

/// A connection that speaks STOMP.
struct Peer {
    link: Link,
}

/// Command, headers, body.
type Parts<'a> = (&'a [u8], &'a [u8], &'a [u8]);

impl Peer {
    fn connect(address: SocketAddr) -> Result<Self> {
        let mut peer = Self { link: Link::connect(address)? };
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
        self.link.write(frame.as_bytes())?;
        let until = Instant::now() + CALL_TIMEOUT;
        while Instant::now() < until {
            self.link.read()?;
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

    /// The next whole frame; an ERROR fails.
    fn frame(&mut self) -> Result<Option<Parts<'_>>> {
        let bytes = self.link.rest();
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
        let frame = self.link.take(blank + head_end + 2 + length + 1).get(blank..).unwrap_or_default();
        let (head, rest) = frame.split_at(head_end + 1);
        let command = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let body = rest.get(1..=length).unwrap_or_default();
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
