//! The list commands.

use baton_model::list::{ListOp, Side};
use baton_model::{Bytes, Name};

use super::{Ask, Refused, Shape, ask, element, integer, is, key, positive, syntax, timeout};
use crate::table::Command;

const LEFT: Side = Side::Left;
const RIGHT: Side = Side::Right;

pub(super) fn read(command: Command, a: &[&[u8]]) -> Option<Result<Ask, Refused>> {
    Some(match command {
        Command::Lpush => push(a, LEFT, true),
        Command::Rpush => push(a, RIGHT, true),
        Command::Lpushx => push(a, LEFT, false),
        Command::Rpushx => push(a, RIGHT, false),
        Command::Lpop => pop(a, LEFT),
        Command::Rpop => pop(a, RIGHT),
        Command::Blpop => blocking_pop(a, LEFT),
        Command::Brpop => blocking_pop(a, RIGHT),
        Command::Lmpop => multi_pop(a.get(1..).unwrap_or_default()),
        Command::Blmpop => blocking_multi_pop(a),
        Command::Lmove | Command::Blmove => shift(command, a),
        Command::Rpoplpush | Command::Brpoplpush => rotate(command, a),
        Command::Llen => key_at(a, 1).map(|queue| ask(ListOp::Length { queue }, Shape::Count)),
        Command::Lrange => range(a),
        Command::Ltrim => trim(a),
        Command::Lindex => index(a),
        Command::Lset => set(a),
        Command::Linsert => insert(a),
        Command::Lrem => remove(a),
        Command::Lpos => find(a),
        _ => return None,
    })
}

fn at<'a>(a: &[&'a [u8]], index: usize) -> &'a [u8] {
    a.get(index).copied().unwrap_or_default()
}

fn key_at(a: &[&[u8]], index: usize) -> Result<Name, Refused> {
    key(at(a, index))
}

fn bytes(a: &[&[u8]], index: usize) -> Bytes {
    Bytes::copy_from_slice(at(a, index))
}

fn side(word: &[u8]) -> Result<Side, Refused> {
    match () {
        () if is(word, "LEFT") => Ok(LEFT),
        () if is(word, "RIGHT") => Ok(RIGHT),
        () => syntax(),
    }
}

fn push(a: &[&[u8]], side: Side, create: bool) -> Result<Ask, Refused> {
    let queue = key_at(a, 1)?;
    let messages = a.iter().skip(2).map(|value| element(&queue, value)).collect();
    Ok(ask(ListOp::Push { queue, side, messages, create }, Shape::Count))
}

fn pop(a: &[&[u8]], side: Side) -> Result<Ask, Refused> {
    let queue = key_at(a, 1)?;
    match a.get(2) {
        None => Ok(ask(ListOp::Pop { queues: [queue].into(), side, count_max: 1 }, Shape::First)),
        Some(_) if a.len() > 3 => Err(format!(
            "ERR wrong number of arguments for '{}' command",
            if side == LEFT { "lpop" } else { "rpop" }
        )),
        Some(count) => match positive(count, "ERR value is out of range, must be positive")? {
            0 => Ok(ask(ListOp::Exist { queues: vec![queue] }, Shape::NoneOrEmpty)),
            count_max => Ok(ask(ListOp::Pop { queues: [queue].into(), side, count_max }, Shape::Taken)),
        },
    }
}

fn blocking_pop(a: &[&[u8]], side: Side) -> Result<Ask, Refused> {
    let (last, names) = a.get(1..).unwrap_or_default().split_last().ok_or("ERR syntax error")?;
    let wait_ms = timeout(last)?;
    let queues = names.iter().map(|name| key(name)).collect::<Result<_, _>>()?;
    Ok(Ask { op: ListOp::Pop { queues, side, count_max: 1 }, shape: Shape::KeyAndFirst, wait_ms })
}

/// `numkeys key … LEFT|RIGHT [COUNT n]`
fn multi_pop(a: &[&[u8]]) -> Result<Ask, Refused> {
    let count = positive(at(a, 0), "ERR numkeys should be greater than 0")?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count == 0 {
        return Err("ERR numkeys should be greater than 0".into());
    }
    let (Some(names), Some(rest)) = (a.get(1..count.saturating_add(1)), a.get(count.saturating_add(1)..))
    else {
        return syntax();
    };
    let queues = names.iter().map(|name| key(name)).collect::<Result<_, _>>()?;
    let (side, count_max) = match rest {
        [word] => (side(word)?, 1),
        [word, count, number] if is(count, "COUNT") => {
            let side = side(word)?;
            match positive(number, "ERR count should be greater than 0")? {
                0 => return Err("ERR count should be greater than 0".into()),
                count => (side, count),
            }
        }
        _ => return syntax(),
    };
    Ok(ask(ListOp::Pop { queues, side, count_max }, Shape::KeyAndTaken))
}

