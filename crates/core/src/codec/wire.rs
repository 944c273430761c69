//! The primitives: variable-length numbers, names, runs; and the reader that never runs past its bytes.
//!
//! Numbers are LEB128: seven bits per byte, lowest first, the high bit says that more follow. Signed differences are
//! folded (zigzag) so that small ones are short either way.

use baton_model::{Name, Seq, Time};

use super::error::{DecodeError, Defect};
use crate::record::Runs;

pub(super) fn put_varint(buf: &mut Vec<u8>, mut value: u64) {
    if value < 0x80 {
        let [low, ..] = value.to_le_bytes();
        buf.push(low);
        return;
    }
    let mut bytes = [0; 10];
    let mut used = 0;
    for byte in &mut bytes {
        used += 1;
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            *byte = low & 0x7f;
            break;
        }
        *byte = low | 0x80;
    }
    // A copy of a fixed length and a cut are quicker than a copy of any length.
    let end = buf.len() + used;
    buf.extend_from_slice(&bytes);
    buf.truncate(end);
}

pub(super) fn put_len(buf: &mut Vec<u8>, len: usize) {
    put_varint(buf, len as u64);
}

pub(super) fn put_bytes(buf: &mut Vec<u8>, bytes: &[u8]) {
    put_len(buf, bytes.len());
    buf.extend_from_slice(bytes);
}

pub(super) fn put_name(buf: &mut Vec<u8>, name: &Name) {
    put_bytes(buf, name.as_bytes());
}

pub(super) fn put_f64(buf: &mut Vec<u8>, value: f64) {
    buf.extend_from_slice(&value.to_le_bytes());
}

/// Appends a field that is there or not; its presence is told elsewhere, in a flag.
pub(super) fn put_opt(buf: &mut Vec<u8>, value: Option<u64>) {
    if let Some(value) = value {
        put_varint(buf, value);
    }
}

/// How many runs; of each the distance of its first number from the end of the run before, and its length.
pub(super) fn put_runs(buf: &mut Vec<u8>, runs: &Runs) {
    put_len(buf, runs.runs().len());
    let mut expected = 0u64;
    for (first, count) in runs.runs() {
        let distance = first.0.wrapping_sub(expected).cast_signed();
        put_varint(buf, ((distance << 1) ^ (distance >> 63)).cast_unsigned());
        put_varint(buf, u64::from(*count));
        expected = first.0.wrapping_add(u64::from(*count));
    }
}

/// Takes an encoding apart from the front.
pub(super) struct Reader<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(all: &'a [u8]) -> Self {
        Self { all, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn remaining(&self) -> usize {
        self.all.len() - self.at
    }

    pub(super) fn bad<T>(&self, defect: Defect) -> Result<T, DecodeError> {
        Err(DecodeError { offset: self.at, defect })
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        match self.all.get(self.at) {
            Some(byte) => {
                self.at += 1;
                Ok(*byte)
            }
            None => self.bad(Defect::Truncated),
        }
    }

    /// A flag byte that has no bits but those in `known`.
    pub(super) fn flags(&mut self, known: u8) -> Result<u8, DecodeError> {
        let flags = self.u8()?;
        match flags & !known {
            0 => Ok(flags),
            unknown => Err(DecodeError { offset: self.at - 1, defect: Defect::UnknownBits(unknown.into()) }),
        }
    }

    pub(super) fn varint(&mut self) -> Result<u64, DecodeError> {
        let start = self.at;
        let overlong = DecodeError { offset: start, defect: Defect::BadValue("number") };
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                return Err(overlong);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(overlong)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        let offset = self.at;
        u32::try_from(self.varint()?)
            .map_err(|_| DecodeError { offset, defect: Defect::BadValue("32-bit number") })
    }

    pub(super) fn time(&mut self) -> Result<Time, DecodeError> {
        self.varint().map(Time)
    }

    pub(super) fn opt_varint(&mut self, present: bool) -> Result<Option<u64>, DecodeError> {
        if present { self.varint().map(Some) } else { Ok(None) }
    }

    pub(super) fn opt_time(&mut self, present: bool) -> Result<Option<Time>, DecodeError> {
        Ok(self.opt_varint(present)?.map(Time))
    }

    pub(super) fn opt_name(&mut self, present: bool) -> Result<Option<Name>, DecodeError> {
        if present { self.name().map(Some) } else { Ok(None) }
    }

    /// A count of things that have at least one byte each: more than there are bytes is damage.
    pub(super) fn count(&mut self) -> Result<usize, DecodeError> {
        let offset = self.at;
        let count = self.varint()?;
        match usize::try_from(count) {
            Ok(count) if count <= self.remaining() => Ok(count),
            _ => Err(DecodeError { offset, defect: Defect::Truncated }),
        }
    }

    pub(super) fn raw(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(len);
        match end.and_then(|end| self.all.get(self.at..end)) {
            Some(bytes) => {
                self.at += len;
                Ok(bytes)
            }
            None => self.bad(Defect::Truncated),
        }
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.count()?;
        self.raw(len)
    }

    pub(super) fn name(&mut self) -> Result<Name, DecodeError> {
        let offset = self.at;
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map(Name::new).map_err(|_| DecodeError { offset, defect: Defect::NotUtf8 })
    }

    pub(super) fn f64(&mut self) -> Result<f64, DecodeError> {
        let bytes = self.raw(8)?;
        match bytes.first_chunk() {
            Some(bytes) => Ok(f64::from_le_bytes(*bytes)),
            None => self.bad(Defect::Truncated),
        }
    }

    pub(super) fn runs(&mut self) -> Result<Runs, DecodeError> {
        let count = self.count()?;
        let mut runs = Runs::default();
        let mut expected = 0u64;
        for _ in 0..count {
            let offset = self.at;
            let folded = self.varint()?;
            let distance = (folded >> 1).cast_signed() ^ -((folded & 1).cast_signed());
            let first = expected.wrapping_add(distance.cast_unsigned());
            let len = self.u32()?;
            let Some(end) = first.checked_add(u64::from(len)) else {
                return Err(DecodeError { offset, defect: Defect::BadValue("run of numbers") });
            };
            runs.push_run(Seq(first), len);
            expected = end;
        }
        Ok(runs)
    }

    /// Everything must have been read.
    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        if self.remaining() == 0 { Ok(()) } else { self.bad(Defect::Trailing) }
    }
}
