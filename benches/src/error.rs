//! What can go wrong in the load generator and what to do about it. Used by every module of this crate.

use std::io;

use crate::wire::WireError;

/// The one error type of this crate.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A system call failed; `what` says during which step.
    #[error("{what}: {source}")]
    Io {
        /// The step that failed, in words.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The server sent bytes that are not AMQP 0-9-1, or content this client does not expect.
    #[error("the server broke the protocol: {0}")]
    Wire(#[from] WireError),
    /// The server closed the channel or the connection with a reason.
    #[error("the server refused: {code} {text}")]
    Refused {
        /// AMQP reply code.
        code: u16,
        /// AMQP reply text.
        text: String,
    },
    /// The server closed the socket without a reason (expected only when it was killed).
    #[error("the server closed the connection")]
    Disconnected,
    /// The server under test did not start or stop as expected.
    #[error("{0}")]
    Server(String),
    /// The run itself is wrong: messages lost, nothing moving, a worker that panicked.
    #[error("{0}")]
    Run(String),
}

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, BenchError>;

/// Attaches the step to an I/O error.
pub trait During<T> {
    /// Turns the I/O error into [`BenchError::Io`], naming the step.
    fn during(self, what: &str) -> Result<T>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, what: &str) -> Result<T> {
        self.map_err(|source| BenchError::Io { what: what.to_owned(), source })
    }
}

impl<T> During<T> for std::result::Result<T, rustix::io::Errno> {
    fn during(self, what: &str) -> Result<T> {
        self.map_err(|errno| BenchError::Io { what: what.to_owned(), source: errno.into() })
    }
}
