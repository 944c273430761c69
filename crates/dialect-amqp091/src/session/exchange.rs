//! Exchanges: declare, delete, bind and unbind, with RabbitMQ's equivalence checks. Not here: queues and their bindings
//! (`queue`), routing (`core`).

use baton_dialect::Output;
use baton_model::request::CatalogOp;
use baton_model::route::{Binding, Destination, ExchangeKind, ExchangePolicy};
use baton_model::{Name, Reply, Request};

use super::failure::Failure;
use super::steps::Op;
use super::values::table_bytes;
use super::{AmqpSession, write};
use crate::codes::ReplyCode;
use crate::methods::exchange as methods;
use crate::table::{TableRef, ValueRef};

/// Names of the broker's own begin so.
pub(super) const RESERVED_PREFIX: &str = "amq.";

/// The type of an exchange that delays messages: Baton delays on every exchange, so it is only remembered.
const DELAYED: &str = "x-delayed-message";

/// The label that remembers it.
const KIND_LABEL: &str = "x-exchange-type";

impl AmqpSession {
    pub(super) fn declare_exchange(
        &mut self,
        number: u16,
        declare: &methods::Declare,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let name = Name::from(declare.exchange.as_str());
        check_not_default(&name)?;
        let no_wait = declare.no_wait;
        let wanted = if declare.passive { None } else { Some(Box::new(wanted(declare)?)) };
        let reserved = name.starts_with(RESERVED_PREFIX);
        let op = match &wanted {
            Some(policy) if !reserved => {
                CatalogOp::DeclareExchange { name: name.clone(), policy: ExchangePolicy::clone(policy) }
            }
            _ => CatalogOp::Exchange { name: name.clone() },
        };
        let step = Op::DeclareExchange { name, wanted, reserved, no_wait };
        self.ask_catalog(number, step, op, out);
        Ok(())
    }

    /// The exchange is there: is it as it was wanted?
    pub(super) fn exchange_declared(
        &mut self,
        number: u16,
        name: &Name,
        wanted: Option<&ExchangePolicy>,
        no_wait: bool,
        reply: &Reply,
        out: &mut Output,
    ) -> Result<(), Failure> {
        if let (Some(wanted), Reply::Exchange { created: false, policy }) = (wanted, reply) {
            let differs = difference(wanted, policy);
            if let Some((argument, how)) = differs {
                let vhost = &self.client.vhost;
                return Err(Failure::precondition(format!(
                    "inequivalent arg '{argument}' for exchange '{name}' in vhost '{vhost}': {how}"
                )));
            }
        }
        if !no_wait {
            write(out, number, &methods::DeclareOk);
        }
        Ok(())
    }

    pub(super) fn delete_exchange(
        &mut self,
        number: u16,
        delete: &methods::Delete,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let name = Name::from(delete.exchange.as_str());
        check_not_default(&name)?;
        if name.starts_with(RESERVED_PREFIX) {
            let vhost = &self.client.vhost;
            let text = format!("deletion of system exchange '{name}' in vhost '{vhost}' not allowed");
            return Err(Failure::new(ReplyCode::AccessRefused, text));
        }
        let op = CatalogOp::DeleteExchange { name, if_unused: delete.if_unused };
        self.ask_catalog(number, Op::DeleteExchange { no_wait: delete.no_wait }, op, out);
        Ok(())
    }

    pub(super) fn bind_exchange(
        &mut self,
        number: u16,
        bind: &methods::Bind,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let (source, destination) = (bind.source.as_str(), bind.destination.as_str());
        check_not_default(destination)?;
        let destination = Destination::Exchange(Name::from(destination));
        let binding = binding(source, destination, bind.routing_key.as_str(), bind.arguments.as_table())?;
        self.ask_catalog(number, Op::BindExchange { no_wait: bind.no_wait }, CatalogOp::Bind(binding), out);
        Ok(())
    }

    pub(super) fn unbind_exchange(
        &mut self,
        number: u16,
        unbind: &methods::Unbind,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let (source, destination) = (unbind.source.as_str(), unbind.destination.as_str());
        check_not_default(destination)?;
        let destination = Destination::Exchange(Name::from(destination));
        let binding = binding(source, destination, unbind.routing_key.as_str(), unbind.arguments.as_table())?;
        self.ask_catalog(
            number,
            Op::UnbindExchange { no_wait: unbind.no_wait },
            CatalogOp::Unbind(binding),
            out,
        );
        Ok(())
    }

