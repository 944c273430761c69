//! Which crate may use which: the table of ARCHITECTURE.md, and what the pure crates may not use at all.
//!
//! Normal dependencies only: tests and build scripts may use what they like. A new edge is a reviewed change of this file.

use super::Finding;
use crate::repo::{Package, SourceFile};

/// May use our crates of the right column. Folder names; the packages carry `baton-` in front.
const TABLE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("core", &["model"]),
    ("journal", &["model"]),
    ("access", &["model"]),
    ("dialect", &["model"]),
    ("journal-file", &["model", "journal"]),
    ("journal-object", &["model", "journal"]),
    ("engine", &["model", "core", "journal"]),
    ("cluster", &["model", "journal", "journal-object", "engine"]),
    ("net", &["model", "access", "engine", "dialect"]),
    ("admin", &["model", "access", "engine", "dialect"]),
];
/// Every `dialect-*`.
const DIALECT_MAY_USE: &[&str] = &["model", "dialect"];
/// Names concrete journals and dialects, and is used by nobody but the tools.
const BINARY: &str = "baton";
/// Folders of tools: they may use anything, and nobody uses them.
const TOOLS: &[&str] = &["sim", "conformance", "fuzz", "benches", "examples", "xtask"];

/// What a pure crate may not depend on, by name or (with `*`) by beginning, and why.
const IMPURE: &[(&str, &str)] = &[
    ("tokio*", "no runtime in a pure crate: time is an argument, bytes come and go through the caller"),
    ("async-*", "no async in a pure crate"),
    ("futures*", "no async in a pure crate"),
    ("smol", "no async in a pure crate"),
    ("mio", "no sockets in a pure crate: `net` has them"),
    ("socket2", "no sockets in a pure crate: `net` has them"),
    ("hyper*", "no sockets in a pure crate: `net` has them"),
    ("axum*", "no sockets in a pure crate: `net` has them"),
    ("tonic*", "no sockets in a pure crate: only dialect-grpc stands on tonic"),
    ("reqwest", "no sockets in a pure crate"),
    ("rustls", "no sockets in a pure crate: `net` has TLS"),
    ("rustix", "no system calls in a pure crate"),
    ("libc", "no system calls in a pure crate"),
    ("nix", "no system calls in a pure crate"),
    ("memmap2", "no files in a pure crate"),
    ("tempfile", "no files in a pure crate"),
    ("rand*", "no randomness in a pure crate: a seed is an argument"),
    ("getrandom", "no randomness in a pure crate: a seed is an argument"),
    ("fastrand", "no randomness in a pure crate: a seed is an argument"),
    ("uuid", "its ids come from clock or randomness: the caller hands ids in"),
    ("ulid", "its ids come from clock or randomness: the caller hands ids in"),
    ("chrono", "no clock in a pure crate: baton_model::Time is an argument"),
    ("time", "no clock in a pure crate: baton_model::Time is an argument"),
    ("jiff", "no clock in a pure crate: baton_model::Time is an argument"),
    ("quanta", "no clock in a pure crate: baton_model::Time is an argument"),
    ("parking_lot*", "no locks in a pure crate: its state has one owner"),
    ("crossbeam*", "no threads in a pure crate"),
    ("rayon*", "no threads in a pure crate"),
    ("flume", "no threads in a pure crate"),
    ("dashmap", "no locks in a pure crate: its state has one owner"),
    ("once_cell", "no global state in a pure crate"),
    ("lazy_static", "no global state in a pure crate"),
];

/// Crates without clock, I/O, async, threads and randomness. (`dialect-grpc` stands on tonic and is the one exception.)
pub(super) fn is_pure(folder: &str) -> bool {
    matches!(folder, "model" | "core" | "access" | "dialect")
        || (folder.starts_with("dialect-") && folder != "dialect-grpc")
}

/// The crate that a path under `crates/` belongs to.
pub(super) fn crate_of(path: &str) -> Option<&str> {
    path.strip_prefix("crates/")?.split_once('/').map(|(folder, _)| folder)
}

pub(super) fn check(packages: &[Package], files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let line = |needle: &str| line_of(files, &package.manifest, needle);
        let Some(folder) = crate_of(&package.manifest) else {
            check_tool(package, &mut findings);
            continue;
        };
        let expected = if folder == BINARY { BINARY.to_owned() } else { format!("baton-{folder}") };
        if package.name != expected {
            findings.push(Finding::new(
                &package.manifest,
                line("name"),
                format!("the package of crates/{folder} is called `{}`", package.name),
                format!("call it `{expected}`"),
            ));
        }
        if allowed(folder).is_none() && folder != BINARY {
            findings.push(Finding::new(
                &package.manifest,
                1,
                format!("crates/{folder} is in no row of the table of layers"),
                "add its row to ARCHITECTURE.md and to xtask/src/tidy/edges.rs, in a change that says why",
            ));
        }
        for dependency in &package.dependencies {
            let finding = if dependency.ours {
                our_edge(folder, &dependency.name)
            } else {
                impure(folder, &dependency.name)
            };
            if let Some((what, instead)) = finding {
                findings.push(Finding::new(&package.manifest, line(&dependency.name), what, instead));
            }
        }
    }
    findings
}

