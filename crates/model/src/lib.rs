//! The words that every part of Baton shares, and nothing that acts on them.
//!
//! - [`ids`]: time, and the names of things that are numbers.
//! - [`value`], [`envelope`], [`message`]: what a message is.
//! - [`policy`], [`route`]: how queues and routes behave.
//! - [`request`]: what a session may ask of the broker; [`event`]: what the broker tells a session.
//! - [`list`]: a queue used as a list: operations by position.
//! - [`glob`]: what a pattern matches.
//! - [`filter`]: conditions on messages.
//! - [`error`]: why something was refused.
//! - [`limits`]: every bound that more than one crate needs, with its reason.
//!
//! There is no queue logic, no protocol, no clock, no I/O and no journal record here.
//! Every other crate of the workspace may depend on this one; it depends on none of them.

pub mod envelope;
pub mod error;
pub mod event;
pub mod filter;
pub mod glob;
pub mod ids;
pub mod limits;
pub mod list;
pub mod message;
pub mod policy;
pub mod request;
pub mod route;
pub mod value;

pub use bytes::Bytes;
pub use compact_str::CompactString as Name;

pub use envelope::{Envelope, EnvelopeWriter, Field, Tag};
pub use error::{ErrorKind, Refusal, RefusalCode};
pub use event::{Delivery, Event, Overlay, PublishOutcome, Reply};
pub use ids::{ConnectionId, ConsumerId, DeliveryRef, Fence, LinkId, MessageId, QueueId, Seq, Time, Token};
pub use message::Message;
pub use policy::QueuePolicy;
pub use request::{Outcome, Publish, Request};
pub use value::{Map, Value, ValueRef};
