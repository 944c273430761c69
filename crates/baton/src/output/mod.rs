//! What reaches the terminal: data on stdout, everything else on stderr, colours only where somebody sees them.

pub(crate) mod sanitise;
pub(crate) mod table;

use std::io::{self, IsTerminal, Write};

use crate::exit::{Exit, Failure};

/// Writes data to stdout, as it is.
///
/// # Errors
/// When stdout cannot be written. A closed pipe (`| head`) ends the process quietly, as it does for other tools.
pub(crate) fn data(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes())
}

/// Writes a value to stdout as JSON, indented for a terminal and on one line otherwise.
///
/// # Errors
/// As [`data`].
pub(crate) fn json(value: &serde_json::Value) -> Result<(), Failure> {
    let text = if io::stdout().is_terminal() { format!("{value:#}\n") } else { format!("{value}\n") };
    data(&text)
}

/// Writes bytes to stdout, as they are.
///
/// # Errors
/// As [`data`].
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::quiet(Exit::Success)),
        Err(error) => Err(Failure::new(Exit::Failure, format!("cannot write to stdout: {error}"))),
    }
}

/// Writes a line for the human to stderr.
pub(crate) fn note(text: &str) {
    // Nobody can be told that stderr is gone.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes an error to stderr.
pub(crate) fn error(text: &str) {
    if colours(&io::stderr()) {
        note(&format!("\u{1b}[1;31merror:\u{1b}[0m {text}"));
    } else {
        note(&format!("error: {text}"));
    }
}

/// Writes a warning to stderr.
pub(crate) fn warning(text: &str) {
    if colours(&io::stderr()) {
        note(&format!("\u{1b}[1;33mwarning:\u{1b}[0m {text}"));
    } else {
        note(&format!("warning: {text}"));
    }
}

/// Whether colours may be used on a stream: only on a terminal, and not with `NO_COLOR`.
pub(crate) fn colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Asks for a yes. Without a terminal the answer is no, and the failure names the flag.
///
/// # Errors
/// When nobody can be asked or the answer was not yes.
pub(crate) fn confirm(question: &str, flag: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            format!("this needs a yes, and there is no terminal to ask on; say {flag} if you mean it"),
        ));
    }
    let mut stderr = io::stderr();
    let _ = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    match io::stdin().read_line(&mut answer) {
        Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::new(Exit::Failure, "nothing was done")),
    }
}
