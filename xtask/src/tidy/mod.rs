//! `cargo xtask tidy`: what the compiler cannot know about this tree.
//!
//! Each check is one file and a pure function from texts to [`Finding`]s, so that its tests plant violations
//! without a checkout. Here they are gathered, sorted and printed.

mod docs;
mod edges;
mod headers;
mod leaks;
mod lexer;
mod lint_files;
mod paths;
mod purity;
mod ratchet;
mod size;

use std::fmt;

use crate::repo::{Repo, SourceFile};
use ratchet::Ratchet;

/// A place where the tree breaks a rule of its own.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    /// From 1.
    line: usize,
    what: String,
    instead: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>, instead: impl Into<String>) -> Finding {
        Finding { path: path.to_owned(), line, what: what.into(), instead: instead.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.path, self.line, self.what, self.instead)
    }
}

/// Prints every finding. `true`: there was none.
pub(crate) fn run(repo: &Repo) -> Result<bool, String> {
    let findings = findings(repo)?;
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => println!("tidy: nothing to say"),
        1 => println!("tidy: 1 finding"),
        n => println!("tidy: {n} findings"),
    }
    Ok(findings.is_empty())
}

/// Every finding, in the order of the tree.
pub(crate) fn findings(repo: &Repo) -> Result<Vec<Finding>, String> {
    let names = repo.files()?;
    let files = repo.read_text(&names)?;
    let metadata = repo.metadata()?;

    let mut findings = edges::check(&metadata.packages, &files);
    findings.extend(headers::check(&files));
    findings.extend(ratchet::check(&size::measure(&files), &Ratchet::load(repo)?));
    findings.extend(purity::check(&files));
    findings.extend(docs::check(&files, &names));
    findings.extend(leaks::check(&files, &leaks::of_this_machine(repo)));
    findings.extend(lint_files::check(&metadata.packages, &files));
    findings.sort();
    findings.dedup();
    Ok(findings)
}

/// Lowers every number of the ratchet file that is higher than today's size.
pub(crate) fn shrink_ratchet(repo: &Repo) -> Result<(), String> {
    let names = repo.files()?;
    let files = repo.read_text(names.iter().filter(|name| is_rust(name)))?;
    Ratchet::load(repo)?.shrunk(&size::measure(&files)).save(repo)
}

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

/// Files that hold nothing but tests.
fn is_test_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name == "tests.rs"
        || name.ends_with("_tests.rs")
        || path.starts_with("tests/")
        || path.contains("/tests/")
}

fn rust_files(files: &[SourceFile]) -> impl Iterator<Item = &SourceFile> {
    files.iter().filter(|file| is_rust(&file.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_as_path_line_what_instead() {
        let finding = Finding::new("a/b.rs", 7, "no header", "add one");
        assert_eq!(finding.to_string(), "a/b.rs:7: no header; add one");
    }

    #[test]
    fn test_files_are_known_by_name_or_folder() {
        for path in
            ["a/src/tests.rs", "a/src/queue_tests.rs", "a/tests/it.rs", "tests/x.rs", "a/src/tests/y.rs"]
        {
            assert!(is_test_file(path), "{path}");
        }
        for path in ["a/src/latest.rs", "a/src/test_clock.rs", "attests/x.rs"] {
            assert!(!is_test_file(path), "{path}");
        }
    }
}
