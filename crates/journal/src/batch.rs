//! Building batches: records go straight into the buffer that is later written with one call, and the
//! checksum is computed once over it. The partition thread builds, the journal's thread appends.
//!
//! A large end of a record is not copied into the buffer: the batch refers to the bytes it is given, and is written in pieces.

use std::borrow::Cow;

use bytes::Bytes;

use crate::frame::{
    ALIGN_BYTES, BATCH_BYTES_MAX, BATCH_MAGIC, BATCH_VERSION, CRC_FROM, HEADER_BYTES, RECORD_BYTES_MAX,
    RECORD_HEADER_BYTES, crc32c, crc32c_of,
};
use crate::{Epoch, JournalError, Location, Position};

/// Zero bytes behind each sealed batch. A file journal writes as many of them as fill the last page, so
/// that the file system never has to read a page of a recycled segment before it can write into it.
pub const SLACK_BYTES: usize = 4096;
/// A returned buffer above this is dropped, so that one huge message does not stay in memory for ever.
const BUFFER_BYTES_KEPT_MAX: usize = 4 << 20;
/// Returned buffers kept: one being filled, one being written, one on its way back.
const BUFFERS_KEPT_MAX: usize = 3;

/// The end of a record that is at least so long is referred to. Copying less costs no more than another call to write it.
pub const ATTACHED_BYTES_MIN: usize = 256 << 10;

/// Bytes that stand between two of the buffer.
#[derive(Debug)]
struct Attached {
    /// So many bytes of the buffer come before it.
    behind: usize,
    bytes: Bytes,
}

/// Builds one batch after the other.
///
/// ```
/// # use baton_journal::{BatchBuilder, Epoch, Position};
/// let mut builder = BatchBuilder::new(Epoch(7), Position::START);
/// let location = builder.record(|buf| buf.extend_from_slice(b"a fact"))?;
/// let batch = builder.finish();
/// assert_eq!(location.len_bytes, 6);
/// assert_eq!(builder.base(), batch.end()); // where the next batch begins is known at once
/// builder.recycle(batch); // when it has been appended: its buffer is used again
/// # Ok::<(), baton_journal::JournalError>(())
/// ```
#[derive(Debug)]
pub struct BatchBuilder {
    epoch: Epoch,
    base: Position,
    buf: Vec<u8>,
    attached: Vec<Attached>,
    attached_bytes: usize,
    record_count: u32,
    essential: bool,
    /// As was said; `None`: everything before the base.
    durable: Option<Position>,
    spare: Vec<Vec<u8>>,
}

impl BatchBuilder {
    /// A builder whose first batch begins at `base`.
    #[must_use]
    pub fn new(epoch: Epoch, base: Position) -> Self {
        let mut builder = Self {
            epoch,
            base,
            buf: Vec::new(),
            attached: Vec::new(),
            attached_bytes: 0,
            record_count: 0,
            essential: false,
            durable: None,
            spare: Vec::new(),
        };
        builder.begin(base);
        builder
    }

    /// Position of the batch that is being built.
    #[must_use]
    pub fn base(&self) -> Position {
        self.base
    }

    /// Whether no record was added yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Number of records so far.
    #[must_use]
    pub fn record_count(&self) -> u32 {
        self.record_count
    }

