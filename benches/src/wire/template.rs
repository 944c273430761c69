//! Publishes prebuilt: a ring of whole publish frames, one slot behind the other, of which a batch is always one
//! contiguous slice. Sending a message patches its sequence and time in place; nothing is copied or encoded.

use super::encode::{self, Properties, Route};
use crate::payload::Payload;

/// A ring of encoded publishes that go to `queues` in turn.
pub struct PublishRing {
    bytes: Vec<u8>,
    /// Where each slot begins, and the end of the last.
    offsets: Vec<usize>,
    queue_count: usize,
    slot: usize,
    batch_max: usize,
    body_bytes: usize,
    magic: u64,
    payload: Payload,
}

impl PublishRing {
    /// Encodes the slots: enough for `batch_max` messages from any queue on.
    ///
    /// # Panics
    /// When `queues` is empty: a producer without a queue is a mistake of the caller.
    pub fn new(
        queues: &[String],
        producer: u32,
        magic: u64,
        body_bytes: usize,
        batch_max: usize,
    ) -> PublishRing {
        assert!(!queues.is_empty(), "a producer needs at least one queue");
        let payload = Payload { producer, sequence: 0, sent_ns: 0 };
        let mut body = filler(body_bytes);
        payload.write(magic, &mut body);
        let mut bytes = Vec::new();
        let mut offsets = vec![0];
        for queue in queues.iter().cycle().take(queues.len() + batch_max) {
            encode::publish(&mut bytes, 1, Route::queue(queue.as_bytes()), Properties::default(), &body);
            offsets.push(bytes.len());
        }
        PublishRing {
            bytes,
            offsets,
            queue_count: queues.len(),
            slot: 0,
            batch_max,
            body_bytes,
            magic,
            payload,
        }
    }

    /// The sequence that the next message gets; also how many were stamped so far.
    pub fn next_sequence(&self) -> u64 {
        self.payload.sequence
    }

    /// Stamps the next `count` messages (at most `batch_max`) and returns their frames for one write. `sent_ns` gives
    /// the time of each, counted from 0.
    pub fn batch(&mut self, count: usize, sent_ns: impl Fn(u64) -> u64) -> &[u8] {
        let count = count.min(self.batch_max);
        let first = self.slot;
        for (nth, slot) in (first..first + count).enumerate() {
            // The body is the tail of the slot, before the octet that ends its frame.
            let end = self.offset(slot + 1) - 1;
            self.payload.sent_ns = sent_ns(nth as u64);
            if let Some(body) = self.bytes.get_mut(end - self.body_bytes..end) {
                self.payload.patch(self.magic, body);
            }
            self.payload.sequence += 1;
        }
        self.slot = (first + count) % self.queue_count;
        self.bytes.get(self.offset(first)..self.offset(first + count)).unwrap_or_default()
    }

    fn offset(&self, slot: usize) -> usize {
        self.offsets.get(slot).copied().expect("slot < queue_count + batch_max by construction")
    }
}

/// A body of bytes that do not compress to nothing and hold no zeros.
pub fn filler(len: usize) -> Vec<u8> {
    (1..=250u8).map(|at| at.wrapping_mul(167) | 1).cycle().take(len).collect()
}
