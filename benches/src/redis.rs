//! Redis's protocol: LPUSHes with a window of unanswered ones, and BRPOPs of which as many wait at the server. The servers run
//! already ([`crate::running`]). Called by `main`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{BenchError, Result};
use crate::measure::now_ns;
use crate::payload::Payload;
use crate::running::{Link, Plan, Run, Server};
use crate::tally::{Arrivals, Bitmap};

/// Runs the workload once.
///
/// # Errors
/// A worker failed.
pub fn run(server: &Server, plan: Plan) -> Result<Run> {
    let magic = now_ns();
    let key = &format!("bench-{magic:x}");
    let consumer = || {
        let link = Link::connect(server.address)?;
        Ok(move |received: &AtomicU64, stop: &AtomicBool| {
            consume(link, key, magic, plan.window, received, stop)
        })
    };
    let producer = |number| {
        let link = Link::connect(server.address)?;
        Ok(move |stop: &AtomicBool| produce(link, key, (magic, number), plan, stop))
    };
    crate::running::run(server, plan, consumer, producer)
}

/// Pushes as fast as the answers allow; the sequences that were answered. The commands of a whole window are prebuilt, and
/// only sequence and check of each are patched.
fn produce(
    mut link: Link,
    key: &str,
    (magic, producer): (u64, u32),
    plan: Plan,
    stop: &AtomicBool,
) -> Result<Bitmap> {
    let mut confirmed = Bitmap::default();
    let (mut next, mut answered) = (0_u64, 0_u64);
    let mut body = vec![b'x'; plan.body_bytes];
    Payload { producer, sequence: 0, sent_ns: 0 }.write(magic, &mut body);
    let head = format!("*3\r\n$5\r\nLPUSH\r\n${}\r\n{key}\r\n${}\r\n", key.len(), body.len()).into_bytes();
    let (body_at, body_end) = (head.len(), head.len() + body.len());
    let command = [head, body, b"\r\n".to_vec()].concat();
    let mut window = command.repeat(plan.window);
    loop {
        let stopping = stop.load(Ordering::Relaxed);
        if stopping && answered == next {
            return Ok(confirmed);
        }
        let unanswered = usize::try_from(next - answered).unwrap_or(usize::MAX);
        let room = if stopping { 0 } else { plan.window.saturating_sub(unanswered) };
        for command in window.chunks_exact_mut(command.len()).take(room) {
            let body = command.get_mut(body_at..body_end).unwrap_or_default();
            Payload { producer, sequence: next, sent_ns: 0 }.patch(magic, body);
            next += 1;
        }
        link.write(window.get(..room * command.len()).unwrap_or_default())?;
        link.read()?;
        while let Some(length) = line_length(link.rest()) {
            let line = link.take(length + 2);
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
    mut link: Link,
    key: &str,
    magic: u64,
    window: usize,
    received: &AtomicU64,
    stop: &AtomicBool,
) -> Result<Arrivals> {
    let command = format!("*3\r\n$5\r\nBRPOP\r\n${}\r\n{key}\r\n$1\r\n0\r\n", key.len()).into_bytes();
    let commands = command.repeat(window);
    let mut arrivals = Arrivals::default();
    let mut wanted = window;
    loop {
        link.write(commands.get(..wanted * command.len()).unwrap_or_default())?;
        wanted = 0;
        let came = link.read()?;
        let mut fresh = 0;
        while let Some(body) = popped(&mut link)? {
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

/// The element of the next whole answer to a BRPOP: an array of the key and the element.
fn popped(link: &mut Link) -> Result<Option<&[u8]>> {
    let rest = link.rest();
    let Some(length) = line_length(rest) else { return Ok(None) };
    let (first, _) = rest.split_at(length);
    if first != b"*2" {
        return Err(unexpected(first));
    }
    let Some((_, key_end)) = bulk(rest, length + 2)? else { return Ok(None) };
    let Some((body, end)) = bulk(rest, key_end)? else { return Ok(None) };
    let from = end - body.len() - 2;
    Ok(link.take(end).get(from..end - 2))
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
