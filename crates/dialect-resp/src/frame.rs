//! Commands out of bytes: arrays of bulk strings, and inline commands for people with a terminal. Nothing is copied: arguments
//! are slices of the input. Source: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use smallvec::SmallVec;

use crate::limits::{ARGUMENTS_MAX, COMMAND_BYTES_SPARE, LINE_BYTES_MAX};

/// One command's arguments, its name first.
pub type Arguments<'a> = SmallVec<[&'a [u8]; 8]>;

/// What there is at the front of the input.
#[derive(Debug, PartialEq)]
pub enum Parsed<'a> {
    /// A whole command (empty: an empty line), and its length in bytes.
    Command(Arguments<'a>, usize),
    /// Not all of it is there; no need to look again before there are so many bytes.
    Incomplete(usize),
    /// It is no command: the text of the error. The connection cannot go on.
    Wrong(&'static str),
}

/// Reads the command at the front. `bytes_max`: the largest bulk string accepted; all of a command together has little more.
#[must_use]
pub fn parse(input: &[u8], bytes_max: usize) -> Parsed<'_> {
    match input.first() {
        None => Parsed::Incomplete(1),
        Some(b'*') => array(input, bytes_max),
        Some(_) => inline(input),
    }
}

fn array(input: &[u8], bytes_max: usize) -> Parsed<'_> {
    let (count, mut at) = match number(input, 1) {
        Ok(found) => found,
        Err(Some(need)) => return Parsed::Incomplete(need),
        Err(None) => return Parsed::Wrong("invalid multibulk length"),
    };
    let Ok(count) = usize::try_from(count) else { return Parsed::Command(Arguments::new(), at) };
    if count > ARGUMENTS_MAX {
        return Parsed::Wrong("invalid multibulk length");
    }
    let mut arguments = Arguments::new();
    for _ in 0..count {
        match input.get(at) {
            None => return Parsed::Incomplete(at + 1),
            Some(b'$') => {}
            Some(_) => return Parsed::Wrong("expected '$'"),
        }
        let (length, start) = match number(input, at + 1) {
            Ok(found) => found,
            Err(Some(need)) => return Parsed::Incomplete(need),
            Err(None) => return Parsed::Wrong("invalid bulk length"),
        };
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= bytes_max) else {
            return Parsed::Wrong("invalid bulk length");
        };
        let end = start + length;
        if end > bytes_max.saturating_add(COMMAND_BYTES_SPARE) {
            return Parsed::Wrong("the command is too large");
        }
        match (input.get(start..end), input.get(end..end + 2)) {
            (Some(argument), Some(b"\r\n")) => arguments.push(argument),
            (Some(_), Some(_)) => return Parsed::Wrong("a bulk string does not end where it says"),
            _ => return Parsed::Incomplete(end + 2),
        }
        at = end + 2;
    }
    Parsed::Command(arguments, at)
}

/// A number up to the end of its line, and where the next line begins. Else: how many bytes it takes to know, or that it is none.
fn number(input: &[u8], from: usize) -> Result<(i64, usize), Option<usize>> {
    let line = input.get(from..).unwrap_or_default();
    let (negative, digits_from) = if line.first() == Some(&b'-') { (true, 1) } else { (false, 0) };
    let mut value: i64 = 0;
    for (at, byte) in line.iter().enumerate().skip(digits_from) {
        match byte {
            b'0'..=b'9' if at < 20 => {
                value = value.saturating_mul(10).saturating_add(i64::from(byte - b'0'));
            }
            b'\r' if at > digits_from => {
                return match line.get(at + 1) {
                    None => Err(Some(from + at + 2)),
                    Some(b'\n') => Ok((if negative { -value } else { value }, from + at + 2)),
                    Some(_) => Err(None),
                };
            }
            _ => return Err(None),
        }
    }
    Err(Some(from + line.len() + 1))
}

fn inline(input: &[u8]) -> Parsed<'_> {
    let Some(end) = input.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n') else {
        if input.len() >= LINE_BYTES_MAX {
            return Parsed::Wrong("too big inline request");
        }
        return Parsed::Incomplete(input.len() + 1);
    };
    let line = input.get(..end).unwrap_or_default();
    let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let mut arguments = Arguments::new();
    for word in words {
        // A quoted word without blanks in it; people who need more have a client.
        let quoted = word.strip_prefix(b"\"").and_then(|word| word.strip_suffix(b"\""));
        arguments.push(quoted.unwrap_or(word));
    }
    Parsed::Command(arguments, end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command<'a>(words: &[&'a str], length: usize) -> Parsed<'a> {
        Parsed::Command(words.iter().map(|word| word.as_bytes()).collect(), length)
    }

    #[test]
    fn commands_are_read_whole_or_not_at_all() {
        let input = b"*2\r\n$4\r\nLLEN\r\n$1\r\nq\r\nPING\r\n";
        assert_eq!(parse(input, 100), command(&["LLEN", "q"], 21));
        assert_eq!(parse(&input[21..], 100), command(&["PING"], 6));
        for end in 0..21 {
            let Parsed::Incomplete(need) = parse(&input[..end], 100) else { panic!("{end}") };
            assert!(need > end && need <= 21, "{end} {need}");
        }
        assert_eq!(parse(b"*0\r\n", 100), command(&[], 4));
        assert_eq!(parse(b"*-1\r\n", 100), command(&[], 5));
        assert_eq!(parse(b"\r\n", 100), command(&[], 2));
        assert_eq!(parse(b"set \"a\" b\r\n", 100), command(&["set", "a", "b"], 11));
    }

    #[test]
    fn a_bulk_string_may_have_just_the_maximum_and_a_command_little_more() {
        let largest = format!("*2\r\n$5\r\nLPUSH\r\n$100\r\n{}\r\n", "x".repeat(100));
        assert!(
            matches!(parse(largest.as_bytes(), 100), Parsed::Command(_, length) if length == largest.len())
        );
        let many = format!("*9\r\n{}", format!("$65536\r\n{}\r\n", "x".repeat(65536)).repeat(9));
        assert_eq!(parse(many.as_bytes(), 65536), Parsed::Wrong("the command is too large"));
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for wrong in [
            "*x\r\n",
            "*1\r\n+OK\r\n",
            "*1\r\n$-1\r\n",
            "*1\r\n$101\r\n",
            "*9999999\r\n",
            "*1\r\n$1\r\nabc\r\n",
            "*1\rx",
        ] {
            assert!(matches!(parse(wrong.as_bytes(), 100), Parsed::Wrong(_)), "{wrong:?}");
        }
        assert!(matches!(parse(&vec![b'a'; LINE_BYTES_MAX], 100), Parsed::Wrong(_)));
    }
}
