//! Message contents, each stored once however many queues hold the message, and counted until the last one lets go.
//! Who holds a content is not known here; [`crate::queue::Entry`] refers to it by [`ContentIndex`].
//!
//! A content whose entry is on a cold page is not here: the page itself uses its place in the journal then.

use baton_model::{Message, MessageId};
use slab::Slab;

use crate::context::{Held, Load, Stored};
use crate::queue::Size;

/// A content's number while it lives; reused afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ContentIndex(u32);

/// One content.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) id: MessageId,
    refs: u32,
    /// In memory. `None`: only in the journal.
    resident: Option<Message>,
    /// In the journal. `None`: it does not survive a restart.
    stored: Option<Stored>,
    envelope_bytes: u32,
    /// Its sender asked for it to survive a restart, wherever queues do.
    pub(crate) durable: bool,
}

/// What was given up and taken in the journal since last asked.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    /// Contents given up.
    pub(crate) freed: Vec<Held>,
    /// Contents used once more.
    pub(crate) held: Vec<Held>,
    /// Pages given up.
    pub(crate) freed_pages: Vec<Held>,
}

/// The contents of all messages in memory. Those whose bytes are in memory too are bounded by a budget, as far as they can be
/// read back.
#[derive(Debug)]
pub(crate) struct Contents {
    slab: Slab<Content>,
    pub(crate) uses: Uses,
    /// How often they are held in all: as many entries are in memory.
    holds: u64,
    /// Bytes of the contents in memory.
    resident_bytes: u64,
    pub(crate) resident_bytes_max: u64,
    /// Came in since the last [`Contents::evict`].
    fresh: Vec<ContentIndex>,
}

/// Contents kept in memory until told otherwise, bytes. Enough for consumers that keep up never to wait for the disk.
const RESIDENT_BYTES_MAX_DEFAULT: u64 = 64 * 1024 * 1024;

impl Default for Contents {
    fn default() -> Self {
        Self {
            slab: Slab::new(),
            uses: Uses::default(),
            holds: 0,
            resident_bytes: 0,
            resident_bytes_max: RESIDENT_BYTES_MAX_DEFAULT,
            fresh: Vec::new(),
        }
    }
}

impl Content {
    /// Length of envelope and body, bytes.
    pub(crate) fn size_bytes(&self) -> u64 {
        match (&self.resident, self.stored) {
            (Some(message), _) => message.size_bytes() as u64,
            (None, Some(stored)) => u64::from(stored.len_bytes),
            (None, None) => 0,
        }
    }

    /// Length of the body, bytes.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.size_bytes().saturating_sub(u64::from(self.envelope_bytes))
    }

    /// Where it lies in the journal, if it does.
    pub(crate) fn stored(&self) -> Option<Stored> {
        self.stored
    }

    /// Length of its envelope.
    pub(crate) fn envelope_bytes(&self) -> u32 {
        self.envelope_bytes
    }

    /// The message, from memory or read back. `None`: the disk failed.
    pub(crate) fn message(&self, load: &mut dyn Load) -> Option<Message> {
        match (&self.resident, self.stored) {
            (Some(message), _) => Some(message.clone()),
            (None, Some(stored)) => Some(Message::new(load.load(stored)?, self.envelope_bytes)),
            (None, None) => None,
        }
    }
}

impl Contents {
    /// The message, for one who takes it for good: it leaves the memory if nobody else holds it, and can still be read back.
    /// `None`: the disk failed.
    pub(crate) fn take(&mut self, index: ContentIndex, load: &mut dyn Load) -> Option<Message> {
        let content = self.slab.get_mut(index.0 as usize).expect("an entry holds its content");
        if content.refs == 1
            && content.stored.is_some()
            && let Some(message) = content.resident.take()
        {
            self.resident_bytes -= message.size_bytes() as u64;
            return Some(message);
        }
        content.message(load)
    }

    /// Adds a content that a record brought, with no holder yet. If the record was read without its body, that is only in the journal.
    pub(crate) fn insert_read(
        &mut self,
        id: MessageId,
        message: Message,
        stored: Option<Stored>,
        durable: bool,
    ) -> ContentIndex {
        match stored {
            Some(at) if at.len_bytes as usize > message.size_bytes() => {
                let envelope_bytes = message.envelope_bytes();
                self.add(Content { id, refs: 0, resident: None, stored, envelope_bytes, durable })
            }
            _ => self.insert(id, message, stored, durable),
        }
    }