fn blocking_multi_pop(a: &[&[u8]]) -> Result<Ask, Refused> {
    let wait_ms = timeout(at(a, 1))?;
    Ok(Ask { wait_ms, ..multi_pop(a.get(2..).unwrap_or_default())? })
}

fn shift(command: Command, a: &[&[u8]]) -> Result<Ask, Refused> {
    let (take, put) = (side(at(a, 3))?, side(at(a, 4))?);
    let wait_ms = if command == Command::Blmove { timeout(at(a, 5))? } else { None };
    moving(a, (take, put), wait_ms)
}

fn rotate(command: Command, a: &[&[u8]]) -> Result<Ask, Refused> {
    let wait_ms = if command == Command::Brpoplpush { timeout(at(a, 3))? } else { None };
    moving(a, (RIGHT, LEFT), wait_ms)
}

fn moving(a: &[&[u8]], (take, put): (Side, Side), wait_ms: Option<u64>) -> Result<Ask, Refused> {
    let shape = if wait_ms.is_some() { Shape::WaitedElement } else { Shape::Element };
    Ok(Ask { op: ListOp::Move { from: key_at(a, 1)?, to: key_at(a, 2)?, take, put }, shape, wait_ms })
}

fn range(a: &[&[u8]]) -> Result<Ask, Refused> {
    let (first, last) = (integer(at(a, 2))?, integer(at(a, 3))?);
    Ok(ask(ListOp::Range { queue: key_at(a, 1)?, first, last }, Shape::Elements))
}

fn trim(a: &[&[u8]]) -> Result<Ask, Refused> {
    let (first, last) = (integer(at(a, 2))?, integer(at(a, 3))?);
    Ok(ask(ListOp::Trim { queue: key_at(a, 1)?, first, last }, Shape::Ok))
}

fn index(a: &[&[u8]]) -> Result<Ask, Refused> {
    Ok(ask(ListOp::Index { queue: key_at(a, 1)?, index: integer(at(a, 2))? }, Shape::Element))
}

fn set(a: &[&[u8]]) -> Result<Ask, Refused> {
    let queue = key_at(a, 1)?;
    let message = element(&queue, at(a, 3));
    Ok(ask(ListOp::Set { queue, index: integer(at(a, 2))?, message }, Shape::Ok))
}

fn insert(a: &[&[u8]]) -> Result<Ask, Refused> {
    let queue = key_at(a, 1)?;
    let side = match at(a, 2) {
        word if is(word, "BEFORE") => LEFT,
        word if is(word, "AFTER") => RIGHT,
        _ => return syntax(),
    };
    let message = element(&queue, at(a, 4));
    Ok(ask(ListOp::Insert { queue, pivot: bytes(a, 3), side, message }, Shape::CountOrMinusOne))
}

fn remove(a: &[&[u8]]) -> Result<Ask, Refused> {
    let count = integer(at(a, 2))?;
    Ok(ask(ListOp::Remove { queue: key_at(a, 1)?, value: bytes(a, 3), count }, Shape::Count))
}

fn find(a: &[&[u8]]) -> Result<Ask, Refused> {
    let (mut rank, mut count, mut examine_max) = (1, None, 0);
    let mut options = a.get(3..).unwrap_or_default();
    while let [word, value, rest @ ..] = options {
        match *word {
            word if is(word, "RANK") => match integer(value)? {
                0 => {
                    return Err("ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list".into());
                }
                i64::MIN => return Err("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807".into()),
                number => rank = number,
            },
            word if is(word, "COUNT") => count = Some(positive(value, "ERR COUNT can't be negative")?),
            word if is(word, "MAXLEN") => examine_max = positive(value, "ERR MAXLEN can't be negative")?,
            _ => return syntax(),
        }
        options = rest;
    }
    if !options.is_empty() {
        return syntax();
    }
    let op = ListOp::Find {
        queue: key_at(a, 1)?,
        value: bytes(a, 2),
        rank,
        count_max: count.unwrap_or(1),
        examine_max,
    };
    Ok(ask(op, if count.is_some() { Shape::Indexes } else { Shape::FirstIndex }))
}