/// A package outside `crates/` must be one of the tools.
fn check_tool(package: &Package, findings: &mut Vec<Finding>) {
    let folder = package.manifest.split('/').next().unwrap_or_default();
    if !TOOLS.contains(&folder) {
        findings.push(Finding::new(
            &package.manifest,
            1,
            format!("a package in `{folder}`, which is neither crates/ nor a folder of tools"),
            format!("move it to crates/ or to one of: {}", TOOLS.join(", ")),
        ));
    }
}

/// What `folder` may use of ours; `None` when the table does not know it (the binary may use everything).
fn allowed(folder: &str) -> Option<&'static [&'static str]> {
    if let Some((_, may_use)) = TABLE.iter().find(|(name, _)| *name == folder) {
        return Some(may_use);
    }
    folder.starts_with("dialect-").then_some(DIALECT_MAY_USE)
}

fn our_edge(folder: &str, dependency: &str) -> Option<(String, String)> {
    let target = dependency.strip_prefix("baton-").unwrap_or(dependency);
    if target == BINARY || TOOLS.contains(&target) {
        return Some((
            format!("{folder} uses {target}"),
            "nothing uses the binary or the tools: move the shared part into a crate below both".into(),
        ));
    }
    if folder == BINARY {
        return None;
    }
    let may_use = allowed(folder)?;
    if may_use.contains(&target) {
        return None;
    }
    let list = if may_use.is_empty() { "none of our crates".to_owned() } else { may_use.join(", ") };
    Some((
        format!("{folder} uses {target}"),
        format!("{folder} may use {list}: speak the words of `model`, or let `baton` wire the two"),
    ))
}

fn impure(folder: &str, dependency: &str) -> Option<(String, String)> {
    if !is_pure(folder) {
        return None;
    }
    let (_, instead) = IMPURE.iter().find(|(name, _)| match name.strip_suffix('*') {
        Some(beginning) => dependency.starts_with(beginning),
        None => dependency == *name,
    })?;
    Some((format!("the pure crate {folder} uses {dependency}"), (*instead).to_owned()))
}

/// The line of a manifest that begins with `needle`, else 1.
fn line_of(files: &[SourceFile], manifest: &str, needle: &str) -> usize {
    let text = files.iter().find(|file| file.path == manifest).map_or("", |file| file.text.as_str());
    text.lines().position(|line| line.trim_start().starts_with(needle)).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::Dependency;

    fn package(folder: &str, ours: &[&str], theirs: &[&str]) -> Package {
        let name = folder.rsplit('/').next().unwrap();
        let dependency = |name: &&str, ours| Dependency { name: (*name).into(), ours };
        Package {
            name: if name == "baton" || name == "xtask" { name.into() } else { format!("baton-{name}") },
            manifest: format!("{folder}/Cargo.toml"),
            dependencies: ours
                .iter()
                .map(|name| dependency(name, true))
                .chain(theirs.iter().map(|name| dependency(name, false)))
                .collect(),
        }
    }

    #[test]
    fn the_edges_of_the_design_are_allowed() {
        let packages = [
            package("crates/engine", &["baton-model", "baton-core", "baton-journal"], &["parking_lot"]),
            package("crates/dialect-stomp", &["baton-model", "baton-dialect"], &["bytes"]),
            package("crates/dialect-grpc", &["baton-model", "baton-dialect"], &["tonic", "tokio"]),
            package("crates/baton", &["baton-journal-file", "baton-dialect-stomp", "baton-net"], &["tokio"]),
            package("benches", &["baton-journal-file"], &["rand"]),
            package("xtask", &[], &["clap"]),
        ];
        assert_eq!(check(&packages, &[]), []);
    }

    #[test]
    fn a_planted_edge_is_found_on_its_line() {
        let manifest = "[package]\nname = \"baton-core\"\n\n[dependencies]\nbaton-journal.workspace = true\n";
        let files = [SourceFile { path: "crates/core/Cargo.toml".into(), text: manifest.into() }];
        let found = check(&[package("crates/core", &["baton-journal"], &[])], &files);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 5);
        assert_eq!(found[0].what, "core uses journal");
    }

    #[test]
    fn pure_crates_have_no_runtime_clock_lock_or_randomness() {
        for (theirs, folder) in
            [("tokio-util", "core"), ("rand_core", "access"), ("parking_lot", "dialect-resp")]
        {
            let found = check(&[package(&format!("crates/{folder}"), &[], &[theirs])], &[]);
            assert_eq!(found.len(), 1, "{folder} with {theirs}");
        }
    }

    #[test]
    fn nobody_uses_the_binary_or_a_tool() {
        let found = check(
            &[package("crates/net", &["baton"], &[]), package("crates/baton", &["baton-sim"], &[])],
            &[],
        );
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn unknown_crates_and_wrong_names_are_found() {
        let mut renamed = package("crates/core", &[], &[]);
        renamed.name = "core".into();
        let found = check(&[package("crates/helpers", &[], &[]), renamed, package("stray", &[], &[])], &[]);
        assert_eq!(found.len(), 3);
    }
}