    /// Bytes the batch would have if it were finished now, header and padding included.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        (self.buf.len() + self.attached_bytes).next_multiple_of(ALIGN_BYTES)
    }

    /// Adds a record: `fill` appends its payload to the buffer (and must not touch what is already in
    /// it). Returns where the payload will be; parts of it are found with [`Location::part`].
    ///
    /// # Errors
    /// `TooLarge` beyond [`RECORD_BYTES_MAX`] or when the batch would pass [`BATCH_BYTES_MAX`]; the record is then not added.
    pub fn record(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> Result<Location, JournalError> {
        self.record_with(fill, None)
    }

    /// As [`BatchBuilder::record`], with an end that is already there: it is only referred to if it is long.
    ///
    /// # Errors
    /// As for [`BatchBuilder::record`].
    pub fn record_with(
        &mut self,
        fill: impl FnOnce(&mut Vec<u8>),
        end: Option<&Bytes>,
    ) -> Result<Location, JournalError> {
        let start = self.buf.len();
        let payload_from = start + self.attached_bytes + RECORD_HEADER_BYTES;
        self.buf.extend_from_slice(&[0; RECORD_HEADER_BYTES]);
        fill(&mut self.buf);
        let attached = end.filter(|end| end.len() >= ATTACHED_BYTES_MIN);
        match (attached, end) {
            (Some(end), _) => {
                self.attached.push(Attached { behind: self.buf.len(), bytes: end.clone() });
                self.attached_bytes += end.len();
            }
            (None, Some(end)) => self.buf.extend_from_slice(end),
            (None, None) => {}
        }
        let len = (self.buf.len() + self.attached_bytes).saturating_sub(payload_from);
        if len > RECORD_BYTES_MAX || self.len_bytes() > BATCH_BYTES_MAX {
            self.buf.truncate(start);
            if let Some(end) = attached {
                self.attached.pop();
                self.attached_bytes -= end.len();
            }
            let bytes_max = if len > RECORD_BYTES_MAX { RECORD_BYTES_MAX } else { BATCH_BYTES_MAX };
            return Err(JournalError::TooLarge { bytes: len as u64, bytes_max: bytes_max as u64 });
        }
        let len_bytes = u32::try_from(len).expect("RECORD_BYTES_MAX fits 32 bits");
        self.put(start, &len_bytes.to_le_bytes());
        self.record_count += 1;
        Ok(Location { position: self.base.plus(payload_from as u64), len_bytes })
    }

    /// A part of a record of the batch being built. `None`: it is not in it.
    #[must_use]
    pub fn read(&self, at: Location) -> Option<Bytes> {
        part(&self.buf, &self.attached, self.base, at)
    }

    /// Marks the batch being built as essential: it may use the space that is kept in reserve when the
    /// disk is full. For batches that only acknowledge, expire or remove. Ends with the batch.
    pub fn mark_essential(&mut self) {
        self.essential = true;
    }

    /// Says how far storage got at least: what lies between here and the base may not be durable when this batch is
    /// written. Ends with the batch; without it everything before the batch is taken to be durable.
    pub fn set_durable(&mut self, durable: Position) {
        self.durable = Some(durable);
    }

    /// Seals the batch and begins the next one right behind it.
    pub fn finish(&mut self) -> SealedBatch {
        let payload_bytes = self.buf.len() + self.attached_bytes - HEADER_BYTES;
        let payload_bytes = u32::try_from(payload_bytes).expect("BATCH_BYTES_MAX fits 32 bits");
        let (base, epoch, record_count) = (self.base, self.epoch, self.record_count);
        self.put(0, &BATCH_MAGIC);
        self.put(8, &BATCH_VERSION.to_le_bytes());
        self.put(12, &payload_bytes.to_le_bytes());
        self.put(16, &base.0.to_le_bytes());
        self.put(24, &epoch.0.to_le_bytes());
        self.put(32, &record_count.to_le_bytes());
        let (unsynced, durable) = unsynced(base, self.durable);
        self.put(36, &unsynced.to_le_bytes());
        let crc = match self.attached.as_slice() {
            [] => crc32c(self.buf.get(CRC_FROM..).expect("begin() made room for the header")),
            attached => crc32c_of(pieces(&self.buf, attached, CRC_FROM..self.buf.len())),
        };
        self.put(4, &crc.to_le_bytes());

        let framed_bytes = self.len_bytes();
        let own_bytes = framed_bytes - self.attached_bytes;
        self.buf.resize(own_bytes + SLACK_BYTES, 0);
        let buf = std::mem::replace(&mut self.buf, self.spare.pop().unwrap_or_default());
        let attached = std::mem::take(&mut self.attached);
        let essential = self.essential;
        let sealed = SealedBatch {
            buf,
            attached,
            own_bytes,
            framed_bytes,
            base,
            durable,
            epoch,
            record_count,
            essential,
        };
        self.begin(sealed.end());
        sealed
    }

    /// Throws away what was added and begins again at `base`: after an append was refused, the
    /// batch that was built behind the refused one has the wrong positions.
    pub fn restart(&mut self, base: Position) {
        self.begin(base);
    }

    /// Takes back the buffer of a batch that is no longer needed.
    pub fn recycle(&mut self, batch: SealedBatch) {
        if batch.buf.capacity() <= BUFFER_BYTES_KEPT_MAX && self.spare.len() < BUFFERS_KEPT_MAX {
            self.spare.push(batch.buf);
        }
    }

    fn begin(&mut self, base: Position) {
        self.base = base;
        self.record_count = 0;
        self.essential = false;
        self.durable = None;
        self.attached.clear();
        self.attached_bytes = 0;
        self.buf.clear();
        self.buf.resize(HEADER_BYTES, 0);
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.buf
            .get_mut(at..at + bytes.len())
            .expect("only bytes that exist are filled in")
            .copy_from_slice(bytes);
    }
}

