//! What can be configured. Filled by `baton`.

use std::collections::BTreeMap;

use baton_model::Name;

/// Options of all sessions.
#[derive(Clone, Debug)]
pub struct SqsOptions {
    /// The account that queues belong to: twelve digits.
    pub account_id: Name,
    /// The region of the endpoint.
    pub region: Name,
    /// By access key id. Empty, with a `guest`: every key is that user, and signatures are not checked.
    pub keys: BTreeMap<Name, AccessKey>,
    /// The user that unchecked requests act as. `None`: there are none such.
    pub guest: Option<Name>,
    /// The namespace that queue names are in.
    pub namespace: Name,
    /// Signatures must be of about now. Not where a test moves the broker's clock and not the client's.
    pub check_time: bool,
    /// Purging and creating after deleting need no waiting. For tests.
    pub relaxed: bool,
}

impl Default for SqsOptions {
    fn default() -> Self {
        Self {
            account_id: Name::const_new("000000000000"),
            region: Name::const_new("us-east-1"),
            keys: BTreeMap::new(),
            guest: Some(Name::const_new("guest")),
            namespace: Name::const_new("/"),
            check_time: true,
            relaxed: false,
        }
    }
}

/// An access key.
#[derive(Clone)]
pub struct AccessKey {
    /// The secret that requests are signed with.
    pub secret: String,
    /// Of temporary credentials: the token that must come with them.
    pub session_token: Option<String>,
    /// The user whose permissions requests have.
    pub user: Name,
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKey").field("user", &self.user).finish_non_exhaustive()
    }
}
