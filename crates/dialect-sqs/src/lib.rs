//! Amazon SQS: both protocols that its clients speak (AWS JSON 1.0 and the older Query protocol with XML answers), all
//! actions, and AWS Signature Version 4.
//!
//! ```text
//!  HTTP request ──▶ wire (which protocol, which action) ──▶ sigv4 (who) ──▶ session ──▶ neutral requests
//!  HTTP response ◀── wire::Writer (JSON or XML) ◀────────────────────────── session ◀── events
//! ```
//!
//! - [`wire`] reads parameters and writes answers in either protocol, [`input`] has the shapes of the requests.
//! - [`sigv4`] checks signatures; [`error`] is the one table of what a refusal looks like.
//! - `session` has the actions; `attributes` turns queue attributes into policies and back, `message` message attributes
//!   into headers and back; `receipt` and `names` are receipt handles, URLs and ARNs.
//! - [`limits`] has every bound, with AWS's page as its reason.
//!
//! No socket, no clock and no queue rules are here. `net` gives it whole requests, `baton` configures it.

mod attributes;
pub mod error;
pub mod input;
pub mod limits;
mod message;
mod names;
mod options;
mod receipt;
pub mod session;
pub mod sigv4;
pub mod wire;

pub use options::{AccessKey, SqsOptions};
pub use session::{SqsDialect, SqsSession};
