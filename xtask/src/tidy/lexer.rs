//! Just enough Rust to tell code from comments and strings, and product code from tests.
//!
//! No syntax tree: the checks of this tool need lines, braces and paths, and must build in seconds.

use std::ops::RangeInclusive;

/// What stands for a character of a string in [`mask`]: no token of Rust, so that no check mistakes it for one.
const IN_STRING: char = '~';

/// The code alone: comments become blanks, what strings and characters hold becomes `~`. Lines stay where they are.
pub(super) fn mask(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut masked = Masked { out: String::with_capacity(source.len()), chars: &chars, at: 0 };
    while let Some(c) = masked.peek(0) {
        match (c, masked.peek(1)) {
            ('/', Some('/')) => masked.line_comment(),
            ('/', Some('*')) => masked.block_comment(),
            ('"', _) => masked.string(),
            ('r', Some('"' | '#')) if masked.starts_token() => masked.raw_string_or_name(),
            ('\'', _) => masked.char_or_lifetime(),
            _ => masked.keep(),
        }
    }
    masked.out
}

struct Masked<'a> {
    out: String,
    chars: &'a [char],
    at: usize,
}

impl Masked<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn keep(&mut self) {
        self.out.extend(self.peek(0));
        self.at += 1;
    }

    fn hide(&mut self, with: char) {
        if let Some(c) = self.peek(0) {
            self.out.push(if c == '\n' { '\n' } else { with });
        }
        self.at += 1;
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.hide(' ');
        }
    }

    /// Block comments nest.
    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while let Some(c) = self.peek(0) {
            match (c, self.peek(1)) {
                ('/', Some('*')) => depth += 1,
                ('*', Some('/')) => depth = depth.saturating_sub(1),
                _ => {
                    self.hide(' ');
                    continue;
                }
            }
            self.hide(' ');
            self.hide(' ');
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.keep();
        while let Some(c) = self.peek(0) {
            match c {
                '"' => return self.keep(),
                '\\' => {
                    self.hide(IN_STRING);
                    self.hide(IN_STRING);
                }
                _ => self.hide(IN_STRING),
            }
        }
    }

    /// The `r` at hand begins a token, or follows the `b` or `c` that does.
    fn starts_token(&self) -> bool {
        let before = |n: usize| self.at.checked_sub(n).and_then(|at| self.chars.get(at)).copied();
        let in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !in_word(before(1)) || (matches!(before(1), Some('b' | 'c')) && !in_word(before(2)))
    }

    /// `r"…"` and `r#"…"#`, but also the name `r#type`.
    fn raw_string_or_name(&mut self) {
        let hashes = self.chars.iter().skip(self.at + 1).take_while(|c| **c == '#').count();
        self.keep();
        if self.peek(hashes) != Some('"') {
            return;
        }
        for _ in 0..=hashes {
            self.keep();
        }
        while self.peek(0).is_some() {
            let closes = self.peek(0) == Some('"') && (1..=hashes).all(|n| self.peek(n) == Some('#'));
            if closes {
                for _ in 0..=hashes {
                    self.keep();
                }
                return;
            }
            self.hide(IN_STRING);
        }
    }

    fn char_or_lifetime(&mut self) {
        let escaped = self.peek(1) == Some('\\');
        if !escaped && self.peek(2) != Some('\'') {
            return self.keep();
        }
        self.keep();
        if escaped {
            self.hide(IN_STRING);
        }
        self.hide(IN_STRING);
        while self.peek(0).is_some_and(|c| c != '\'' && c != '\n') {
            self.hide(IN_STRING);
        }
        self.keep();
    }
}

/// Lines (from 1) of the items under `#[cfg(test)]`, in masked source.
pub(super) fn test_spans(masked: &str) -> Vec<RangeInclusive<usize>> {
    if masked.contains("#![cfg(test)]") {
        return vec![1..=usize::MAX];
    }
    let lines = Lines::of(masked);
    let mut spans: Vec<RangeInclusive<usize>> = Vec::new();
    for (attribute, _) in masked.match_indices("#[cfg(") {
        let condition = masked.get(attribute + "#[cfg(".len()..).unwrap_or_default();
        if !(condition.starts_with("test)") || condition.starts_with("all(test")) {
            continue;
        }
        let first = lines.at(attribute);
        if spans.last().is_none_or(|span| *span.end() < first) {
            spans.push(first..=lines.at(item_end(masked, attribute)));
        }
    }
    spans
}

/// Where the item that begins at `start` (with its attributes) ends: at its `;`, or at the brace that closes its body.
fn item_end(masked: &str, start: usize) -> usize {
    let mut depth = 0_i32;
    for (at, c) in masked.get(start..).unwrap_or_default().char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' => depth -= 1,
            '}' => {
                depth -= 1;
                if depth <= 0 {
                    return start + at;
                }
            }
            ';' if depth == 0 => return start + at,
            _ => {}
        }
    }
    masked.len()
}

