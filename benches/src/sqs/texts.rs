//! What goes over the wire: requests with their heads, batches whose bodies are patched in place, and what is found in
//! answers. Bodies are text, since SQS carries text:
//!
//! ```text
//! offset  0  16 hex  magic, differs from run to run
//! offset 16   8 hex  producer
//! offset 24  16 hex  sequence, from 0 without gaps for each producer
//! offset 40  16 hex  time, nanoseconds of the monotonic clock (the scheduled time, for an open loop)
//! ...                filler, the same in every body
//! last 16    16 hex  magic xor sequence                (a body that was cut or mixed up is recognised)
//! ```
//!
//! Requests carry an Authorization header that was made once and is no signature of them: the servers under test take
//! any key from loopback, and so neither side spends time on signatures.

use std::net::SocketAddr;

use crate::error::{BenchError, Result};

/// Entries of a batch, and messages of a receive.
pub const BATCH: usize = 10;
/// Groups of a FIFO queue.
pub const GROUPS: u64 = 100;

/// A JSON 1.0 request.
pub fn request(address: SocketAddr, action: &str, body: &str) -> Vec<u8> {
    let zeros = "0".repeat(64);
    format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nX-Amz-Target: AmazonSQS.{action}\r\n\
         Content-Type: application/x-amz-json-1.0\r\nX-Amz-Date: 20260101T000000Z\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=bench/20260101/us-east-1/sqs/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature={zeros}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What a body says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Which producer wrote it.
    pub producer: u32,
    /// The producer's count, from 0.
    pub sequence: u64,
    /// Nanoseconds on [`crate::measure::now_ns`]'s clock.
    pub sent_ns: u64,
}

/// Bodies of one run.
#[derive(Debug, Clone)]
pub struct Bodies {
    magic: u64,
    model: Vec<u8>,
}

impl Bodies {
    /// Bodies of `bytes` bytes, at least 72.
    pub fn new(magic: u64, bytes: usize) -> Bodies {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let mut model: Vec<u8> = LETTERS.iter().copied().cycle().take(bytes.max(72)).collect();
        put_hex(model.get_mut(..16), magic);
        Bodies { magic, model }
    }

    /// A body whose fields are still to be patched.
    pub fn model(&self) -> &[u8] {
        &self.model
    }

    /// Patches the fields into a copy of the model.
    pub fn patch(&self, body: &mut [u8], stamp: Stamp) {
        put_hex(body.get_mut(16..24), u64::from(stamp.producer));
        put_hex(body.get_mut(24..40), stamp.sequence);
        put_hex(body.get_mut(40..56), stamp.sent_ns);
        let length = body.len();
        put_hex(body.get_mut(length - 16..), self.magic ^ stamp.sequence);
    }

    /// Reads a body and compares every byte of it with what was sent.
    ///
    /// # Errors
    /// It is of another run, cut, or changed.
    pub fn read(&self, body: &[u8]) -> Result<Stamp> {
        let wrong = |what: &str| BenchError::Run(format!("a message came back changed: {what}"));
        let length = self.model.len();
        if body.len() != length {
            return Err(wrong("its length"));
        }
        if body.get(..16) != self.model.get(..16) {
            return Err(wrong("it was written by another run"));
        }
        if body.get(56..length - 16) != self.model.get(56..length - 16) {
            return Err(wrong("its filler"));
        }
        let field = |from: usize, to: usize| {
            body.get(from..to).and_then(get_hex).ok_or_else(|| wrong("a field is no number"))
        };
        let sequence = field(24, 40)?;
        if field(length - 16, length)? != self.magic ^ sequence {
            return Err(wrong("its check"));
        }
        let producer = u32::try_from(field(16, 24)?).map_err(|_| wrong("its producer"))?;
        Ok(Stamp { producer, sequence, sent_ns: field(40, 56)? })
    }
}

fn put_hex(room: Option<&mut [u8]>, value: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut rest = value;
    for place in room.unwrap_or_default().iter_mut().rev() {
        let nibble = usize::try_from(rest & 15).unwrap_or_default();
        *place = DIGITS.get(nibble).copied().unwrap_or(b'0');
        rest >>= 4;
    }
}

fn get_hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |value, digit| {
        let nibble = (*digit as char).to_digit(16)?;
        Some(value << 4 | u64::from(nibble))
    })
}

/// A SendMessageBatch request that is patched and sent again and again.
#[derive(Debug)]
pub struct BatchTemplate {
    bytes: Vec<u8>,
    entries: Vec<Places>,
    body_bytes: usize,
}

