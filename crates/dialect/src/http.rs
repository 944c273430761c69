//! Dialects that live on HTTP: an [`HttpSession`], one per connection, gets whole requests that `net` has parsed, and gives
//! whole responses. It never sees a socket, and like every session it has no clock and no threads.
//!
//! ```text
//!            request, now                        requests
//!  peer ───────────────▶ HttpSession::request ───────────────▶ access check ──▶ engine
//!  peer ◀─────────────── out.response         ◀── ::event ◀──────────────────── engine
//! ```
//!
//! A connection has one request open at a time: HTTP/1.1 answers in order.

use baton_model::{Event, Name, Request, Time};
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response};

use crate::SessionContext;

/// A request as it was received, its body complete.
#[derive(Debug)]
pub struct HttpRequest {
    /// Method, target and headers.
    pub head: Parts,
    /// The body; empty if there was none.
    pub body: Bytes,
}

impl HttpRequest {
    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// The path, as it was sent (percent-encoded).
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// The query, as it was sent, without its `?`; empty if there was none.
    #[must_use]
    pub fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    /// A header that is text, the first of its name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }
}

/// One connection's protocol machine.
///
/// The driver calls [`request`](Self::request), then [`event`](Self::event) for what the engine answers, until there is a
/// response; then the next request may come. When the peer goes away before its response it calls
/// [`abandoned`](Self::abandoned) and goes on with `event` until [`busy`](Self::busy) is false; nothing is sent any more.
pub trait HttpSession: Send {
    /// A request came, and none is open.
    fn request(&mut self, now: Time, request: HttpRequest, out: &mut HttpOutput);

    /// The engine says something.
    fn event(&mut self, now: Time, event: Event, out: &mut HttpOutput);

    /// The broker shuts down: whatever waits for messages is answered now.
    fn stop_waiting(&mut self, now: Time, out: &mut HttpOutput);

    /// The peer went away: its request is given up, and what it would have got goes back to where it was.
    fn abandoned(&mut self, now: Time, out: &mut HttpOutput);

    /// Whether answers of the engine are awaited.
    fn busy(&self) -> bool;

    /// Some queue was made, changed or deleted since the last request: what the session remembers of queues may be outdated.
    fn catalog_changed(&mut self);
}

/// What an HTTP session wants done. Filled by the session, emptied by the driver.
#[derive(Debug, Default)]
pub struct HttpOutput {
    /// Whose rights `requests` are checked against, once the session knows who it is. Without one nothing is allowed.
    pub user: Option<Name>,
    /// Requests for the engine, in order.
    pub requests: Vec<Request>,
    /// The answer. Nothing else is awaited when it is there.
    pub response: Option<Response<Bytes>>,
}

/// A dialect on HTTP, as `net` is given it.
pub trait HttpDialect: Send + Sync {
    /// Whether a request is this dialect's, by what its head says. Requests that nobody claims go to the admin API.
    fn claims(&self, head: &Parts) -> bool;

    /// A session for a connection.
    fn session(&self, context: SessionContext) -> Box<dyn HttpSession>;

    /// Largest body of a request, bytes. Larger ones are answered by [`HttpDialect::too_large`] and not read.
    fn body_bytes_max(&self) -> usize;

    /// The answer to a request whose body is too large.
    fn too_large(&self, head: &Parts) -> Response<Bytes>;

    /// The namespace that the sessions' names are in.
    fn namespace(&self) -> Name;
}
