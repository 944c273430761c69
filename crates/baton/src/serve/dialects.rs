//! The dialects that are served. The one file that names them.

use std::sync::Arc;

use baton_dialect::http::HttpDialect;
use baton_dialect_amqp091::{AmqpSession, SessionOptions};
use baton_dialect_sqs::{SqsDialect, SqsOptions};
use baton_model::Name;
use baton_net::SessionFactory;

use crate::config::Config;

/// AMQP 0-9-1.
pub(crate) fn amqp091(config: &Config) -> SessionFactory {
    let options =
        SessionOptions { body_bytes_max: config.limits.message_bytes_max.value, ..SessionOptions::default() };
    Arc::new(move |context| Box::new(AmqpSession::new(context, options)))
}

/// What is served on the HTTP port besides the admin API.
pub(crate) fn http(config: &Config) -> Vec<Arc<dyn HttpDialect>> {
    let options = SqsOptions {
        guest: config.users.is_empty().then(|| Name::const_new("guest")),
        ..SqsOptions::default()
    };
    vec![Arc::new(SqsDialect::new(options))]
}