/// Where in the bytes an entry's parts stand.
#[derive(Debug, Clone, Copy)]
struct Places {
    body: usize,
    /// Of a FIFO queue: the two digits of the group, and the 24 of the deduplication id.
    fifo: Option<(usize, usize)>,
}

impl BatchTemplate {
    /// A batch of ten for a queue.
    pub fn new(address: SocketAddr, queue_url: &str, bodies: &Bodies, fifo: bool) -> BatchTemplate {
        let model = String::from_utf8_lossy(bodies.model()).into_owned();
        let mut text = format!("{{\"QueueUrl\":\"{queue_url}\",\"Entries\":[");
        let mut entries = Vec::new();
        for nth in 0..BATCH {
            if nth > 0 {
                text.push(',');
            }
            text.push_str(&format!("{{\"Id\":\"{nth}\",\"MessageBody\":\""));
            let body = text.len();
            text.push_str(&model);
            text.push('"');
            let fifo = fifo.then(|| {
                text.push_str(",\"MessageGroupId\":\"g");
                let group = text.len();
                text.push_str("00\",\"MessageDeduplicationId\":\"");
                let id = text.len();
                text.push_str(&"0".repeat(24));
                text.push('"');
                (group, id)
            });
            text.push('}');
            entries.push(Places { body, fifo });
        }
        text.push_str("]}");
        let bytes = request(address, "SendMessageBatch", &text);
        let head = bytes.len() - text.len();
        for places in &mut entries {
            places.body += head;
            places.fifo = places.fifo.map(|(group, id)| (group + head, id + head));
        }
        BatchTemplate { bytes, entries, body_bytes: model.len() }
    }

    /// The request for the ten messages from `first` on.
    pub fn fill(&mut self, bodies: &Bodies, first: Stamp) -> &[u8] {
        for (nth, places) in (0u64..).zip(&self.entries) {
            let stamp = Stamp { sequence: first.sequence + nth, ..first };
            if let Some(body) = self.bytes.get_mut(places.body..places.body + self.body_bytes) {
                bodies.patch(body, stamp);
            }
            if let Some((group, id)) = places.fifo {
                let number = stamp.sequence % GROUPS;
                if let Some([tens, ones]) = self.bytes.get_mut(group..group + 2) {
                    *tens = b'0' + u8::try_from(number / 10).unwrap_or_default();
                    *ones = b'0' + u8::try_from(number % 10).unwrap_or_default();
                }
                put_hex(self.bytes.get_mut(id..id + 8), u64::from(stamp.producer));
                put_hex(self.bytes.get_mut(id + 8..id + 24), stamp.sequence);
            }
        }
        &self.bytes
    }
}

/// How often a key stands in a JSON answer of which only bodies and receipts are long.
pub fn count(answer: &[u8], key: &str) -> usize {
    memchr::memmem::find_iter(answer, key.as_bytes()).count()
}

/// Calls `each` with the receipt and the body of every message of a ReceiveMessage answer. Our bodies and any server's
/// receipts need no escapes, so strings are taken as they stand.
///
/// # Errors
/// An escape, or a message without one of the two; and what `each` returns.
pub fn messages<'a>(
    answer: &'a [u8],
    mut each: impl FnMut(&'a str, &'a [u8]) -> Result<()>,
) -> Result<usize> {
    let (mut receipt, mut body, mut count) = (None, None, 0);
    let mut strings = Strings { rest: answer };
    while let Some((key, is_key)) = strings.next()? {
        if !is_key {
            continue;
        }
        match key {
            b"ReceiptHandle" => receipt = strings.next()?.map(|(value, _)| value),
            b"Body" => body = strings.next()?.map(|(value, _)| value),
            _ => continue,
        }
        if let (Some(handle), Some(text)) = (receipt, body) {
            let handle = std::str::from_utf8(handle)
                .map_err(|_| BenchError::Run("a receipt that is no text".to_owned()))?;
            each(handle, text)?;
            (receipt, body) = (None, None);
            count += 1;
        }
    }
    if receipt.is_some() || body.is_some() {
        return Err(BenchError::Run("a message without receipt or body".to_owned()));
    }
    Ok(count)
}

/// The strings of a JSON text, one after the other.
struct Strings<'a> {
    rest: &'a [u8],
}

