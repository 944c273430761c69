//! One connection's permissions: whether a request is allowed, by RabbitMQ's table of permissions
//! (<https://www.rabbitmq.com/docs/access-control#authorisation>). The connection driver in `net` asks about every
//! request before the engine sees it; what becomes of a refused one is the driver's business.
//!
//! | request | configure | write | read |
//! | --- | --- | --- | --- |
//! | publish | | exchange | |
//! | subscribe, fetch, purge, browse | | | queue |
//! | declare, update or delete a queue or exchange | itself | | |
//! | … a queue with a dead-letter exchange | | that exchange | queue |
//! | … an exchange with an alternate one | | the alternate | exchange |
//! | bind, unbind | | destination | source |
//! | act on messages in place | | where they go | queue |
//! | push to a list that may have to be made | that queue | default exchange | |
//! | pop from, read, trim, expire, delete a list | | | queue |
//! | … insert or replace an element | | default exchange | queue |
//! | … move or rename a list's elements | the target | default exchange | queue |
//! | delete all lists | everything | | everything |
//! | listen | | | exchange |
//! | settle, credit, flow, recover, cancel, look, list | | | |

use std::sync::Arc;

use baton_model::list::ListOp;
use baton_model::policy::QueuePolicy;
use baton_model::request::{CatalogOp, InspectOp, MessageAction};
use baton_model::route::{Binding, Destination, ExchangePolicy};
use baton_model::{Name, Refusal, RefusalCode, Request};

use crate::directory::{Directory, Grant, Permission};
use crate::limits::NAMES_REMEMBERED;
use crate::pattern::Pattern;

/// What the default exchange, whose name is empty, is called in permissions.
pub const DEFAULT_EXCHANGE: &str = "amq.default";

/// What stands for a queue whose name the broker is yet to make.
const GENERATED_QUEUE: &str = "amq.gen-";

/// Queues that answer one connection's requests ("direct reply-to"). They need no permission, as in RabbitMQ: they are
/// exclusive, so nobody but their connection reads them.
const REPLY_QUEUES: &str = "amq.rabbitmq.reply-to";

/// One connection's permissions. Begins by refusing everything but authentication.
#[derive(Debug)]
pub struct Gate {
    directory: Arc<Directory>,
    grant: Option<Grant>,
    namespace: Name,
    permission: Option<Arc<Permission>>,
    /// Nothing needs to be asked: all three patterns match everything.
    full: bool,
    writable: Remembered,
    readable: Remembered,
}

