//! `xtask/ratchet.txt`: what is longer than the limit today, with its size, which may only shrink.
//!
//! A line is `LINES PATH` for a file or `LINES PATH fn NAME` for a function; `#` begins a comment.

use std::fmt::Write as _;

use super::Finding;
use super::size::Measured;
use crate::repo::Repo;

const PATH: &str = "xtask/ratchet.txt";

/// The exceptions, in the order of their file.
#[derive(Debug, Default)]
pub(super) struct Ratchet {
    comments: Vec<String>,
    entries: Vec<Entry>,
    /// Lines that nobody can read.
    broken: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Entry {
    line: usize,
    lines: usize,
    path: String,
    function: Option<String>,
}

impl Ratchet {
    pub(super) fn load(repo: &Repo) -> Result<Ratchet, String> {
        let path = repo.path(PATH);
        if !path.exists() {
            return Ok(Ratchet::default());
        }
        let text = std::fs::read_to_string(&path).map_err(|e| format!("cannot read {PATH}: {e}"))?;
        Ok(Ratchet::parse(&text))
    }

    fn parse(text: &str) -> Ratchet {
        let mut ratchet = Ratchet::default();
        for (at, text) in text.lines().enumerate() {
            let line = at + 1;
            if text.starts_with('#') {
                ratchet.comments.push(text.to_owned());
                continue;
            }
            let mut words = text.split_whitespace();
            let (size, path, keyword, name) = (words.next(), words.next(), words.next(), words.next());
            match (size.map(str::parse), path, keyword, name) {
                (None, ..) => {}
                (Some(Ok(lines)), Some(path), None, None) => {
                    ratchet.entries.push(Entry { line, lines, path: path.into(), function: None });
                }
                (Some(Ok(lines)), Some(path), Some("fn"), Some(name)) => {
                    ratchet.entries.push(Entry {
                        line,
                        lines,
                        path: path.into(),
                        function: Some(name.into()),
                    });
                }
                _ => ratchet.broken.push(line),
            }
        }
        ratchet
    }

    fn entry(&self, measured: &Measured) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.is_of(measured))
    }

    /// The same, with every number lowered to today's size; what is below its limit is gone.
    pub(super) fn shrunk(mut self, sizes: &[Measured]) -> Ratchet {
        self.entries.retain_mut(|entry| {
            let Some(measured) = sizes.iter().find(|measured| entry.is_of(measured)) else { return false };
            entry.lines = entry.lines.min(measured.lines);
            measured.lines > measured.lines_max
        });
        self
    }

    pub(super) fn save(&self, repo: &Repo) -> Result<(), String> {
        let mut text = String::new();
        for comment in &self.comments {
            text.push_str(comment);
            text.push('\n');
        }
        for Entry { lines, path, function, .. } in &self.entries {
            let _ = match function {
                Some(name) => writeln!(text, "{lines} {path} fn {name}"),
                None => writeln!(text, "{lines} {path}"),
            };
        }
        std::fs::write(repo.path(PATH), text).map_err(|e| format!("cannot write {PATH}: {e}"))
    }
}

impl Entry {
    fn is_of(&self, measured: &Measured) -> bool {
        self.path == measured.path && self.function == measured.function
    }
}

pub(super) fn check(sizes: &[Measured], ratchet: &Ratchet) -> Vec<Finding> {
    let mut findings = Vec::new();
    for measured in sizes {
        let max =
            ratchet.entry(measured).map_or(measured.lines_max, |entry| entry.lines.max(measured.lines_max));
        if measured.lines > max {
            findings.push(too_long(measured, max));
        }
    }
    for line in &ratchet.broken {
        findings.push(Finding::new(
            PATH,
            *line,
            "a line that is no exception",
            "write `LINES PATH` or `LINES PATH fn NAME`",
        ));
    }
    for entry in &ratchet.entries {
        let measured = sizes.iter().find(|measured| entry.is_of(measured));
        if let Some((what, instead)) = stale(entry, measured) {
            findings.push(Finding::new(PATH, entry.line, what, instead));
        }
    }
    findings
}

fn too_long(measured: &Measured, max: usize) -> Finding {
    let Measured { path, function, line, lines, .. } = measured;
    let (what, instead) = match function {
        Some(name) => (
            format!("fn {name} has {lines} lines of code, at most {max}"),
            "move branch-free work into helpers with a name of their own; keep the decisions in one place",
        ),
        None => (
            format!("{lines} lines of code outside tests, at most {max}"),
            "find the second concept in it and give it a file of its own; do not cut by length",
        ),
    };
    Finding::new(path, *line, what, instead)
}

/// What is wrong with an exception that is no longer as large as it says.
fn stale(entry: &Entry, measured: Option<&Measured>) -> Option<(String, &'static str)> {
    const SHRINK: &str = "run `cargo xtask tidy --shrink-ratchet`: exceptions only shrink";
    match measured {
        None => Some(("an exception for something that is gone".into(), SHRINK)),
        Some(m) if m.lines <= m.lines_max => {
            Some((format!("an exception that is no longer needed ({} lines)", m.lines), SHRINK))
        }
        Some(m) if m.lines < entry.lines => {
            Some((format!("it has shrunk from {} to {} lines", entry.lines, m.lines), SHRINK))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(lines: usize) -> Measured {
        Measured { path: "a.rs".into(), function: None, line: 1, lines, lines_max: 500 }
    }

    fn function(lines: usize) -> Measured {
        Measured { path: "a.rs".into(), function: Some("step".into()), line: 9, lines, lines_max: 70 }
    }

    #[test]
    fn what_is_too_long_is_found_where_it_begins() {
        let found = check(&[file(501), function(71), file(500), function(70)], &Ratchet::default());
        assert_eq!(found.iter().map(|f| f.line).collect::<Vec<_>>(), [1, 9]);
        assert!(found[0].what.contains("501 lines"), "{}", found[0]);
    }

    #[test]
    fn an_exception_holds_at_its_size_and_not_above() {
        let ratchet = Ratchet::parse("# why\n\n520 a.rs\n80 a.rs fn step\n");
        assert_eq!(check(&[file(520), function(80)], &ratchet), []);
        let found = check(&[file(521), function(81)], &ratchet);
        assert_eq!(found.len(), 2);
        assert!(found[0].what.contains("at most 520"), "{}", found[0]);
    }

    #[test]
    fn an_exception_must_shrink_with_the_code() {
        let ratchet = Ratchet::parse("520 a.rs\n80 a.rs fn step\n600 gone.rs\nnonsense\n");
        let found = check(&[file(510), function(60)], &ratchet);
        assert_eq!(found.iter().map(|f| f.line).collect::<Vec<_>>(), [4, 1, 2, 3]);
    }

    #[test]
    fn shrinking_lowers_and_removes_but_never_raises() {
        let ratchet = Ratchet::parse("# kept\n520 a.rs\n80 a.rs fn step\n600 gone.rs\n")
            .shrunk(&[file(510), function(90)]);
        let entries: Vec<_> = ratchet.entries.iter().map(|e| (e.lines, e.function.as_deref())).collect();
        assert_eq!(entries, [(510, None), (80, Some("step"))]);
        assert_eq!(ratchet.comments, ["# kept"]);
    }
}
