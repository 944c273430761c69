//! Fuzz targets: one function per decoder that takes any bytes and panics only if the decoder breaks a promise
//! (never panics, never disagrees with itself, what it writes it can read). Listed in [`targets`]; run on stable by this
//! package's `main.rs`, on nightly by `cargo-fuzz/`. No product code depends on this package.

// A target is a test: it is meant to panic when a promise is broken.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a target reports")]

pub mod amqp;
pub mod amqp_session;
pub mod core_operations;
pub mod journal;
pub mod mutate;
pub mod records;
pub mod resp;
pub mod sqs;
pub mod stomp;
pub mod targets;
