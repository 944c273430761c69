//! Bounds of the codec, each with its reason and what happens when it is met. The session's are in
//! [`crate::session::limits`]. All are answered with an ERROR frame that names the limit, and the connection closes.

/// Command and headers of one frame, bytes. Generous: a header is a line of text, and brokers allow 10 KiB a line.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Headers of one frame. RabbitMQ and ActiveMQ allow 1,000 and 100; what applications send stays below thirty.
pub const HEADERS_MAX: usize = 1_000;

/// Longest command looked for, bytes: longer ones are none, and need not be waited for.
pub const COMMAND_BYTES_MAX: usize = 32;
