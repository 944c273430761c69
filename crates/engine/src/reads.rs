//! Reading contents back. A deep queue is read in order, and one that is used as a stack in the opposite order, so a read
//! that follows another one takes more than was asked for, in that direction; a read out of order takes a little.

use std::sync::Arc;

use baton_core::Stored;
use baton_journal::{JournalError, JournalReader, Location, Position};
use bytes::Bytes;

/// Bytes read at once for the first of a series, and for one that belongs to none.
const CHUNK_BYTES_MIN: u32 = 16 << 10;
/// Bytes read at once in a long series.
const CHUNK_BYTES_MAX: u32 = 256 << 10;
/// Series followed at the same time: as many deep queues are drained side by side before they disturb each other.
/// Together with [`CHUNK_BYTES_MAX`] this bounds the memory to 4 MiB.
const SERIES_MAX: usize = 16;
/// A content is copied out of its chunk, so that a waiting message does not hold a whole chunk in memory; unless it is at
/// least this part of one, and then read by itself.
const ALONE_FROM_PART: u32 = 4;

struct Series {
    from: u64,
    bytes: Vec<u8>,
    chunk_bytes: u32,
    used: u64,
}

/// Contents read ahead.
pub(crate) struct Reads {
    reader: Arc<dyn JournalReader>,
    series: Vec<Series>,
    clock: u64,
    pub(crate) chunks_read: u64,
}

impl Reads {
    pub(crate) fn new(reader: Arc<dyn JournalReader>) -> Self {
        Self { reader, series: Vec::new(), clock: 0, chunks_read: 0 }
    }

    /// The bytes at `at`, which lie before `durable`.
    pub(crate) fn load(&mut self, at: Stored, durable: u64) -> Result<Bytes, JournalError> {
        self.clock += 1;
        let clock = self.clock;
        if let Some(series) = self.series.iter_mut().find(|series| series.holds(at)) {
            series.used = clock;
            return Ok(series.part(at));
        }
        let followed = self.series.iter().position(|series| series.is_followed_by(at));
        let index = match followed {
            Some(index) => index,
            None if self.series.len() < SERIES_MAX => {
                self.series.push(Series { from: at.position, bytes: Vec::new(), chunk_bytes: 0, used: 0 });
                self.series.len() - 1
            }
            None => self.oldest(),
        };
        let Some(series) = self.series.get_mut(index) else { return self.alone(at) };
        let backwards = followed.is_some() && at.position < series.from;
        let chunk_bytes = match followed {
            Some(_) => (series.chunk_bytes * 4).min(CHUNK_BYTES_MAX),
            None => CHUNK_BYTES_MIN,
        };
        let mut bytes = std::mem::take(&mut series.bytes);
        (series.from, series.chunk_bytes, series.used) = (at.position, chunk_bytes, clock);
        if at.len_bytes >= chunk_bytes / ALONE_FROM_PART {
            return self.alone(at);
        }
        let from = match if backwards { self.chunk_before(at, chunk_bytes, &mut bytes) } else { None } {
            Some(from) => from,
            None => {
                self.chunk(at, chunk_bytes, durable, &mut bytes)?;
                at.position
            }
        };
        self.chunks_read += 1;
        let series = self.series.get_mut(index);
        Ok(series.map_or_else(Bytes::new, |series| {
            (series.from, series.bytes) = (from, bytes);
            series.part(at)
        }))
    }

    /// A content by itself.
    fn alone(&mut self, at: Stored) -> Result<Bytes, JournalError> {
        self.chunks_read += 1;
        self.reader.read(Location { position: Position(at.position), len_bytes: at.len_bytes })
    }

    /// The content at `at` with what is in front of it, up to `len_bytes` in all, as far as its segment goes. Returns where that begins.
    fn chunk_before(&self, at: Stored, len_bytes: u32, into: &mut Vec<u8>) -> Option<u64> {
        let end = at.position + u64::from(at.len_bytes);
        let mut read = |from: u64| {
            let len_bytes = u32::try_from(end - from).unwrap_or(u32::MAX);
            self.reader.read_into(Location { position: Position(from), len_bytes }, into)
        };
        let from = end.saturating_sub(u64::from(len_bytes)).min(at.position);
        match read(from) {
            // Another segment ends in the chunk: take what is behind its end.
            Err(JournalError::NotFound { position }) if position.0 > from && position.0 <= at.position => {
                read(position.0).ok().map(|()| position.0)
            }
            result => result.ok().map(|()| from),
        }
    }

