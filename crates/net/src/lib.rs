//! Sockets: listeners, TLS, HTTP, and the one connection driver for every protocol's sessions.
//!
//! ```text
//!  Listener ──accept──▶ TLS? ──▶ driver ──────▶ Session (a dialect)
//!     │                   │        │ check          │ requests
//!     │                   │        ▼                ▼
//!     │                   │     Gate (access) ──▶ Port (engine)
//!     └──────────────────▶└────▶ http ──┬──▶ exchange ──▶ HttpSession (a dialect)
//!                                       └──▶ Router (admin)
//! ```
//!
//! - [`hub`] is what all listeners and connections share: the engine, the clock, logins, limits, who is connected.
//! - [`websocket`] makes a stream of a WebSocket for sessions that browsers use.
//! - [`listen`] accepts, [`tls`] encrypts, [`http`] serves dialects over HTTP
//!   (each connection's in `exchange`) and a router; [`driver`] moves bytes, events and time for sessions.
//! - [`auth`] keeps slow password checks away from the I/O threads; `answers` turns refusals into events.
//! - [`limits`] has every bound with its reason, [`counters`] what is counted for the metrics.
//!
//! No protocol, no queue logic and no configuration file is here. `baton` wires it, `admin` gives the router.

mod answers;
pub mod auth;
pub mod connections;
pub mod counters;
pub mod driver;
mod error;
mod exchange;
pub mod http;
pub mod hub;
pub mod limits;
pub mod listen;
pub mod tls;
pub mod websocket;

pub use auth::Authenticator;
pub use connections::{Connections, Entry};
pub use counters::{Count, Counters};
pub use driver::{SessionFactory, drive};
pub use error::NetError;
pub use http::Peer;
pub use hub::{Hub, HubSpec, Ports};
pub use listen::{Listener, Serving};
pub use tls::Tls;
pub use websocket::WebSocketRoute;

#[cfg(test)]
mod testing;