/// A function with its body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub name: String,
    /// Of the word `fn`, from 1.
    pub line: usize,
    /// Of the brace that closes the body, from 1.
    pub last_line: usize,
}

/// Every function that has a body, in masked source. Those within others are listed too.
pub(super) fn functions(masked: &str) -> Vec<Function> {
    let lines = Lines::of(masked);
    let mut found = Vec::new();
    for (at, _) in masked.match_indices("fn ") {
        let in_word = masked.get(..at).and_then(|before| before.chars().next_back());
        if in_word.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let after = masked.get(at + 3..).unwrap_or_default();
        let name: String = after
            .trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '#')
            .collect();
        if name.is_empty() {
            continue;
        }
        let end = item_end(masked, at);
        if masked.get(end..).is_some_and(|rest| rest.starts_with('}')) {
            found.push(Function { name, line: lines.at(at), last_line: lines.at(end) });
        }
    }
    found
}

/// Where the lines of a text begin.
pub(super) struct Lines {
    newlines: Vec<usize>,
}

impl Lines {
    pub(super) fn of(text: &str) -> Lines {
        Lines { newlines: text.match_indices('\n').map(|(at, _)| at).collect() }
    }

    /// The line (from 1) of a byte offset.
    pub(super) fn at(&self, offset: usize) -> usize {
        self.newlines.partition_point(|newline| *newline < offset) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_one() {
        let lines = Lines::of("a\nb\n\nc");
        assert_eq!([0, 1, 2, 4, 5].map(|offset| lines.at(offset)), [1, 1, 2, 3, 4]);
    }

    #[test]
    fn comments_go_and_lines_stay() {
        let masked = mask("a // b {\n/* c /* { */ d\n */ e /// f\n");
        assert_eq!(masked.lines().map(str::trim).collect::<Vec<_>>(), ["a", "", "e"]);
    }

    #[test]
    fn strings_hide_what_they_hold() {
        assert_eq!(mask(r#"f("a \" } //", 'x', b"}")"#), r#"f("~~~~~~~~~", '~', b"~")"#);
        assert_eq!(mask("r#\"a\" } \"# + br\"{\" + r\"\\\""), "r#\"~~~~~\"# + br\"~\" + r\"~\"");
        assert_eq!(mask("\"a\nb\" c"), "\"~\n~\" c");
    }

    #[test]
    fn characters_are_told_from_lifetimes() {
        assert_eq!(mask("fn f<'a>(x: &'a str) { '{' }"), "fn f<'a>(x: &'a str) { '~' }");
        assert_eq!(
            mask(r"['\'', '\\', '\u{7d}', '}', b'{', 'é']"),
            r"['~~', '~~', '~~~~~~', '~', b'~', '~']"
        );
        assert_eq!(mask("'outer: loop { break 'outer }"), "'outer: loop { break 'outer }");
    }

    #[test]
    fn raw_names_are_no_strings() {
        assert_eq!(mask("let r#type = 1; // x"), "let r#type = 1;     ");
        assert_eq!(mask("for x in bar# {}"), "for x in bar# {}");
    }

    #[test]
    fn test_items_are_found_wherever_they_stand() {
        let source = "fn a() {}\n#[cfg(test)]\nuse x::y;\nfn b() {}\n#[cfg(test)]\nmod tests {\n  fn c() {}\n}\nfn d() {}\n";
        assert_eq!(test_spans(&mask(source)), [2..=3, 5..=8]);
        assert_eq!(test_spans("#[cfg(test)]\nmod tests;\nfn a() {}\n"), [1..=2]);
        assert_eq!(test_spans("#[cfg(all(test, unix))]\nmod tests {\n}\n"), [1..=3]);
        assert_eq!(test_spans("#![cfg(test)]\nfn a() {}\n"), [1..=usize::MAX]);
        assert_eq!(test_spans("// no tests\n#[cfg(unix)]\nfn a() {}\n"), []);
    }

    #[test]
    fn functions_have_their_last_line() {
        let source = "trait T { fn none(&self); }\npub fn one(x: [u8; 2]) -> u8 {\n  let s = \"}\";\n  if x { 1 } else { 2 }\n}\n\
                      type F = fn(u8);\nimpl fmt::Display for X { fn fmt(&self) { } }\n";
        let found: Vec<_> =
            functions(&mask(source)).into_iter().map(|f| (f.name, f.line, f.last_line)).collect();
        assert_eq!(found, [("one".into(), 2, 5), ("fmt".into(), 7, 7)]);
    }
}
