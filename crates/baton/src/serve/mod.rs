//! `baton serve`: wires journal, engine, dialects, network and admin API together, and takes them apart again. The one
//! place that names a concrete journal and concrete dialects. Nothing is decided here that one of them could decide.

mod announce;
mod broker;
mod dialects;
mod listeners;
mod logging;
mod ready;
mod signals;
mod users;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use baton_access::{Directory, NAMESPACE_DEFAULT};
use baton_admin::Admin;
use baton_engine::{Clock, Engine, EngineError, SyncPolicy, SystemClock, TestClock};
use baton_net::{Authenticator, Hub, HubSpec};
use rustls::crypto::aws_lc_rs;

use crate::config::{Config, Journal, Sync};
use crate::exit::{Exit, Failure};
use crate::memory;
use broker::RunningBroker;
use listeners::Bound;
use ready::ReadyFile;
use signals::Signals;
use watch::{Seen, Watch};

/// Directories of the data directory that begin so each hold the journal of one partition.
pub(crate) const PARTITION_PREFIX: &str = "partition-";

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Looks at what only shows when it is used: users, patterns, TLS files.
///
/// # Errors
/// The first mistake.
pub(crate) fn check(config: &Config) -> Result<(), Failure> {
    users::directory(config)?;
    listeners::tls(config)?;
    Ok(())
}

/// Runs the broker until it is told to stop.
///
/// # Errors
/// What keeps it from starting, with the exit code that belongs to it.
pub(crate) fn run(config: &Config) -> Result<Exit, Failure> {
    logging::start(&config.log);
    let directory = Arc::new(users::directory(config)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.worker_threads.value)
        .thread_name("baton-net")
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failure, format!("cannot start threads: {error}")))?;
    let entered = runtime.enter();
    // Signals before anything can take long: one that comes during recovery must not be lost.
    let signals = Signals::take()
        .map_err(|error| Failure::new(Exit::Failure, format!("cannot listen for signals: {error}")))?;
    let bound = listeners::bind(config)?;
    let clock = clock(config);
    let engine = engine(config, Arc::clone(&clock))?;
    drop(entered);
    let outcome = runtime.block_on(serve(config, directory, clock, engine.clone(), bound, signals));
    // What tasks are left hold nothing that matters: all connections are gone, and the engine is shut down below.
    runtime.shutdown_timeout(Duration::from_secs(1));
    engine.shutdown();
    if outcome.is_ok() {
        tracing::info!("stopped; everything that was confirmed is on disk");
    }
    outcome.map(|()| Exit::Success)
}

async fn serve(
    config: &Config,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    engine: Engine,
    bound: Bound,
    mut signals: Signals,
) -> Result<(), Failure> {
    let authenticator = Arc::new(Authenticator::new(Arc::clone(&directory)));
    let hub = Hub::new(HubSpec {
        ports: Arc::new(engine.clone()),
        clock: Arc::clone(&clock),
        authenticator: Arc::clone(&authenticator),
        connections_max: usize::try_from(config.limits.connections_max.value).unwrap_or(usize::MAX),
        message_bytes_max: config.limits.message_bytes_max.value,
        version: VERSION,
    });
    let seen = Arc::new(Seen::default());
    let watch = Watch::start(engine.clone(), &config.limits, &config.data_dir.value, Arc::clone(&seen))
        .map_err(|error| Failure::new(Exit::Failure, format!("cannot start threads: {error}")))?;
    let broker = Arc::new(RunningBroker::new(engine, authenticator, &config.limits, seen));
    let options = baton_admin::Options {
        guest: config.users.is_empty(),
        message_bytes_max: config.limits.message_bytes_max.value,
    };
    let admin = Admin::new(Arc::clone(&broker) as _, clock, directory, options);
    let endpoints = bound.serve(config, &hub, &admin, &broker);
    broker.set_serving(true);
    let ready = match &config.ready_file.value {
        Some(path) => {
            Some(ReadyFile::write(path, &endpoints).map_err(|text| Failure::new(Exit::Failure, text))?)
        }
        None => None,
    };
    announce::endpoints(config, &endpoints);

    let signal = signals.next().await;
    signals.insist();
    tracing::info!(signal, "shutting down; a second signal ends at once");
    broker.set_serving(false);
    drop(ready);
    admin.stop_waiting();
    drop(watch);
    let left = hub.shutdown("the broker is shutting down").await;
    if left > 0 {
        tracing::warn!(connections = left, "connections that did not say goodbye in time are cut off");
    }
    Ok(())
}

fn clock(config: &Config) -> Arc<dyn Clock> {
    if config.test_clock.value {
        tracing::warn!("running on a test clock: time can be moved over HTTP; never do this in production");
        Arc::new(TestClock::default())
    } else {
        Arc::new(SystemClock)
    }
}

/// Opens the journal and recovers the partition. There is one partition; more will get directories beside it.
fn engine(config: &Config, clock: Arc<dyn Clock>) -> Result<Engine, Failure> {
    let directory = config.data_dir.value.join(format!("{PARTITION_PREFIX}0"));
    let journal = &config.journal;
    let options = baton_journal_file::Options {
        segment_bytes: journal.segment_bytes.value,
        ..baton_journal_file::Options::default()
    };
    let mut seed = [0; 8];
    aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut seed)
        .map_err(|_| Failure::new(Exit::Failure, "the system gives no random numbers"))?;
    let engine_options = baton_engine::Options {
        seed: u64::from_le_bytes(seed),
        sync: sync_policy(journal),
        ..baton_engine::Options::default()
    };
    let started = baton_journal_file::open(&directory, options)
        .map_err(EngineError::from)
        .and_then(|opened| Engine::start(opened, clock, engine_options))
        .map_err(|error| failure(config, &error));
    // The journal was read through a window as long as its longest batch.
    memory::give_back();
    started
}

fn sync_policy(journal: &Journal) -> SyncPolicy {
    let one = |sync: Sync, interval_ms| match sync {
        Sync::Always => baton_engine::Sync::Always,
        Sync::Interval => baton_engine::Sync::Interval(interval_ms),
    };
    let name = |name: &str| match name {
        "default" => NAMESPACE_DEFAULT.into(),
        other => other.into(),
    };
    SyncPolicy {
        others: one(journal.sync.value, journal.sync_interval_ms.value),
        namespaces: journal
            .namespaces
            .iter()
            .map(|(namespace, of)| (name(namespace), one(of.sync, of.sync_interval_ms)))
            .collect(),
    }
}

fn failure(config: &Config, error: &EngineError) -> Failure {
    use baton_journal::JournalError as Broken;
    let (exit, remedy) = match error {
        EngineError::Journal(Broken::Locked { .. }) => (Exit::Locked, " with --data-dir".to_owned()),
        EngineError::Journal(Broken::Corrupt { .. } | Broken::NotUnderstood { .. })
        | EngineError::Snapshot { .. }
        | EngineError::Page(_)
        | EngineError::Broken(_) => {
            (Exit::Corrupt, format!(": `baton doctor {}`", config.data_dir.value.display()))
        }
        EngineError::Journal(Broken::Full { .. } | Broken::Failed { .. } | Broken::Unreadable { .. }) => {
            (Exit::Disk, String::new())
        }
        EngineError::Journal(_) | EngineError::Thread(_) => (Exit::Failure, String::new()),
    };
    Failure::new(exit, format!("cannot open the data: {error}{remedy}"))
}
