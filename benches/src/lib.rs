//! The load generator, the comparison with peers and the crash test of Baton, as a library for its two programs.
//! Nothing of the broker is linked in: every server under test is a process of its own, spoken to over AMQP 0-9-1
//! through the lean client in [`wire`] and [`conn`]. Called by `src/main.rs` and `src/bin/crash.rs` only.

#![allow(clippy::disallowed_methods, reason = "measuring real time is what this crate is for")]

pub mod compare;
pub mod conn;
pub mod consumer;
pub mod crash;
pub mod error;
pub mod layout;
pub mod machine;
pub mod measure;
pub mod payload;
pub mod producer;
pub mod redis;
pub mod report;
pub mod running;
pub mod scenarios;
pub mod server;
pub mod sqs;
pub mod stomp;
pub mod tally;
pub mod wire;
