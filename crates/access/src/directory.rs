//! All users and namespaces. Built once from the configuration by `baton`, shared by every connection, never changed.
//! Checking requests is not here, see [`crate::gate`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use baton_model::{Name, Refusal, RefusalCode};

use crate::password::{PasswordError, PasswordHash};
use crate::pattern::Pattern;

/// The namespace that is always there: AMQP's virtual host `/`. `default` and the empty name are the same one.
pub const NAMESPACE_DEFAULT: &str = "/";

const NAMESPACE_DEFAULT_ALIASES: [&str; 2] = ["default", ""];

/// Hash of the password `guest`: public, and good enough to be compared with where a user does not exist.
const GUEST_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$YmF0b24gZ3Vlc3Qgc2FsdA$mFae6nD/5qIX2xbUr4lWZDpeBcvkeCTkaQ+j9QblYDM";

/// A user as the configuration describes it.
#[derive(Clone, Debug, Default)]
pub struct UserSpec {
    /// Name.
    pub name: String,
    /// Argon2 hash of the password, a PHC string.
    pub password_hash: String,
    /// What the user is besides its permissions: `administrator`, `monitoring`. The admin API reads them.
    pub tags: Vec<String>,
    /// May only log in from this machine.
    pub loopback_only: bool,
    /// By namespace. A namespace that is not named is closed to the user.
    pub permissions: Vec<PermissionSpec>,
}

/// What a user may do in one namespace: patterns over the names of queues and exchanges.
#[derive(Clone, Debug, Default)]
pub struct PermissionSpec {
    /// Where.
    pub namespace: String,
    /// What it may create, change and delete.
    pub configure: String,
    /// Where it may send and what it may bind to something.
    pub write: String,
    /// What it may receive from, purge, and bind something to.
    pub read: String,
}

/// What is wrong with the description of users. All are mistakes of the configuration: correct it and start again.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AccessError {
    /// A name is not usable.
    #[error("user names have at least one character; name the user, as in [users.ann]")]
    EmptyName,
    /// The name stands twice.
    #[error("user '{0}' is configured twice; remove one of them")]
    UserTwice(String),
    /// The password hash is unusable.
    #[error("user '{user}': {error}")]
    Password {
        /// Whose.
        user: String,
        /// What is wrong.
        error: PasswordError,
    },
    /// A pattern is unusable.
    #[error(
        "user '{user}', namespace '{namespace}': the {which} pattern \"{pattern}\" cannot be used: {error}"
    )]
    Pattern {
        /// Whose.
        user: String,
        /// Where.
        namespace: String,
        /// `configure`, `write` or `read`.
        which: &'static str,
        /// The pattern.
        pattern: String,
        /// What is wrong.
        error: String,
    },
    /// A permission names a namespace that does not exist.
    #[error(
        "user '{user}' has permissions in namespace '{namespace}', which is not configured; add it to `namespaces`"
    )]
    UnknownNamespace {
        /// Whose.
        user: String,
        /// Which.
        namespace: String,
    },
}

/// What a user may do in one namespace.
#[derive(Clone, Debug)]
pub struct Permission {
    pub(crate) configure: Pattern,
    pub(crate) write: Pattern,
    pub(crate) read: Pattern,
}

/// A user.
#[derive(Debug)]
pub struct User {
    name: Name,
    password: PasswordHash,
    tags: Vec<String>,
    loopback_only: bool,
    permissions: BTreeMap<Name, Arc<Permission>>,
}

impl User {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Whether it has that tag.
    #[must_use]
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own == tag)
    }

    /// Namespaces it has permissions in, in order of their names.
    pub fn namespaces(&self) -> impl Iterator<Item = &Name> {
        self.permissions.keys()
    }

    pub(crate) fn permission(&self, namespace: &str) -> Option<&Arc<Permission>> {
        self.permissions.get(namespace)
    }
}

/// Proof that a user said the right password. Clones share the user.
#[derive(Clone, Debug)]
pub struct Grant {
    user: Arc<User>,
}

impl Grant {
    /// The user.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
    }

    /// The same rule as [`Directory::verify`] has about where a user may come from, for a grant that was kept.
    ///
    /// # Errors
    /// `AuthenticationFailed`: the user may only log in from this machine.
    pub fn admit(&self, loopback: bool) -> Result<(), Refusal> {
        if self.user.loopback_only && !loopback {
            return Err(refused(format!(
                "user '{}' can only connect via localhost; configure a user for connections from elsewhere",
                self.user.name
            )));
        }
        Ok(())
    }
}