/// The bytes of `range` of a buffer with what is attached in it, in pieces, in order.
fn pieces<'a>(
    buf: &'a [u8],
    attached: &'a [Attached],
    range: std::ops::Range<usize>,
) -> impl Iterator<Item = &'a [u8]> {
    let ends = attached.iter().map(|attached| attached.behind).chain([range.end]);
    let starts = [range.start].into_iter().chain(attached.iter().map(|attached| attached.behind));
    let own = starts.zip(ends).map(|(start, end)| buf.get(start..end).expect("pieces are within the buffer"));
    let between = attached.iter().map(|attached| &attached.bytes[..]).map(Some).chain([None]);
    own.zip(between).flat_map(|(own, attached)| [Some(own), attached]).flatten()
}

/// The bytes at `at` of a batch at `base`: referred to where they are attached in one piece, else copied.
fn part(buf: &[u8], attached: &[Attached], base: Position, at: Location) -> Option<Bytes> {
    let from = usize::try_from(at.position.0.checked_sub(base.0)?).ok()?;
    let to = from + at.len_bytes as usize;
    let mut before = 0;
    for piece in attached {
        let start = piece.behind + before;
        if to <= start {
            break;
        }
        if from >= start {
            let end = start + piece.bytes.len();
            if to <= end {
                return Some(piece.bytes.slice(from - start..to - start));
            }
            if from < end {
                return None;
            }
        } else {
            return None;
        }
        before += piece.bytes.len();
    }
    buf.get(from - before..to - before).map(Bytes::copy_from_slice)
}

/// What the header says of how far storage got, in units of [`ALIGN_BYTES`] before the base, and what that means.
fn unsynced(base: Position, durable: Option<Position>) -> (u32, Position) {
    let unit = ALIGN_BYTES as u64;
    let bytes = durable.map_or(0, |durable| base.0.saturating_sub(durable.0));
    // More than 32 GiB do not fit: then it says too much, which the journal refuses.
    let units = u32::try_from(bytes.div_ceil(unit)).unwrap_or(u32::MAX);
    (units, Position(base.0.saturating_sub(u64::from(units) * unit)))
}

/// A batch ready to be written: checksummed, never changed again.
#[derive(Debug)]
pub struct SealedBatch {
    buf: Vec<u8>,
    attached: Vec<Attached>,
    /// Bytes of the buffer that belong to the batch.
    own_bytes: usize,
    framed_bytes: usize,
    base: Position,
    durable: Position,
    epoch: Epoch,
    record_count: u32,
    essential: bool,
}

impl SealedBatch {
    /// Where it belongs.
    #[must_use]
    pub fn base(&self) -> Position {
        self.base
    }

    /// Where the batch after it belongs.
    #[must_use]
    pub fn end(&self) -> Position {
        self.base.plus(self.framed_bytes as u64)
    }

