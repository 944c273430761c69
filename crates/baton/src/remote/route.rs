//! `baton route add|list|remove`: which channels' or exchanges' messages a queue keeps.

use std::time::Duration;

use serde_json::{Value as Json, json};
use ureq::http::Method;

use super::http::Api;
use super::{items, text};
use crate::cli::route_args::{RouteCommand, RouteTarget};
use crate::exit::{Exit, Failure};
use crate::output::{self, sanitise, table};

/// Runs the command.
///
/// # Errors
/// What the broker refused, or that it does not answer.
pub(crate) fn run(command: RouteCommand) -> Result<Exit, Failure> {
    match command {
        RouteCommand::Add(args) => add(&args.target)?,
        RouteCommand::List { queue, exchange, server } => {
            list(&Api::new(&server)?, queue.as_deref(), exchange.as_deref(), server.json)?;
        }
        RouteCommand::Remove(target) => remove(&target)?,
    }
    Ok(Exit::Success)
}

fn add(route: &RouteTarget) -> Result<(), Failure> {
    let api = Api::new(&route.server)?;
    let path = api.path(&["queues", &route.queue]);
    match api.get(&path) {
        Err(failure) if failure.exit == Exit::NotFound => {
            api.call(Method::PUT, &path, Some(&json!({})), Duration::ZERO)?;
            output::note(&format!("created queue {}", route.queue));
        }
        Err(failure) => return Err(failure),
        Ok(info) if info.pointer("/policy/durable") == Some(&Json::Bool(false)) => {
            output::warning(&format!(
                "{} is not durable: it and this route end with the broker",
                route.queue
            ));
        }
        Ok(_) => {}
    }
    api.call(Method::PUT, &api.path(&["bindings"]), Some(&binding(route)), Duration::ZERO)?;
    if route.server.json {
        return output::json(&binding(route));
    }
    output::note(&format!("{} keeps what {} gets for {}", route.queue, route.exchange, route.pattern));
    Ok(())
}

fn remove(route: &RouteTarget) -> Result<(), Failure> {
    let api = Api::new(&route.server)?;
    let path = api.path(&["bindings"]);
    let wanted = binding(route);
    // The broker is content with taking away what is not there; a person who mistyped a pattern is not.
    if !items(&api.get(&path)?, "bindings").contains(&wanted) {
        let text = format!(
            "{} has no route from {} for {}; `baton route list {}` prints those it has",
            route.queue, route.exchange, route.pattern, route.queue
        );
        return Err(Failure::new(Exit::NotFound, text));
    }
    api.call(Method::DELETE, &path, Some(&wanted), Duration::ZERO)?;
    if route.server.json {
        return output::json(&wanted);
    }
    output::note(&format!(
        "{} keeps no longer what {} gets for {}",
        route.queue, route.exchange, route.pattern
    ));
    Ok(())
}

/// A route as the API writes it.
fn binding(route: &RouteTarget) -> Json {
    json!({ "source": route.exchange, "queue": route.queue, "key": route.pattern })
}

fn list(api: &Api, queue: Option<&str>, exchange: Option<&str>, as_json: bool) -> Result<(), Failure> {
    let answer = api.get(&api.path(&["bindings"]))?;
    let is = |route: &Json, field: &str, wanted: Option<&str>| {
        wanted.is_none_or(|wanted| route.get(field).and_then(Json::as_str) == Some(wanted))
    };
    let routes: Vec<&Json> = items(&answer, "bindings")
        .iter()
        .filter(|route| is(route, "queue", queue) && is(route, "source", exchange))
        .collect();
    if as_json {
        return output::json(&json!({ "bindings": routes }));
    }
    if routes.is_empty() {
        output::note("no routes; make one with `baton route add QUEUE PATTERN`");
        return Ok(());
    }
    let mut table = table::table(&["exchange", "pattern", "to", "arguments"]);
    for route in routes {
        let to = match route.get("exchange").and_then(Json::as_str) {
            Some(exchange) => format!("exchange {exchange}"),
            None => text(route, "queue"),
        };
        table.add_row([
            sanitise::one_line(&text(route, "source"), 60),
            sanitise::one_line(&text(route, "key"), 60),
            sanitise::one_line(&to, 60),
            sanitise::one_line(&text(route, "arguments"), 60),
        ]);
    }
    output::data(&table::text(&table))
}
