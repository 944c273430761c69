//! The suites that are written in Python, and the virtual environment they run in.
//!
//! `.cache/venv` is made from `conformance/python/requirements.txt` and made again when that file or Python changes.
//! The tests get `BATON_BIN` (the broker), `BATON_NODE_DIR` (a folder below which Node finds amqplib, when Node is
//! there) and `BATON_CARGO` (to build examples in Rust).

use std::path::PathBuf;
use std::process::Command;

use super::broker::point_at;
use super::cargo_runs::counted;
use super::counts::{Counts, pytest};
use super::exec::{Log, version};
use super::{COMMAND_MAX, Runner, Stop, node};
use crate::repo::cargo;

const REQUIREMENTS: &str = "conformance/python/requirements.txt";
const VENV: &str = ".cache/venv";

pub(super) fn conformance(runner: &mut Runner<'_>, log: &mut Log) -> Result<Counts, Stop> {
    suite(runner, log, "conformance/python")
}

pub(super) fn examples(runner: &mut Runner<'_>, log: &mut Log) -> Result<Counts, Stop> {
    suite(runner, log, "examples")
}

fn suite(runner: &mut Runner<'_>, log: &mut Log, folder: &str) -> Result<Counts, Stop> {
    runner.needs_folder(folder)?;
    let python = environment(runner, log)?;
    let broker = runner.broker()?;
    let mut command = Command::new(python);
    point_at(&mut command, &broker);
    command
        .current_dir(runner.repo.root())
        .args(["-m", "pytest", folder, "-q", "-rs", "-p", "no:cacheprovider"])
        .env("BATON_CARGO", cargo())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    if let Ok(node) = node::environment(runner, log) {
        command.env("NODE_PATH", node.join("node_modules")).env("BATON_NODE_DIR", node);
    }
    let finished = log.run(&mut command, COMMAND_MAX)?;
    counted(&finished, pytest(&finished.output))
}

/// The environment's Python, with everything of the requirements installed.
pub(super) fn environment(runner: &Runner<'_>, log: &mut Log) -> Result<PathBuf, Stop> {
    let installed =
        version("python3", &["--version"]).ok_or_else(|| Stop::Skip("python3 is not installed".into()))?;
    runner.needs_folder(REQUIREMENTS)?;
    let requirements = std::fs::read_to_string(runner.repo.path(REQUIREMENTS))
        .map_err(|e| Stop::Fail(format!("cannot read {REQUIREMENTS}: {e}")))?;
    let venv = runner.repo.path(VENV);
    let python = venv.join("bin/python");
    let stamp = venv.join("made-from");
    let made_from = format!("{installed}\n{}\n{requirements}", venv.display());
    if std::fs::read_to_string(&stamp).is_ok_and(|text| text == made_from) && python.exists() {
        return Ok(python);
    }
    if venv.exists() {
        std::fs::remove_dir_all(&venv).map_err(|e| Stop::Fail(format!("cannot remove {VENV}: {e}")))?;
    }
    let made = log.run(Command::new("python3").args(["-m", "venv"]).arg(&venv), COMMAND_MAX)?;
    if !made.success {
        // Debian has it in a package of its own.
        let reason = "python3 cannot make virtual environments (python3-venv is not installed)";
        return Err(Stop::Skip(reason.into()));
    }
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "-r"]);
    let filled = log.run(pip.arg(runner.repo.path(REQUIREMENTS)), COMMAND_MAX)?;
    if !filled.success {
        return Err(Stop::Fail(format!("pip could not install {REQUIREMENTS}: {}", filled.ending)));
    }
    std::fs::write(&stamp, made_from).map_err(|e| Stop::Fail(format!("cannot write into {VENV}: {e}")))?;
    Ok(python)
}
