//! The dialects that are served. The one file that names them.

use std::collections::BTreeMap;
use std::sync::Arc;

use baton_dialect::http::HttpDialect;
use baton_dialect_amqp091::{AmqpSession, SessionOptions};
use baton_dialect_resp::RespSession;
use baton_dialect_sqs::{AccessKey, SqsDialect, SqsOptions};
use baton_dialect_stomp::StompSession;
use baton_model::{Bytes, Name};
use baton_net::{SessionFactory, WebSocketRoute};

use crate::config::Config;

/// AMQP 0-9-1.
pub(crate) fn amqp091(config: &Config) -> SessionFactory {
    let options =
        SessionOptions { body_bytes_max: config.limits.message_bytes_max.value, ..SessionOptions::default() };
    Arc::new(move |context| Box::new(AmqpSession::new(context, options)))
}

/// STOMP.
pub(crate) fn stomp(config: &Config) -> SessionFactory {
    let options =
        baton_dialect_stomp::SessionOptions { body_bytes_max: config.limits.message_bytes_max.value };
    Arc::new(move |context| Box::new(StompSession::new(context, options)))
}

/// Databases that Redis clients choose from by number, as many as Redis has when nobody says.
const REDIS_DATABASES: usize = 16;

/// The namespaces of Redis's databases: the default one, and `db1` to `db15`.
pub(crate) fn redis_databases() -> Vec<Name> {
    let others = (1..REDIS_DATABASES).map(|number| Name::from(format!("db{number}")));
    std::iter::once(Name::const_new("/")).chain(others).collect()
}

/// Redis's protocol. Without configured users whoever is on this machine is `guest`.
pub(crate) fn redis(config: &Config) -> SessionFactory {
    let guest = (Name::const_new("guest"), Bytes::from_static(b"guest"));
    let options = baton_dialect_resp::SessionOptions {
        anonymous: config.users.is_empty().then_some(guest),
        databases: redis_databases(),
    };
    Arc::new(move |context| Box::new(RespSession::new(context, options.clone())))
}

/// STOMP for browsers, on the HTTP port.
pub(crate) fn stomp_over_websocket(config: &Config) -> WebSocketRoute {
    let protocols = &["v12.stomp", "v11.stomp", "v10.stomp"];
    WebSocketRoute { path: "/ws", protocols, factory: stomp(config) }
}

/// What is served on the HTTP port besides the admin API.
pub(crate) fn http(config: &Config) -> Vec<Arc<dyn HttpDialect>> {
    vec![Arc::new(SqsDialect::new(sqs(config)))]
}

fn sqs(config: &Config) -> SqsOptions {
    let guest = config.users.is_empty().then(|| Name::const_new("guest"));
    let keys: BTreeMap<Name, AccessKey> = config
        .sqs
        .access_keys
        .iter()
        .map(|(id, key)| {
            let user = key.user.as_deref().map(Name::new).or_else(|| guest.clone()).unwrap_or_default();
            let (secret, session_token) = (key.secret.clone(), key.session_token.clone());
            (Name::new(id), AccessKey { secret, session_token, user })
        })
        .collect();
    match (keys.is_empty(), &guest) {
        (true, Some(_)) => tracing::info!(
            "SQS accepts any access key from this machine and does not check signatures: no users and no [sqs.access_keys] are configured"
        ),
        (true, None) => tracing::warn!("SQS refuses all requests: there are users, but no [sqs.access_keys]"),
        (false, _) => tracing::info!(keys = keys.len(), "SQS checks signatures"),
    }
    SqsOptions {
        account_id: Name::new(&config.sqs.account_id.value),
        region: Name::new(&config.sqs.region.value),
        keys,
        guest,
        namespace: Name::new(&config.sqs.namespace.value),
        check_time: !config.test_clock.value,
        relaxed: config.sqs.relaxed.value,
    }
}
