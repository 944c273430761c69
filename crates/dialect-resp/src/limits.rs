//! The session's bounds, with their reasons and what happens when they are met.

/// Most arguments of one command, as in Redis. More is a protocol error, which closes the connection.
pub const ARGUMENTS_MAX: usize = 1024 * 1024;

/// Longest inline command and longest header line, bytes, as in Redis. More is a protocol error.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// What all of a command may have in bytes beyond the largest bulk string: its name, keys and lengths. More is a protocol error. Several large
/// elements are for several commands. Stays below what the driver lets a session leave unread.
pub const COMMAND_BYTES_SPARE: usize = 512 * 1024;

/// Bytes of commands kept while a connection waits for elements or a login. More closes the connection: a client that waits
/// seldom sends, and its next commands are few.
pub const HELD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most commands that are not answered yet while another is put behind one that waits for elements; later ones are held. As many as a partition
/// keeps for one connection.
pub const BEHIND_MAX: usize = baton_model::limits::LIST_REQUESTS_BEHIND_MAX;

/// Longest command that is put behind one that waits, bytes; longer ones are held. What `BEHIND_MAX` of them hold is a few MiB: what is
/// kept for a connection that waits, as `HELD_BYTES_MAX` is.
pub const BEHIND_BYTES_MAX: usize = 8 * 1024;

/// Most commands of one MULTI, the limit of an atomic group. More are refused, and EXEC with them.
pub const QUEUED_MAX: usize = baton_model::limits::GROUP_REQUESTS_MAX;

/// Longest wait, seconds: about 31 years; a longer one is refused as out of range.
pub const TIMEOUT_SECONDS_MAX: f64 = 1e9;