impl<'a> Strings<'a> {
    /// The next string, and whether it is a key.
    fn next(&mut self) -> Result<Option<(&'a [u8], bool)>> {
        let Some(begin) = memchr::memchr(b'"', self.rest) else { return Ok(None) };
        let from = self.rest.get(begin + 1..).unwrap_or_default();
        let Some(length) = memchr::memchr2(b'"', b'\\', from) else { return Ok(None) };
        let (text, after) = from.split_at(length);
        if after.first() == Some(&b'\\') {
            return Err(BenchError::Run("an escape where none was sent".to_owned()));
        }
        self.rest = after.get(1..).unwrap_or_default();
        let is_key = self.rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
        Ok(Some((text, is_key)))
    }
}

/// A request for up to ten messages.
pub fn receive(address: SocketAddr, queue_url: &str, most: usize, wait_s: u32) -> Vec<u8> {
    let body = format!(
        "{{\"QueueUrl\":\"{queue_url}\",\"MaxNumberOfMessages\":{most},\"WaitTimeSeconds\":{wait_s}}}"
    );
    request(address, "ReceiveMessage", &body)
}

/// A request that deletes messages, in place of what `bytes` held.
pub fn delete(address: SocketAddr, queue_url: &str, receipts: &[&str], bytes: &mut Vec<u8>) {
    let mut body = String::with_capacity(64 + queue_url.len() + receipts.len() * 96);
    body.extend(["{\"QueueUrl\":\"", queue_url, "\",\"Entries\":["]);
    for (nth, receipt) in receipts.iter().enumerate() {
        let id = char::from_digit(u32::try_from(nth).unwrap_or_default(), 36).unwrap_or('z');
        body.push_str(if nth > 0 { ",{\"Id\":\"" } else { "{\"Id\":\"" });
        body.push(id);
        body.extend(["\",\"ReceiptHandle\":\"", receipt, "\"}"]);
    }
    body.push_str("]}");
    *bytes = request(address, "DeleteMessageBatch", &body);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> SocketAddr {
        "127.0.0.1:9324".parse().unwrap()
    }

    #[test]
    fn bodies_come_back_and_changed_ones_are_noticed() {
        let bodies = Bodies::new(77, 1024);
        let stamp = Stamp { producer: 3, sequence: 1 << 40, sent_ns: 5 };
        let mut body = bodies.model().to_vec();
        bodies.patch(&mut body, stamp);
        assert_eq!(bodies.read(&body).unwrap(), stamp);
        for at in [0, 30, 100, 1020] {
            let mut changed = body.clone();
            changed[at] = b'z';
            assert!(bodies.read(&changed).is_err(), "{at}");
        }
        assert!(bodies.read(&body[..1023]).is_err());
        assert!(Bodies::new(78, 1024).read(&body).is_err());
    }

    #[test]
    fn a_batch_is_json_with_ten_stamped_entries() {
        let bodies = Bodies::new(9, 200);
        let mut batch = BatchTemplate::new(address(), "http://h/0/q.fifo", &bodies, true);
        batch.fill(&bodies, Stamp { producer: 1, sequence: 0, sent_ns: 0 });
        let bytes = batch.fill(&bodies, Stamp { producer: 1, sequence: 95, sent_ns: 7 }).to_vec();
        let text = String::from_utf8(bytes).unwrap();
        let (head, json) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", json.len())));
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        let entries = json["Entries"].as_array().unwrap();
        assert_eq!(entries.len(), BATCH);
        let last = &entries[9];
        let stamp = bodies.read(last["MessageBody"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(stamp, Stamp { producer: 1, sequence: 104, sent_ns: 7 });
        assert_eq!(last["MessageGroupId"], "g04");
        assert_eq!(last["MessageDeduplicationId"], "000000010000000000000068");
    }

    #[test]
    fn messages_are_found_in_any_order_of_their_members() {
        let answer = br#"{"Messages": [{"MessageId":"Body","ReceiptHandle":"r1","MD5OfBody":"x","Body":"b1"},
            {"Body": "b2", "Attributes": {"SenderId": "ReceiptHandle"}, "ReceiptHandle": "r2"}]}"#;
        let mut found = Vec::new();
        let count = messages(answer, |receipt, body| {
            found.push((receipt.to_owned(), body.to_vec()));
            Ok(())
        });
        assert_eq!(count.unwrap(), 2);
        assert_eq!(found, [("r1".to_owned(), b"b1".to_vec()), ("r2".to_owned(), b"b2".to_vec())]);
        assert_eq!(messages(b"{}", |_, _| Ok(())).unwrap(), 0);
        assert!(messages(br#"{"Body":"a\"b"}"#, |_, _| Ok(())).is_err());
        assert!(messages(br#"{"Body":"a"}"#, |_, _| Ok(())).is_err());
    }
}
