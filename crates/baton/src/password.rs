//! Passwords from people: asked without echo, hashed for the configuration.

use std::io::{self, BufRead, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::exit::{Exit, Failure};
use crate::output;

/// `baton config password`: prints a hash for `[users]`.
///
/// # Errors
/// When no password comes, or two that differ.
pub(crate) fn run() -> Result<Exit, Failure> {
    let password = if io::stdin().is_terminal() {
        let password = ask("password: ")?;
        if ask("again: ")? != password {
            return Err(Failure::new(Exit::Failure, "the two are not the same; nothing was hashed"));
        }
        password
    } else {
        line()?
    };
    if password.is_empty() {
        return Err(Failure::new(Exit::Failure, "an empty password would let anybody in"));
    }
    output::data(&format!("{}\n", hash(&password)?))?;
    Ok(Exit::Success)
}

fn hash(password: &str) -> Result<String, Failure> {
    let mut salt = [0; 16];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut salt)
        .map_err(|_| Failure::new(Exit::Failure, "the system gives no random numbers"))?;
    baton_access::hash_password(password.as_bytes(), &salt)
        .map_err(|error| Failure::new(Exit::Failure, format!("cannot hash this password: {error}")))
}

/// Asks for a password on the terminal, without showing it.
///
/// # Errors
/// When there is no terminal to ask on.
pub(crate) fn ask(prompt: &str) -> Result<String, Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            "no terminal to ask for the password on; give it as --user NAME:PASSWORD",
        ));
    }
    let mut stderr = io::stderr();
    let _ = write!(stderr, "{prompt}").and_then(|()| stderr.flush());
    let shown = tcgetattr(&stdin).ok();
    if let Some(shown) = &shown {
        let mut hidden = shown.clone();
        hidden.local_modes &= !LocalModes::ECHO;
        let _ = tcsetattr(&stdin, OptionalActions::Flush, &hidden);
    }
    let password = line();
    if let Some(shown) = &shown {
        let _ = tcsetattr(&stdin, OptionalActions::Flush, shown);
    }
    output::note("");
    password
}

fn line() -> Result<String, Failure> {
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::new(Exit::Failure, format!("cannot read the password: {error}")))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
