//! From what a journal holds to a state: the items of the snapshot, then the records behind it. What of the journal's
//! contents is still live is asked of the core afterwards.

use std::panic::{AssertUnwindSafe, catch_unwind};

use baton_core::{Stored, codec};
use baton_journal::{Location, Opened, Position};

use crate::error::EngineError;
use crate::options::Options;
use crate::partition::panic_text;
use crate::{Machine, snapshot};

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

fn fold(opened: &mut Opened, options: &Options) -> Result<Recovered, EngineError> {
    let recovery = &mut opened.recovery;
    if let Some(torn) = recovery.torn_tail() {
        tracing::warn!(
            file = torn.file,
            offset = torn.offset,
            what = torn.what,
            "the end of the journal was torn by a crash and has been cut off; nothing confirmed was in it"
        );
    }
    let mut machine = Machine::new(options.seed);
    machine.set_resident_bytes_max(options.resident_bytes_max);
    let snapshot_position = recovery.snapshot_position().unwrap_or_default();
    let (mut snapshot_bytes, mut snapshot_records) = (0, 0);
    let mut understood = Ok(());
    let read = recovery.read_snapshot(&mut |record| {
        let restored = snapshot::decode(record, snapshot_records, &mut |item| machine.restore(item));
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
        let (record, range) =
            codec::decode(payload).map_err(|error| snapshot::not_understood(location.position, &error))?;
        let content = range.map(|range| Stored {
            position: location.position.0 + u64::from(range.offset),
            len_bytes: range.len_bytes,
        });
        machine.apply(record, content);
        records += 1;
        Ok(())
    })?;
    Ok(Recovered { machine, snapshot_position, snapshot_bytes, records })
}
