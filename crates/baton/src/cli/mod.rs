//! The command line: its commands, and which function each one runs. No work is done here.

pub(crate) mod remote_args;
pub(crate) mod route_args;
pub(crate) mod serve_args;

use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::source::Flags;
use remote_args::{ExplainArgs, PeekArgs, QueueCommand, ReceiveArgs, SendArgs};
use route_args::RouteCommand;
use serve_args::ServeArgs;

const ABOUT: &str = "A point-to-point message broker: one message, exactly one consumer.";

const EXAMPLES: &str = "\
Examples:
  baton                                    start a broker on this machine; data in ./baton-data
  baton send jobs 'resize 4711.png'        send a message
  baton receive jobs --follow              receive, print and acknowledge until stopped
  baton queue list                         what waits where
  baton explain jobs                       why is it not delivered?

Without a command, baton starts a broker: `baton serve --help` has its options.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "baton",
    version,
    about = ABOUT,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a broker (also what `baton` alone does)
    Serve(Box<ServeArgs>),
    /// Look at the configuration without starting anything
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Queues of a running broker
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Which channels' or exchanges' messages a queue keeps
    #[command(subcommand)]
    Route(RouteCommand),
    /// Send messages to a queue or an exchange
    Send(SendArgs),
    /// Receive messages, print them and acknowledge them
    Receive(ReceiveArgs),
    /// Look at waiting messages without disturbing them
    Peek(PeekArgs),
    /// Say why a queue, or one message of it, is not delivered
    Explain(ExplainArgs),
    /// Examine a data directory while no broker uses it
    Doctor(DoctorArgs),
}

/// `baton config …`
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check the configuration and print what would be in effect, and where each value comes from
    #[command(
        after_help = "Examples:\n  baton config check\n  baton config check --config /etc/baton/baton.toml"
    )]
    Check(Box<ServeArgs>),
    /// Make the hash of a password for `[users]`; reads the password from the terminal or from stdin
    #[command(
        after_help = "Examples:\n  baton config password\n  printf %s \"$PASSWORD\" | baton config password"
    )]
    Password,
}

/// `baton doctor`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  baton doctor ./baton-data\n  baton doctor ./baton-data --json")]
pub(crate) struct DoctorArgs {
    /// The data directory
    pub dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Reads the command line and says where the flags of `serve` and `config check` came from.
///
/// # Errors
/// clap's, which print themselves (help and version are such errors too).
pub(crate) fn parse<I, T>(arguments: I) -> Result<(Command, Flags), clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<std::ffi::OsString> + Clone,
{
    let matches = Cli::command().try_get_matches_from(arguments)?;
    let cli = Cli::from_arg_matches(&matches)?;
    let flags = match (&cli.command, matches.subcommand()) {
        (None, _) => Flags::new(&cli.serve, &matches),
        (Some(Command::Serve(args)), Some((_, matches))) => Flags::new(args, matches),
        (Some(Command::Config(ConfigCommand::Check(args))), Some((_, config))) => match config.subcommand() {
            Some((_, matches)) => Flags::new(args, matches),
            None => Flags::default(),
        },
        _ => Flags::default(),
    };
    Ok((cli.command.unwrap_or_else(|| Command::Serve(Box::new(cli.serve))), flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_is_serve() {
        let (command, _) = parse(["baton", "--data-dir", "/tmp/x"]).unwrap();
        assert!(matches!(command, Command::Serve(args) if args.data_dir == Some("/tmp/x".into())));
        let (command, _) = parse(["baton", "serve", "--data-dir", "/tmp/x"]).unwrap();
        assert!(matches!(command, Command::Serve(args) if args.data_dir == Some("/tmp/x".into())));
        assert!(parse(["baton", "--data-dir", "/tmp/x", "queue", "list"]).is_err());
    }
}
