//! Writes `src/methods/*.rs` from the definition in `spec/`. Run it after a change there or in `generate.rs`:
//! `cargo run -p baton-dialect-amqp091 --example codegen`. `tests/generated.rs` fails until that is done.

mod generate;

use std::path::Path;

fn main() -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let spec = std::fs::read_to_string(root.join("spec/amqp-rabbitmq-0.9.1.json"))?;
    for (name, text) in generate::generate(&spec) {
        std::fs::write(root.join("src/methods").join(name), text)?;
    }
    Ok(())
}
