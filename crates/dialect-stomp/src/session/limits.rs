//! Bounds of the session and its times, each with its reason and what happens when it is met. The codec's bounds are in
//! [`crate::limits`]. Those that a client can meet are answered with an ERROR frame that names them.

/// Time from the connection to the CONNECTED frame, milliseconds, as RabbitMQ: strangers do not hold sockets. Then it hangs up.
pub const HANDSHAKE_MS_MAX: u64 = 10_000;

/// Bytes taken from a client that does not wait for CONNECTED. More are an error: an honest client sends a few frames.
pub const HANDSHAKE_BYTES_MAX: usize = 64 * 1024;

/// How long a goodbye (DISCONNECT with a receipt, or an error behind receipts that are due) waits for the engine,
/// milliseconds, before the socket is closed without it.
pub const CLOSE_MS_MAX: u64 = 5_000;

/// Shortest heart-beat interval agreed to, milliseconds: shorter ones cost more than the messages they watch over.
pub const HEARTBEAT_MS_MIN: u64 = 100;

/// Heart-beat intervals without a byte after which the peer counts as gone; the specification asks for a margin of error.
pub const HEARTBEATS_MISSED_MAX: u64 = 2;

/// Added to that, milliseconds: a peer's pause for garbage collection is no death.
pub const HEARTBEAT_MARGIN_MS: u64 = 1_000;

/// Frames whose receipts or answers may be outstanding. More are an error: each takes memory, and a client that pipelines
/// this many has stopped reading.
pub const STEPS_MAX: usize = 250_000;

/// Subscriptions of one connection. More are an error.
pub const SUBSCRIPTIONS_MAX: usize = 65_536;

/// Unsettled messages of a subscription that does not say `prefetch-count` or `activemq.prefetchSize`, as ActiveMQ: without
/// a limit the first consumer would get the whole queue.
pub const PREFETCH_DEFAULT: u32 = 1_000;

/// Deliveries that an `ack:auto` subscription gets ahead of what was written to its peer.
pub const AUTO_CREDIT: u32 = 2_000;

/// Transactions open at one time. More are an error: a client has one or two.
pub const TRANSACTIONS_MAX: usize = 100;

/// Frames in a transaction. More are an error. The engine has the same limit.
pub const TX_FRAMES_MAX: usize = baton_model::limits::GROUP_REQUESTS_MAX;

/// Bytes of messages in the transactions of a connection. More are an error.
pub const TX_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Destinations whose meaning is remembered. Beyond it all are forgotten; the queues are then declared anew, which changes nothing.
pub const ROUTES_MAX: usize = 1_024;

/// Temporary queues of one connection. More are an error.
pub const TEMP_QUEUES_MAX: usize = 1_024;

/// Messages asked for at once by a browser.
pub const BROWSE_PAGE: u32 = 100;

/// How often a message that found its queue deleted makes it anew, in one connection, before that is an error: whoever
/// deletes the queue all the time does not want it.
pub const RESENDS_MAX: u64 = 10_000;
