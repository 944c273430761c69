//! How results are written: each command's own way of saying a few neutral answers; and the table of refusals.

use baton_model::list::Listed;
use baton_model::{Name, Refusal, RefusalCode, Time, glob};

use crate::reply::Writer;

/// How a result is written.
#[derive(Clone, PartialEq, Debug)]
#[expect(missing_docs, reason = "each is named after what it writes")]
pub enum Shape {
    Ok,
    Count,
    /// A number, -1 for nothing.
    CountOrMinusOne,
    /// The only element taken, or null.
    First,
    /// The elements taken, or a null array.
    Taken,
    KeyAndFirst,
    KeyAndTaken,
    Element,
    /// As `Element`, with a null array for nothing.
    WaitedElement,
    Elements,
    Indexes,
    FirstIndex,
    /// Of a count: an empty array, or null for 0.
    NoneOrEmpty,
    Type,
    Encoding,
    NumberOrNull(i64),
    Names(Vec<u8>),
    Scan {
        cursor: u64,
        pattern: Vec<u8>,
        count: u64,
        lists: bool,
    },
    Expiry {
        unit: Unit,
        absolute: bool,
    },
}

/// A unit of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the variants say it")]
pub enum Unit {
    Seconds,
    Milliseconds,
}

impl Shape {
    /// Writes a result.
    pub fn write(&self, now: Time, result: &Result<Listed, Refusal>, w: &mut Writer<'_>) {
        let listed = match result {
            Ok(listed) => listed,
            Err(refusal) => return w.error(&error(refusal)),
        };
        match listed {
            Listed::Absent => self.absent(w),
            Listed::Done => w.simple("OK"),
            Listed::Count(count) => self.count(*count, w),
            Listed::Element(message) => w.body(message),
            Listed::Elements(all) => {
                w.array(all.len());
                all.iter().for_each(|message| w.body(message));
            }
            Listed::Popped(popped) => {
                if matches!(self, Self::KeyAndFirst | Self::KeyAndTaken) {
                    w.array(2);
                    w.bulk(popped.queue.as_bytes());
                }
                if matches!(self, Self::Taken | Self::KeyAndTaken) {
                    w.array(popped.elements.len());
                }
                popped.elements.iter().for_each(|message| w.body(message));
            }
            Listed::Indexes(all) => match (self, all.first()) {
                (Self::FirstIndex, Some(index)) => w.count(*index),
                (Self::FirstIndex, None) => w.null(),
                _ => {
                    w.array(all.len());
                    all.iter().for_each(|index| w.count(*index));
                }
            },
            Listed::Expires(at) => self.expires(now, *at, w),
            Listed::Names { names, .. } => self.names(names, w),
            // Answers of groups are taken apart before.
            Listed::Versions(_) | Listed::All(_) | Listed::Changed => w.simple("OK"),
        }
    }

    fn absent(&self, w: &mut Writer<'_>) {
        match self {
            Self::CountOrMinusOne => w.integer(-1),
            Self::Taken | Self::KeyAndFirst | Self::KeyAndTaken | Self::WaitedElement => w.null_array(),
            Self::Indexes => w.array(0),
            Self::Expiry { .. } => w.integer(-2),
            _ => w.null(),
        }
    }

    fn count(&self, count: u64, w: &mut Writer<'_>) {
        match self {
            Self::Ok => w.simple("OK"),
            Self::NoneOrEmpty if count > 0 => w.array(0),
            Self::NoneOrEmpty => w.null_array(),
            Self::Type => w.simple(if count > 0 { "list" } else { "none" }),
            Self::Encoding if count > 0 => w.bulk(b"quicklist"),
            Self::NumberOrNull(number) if count > 0 => w.integer(*number),
            Self::Encoding | Self::NumberOrNull(_) => w.null(),
            _ => w.count(count),
        }
    }

    fn expires(&self, now: Time, at: Option<Time>, w: &mut Writer<'_>) {
        let Self::Expiry { unit, absolute } = self else { return w.integer(-1) };
        let Some(at) = at else { return w.integer(-1) };
        let ms = if *absolute { at.0 } else { at.since_ms(now) };
        w.count(match (unit, absolute) {
            (Unit::Milliseconds, _) => ms,
            (Unit::Seconds, true) => ms / 1000,
            (Unit::Seconds, false) => ms.saturating_add(500) / 1000,
        });
    }

