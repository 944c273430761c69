//! A whole broker in one thread, made of a seed: virtual time, a disk that loses power, a network that cuts connections,
//! clients that do everything clients do. The engine, the core, the journal and the sessions of the protocols are the real ones.
//!
//! ```text
//! scenario ── steps ──▶ world ──▶ actors ─ requests ─▶ network ─▶ Driver (engine) ─▶ journal ─▶ plants ─▶ SimDisk
//!                         │                                │ facts: everything that goes in or comes out
//!                         └─ faults (crashes, cuts …)      └──▶ checkers
//! ```
//!
//! - [`scenario`] makes the steps from the seed; every step carries its own random number, so that a step can be left out
//!   without changing the others ([`shrink`]).
//! - [`world`] does the steps; `faults` describes and injects what goes wrong, `network` carries, [`actors`] are the clients,
//!   `audit` looks at everything at times and takes it all out at the end.
//! - [`checkers`] see facts only and know nothing of how the broker works.
//! - [`plant`] breaks the broker on purpose from outside, to prove that the checkers bite.
//!
//! Nothing here is part of the product. Called by this package's `main.rs` and by its tests.

// A simulation is a test: it is meant to panic when its own assumptions are wrong.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "numbers are made here, and a panic is how a broken simulation reports"
)]

pub mod actors;
mod audit;
pub mod checkers;
mod dice;
pub mod fact;
mod faults;
mod network;
mod pages;
pub mod plant;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod topology;
pub mod world;

pub use dice::Dice;