/// What a permission is about. Its names are those of RabbitMQ's messages.
#[derive(Clone, Copy)]
enum Resource<'a> {
    Queue(&'a str),
    Exchange(&'a str),
}

#[derive(Clone, Copy)]
enum Right {
    Configure,
    Write,
    Read,
}

impl Gate {
    /// A gate for a connection that has not said who it is.
    #[must_use]
    pub fn new(directory: Arc<Directory>) -> Self {
        Self {
            directory,
            grant: None,
            namespace: Name::default(),
            permission: None,
            full: false,
            writable: Remembered::default(),
            readable: Remembered::default(),
        }
    }

    /// The peer has proved who it is; later ones replace earlier ones. A namespace that is open stays open as far as the new user may use it.
    pub fn authenticated(&mut self, grant: Grant) {
        self.grant = Some(grant);
        self.enter();
    }

    /// Who it is.
    #[must_use]
    pub fn grant(&self) -> Option<&Grant> {
        self.grant.as_ref()
    }

    /// The namespace that is open, by the name under which the engine knows it; empty before.
    #[must_use]
    pub fn namespace(&self) -> &Name {
        &self.namespace
    }

    /// Whether `request` is allowed. `Open` also chooses the namespace of all later requests; its name must then be
    /// replaced by [`Gate::namespace`].
    ///
    /// # Errors
    /// `AccessDenied` with RabbitMQ's wording, `NamespaceNotFound` for `Open`.
    pub fn check(&mut self, request: &Request) -> Result<(), Refusal> {
        match request {
            Request::Authenticate { .. } => return Ok(()),
            Request::Open { namespace, .. } => return self.open(namespace),
            _ if self.full => return Ok(()),
            _ if self.permission.is_none() => return Err(self.not_open()),
            _ => {}
        }
        match request {
            Request::Publish(publish) => self.write(Resource::Exchange(&publish.exchange)),
            Request::Subscribe(subscribe) => self.read_queue(&subscribe.queue),
            Request::Fetch(fetch) => self.read_queue(&fetch.queue),
            Request::Group { requests, .. } => requests.iter().try_for_each(|request| self.check(request)),
            Request::Catalog { op, .. } => self.catalog(op),
            Request::List(list) => self.list(&list.op),
            Request::ListGroup(group) => group.ops.iter().try_for_each(|op| self.list(op)),
            Request::Listen { exchange, .. } => self.read(Resource::Exchange(exchange)),
            Request::Inspect { op, .. } => self.inspect(op),
            Request::Authenticate { .. }
            | Request::Open { .. }
            | Request::Settle(_)
            | Request::Unsubscribe { .. }
            | Request::Credit { .. }
            | Request::LinkWindow { .. }
            | Request::Flow { .. }
            | Request::CancelFetch { .. }
            | Request::Recover { .. }
            | Request::Detach { .. }
            | Request::Unlisten { .. }
            | Request::Listeners { .. } => Ok(()),
        }
    }

    fn open(&mut self, namespace: &str) -> Result<(), Refusal> {
        let Some(grant) = &self.grant else { return Err(self.not_open()) };
        let Some(known) = self.directory.namespace(namespace) else {
            return Err(Refusal::new(RefusalCode::NamespaceNotFound, format!("vhost {namespace} not found")));
        };
        if grant.user().permission(known).is_none() {
            let user = grant.user().name();
            return Err(denied(format!("access to vhost '{namespace}' refused for user '{user}'")));
        }
        self.namespace = known.clone();
        self.enter();
        Ok(())
    }

    fn enter(&mut self) {
        let user = self.grant.as_ref().map(Grant::user);
        self.permission = user.and_then(|user| user.permission(&self.namespace)).cloned();
        self.full = self
            .permission
            .as_ref()
            .is_some_and(|p| p.configure.matches_all() && p.write.matches_all() && p.read.matches_all());
        self.writable = Remembered::default();
        self.readable = Remembered::default();
    }

    fn catalog(&mut self, op: &CatalogOp) -> Result<(), Refusal> {
        match op {
            CatalogOp::DeclareQueue { name, policy } => {
                let name = name.as_deref().unwrap_or(GENERATED_QUEUE);
                if policy.exclusive && name.starts_with(REPLY_QUEUES) {
                    return Ok(());
                }
                self.shape_queue(name, policy)
            }
            CatalogOp::UpdateQueue { name, policy } => self.shape_queue(name, policy),
            CatalogOp::DeleteQueue { name, .. } | CatalogOp::Rest { name, .. } => {
                self.configure(Resource::Queue(name))
            }
            CatalogOp::PurgeQueue { name } | CatalogOp::ClearQueue { name } => self.read_queue(name),
            CatalogOp::DeclareExchange { name, policy } => self.shape_exchange(name, policy),
            CatalogOp::DeleteExchange { name, .. } => self.configure(Resource::Exchange(name)),
            CatalogOp::Bind(binding) | CatalogOp::Unbind(binding) => self.bind(binding),
            CatalogOp::Queue { .. }
            | CatalogOp::Queues { .. }
            | CatalogOp::Resting { .. }
            | CatalogOp::Exchange { .. }
            | CatalogOp::Exchanges => Ok(()),
        }
    }

    fn shape_queue(&mut self, name: &str, policy: &QueuePolicy) -> Result<(), Refusal> {
        self.configure(Resource::Queue(name))?;
        if let Some(dead_letter) = &policy.dead_letter {
            self.read_queue(name)?;
            self.write(Resource::Exchange(&dead_letter.exchange))?;
        }
        Ok(())
    }

    fn shape_exchange(&mut self, name: &str, policy: &ExchangePolicy) -> Result<(), Refusal> {
        self.configure(Resource::Exchange(name))?;
        if let Some(alternate) = &policy.alternate {
            self.read(Resource::Exchange(name))?;
            self.write(Resource::Exchange(alternate))?;
        }
        Ok(())
    }

    fn bind(&mut self, binding: &Binding) -> Result<(), Refusal> {
        self.write(match &binding.destination {
            Destination::Queue(name) => Resource::Queue(name),
            Destination::Exchange(name) => Resource::Exchange(name),
        })?;
        self.read(Resource::Exchange(&binding.source))
    }

    /// What RabbitMQ has no word for is measured by what it amounts to: taking a message away is reading,
    /// putting one somewhere is sending it there.
    fn inspect(&mut self, op: &InspectOp) -> Result<(), Refusal> {
        match op {
            InspectOp::Browse { queue, .. }
            | InspectOp::Explain { queue, .. }
            | InspectOp::Unpark { queue, .. }
            | InspectOp::CancelTransfer { queue, .. }
            | InspectOp::Transfers { queue } => self.read_queue(queue),
            InspectOp::StartTransfer { queue, .. } => {
                self.read_queue(queue)?;
                self.write(Resource::Exchange(""))
            }
            InspectOp::Act { queue, action, .. } => {
                self.read_queue(queue)?;
                match action {
                    MessageAction::Move { .. } | MessageAction::Edit(_) => self.write(Resource::Exchange("")),
                    MessageAction::Delete
                    | MessageAction::Release
                    | MessageAction::EndLease
                    | MessageAction::DeadLetter => Ok(()),
                }
            }
            InspectOp::Locate { .. } => Ok(()),
        }
    }

    fn list(&mut self, op: &ListOp) -> Result<(), Refusal> {
        match op {
            ListOp::Push { queue, create, .. } => {
                self.write(Resource::Exchange(""))?;
                if *create { self.configure(Resource::Queue(queue)) } else { Ok(()) }
            }
            ListOp::Pop { queues, .. } => queues.iter().try_for_each(|queue| self.read_queue(queue)),
            ListOp::Delete { queues } => queues.iter().try_for_each(|queue| self.read_queue(queue)),
            ListOp::Move { from, to, .. } | ListOp::Rename { from, to, .. } => {
                self.read_queue(from)?;
                self.write(Resource::Exchange(""))?;
                self.configure(Resource::Queue(to))
            }
            ListOp::Set { queue, .. } | ListOp::Insert { queue, .. } => {
                self.read_queue(queue)?;
                self.write(Resource::Exchange(""))
            }
            ListOp::Range { queue, .. }
            | ListOp::Index { queue, .. }
            | ListOp::Find { queue, .. }
            | ListOp::Remove { queue, .. }
            | ListOp::Trim { queue, .. }
            | ListOp::Expire { queue, .. } => self.read_queue(queue),
            ListOp::DeleteAll if self.full => Ok(()),
            ListOp::DeleteAll => {
                let text = "deleting all lists needs permission for everything in the namespace";
                Err(denied(text.into()))
            }
            ListOp::Send(publish) => self.write(Resource::Exchange(&publish.exchange)),
            ListOp::Length { .. }
            | ListOp::Exist { .. }
            | ListOp::Expiry { .. }
            | ListOp::Names { .. }
            | ListOp::CountAll
            | ListOp::Versions { .. } => Ok(()),
        }
    }

    fn read_queue(&mut self, name: &str) -> Result<(), Refusal> {
        if name.starts_with(REPLY_QUEUES) {
            return Ok(());
        }
        self.read(Resource::Queue(name))
    }

    fn read(&mut self, resource: Resource<'_>) -> Result<(), Refusal> {
        let name = resource.name();
        if self.readable.holds(name) {
            return Ok(());
        }
        self.ask(Right::Read, resource)?;
        self.readable.remember(name);
        Ok(())
    }

    fn write(&mut self, resource: Resource<'_>) -> Result<(), Refusal> {
        let name = resource.name();
        if self.writable.holds(name) {
            return Ok(());
        }
        self.ask(Right::Write, resource)?;
        self.writable.remember(name);
        Ok(())
    }

    fn configure(&mut self, resource: Resource<'_>) -> Result<(), Refusal> {
        self.ask(Right::Configure, resource)
    }

    fn ask(&self, right: Right, resource: Resource<'_>) -> Result<(), Refusal> {
        let Some(permission) = &self.permission else { return Err(self.not_open()) };
        let (pattern, word): (&Pattern, _) = match right {
            Right::Configure => (&permission.configure, "configure"),
            Right::Write => (&permission.write, "write"),
            Right::Read => (&permission.read, "read"),
        };
        let name = resource.name();
        if pattern.matches(name) {
            return Ok(());
        }
        let kind = match resource {
            Resource::Queue(_) => "queue",
            Resource::Exchange(_) => "exchange",
        };
        let user = self.grant.as_ref().map(|grant| grant.user().name().as_str()).unwrap_or_default();
        let namespace = &self.namespace;
        Err(denied(format!(
            "{word} access to {kind} '{name}' in vhost '{namespace}' refused for user '{user}'"
        )))
    }

    fn not_open(&self) -> Refusal {
        denied(if self.grant.is_some() {
            "no namespace is open; open one first".into()
        } else {
            "not authenticated; log in first".into()
        })
    }
}

impl<'a> Resource<'a> {
    fn name(self) -> &'a str {
        match self {
            Self::Exchange("") => DEFAULT_EXCHANGE,
            Self::Queue(name) | Self::Exchange(name) => name,
        }
    }
}

/// The last names that were allowed, so that sending to the same exchange again costs one comparison. Queues and
/// exchanges share it because their patterns do.
#[derive(Debug, Default)]
struct Remembered {
    names: [Name; NAMES_REMEMBERED],
    next: usize,
}

impl Remembered {
    fn holds(&self, name: &str) -> bool {
        // Unused places hold the empty name, which is never asked for.
        self.names.iter().any(|known| known == name)
    }

    fn remember(&mut self, name: &str) {
        if let Some(place) = self.names.get_mut(self.next) {
            *place = Name::new(name);
        }
        self.next = (self.next + 1) % NAMES_REMEMBERED;
    }
}

fn denied(text: String) -> Refusal {
    Refusal::new(RefusalCode::AccessDenied, text)
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
