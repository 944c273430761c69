//! Bounds that more than one crate needs. Each has its reason; what happens when it is met stands with it.

/// Longest name of a queue, exchange, routing key or consumer tag, in bytes. AMQP 0-9-1 carries names as short strings
/// (255 bytes), the tightest of the protocols that allow free text. Longer names are refused as invalid.
pub const NAME_BYTES_MAX: usize = 255;

/// Largest message (envelope and body) unless configured otherwise, in bytes. RabbitMQ's default body limit is 16 MiB;
/// ActiveMQ and Service Bus premium allow about 100 MB. Larger messages are refused with the protocol's own error.
pub const MESSAGE_BYTES_MAX_DEFAULT: u64 = 128 * 1024 * 1024;

/// Deepest nesting of lists and maps in header values. Deeper ones are refused: no real client comes near, and decoding recurses.
pub const VALUE_DEPTH_MAX: usize = 32;

/// Highest message priority. RabbitMQ allows 255 per queue, JMS 9.
pub const PRIORITY_MAX: u8 = 255;

/// Most entries of dead-letter history kept on a message: one per queue and reason, newest first, so a cycle cannot make it grow for ever.
pub const HISTORY_ENTRIES_MAX: usize = 64;

/// Most messages one browse page carries, so that a page is answered within one step of the partition.
pub const BROWSE_PAGE_MAX: u32 = 1_000;

/// Most messages one fetch returns.
pub const FETCH_MAX: u32 = 10_000;

/// Most elements one range of a list returns. Redis has no limit; this one is about a hundred times what clients ask for at a time.
pub const LIST_RANGE_MAX: u64 = 1_000_000;

/// Most operations on lists behind one of the same connection that waits; more are refused. A client seldom sends anything
/// behind a command that waits; one that does sends as many as it wants elements.
pub const LIST_REQUESTS_BEHIND_MAX: usize = 1_024;

/// Most requests in one atomic group; larger transactions are refused before anything of them happens.
pub const GROUP_REQUESTS_MAX: usize = 100_000;

/// Names that rest at one time ([`crate::request::CatalogOp::Rest`]). Met: the one that has least time left is forgotten.
pub const NAMES_RESTING_MAX: usize = 10_000;

/// Ended transfers of one queue that are remembered. Met: the oldest is forgotten.
pub const TRANSFERS_REMEMBERED_MAX: usize = 10;

/// How long the name of a fetch attempt is remembered, milliseconds: SQS's window.
pub const ATTEMPT_WINDOW_MS: u64 = 300_000;

/// Attempts of all fetches that are remembered at one time. Met: the oldest is forgotten.
pub const ATTEMPTS_MAX: usize = 10_000;
