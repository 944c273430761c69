//! Who may do what: users with their password hashes, tags and permissions, and the check of every request.
//!
//! - [`Directory`]: all users and namespaces, built once from the configuration, never changed.
//! - [`Gate`]: one connection's permissions; the connection driver in `net` asks it about every request.
//! - [`password`]: Argon2id hashes in PHC form. [`pattern`]: permission patterns with RabbitMQ's meaning.
//!
//! No socket, no clock, no randomness (salts are arguments), no cache of passwords, and no knowledge of any protocol is
//! here. `net` calls [`Directory::verify`] off the I/O threads, because it is slow on purpose.

pub mod directory;
pub mod gate;
pub mod limits;
pub mod password;
pub mod pattern;

pub use directory::{
    AccessError, Directory, DirectoryBuilder, Grant, NAMESPACE_DEFAULT, PermissionSpec, User, UserSpec,
};
pub use gate::Gate;
pub use password::{PasswordHash, hash_password};
pub use pattern::Pattern;