    pub(super) fn ask_catalog(&mut self, number: u16, step: Op, op: CatalogOp, out: &mut Output) {
        if let Some(token) = self.ask(number, step) {
            self.submit(Request::Catalog { token, op: Box::new(op) }, out);
        }
    }
}

/// A binding with its arguments in neutral form.
pub(super) fn binding(
    source: &str,
    destination: Destination,
    key: &str,
    arguments: TableRef<'_>,
) -> Result<Binding, Failure> {
    check_not_default(source)?;
    if let Some(mode) = arguments.get("x-match")? {
        let known = ["all", "any", "all-with-x", "any-with-x"];
        if !mode.as_str().is_some_and(|mode| known.contains(&mode)) {
            let given = mode.as_str().unwrap_or("something that is no string");
            return Err(Failure::precondition(format!(
                "Invalid x-match field value \"{given}\"; expected all, any, all-with-x, or any-with-x"
            )));
        }
    }
    let arguments = table_bytes(arguments)?;
    Ok(Binding { source: Name::from(source), destination, key: Name::from(key), arguments })
}

fn check_not_default(name: &str) -> Result<(), Failure> {
    if name.is_empty() {
        let text = "operation not permitted on the default exchange";
        return Err(Failure::new(ReplyCode::AccessRefused, text));
    }
    Ok(())
}

fn wanted(declare: &methods::Declare) -> Result<ExchangePolicy, Failure> {
    let arguments = declare.arguments.as_table();
    arguments.check()?;
    let mut labels = Vec::new();
    let kind = declare.kind.as_str();
    let plain = if kind == DELAYED {
        labels.push((Name::from(KIND_LABEL), Name::from(DELAYED)));
        let real = arguments.get("x-delayed-type")?.and_then(ValueRef::as_str);
        real.ok_or_else(|| {
            Failure::precondition("Invalid argument, 'x-delayed-type' must be an existing exchange type")
        })?
    } else {
        kind
    };
    let kind = match plain {
        "direct" => ExchangeKind::Direct,
        "fanout" => ExchangeKind::Fanout,
        "topic" => ExchangeKind::Topic,
        "headers" => ExchangeKind::Headers,
        "x-pattern" => ExchangeKind::Pattern,
        unknown => {
            let text = format!("unknown exchange type '{unknown}'");
            return Err(Failure::new(ReplyCode::CommandInvalid, text));
        }
    };
    let alternate = match arguments.get("alternate-exchange")? {
        None | Some(ValueRef::Void) => None,
        Some(value) => {
            let name = value.as_str().ok_or_else(|| {
                let name = declare.exchange.as_str();
                Failure::precondition(format!(
                    "invalid arg 'alternate-exchange' for exchange '{name}': it must be a string"
                ))
            })?;
            Some(Name::from(name))
        }
    };
    let &methods::Declare { durable, auto_delete, internal, .. } = declare;
    Ok(ExchangePolicy { kind, durable, auto_delete, internal, alternate, labels })
}

/// The first argument in which an exchange is not as wanted, and how.
fn difference(wanted: &ExchangePolicy, there: &ExchangePolicy) -> Option<(&'static str, String)> {
    let differ = |wanted: &str, there: &str| {
        (wanted != there).then(|| format!("received '{wanted}' but current is '{there}'"))
    };
    let flag = |wanted: bool, there: bool| differ(&wanted.to_string(), &there.to_string());
    let alternate = match (&wanted.alternate, &there.alternate) {
        (Some(wanted), Some(there)) => differ(wanted, there),
        (Some(wanted), None) => {
            Some(format!("received the value '{wanted}' of type 'longstr' but current is none"))
        }
        (None, Some(there)) => {
            Some(format!("received none but current is the value '{there}' of type 'longstr'"))
        }
        (None, None) => None,
    };
    let checks = [
        ("type", differ(kind(wanted), kind(there))),
        ("durable", flag(wanted.durable, there.durable)),
        ("auto_delete", flag(wanted.auto_delete, there.auto_delete)),
        ("internal", flag(wanted.internal, there.internal)),
        ("alternate-exchange", alternate),
    ];
    checks.into_iter().find_map(|(name, how)| Some((name, how?)))
}

/// The type as the client named it.
fn kind(policy: &ExchangePolicy) -> &str {
    if policy.labels.iter().any(|(name, value)| name == KIND_LABEL && value == DELAYED) {
        return DELAYED;
    }
    match policy.kind {
        ExchangeKind::Direct => "direct",
        ExchangeKind::Fanout => "fanout",
        ExchangeKind::Topic => "topic",
        ExchangeKind::Headers => "headers",
        ExchangeKind::Pattern => "x-pattern",
    }
}
