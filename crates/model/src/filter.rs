//! Filters over messages: a parsed condition on headers and on what an envelope says, and whether a message meets it.
//! Texts of filters are read elsewhere (`baton_dialect::selector` reads JMS selectors); who filters is `core`'s to say.
//!
//! The logic has three values, as SQL's: what is not there is unknown, and only what is true passes. Headers of some
//! protocols are always text: a text that is a number counts as one where it is compared with a number.

use std::cmp::Ordering;

use crate::envelope::{Envelope, Tag};
use crate::value::ValueRef;

/// A condition, or a value in one.
#[derive(Clone, PartialEq, Debug)]
pub enum Filter {
    /// A constant.
    Constant(Constant),
    /// A header, by its name.
    Header(Box<[u8]>),
    /// A field of the envelope.
    Field(Tag),
    /// Whether the message survives a restart, as the words that JMS has for it: `PERSISTENT`, `NON_PERSISTENT`.
    DurableWord,
    /// Not.
    Not(Box<Filter>),
    /// All of these.
    And(Vec<Filter>),
    /// One of these.
    Or(Vec<Filter>),
    /// Two values compared.
    Compare(Comparison, Box<Filter>, Box<Filter>),
    /// Two numbers.
    Arithmetic(Operator, Box<Filter>, Box<Filter>),
    /// The value is not there.
    IsNull(Box<Filter>),
    /// A text of this pattern.
    Like(Box<Filter>, Pattern),
    /// A text that is one of these.
    In(Box<Filter>, Vec<Box<[u8]>>),
}

/// A constant.
#[derive(Clone, PartialEq, Debug)]
#[expect(missing_docs, reason = "the variants are the types they are named after")]
pub enum Constant {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(Box<[u8]>),
}

/// How two values are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the variants are the operators they are named after")]
pub enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What is done with two numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the variants are the operators they are named after")]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// A pattern of `LIKE`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(pub Vec<PatternPart>);

/// One part of a pattern.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PatternPart {
    /// This byte.
    Byte(u8),
    /// Any one character.
    One,
    /// Any text, none included.
    Any,
}

/// A value while it is computed.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Computed<'a> {
    Unknown,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(&'a [u8]),
}

impl Filter {
    /// Whether a message passes.
    #[must_use]
    pub fn matches(&self, envelope: Envelope<'_>) -> bool {
        self.compute(envelope) == Computed::Bool(true)
    }

    fn compute<'a>(&'a self, envelope: Envelope<'a>) -> Computed<'a> {
        match self {
            Self::Constant(Constant::Bool(v)) => Computed::Bool(*v),
            Self::Constant(Constant::Integer(v)) => Computed::Integer(*v),
            Self::Constant(Constant::Float(v)) => Computed::Float(*v),
            Self::Constant(Constant::Text(v)) => Computed::Text(v),
            Self::Header(name) => of(envelope.headers().find(name)),
            Self::Field(tag) => of(envelope.get(*tag)),
            Self::DurableWord => match envelope.get(Tag::Durable) {
                Some(ValueRef::Bool(true)) => Computed::Text(b"PERSISTENT"),
                _ => Computed::Text(b"NON_PERSISTENT"),
            },
            Self::Not(inner) => match truth(inner.compute(envelope)) {
                Some(v) => Computed::Bool(!v),
                None => Computed::Unknown,
            },
            Self::And(all) => three(all.iter().map(|one| truth(one.compute(envelope))), false),
            Self::Or(any) => three(any.iter().map(|one| truth(one.compute(envelope))), true),
            Self::Compare(how, a, b) => compare(*how, a.compute(envelope), b.compute(envelope)),
            Self::Arithmetic(how, a, b) => arithmetic(*how, a.compute(envelope), b.compute(envelope)),
            Self::IsNull(inner) => Computed::Bool(inner.compute(envelope) == Computed::Unknown),
            Self::Like(value, pattern) => match value.compute(envelope) {
                Computed::Text(text) => Computed::Bool(like(text, &pattern.0)),
                _ => Computed::Unknown,
            },
            Self::In(value, list) => match value.compute(envelope) {
                Computed::Text(text) => Computed::Bool(list.iter().any(|one| **one == *text)),
                _ => Computed::Unknown,
            },
        }
    }
}

fn of(value: Option<ValueRef<'_>>) -> Computed<'_> {
    let Some(value) = value else { return Computed::Unknown };
    if let Some(number) = value.as_i64() {
        return Computed::Integer(number);
    }
    match value {
        ValueRef::Bool(v) => Computed::Bool(v),
        ValueRef::F32(v) => Computed::Float(v.into()),
        ValueRef::F64(v) => Computed::Float(v),
        ValueRef::Timestamp(v) => Computed::Integer(v),
        ValueRef::Str(text) | ValueRef::Symbol(text) => Computed::Text(text),
        _ => Computed::Unknown,
    }
}

fn truth(value: Computed<'_>) -> Option<bool> {
    match value {
        Computed::Bool(v) => Some(v),
        Computed::Text(b"true" | b"TRUE") => Some(true),
        Computed::Text(b"false" | b"FALSE") => Some(false),
        _ => None,
    }
}

/// All (`decides` false) or any (`decides` true): the deciding value decides, then what is unknown, then the other.
fn three(values: impl Iterator<Item = Option<bool>>, decides: bool) -> Computed<'static> {
    let mut unknown = false;
    for value in values {
        match value {
            Some(value) if value == decides => return Computed::Bool(decides),
            Some(_) => {}
            None => unknown = true,
        }
    }
    if unknown { Computed::Unknown } else { Computed::Bool(!decides) }
}

