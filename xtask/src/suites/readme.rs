//! README.md is executed: every fenced block whose info string says `run=NAME`, each against a fresh broker.
//!
//! ```text
//! ```python run=pika      the virtual environment's Python
//! ```js run=amqplib       node, as a module, with the packages of conformance/node
//! ```sh run=cli           bash, with `baton` on the path and BATON_SERVER set
//! ```
//!
//! The endpoints that the text shows (`localhost` or `127.0.0.1`, ports 5672 and 9324) become those of that broker.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::broker::{Running, point_at};
use super::counts::Counts;
use super::exec::Log;
use super::{Runner, Stop, node, python};

const README: &str = "README.md";
const FOLDER: &str = ".cache/readme";
const BLOCK_MAX: Duration = Duration::from_secs(60);

/// A marked block.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    language: String,
    /// What `run=` says.
    name: String,
    /// Of the opening fence, from 1.
    line: usize,
    code: String,
}

pub(super) fn run(runner: &mut Runner<'_>, log: &mut Log) -> Result<Counts, Stop> {
    runner.needs_folder(README)?;
    let text = std::fs::read_to_string(runner.repo.path(README))
        .map_err(|e| Stop::Fail(format!("cannot read {README}: {e}")))?;
    let blocks = blocks(&text);
    if blocks.is_empty() {
        return Err(Stop::Skip(format!("no block of {README} is marked `run=`")));
    }
    let broker = runner.broker()?;
    let mut total = Counts::default();
    for block in &blocks {
        log.say(format_args!("==== {README}:{}: {} run={}", block.line, block.language, block.name));
        let counts = match execute(runner, log, &broker, block) {
            Ok(()) => Counts { passed: 1, ..Counts::default() },
            Err(Stop::Skip(reason)) => Counts { skipped: 1, reasons: vec![reason], ..Counts::default() },
            Err(Stop::Fail(reason)) => {
                let reason = format!("{README}:{}: {reason}", block.line);
                log.say(&reason);
                Counts { failed: 1, reasons: vec![reason], ..Counts::default() }
            }
        };
        total.add(&counts);
    }
    Ok(total)
}

fn execute(runner: &Runner<'_>, log: &mut Log, broker: &Path, block: &Block) -> Result<(), Stop> {
    let folder = runner.repo.path(&format!("{FOLDER}/{}-{}", block.line, block.name));
    let io = |e: std::io::Error| Stop::Fail(format!("cannot use {FOLDER}: {e}"));
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(io)?;
    }
    std::fs::create_dir_all(&folder).map_err(io)?;

    let mut command = interpreter(runner, log, &folder, block, broker)?;
    let running = Running::start(broker, &folder, log)?;
    let ports = [
        ("5672", &*running.amqp),
        ("9324", &*running.http),
        ("61613", &*running.stomp),
        ("6379", &*running.redis),
    ];
    let (script, code) = (script(runner, &folder, block), with_endpoints(&block.code, &ports));
    std::fs::create_dir_all(script.parent().unwrap_or(&folder)).map_err(io)?;
    std::fs::write(&script, code).map_err(io)?;
    point_at(&mut command, broker);
    command.arg(&script).current_dir(&folder).env("BATON_SERVER", format!("http://{}", running.http));
    let finished = log.run(&mut command, BLOCK_MAX)?;
    if finished.success { Ok(()) } else { Err(Stop::Fail(finished.ending)) }
}

/// What runs a block, without its script.
fn interpreter(
    runner: &Runner<'_>,
    log: &mut Log,
    folder: &Path,
    block: &Block,
    broker: &Path,
) -> Result<Command, Stop> {
    match block.language.as_str() {
        "python" => Ok(Command::new(python::environment(runner, log)?)),
        "js" | "javascript" => node::environment(runner, log).map(|_| Command::new("node")),
        "sh" | "bash" => {
            let mut paths = vec![broker.parent().unwrap_or(folder).to_path_buf()];
            paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
            let path =
                std::env::join_paths(paths).map_err(|e| Stop::Fail(format!("PATH cannot be set: {e}")))?;
            let mut command = Command::new("bash");
            command.args(["-euo", "pipefail"]).env("PATH", path);
            Ok(command)
        }
        other => Err(Stop::Fail(format!("no idea how to run `{other}`: use python, js or sh"))),
    }
}

/// Node looks for packages above the script, so its scripts go below the folder that has them.
fn script(runner: &Runner<'_>, folder: &Path, block: &Block) -> PathBuf {
    match block.language.as_str() {
        "js" | "javascript" => runner.repo.path(&format!(".cache/node/readme/{}.mjs", block.line)),
        _ => folder.join("block"),
    }
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let code: Vec<&str> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
        let mut words = info.split_whitespace();
        let language = words.next().unwrap_or_default().to_owned();
        if let Some(name) = words.find_map(|word| word.strip_prefix("run=")) {
            let code = code.join("\n") + "\n";
            blocks.push(Block { language, name: name.to_owned(), line: at + 1, code });
        }
    }
    blocks
}

/// Puts the real endpoints in place of the usual ones, as an address or as a pair of host and port.
fn with_endpoints(code: &str, ports: &[(&str, &str)]) -> String {
    let mut code = code.to_owned();
    for (usual, real) in ports {
        let port = real.rsplit(':').next().unwrap_or(real);
        for host in ["localhost", "127.0.0.1"] {
            code = code.replace(&format!("{host}:{usual}"), real);
            code = code.replace(&format!("(\"{host}\", {usual})"), &format!("(\"127.0.0.1\", {port})"));
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marked_blocks_are_run() {
        let text = "# T\n```sh\ncargo run\n```\n\n```python run=pika\nimport pika\n\nx\n```\n```js run=amqplib extra\ny\n```\n";
        let found = blocks(text);
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0],
            Block {
                language: "python".into(),
                name: "pika".into(),
                line: 6,
                code: "import pika\n\nx\n".into()
            }
        );
        assert_eq!((found[1].language.as_str(), found[1].line), ("js", 11));
    }

    #[test]
    fn shown_endpoints_become_real_ones() {
        let code =
            "amqp://guest:guest@localhost:5672/ http://127.0.0.1:9324/metrics [(\"localhost\", 61613)]";
        let ports = [("5672", "127.0.0.1:41"), ("9324", "127.0.0.1:42"), ("61613", "127.0.0.1:43")];
        assert_eq!(
            with_endpoints(code, &ports),
            "amqp://guest:guest@127.0.0.1:41/ http://127.0.0.1:42/metrics [(\"127.0.0.1\", 43)]"
        );
    }
}
