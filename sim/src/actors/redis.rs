//! A Redis client, with RESP2 or RESP3: pushes and pops, waits for elements, moves them to a list of those that are being
//! worked on and removes them there, and does several of these in transactions. It writes and reads its bytes itself.
//!
//! What holds: an answered push is safe; a transaction is there as a whole or not at all; a move leaves the element in one of the two
//! lists. **A pop removes at once**: when its connection ends before the answer, the element may be gone and nobody has it. Only
//! in the list [`LEASED`] it comes back, unless the connection had sent its next command behind the answer.

use std::collections::VecDeque;

use baton_dialect::{Session, SessionContext};
use baton_dialect_resp::{RespSession, SessionOptions};
use bytes::{Buf, Bytes, BytesMut};

use super::World;
use super::wire::Protocol;
use crate::Dice;
use crate::fact::{Known, body, serial_of};
use crate::topology::{LEASED, LIST, SPARE};

/// Elements that it remembers.
const READ_MAX: usize = 8;

/// An answer.
#[derive(Debug)]
enum Answer {
    Text(String),
    Error(String),
    Number,
    Bulk(Bytes),
    Null,
    Many(Vec<Answer>),
}

/// What is known when the answer to a command is there and no error.
#[derive(Debug)]
enum Awaited {
    Command(Vec<Known>),
    Queued,
    /// One for each command of the transaction.
    Exec(Vec<Vec<Known>>),
}

/// One client.
pub(super) struct Client {
    number: usize,
    awaited: VecDeque<Awaited>,
    /// What each command of the transaction promises, while one is open.
    transaction: Option<Vec<Vec<Known>>>,
    sent: Vec<Known>,
    /// Elements that it read last, to be removed where the moved ones are.
    read: VecDeque<Bytes>,
}

impl Client {
    pub(super) fn new(number: usize) -> Self {
        Self { number, awaited: VecDeque::new(), transaction: None, sent: Vec::new(), read: VecDeque::new() }
    }

    /// Sends a command; `known` once it is answered.
    fn command(&mut self, out: &mut BytesMut, words: &[&[u8]], known: Vec<Known>) {
        write(out, words);
        match &mut self.transaction {
            Some(commands) => {
                commands.push(known);
                self.awaited.push_back(Awaited::Queued);
            }
            None => self.awaited.push_back(Awaited::Command(known)),
        }
    }

    fn push(&mut self, dice: &mut Dice, world: &mut World<'_>, out: &mut BytesMut) {
        let list = *dice.pick(&[LIST, LIST, LIST, LEASED]);
        let mut bodies = Vec::new();
        let mut known = Vec::new();
        for _ in 0..if dice.one_in(4) { 1 + dice.index(4) } else { 1 } {
            *world.serials += 1;
            let serial = *world.serials;
            bodies.push(body(serial, if dice.one_in(8) { dice.index(9_000) } else { dice.index(60) }));
            known.push(Known::Confirmed { serial });
            let sent = Known::Sent { serial };
            if self.transaction.is_some() { self.sent.push(sent) } else { world.known.push(sent) }
        }
        let mut words: Vec<&[u8]> = vec![b"LPUSH", list.as_bytes()];
        words.extend(bodies.iter().map(Vec::as_slice));
        self.command(out, &words, known);
    }

    fn pop(&mut self, dice: &mut Dice, out: &mut BytesMut) {
        let list = dice.pick(&[LIST, LIST, SPARE, LEASED]).as_bytes();
        let seconds: &[u8] = match dice.below(20) {
            0 => b"0",
            1..8 => b"0.2",
            _ => b"2",
        };
        match dice.below(8) {
            0 => self.command(out, &[b"RPOP", list, b"3"], Vec::new()),
            1 | 2 => self.command(out, &[b"RPOP", list], Vec::new()),
            3 => self.command(out, &[b"BRPOP", list, SPARE.as_bytes(), seconds], Vec::new()),
            4 => self.command(out, &[b"BLMPOP", seconds, b"1", list, b"RIGHT", b"COUNT", b"2"], Vec::new()),
            _ => self.command(out, &[b"BRPOP", list, seconds], Vec::new()),
        }
    }

    fn shift(&mut self, dice: &mut Dice, out: &mut BytesMut) {
        let (from, to) = (LIST.as_bytes(), SPARE.as_bytes());
        match dice.below(3) {
            0 => self.command(out, &[b"RPOPLPUSH", from, to], Vec::new()),
            1 => self.command(out, &[b"BLMOVE", from, to, b"RIGHT", b"LEFT", b"0.5"], Vec::new()),
            _ => self.command(out, &[b"LMOVE", from, to, b"RIGHT", b"LEFT"], Vec::new()),
        }
    }

    fn look(&mut self, dice: &mut Dice, out: &mut BytesMut) {
        match dice.below(6) {
            // It goes on for a while, and so do others, before its next transaction.
            4 | 5 if self.transaction.is_none() => {
                self.command(out, &[b"WATCH", LIST.as_bytes(), SPARE.as_bytes()], Vec::new());
            }
            0 => self.command(out, &[b"LRANGE", SPARE.as_bytes(), b"0", b"2"], Vec::new()),
            1 => self.command(out, &[b"LLEN", LIST.as_bytes()], Vec::new()),
            2 => self.command(out, &[b"LINDEX", LIST.as_bytes(), b"-1"], Vec::new()),
            _ => self.command(out, &[b"PING"], Vec::new()),
        }
    }

