//! What all listeners and connections share, and the order in which they are shut down. Made once by `baton`.

use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use baton_dialect::SessionContext;
use baton_engine::{Clock, Engine, Port, Waker};
use tokio::sync::watch;

use crate::auth::Authenticator;
use crate::connections::{Connections, Entry};
use crate::limits::{GOODBYE, LAST_WRITE, LINGER};

/// Whoever gives ports: the engine, or in tests something that looks like one.
pub trait Ports: Send + Sync {
    /// A port for a new connection; `waker` is called when it has events or room.
    fn connect(&self, waker: Waker) -> Port;
}

impl Ports for Engine {
    fn connect(&self, waker: Waker) -> Port {
        Self::connect(self, waker)
    }
}

/// What a hub is made of.
pub struct HubSpec {
    /// The engine.
    pub ports: Arc<dyn Ports>,
    /// The engine's clock.
    pub clock: Arc<dyn Clock>,
    /// Who checks passwords.
    pub authenticator: Arc<Authenticator>,
    /// Connections at one time over all listeners; usually [`crate::limits::CONNECTIONS_MAX_DEFAULT`].
    pub connections_max: usize,
    /// Largest message (envelope and body) accepted, bytes.
    pub message_bytes_max: u64,
    /// The product's version.
    pub version: &'static str,
}

/// What all listeners and connections share.
pub struct Hub {
    pub(crate) ports: Arc<dyn Ports>,
    pub(crate) clock: Arc<dyn Clock>,
    authenticator: Arc<Authenticator>,
    connections: Arc<Connections>,
    pub(crate) message_bytes_max: u64,
    version: &'static str,
    random: SystemRandom,
    accepting: watch::Sender<bool>,
}

impl Hub {
    /// A hub that serves until [`Hub::shutdown`].
    #[must_use]
    pub fn new(spec: HubSpec) -> Arc<Self> {
        Arc::new(Self {
            ports: spec.ports,
            clock: spec.clock,
            authenticator: spec.authenticator,
            connections: Arc::new(Connections::new(spec.connections_max)),
            message_bytes_max: spec.message_bytes_max,
            version: spec.version,
            random: SystemRandom::new(),
            accepting: watch::Sender::new(true),
        })
    }

    /// Who is connected.
    #[must_use]
    pub fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// Who checks passwords.
    #[must_use]
    pub fn authenticator(&self) -> &Arc<Authenticator> {
        &self.authenticator
    }

    /// Stops accepting, tells every peer goodbye in its protocol, and waits until all connections are gone, at most about
    /// ten seconds. Returns how many are left. The engine is to be shut down after this, so that what peers settle and
    /// what they were confirmed meanwhile still counts.
    pub async fn shutdown(&self, reason: &str) -> usize {
        self.accepting.send_replace(false);
        self.connections.close_all(reason, GOODBYE + LAST_WRITE + LINGER).await
    }

    pub(crate) fn accepting(&self) -> watch::Receiver<bool> {
        self.accepting.subscribe()
    }

    /// What a session of this connection is told.
    ///
    /// # Panics
    /// If the system has no randomness.
    #[must_use]
    pub fn session_context(&self, entry: &Entry) -> SessionContext {
        let mut entropy = [0; 8];
        self.random.fill(&mut entropy).expect("a system that runs TLS has randomness");
        SessionContext {
            peer: entry.peer.to_string().into(),
            loopback: entry.loopback(),
            encrypted: entry.encrypted,
            entropy: u64::from_le_bytes(entropy),
            message_bytes_max: self.message_bytes_max,
            version: self.version,
        }
    }
}
