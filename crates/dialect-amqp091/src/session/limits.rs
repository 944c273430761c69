//! Bounds of the session and its times, each with its reason and what happens when it is met. The codec's bounds are in
//! [`crate::limits`].

/// Smallest frame-max accepted in `tune-ok`, bytes: the specification's. RabbitMQ 4.1 asks for 8192, which shuts out
/// older clients (amqplib before 0.10.7 says 4096) for no gain of ours. Less closes with 530.
pub const TUNED_FRAME_BYTES_MIN: u32 = 4096;

/// Channels proposed, as RabbitMQ. Opening more closes with 530.
pub const CHANNEL_MAX_DEFAULT: u16 = 2047;

/// Heartbeat interval proposed, seconds, as RabbitMQ.
pub const HEARTBEAT_S_DEFAULT: u16 = 60;

/// Time from the first byte to `connection.open`, milliseconds, as RabbitMQ: strangers do not hold sockets. Then it hangs up.
pub const HANDSHAKE_MS_MAX: u64 = 10_000;

/// Bytes taken from a client that does not wait for the answers of the handshake. More close with 506: an honest client
/// sends the rest of its handshake so, and a few commands.
pub const HANDSHAKE_BYTES_MAX: usize = 64 * 1024;

/// How long a `close` waits for its `close-ok`, milliseconds, before the socket is closed without it.
pub const CLOSE_MS_MAX: u64 = 5_000;

/// Heartbeat intervals without a byte after which the peer counts as gone, from the specification.
pub const HEARTBEATS_MISSED_MAX: u64 = 2;

/// Commands of one channel that may wait for the engine. A client that pipelines more closes with 506: nobody does, and
/// each of them takes memory.
pub const STEPS_MAX: usize = 10_000;

/// Consumers of one connection. More close with 506.
pub const CONSUMERS_MAX: usize = 65_536;

/// Deliveries that a `no-ack` consumer gets ahead of what was written to its peer.
pub const NO_ACK_CREDIT: u32 = 2_000;

/// Bodies half received on all channels of a connection, beyond one message of the largest size, bytes. More close with
/// 506: a client sends one message after the other, only an attacker begins many.
pub const ASSEMBLY_BYTES_SPARE: u64 = 16 * 1024 * 1024;

/// Commands in a transaction. More close its channel with 406. The engine has the same limit.
pub const TX_COMMANDS_MAX: usize = baton_model::limits::GROUP_REQUESTS_MAX;

/// Messages' bytes in a transaction. More close its channel with 406.
pub const TX_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Queues whose type is remembered, to know whether their deliveries show counters. Beyond it all are forgotten and asked anew.
pub const KNOWN_QUEUES_MAX: usize = 1_024;

/// Characters of the client's product kept for people.
pub const PRODUCT_CHARS_MAX: usize = 64;
