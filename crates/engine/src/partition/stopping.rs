//! When a partition cannot go on: a failed disk, a broken invariant. It stays there and says so to everybody; what was
//! parked never leaves. And the orderly end.

use std::any::Any;

use baton_model::{Event, Name};

use super::Partition;
use crate::inbox::Wake;
use crate::refuse;
use crate::stats::Health;

impl Partition {
    /// Why it stopped, if it did.
    #[must_use]
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// Whether it was told to shut down.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether nothing is left to do before the end of an orderly shutdown but the last batch.
    pub(crate) fn is_drained(&self) -> bool {
        self.stopped.is_some()
            || (self.waiting.is_empty()
                && self.held.is_empty()
                && self.aloft.is_none()
                && self.store.builder.is_empty())
    }

    /// Tells all connections that this is the end.
    pub(crate) fn say_goodbye(&mut self) {
        if self.stopped.is_none() {
            self.close_all("the broker is shutting down");
            self.counters.set_health(Health::ShutDown);
        }
        self.end_turn();
    }

    /// Stops for good. `flight_failed`: what was parked with the flight is lost too.
    pub(super) fn stop(&mut self, why: &str, flight_failed: bool) {
        tracing::error!(why, "this partition has stopped; nothing it confirmed is lost");
        self.stopped = Some(why.to_owned());
        self.counters.set_health(Health::Stopped(why.to_owned()));
        self.effects.clear();
        self.linger_until = None;
        self.snapshot_ready = None;
        self.connections.drop_parked(flight_failed);
        self.close_all("the broker has stopped working");
    }

    fn close_all(&mut self, reason: &'static str) {
        for id in self.connections.ids() {
            self.tell(id, Event::Closing { reason: Name::const_new(reason) });
        }
    }

    /// Answers everything that waits with the reason of the stop.
    pub(super) fn refuse_waiting(&mut self) {
        let why = self.stopped.clone().unwrap_or_default();
        while let Some(wake) = self.waiting.pop_front() {
            match wake {
                Wake::Connect(id, outbox) => {
                    self.connections.add(id, outbox);
                    let reason = Name::const_new("the broker has stopped working");
                    self.tell(id, Event::Closing { reason });
                }
                Wake::Requests(id, requests, _) => {
                    for request in requests {
                        self.refused += 1;
                        if let Some(answer) = refuse::answer(request, &|| refuse::unavailable(&why)) {
                            self.tell(id, answer);
                        }
                    }
                }
                Wake::Disconnect(id) => {
                    self.connections.remove(id);
                }
                Wake::Shutdown => self.stopping = true,
                Wake::Kept(kept) => self.heed_kept(kept),
                Wake::Resume(_)
                | Wake::WaitOutAlarms(_)
                | Wake::Alarms(_)
                | Wake::Journal
                | Wake::ClockMoved => {}
            }
        }
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a text").to_owned()
}
