//! The help texts as they are, so that every change of them is seen. `BATON_UPDATE_SNAPSHOTS=1` writes them anew.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::path::Path;

use support::{run, stdout};

const COMMANDS: [&[&str]; 18] = [
    &[],
    &["serve"],
    &["config"],
    &["config", "check"],
    &["queue"],
    &["queue", "list"],
    &["queue", "create"],
    &["queue", "purge"],
    &["queue", "delete"],
    &["route"],
    &["route", "add"],
    &["route", "list"],
    &["route", "remove"],
    &["send"],
    &["receive"],
    &["peek"],
    &["explain"],
    &["doctor"],
];

#[test]
fn help_is_as_it_was() {
    let mut all = String::new();
    for command in COMMANDS {
        let output = run(&[command, &["--help"]].concat());
        assert_eq!(output.status.code(), Some(0));
        let text = stdout(&output);
        assert!(text.contains("Examples:") || command.len() == 1, "{command:?} has no examples:\n{text}");
        all.push_str(&format!("$ baton {}\n{text}\n", [command, &["--help"]].concat().join(" ")));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help.txt");
    if std::env::var_os("BATON_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&file, &all).unwrap();
    }
    let before = std::fs::read_to_string(&file).unwrap();
    assert!(before == all, "the help changed; look at it, then run with BATON_UPDATE_SNAPSHOTS=1:\n{all}");
}
