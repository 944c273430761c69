//! What `baton` tells its caller by its exit code. One enum, one conversion; every command ends through here.

use std::process::ExitCode;

/// Why the process ends. The numbers are part of the interface (docs/features/cli.md): never change one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// All is well.
    Success,
    /// Something else went wrong: the message says what.
    Failure,
    /// The command line is wrong. The number is clap's.
    Usage,
    /// The configuration is wrong.
    Config,
    /// A configured address cannot be listened on.
    Bind,
    /// The data directory is in use by another process.
    Locked,
    /// Stored data is damaged, or `doctor` found something.
    Corrupt,
    /// The disk is full or failed.
    Disk,
    /// No broker answers.
    Unreachable,
    /// What was asked for does not exist.
    NotFound,
    /// The broker refused; also: wrong user or missing permission.
    Refused,
    /// Ended by a second signal, before the shutdown was complete.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Config => 3,
            Self::Bind => 4,
            Self::Locked => 5,
            Self::Corrupt => 6,
            Self::Disk => 7,
            Self::Unreachable => 8,
            Self::NotFound => 9,
            Self::Refused => 10,
            Self::Interrupted => 130,
        }
    }
}

/// A failure of a command: what to print, and how to end.
#[derive(Debug)]
pub(crate) struct Failure {
    /// How to end.
    pub exit: Exit,
    /// For a human: what is wrong and what to do.
    pub text: String,
}

impl Failure {
    /// An end that needs no words: nobody reads any more.
    pub(crate) fn quiet(exit: Exit) -> Self {
        Self { exit, text: String::new() }
    }

    /// A failure with its text.
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_exits_share_a_number() {
        let all = [
            Exit::Success,
            Exit::Failure,
            Exit::Usage,
            Exit::Config,
            Exit::Bind,
            Exit::Locked,
            Exit::Corrupt,
            Exit::Disk,
            Exit::Unreachable,
            Exit::NotFound,
            Exit::Refused,
            Exit::Interrupted,
        ];
        let mut codes: Vec<u8> = all.iter().map(|exit| exit.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all.len());
    }
}
