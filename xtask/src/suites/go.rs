//! The suite that is written for Go. It runs where it is, with Go's own caches of modules and builds: nothing is left in
//! the repository.

use std::process::Command;

use super::broker::point_at;
use super::cargo_runs::counted;
use super::counts::{Counts, go_test};
use super::exec::{Log, version};
use super::{COMMAND_MAX, Runner, Stop};

const SOURCE: &str = "conformance/go";

pub(super) fn conformance(runner: &mut Runner<'_>, log: &mut Log) -> Result<Counts, Stop> {
    runner.needs_folder(SOURCE)?;
    let go = version("go", &["version"]).ok_or_else(|| Stop::Skip("go is not installed".into()))?;
    let folder = runner.repo.path(SOURCE);
    let manifest = std::fs::read_to_string(folder.join("go.mod"))
        .map_err(|e| Stop::Fail(format!("cannot read {SOURCE}/go.mod: {e}")))?;
    let wanted = manifest.lines().find_map(|line| line.strip_prefix("go "));
    if let Some(wanted) = wanted
        && release(&go) < release(wanted)
    {
        return Err(Stop::Skip(format!("the clients need Go {wanted}, and this is {go}")));
    }
    let broker = runner.broker()?;
    let mut command = Command::new("go");
    // With `-count=1` a result of another broker is not shown again; `local`: no other Go is fetched.
    command.current_dir(folder).args(["test", "-v", "-count=1", "./..."]).env("GOTOOLCHAIN", "local");
    point_at(&mut command, &broker);
    let finished = log.run(&mut command, COMMAND_MAX)?;
    counted(&finished, go_test(&finished.output))
}

/// Major and minor number of `go version go1.26.8 linux/amd64` or of `1.26.0`.
fn release(text: &str) -> Option<(u32, u32)> {
    let number = text
        .split(' ')
        .map(|word| word.trim_start_matches("go"))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut parts = number.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_go() {
        assert_eq!(release("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(release("1.24"), Some((1, 24)));
        assert!(release("go version devel") < release("1.9"));
        assert!(release("1.9.1") < release("1.26.0"));
    }
}
