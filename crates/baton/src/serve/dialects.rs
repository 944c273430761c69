//! The dialects that are served. The one file that names them.

use std::sync::Arc;

use baton_dialect_amqp091::{AmqpSession, SessionOptions};
use baton_net::SessionFactory;

use crate::config::Config;

/// AMQP 0-9-1.
pub(crate) fn amqp091(config: &Config) -> SessionFactory {
    let options =
        SessionOptions { body_bytes_max: config.limits.message_bytes_max.value, ..SessionOptions::default() };
    Arc::new(move |context| Box::new(AmqpSession::new(context, options)))
}
