//! The lint settings that Cargo and Clippy do not inherit by themselves.
//!
//! Every package takes the workspace's lints; every pure crate has the same strict `clippy.toml` (Clippy reads the
//! nearest file and merges nothing).

use super::Finding;
use super::edges::{crate_of, is_pure};
use crate::repo::SourceFile;

/// The one that the others are copies of.
const STRICT: &str = "crates/model/clippy.toml";

pub(super) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let text = |path: &str| files.iter().find(|file| file.path == path).map(|file| file.text.as_str());
    let mut findings = Vec::new();
    for manifest in files.iter().filter(|file| file.path.ends_with("/Cargo.toml")) {
        if manifest.text.contains("[package]") && !inherits_lints(&manifest.text) {
            findings.push(Finding::new(
                &manifest.path,
                1,
                "the workspace's lints are not taken",
                "add `[lints]` with `workspace = true`",
            ));
        }
        let Some(folder) = crate_of(&manifest.path).filter(|folder| is_pure(folder)) else { continue };
        let own = format!("crates/{folder}/clippy.toml");
        if text(&own) != text(STRICT) {
            findings.push(Finding::new(
                &own,
                1,
                "it differs from the strict settings of the pure crates",
                format!("copy {STRICT}; a change there goes to all of them"),
            ));
        }
    }
    findings
}

fn inherits_lints(manifest: &str) -> bool {
    let after = manifest.split_once("[lints]").map_or("", |(_, after)| after);
    after
        .lines()
        .take_while(|line| !line.starts_with('['))
        .any(|line| line.replace(' ', "") == "workspace=true")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.into(), text: text.into() }
    }

    const GOOD: &str = "[package]\nname = \"x\"\n\n[lints]\nworkspace = true\n";

    #[test]
    fn a_copy_is_fine_and_anything_else_is_found() {
        let strict = || file(STRICT, "a = 1\n");
        let core = |text: &str| file("crates/core/clippy.toml", text);
        let manifest = || file("crates/core/Cargo.toml", GOOD);
        assert_eq!(check(&[strict(), core("a = 1\n"), manifest()]), []);
        assert_eq!(check(&[strict(), core("a = 2\n"), manifest()]).len(), 1);
        assert_eq!(check(&[strict(), manifest()]).len(), 1);
        assert_eq!(check(&[strict(), file("crates/net/Cargo.toml", GOOD)]), []);
    }

    #[test]
    fn lints_come_from_the_workspace() {
        assert_eq!(
            check(&[file(
                "crates/net/Cargo.toml",
                "[package]\nname = \"x\"\n[lints]\n[a]\nworkspace = true\n"
            )])
            .len(),
            1
        );
        assert_eq!(check(&[file("Cargo.toml", "[workspace]\n")]), []);
    }
}
