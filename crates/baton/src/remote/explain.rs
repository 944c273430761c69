//! `baton explain`: why is it not delivered?

use super::http::Api;
use super::items;
use crate::cli::remote_args::ExplainArgs;
use crate::exit::{Exit, Failure};
use crate::output::{self, sanitise};

/// Runs the command.
///
/// # Errors
/// What the broker refused, or that it does not answer.
pub(crate) fn run(args: &ExplainArgs) -> Result<Exit, Failure> {
    let api = Api::new(&args.server)?;
    let mut path = api.path(&["queues", &args.queue, "explain"]);
    if let Some(seq) = args.seq {
        path.push_str(&format!("?seq={seq}"));
    }
    let answer = api.get(&path)?;
    if args.server.json {
        output::json(&answer)?;
        return Ok(Exit::Success);
    }
    for reason in items(&answer, "reasons") {
        output::data(&format!("{}\n", sanitise::for_stdout(reason.as_str().unwrap_or_default())))?;
    }
    Ok(Exit::Success)
}
