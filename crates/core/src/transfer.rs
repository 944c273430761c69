//! The fold of [`crate::Record::Transferred`]: messages go to other places, of their own queue or of another.

use baton_model::request::MessageState;

use crate::context::Load;
use crate::paging::Unreadable;
use crate::queue::{NEVER, NONE};
use crate::record::Transferred;
use crate::state::State;

impl State {
    pub(crate) fn transferred(
        &mut self,
        transferred: &Transferred,
        load: &mut dyn Load,
    ) -> Result<(), Unreadable> {
        let mut to = transferred.first;
        for seq in transferred.seqs.iter() {
            self.open(transferred.from, seq, load)?;
            self.open(transferred.to, to, load)?;
            let Some(content) = self.entry(transferred.from, seq).map(|entry| entry.content) else {
                continue;
            };
            let size = self.contents.size(content);
            let Some(from) = self.queue_mut(transferred.from) else { return Ok(()) };
            let new_page = if transferred.from == transferred.to {
                from.replace(seq, to, size, |_| {})
            } else {
                let Some(mut entry) = from.remove(seq, size) else { continue };
                entry.state = MessageState::Ready;
                entry.priority = 0;
                entry.durable = transferred.durable;
                entry.acquired = 0;
                entry.failed = 0;
                entry.key = NONE;
                entry.enqueued_at = transferred.at.0;
                entry.first_acquired_at = NEVER;
                entry.until = NEVER;
                entry.expires_at = entry.expires_at.min(transferred.expires_at.map_or(NEVER, |at| at.0));
                match self.queue_mut(transferred.to) {
                    Some(queue) => queue.insert(to, entry, size),
                    None => {
                        self.contents.release(content);
                        false
                    }
                }
            };
            if new_page {
                self.note_new_page(transferred.to, to);
            }
            to.0 += 1;
        }
        Ok(())
    }
}
