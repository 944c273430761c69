//! The repository's own tool; see `cargo xtask --help`.

fn main() {}
