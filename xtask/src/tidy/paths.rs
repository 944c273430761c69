//! The paths that masked source names, with `use` groups spelled out: `std::{fs, io::{self, Read}}` is
//! `std::fs`, `std::io` and `std::io::Read`.

use super::lexer::Lines;

/// One path; a macro's ends with `!`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PathUse {
    /// From 1.
    pub line: usize,
    pub path: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Colons,
    Other(char),
}

pub(super) fn paths(masked: &str) -> Vec<PathUse> {
    let mut reader = Reader { tokens: tokens(masked), at: 0, found: Vec::new() };
    while reader.at < reader.tokens.len() {
        match reader.token(0) {
            Some(Token::Word(_)) => reader.tree(""),
            // A field or method of something: no path begins here.
            Some(Token::Other('.')) => reader.at += 2,
            _ => reader.at += 1,
        }
    }
    let lines = Lines::of(masked);
    reader.found.into_iter().map(|(offset, path)| PathUse { line: lines.at(offset), path }).collect()
}

fn tokens(masked: &str) -> Vec<(usize, Token<'_>)> {
    let mut tokens = Vec::new();
    let mut rest = masked;
    while let Some(c) = rest.chars().next() {
        let offset = masked.len() - rest.len();
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let len = if is_word(c) { rest.find(|c| !is_word(c)).unwrap_or(rest.len()) } else { c.len_utf8() };
        let (word, after) = rest.split_at(len);
        rest = after;
        if is_word(c) {
            tokens.push((offset, Token::Word(word)));
        } else if c == ':' && rest.starts_with(':') {
            rest = rest.get(1..).unwrap_or_default();
            tokens.push((offset, Token::Colons));
        } else if !c.is_whitespace() {
            tokens.push((offset, Token::Other(c)));
        }
    }
    tokens
}

struct Reader<'a> {
    tokens: Vec<(usize, Token<'a>)>,
    at: usize,
    found: Vec<(usize, String)>,
}

impl<'a> Reader<'a> {
    fn token(&self, ahead: usize) -> Option<Token<'a>> {
        self.tokens.get(self.at + ahead).map(|(_, token)| *token)
    }

    /// Reads a path or a tree of them, below `prefix`.
    fn tree(&mut self, prefix: &str) {
        let offset = self.tokens.get(self.at).map_or(0, |(offset, _)| *offset);
        let mut path = prefix.to_owned();
        loop {
            match self.token(0) {
                Some(Token::Word("self")) if !path.is_empty() => self.at += 1,
                Some(Token::Word(word)) => {
                    if !path.is_empty() {
                        path.push_str("::");
                    }
                    path.push_str(word);
                    self.at += 1;
                }
                Some(Token::Other('{')) => return self.group(&path),
                _ => break,
            }
            if self.token(0) != Some(Token::Colons) {
                break;
            }
            match self.token(1) {
                Some(Token::Word(_) | Token::Other('{')) => self.at += 1,
                _ => break,
            }
        }
        let is_macro = self.token(0) == Some(Token::Other('!')) && self.token(1) != Some(Token::Other('='));
        if is_macro {
            path.push('!');
        }
        self.found.push((offset, path));
    }

    fn group(&mut self, prefix: &str) {
        self.at += 1;
        while let Some(token) = self.token(0) {
            match token {
                Token::Other('}') => {
                    self.at += 1;
                    return;
                }
                Token::Word("as") => self.at += 2,
                Token::Word(_) => self.tree(prefix),
                _ => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> Vec<String> {
        paths(source).into_iter().map(|p| format!("{}:{}", p.line, p.path)).collect()
    }

    #[test]
    fn groups_are_spelled_out() {
        assert_eq!(
            found("use std::{fs,\n io::{self, Read as R}};"),
            ["1:use", "1:std::fs", "2:std::io", "2:std::io::Read"]
        );
    }

    #[test]
    fn calls_macros_and_turbofish() {
        assert_eq!(found("Instant::now().elapsed()"), ["1:Instant::now"]);
        assert_eq!(found("std::println!(x) != y"), ["1:std::println!", "1:x", "1:y"]);
        assert_eq!(found("a::<B>::c"), ["1:a", "1:B", "1:c"]);
        assert_eq!(found("a != b"), ["1:a", "1:b"]);
    }

    #[test]
    fn a_leading_colon_and_a_glob_do_no_harm() {
        assert_eq!(found("::std::fs::read; use std::fs::*;"), ["1:std::fs::read", "1:use", "1:std::fs"]);
    }
}