    /// Adds a content in memory, with no holder yet.
    pub(crate) fn insert(
        &mut self,
        id: MessageId,
        message: Message,
        stored: Option<Stored>,
        durable: bool,
    ) -> ContentIndex {
        let envelope_bytes = message.envelope_bytes();
        self.resident_bytes += message.size_bytes() as u64;
        let index =
            self.add(Content { id, refs: 0, resident: Some(message), stored, envelope_bytes, durable });
        self.fresh.push(index);
        index
    }

    /// Adds a content that only lies in the journal, with no holder yet.
    pub(crate) fn insert_stored(
        &mut self,
        id: MessageId,
        stored: Stored,
        envelope_bytes: u32,
    ) -> ContentIndex {
        self.add(Content { id, refs: 0, resident: None, stored: Some(stored), envelope_bytes, durable: true })
    }

    fn add(&mut self, content: Content) -> ContentIndex {
        let index = self.slab.insert(content);
        ContentIndex(u32::try_from(index).expect("memory ends before four thousand million messages"))
    }

    pub(crate) fn get(&self, index: ContentIndex) -> &Content {
        self.slab.get(index.0 as usize).expect("an entry holds its content")
    }

    /// It lies in the journal now.
    pub(crate) fn set_stored(&mut self, index: ContentIndex, stored: Stored) {
        self.slab.get_mut(index.0 as usize).expect("an entry holds its content").stored = Some(stored);
    }

    /// How large it is, as queues count.
    pub(crate) fn size(&self, index: ContentIndex) -> Size {
        let content = self.get(index);
        Size { body_bytes: content.body_bytes(), content_bytes: content.size_bytes() }
    }

    /// One more holder.
    pub(crate) fn hold(&mut self, index: ContentIndex) {
        self.holds += 1;
        self.slab.get_mut(index.0 as usize).expect("an entry holds its content").refs += 1;
    }

    /// One holder less; the content goes with the last one.
    pub(crate) fn release(&mut self, index: ContentIndex) {
        let content = self.slab.get_mut(index.0 as usize).expect("an entry holds its content");
        content.refs = content.refs.saturating_sub(1);
        self.holds = self.holds.saturating_sub(1);
        if content.refs == 0 {
            let stored = self.remove(index).stored;
            self.uses.freed.extend(stored.map(Held::from));
        }
    }

    /// One holder less, because its entry leaves the memory: the page it is on uses the content's place in the journal from now on.
    pub(crate) fn park(&mut self, index: ContentIndex) {
        let content = self.slab.get_mut(index.0 as usize).expect("an entry holds its content");
        content.refs = content.refs.saturating_sub(1);
        self.holds = self.holds.saturating_sub(1);
        if content.refs == 0 {
            self.remove(index);
        } else {
            self.uses.held.extend(content.stored.map(Held::from));
        }
    }

    /// A content whose entry comes back into memory, with that as its holder; the page no longer uses its place.
    pub(crate) fn unpark(&mut self, id: MessageId, stored: Stored, envelope_bytes: u32) -> ContentIndex {
        let index = self.insert_stored(id, stored, envelope_bytes);
        self.hold(index);
        index
    }

    fn remove(&mut self, index: ContentIndex) -> Content {
        let content = self.slab.remove(index.0 as usize);
        self.resident_bytes -= content.resident.as_ref().map_or(0, |message| message.size_bytes() as u64);
        content
    }

    /// How many entries are in memory.
    pub(crate) fn holds(&self) -> u64 {
        self.holds
    }

    /// What came in since the last time and was not handed out at once leaves the memory if that holds too much: it will be
    /// wanted last. What lies nowhere else stays.
    pub(crate) fn evict(&mut self) {
        for index in self.fresh.drain(..) {
            if self.resident_bytes <= self.resident_bytes_max {
                continue;
            }
            let content = self.slab.get_mut(index.0 as usize);
            if let Some(content) = content.filter(|content| content.stored.is_some())
                && let Some(message) = content.resident.take()
            {
                self.resident_bytes -= message.size_bytes() as u64;
            }
        }
    }

    /// Bytes of the contents in memory.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.resident_bytes
    }

    /// All places in the journal that contents in memory use.
    pub(crate) fn all_stored(&self) -> impl Iterator<Item = Stored> + '_ {
        self.slab.iter().filter_map(|(_, content)| content.stored)
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }
}
