//! What the crash test knows of every message, over all lives of the broker, and the rules that it judges by. Pure
//! data; the workers in `load` report what they saw, in the order in which they saw it.
//!
//! ```text
//! published ──confirm──▶ confirmed        a promise: must be acknowledged by somebody in the end
//!     └──deliver──▶ delivered ──ack written──▶ acked ──later confirmed publish on that channel──▶ completed
//!                                                                                                  │
//!                                          a delivery from here on breaks the promise  ◀───────────┘
//! ```

/// How many broken promises are kept in words; all are counted.
const VIOLATIONS_KEPT: usize = 20;

/// A message by its producer and that producer's count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId {
    /// Index of the producer.
    pub producer: u32,
    /// From 0 without gaps.
    pub sequence: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Message {
    confirmed: bool,
    acked: bool,
    completed: bool,
    /// The queue it was sent to.
    queue: u16,
    /// The life of the broker in which it was delivered last; 0 when never.
    delivered_life: u16,
}

/// Totals, for the line that each round prints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages sent.
    pub published: u64,
    /// Messages that the broker took responsibility for.
    pub confirmed: u64,
    /// Deliveries, repeated ones included.
    pub deliveries: u64,
    /// Messages whose acknowledgement is known to be durable.
    pub completed: u64,
    /// Deliveries after an earlier delivery in the same life.
    pub repeats_within_life: u64,
    /// Deliveries after an earlier delivery in an earlier life ...
    pub repeats_across_lives: u64,
    /// ... of which so many carried the redelivered flag.
    pub flagged_across_lives: u64,
}

/// The ways in which a broker can break its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// A confirmed message never came, or came and never came back after its consumer died.
    Lost,
    /// A completed message was delivered again.
    Returned,
    /// A message came out of a queue that it was not sent to.
    Misplaced,
    /// A message that nobody sent.
    Unknown,
    /// A second delivery in the same life of the broker without the redelivered flag.
    Unflagged,
    /// A durable queue, exchange or binding is gone.
    Topology,
}

impl Violation {
    /// All of them, in the order in which the final report lists them.
    pub const ALL: [Violation; 6] = [
        Violation::Lost,
        Violation::Returned,
        Violation::Misplaced,
        Violation::Unknown,
        Violation::Unflagged,
        Violation::Topology,
    ];

    /// The promise, in words.
    pub fn promise(self) -> &'static str {
        match self {
            Violation::Lost => "every confirmed message was delivered and could be acknowledged",
            Violation::Returned => "nothing whose acknowledgement was durable came back",
            Violation::Misplaced => "every message came out of the queue it was sent to",
            Violation::Unknown => "every delivered message is one that was sent, byte for byte",
            Violation::Unflagged => "a redelivery within one life of the broker carries the redelivered flag",
            Violation::Topology => "every declared durable queue, exchange and binding is there",
        }
    }
}

/// Everything known so far.
#[derive(Debug, Default)]
pub struct Ledger {
    producers: Vec<Vec<Message>>,
    totals: Totals,
    confirmed_unacked: u64,
    counts: [u64; Violation::ALL.len()],
    kept: Vec<String>,
}

impl Ledger {
    /// A ledger for so many producers.
    pub fn new(producers: usize) -> Ledger {
        Ledger { producers: vec![Vec::new(); producers], ..Ledger::default() }
    }

    /// The sequence of a producer's next message.
    pub fn next_sequence(&self, producer: u32) -> u64 {
        self.producers.get(producer as usize).map_or(0, |messages| messages.len() as u64)
    }

    /// Notes a message that is about to be sent; returns its sequence.
    pub fn publish(&mut self, producer: u32, queue: u16) -> u64 {
        let Some(messages) = self.producers.get_mut(producer as usize) else { return 0 };
        messages.push(Message { queue, ..Message::default() });
        self.totals.published += 1;
        messages.len() as u64 - 1
    }

    fn message(&mut self, id: MessageId) -> Option<&mut Message> {
        let index = usize::try_from(id.sequence).ok()?;
        self.producers.get_mut(id.producer as usize)?.get_mut(index)
    }

    /// Notes a positive confirm.
    pub fn confirm(&mut self, id: MessageId) {
        if let Some(message) = self.message(id)
            && !message.confirmed
        {
            message.confirmed = true;
            let waits = !message.acked;
            self.confirmed_unacked += u64::from(waits);
            self.totals.confirmed += 1;
        }
    }

    /// Notes and judges a delivery out of `queue` in the broker's `life` (from 1).
    pub fn deliver(&mut self, id: MessageId, queue: u16, redelivered: bool, life: u16) {
        self.totals.deliveries += 1;
        let Some(message) = self.message(id) else {
            return self.violation(Violation::Unknown, &format!("{id:?} was never sent"));
        };
        let before = *message;
        message.delivered_life = life;
        if before.completed {
            self.violation(
                Violation::Returned,
                &format!("{id:?} came back in life {life} after it was completed"),
            );
        }
        if before.queue != queue {
            let text = format!("{id:?} was sent to queue {} and came out of {queue}", before.queue);
            self.violation(Violation::Misplaced, &text);
        }
        if before.delivered_life == life {
            self.totals.repeats_within_life += 1;
            if !redelivered {
                self.violation(
                    Violation::Unflagged,
                    &format!("{id:?} twice in life {life}, second without flag"),
                );
            }
        } else if before.delivered_life != 0 {
            self.totals.repeats_across_lives += 1;
            self.totals.flagged_across_lives += u64::from(redelivered);
        }
    }