fn compare(how: Comparison, a: Computed<'_>, b: Computed<'_>) -> Computed<'static> {
    use Computed::{Bool, Float, Integer, Text, Unknown};
    let order = match (a, b) {
        (Unknown, _) | (_, Unknown) => return Unknown,
        (Text(a), Text(b)) => match how {
            Comparison::Equal | Comparison::Unequal => Some(a.cmp(b)),
            // Texts have no order in JMS; those that are numbers have.
            _ => match (number(Text(a)), number(Text(b))) {
                (Some(a), Some(b)) => a.partial_cmp(&b),
                _ => None,
            },
        },
        (Bool(_), _) | (_, Bool(_)) => match (truth(a), truth(b), how) {
            (Some(a), Some(b), Comparison::Equal | Comparison::Unequal) => Some(a.cmp(&b)),
            _ => None,
        },
        (Integer(a), Integer(b)) => Some(a.cmp(&b)),
        (a @ (Integer(_) | Float(_) | Text(_)), b) => match (number(a), number(b)) {
            (Some(a), Some(b)) => a.partial_cmp(&b),
            _ => None,
        },
    };
    // As JMS has it: what cannot be compared passes no comparison.
    let Some(order) = order else { return Bool(false) };
    Bool(match how {
        Comparison::Equal => order == Ordering::Equal,
        Comparison::Unequal => order != Ordering::Equal,
        Comparison::Less => order == Ordering::Less,
        Comparison::LessOrEqual => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::GreaterOrEqual => order != Ordering::Less,
    })
}

fn number(value: Computed<'_>) -> Option<f64> {
    match value {
        Computed::Integer(v) => Some(v as f64),
        Computed::Float(v) => Some(v),
        Computed::Text(text) => std::str::from_utf8(text).ok()?.trim().parse().ok(),
        Computed::Unknown | Computed::Bool(_) => None,
    }
}

fn arithmetic(how: Operator, a: Computed<'_>, b: Computed<'_>) -> Computed<'static> {
    if let (Computed::Integer(a), Computed::Integer(b)) = (a, b) {
        let result = match how {
            Operator::Add => a.checked_add(b),
            Operator::Subtract => a.checked_sub(b),
            Operator::Multiply => a.checked_mul(b),
            Operator::Divide => a.checked_div(b),
        };
        return result.map_or(Computed::Unknown, Computed::Integer);
    }
    let (Some(a), Some(b)) = (number(a), number(b)) else { return Computed::Unknown };
    Computed::Float(match how {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
    })
}

/// Whether a text has a pattern: back to the last `Any` when what follows it does not fit, so in at most the product of
/// both lengths.
fn like(text: &[u8], pattern: &[PatternPart]) -> bool {
    let (mut at, mut part) = (0, 0);
    let mut retry = None;
    while at < text.len() {
        let fits = match pattern.get(part) {
            Some(PatternPart::Any) => {
                part += 1;
                retry = Some((part, at));
                continue;
            }
            Some(PatternPart::One) => Some(character(text, at)),
            Some(PatternPart::Byte(byte)) if text.get(at) == Some(byte) => Some(1),
            _ => None,
        };
        match (fits, retry) {
            (Some(bytes), _) => {
                at += bytes;
                part += 1;
            }
            (None, Some((after, from))) => {
                let next = from + character(text, from);
                retry = Some((after, next));
                (at, part) = (next, after);
            }
            (None, None) => return false,
        }
    }
    pattern.iter().skip(part).all(|part| *part == PatternPart::Any)
}

/// Bytes of the character there.
fn character(text: &[u8], at: usize) -> usize {
    let rest = text.get(at + 1..).unwrap_or_default();
    1 + rest.iter().take_while(|byte| **byte & 0xc0 == 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_texts() {
        use PatternPart::{Any, Byte, One};
        for (text, pattern, fits) in [
            ("", &[][..], true),
            ("a", &[], false),
            ("abc", &[Byte(b'a'), Any], true),
            ("abc", &[Any, Byte(b'b'), Any, Byte(b'c')], true),
            ("abc", &[One, Byte(b'b'), One], true),
            ("aäc", &[Byte(b'a'), One, Byte(b'c')], true),
            ("abab", &[Any, Byte(b'a'), Byte(b'b')], true),
            ("abac", &[Any, Byte(b'a'), Byte(b'b')], false),
            ("", &[Any, Any], true),
        ] {
            assert_eq!(like(text.as_bytes(), pattern), fits, "{text} {pattern:?}");
        }
    }

    #[test]
    fn unknown_is_neither_true_nor_false() {
        assert_eq!(three([Some(true), None].into_iter(), false), Computed::Unknown);
        assert_eq!(three([Some(false), None].into_iter(), false), Computed::Bool(false));
        assert_eq!(three([Some(true), None].into_iter(), true), Computed::Bool(true));
        assert_eq!(three([Some(false), None].into_iter(), true), Computed::Unknown);
        assert_eq!(
            arithmetic(Operator::Divide, Computed::Integer(1), Computed::Integer(0)),
            Computed::Unknown
        );
        assert_eq!(
            compare(Comparison::Greater, Computed::Text(b"10"), Computed::Integer(9)),
            Computed::Bool(true)
        );
        assert_eq!(
            compare(Comparison::Less, Computed::Text(b"a"), Computed::Text(b"b")),
            Computed::Bool(false)
        );
    }
}
