//! AMQP 0-9-1 with RabbitMQ's extensions, without sockets, clock or threads.
//!
//! Here: the codec (frames, methods, tables, properties, contents), the same for server and client, zero-copy over
//! [`bytes`], and the server's session. Not here: sockets and time (the driver in `net`), queues (`core`). The codec is
//! called by the session and by tests, benches and fuzz targets that need an AMQP peer; the session by `net`.
//!
//! ```text
//!  bytes ── frame ──▶ Frame ── content::Assembler ──▶ Command (a method, with its content if it has one)
//!  bytes ◀── frame::write_method / content::write_content ── a method, raw properties, a body
//! ```

pub mod codes;
pub mod content;
pub mod error;
pub mod frame;
pub mod limits;
pub mod methods;
pub mod properties;
pub mod session;
pub mod short_str;
pub mod table;
mod wire;

pub use codes::{ReplyCode, Severity};
pub use content::{Assembler, Command, Content, ContentHeader};
pub use error::{EncodeError, WireError};
pub use frame::{Frame, FrameBatch, FrameDecoder, FrameType, Payload, ProtocolHeader};
pub use methods::Method;
pub use properties::{Properties, RawProperties};
pub use session::{AmqpSession, SessionOptions};
pub use short_str::{ShortRef, ShortStr};
pub use table::{FieldTable, FieldValue, Table, TableRef, ValueRef};