    fn oldest(&self) -> usize {
        (0..self.series.len()).min_by_key(|i| self.series.get(*i).map(|s| s.used)).unwrap_or(0)
    }

    /// At least the content at `at`; up to `len_bytes` where the segment and what is durable go on so far.
    fn chunk(
        &self,
        at: Stored,
        len_bytes: u32,
        durable: u64,
        into: &mut Vec<u8>,
    ) -> Result<(), JournalError> {
        let position = Position(at.position);
        let there = u32::try_from(durable.saturating_sub(at.position)).unwrap_or(u32::MAX);
        let wished = len_bytes.min(there).max(at.len_bytes);
        match self.reader.read_into(Location { position, len_bytes: wished }, into) {
            Ok(()) => return Ok(()),
            // The segment ends in the chunk: take what is in front of its end.
            Err(JournalError::NotFound { position: end }) if end > position => {
                let shorter = u32::try_from(end.since(position)).unwrap_or(u32::MAX);
                let location = Location { position, len_bytes: shorter.max(at.len_bytes) };
                if self.reader.read_into(location, into).is_ok() {
                    return Ok(());
                }
            }
            Err(_) => {}
        }
        self.reader.read_into(Location { position, len_bytes: at.len_bytes }, into)
    }
}

impl Series {
    fn end(&self) -> u64 {
        self.from.saturating_add(self.bytes.len() as u64)
    }

    /// Whether a content lies near enough to be what is read next, in one direction or the other.
    fn is_followed_by(&self, at: Stored) -> bool {
        let near = u64::from(CHUNK_BYTES_MAX);
        at.position >= self.from.saturating_sub(near) && at.position < self.end().saturating_add(near)
    }

    fn holds(&self, at: Stored) -> bool {
        self.from <= at.position && at.position.saturating_add(u64::from(at.len_bytes)) <= self.end()
    }

    fn part(&self, at: Stored) -> Bytes {
        let from = usize::try_from(at.position - self.from).unwrap_or(usize::MAX);
        let to = from.saturating_add(at.len_bytes as usize).min(self.bytes.len());
        Bytes::copy_from_slice(self.bytes.get(from.min(to)..to).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use baton_journal::{Journal, MemoryStore};

    use super::*;

    /// A content, and where it lies.
    type Placed = (Stored, Vec<u8>);

    /// A journal with so many records, a batch for each `batch` of them, and where they are.
    fn written(count: u32, batch: u32, bytes: impl Fn(u32) -> Vec<u8>) -> (Box<dyn Journal>, Vec<Placed>) {
        let mut journal = MemoryStore::default().open().unwrap().journal;
        let mut builder = journal.batch_builder();
        let mut places = Vec::new();
        for i in 0..count {
            let bytes = bytes(i);
            let location = builder.record(|buf| buf.extend_from_slice(&bytes)).unwrap();
            places.push((Stored { position: location.position.0, len_bytes: location.len_bytes }, bytes));
            if i % batch == 0 {
                journal.append(&builder.finish()).unwrap();
            }
        }
        journal.append(&builder.finish()).unwrap();
        (journal, places)
    }

    #[test]
    fn a_stack_is_read_in_large_pieces_too() {
        let (journal, places) = written(4_000, 100, |i| i.to_le_bytes().repeat(256));
        let mut reads = Reads::new(journal.reader());
        for (at, bytes) in places.iter().rev() {
            assert_eq!(&reads.load(*at, journal.end().0).unwrap()[..], &bytes[..]);
        }
        assert!(reads.chunks_read < 50, "{} reads for 4 MiB", reads.chunks_read);
        assert_eq!(reads.series.len(), 1);
    }

    #[test]
    fn contents_come_back_in_any_order() {
        let (journal, places) = written(200, 50, |i| i.to_le_bytes().repeat(1 + i as usize * 7));
        let mut reads = Reads::new(journal.reader());
        let durable = journal.end().0;
        for step in [1, 7, 131] {
            for i in 0..places.len() {
                let (at, bytes) = &places[i * step % places.len()];
                assert_eq!(&reads.load(*at, durable).unwrap()[..], &bytes[..]);
            }
        }
        assert!(reads.series.len() <= SERIES_MAX);
        let gone = Stored { position: durable + 10, len_bytes: 5 };
        assert!(reads.load(gone, durable).is_err());
    }
}