/// All users and namespaces.
#[derive(Debug)]
pub struct Directory {
    users: BTreeMap<Name, Arc<User>>,
    namespaces: BTreeSet<Name>,
    /// Compared with when the user does not exist, so that the time taken does not tell.
    nobody: PasswordHash,
}

impl Directory {
    /// Begins a directory that has the default namespace and no users.
    #[must_use]
    pub fn builder() -> DirectoryBuilder {
        DirectoryBuilder { users: Vec::new(), namespaces: BTreeSet::from([Name::new(NAMESPACE_DEFAULT)]) }
    }

    /// Checks who this is. Takes tens of milliseconds on purpose: call it where nobody else waits.
    /// `loopback`: the peer is on this machine.
    ///
    /// # Errors
    /// `AuthenticationFailed`. The text is for the log; what a peer is told should not say which part was wrong.
    pub fn verify(&self, user: &str, password: &[u8], loopback: bool) -> Result<Grant, Refusal> {
        let Some(known) = self.users.get(user) else {
            let _ = self.nobody.matches(password);
            return Err(refused(format!("user '{user}' - invalid credentials")));
        };
        if !known.password.matches(password) {
            return Err(refused(format!("user '{user}' - invalid credentials")));
        }
        let grant = Grant { user: Arc::clone(known) };
        grant.admit(loopback)?;
        Ok(grant)
    }

    /// The grant of a user who proved by other means than the password who they are: by a signature that was checked, say.
    ///
    /// # Errors
    /// `AuthenticationFailed`: there is no such user, or not from there.
    pub fn vouched(&self, user: &str, loopback: bool) -> Result<Grant, Refusal> {
        let known =
            self.users.get(user).ok_or_else(|| refused(format!("user '{user}' is not configured")))?;
        let grant = Grant { user: Arc::clone(known) };
        grant.admit(loopback)?;
        Ok(grant)
    }

    /// The name under which the engine knows a namespace; `None` when it is not configured.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&Name> {
        self.namespaces.get(canonical(name))
    }

    /// All namespaces, in order of their names.
    pub fn namespaces(&self) -> impl Iterator<Item = &Name> {
        self.namespaces.iter()
    }

    /// All users, in order of their names.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values().map(|user| &**user)
    }
}

/// Collects users and namespaces.
#[derive(Debug)]
pub struct DirectoryBuilder {
    users: Vec<UserSpec>,
    namespaces: BTreeSet<Name>,
}

impl DirectoryBuilder {
    /// Adds a namespace; twice is once.
    #[must_use]
    pub fn namespace(mut self, name: &str) -> Self {
        self.namespaces.insert(Name::new(canonical(name)));
        self
    }

    /// Adds a user.
    #[must_use]
    pub fn user(mut self, user: UserSpec) -> Self {
        self.users.push(user);
        self
    }

    /// Adds `guest` with the password `guest`, administrator with all permissions in every namespace, from this machine only
    /// unless `loopback_only` is false.
    #[must_use]
    pub fn guest(self, loopback_only: bool) -> Self {
        let everything = |namespace: &Name| PermissionSpec {
            namespace: namespace.to_string(),
            configure: ".*".into(),
            write: ".*".into(),
            read: ".*".into(),
        };
        let permissions = self.namespaces.iter().map(everything).collect();
        self.user(UserSpec {
            name: "guest".into(),
            password_hash: GUEST_HASH.into(),
            tags: vec!["administrator".into()],
            loopback_only,
            permissions,
        })
    }

    /// Checks everything.
    ///
    /// # Errors
    /// The first mistake found.
    pub fn build(self) -> Result<Directory, AccessError> {
        let mut users = BTreeMap::new();
        for spec in &self.users {
            let user = user(spec, &self.namespaces)?;
            if users.insert(user.name.clone(), Arc::new(user)).is_some() {
                return Err(AccessError::UserTwice(spec.name.clone()));
            }
        }
        let nobody = PasswordHash::parse(GUEST_HASH).expect("the constant is a hash, a test reads it");
        Ok(Directory { users, namespaces: self.namespaces, nobody })
    }
}

