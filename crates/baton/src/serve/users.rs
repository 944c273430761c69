//! The directory of users and namespaces, from the configuration.

use baton_access::{Directory, PermissionSpec, UserSpec};

use crate::config::Config;
use crate::config::file::UserFile;
use crate::exit::{Exit, Failure};

/// The directory. Without configured users there is `guest`, from this machine only.
///
/// # Errors
/// A mistake in `[users]` or `namespaces`, with what to change.
pub(crate) fn directory(config: &Config) -> Result<Directory, Failure> {
    let mut builder = Directory::builder();
    for namespace in &config.namespaces.value {
        builder = builder.namespace(namespace);
    }
    for namespace in super::dialects::redis_databases() {
        if !config.namespaces.value.iter().any(|known| *known == namespace.as_str()) {
            builder = builder.namespace(namespace.as_str());
        }
    }
    if config.users.is_empty() {
        builder = builder.guest(true);
    }
    for (name, user) in &config.users {
        builder = builder.user(spec(name, user));
    }
    builder.build().map_err(|error| Failure::new(Exit::Config, error.to_string()))
}

fn spec(name: &str, user: &UserFile) -> UserSpec {
    UserSpec {
        name: name.to_owned(),
        password_hash: user.password.clone(),
        tags: user.tags.clone(),
        loopback_only: false,
        permissions: user
            .permissions
            .iter()
            .map(|(namespace, permissions)| PermissionSpec {
                namespace: namespace.clone(),
                configure: or_nothing(&permissions.configure),
                write: or_nothing(&permissions.write),
                read: or_nothing(&permissions.read),
            })
            .collect(),
    }
}

/// A pattern that was left out matches nothing. RabbitMQ says `^$` for that.
fn or_nothing(pattern: &str) -> String {
    if pattern.is_empty() { "^$".to_owned() } else { pattern.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, file, resolve};

    fn read(text: &str) -> Result<Directory, Failure> {
        directory(&resolve::merge(&Flags::default(), None, file::parse(text).unwrap()).unwrap())
    }

    #[test]
    fn guest_is_there_until_there_are_users() {
        let guest = read("namespaces = [\"staging\"]").unwrap();
        assert!(guest.verify("guest", b"guest", true).is_ok());
        assert!(guest.verify("guest", b"guest", false).is_err());
        assert!(guest.namespace("staging").is_some());

        let hash = baton_access::hash_password(b"secret", b"0123456789abcdef").unwrap();
        let text =
            format!("[users.ann]\npassword = \"{hash}\"\n[users.ann.permissions.default]\nread = \".*\"\n");
        let ann = read(&text).unwrap();
        assert!(ann.verify("ann", b"secret", false).is_ok());
        assert!(ann.verify("guest", b"guest", true).is_err());
    }

    #[test]
    fn mistakes_end_with_the_configuration_exit() {
        let failure = read("[users.ann]\npassword = \"plain\"\n").unwrap_err();
        assert_eq!(failure.exit, Exit::Config);
        assert!(failure.text.contains("baton config password"), "{}", failure.text);
    }
}
