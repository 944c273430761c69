//! Bugs planted on purpose, from outside the broker: wrappers around its disk and journal, and hands in its mail. A test
//! proves that each is caught by the checker that is there for it.

mod session;
mod space;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use baton_core::record::Removal;
use baton_core::{Record, codec};
use baton_journal::{
    BatchBuilder, EachRecord, EachSnapshotRecord, Epoch, Housekeeping, Journal, JournalError, JournalReader,
    Opened, Position, Recovery, SealedBatch, TornTail, frame,
};
use baton_journal_file::disk::{Disk, DiskFile, DiskLock, LockFailure};
use baton_journal_file::open_on;
use baton_model::event::QueueInfo;
use baton_model::{DeliveryRef, Event, Fence, QueueId};

use crate::Dice;
use crate::fact::Key;
use space::WastefulJournal;

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plant {
    /// Nothing.
    None,
    /// The disk answers syncs of files without doing anything.
    SkipSync,
    /// The journal says that a batch is durable before it is written: it is, with the next one.
    ReleaseEarly,
    /// Timed leases are forgotten when the journal is replayed.
    ForgetLease,
    /// Acknowledgements are lost when the journal is replayed.
    LoseAck,
    /// Some messages of a batch are lost when the journal is replayed.
    LoseMessage,
    /// A delivery also goes to another connection.
    DeliverTwice,
    /// Two deliveries in a row have each other's messages and places.
    SwapDeliveries,
    /// Fencing numbers begin again at each restart.
    ForgetFences,
    /// A queue has one message more than is in it.
    Miscount,
    /// Places of pages of indexes are given up though they are in use: some cannot be read any more.
    LosePage,
    /// A segment goes with everything that is alive in it.
    RemoveLive,
    /// That messages were copied is forgotten when the journal is replayed: they are looked for where they were.
    LoseCopy,
    /// Segments are said to be removed, and stay.
    KeepSegments,
    /// No page of an index leaves the memory.
    KeepPages,
    /// Sessions are told at once that what they ask for is done.
    AnswerEarly,
    /// Sessions settle the message that was settled before the one that their client means.
    SettleAnother,
    /// The ids by which repetitions are known are lost on their way into the broker.
    LoseDedupIds,
    /// Transactions are done whatever has become of the lists that their clients watched.
    IgnoreWatches,
    /// Some publishes come into the broker with the ids of others.
    MixDedupIds,
    /// A byte of what sessions write is another at times.
    GarbleBodies,
}

/// A planted bug at work.
pub struct Planted {
    plant: Plant,
    dice: Dice,
    /// The first fencing number seen of each queue since the restart, for [`Plant::ForgetFences`].
    fences: BTreeMap<(Key, QueueId), u64>,
    /// What was settled last, for [`Plant::SettleAnother`].
    settled: Option<DeliveryRef>,
}

type Mail = Vec<(usize, Key, Vec<Event>)>;

impl Planted {
    pub(crate) fn new(plant: Plant, seed: u64) -> Self {
        Self { plant, dice: Dice::new(seed ^ 0xbad), fences: BTreeMap::new(), settled: None }
    }

    pub(crate) fn open(
        &self,
        disk: Arc<dyn Disk>,
        options: &baton_journal_file::Options,
    ) -> Result<Opened, JournalError> {
        let disk: Arc<dyn Disk> =
            if self.plant == Plant::SkipSync { Arc::new(LyingDisk(disk)) } else { disk };
        let Opened { journal, recovery } = open_on(disk, options.clone())?;
        Ok(match self.plant {
            Plant::ReleaseEarly => {
                Opened { journal: Box::new(EarlyJournal { journal, held: None, failed: None }), recovery }
            }
            Plant::ForgetLease | Plant::LoseAck | Plant::LoseMessage | Plant::LoseCopy => {
                Opened { journal, recovery: Box::new(Forgetful { recovery, plant: self.plant }) }
            }
            Plant::LosePage | Plant::RemoveLive | Plant::KeepSegments => Opened {
                journal: Box::new(WastefulJournal { journal, plant: self.plant, kept: Arc::default() }),
                recovery,
            },
            _ => Opened { journal, recovery },
        })
    }

    pub(crate) fn options(&self, options: &baton_engine::Options) -> baton_engine::Options {
        let mut options = options.clone();
        if self.plant == Plant::KeepPages {
            options.index_messages_max = u64::MAX;
        }
        options
    }

    pub(crate) fn tapped(&mut self, mail: &mut Mail) {
        match self.plant {
            Plant::DeliverTwice => self.deliver_twice(mail),
            Plant::SwapDeliveries => mail.iter_mut().for_each(|(_, _, events)| swap(events)),
            Plant::ForgetFences => self.forget_fences(mail),
            _ => {}
        }
    }

    pub(crate) fn audited(&mut self, infos: &mut [QueueInfo]) {
        if self.plant == Plant::Miscount
            && let Some(info) = infos.iter_mut().find(|info| info.ready > 0)
        {
            info.ready += 1;
        }
    }

    fn deliver_twice(&mut self, mail: &mut Mail) {
        if mail.len() < 2 || !self.dice.one_in(3) {
            return;
        }
        let copy = mail.iter().enumerate().find_map(|(index, (_, _, events))| {
            let event = events.iter().find(|event| matches!(event, Event::Delivered(_)))?;
            Some((index, event.clone()))
        });
        if let Some((from, event)) = copy {
            let to = (from + 1) % mail.len();
            mail[to].2.push(event);
        }
    }

