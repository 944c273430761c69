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

/// All contents of a partition.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    slab: Slab<Content>,
    freed: Vec<Stored>,
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
        self.add(Content { id, refs: 0, resident: Some(message), stored, envelope_bytes, durable })
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
            self.freed.extend(content.stored);
        }
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
