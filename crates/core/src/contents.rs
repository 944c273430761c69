//! Message contents, each stored once however many queues hold the message, and counted until the last one lets go.
//! Who holds a content is not known here; [`crate::queue::Entry`] refers to it by [`ContentIndex`].

use baton_model::{Message, MessageId};
use slab::Slab;

use crate::context::{Store, Stored};
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

/// All contents of a partition. Those in memory are bounded by a budget, as far as they can be read back.
#[derive(Debug)]
pub(crate) struct Contents {
    slab: Slab<Content>,
    freed: Vec<Stored>,
    /// Bytes of the contents in memory.
    resident_bytes: u64,
    pub(crate) resident_bytes_max: u64,
    /// Came in since the last [`Contents::evict`].
    fresh: Vec<ContentIndex>,
}

/// Contents kept in memory until told otherwise, bytes. Enough for consumers that keep up never to wait for the disk.
const RESIDENT_BYTES_MAX_DEFAULT: u64 = 128 * 1024 * 1024;

impl Default for Contents {
    fn default() -> Self {
        Self {
            slab: Slab::new(),
            freed: Vec::new(),
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
    pub(crate) fn message(&self, store: &mut dyn Store) -> Option<Message> {
        match (&self.resident, self.stored) {
            (Some(message), _) => Some(message.clone()),
            (None, Some(stored)) => Some(Message::new(store.load(stored)?, self.envelope_bytes)),
            (None, None) => None,
        }
    }
}

impl Contents {
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
        self.slab.get_mut(index.0 as usize).expect("an entry holds its content").refs += 1;
    }

    /// One holder less; the content goes with the last one.
    pub(crate) fn release(&mut self, index: ContentIndex) {
        let content = self.slab.get_mut(index.0 as usize).expect("an entry holds its content");
        content.refs = content.refs.saturating_sub(1);
        if content.refs == 0 {
            let content = self.slab.remove(index.0 as usize);
            self.resident_bytes -= content.resident.as_ref().map_or(0, |message| message.size_bytes() as u64);
            self.freed.extend(content.stored);
        }
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

    /// Places in the journal that nothing refers to any more, since last asked.
    pub(crate) fn freed(&mut self) -> std::vec::Drain<'_, Stored> {
        self.freed.drain(..)
    }

    /// All places in the journal that are in use.
    pub(crate) fn all_stored(&self) -> impl Iterator<Item = Stored> + '_ {
        self.slab.iter().filter_map(|(_, content)| content.stored)
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }
}
