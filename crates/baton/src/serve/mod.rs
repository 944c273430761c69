//! `baton serve`: wires journal, engine, dialects, network and admin API together, and takes them apart again.

pub(crate) mod logging;
pub(crate) mod ready;
pub(crate) mod users;

use crate::config::Config;
use crate::exit::{Exit, Failure};

/// Directories of the data directory that begin so each hold the journal of one partition.
pub(crate) const PARTITION_PREFIX: &str = "partition-";

/// Runs the broker until it is told to stop.
///
/// # Errors
/// What keeps it from starting.
pub(crate) fn run(config: &Config) -> Result<Exit, Failure> {
    logging::start(&config.log);
    Err(Failure::new(Exit::Failure, "waiting for the engine"))
}
