//! What can go wrong before connections are served. All of it is reported at start by `baton`; trouble of single
//! connections is logged where it happens and counted.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A listener could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The address cannot be bound. With [`NetError::is_address_in_use`] another process has it.
    #[error("cannot listen for {listener} on {address}: {}", bind_remedy(.source))]
    Bind {
        /// The listener's name.
        listener: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A TLS file cannot be read: check path and permissions.
    #[error("cannot read the TLS {what} {}: {source}", .path.display())]
    TlsFile {
        /// `certificate` or `key`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A TLS file does not have what it should: use the right file, in PEM form.
    #[error("the TLS {what} {} cannot be used: {problem}", .path.display())]
    TlsContent {
        /// `certificate` or `key`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
}

impl NetError {
    /// Whether another process listens there: a default address may then be skipped, a configured one not.
    #[must_use]
    pub fn is_address_in_use(&self) -> bool {
        matches!(self, Self::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
    }
}

fn bind_remedy(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another process listens there; stop it or choose another address (port 0 picks a free one)"
                .into()
        }
        io::ErrorKind::AddrNotAvailable => "this machine has no such address; choose one of its own".into(),
        io::ErrorKind::PermissionDenied => {
            "not permitted; ports below 1024 need a privilege, choose a higher one".into()
        }
        _ => error.to_string(),
    }
}
