//! The lint settings that Cargo and Clippy do not inherit by themselves.
//!
//! Every package takes the workspace's lints; every pure crate has the same strict `clippy.toml` (Clippy reads the
//! nearest file and merges nothing).

use super::Finding;
use super::edges::{crate_of, is_pure};
use crate::repo::{Package, SourceFile};

/// The one that the others are copies of.
const STRICT: &str = "crates/model/clippy.toml";

pub(super) fn check(packages: &[Package], files: &[SourceFile]) -> Vec<Finding> {
    let text = |path: &str| files.iter().find(|file| file.path == path).map(|file| file.text.as_str());
    let mut findings = Vec::new();
    for package in packages {
        if !text(&package.manifest).is_some_and(inherits_lints) {
            findings.push(Finding::new(
                &package.manifest,
                1,
                "the workspace's lints are not taken",
                "add `[lints]` with `workspace = true`",
            ));
        }
        let Some(folder) = crate_of(&package.manifest).filter(|folder| is_pure(folder)) else { continue };
        let own = format!("crates/{folder}/clippy.toml");
        if text(&own).is_none() || text(&own) != text(STRICT) {
            findings.push(Finding::new(
                &own,
                1,
                "it is not the strict settings of the pure crates",
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

    fn package(folder: &str) -> Package {
        let manifest = format!("{folder}/Cargo.toml");
        Package { name: folder.replace("crates/", "baton-"), manifest, dependencies: Vec::new() }
    }

    const GOOD: &str = "[package]\nname = \"x\"\n\n[lints]\nworkspace = true\n";

    #[test]
    fn a_copy_is_fine_and_anything_else_is_found() {
        let strict = || file(STRICT, "a = 1\n");
        let core = |text: &str| file("crates/core/clippy.toml", text);
        let manifest = || file("crates/core/Cargo.toml", GOOD);
        let check = |files: &[SourceFile]| check(&[package("crates/core")], files);
        assert_eq!(check(&[strict(), core("a = 1\n"), manifest()]), []);
        assert_eq!(check(&[strict(), core("a = 2\n"), manifest()]).len(), 1);
        assert_eq!(check(&[strict(), manifest()]).len(), 1);
        assert_eq!(check(&[manifest()]).len(), 1);
    }

    #[test]
    fn lints_come_from_the_workspace() {
        let net = |text| file("crates/net/Cargo.toml", text);
        assert_eq!(check(&[package("crates/net")], &[net(GOOD)]), []);
        let bad = "[package]\nname = \"x\"\n[lints]\n[a]\nworkspace = true\n";
        assert_eq!(check(&[package("crates/net")], &[net(bad)]).len(), 1);
    }
}
