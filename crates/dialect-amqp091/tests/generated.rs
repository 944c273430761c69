//! The files in `src/methods` are what the generator makes of the definition; nobody edited one by hand.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../codegen/generate.rs"]
mod generate;

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn committed_files_equal_generated_ones() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let spec = std::fs::read_to_string(root.join("spec/amqp-rabbitmq-0.9.1.json")).unwrap();
    let files = generate::generate(&spec);
    for (name, text) in &files {
        let committed = std::fs::read_to_string(root.join("src/methods").join(name)).unwrap();
        assert!(committed == *text, "{name} is stale: cargo run -p baton-dialect-amqp091 --example codegen");
        assert!(text.lines().count() <= 500, "{name} is over 500 lines: split it by concept");
    }
    let expected: BTreeSet<_> = files.into_iter().map(|(name, _)| name).collect();
    let present: BTreeSet<_> = std::fs::read_dir(root.join("src/methods"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(present, expected);
}
