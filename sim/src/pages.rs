//! What the world knows of queues' indexes that lie in the journal: a state names pages, and here they are read, so that two
//! states can be compared message by message whatever was in memory in each. The broker's own reading is not used.

use std::collections::BTreeMap;
use std::sync::Arc;

use baton_core::codec;
use baton_core::snapshot::{EntryItem, Item};
use baton_journal::{JournalReader, Location, Position};

/// Reads pages, each once.
#[derive(Default)]
pub(crate) struct Pages {
    reader: Option<Arc<dyn JournalReader>>,
    read: BTreeMap<(u64, u32), Vec<EntryItem>>,
    count: u64,
}

impl Pages {
    /// A journal was opened: positions of an older one mean nothing any more.
    pub(crate) fn opened(&mut self, reader: Arc<dyn JournalReader>) {
        self.reader = Some(reader);
        self.read.clear();
    }

    /// A state with its messages in place of its pages.
    ///
    /// # Errors
    /// A page is not there, or is no page: which.
    pub(crate) fn expanded(&mut self, items: Vec<Item>) -> Result<Vec<Item>, String> {
        let mut all = Vec::with_capacity(items.len());
        let mut used = BTreeMap::new();
        for item in items {
            let Item::Page { queue, page, at, .. } = item else {
                all.push(item);
                continue;
            };
            let key = (at.position, at.len_bytes);
            let entries = match self.read.remove(&key).or_else(|| used.get(&key).cloned()) {
                Some(entries) => entries,
                None => self
                    .page(at.position, at.len_bytes)
                    .map_err(|why| format!("page {page} of queue {queue} at {}: {why}", at.position))?,
            };
            all.extend(entries.iter().cloned().map(|entry| Item::Entry(Box::new(entry))));
            used.insert(key, entries);
        }
        self.read.append(&mut used);
        Ok(all)
    }

    /// How many pages were read.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    fn page(&mut self, position: u64, len_bytes: u32) -> Result<Vec<EntryItem>, String> {
        self.count += 1;
        let reader = self.reader.as_ref().ok_or("no journal is open")?;
        let location = Location { position: Position(position), len_bytes };
        let bytes = reader.read(location).map_err(|error| error.to_string())?;
        codec::decode_page(&bytes).map_err(|error| format!("{error:?}"))
    }
}