    fn names(&self, names: &[Name], w: &mut Writer<'_>) {
        match self {
            Self::Scan { cursor, pattern, count, lists } => {
                let (page, next) = page(names, *cursor, *count);
                w.array(2);
                w.bulk(next.to_string().as_bytes());
                let wanted = |name: &&&Name| *lists && glob::matches(pattern, name.as_bytes());
                let page: Vec<&Name> = page.iter().filter(wanted).copied().collect();
                w.array(page.len());
                page.iter().for_each(|name| w.bulk(name.as_bytes()));
            }
            Self::Names(pattern) => {
                let found: Vec<&Name> =
                    names.iter().filter(|name| glob::matches(pattern, name.as_bytes())).collect();
                w.array(found.len());
                found.iter().for_each(|name| w.bulk(name.as_bytes()));
            }
            _ => w.array(0),
        }
    }
}

/// One page of a scan. A cursor is the first eight bytes of the next name, so that it means the same on every connection and
/// whatever comes and goes meanwhile; names that begin alike are on one page.
fn page(names: &[Name], cursor: u64, count: u64) -> (Vec<&Name>, u64) {
    let mut page: Vec<&Name> = Vec::new();
    let mut last = 0;
    for name in names.iter().filter(|name| beginning(name) >= cursor) {
        let beginning = beginning(name);
        if page.len() as u64 >= count && beginning != last {
            return (page, beginning);
        }
        last = beginning;
        page.push(name);
    }
    (page, 0)
}

fn beginning(name: &str) -> u64 {
    name.bytes().chain(std::iter::repeat(0)).take(8).fold(0, |all, byte| all << 8 | u64::from(byte))
}

/// A refusal as an error: Redis's own where it has one, else with the text that says what to do.
#[must_use]
pub fn error(refusal: &Refusal) -> String {
    let text = refusal.text.as_str();
    match refusal.code {
        RefusalCode::QueueNotFound => "ERR no such key".into(),
        RefusalCode::MessageNotFound => "ERR index out of range".into(),
        RefusalCode::Unsupported => {
            format!("WRONGTYPE Operation against a key holding the wrong kind of value ({text})")
        }
        RefusalCode::AccessDenied | RefusalCode::NameReserved => format!("NOPERM {text}"),
        RefusalCode::AuthenticationFailed => {
            "WRONGPASS invalid username-password pair or user is disabled.".into()
        }
        RefusalCode::QueueFull => format!("OOM {text}"),
        RefusalCode::MemoryFull => {
            format!("OOM command not allowed when used memory > 'maxmemory'. ({text})")
        }
        RefusalCode::DiskFull => {
            format!("MISCONF Errors writing to the AOF file: No space left on device ({text})")
        }
        RefusalCode::Unavailable => format!("TRYAGAIN {text}"),
        RefusalCode::QueueLocked => format!("BUSY {text}"),
        RefusalCode::NamespaceNotFound => format!("ERR DB index is out of range ({text})"),
        _ => format!("ERR {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_refusal_has_its_code() {
        for (code, word) in [
            (RefusalCode::QueueNotFound, "ERR no such key"),
            (RefusalCode::MessageNotFound, "ERR index"),
            (RefusalCode::Unsupported, "WRONGTYPE "),
            (RefusalCode::AccessDenied, "NOPERM "),
            (RefusalCode::AuthenticationFailed, "WRONGPASS "),
            (RefusalCode::QueueFull, "OOM "),
            (RefusalCode::MemoryFull, "OOM command not allowed when used memory > 'maxmemory'."),
            (RefusalCode::DiskFull, "MISCONF "),
            (RefusalCode::Unavailable, "TRYAGAIN "),
            (RefusalCode::MessageTooLarge, "ERR "),
        ] {
            assert!(error(&Refusal::new(code, "text")).starts_with(word), "{code:?}");
        }
    }

    #[test]
    fn a_scan_gives_every_name_once_whatever_its_beginning() {
        let mut names: Vec<Name> = (0..50).map(|i| Name::from(format!("name-{i}"))).collect();
        names.extend((0..50).map(|i| Name::from(format!("{i}"))));
        names.sort();
        let (mut cursor, mut seen) = (0, Vec::new());
        loop {
            let (found, next) = page(&names, cursor, 7);
            seen.extend(found.into_iter().cloned());
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen, names);
    }
}
