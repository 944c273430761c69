//! Partitions: requests go in, the core decides, records become durable, events leave.
//!
//! ```text
//!  ports ──Wake──▶ inbox ──▶ Partition::turn ── step … tick, dispatch ──▶ records into the batch being filled
//!    ▲                            │ effects                                     │ seal
//!    │                            ▼                                             ▼
//!    └── outbox ◀── lanes: now │ with the batch in flight │ with the batch being filled
//!                              └──▶ Flight ◀── land ── Writer: append, sync (own thread, or inline when idle)
//! ```
//!
//! - [`engine`] is the handle that the rest of the process holds, [`port`] all that a connection sees.
//! - [`partition`] is the synchronous heart; `run` and `writer` put threads around it, [`testing`] drives it without.
//! - `store` fills batches and reads contents back, `connections` keeps the order of events, `flight` releases them.
//! - `recovery`, `snapshot` and `keeper` bound the time of a restart and give back dead segments.
//!
//! No socket, no protocol and no async runtime is here; the concrete journal is chosen by the binary.

mod alarms;
pub mod clock;
mod connections;
pub mod engine;
mod error;
mod flight;
pub mod inbox;
mod keeper;
mod options;
pub mod partition;
pub mod port;
mod reads;
mod recovery;
mod refuse;
mod run;
mod segments;
mod snapshot;
mod stats;
mod store;
pub mod testing;
mod writer;

pub use alarms::Alarms;
pub use clock::{Clock, SystemClock, TestClock};
pub use engine::Engine;
pub use error::EngineError;
pub use keeper::{KeeperJob, Kept};
pub use options::{Options, Sync, SyncPolicy};
pub use port::{Port, Waker, delivery_bytes};
pub use stats::{APPEND_BUCKETS, Health, Stats};

/// What decides: the core, or in this crate's own tests a small stand-in that can be told to misbehave.
#[cfg(not(test))]
use baton_core::Machine;
#[cfg(test)]
use fake::Machine;

#[cfg(test)]
mod fake;
