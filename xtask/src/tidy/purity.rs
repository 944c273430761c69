//! The pure crates read no clock, touch no file or socket, start no thread and roll no dice.
//!
//! Clippy's list in their `clippy.toml` sees through renamed imports; this check also sees what Clippy cannot forbid
//! (`async`, whole modules) and works without a compiler. Test code is free.

use super::edges::{crate_of, is_pure};
use super::lexer::{mask, test_spans};
use super::paths::paths;
use super::{Finding, is_test_file, rust_files};
use crate::repo::SourceFile;

const TIME: &str = "take `now: Time` as an argument and give the next deadline out";
const THREAD: &str = "the engine owns threads; a pure crate is called by them";
const ASYNC: &str = "answer with values; `net` and the engine do the waiting";
const FILES: &str = "take bytes as an argument; `journal-file` has the files";
const SOCKETS: &str = "`net` has the sockets; plain address types are in `core::net`";
const PRINT: &str = "return it: an effect, an error, or a value that `baton` logs";
const HASH: &str = "its order differs in every process: BTreeMap, or hashbrown with a fixed hasher where nothing depends on the order";
const DICE: &str = "take the seed as an argument";
const LOCK: &str = "state has one owner; pass `&mut`";
const WORLD: &str = "take it as an argument; `baton` reads configuration and environment";

/// Modules and items that no path may begin with.
const BEGINNINGS: &[(&str, &str)] = &[
    ("std::time::Instant", TIME),
    ("std::time::SystemTime", TIME),
    ("std::time::UNIX_EPOCH", TIME),
    ("std::thread", THREAD),
    ("std::sync::Mutex", LOCK),
    ("std::sync::RwLock", LOCK),
    ("std::sync::Condvar", LOCK),
    ("std::sync::Barrier", LOCK),
    ("std::sync::mpsc", THREAD),
    ("std::fs", FILES),
    ("std::io", "write into a buffer: `bytes::BufMut` for bytes, `std::fmt::Write` for text"),
    ("std::os", WORLD),
    ("std::net", SOCKETS),
    ("std::process", WORLD),
    ("std::env", WORLD),
    ("std::collections::HashMap", HASH),
    ("std::collections::HashSet", HASH),
    ("std::collections::hash_map", HASH),
    ("std::hash::RandomState", HASH),
    ("tokio", ASYNC),
    ("futures", ASYNC),
    ("async_std", ASYNC),
    ("parking_lot", LOCK),
    ("rand", DICE),
    ("getrandom", DICE),
    ("fastrand", DICE),
    ("libc", WORLD),
    ("rustix", WORLD),
    ("async", ASYNC),
];

/// Names that no path may end with, wherever they were imported from.
const ENDINGS: &[(&str, &str)] = &[
    ("Instant::now", TIME),
    ("SystemTime::now", TIME),
    ("RandomState", HASH),
    ("thread_rng", DICE),
    ("println!", PRINT),
    ("print!", PRINT),
    ("eprintln!", PRINT),
    ("eprint!", PRINT),
    ("dbg!", PRINT),
    ("thread_local!", LOCK),
];

pub(super) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in rust_files(files) {
        let Some(folder) = crate_of(&file.path) else { continue };
        let is_product = file.path.starts_with(&format!("crates/{folder}/src/")) && !is_test_file(&file.path);
        if is_pure(folder) && is_product {
            check_file(file, &mut findings);
        }
    }
    findings
}

fn check_file(file: &SourceFile, findings: &mut Vec<Finding>) {
    let masked = mask(&file.text);
    let tests = test_spans(&masked);
    for used in paths(&masked) {
        if tests.iter().any(|span| span.contains(&used.line)) {
            continue;
        }
        if let Some((name, instead)) = banned(&used.path) {
            findings.push(Finding::new(&file.path, used.line, format!("`{name}` in a pure crate"), instead));
        }
    }
}

fn banned(path: &str) -> Option<(&'static str, &'static str)> {
    let begins =
        |name: &str| path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    let ends =
        |name: &str| path.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with("::"));
    BEGINNINGS
        .iter()
        .find(|(name, _)| begins(name))
        .or_else(|| ENDINGS.iter().find(|(name, _)| ends(name)))
        .map(|(name, instead)| (*name, *instead))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(usize, String)> {
        check(&[SourceFile { path: path.into(), text: text.into() }])
            .into_iter()
            .map(|finding| (finding.line, finding.what))
            .collect()
    }

    #[test]
    fn planted_impurities_are_found() {
        for (code, name) in [
            ("let t = std::time::Instant::now();", "std::time::Instant"),
            ("use std::time::{Duration, SystemTime};", "std::time::SystemTime"),
            ("let t = time::Instant::now();", "Instant::now"),
            ("use std::fs;", "std::fs"),
            ("use std::{net::TcpStream, fmt};", "std::net"),
            ("std::thread::sleep(d);", "std::thread"),
            ("use std::collections::{BTreeMap, HashMap};", "std::collections::HashMap"),
            ("use hashbrown::hash_map::RandomState;", "RandomState"),
            ("tokio::spawn(x);", "tokio"),
            ("pub async fn f() {}", "async"),
            ("println!(\"x\");", "println!"),
            ("let x = rand::random();", "rand"),
        ] {
            let source = format!("//! H.\n{code}\n");
            assert_eq!(
                found("crates/core/src/a.rs", &source),
                [(2, format!("`{name}` in a pure crate"))],
                "{code}"
            );
        }
    }

    #[test]
    fn what_only_looks_alike_is_left_alone() {
        for code in [
            "// std::fs::read\n",
            "let s = \"std::fs\";\n",
            "use std::time::Duration;\n",
            "use core::net::IpAddr;\n",
            "let operand = random + tokio_like;\n",
            "self.print(x); my_println!(y);\n",
            "use hashbrown::HashMap;\n",
            "#[cfg(test)]\nmod tests { use std::fs; }\n",
        ] {
            assert_eq!(found("crates/core/src/a.rs", code), [], "{code}");
        }
    }

    #[test]
    fn only_product_code_of_pure_crates_is_looked_at() {
        for path in [
            "crates/net/src/a.rs",
            "crates/core/tests/a.rs",
            "crates/core/src/tests.rs",
            "crates/dialect-grpc/src/a.rs",
        ] {
            assert_eq!(found(path, "use std::fs;\n"), [], "{path}");
        }
        assert_eq!(found("crates/dialect-stomp/src/a.rs", "use std::fs;\n").len(), 1);
    }
}
