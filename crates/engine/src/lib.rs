//! Partitions: requests go in, the core decides, records become durable, events leave.
//!
//! [`port`] is all that connections see of it. No socket, no protocol and no async runtime is here.

pub mod clock;
pub mod inbox;
pub mod port;

pub use clock::{Clock, SystemClock, TestClock};
pub use port::{Port, Waker};