fn user(spec: &UserSpec, namespaces: &BTreeSet<Name>) -> Result<User, AccessError> {
    if spec.name.is_empty() {
        return Err(AccessError::EmptyName);
    }
    let password = PasswordHash::parse(&spec.password_hash)
        .map_err(|error| AccessError::Password { user: spec.name.clone(), error })?;
    let mut permissions = BTreeMap::new();
    for permission in &spec.permissions {
        let Some(namespace) = namespaces.get(canonical(&permission.namespace)) else {
            return Err(AccessError::UnknownNamespace {
                user: spec.name.clone(),
                namespace: permission.namespace.clone(),
            });
        };
        let pattern = |which: &'static str, text: &str| {
            Pattern::parse(text).map_err(|error| AccessError::Pattern {
                user: spec.name.clone(),
                namespace: permission.namespace.clone(),
                which,
                pattern: text.into(),
                error,
            })
        };
        let parsed = Permission {
            configure: pattern("configure", &permission.configure)?,
            write: pattern("write", &permission.write)?,
            read: pattern("read", &permission.read)?,
        };
        permissions.insert(namespace.clone(), Arc::new(parsed));
    }
    Ok(User {
        name: Name::new(&spec.name),
        password,
        tags: spec.tags.clone(),
        loopback_only: spec.loopback_only,
        permissions,
    })
}

fn canonical(namespace: &str) -> &str {
    if NAMESPACE_DEFAULT_ALIASES.contains(&namespace) { NAMESPACE_DEFAULT } else { namespace }
}

fn refused(text: String) -> Refusal {
    Refusal::new(RefusalCode::AuthenticationFailed, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str) -> UserSpec {
        UserSpec { name: name.into(), password_hash: GUEST_HASH.into(), ..UserSpec::default() }
    }

    fn in_namespace(namespace: &str, read: &str) -> PermissionSpec {
        PermissionSpec { namespace: namespace.into(), read: read.into(), ..PermissionSpec::default() }
    }

    #[test]
    fn guest_is_welcome_from_this_machine_alone() {
        let directory = Directory::builder().namespace("shop").guest(true).build().unwrap();
        let grant = directory.verify("guest", b"guest", true).unwrap();
        assert!(grant.user().has_tag("administrator"));
        assert_eq!(grant.user().namespaces().collect::<Vec<_>>(), ["/", "shop"]);

        let refusal = directory.verify("guest", b"guest", false).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::AuthenticationFailed);
        assert!(refusal.text.contains("can only connect via localhost"), "{refusal}");
        assert_eq!(grant.admit(false).unwrap_err(), refusal);

        let open = Directory::builder().guest(false).build().unwrap();
        assert!(open.verify("guest", b"guest", false).is_ok());
    }

    #[test]
    fn a_wrong_password_and_an_unknown_user_look_the_same() {
        let directory = Directory::builder().guest(true).build().unwrap();
        for (user, password) in [("guest", "Guest"), ("guest", ""), ("nobody", "guest"), ("", "")] {
            let refusal = directory.verify(user, password.as_bytes(), true).unwrap_err();
            assert_eq!(refusal.code, RefusalCode::AuthenticationFailed);
            assert_eq!(refusal.text, format!("user '{user}' - invalid credentials"));
        }
    }

    #[test]
    fn the_default_namespace_has_three_names() {
        let directory = Directory::builder().namespace("default").namespace("shop").build().unwrap();
        assert_eq!(directory.namespaces().collect::<Vec<_>>(), ["/", "shop"]);
        for name in ["/", "default", ""] {
            assert_eq!(directory.namespace(name).unwrap(), "/");
        }
        assert_eq!(directory.namespace("Shop"), None);
        let user = UserSpec { permissions: vec![in_namespace("default", ".*")], ..spec("ann") };
        let directory = Directory::builder().user(user).build().unwrap();
        assert_eq!(directory.users().next().unwrap().namespaces().collect::<Vec<_>>(), ["/"]);
    }

    #[test]
    fn mistakes_are_named() {
        let build = |users: Vec<UserSpec>| {
            let builder = users.into_iter().fold(Directory::builder(), DirectoryBuilder::user);
            builder.build().unwrap_err().to_string()
        };
        assert!(build(vec![spec("")]).contains("[users.ann]"));
        assert!(build(vec![spec("ann"), spec("ann")]).contains("'ann' is configured twice"));
        let plain = UserSpec { password_hash: "secret".into(), ..spec("ann") };
        assert!(build(vec![plain]).contains("user 'ann': the password is not an Argon2 hash"));
        let regex = UserSpec { permissions: vec![in_namespace("/", "(x")], ..spec("ann") };
        assert!(build(vec![regex]).contains("user 'ann', namespace '/': the read pattern \"(x\""));
        let nowhere = UserSpec { permissions: vec![in_namespace("shop", ".*")], ..spec("ann") };
        assert!(build(vec![nowhere]).contains("namespace 'shop', which is not configured"));
    }
}
