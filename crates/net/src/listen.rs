//! Listeners: bind, accept, encrypt, and hand each connection to the driver or to HTTP. No protocol is known here.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use baton_dialect::http::HttpDialect;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use crate::connections::{Arrival, Registered};
use crate::counters::Counters;
use crate::driver::{SessionFactory, drive};
use crate::error::NetError;
use crate::http::HttpService;
use crate::hub::Hub;
use crate::limits::{ACCEPT_BACKLOG, ACCEPT_PAUSE_MAX, ACCEPT_PAUSE_MIN, LOG_PAUSE, TLS_HANDSHAKE};
use crate::tls::{Tls, handshake_problem};
use crate::websocket::WebSocketRoute;

/// A bound address that nobody is served on yet: connections wait in the kernel.
#[derive(Debug)]
pub struct Listener {
    name: &'static str,
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
}

/// A listener that accepts. Ends with [`Hub::shutdown`].
#[derive(Debug)]
pub struct Serving {
    /// The listener's name.
    pub name: &'static str,
    /// Where, with the real port.
    pub address: SocketAddr,
    /// By TLS.
    pub encrypted: bool,
    /// What it counts.
    pub counters: Arc<Counters>,
    /// The loop that accepts.
    pub task: JoinHandle<()>,
}

/// Who serves a connection.
#[derive(Clone)]
enum Service {
    Session(SessionFactory),
    Http(HttpService),
}

impl Listener {
    /// Binds `address`; port 0 takes a free one. `name` stands in logs, metrics and errors: `amqp`, `http`. Must be called within
    /// a tokio runtime.
    ///
    /// # Errors
    /// [`NetError::Bind`].
    pub fn bind(name: &'static str, address: SocketAddr, tls: Option<Tls>) -> Result<Self, NetError> {
        let error = |source| NetError::Bind { listener: name, address, source };
        let socket = listen(address).map_err(error)?;
        let address = socket.local_addr().map_err(error)?;
        Ok(Self { name, socket, address, tls })
    }

    /// Where, with the real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves sessions.
    #[must_use]
    pub fn serve(self, hub: Arc<Hub>, factory: SessionFactory) -> Serving {
        self.start(hub, Service::Session(factory), &[])
    }

    /// Serves HTTP/1.1: requests that a dialect claims by that dialect, all others with `router`. Handlers find a
    /// [`crate::Peer`] in the request's extensions.
    #[must_use]
    pub fn serve_http(
        self,
        hub: Arc<Hub>,
        router: axum::Router,
        body_bytes_max: usize,
        dialects: Vec<Arc<dyn HttpDialect>>,
        websocket: Option<WebSocketRoute>,
    ) -> Serving {
        let service = HttpService::new(Arc::clone(&hub), router, body_bytes_max, dialects, websocket);
        self.start(hub, Service::Http(service), &["http/1.1"])
    }

    fn start(self, hub: Arc<Hub>, service: Service, alpn: &[&str]) -> Serving {
        let counters = Arc::new(Counters::default());
        let door = Arc::new(Door {
            name: self.name,
            hub,
            service,
            tls: self.tls.as_ref().map(|tls| tls.acceptor(alpn)),
            counters: Arc::clone(&counters),
            last_log: Mutex::new(None),
        });
        let encrypted = door.tls.is_some();
        let task = tokio::spawn(accept(self.socket, door));
        Serving { name: self.name, address: self.address, encrypted, counters, task }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restarted broker gets its port back at once, although connections of the old one are still being forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(ACCEPT_BACKLOG)
}

/// What the connections of one listener share.
struct Door {
    name: &'static str,
    hub: Arc<Hub>,
    service: Service,
    tls: Option<TlsAcceptor>,
    counters: Arc<Counters>,
    last_log: Mutex<Option<Instant>>,
}

async fn accept(socket: TcpListener, door: Arc<Door>) {
    let mut accepting = door.hub.accepting();
    let mut pause = ACCEPT_PAUSE_MIN;
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            _ = accepting.wait_for(|accepting| !accepting) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = ACCEPT_PAUSE_MIN;
                door.admit(stream, peer);
            }
            Err(error) if is_peers_fault(&error) => {}
            Err(error) => {
                if door.may_log() {
                    tracing::warn!(
                        listener = door.name, %error,
                        "cannot accept connections; if descriptors ran out, raise the limit (ulimit -n)"
                    );
                }
                tokio::time::sleep(pause).await;
                pause = next_pause(pause);
            }
        }
    }
}

/// Errors of a connection that was lost between arriving and being accepted (accept(2)); the next one is as good as ever.
fn is_peers_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

fn next_pause(pause: Duration) -> Duration {
    (pause * 2).min(ACCEPT_PAUSE_MAX)
}

impl Door {
    fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        // Answers are written in one piece; waiting for more (Nagle) would only delay them. Failing is harmless.
        let _ = stream.set_nodelay(true);
        let arrival = Arrival {
            listener: self.name,
            peer,
            encrypted: self.tls.is_some(),
            since: self.hub.clock.now(),
            counters: Arc::clone(&self.counters),
        };
        match self.hub.connections().register(arrival) {
            Some(registered) => {
                let door = Arc::clone(self);
                // Tasks of their own kind: without TLS a connection must not take the room that TLS needs.
                if door.tls.is_some() {
                    tokio::spawn(async move { door.serve_tls(stream, registered).await });
                } else {
                    tokio::spawn(async move { door.serve_stream(stream, &registered).await });
                }
            }
            None if self.may_log() => {
                tracing::warn!(
                    listener = self.name, %peer, open = self.hub.connections().len(),
                    "connection refused: too many are open; raise limits.connections_max"
                );
            }
            None => {}
        }
    }

    async fn serve_tls(&self, stream: TcpStream, registered: Registered) {
        let Some(acceptor) = &self.tls else { return };
        let problem = match timeout(TLS_HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => return self.serve_stream(stream, &registered).await,
            Ok(Err(error)) => handshake_problem(&error),
            Err(_) => "the peer took too long".into(),
        };
        self.counters.failed_handshakes.add(1);
        if self.may_log() {
            tracing::warn!(listener = self.name, peer = %registered.entry.peer, problem, "TLS handshake failed");
        }
    }

    async fn serve_stream<S>(&self, stream: S, registered: &Registered)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let entry = &registered.entry;
        match &self.service {
            Service::Session(factory) => {
                let session = factory(self.hub.session_context(entry));
                // On its own: it is several times as large as what serves HTTP, whose connections must not take its room.
                Box::pin(drive(stream, session, Arc::clone(&self.hub), Arc::clone(entry))).await;
            }
            Service::Http(http) => http.serve(stream, entry).await,
        }
    }

    /// Whether something that peers can cause at will may be logged again.
    fn may_log(&self) -> bool {
        let now = Instant::now();
        let mut last = self.last_log.lock();
        let may = last.is_none_or(|last| now.duration_since(last) >= LOG_PAUSE);
        if may {
            *last = Some(now);
        }
        may
    }
}

#[cfg(test)]
#[path = "listen_tests.rs"]
mod tests;