    /// Notes that an ack was handed to the socket: the broker may have processed it or not.
    pub fn ack(&mut self, id: MessageId) {
        if let Some(message) = self.message(id)
            && !message.acked
        {
            message.acked = true;
            let waited = message.confirmed;
            self.confirmed_unacked -= u64::from(waited);
        }
    }

    /// Notes that the ack is certainly durable: a publish later on that channel was confirmed.
    pub fn complete(&mut self, id: MessageId) {
        if let Some(message) = self.message(id)
            && !message.completed
        {
            message.completed = true;
            self.totals.completed += 1;
        }
    }

    /// Notes a broken promise.
    pub fn violation(&mut self, kind: Violation, text: &str) {
        if let Some(count) =
            Violation::ALL.iter().position(|one| *one == kind).and_then(|at| self.counts.get_mut(at))
        {
            *count += 1;
        }
        if self.kept.len() < VIOLATIONS_KEPT {
            self.kept.push(format!("{kind:?}: {text}"));
        }
    }

    /// After the final drain: whatever was confirmed and that nobody could acknowledge is lost.
    pub fn find_lost(&mut self) {
        let mut lost = Vec::new();
        for (producer, messages) in (0u32..).zip(&self.producers) {
            for (sequence, message) in (0u64..).zip(messages) {
                if message.confirmed && !message.acked {
                    lost.push((MessageId { producer, sequence }, *message));
                }
            }
        }
        for (id, message) in lost {
            let last = match message.delivered_life {
                0 => "never delivered".to_owned(),
                life => format!("last delivered in life {life}"),
            };
            self.violation(Violation::Lost, &format!("{id:?} of queue {}, {last}", message.queue));
        }
    }

    /// How many confirmed messages nobody has acknowledged yet: the backlog.
    pub fn backlog(&self) -> u64 {
        self.confirmed_unacked
    }

    /// The totals so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// How often a promise was broken.
    pub fn count(&self, kind: Violation) -> u64 {
        Violation::ALL
            .iter()
            .position(|one| *one == kind)
            .and_then(|at| self.counts.get(at))
            .copied()
            .unwrap_or(0)
    }

    /// How often any promise was broken.
    pub fn violations(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The first broken promises in words.
    pub fn kept(&self) -> &[String] {
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(sequence: u64) -> MessageId {
        MessageId { producer: 0, sequence }
    }

    fn ledger(messages: u64) -> Ledger {
        let mut ledger = Ledger::new(1);
        for sequence in 0..messages {
            assert_eq!(ledger.publish(0, 3), sequence);
        }
        ledger
    }

    #[test]
    fn a_message_that_is_confirmed_must_be_acknowledged() {
        let mut ledger = ledger(4);
        ledger.confirm(id(0));
        ledger.confirm(id(1));
        ledger.confirm(id(2));
        ledger.deliver(id(0), 3, false, 1);
        ledger.ack(id(0));
        ledger.deliver(id(1), 3, false, 1);
        ledger.deliver(id(3), 3, false, 1);
        assert_eq!(ledger.backlog(), 2);
        ledger.find_lost();
        assert_eq!(ledger.count(Violation::Lost), 2, "1 was delivered but never acknowledged, 2 never came");
        assert_eq!(ledger.violations(), 2);
        assert!(ledger.kept()[0].contains("last delivered in life 1"));
        assert!(ledger.kept()[1].contains("never delivered"));
    }

    #[test]
    fn an_ack_before_the_confirm_leaves_no_backlog() {
        let mut ledger = ledger(1);
        ledger.deliver(id(0), 3, false, 1);
        ledger.ack(id(0));
        ledger.confirm(id(0));
        assert_eq!(ledger.backlog(), 0);
        ledger.find_lost();
        assert_eq!(ledger.violations(), 0);
    }

    #[test]
    fn only_a_completed_message_must_not_return() {
        let mut ledger = ledger(2);
        for message in [id(0), id(1)] {
            ledger.confirm(message);
            ledger.deliver(message, 3, false, 1);
            ledger.ack(message);
        }
        ledger.complete(id(1));
        ledger.deliver(id(0), 3, true, 2);
        assert_eq!(ledger.violations(), 0, "acked but not certainly: may return");
        ledger.deliver(id(1), 3, true, 2);
        assert_eq!(ledger.count(Violation::Returned), 1);
    }

    #[test]
    fn the_redelivered_flag_is_owed_within_a_life() {
        let mut ledger = ledger(1);
        ledger.deliver(id(0), 3, false, 1);
        ledger.deliver(id(0), 3, true, 1);
        ledger.deliver(id(0), 3, false, 2);
        ledger.deliver(id(0), 3, true, 3);
        assert_eq!(ledger.violations(), 0);
        let totals = ledger.totals();
        assert_eq!(
            (totals.repeats_within_life, totals.repeats_across_lives, totals.flagged_across_lives),
            (1, 2, 1)
        );
        ledger.deliver(id(0), 3, false, 3);
        assert_eq!(ledger.count(Violation::Unflagged), 1);
    }

    #[test]
    fn strangers_and_strays_are_found() {
        let mut ledger = ledger(1);
        ledger.deliver(id(1), 3, false, 1);
        ledger.deliver(MessageId { producer: 9, sequence: 0 }, 3, false, 1);
        ledger.deliver(id(0), 4, false, 1);
        assert_eq!((ledger.count(Violation::Unknown), ledger.count(Violation::Misplaced)), (2, 1));
    }
}
