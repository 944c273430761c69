//! Bounds of this crate, each with its reason.

/// Largest compiled form of one permission pattern, in bytes. The configuration is trusted, but a pattern such as
/// `(a{1000}){1000}` is a mistake that must not eat the memory; it is refused when the configuration is read.
pub const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// Longest password looked at, in bytes. Argon2 takes more, but nobody types more, and hashing is work done for strangers.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Names that a connection remembers as allowed, for writing and for reading each. Producers and consumers use one or
/// two exchanges and queues; RabbitMQ remembers twelve.
pub const NAMES_REMEMBERED: usize = 4;

/// Shortest salt of a password hash, in bytes, as Argon2 (RFC 9106, 3.1) demands; 16 are recommended.
pub const SALT_BYTES_MIN: usize = 8;
