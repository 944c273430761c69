//! Why is this not delivered? Every gate that dispatch knows, told in sentences. Kept beside the gates: whoever adds one
//! in `dispatch` adds its sentence here.

use baton_model::request::MessageState;
use baton_model::{QueueId, Seq, Time};

use super::Machine;
use crate::queue::Queue;
use crate::queue::entries::{Entry, NEVER, NONE};

/// Most characters of a selector that a sentence repeats: longer ones are whole in the client's program.
const SELECTOR_CHARS_MAX: usize = 500;

impl Machine {
    /// Sentences, most important first: about the message if one is asked for, then about the queue.
    pub(super) fn explain(&self, now: Time, id: QueueId, seq: Option<Seq>) -> Vec<String> {
        let Some(queue) = self.state.queue(id) else { return vec!["The queue is gone.".to_owned()] };
        let mut sentences = Vec::new();
        if let Some(seq) = seq {
            match queue.entries.get(seq) {
                Some(entry) => self.explain_message(now, queue, entry, &mut sentences),
                None => sentences.push(format!(
                    "Message {seq} is not in the queue: it was completed, expired, moved or deleted, or never came (the next one will be {}).",
                    queue.next_seq
                )),
            }
        }
        self.explain_queue(now, queue, &mut sentences);
        sentences
    }

    fn explain_message(&self, now: Time, queue: &Queue, entry: &Entry, sentences: &mut Vec<String>) {
        let until = |at: u64| format!("{} ms from now", Time(at).since_ms(now));
        match entry.state {
            MessageState::InFlight => {
                let holder = self.holder_name(entry);
                let end = if entry.until == NEVER {
                    "as long as that connection lives".to_owned()
                } else {
                    format!("until {}", until(entry.until))
                };
                sentences.push(format!(
                    "The message is leased by {holder} {end} (attempt {}, fencing number {}).",
                    entry.acquired, entry.fence
                ));
            }
            MessageState::Scheduled => sentences.push(format!(
                "The message is scheduled: it becomes deliverable {}{}.",
                until(entry.until),
                if entry.acquired > 0 { ", the wait after a failed attempt" } else { "" }
            )),
            MessageState::Deferred => sentences.push(
                "The message is deferred: it is only delivered to who fetches it by its sequence number."
                    .to_owned(),
            ),
            MessageState::Ready => sentences.push("The message is ready.".to_owned()),
        }
        if entry.expires_at != NEVER {
            sentences.push(format!("It expires {}.", until(entry.expires_at)));
        }
        if entry.key != NONE && entry.state != MessageState::InFlight {
            self.explain_key(queue, entry.key, sentences);
        }
    }

    fn explain_key(&self, queue: &Queue, key: u32, sentences: &mut Vec<String>) {
        let Some((in_flight, held, owner)) = queue.index.keys.status(key) else { return };
        let name = queue.index.keys.name(key).map_or("", |name| name.as_str());
        if held {
            sentences.push(format!(
                "Its key '{name}' waits for an operator after a poison message; `unpark` lets it go on."
            ));
        }
        if in_flight > 0 {
            sentences.push(format!("Its key '{name}' has {in_flight} earlier message(s) in flight."));
        }
        if let Some(owner) = self.clients.consumer(owner) {
            sentences.push(format!("Its key '{name}' belongs to consumer '{}'.", owner.label));
        }
    }

    fn holder_name(&self, entry: &Entry) -> String {
        let Some(consumer) = self.clients.consumer(entry.holder).filter(|_| entry.holder != NONE) else {
            return "whoever has its receipt".to_owned();
        };
        let connection = self.clients.connection(consumer.connection).map_or("", |c| c.label.as_str());
        format!("consumer '{}' of connection {} ({connection})", consumer.label, consumer.connection)
    }

    fn explain_queue(&self, now: Time, queue: &Queue, sentences: &mut Vec<String>) {
        let counts = queue.index.counts;
        sentences.push(format!(
            "The queue has {} ready, {} scheduled, {} in flight, {} deferred messages and {} consumer(s).",
            counts.ready,
            counts.scheduled,
            counts.in_flight,
            counts.deferred,
            queue.serve.consumers.len()
        ));
        let limits = queue.policy.dispatch;
        if limits.paused {
            sentences.push("The queue is paused: nothing leaves until it is resumed.".to_owned());
        }
        if limits.in_flight_max.is_some_and(|max| counts.in_flight >= max) {
            sentences.push(format!("The queue's limit of {} messages in flight is met.", counts.in_flight));
        }
        if let Some(rate) = limits.rate {
            sentences.push(format!("The queue hands out at most {} messages per second.", rate.per_second));
        }
        if queue.serve.consumers.is_empty() && queue.serve.nobody_waits() {
            sentences.push("Nobody consumes from the queue.".to_owned());
        }
        for consumer in queue.serve.consumers.values() {
            self.explain_consumer(*consumer, sentences);
        }
        let due = queue.next_timer().map(|at| Time(at).since_ms(now));
        if let Some(ms) = due {
            sentences.push(format!("The queue's next timer is due in {ms} ms."));
        }
    }

    fn explain_consumer(&self, index: u32, sentences: &mut Vec<String>) {
        let Some(consumer) = self.clients.consumer(index) else { return };
        let Some(link) = self.clients.links.get(consumer.link as usize) else { return };
        let why = if link.paused {
            "its connection reads too slowly".to_owned()
        } else if !link.active {
            "its client has stopped the flow".to_owned()
        } else if consumer.credit == Some(0) {
            "it has no credit".to_owned()
        } else if let Some(window) = consumer.window.filter(|window| consumer.unsettled >= *window) {
            format!("it holds {} unsettled messages, its limit of {window}", consumer.unsettled)
        } else if let Some(window) = link.window.filter(|window| link.unsettled >= *window) {
            format!("its channel holds {} unsettled messages, its limit of {window}", link.unsettled)
        } else if !self.allowed(consumer.queue, index) {
            "another one is the single active consumer".to_owned()
        } else if let Some(filtering) = &consumer.filtering {
            // Not a gate of the queue's: what waits beside it does not meet the condition, or is looked at next.
            sentences.push(format!(
                "Consumer '{}' takes only messages that meet its selector: {}.",
                consumer.label,
                shortened(&filtering.filter.text)
            ));
            return;
        } else {
            sentences.push(format!("Consumer '{}' can take messages.", consumer.label));
            return;
        };
        sentences.push(format!("Consumer '{}' takes nothing now: {why}.", consumer.label));
    }
}

/// A client's text, cut where it is too long for a sentence.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(SELECTOR_CHARS_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}
