//! The suite that is written for Node, and the folder it runs in.
//!
//! `.cache/node` is a copy of `conformance/node` with the packages of its lock file installed, so that imports resolve
//! and the repository stays clean. `node_modules` is made again when the manifest, the lock file or Node changes.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::broker::point_at;
use super::cargo_runs::counted;
use super::counts::{Counts, node_test};
use super::exec::{Log, version};
use super::{COMMAND_MAX, Runner, Stop};

const SOURCE: &str = "conformance/node";
const COPY: &str = ".cache/node";
/// `node --test` appeared here.
const MAJOR_MIN: u32 = 18;
/// What AWS's SDK and sqs-consumer ask for (`engines` in their manifests). On an older Node their files are left out.
const MAJOR_MIN_SQS: u32 = 20;

pub(super) fn conformance(runner: &mut Runner<'_>, log: &mut Log) -> Result<Counts, Stop> {
    runner.needs_folder(SOURCE)?;
    let folder = environment(runner, log)?;
    let broker = runner.broker()?;
    let node = version("node", &["--version"]).unwrap_or_default();
    let (tests, too_new) = tests_for(major(&node), listed(&folder)?);
    if tests.is_empty() {
        return Err(Stop::Fail(format!("{SOURCE} has no *.test.mjs")));
    }
    let mut command = Command::new("node");
    command.current_dir(&folder).arg("--test").args(&tests);
    point_at(&mut command, &broker);
    let finished = log.run(&mut command, COMMAND_MAX)?;
    let mut counts = counted(&finished, node_test(&finished.output))?;
    for file in too_new {
        let reason = format!("{file}: AWS's SDK needs Node {MAJOR_MIN_SQS}, and this is {node}");
        counts.add(&Counts { skipped: 1, reasons: vec![reason], ..Counts::default() });
    }
    Ok(counts)
}

/// The test files among `names` that this Node can run, in order, and those that it is too old for.
fn tests_for(major: Option<u32>, names: Vec<String>) -> (Vec<String>, Vec<String>) {
    let mut tests: Vec<String> = names.into_iter().filter(|name| name.ends_with(".test.mjs")).collect();
    tests.sort();
    let old = major.is_none_or(|major| major < MAJOR_MIN_SQS);
    tests.into_iter().partition(|name| !(old && name.starts_with("sqs")))
}

/// The copy of the folder, with its packages installed.
pub(super) fn environment(runner: &Runner<'_>, log: &mut Log) -> Result<PathBuf, Stop> {
    let node = version("node", &["--version"]).ok_or_else(|| Stop::Skip("node is not installed".into()))?;
    if major(&node).is_none_or(|major| major < MAJOR_MIN) {
        return Err(Stop::Skip(format!("node {node} is older than {MAJOR_MIN}")));
    }
    version("npm", &["--version"]).ok_or_else(|| Stop::Skip("npm is not installed".into()))?;
    runner.needs_folder(&format!("{SOURCE}/package.json"))?;

    let source = runner.repo.path(SOURCE);
    let copy = runner.repo.path(COPY);
    refresh(&source, &copy).map_err(|e| Stop::Fail(format!("cannot copy {SOURCE} to {COPY}: {e}")))?;

    let text = |file: &str| std::fs::read_to_string(source.join(file)).unwrap_or_default();
    let made_from = format!("{node}\n{}\n{}", text("package.json"), text("package-lock.json"));
    let stamp = copy.join("node_modules/made-from");
    if std::fs::read_to_string(&stamp).is_ok_and(|text| text == made_from) {
        return Ok(copy);
    }
    let how = if source.join("package-lock.json").exists() { "ci" } else { "install" };
    let mut npm = Command::new("npm");
    npm.current_dir(&copy).args([how, "--no-audit", "--no-fund", "--no-progress", "--loglevel=error"]);
    let installed = log.run(&mut npm, COMMAND_MAX)?;
    if !installed.success {
        return Err(Stop::Fail(format!("npm {how} failed for {SOURCE}: {}", installed.ending)));
    }
    std::fs::create_dir_all(copy.join("node_modules"))
        .and_then(|()| std::fs::write(&stamp, made_from))
        .map_err(|e| Stop::Fail(format!("cannot write into {COPY}: {e}")))?;
    Ok(copy)
}

/// `v20.1.0` is 20.
fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn listed(folder: &Path) -> Result<Vec<String>, Stop> {
    let entries = std::fs::read_dir(folder).map_err(|e| Stop::Fail(format!("cannot list {COPY}: {e}")))?;
    Ok(entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// Makes `copy` hold what `source` holds, and leaves installed packages where they are.
fn refresh(source: &Path, copy: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(copy)?;
    for entry in std::fs::read_dir(copy)? {
        let entry = entry?;
        if entry.file_name() == "node_modules" {
            continue;
        }
        if entry.path().is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    copy_below(source, copy)
}

fn copy_below(source: &Path, copy: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(copy)?;
    for entry in std::fs::read_dir(source)? {
        let entry = entry?;
        if entry.file_name() == "node_modules" {
            continue;
        }
        let target = copy.join(entry.file_name());
        if entry.path().is_dir() {
            copy_below(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_node() {
        assert_eq!(major("v20.20.2"), Some(20));
        assert_eq!(major("nonsense"), None);
    }

    #[test]
    fn an_older_node_runs_all_but_what_needs_a_newer_one() {
        let names =
            || ["sqs.test.mjs", "amqplib.test.mjs", "sqs-access.test.mjs", "server.mjs"].map(String::from);
        let (run, left) = tests_for(Some(18), names().into());
        assert_eq!(
            (run, left),
            (vec!["amqplib.test.mjs".into()], vec!["sqs-access.test.mjs".into(), "sqs.test.mjs".into()])
        );
        let (run, left) = tests_for(Some(20), names().into());
        assert_eq!((run.len(), left.len()), (3, 0));
    }

    #[test]
    fn a_refresh_drops_what_is_gone_and_keeps_packages() {
        let base = std::env::temp_dir().join(format!("baton-xtask-node-{}", std::process::id()));
        let (source, copy) = (base.join("source"), base.join("copy"));
        std::fs::create_dir_all(source.join("lib")).unwrap();
        std::fs::create_dir_all(copy.join("node_modules/x")).unwrap();
        std::fs::write(source.join("lib/a.mjs"), "1").unwrap();
        std::fs::write(copy.join("old.test.mjs"), "1").unwrap();
        refresh(&source, &copy).unwrap();
        assert!(copy.join("lib/a.mjs").exists() && copy.join("node_modules/x").exists());
        assert!(!copy.join("old.test.mjs").exists());
        std::fs::remove_dir_all(base).unwrap();
    }
}