    fn transact(&mut self, dice: &mut Dice, world: &mut World<'_>, out: &mut BytesMut) {
        match self.transaction.take() {
            None => {
                self.command(out, &[b"MULTI"], Vec::new());
                self.transaction = Some(Vec::new());
            }
            Some(_) if dice.one_in(4) => {
                self.sent.clear();
                self.command(out, &[b"DISCARD"], Vec::new());
            }
            Some(commands) => {
                world.known.append(&mut self.sent);
                write(out, &[b"EXEC"]);
                self.awaited.push_back(Awaited::Exec(commands));
            }
        }
    }

    fn heard(&mut self, answer: &Answer, world: &mut World<'_>) {
        let awaited = self.awaited.pop_front().expect("an answer was asked for");
        self.read_elements(answer, world);
        match (awaited, answer) {
            (_, Answer::Error(text)) => may_be_refused(text),
            (Awaited::Queued, Answer::Text(text)) => assert_eq!(text, "QUEUED"),
            (Awaited::Command(known), _) => world.known.extend(known),
            (Awaited::Exec(commands), Answer::Many(answers)) => {
                assert_eq!(commands.len(), answers.len(), "each command of a transaction is answered");
                for (known, answer) in commands.into_iter().zip(answers) {
                    match answer {
                        Answer::Error(text) => may_be_refused(text),
                        _ => world.known.extend(known),
                    }
                }
            }
            // A list that it watched has changed: nothing was done.
            (Awaited::Exec(_), Answer::Null) => {}
            (awaited, answer) => panic!("{awaited:?} is answered with {answer:?}"),
        }
    }

    /// Elements tell themselves from all else that is said.
    fn read_elements(&mut self, answer: &Answer, world: &mut World<'_>) {
        match answer {
            Answer::Bulk(body) => {
                if serial_of(body).is_some_and(|serial| serial > 0) {
                    self.read.push_back(body.clone());
                    self.read.truncate(READ_MAX);
                    world.known.push(Known::Read { body: body.clone() });
                }
            }
            Answer::Many(answers) => answers.iter().for_each(|answer| self.read_elements(answer, world)),
            Answer::Number | Answer::Text(_) | Answer::Error(_) | Answer::Null => {}
        }
    }

    /// Removes an element where it was moved to, if it was: else nothing is removed.
    fn remove(&mut self, out: &mut BytesMut) {
        let Some(value) = self.read.pop_front() else { return };
        self.command(out, &[b"LREM", SPARE.as_bytes(), b"0", &value], Vec::new());
    }
}

impl Protocol for Client {
    fn session(&self, context: SessionContext) -> Box<dyn Session> {
        Box::new(RespSession::new(context, SessionOptions::default()))
    }

    fn connect(&mut self, out: &mut BytesMut) {
        *self = Self::new(self.number);
        if self.number % 2 == 1 {
            self.command(out, &[b"HELLO", b"3"], Vec::new());
        }
    }

    fn act(&mut self, dice: &mut Dice, world: &mut World<'_>, out: &mut BytesMut) {
        match dice.below(20) {
            0 | 1 => self.transact(dice, world, out),
            2..6 => self.pop(dice, out),
            6..8 => self.shift(dice, out),
            8 => self.look(dice, out),
            9..12 if !self.read.is_empty() => self.remove(out),
            _ => self.push(dice, world, out),
        }
    }

    fn read(&mut self, received: &mut BytesMut, world: &mut World<'_>) {
        loop {
            let mut rest = &received[..];
            let Some(answer) = parse(&mut rest) else { return };
            let used = received.len() - rest.len();
            // What is kept of an answer is a copy.
            received.advance(used);
            self.heard(&answer, world);
        }
    }

    fn is_over(&self) -> bool {
        false
    }
}

/// Nothing that is asked here is wrong; only the disk may be late or full.
fn may_be_refused(text: &str) {
    let known = text.contains("try again") || text.starts_with("OOM ") || text.starts_with("MISCONF ");
    assert!(known, "a command is refused: {text}");
}

fn write(out: &mut BytesMut, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// Takes a whole answer off the front, or nothing.
fn parse(rest: &mut &[u8]) -> Option<Answer> {
    let end = rest.windows(2).position(|two| two == b"\r\n")?;
    let line = std::str::from_utf8(&rest[..end]).expect("what is no element is text");
    *rest = &rest[end + 2..];
    let (kind, text) = line.split_at(1);
    let number = || text.parse::<i64>().expect("a number");
    Some(match kind {
        "+" => Answer::Text(text.to_owned()),
        "-" => Answer::Error(text.to_owned()),
        ":" => {
            number();
            Answer::Number
        }
        "_" => Answer::Null,
        "$" | "*" if number() < 0 => Answer::Null,
        "$" => {
            let len = number() as usize;
            if rest.len() < len + 2 {
                return None;
            }
            let bulk = Bytes::copy_from_slice(&rest[..len]);
            *rest = &rest[len + 2..];
            Answer::Bulk(bulk)
        }
        "*" | "~" | ">" => many(number(), rest)?,
        "%" => many(2 * number(), rest)?,
        other => panic!("the broker wrote an answer of kind {other}"),
    })
}

fn many(count: i64, rest: &mut &[u8]) -> Option<Answer> {
    (0..count).map(|_| parse(rest)).collect::<Option<Vec<_>>>().map(Answer::Many)
}
