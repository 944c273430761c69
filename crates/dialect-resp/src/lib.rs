//! The Redis protocol, RESP2 and RESP3, as a queue server: lists, keys, pub/sub and transactions, without sockets or clock.
//!
//! Here: the codec ([`frame`] reads commands without copying, [`reply`] writes answers), the [`table`] of commands, and the
//! session. Not here: sockets and time (the driver in `net`), what lists do (`core`). Called by `net`, tests and fuzz targets.
//!
//! ```text
//!  bytes ── frame ──▶ arguments ── commands ──▶ ListOp + Shape ── session ──▶ Request
//!  bytes ◀── reply ──────────────────────────── Shape ◀────────── session ◀── Event
//! ```

pub mod commands;
pub mod frame;
pub mod limits;
pub mod reply;
pub mod session;
pub mod table;

pub use session::{RespSession, SessionOptions};
