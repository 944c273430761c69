//! What a broker says when it is up: each endpoint, and one line that shows how to use it.

use std::io::Write;
use std::net::SocketAddr;

use crate::config::{Config, LogFormat};

/// Says where the broker listens: on stdout for people, as log lines where logs are JSON.
pub(crate) fn endpoints(config: &Config, endpoints: &[(&'static str, SocketAddr)]) {
    match config.log.format.value {
        LogFormat::Human => {
            // A closed stdout is no reason not to serve.
            let _ = std::io::stdout().lock().write_all(text(config, endpoints).as_bytes());
        }
        LogFormat::Json => {
            for (name, address) in endpoints {
                tracing::info!(listener = name, %address, "listening");
            }
        }
    }
}

fn text(config: &Config, endpoints: &[(&'static str, SocketAddr)]) -> String {
    let mut text = format!("Baton {} is up; data in {}\n", super::VERSION, config.data_dir.value.display());
    for (name, address) in endpoints {
        let usage = usage(config, name, *address);
        text.push_str(&format!("  {name:<5} {address:<22} {usage}\n"));
    }
    if config.users.is_empty() {
        text.push_str("  user  guest, password guest, from this machine only\n");
    }
    text
}

fn usage(config: &Config, name: &str, address: SocketAddr) -> String {
    let secure = if config.tls.value.is_some() { "s" } else { "" };
    let credentials = if config.users.is_empty() { "guest:guest" } else { "USER:PASSWORD" };
    match name {
        "amqp" => format!("any RabbitMQ client: amqp{secure}://{credentials}@{address}/"),
        "redis" => format!("any Redis client, for lists and pub/sub: redis-cli -p {}", address.port()),
        "stomp" => format!("any STOMP client, as {}", credentials.replace(':', " / ")),
        _ if address == crate::config::resolve::HTTP_DEFAULT && secure.is_empty() => {
            format!(
                "any AWS SDK's SQS client: endpoint http://{address}; baton queue list; metrics on /metrics"
            )
        }
        _ => format!(
            "any AWS SDK's SQS client: endpoint http{secure}://{address}; \
             baton queue list --server http{secure}://{address}; metrics on /metrics"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, file, resolve};

    #[test]
    fn every_endpoint_shows_how_to_connect() {
        let config = resolve::merge(&Flags::default(), None, file::parse("").unwrap()).unwrap();
        let all = [
            ("amqp", "127.0.0.1:5672".parse().unwrap()),
            ("http", "127.0.0.1:4000".parse().unwrap()),
            ("stomp", "127.0.0.1:61613".parse().unwrap()),
        ];
        let text = text(&config, &all);
        assert!(text.contains("amqp://guest:guest@127.0.0.1:5672/"), "{text}");
        assert!(text.contains("baton queue list --server http://127.0.0.1:4000"), "{text}");
        assert!(text.contains("stomp 127.0.0.1:61613") && text.contains("guest / guest"), "{text}");
        assert!(text.contains("./baton-data"), "{text}");
    }
}
