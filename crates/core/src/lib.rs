//! The queue machine, the routing machine and the catalog: what a partition *is*, without anything it runs on.
//!
//! ```text
//!  (now, connection, Request) ──▶ Machine::step ──▶ Record ──▶ Machine::apply    (state)
//!                                      │              └──────▶ Store::append     (journal)
//!                                      └────────────▶ Effect                     (to connections, once durable)
//! ```
//!
//! [`record`] has the facts, [`codec`] their bytes, [`machine`] the entry point. There is no clock, no I/O, no thread,
//! no randomness and no protocol here; `engine` calls it, tests and the simulation call it the same way.

mod attempts;
mod clients;
pub mod codec;
mod contents;
pub mod context;
pub mod machine;
mod number;
mod paging;
mod queue;
pub mod record;
mod resting;
mod routing;
pub mod snapshot;
mod state;
mod transfer;

pub use context::{Appended, Context, Effect, Held, Load, Needs, STRETCH_BYTES, Store, Stored};
pub use machine::{Machine, Rewrite};
pub use paging::Unreadable;
pub use record::Record;
