//! The suites.

use clap::ValueEnum;

use crate::repo::Repo;

/// A suite.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// cargo test of the workspace
    Unit,
}

pub(crate) fn ci_plan() -> Vec<Suite> {
    vec![Suite::Unit]
}

pub(crate) fn test_plan(_everyday: bool, only: &[Suite]) -> Vec<Suite> {
    if only.is_empty() { ci_plan() } else { only.to_vec() }
}

pub(crate) fn run(repo: &Repo, _suites: &[Suite]) -> Result<bool, String> {
    std::process::Command::new(crate::repo::cargo())
        .current_dir(repo.root())
        .args(["test", "--workspace", "--no-fail-fast"])
        .status()
        .map(|status| status.success())
        .map_err(|e| e.to_string())
}
