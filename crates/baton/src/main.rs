//! The binary `baton`: the broker and the command line around it. Configuration, wiring and presentation live here;
//! everything a broker does is in the other crates. The only crate that names concrete journals and dialects.

mod cli;
mod config;
mod doctor;
mod duration;
mod exit;
mod memory;
mod output;
mod password;
mod remote;
mod serve;

use std::process::ExitCode;

use cli::{Command, ConfigCommand};
use config::{Flags, check, resolve, show};
use exit::{Exit, Failure};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Ten thousand idle connections have many buffers of which little is used: huge pages would make all of it resident, and made
/// nothing faster where it was measured. Not being able to is no harm.
fn small_pages() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

fn main() -> ExitCode {
    small_pages();
    let (command, flags) = match cli::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version are "errors" that succeed; what cannot be printed any more cannot be reported either.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Success.into() };
        }
    };
    match run(command, &flags) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if !failure.text.is_empty() {
                output::error(&failure.text);
            }
            failure.exit.into()
        }
    }
}

fn run(command: Command, flags: &Flags) -> Result<Exit, Failure> {
    match command {
        Command::Serve(_) => serve::run(&load(flags)?),
        Command::Config(ConfigCommand::Check(_)) => {
            let config = load(flags)?;
            serve::check(&config)?;
            output::data(&show::effective(&config))?;
            Ok(Exit::Success)
        }
        Command::Config(ConfigCommand::Password) => password::run(),
        Command::Queue(command) => remote::queue::run(command),
        Command::Route(command) => remote::route::run(command),
        Command::Send(args) => remote::send::run(&args),
        Command::Receive(args) => remote::receive::run(&args),
        Command::Peek(args) => remote::peek::run(&args),
        Command::Explain(args) => remote::explain::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    }
}

fn load(flags: &Flags) -> Result<config::Config, Failure> {
    let wrong = |text| Failure::new(Exit::Config, text);
    let config = resolve::load(flags).map_err(wrong)?;
    check::safe(&config).map_err(wrong)?;
    Ok(config)
}
