//! From what a journal holds to a state: the items of the snapshot, then the records behind it. What of the journal's
//! contents is still live is asked of the core afterwards. Contents are not read, and of the index only the pages that a
//! record is about.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use baton_core::{Load, Stored, codec};
use baton_journal::{JournalReader, Location, Opened, Position};
use bytes::Bytes;

use crate::error::EngineError;
use crate::options::Options;
use crate::partition::panic_text;
use crate::{Machine, snapshot};

/// Contents longer than this stay in the journal when it is read, whatever room there is: nobody knows yet who wants them, and a copy
/// would be beside the batch that it was read from.
const CONTENT_BYTES_MAX: usize = 1 << 20;

/// What was folded.
pub(crate) struct Recovered {
    pub(crate) machine: Machine,
    pub(crate) snapshot_position: Position,
    pub(crate) snapshot_bytes: u64,
    pub(crate) records: u64,
}

/// Reads a recovery to its end.
pub(crate) fn recover(opened: &mut Opened, options: &Options) -> Result<Recovered, EngineError> {
    catch_unwind(AssertUnwindSafe(|| fold(opened, options)))
        .unwrap_or_else(|panic| Err(EngineError::Broken(panic_text(&*panic))))
}

/// Reads pages of the index while the journal is being folded.
struct Pages(Arc<dyn JournalReader>);

impl Load for Pages {
    fn load(&mut self, at: Stored) -> Option<Bytes> {
        let location = Location { position: Position(at.position), len_bytes: at.len_bytes };
        match self.0.read(location) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                tracing::error!(%error, "a page of an index could not be read");
                None
            }
        }
    }
}

fn fold(opened: &mut Opened, options: &Options) -> Result<Recovered, EngineError> {
    let mut pages = Pages(opened.journal.reader());
    let recovery = &mut opened.recovery;
    if let Some(torn) = recovery.torn_tail() {
        tracing::warn!(
            file = torn.file,
            offset = torn.offset,
            what = torn.what,
            "the end of the journal was torn by a crash and has been cut off; it was not durable yet"
        );
    }
    let mut machine = Machine::new(options.seed);
    machine.set_resident_bytes_max(options.resident_bytes_max);
    machine.set_index_messages_max(options.index_messages_max);
    let snapshot_position = recovery.snapshot_position().unwrap_or_default();
    let (mut snapshot_bytes, mut snapshot_records) = (0, 0);
    let mut understood = Ok(());
    let read = recovery.read_snapshot(&mut |record| {
        let restored = snapshot::decode(record, snapshot_records, &mut |item| {
            machine.restore(item, &mut pages).map_err(EngineError::Page)
        });
        snapshot_records += 1;
        snapshot_bytes += record.len() as u64;
        restored.map_err(|error| {
            let told = snapshot::not_understood(snapshot_position, &error);
            understood = Err(error);
            told
        })
    });
    understood?;
    read?;

    let mut records = 0;
    recovery.replay(&mut |location: Location, payload| {
        let (record, range) = codec::decode_head(payload, CONTENT_BYTES_MAX)
            .map_err(|error| snapshot::not_understood(location.position, &error))?;
        let content = range.map(|range| Stored {
            position: location.position.0 + u64::from(range.offset),
            len_bytes: range.len_bytes,
        });
        let applied = machine.apply(record, content, &mut pages);
        applied.map_err(|error| snapshot::not_understood(location.position, &error))?;
        records += 1;
        Ok(())
    })?;
    Ok(Recovered { machine, snapshot_position, snapshot_bytes, records })
}
