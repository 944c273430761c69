//! The listeners of a broker: bound before the data is opened, so that a taken port costs no recovery, and served after.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request};
use axum::middleware::map_request;
use baton_admin::Admin;
use baton_net::{Hub, Listener, NetError, Peer, Serving, Tls};

use super::broker::RunningBroker;
use crate::config::{self, Config, Sourced};
use crate::exit::{Exit, Failure};
use crate::output;

/// Listeners that nobody is served on yet.
pub(crate) struct Bound {
    amqp: Option<Listener>,
    http: Option<Listener>,
    stomp: Option<Listener>,
    redis: Option<Listener>,
}

/// Binds what the configuration says. Must be called within a tokio runtime.
///
/// # Errors
/// TLS files that cannot be used; a configured address that cannot be bound; no address at all.
pub(crate) fn bind(config: &Config) -> Result<Bound, Failure> {
    let tls = tls(config)?;
    let bound = Bound {
        amqp: bind_one("amqp", &config.listen.amqp, tls.clone())?,
        http: bind_one("http", &config.listen.http, tls.clone())?,
        stomp: bind_one("stomp", &config.listen.stomp, tls.clone())?,
        redis: bind_one("redis", &config.listen.redis, tls)?,
    };
    let all = [&bound.amqp, &bound.http, &bound.stomp, &bound.redis];
    if all.iter().all(|listener| listener.is_none()) {
        let text = "no address to listen on: turn on a listener, or choose free addresses with --amqp-listen and --http-listen";
        return Err(Failure::new(Exit::Bind, text));
    }
    Ok(bound)
}

/// Reads the certificate and the key, if there are any.
///
/// # Errors
/// Files that cannot be used, with what is wrong.
pub(crate) fn tls(config: &Config) -> Result<Option<Tls>, Failure> {
    let Some(tls) = &config.tls.value else { return Ok(None) };
    Tls::load(&tls.cert, &tls.key).map(Some).map_err(|error| Failure::new(Exit::Config, error.to_string()))
}

fn bind_one(
    name: &'static str,
    listener: &Sourced<config::Listener>,
    tls: Option<Tls>,
) -> Result<Option<Listener>, Failure> {
    let config::Listener::At(address) = listener.value else { return Ok(None) };
    match Listener::bind(name, address, tls) {
        Ok(bound) => Ok(Some(bound)),
        Err(error) if !listener.is_configured() && error.is_address_in_use() => {
            output::warning(&skipped(name, address));
            Ok(None)
        }
        Err(error) => Err(refused(&error, listener)),
    }
}

fn skipped(name: &str, address: SocketAddr) -> String {
    format!(
        "{name} is not served: another process listens on {address}. Stop that one, or choose another address: \
         --{name}-listen {}:0 picks a free port",
        address.ip()
    )
}

fn refused(error: &NetError, listener: &Sourced<config::Listener>) -> Failure {
    Failure::new(Exit::Bind, format!("{error} ({})", listener.source))
}

impl Bound {
    /// Begins to serve, and says where.
    pub(crate) fn serve(
        self,
        config: &Config,
        hub: &Arc<Hub>,
        admin: &Arc<Admin>,
        broker: &RunningBroker,
    ) -> Vec<(&'static str, SocketAddr)> {
        let mut serving: Vec<Serving> = Vec::new();
        if let Some(listener) = self.amqp {
            serving.push(listener.serve(Arc::clone(hub), super::dialects::amqp091(config)));
        }
        if let Some(listener) = self.http {
            let router = admin.router().layer(map_request(with_peer));
            let dialects = super::dialects::http(config);
            let stomp = super::dialects::stomp_over_websocket(config);
            let max = admin.body_bytes_max();
            serving.push(listener.serve_http(Arc::clone(hub), router, max, dialects, Some(stomp)));
        }
        if let Some(listener) = self.stomp {
            serving.push(listener.serve(Arc::clone(hub), super::dialects::stomp(config)));
        }
        if let Some(listener) = self.redis {
            serving.push(listener.serve(Arc::clone(hub), super::dialects::redis(config)));
        }
        serving
            .into_iter()
            .map(|serving| {
                broker.listens(serving.name, serving.counters);
                (serving.name, serving.address)
            })
            .collect()
    }
}

/// The peer as the admin API expects it: `net` and `admin` know nothing of each other.
async fn with_peer(mut request: Request) -> Request {
    if let Some(peer) = request.extensions().get::<Peer>().copied() {
        request.extensions_mut().insert(ConnectInfo(peer.address));
    }
    request
}
