//! STOMP 1.0, 1.1 and 1.2 with the extensions of RabbitMQ's plugin and of ActiveMQ, without sockets, clock or threads.
//!
//! Here: the codec (frames, headers, escaping), which borrows from the bytes it reads, and the server's session. Not here:
//! sockets, WebSocket and time (the driver in `net`), queues (`core`). Called by `net`, by tests and by fuzz targets.
//!
//! ```text
//!  bytes ── frame::FrameDecoder ──▶ Frame (command, headers, body, borrowed) ──▶ session ──▶ requests
//!  bytes ◀──────────── write::FrameWriter ◀──────────────────────────────────── session ◀── events
//! ```

pub mod error;
pub mod escape;
pub mod frame;
pub mod limits;
pub mod session;
pub mod version;
pub mod write;

pub use error::WireError;
pub use frame::{Command, Decoded, Frame, FrameDecoder, Headers};
pub use session::{SessionOptions, StompSession};
pub use version::Version;
pub use write::FrameWriter;
