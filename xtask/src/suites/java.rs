//! The suite that is written for Java, which Maven runs. What it compiles is in `.cache/java`; the clients are in Maven's
//! own repository.

use std::process::Command;

use super::broker::point_at;
use super::cargo_runs::counted;
use super::counts::{Counts, surefire};
use super::exec::{Log, version};
use super::{COMMAND_MAX, Runner, Stop};

const SOURCE: &str = "conformance/java";
/// What the newest of the clients ask for, and `maven.compiler.release` in the manifest.
const RELEASE_MIN: u32 = 17;

pub(super) fn conformance(runner: &mut Runner<'_>, log: &mut Log) -> Result<Counts, Stop> {
    runner.needs_folder(SOURCE)?;
    version("mvn", &["--version"]).ok_or_else(|| Stop::Skip("mvn (Maven) is not installed".into()))?;
    let java = version("javac", &["-version"]).ok_or_else(|| Stop::Skip("javac is not installed".into()))?;
    if release(&java).is_none_or(|release| release < RELEASE_MIN) {
        return Err(Stop::Skip(format!("the clients need Java {RELEASE_MIN}, and this is {java}")));
    }
    let broker = runner.broker()?;
    let mut command = Command::new("mvn");
    command.current_dir(runner.repo.path(SOURCE)).args(["--batch-mode", "--no-transfer-progress", "test"]);
    point_at(&mut command, &broker);
    let finished = log.run(&mut command, COMMAND_MAX)?;
    counted(&finished, surefire(&finished.output))
}

/// `javac 17.0.9` is 17.
fn release(version: &str) -> Option<u32> {
    version.strip_prefix("javac ")?.split(['.', '-']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_java() {
        assert_eq!(release("javac 17.0.9"), Some(17));
        assert_eq!(release("javac 21-ea"), Some(21));
        assert_eq!(release("nonsense"), None);
    }
}
