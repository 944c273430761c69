//! Every bound of this crate, with the reason for its value and what happens when it is met.

use std::time::Duration;

/// Connections at one time over all listeners, unless configured. Each costs a descriptor and some kilobytes; the usual
/// hard limit of descriptors is higher. Met: new connections are closed at once, counted as refused, and logged.
pub const CONNECTIONS_MAX_DEFAULT: usize = 16 * 1024;

/// Smallest buffer for one read, in bytes: what an idle connection keeps.
pub const READ_BYTES_MIN: usize = 4 * 1024;

/// Largest buffer for one read, in bytes. Larger ones bring fewer system calls but push the data out of the processor's
/// second-level cache before the session has seen it.
pub const READ_BYTES_MAX: usize = 256 * 1024;

/// The buffer of a large frame is at most so many times as large as what of it has come: a peer cannot make us take memory by
/// announcing a length alone.
pub const LARGE_RESERVE_FACTOR: usize = 8;

/// So many small reads in a row halve the buffer.
pub const SMALL_READS_MAX: u32 = 16;

/// Bytes that are read ahead while the session may not have them (engine congested, peer slow, login running), only to
/// notice that the peer went away. Met: the socket is not read, and TCP stops the peer.
pub const READ_AHEAD_BYTES_MAX: usize = 16 * 1024;

/// Unwritten bytes beyond which nothing more is taken from the peer: whoever does not read its answers may not ask more.
/// One read's worth of answers fits easily.
pub const BACKLOG_BYTES_MAX: usize = 256 * 1024;

/// A write buffer larger than this is given back once it is empty; kept, it would multiply with the connections.
pub const WRITE_BUFFER_KEPT_BYTES: usize = 512 * 1024;

/// What a session may leave unread beyond the largest message. Met: its connection is closed, since the session ought to have done so.
pub const INPUT_SLACK_BYTES: usize = 1024 * 1024;

/// How often in one burst a session may answer refusals with requests that are refused as well. Met: the connection is closed as a defect.
pub const REFUSAL_ROUNDS_MAX: usize = 16;

/// Requests that room is made for before a burst, at most; a burst may have more, its list then grows as it goes.
pub const REQUESTS_RESERVED_MAX: usize = 1024;

/// How long a peer may take to say goodbye after it was told that the broker closes the connection.
pub const GOODBYE: Duration = Duration::from_secs(5);

/// How long the last bytes (the reason why a connection is closed) may take to be written.
pub const LAST_WRITE: Duration = Duration::from_secs(5);

/// How long a closed connection is still read from, so that the peer sees the last bytes instead of a reset.
pub const LINGER: Duration = Duration::from_secs(1);

/// How long a TLS handshake may take. Met: the connection is closed and counted.
pub const TLS_HANDSHAKE: Duration = Duration::from_secs(10);

/// Logins that are remembered, so that reconnecting costs no password hashing. Met: an arbitrary one is forgotten.
pub const LOGINS_REMEMBERED: usize = 1024;

/// First pause after the process ran out of descriptors; doubled up to [`ACCEPT_PAUSE_MAX`].
pub const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(20);

/// Longest pause after the process ran out of descriptors.
pub const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Connections that may wait to be accepted; the kernel's own maximum is usually 4096.
pub const ACCEPT_BACKLOG: u32 = 4096;

/// How often one kind of trouble that peers can cause at will is logged.
pub const LOG_PAUSE: Duration = Duration::from_secs(1);

/// How long the headers of an HTTP request may take, from the first wait on: also how long an idle connection is kept.
pub const HTTP_HEADERS: Duration = Duration::from_secs(30);

/// Bytes of headers of an HTTP request. Met: 431, connection closed.
pub const HTTP_HEADER_BYTES_MAX: usize = 64 * 1024;

/// Number of headers of an HTTP request. Met: 431.
pub const HTTP_HEADERS_MAX: usize = 100;

/// Largest message written to a WebSocket, bytes: a browser holds a message as a whole before it sees it.
pub const WEBSOCKET_MESSAGE_BYTES: usize = 64 * 1024;

/// How long an HTTP request's body may take for each [`HTTP_BODY_PACE_BYTES`]. Met: the body fails, and with it the request.
pub const HTTP_BODY_PAUSE: Duration = Duration::from_secs(30);

/// So much of an HTTP request's body must come within [`HTTP_BODY_PAUSE`], or its end. Slower than any line that somebody
/// works with; a byte now and then does not keep a request open.
pub const HTTP_BODY_PACE_BYTES: usize = 16 * 1024;

/// How long a request whose peer went away is waited for, from one answer of the engine to the next. The engine answers a
/// cancelled wait at once; this only keeps a stopped one from being waited for.
pub const HTTP_ABANDONED: Duration = Duration::from_secs(30);

/// Largest HTTP request body unless the server of the router says otherwise: a message of the default size in base64 with room for its wrapping.
pub const HTTP_BODY_BYTES_MAX: usize = 192 * 1024 * 1024;
