//! Reading contents back. A deep queue is read in order, so a read that follows another one takes more than was asked for;
//! a read out of order takes a little.

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
/// least this part of it.
const SHARE_FROM_PART: usize = 4;

struct Series {
    from: u64,
    bytes: Bytes,
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
        let behind = u64::from(CHUNK_BYTES_MAX);
        let followed = self.series.iter().position(|series| {
            (series.end()..series.end().saturating_add(behind)).contains(&at.position)
                || (series.from..series.end()).contains(&at.position)
        });
        let chunk_bytes = followed
            .and_then(|index| self.series.get(index))
            .map_or(CHUNK_BYTES_MIN, |series| (series.chunk_bytes * 4).min(CHUNK_BYTES_MAX));
        let bytes = self.chunk(at, chunk_bytes.max(at.len_bytes), durable)?;
        let series = Series { from: at.position, bytes, chunk_bytes, used: clock };
        let content = series.part(at);
        let replaced = followed.or_else(|| (self.series.len() >= SERIES_MAX).then(|| self.oldest()));
        match replaced.and_then(|index| self.series.get_mut(index)) {
            Some(slot) => *slot = series,
            None => self.series.push(series),
        }
        Ok(content)
    }

    fn oldest(&self) -> usize {
        (0..self.series.len()).min_by_key(|i| self.series.get(*i).map(|s| s.used)).unwrap_or(0)
    }

    /// At least the content at `at`; up to `len_bytes` where the segment and what is durable go on so far.
    fn chunk(&mut self, at: Stored, len_bytes: u32, durable: u64) -> Result<Bytes, JournalError> {
        self.chunks_read += 1;
        let position = Position(at.position);
        let there = u32::try_from(durable.saturating_sub(at.position)).unwrap_or(u32::MAX);
        let wished = len_bytes.min(there).max(at.len_bytes);
        if wished > at.len_bytes {
            match self.reader.read(Location { position, len_bytes: wished }) {
                // The segment ends in the chunk: take what is in front of its end.
                Err(JournalError::NotFound { position: end }) if end > position => {
                    let shorter = u32::try_from(end.since(position)).unwrap_or(u32::MAX);
                    let location = Location { position, len_bytes: shorter.max(at.len_bytes) };
                    if let Ok(bytes) = self.reader.read(location) {
                        return Ok(bytes);
                    }
                }
                Err(_) => {}
                Ok(bytes) => return Ok(bytes),
            }
        }
        self.reader.read(Location { position, len_bytes: at.len_bytes })
    }
}

impl Series {
    fn end(&self) -> u64 {
        self.from.saturating_add(self.bytes.len() as u64)
    }

    fn holds(&self, at: Stored) -> bool {
        self.from <= at.position && at.position.saturating_add(u64::from(at.len_bytes)) <= self.end()
    }

    fn part(&self, at: Stored) -> Bytes {
        let from = usize::try_from(at.position - self.from).unwrap_or(usize::MAX);
        let to = from.saturating_add(at.len_bytes as usize).min(self.bytes.len());
        let from = from.min(to);
        if (to - from) * SHARE_FROM_PART >= self.bytes.len() {
            return self.bytes.slice(from..to);
        }
        Bytes::copy_from_slice(self.bytes.get(from..to).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use baton_journal::MemoryStore;

    use super::*;

    #[test]
    fn contents_come_back_in_any_order() {
        let opened = MemoryStore::default().open().unwrap();
        let mut journal = opened.journal;
        let mut builder = journal.batch_builder();
        let mut places = Vec::new();
        for i in 0..200u32 {
            let bytes = i.to_le_bytes().repeat(1 + i as usize * 7);
            let location = builder.record(|buf| buf.extend_from_slice(&bytes)).unwrap();
            places.push((Stored { position: location.position.0, len_bytes: location.len_bytes }, bytes));
            if i % 50 == 0 {
                journal.append(&builder.finish()).unwrap();
            }
        }
        journal.append(&builder.finish()).unwrap();
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
