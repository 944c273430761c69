//! Every bound of this crate. Where it is AWS's own the reason is its page of quotas
//! (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-quotas.html>) or the action's reference.

/// Largest message, body and attributes together, bytes: AWS's quota.
pub const MESSAGE_BYTES_MAX: u64 = 1_048_576;
/// Smallest value of the attribute `MaximumMessageSize`, bytes.
pub const MESSAGE_BYTES_MIN: u64 = 1_024;
/// Entries of a batch.
pub const BATCH_ENTRIES_MAX: usize = 10;
/// Characters of a batch entry's id.
pub const BATCH_ID_MAX: usize = 80;
/// Message attributes of one message.
pub const ATTRIBUTES_MAX: usize = 10;
/// Characters of a message attribute's name, and of its type.
pub const ATTRIBUTE_NAME_MAX: usize = 256;
/// Characters of a queue's name, `.fifo` included.
pub const QUEUE_NAME_MAX: usize = 80;
/// Characters of a message group id, a deduplication id and a receive request attempt id.
pub const ID_MAX: usize = 128;
/// Messages of one receive.
pub const RECEIVE_MAX: i64 = 10;
/// Longest wait of a receive, seconds.
pub const WAIT_S_MAX: i64 = 20;
/// Longest visibility timeout, seconds: 12 hours.
pub const VISIBILITY_S_MAX: i64 = 43_200;
/// Visibility timeout of a queue whose maker did not say, seconds.
pub const VISIBILITY_S_DEFAULT: u64 = 30;
/// Longest delay, seconds: 15 minutes.
pub const DELAY_S_MAX: i64 = 900;
/// Shortest retention, seconds.
pub const RETENTION_S_MIN: u64 = 60;
/// Longest retention, seconds: 14 days.
pub const RETENTION_S_MAX: u64 = 1_209_600;
/// Retention of a queue whose maker did not say, seconds: 4 days.
pub const RETENTION_S_DEFAULT: u64 = 345_600;
/// Highest `maxReceiveCount` of a redrive policy.
pub const RECEIVE_COUNT_MAX: u64 = 1_000;
/// Source queues that a redrive-allow policy names.
pub const SOURCE_QUEUES_MAX: usize = 10;
/// How long a deduplication id counts, milliseconds: 5 minutes.
pub const DEDUP_WINDOW_MS: u64 = 300_000;
/// Messages of a queue that may be in flight.
pub const IN_FLIGHT_MAX: u64 = 120_000;
/// Queues of one page of a list.
pub const PAGE_MAX: i64 = 1_000;
/// Tags of a queue.
pub const TAGS_MAX: usize = 50;
/// Characters of a tag's key.
pub const TAG_KEY_MAX: usize = 128;
/// Characters of a tag's value.
pub const TAG_VALUE_MAX: usize = 256;
/// How long after a purge the next one is refused, milliseconds.
pub const PURGE_PAUSE_MS: u64 = 60_000;
/// How long after its deletion a queue's name may not be used again, milliseconds.
pub const NAME_PAUSE_MS: u64 = 60_000;
/// Statements of a queue's permissions.
pub const PERMISSIONS_MAX: usize = 7;
/// Messages that a move task moves per second at most, when it is told a rate.
pub const MOVE_RATE_MAX: i64 = 500;
/// Move tasks of a queue that are listed.
pub const TASKS_LISTED_MAX: i64 = 10;
/// How far a signature's time may be from the broker's, milliseconds: AWS allows 5 minutes, and botocore's retry after a
/// skewed clock counts on the error.
pub const CLOCK_SKEW_MS_MAX: u64 = 300_000;
/// Longest life of a presigned request, seconds: 7 days.
pub const PRESIGNED_S_MAX: u64 = 604_800;

/// Largest body of a request, bytes: the largest batch with every character escaped as Query parameters need it, and room for names.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Parameters of a Query request: ten entries with ten attributes have about 500. Met: the request is refused as malformed.
pub const PARAMETERS_MAX: usize = 4_000;
/// Parts of a parameter's name between its dots: `SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.StringValue` has 6.
pub const PARAMETER_DEPTH_MAX: usize = 8;
/// Queues that a session remembers the attributes of. Met: all are forgotten, and asked for again when needed.
pub const FACTS_MAX: usize = 64;
/// Times that one request may have to ask what a queue is like before it is given up as a defect.
pub const LOOKUPS_MAX: u32 = 8;
