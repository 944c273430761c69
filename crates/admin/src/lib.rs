//! The admin API over HTTP: queues, messages, exchanges, the test clock; metrics and health. `net` serves the router,
//! `baton` puts it together with a broker.
//!
//! - [`client`] turns requests to an engine port into futures; everything goes through it.
//! - `api` has the handlers, `auth` says who asks, [`json`] what they read and write, [`error`] what a refusal looks like.
//! - [`metrics`] and `health` are what supervisors ask.
//!
//! No journal is known here, and there is no way into the engine but the requests that every dialect uses.

mod api;
mod auth;
pub mod client;
pub mod error;
mod health;
pub mod json;
pub mod metrics;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::routing::get;
use baton_access::{Directory, Grant, NAMESPACE_DEFAULT};
use baton_engine::{Clock, Port, Waker};
use baton_model::{Bytes, Name, Refusal};
use parking_lot::Mutex;

use client::Client;
use metrics::Figure;

/// The outcome of a login. A refusal's text is for the log.
pub type LoginFuture = Pin<Box<dyn Future<Output = Result<Grant, Refusal>> + Send>>;

/// What the admin API needs of the broker around it. The binary implements it.
pub trait Broker: Send + Sync {
    /// A new port of the engine.
    fn connect(&self, waker: Waker) -> Port;

    /// Moves the clock forward and wakes what waits for it. `false`: it is not a test clock.
    fn advance_clock_ms(&self, ms: u64) -> bool;

    /// Why messages cannot be taken now, a sentence each; empty when they can.
    fn not_ready(&self) -> Vec<String>;

    /// Checks who somebody is. `loopback`: they are on this machine.
    fn login(&self, user: Name, password: Bytes, loopback: bool) -> LoginFuture;

    /// The broker's figures.
    fn figures(&self) -> Vec<Figure>;
}

/// What can be configured.
#[derive(Clone, Debug)]
pub struct Options {
    /// Requests from loopback that name nobody are the default user's. Only where that user exists.
    pub guest: bool,
    /// Largest message, bytes; bodies of requests may be larger by what JSON adds.
    pub message_bytes_max: u64,
}

/// The admin API of one broker.
pub struct Admin {
    broker: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
    directory: Arc<Directory>,
    options: Options,
    clients: Mutex<HashMap<Name, Arc<Client>>>,
    closing: AtomicBool,
}

impl Admin {
    /// The API of `broker`, whose users are in `directory`.
    #[must_use]
    pub fn new(
        broker: Arc<dyn Broker>,
        clock: Arc<dyn Clock>,
        directory: Arc<Directory>,
        options: Options,
    ) -> Arc<Self> {
        Arc::new(Self {
            broker,
            clock,
            directory,
            options,
            clients: Mutex::default(),
            closing: AtomicBool::new(false),
        })
    }

    /// Largest body of a request, bytes: a message of the largest size with what JSON adds to it.
    #[must_use]
    pub fn body_bytes_max(&self) -> usize {
        let bytes = self.options.message_bytes_max.saturating_mul(api::JSON_OVERHEAD);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// All routes. Each request must have its peer's address in its extensions, as axum's `ConnectInfo<SocketAddr>`; without
    /// one nobody is taken to be on this machine.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/metrics", get(metrics::scrape))
            .route("/healthz", get(health::alive))
            .route("/readyz", get(health::ready))
            .merge(api::routes(self))
            .with_state(Arc::clone(self))
    }

    /// The broker shuts down: nobody waits for messages any more. Requests are still answered.
    pub fn stop_waiting(&self) {
        self.closing.store(true, Ordering::Release);
        self.clients.lock().values().for_each(|client| client.stop_waiting());
    }

    /// Whether waiting is over.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// All namespaces, by the names under which the engine knows them.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = &Name> {
        self.directory.namespaces()
    }

    /// The client of a namespace that exists, made when it is first needed.
    pub(crate) async fn client(&self, namespace: &Name) -> Result<Arc<Client>, Refusal> {
        if let Some(client) = self.clients.lock().get(namespace) {
            return Ok(Arc::clone(client));
        }
        let broker = Arc::clone(&self.broker);
        let connect = move |waker: Waker| broker.connect(waker);
        let client = Client::connect(connect, namespace.clone(), "http (admin API)".to_owned()).await?;
        // Two may have made one at once; the first stays, the other one's port ends here.
        Ok(Arc::clone(self.clients.lock().entry(namespace.clone()).or_insert_with(|| Arc::new(client))))
    }
}

/// A namespace as the API calls it: AMQP's `/` would be a nuisance in a path.
pub(crate) fn shown(namespace: &Name) -> &str {
    if namespace == NAMESPACE_DEFAULT { "default" } else { namespace }
}
