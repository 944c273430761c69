//! Permission patterns: regular expressions over names with RabbitMQ's meaning (rabbit_auth_backend_internal): searched
//! for anywhere in the name unless anchored, and the empty pattern allows nothing. Used by [`crate::directory`] alone.
//!
//! Look-around and back-references, which RabbitMQ's engine has, are refused when the configuration is read: their cost
//! is not bounded, and names come from strangers.

use std::fmt;

use regex::{Regex, RegexBuilder};

use crate::limits::PATTERN_BYTES_MAX;

/// One pattern.
#[derive(Clone)]
pub struct Pattern {
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Nothing,
    Everything,
    Matching(Regex),
}

impl Pattern {
    /// Matches every name.
    pub const ALL: Self = Self { kind: Kind::Everything };
    /// Matches no name.
    pub const NONE: Self = Self { kind: Kind::Nothing };

    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, as the regular expression engine says it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let kind = match text {
            "" | "^$" => Kind::Nothing,
            ".*" | "^.*" | "^.*$" | ".*$" => Kind::Everything,
            _ => Kind::Matching(
                RegexBuilder::new(text)
                    .size_limit(PATTERN_BYTES_MAX)
                    .build()
                    .map_err(|error| error.to_string())?,
            ),
        };
        Ok(Self { kind })
    }

    /// Whether `name` (never empty) is matched.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match &self.kind {
            Kind::Nothing => false,
            Kind::Everything => true,
            Kind::Matching(regex) => regex.is_match(name),
        }
    }

    /// Whether every name is matched, without looking at any.
    #[must_use]
    pub fn matches_all(&self) -> bool {
        matches!(self.kind, Kind::Everything)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Nothing => f.write_str("\"\""),
            Kind::Everything => f.write_str("\".*\""),
            Kind::Matching(regex) => write!(f, "{:?}", regex.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_in_rabbitmq() {
        for (pattern, name, matches) in [
            ("", "orders", false),
            ("^$", "orders", false),
            (".*", "orders", true),
            ("^.*$", "amq.default", true),
            ("orders", "my.orders.eu", true),
            ("^orders", "my.orders", false),
            ("^(amq\\.gen.*|amq\\.default)$", "amq.default", true),
            ("^(amq\\.gen.*|amq\\.default)$", "amq.default.x", false),
            ("^orders|^amq\\.gen", "amq.gen-abc", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(name), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn bad_patterns_are_refused_when_read() {
        assert!(Pattern::parse("(orders").unwrap_err().contains("unclosed group"));
        assert!(Pattern::parse("^(?!secret)").unwrap_err().contains("look-around"));
        assert!(Pattern::parse("(a{1000}){1000}").unwrap_err().contains("size limit"));
    }
}