    fn forget_fences(&mut self, mail: &mut Mail) {
        for (_, key, events) in mail {
            for event in events {
                if let Event::Delivered(delivery) = event {
                    let life = *key >> 32;
                    let first = *self.fences.entry((life, delivery.at.queue)).or_insert(delivery.at.fence.0);
                    delivery.at.fence = Fence(delivery.at.fence.0.saturating_sub(first) + 1);
                }
            }
        }
    }
}

fn swap(events: &mut [Event]) {
    for at in 1..events.len() {
        let (before, behind) = events.split_at_mut(at);
        let (Some(Event::Delivered(first)), Some(Event::Delivered(second))) =
            (before.last_mut(), behind.first_mut())
        else {
            continue;
        };
        if first.at.queue == second.at.queue && first.acquired == 1 && second.acquired == 1 {
            std::mem::swap(&mut first.message, &mut second.message);
            std::mem::swap(&mut first.at.seq, &mut second.at.seq);
            return;
        }
    }
}

/// [`Plant::SkipSync`].
struct LyingDisk(Arc<dyn Disk>);

struct LyingFile(Arc<dyn DiskFile>);

impl DiskFile for LyingFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buf)
    }
    fn len_bytes(&self) -> io::Result<u64> {
        self.0.len_bytes()
    }
    fn set_len_bytes(&self, len_bytes: u64) -> io::Result<()> {
        self.0.set_len_bytes(len_bytes)
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Disk for LyingDisk {
    fn name(&self) -> String {
        self.0.name()
    }
    fn lock(&self) -> Result<Box<dyn DiskLock>, LockFailure> {
        self.0.lock()
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(LyingFile(self.0.create(name)?)))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(LyingFile(self.0.open(name)?)))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.0.sync_dir()
    }
    fn free_bytes(&self) -> io::Result<u64> {
        self.0.free_bytes()
    }
    fn fresh_epoch(&self) -> u64 {
        self.0.fresh_epoch()
    }
}

/// [`Plant::ReleaseEarly`].
struct EarlyJournal {
    journal: Box<dyn Journal>,
    held: Option<SealedBatch>,
    failed: Option<JournalError>,
}

impl EarlyJournal {
    fn write_held(&mut self) -> Result<(), JournalError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if let Some(batch) = self.held.take() {
            self.journal.append(&batch).map_err(|error| self.failed.insert(error).clone())?;
        }
        Ok(())
    }
}

/// The same batch again: it cannot be cloned.
fn copy_of(batch: &SealedBatch) -> Result<SealedBatch, JournalError> {
    let bytes = &batch.bytes();
    let header =
        frame::read_header(bytes, batch.base(), batch.epoch()).expect("a batch that was just sealed");
    let mut builder = BatchBuilder::new(batch.epoch(), batch.base());
    builder.set_durable(batch.durable());
    frame::each_record(bytes, &header, &mut |_, payload| {
        builder.record(|buf| buf.extend_from_slice(payload)).map(drop)
    })?;
    if batch.is_essential() {
        builder.mark_essential();
    }
    Ok(builder.finish())
}

impl Journal for EarlyJournal {
    fn epoch(&self) -> Epoch {
        self.journal.epoch()
    }
    fn end(&self) -> Position {
        self.held.as_ref().map_or_else(|| self.journal.end(), SealedBatch::end)
    }
    fn durable(&self) -> Position {
        self.end()
    }
    fn write(&mut self, batch: &SealedBatch) -> Result<Position, JournalError> {
        self.write_held()?;
        self.held = Some(copy_of(batch)?);
        Ok(batch.end())
    }
    fn sync(&mut self) -> Result<Position, JournalError> {
        self.failed.clone().map_or_else(|| Ok(self.end()), Err)
    }
    fn reader(&self) -> Arc<dyn JournalReader> {
        self.journal.reader()
    }
    fn housekeeping(&self) -> Arc<dyn Housekeeping> {
        self.journal.housekeeping()
    }
}

/// [`Plant::ForgetLease`], [`Plant::LoseAck`], [`Plant::LoseMessage`], [`Plant::LoseCopy`].
struct Forgetful {
    recovery: Box<dyn Recovery>,
    plant: Plant,
}

impl Recovery for Forgetful {
    fn snapshot_position(&self) -> Option<Position> {
        self.recovery.snapshot_position()
    }
    fn end(&self) -> Position {
        self.recovery.end()
    }
    fn torn_tail(&self) -> Option<&TornTail> {
        self.recovery.torn_tail()
    }
    fn read_snapshot(&mut self, each: &mut EachSnapshotRecord<'_>) -> Result<(), JournalError> {
        self.recovery.read_snapshot(each)
    }
    fn replay(&mut self, each: &mut EachRecord<'_>) -> Result<(), JournalError> {
        let plant = self.plant;
        let mut count = 0_u64;
        self.recovery.replay(&mut |location, payload| {
            let forgotten = match codec::decode(payload) {
                Ok((Record::Leased(leased), _)) => plant == Plant::ForgetLease && !leased.linked,
                Ok((Record::Removed { reason: Removal::Completed, .. }, _)) => plant == Plant::LoseAck,
                Ok((Record::Copied { .. }, _)) => plant == Plant::LoseCopy,
                Ok((Record::Enqueued(_), _)) => {
                    count += 1;
                    plant == Plant::LoseMessage && count.is_multiple_of(7)
                }
                _ => false,
            };
            if forgotten { Ok(()) } else { each(location, payload) }
        })
    }
}