    /// The writer it was built for.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Everything before this must be on stable storage when it is written.
    #[must_use]
    pub fn durable(&self) -> Position {
        self.durable
    }

    /// Number of records.
    #[must_use]
    pub fn record_count(&self) -> u32 {
        self.record_count
    }

    /// Whether it may use the reserve.
    #[must_use]
    pub fn is_essential(&self) -> bool {
        self.essential
    }

    /// A part of one of its records. `None`: it is not in it.
    #[must_use]
    pub fn read(&self, at: Location) -> Option<Bytes> {
        part(&self.buf, &self.attached, self.base, at)
    }

    /// Whether it refers to large contents, which stay in memory with it.
    #[must_use]
    pub fn is_large(&self) -> bool {
        !self.attached.is_empty()
    }

    /// How many bytes are to be stored.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.framed_bytes
    }

    /// The bytes to be stored, in one piece.
    #[must_use]
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        if self.attached.is_empty() {
            return Cow::Borrowed(self.buf.get(..self.own_bytes).expect("finish() made it so long"));
        }
        Cow::Owned(self.pieces(0).flatten().copied().collect())
    }

    /// The bytes to be stored in pieces, nearly always one, and up to [`SLACK_BYTES`] zeros behind them, which belong to no batch.
    pub fn pieces(&self, slack_bytes: usize) -> impl Iterator<Item = &[u8]> {
        let to = self.own_bytes + slack_bytes.min(SLACK_BYTES);
        pieces(&self.buf, &self.attached, 0..to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{BatchDefect, check_batch, each_record, read_header};

    fn sample(records: &[&[u8]]) -> (SealedBatch, Vec<Location>) {
        let mut builder = BatchBuilder::new(Epoch(9), Position(4096));
        let locations =
            records.iter().map(|r| builder.record(|buf| buf.extend_from_slice(r)).unwrap()).collect();
        (builder.finish(), locations)
    }

    #[test]
    fn what_is_attached_makes_the_same_batch_as_what_is_copied() {
        let large = [Bytes::from(vec![7; ATTACHED_BYTES_MIN]), Bytes::from(vec![9; ATTACHED_BYTES_MIN + 3])];
        let small = Bytes::from_static(b"short");
        let ends = [Some(&large[0]), None, Some(&small), Some(&large[1]), None];
        let build = |attach: bool| {
            let mut builder = BatchBuilder::new(Epoch(9), Position(4096));
            let mut locations = Vec::new();
            for (n, end) in ends.iter().enumerate() {
                let fill = |buf: &mut Vec<u8>| buf.extend_from_slice(&vec![1; n * 11]);
                let location = if attach {
                    builder.record_with(fill, *end)
                } else {
                    builder.record(|buf| {
                        fill(buf);
                        end.iter().for_each(|end| buf.extend_from_slice(end));
                    })
                };
                locations.push(location.unwrap());
            }
            let outside = Location { position: Position(4095), len_bytes: 1 };
            assert_eq!(builder.read(outside), None);
            assert_eq!(builder.read(Location { position: builder.base().plus(1 << 30), ..outside }), None);
            let len_bytes = builder.len_bytes();
            // What is not written yet can be read, too.
            let read: Vec<_> = locations.iter().map(|at| builder.read(*at)).collect();
            let batch = builder.finish();
            assert_eq!(locations.iter().map(|at| batch.read(*at)).collect::<Vec<_>>(), read);
            for ((n, end), (at, read)) in ends.iter().enumerate().zip(locations.iter().zip(&read)) {
                // A record with an attached end is in two pieces; its end is in one.
                let end = end.map_or(0, |end| u32::try_from(end.len()).unwrap());
                let content = batch.read(at.part(u32::try_from(n * 11).unwrap(), end).unwrap());
                assert_eq!(content.as_deref(), Some(ends[n].map_or(&[][..], |end| &end[..])));
                assert!(read.as_ref().is_none_or(|read| read.len() == at.len_bytes as usize));
            }
            (batch, locations, len_bytes)
        };
        let ((attached, locations, len_bytes), (copied, same, _)) = (build(true), build(false));
        assert_eq!(locations, same);
        assert_eq!((len_bytes, attached.len_bytes()), (copied.len_bytes(), copied.len_bytes()));
        assert!(attached.bytes() == copied.bytes(), "the same bytes");
        assert_eq!(attached.pieces(16).count(), 5, "what is large is not copied");
        assert_eq!(attached.pieces(16).map(<[u8]>::len).sum::<usize>(), copied.len_bytes() + 16);
        let header = read_header(&attached.bytes(), Position(4096), Epoch(9)).unwrap();
        check_batch(&attached.bytes(), &header).unwrap();
    }

    #[test]
    fn what_does_not_fit_is_not_attached() {
        let mut builder = BatchBuilder::new(Epoch(9), Position::START);
        let before = builder.len_bytes();
        let end = Bytes::from(vec![0; RECORD_BYTES_MAX + 1]);
        assert!(builder.record_with(|_| {}, Some(&end)).is_err());
        assert_eq!((builder.len_bytes(), builder.is_empty()), (before, true));
    }

    #[test]
    fn what_goes_in_comes_out_at_the_location_it_was_given() {
        let records: [&[u8]; 4] = [b"one", b"", b"three three", &[7; 5000]];
        let (batch, locations) = sample(&records);
        let header = read_header(&batch.bytes(), Position(4096), Epoch(9)).unwrap();
        check_batch(&batch.bytes(), &header).unwrap();
        let mut seen = Vec::new();
        each_record(&batch.bytes(), &header, &mut |l, p| {
            seen.push((l, p.to_vec()));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen.len(), 4);
        for ((location, payload), (expected, record)) in seen.iter().zip(locations.iter().zip(records)) {
            assert_eq!(location, expected);
            assert_eq!(payload, record);
            let at = usize::try_from(location.position.0 - 4096).unwrap();
            assert_eq!(&batch.bytes()[at..at + record.len()], record);
        }
        assert_eq!(batch.bytes().len() % ALIGN_BYTES, 0);
        assert_eq!(header.framed_bytes(), batch.bytes().len() as u64);
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let (batch, _) = sample(&[b"some", b"records of ours"]);
        let payload_end = HEADER_BYTES + 4 + 4 + 4 + 15;
        for bit in 0..payload_end * 8 {
            let mut bytes = batch.bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let judged = read_header(&bytes, Position(4096), Epoch(9)).and_then(|h| check_batch(&bytes, &h));
            assert!(judged.is_err(), "bit {bit} went unnoticed");
        }
    }

    #[test]
    fn a_batch_counts_only_at_its_place_and_for_its_writer() {
        let (batch, _) = sample(&[b"x"]);
        assert!(matches!(
            read_header(&batch.bytes(), Position(4104), Epoch(9)),
            Err(BatchDefect::Stale { base: Position(4096), .. })
        ));
        assert!(matches!(
            read_header(&batch.bytes(), Position(4096), Epoch(8)),
            Err(BatchDefect::Stale { .. })
        ));
    }

    #[test]
    fn buffers_come_back_clean_and_batches_join() {
        let mut builder = BatchBuilder::new(Epoch(1), Position(0));
        builder.record(|b| b.extend_from_slice(&[0xff; 3000])).unwrap();
        builder.mark_essential();
        let first = builder.finish();
        assert!(first.is_essential());
        let end = first.end();
        builder.recycle(first);
        builder.record(|b| b.push(1)).unwrap();
        let second = builder.finish();
        builder.record(|b| b.push(2)).unwrap();
        let third = builder.finish();
        assert!(!second.is_essential());
        assert_eq!(second.base(), end);
        assert_eq!(third.base(), second.end());
        assert_eq!(third.bytes().len(), 48);
        assert!(third.pieces(SLACK_BYTES).flatten().skip(45).all(|b| *b == 0));
        builder.restart(end);
        assert_eq!((builder.base(), builder.is_empty()), (end, true));
    }
}
