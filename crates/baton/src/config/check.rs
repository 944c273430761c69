//! What may not be served: an address that others can reach needs users, and TLS or an explicit word that it is not wanted.

use super::{Config, Listener};

/// Refuses configurations that are not safe.
///
/// # Errors
/// A sentence that names the listener and both remedies.
pub(crate) fn safe(config: &Config) -> Result<(), String> {
    let listen = &config.listen;
    for (name, listener) in
        [("amqp", &listen.amqp), ("http", &listen.http), ("stomp", &listen.stomp), ("redis", &listen.redis)]
    {
        let Listener::At(address) = listener.value else { continue };
        if address.ip().is_loopback() {
            continue;
        }
        let users = config.users.is_empty();
        let plain = config.tls.value.is_none() && !config.listen.allow_plaintext.value;
        if !users && !plain {
            continue;
        }
        let mut missing = Vec::new();
        if users {
            missing
                .push("users ([users] in the configuration file; `baton config password` makes the hashes)");
        }
        if plain {
            missing.push(
                "TLS ([tls] cert and key), or `allow_plaintext = true` in [listen] (--allow-plaintext) \
                 if the network is trusted",
            );
        }
        return Err(format!(
            "refusing to serve {name} on {address}, which other machines can reach ({}): it needs {}. \
             Or listen on 127.0.0.1 only",
            listener.source,
            missing.join(", and "),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Flags, file, resolve};
    use super::*;

    const USER: &str = "[users.ann]\npassword = \"$argon2id$x\"\n";

    fn check(file: &str) -> Result<(), String> {
        safe(&resolve::merge(&Flags::default(), None, file::parse(file).unwrap()).unwrap())
    }

    #[test]
    fn loopback_needs_nothing() {
        assert_eq!(check(""), Ok(()));
        assert_eq!(check("[listen]\namqp = \"[::1]:0\"\nhttp = \"127.8.8.8:1\""), Ok(()));
    }

    #[test]
    fn other_addresses_need_users_and_tls() {
        let open = "[listen]\namqp = \"0.0.0.0:5672\"\n";
        let error = check(open).unwrap_err();
        for part in [
            "0.0.0.0:5672",
            "listen.amqp",
            "[users]",
            "baton config password",
            "[tls]",
            "allow_plaintext = true",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let error = check(&format!("{open}{USER}")).unwrap_err();
        assert!(error.contains("[tls]") && !error.contains("[users]"), "{error}");
        let error = check(&format!("{open}allow_plaintext = true\n")).unwrap_err();
        assert!(error.contains("[users]") && !error.contains("[tls]"), "{error}");
        assert_eq!(check(&format!("{open}allow_plaintext = true\n{USER}")), Ok(()));
        assert_eq!(check(&format!("{open}[tls]\ncert = \"c\"\nkey = \"k\"\n{USER}")), Ok(()));
        assert!(check("[listen]\nhttp = \"[::]:80\"").unwrap_err().contains("http on [::]:80"));
    }
}
