//! What is to be written: the bytes that sessions wrote, and between them large pieces that nobody copies. Used by the one
//! driver, which writes as much of it as the stream takes.

use std::collections::VecDeque;
use std::io::IoSlice;

use baton_dialect::{Attached, Output};
use bytes::{Buf, BytesMut};

/// Pieces handed to the system with one call.
pub(super) const SLICES_MAX: usize = 64;

/// See the top of this file.
#[derive(Debug, Default)]
pub(super) struct Pending {
    own: BytesMut,
    /// How many bytes of `own` have been written already; what is attached counts from there.
    done: usize,
    attached: VecDeque<Attached>,
    attached_bytes: usize,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.attached.is_empty()
    }

    /// Bytes to be written.
    pub(super) fn len(&self) -> usize {
        self.own.len() + self.attached_bytes
    }

    /// Whether it is one piece.
    pub(super) fn is_plain(&self) -> bool {
        self.attached.is_empty()
    }

    /// The bytes sessions wrote, all of them if it is one piece.
    pub(super) fn own(&self) -> &[u8] {
        &self.own
    }

    /// Takes over what a session wrote.
    pub(super) fn stage(&mut self, out: &mut Output) {
        let base = if self.is_empty() {
            self.done = 0;
            std::mem::swap(&mut self.own, &mut out.wire);
            out.wire.clear();
            0
        } else {
            let base = self.done + self.own.len();
            self.own.extend_from_slice(&out.wire);
            out.wire.clear();
            base
        };
        for mut attached in out.attached.drain(..) {
            attached.behind += base;
            self.attached_bytes += attached.bytes.len();
            self.attached.push_back(attached);
        }
    }

    /// Adds bytes behind everything.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.own.extend_from_slice(bytes);
    }

    /// The next pieces, as many as there is room for. Returns how many.
    pub(super) fn slices<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let (mut own, mut at, mut count) = (&self.own[..], self.done, 0);
        let mut put = |bytes: &'a [u8]| {
            if let Some(place) = into.get_mut(count).filter(|_| !bytes.is_empty()) {
                *place = IoSlice::new(bytes);
                count += 1;
            }
        };
        for attached in self.attached.iter().take(SLICES_MAX) {
            let (before, behind) = own.split_at_checked(attached.behind - at).unwrap_or((own, &[]));
            put(before);
            put(&attached.bytes);
            (own, at) = (behind, attached.behind);
        }
        if self.attached.len() <= SLICES_MAX {
            put(own);
        }
        count
    }

    /// So many bytes were written.
    pub(super) fn advance(&mut self, mut written: usize) {
        while written > 0 {
            let until_attached = self.attached.front().map(|attached| attached.behind - self.done);
            match (until_attached, self.attached.front_mut()) {
                (Some(0), Some(attached)) => {
                    let part = written.min(attached.bytes.len());
                    attached.bytes.advance(part);
                    self.attached_bytes -= part;
                    written -= part;
                    if attached.bytes.is_empty() {
                        self.attached.pop_front();
                    }
                }
                (until, _) => {
                    let part = written.min(until.unwrap_or(usize::MAX)).min(self.own.len());
                    if part == 0 {
                        return;
                    }
                    self.own.advance(part);
                    self.done += part;
                    written -= part;
                }
            }
        }
    }

    /// Everything is written: the buffer is kept if it is not larger than `kept_bytes_max`.
    pub(super) fn reset(&mut self, kept_bytes_max: usize) {
        if self.own.capacity() > kept_bytes_max {
            self.own = BytesMut::new();
        } else {
            self.own.clear();
        }
        self.done = 0;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn output(parts: &[(&str, &str)]) -> Output {
        let mut out = Output::default();
        for (own, attached) in parts {
            out.wire.extend_from_slice(own.as_bytes());
            out.attach(Bytes::copy_from_slice(attached.as_bytes()));
        }
        out
    }

    /// What a stream gets that takes `step` bytes at a time.
    fn drained(mut pending: Pending, step: usize) -> String {
        let mut all = Vec::new();
        while !pending.is_empty() {
            let mut slices = [IoSlice::new(&[]); 3];
            let count = pending.slices(&mut slices);
            assert!(count > 0);
            let here: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).take(step).collect();
            all.extend_from_slice(&here);
            let before = pending.len();
            pending.advance(here.len());
            assert_eq!(pending.len(), before - here.len());
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn pieces_leave_in_the_order_they_were_written_in() {
        for step in [1, 2, 5, 100] {
            let mut pending = Pending::default();
            pending.stage(&mut output(&[("a", "BIG"), ("bc", ""), ("", "LARGE"), ("d", "")]));
            pending.advance(2);
            pending.stage(&mut output(&[("", "HUGE"), ("e", "X"), ("f", "")]));
            pending.push(b"g");
            assert_eq!(pending.len(), "IGbcLARGEdHUGEeXfg".len());
            assert_eq!(drained(pending, step), "IGbcLARGEdHUGEeXfg");
        }
        let mut pending = Pending::default();
        pending.stage(&mut output(&[("plain", "")]));
        assert!(pending.is_plain());
        assert_eq!(drained(pending, 3), "plain");
    }
}
