//! The commands on keys.

use baton_model::list::{ExpireIf, ListOp};
use baton_model::{Name, Time};

use super::Unit;
use super::{Ask, Refused, Shape, ask, integer, is, key, positive, syntax};
use crate::table::Command;

/// Names given when a `SCAN` does not say.
const SCAN_COUNT_DEFAULT: u64 = 10;

pub(super) fn read(now: Time, command: Command, a: &[&[u8]]) -> Option<Result<Ask, Refused>> {
    Some(match command {
        Command::Del | Command::Unlink => keys(a).map(|queues| ask(ListOp::Delete { queues }, Shape::Count)),
        Command::Exists | Command::Touch => keys(a).map(|queues| ask(ListOp::Exist { queues }, Shape::Count)),
        Command::Type => keys(a).map(|queues| ask(ListOp::Exist { queues }, Shape::Type)),
        Command::Keys => {
            let pattern = a.get(1).copied().unwrap_or_default().to_vec();
            Ok(ask(ListOp::Names { after: None, examine_max: u64::MAX }, Shape::Names(pattern)))
        }
        Command::Scan => scan(a),
        Command::Rename => rename(a, false),
        Command::Renamenx => rename(a, true),
        Command::Expire => expire(a, |n| from_now(now, n.checked_mul(1000)?)),
        Command::Pexpire => expire(a, |n| from_now(now, n)),
        Command::Expireat => expire(a, |n| Some(at(n.checked_mul(1000)?))),
        Command::Pexpireat => expire(a, |n| Some(at(n))),
        Command::Persist => one(a).map(|queue| {
            ask(ListOp::Expire { queue, at: None, condition: ExpireIf::default() }, Shape::Count)
        }),
        Command::Ttl => expiry(a, Unit::Seconds, false),
        Command::Pttl => expiry(a, Unit::Milliseconds, false),
        Command::Expiretime => expiry(a, Unit::Seconds, true),
        Command::Pexpiretime => expiry(a, Unit::Milliseconds, true),
        Command::Dbsize => Ok(ask(ListOp::CountAll, Shape::Count)),
        Command::Object => object(a),
        _ => return None,
    })
}

fn one(a: &[&[u8]]) -> Result<Name, Refused> {
    key(a.get(1).copied().unwrap_or_default())
}

fn keys(a: &[&[u8]]) -> Result<Vec<Name>, Refused> {
    a.iter().skip(1).map(|name| key(name)).collect()
}

fn rename(a: &[&[u8]], if_absent: bool) -> Result<Ask, Refused> {
    let to = key(a.get(2).copied().unwrap_or_default())?;
    let shape = if if_absent { Shape::Count } else { Shape::Ok };
    Ok(ask(ListOp::Rename { from: one(a)?, to, if_absent }, shape))
}

fn at(ms: i64) -> Time {
    Time(u64::try_from(ms).unwrap_or(0))
}

fn from_now(now: Time, ms: i64) -> Option<Time> {
    i64::try_from(now.0).ok()?.checked_add(ms).map(at)
}

fn expire(a: &[&[u8]], when: impl FnOnce(i64) -> Option<Time>) -> Result<Ask, Refused> {
    let number = integer(a.get(2).copied().unwrap_or_default())?;
    let name = String::from_utf8_lossy(a.first().copied().unwrap_or_default()).to_lowercase();
    let at = when(number).ok_or_else(|| format!("ERR invalid expire time in '{name}' command"))?;
    let mut condition = ExpireIf::default();
    for option in a.iter().skip(3) {
        match *option {
            word if is(word, "NX") => condition.none = true,
            word if is(word, "XX") => condition.some = true,
            word if is(word, "GT") => condition.later = true,
            word if is(word, "LT") => condition.earlier = true,
            other => return Err(format!("ERR Unsupported option {}", String::from_utf8_lossy(other))),
        }
    }
    if condition.none && (condition.some || condition.later || condition.earlier) {
        return Err("ERR NX and XX, GT or LT options at the same time are not compatible".into());
    }
    if condition.later && condition.earlier {
        return Err("ERR GT and LT options at the same time are not compatible".into());
    }
    Ok(ask(ListOp::Expire { queue: one(a)?, at: Some(at), condition }, Shape::Count))
}

fn expiry(a: &[&[u8]], unit: Unit, absolute: bool) -> Result<Ask, Refused> {
    Ok(ask(ListOp::Expiry { queue: one(a)? }, Shape::Expiry { unit, absolute }))
}

fn scan(a: &[&[u8]]) -> Result<Ask, Refused> {
    let cursor = a.get(1).and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
    let cursor: u64 = cursor.ok_or("ERR invalid cursor")?;
    let (mut pattern, mut count, mut lists) = (b"*".to_vec(), SCAN_COUNT_DEFAULT, true);
    let mut options = a.get(2..).unwrap_or_default();
    while let [word, value, rest @ ..] = options {
        match *word {
            word if is(word, "MATCH") => pattern = value.to_vec(),
            word if is(word, "COUNT") => {
                match positive(value, "ERR value is not an integer or out of range")? {
                    0 => return syntax(),
                    number => count = number,
                }
            }
            word if is(word, "TYPE") => lists = is(value, "list"),
            _ => return syntax(),
        }
        options = rest;
    }
    if !options.is_empty() {
        return syntax();
    }
    let op = ListOp::Names { after: None, examine_max: u64::MAX };
    Ok(ask(op, Shape::Scan { cursor, pattern, count, lists }))
}

fn object(a: &[&[u8]]) -> Result<Ask, Refused> {
    let [_, what, name] = a else {
        return Err("ERR wrong number of arguments for 'object' command".into());
    };
    let shape = match *what {
        word if is(word, "ENCODING") => Shape::Encoding,
        word if is(word, "REFCOUNT") => Shape::NumberOrNull(1),
        word if is(word, "IDLETIME") => Shape::NumberOrNull(0),
        _ => {
            return Err("ERR unknown subcommand: OBJECT has ENCODING, IDLETIME and REFCOUNT here, see docs/features/redis.md".into());
        }
    };
    Ok(ask(ListOp::Exist { queues: vec![key(name)?] }, shape))
}
