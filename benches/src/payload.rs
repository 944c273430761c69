//! What stands in the body of every message of a run: who sent it, as the how-manieth, and when. Written into
//! templates by `wire::template`, read by the consumers, judged by `tally` and `crash::ledger`.
//!
//! ```text
//! offset  0  u64  magic, differs from run to run       (a message of another run is recognised)
//! offset  8  u32  producer
//! offset 12  u32  zero
//! offset 16  u64  sequence, from 0 without gaps for each producer
//! offset 24  u64  time, nanoseconds of the monotonic clock (the scheduled time, for an open loop)
//! ...             filler
//! last 8     u64  magic xor sequence                   (a body that was cut or mixed up is recognised)
//! ```

use crate::wire::WireError;
use crate::wire::scan::Fields;

/// Bytes that the fields at both ends need.
pub const PAYLOAD_BYTES_MIN: usize = 40;

/// The fields of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload {
    /// Which producer wrote it.
    pub producer: u32,
    /// The producer's count, from 0.
    pub sequence: u64,
    /// Nanoseconds on [`crate::measure::now_ns`]'s clock.
    pub sent_ns: u64,
}

impl Payload {
    /// Writes the fields into a body of at least [`PAYLOAD_BYTES_MIN`] bytes; a shorter one stays as it is.
    pub fn write(&self, magic: u64, body: &mut [u8]) {
        if let Some(head) = body.get_mut(..16) {
            let (first, second) = head.split_at_mut(8);
            first.copy_from_slice(&magic.to_be_bytes());
            second.copy_from_slice(&(u64::from(self.producer) << 32).to_be_bytes());
        }
        self.patch(magic, body);
    }

    /// Like [`Payload::write`] for a body that already has magic and producer.
    #[inline]
    pub fn patch(&self, magic: u64, body: &mut [u8]) {
        if let Some((_, head)) = body.split_first_chunk_mut::<16>()
            && let Some((sequence, rest)) = head.split_first_chunk_mut::<8>()
            && let Some((sent, rest)) = rest.split_first_chunk_mut::<8>()
            && let Some((_, check)) = rest.split_last_chunk_mut::<8>()
        {
            *sequence = self.sequence.to_be_bytes();
            *sent = self.sent_ns.to_be_bytes();
            *check = (magic ^ self.sequence).to_be_bytes();
        }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`WireError::ForeignBody`] when it is of another run, cut or mixed up.
    #[inline]
    pub fn read(magic: u64, body: &[u8]) -> Result<Payload, WireError> {
        if body.len() < PAYLOAD_BYTES_MIN {
            return Err(WireError::ForeignBody { what: "too short" });
        }
        let mut fields = Fields(body);
        if fields.u64("body")? != magic {
            return Err(WireError::ForeignBody { what: "written by another run" });
        }
        let producer = fields.u32("body")?;
        fields.u32("body")?;
        let sequence = fields.u64("body")?;
        let sent_ns = fields.u64("body")?;
        let check = body.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
        if check != Some(magic ^ sequence) {
            return Err(WireError::ForeignBody { what: "head and tail differ" });
        }
        Ok(Payload { producer, sequence, sent_ns })
    }
}
