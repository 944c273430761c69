//! The table of all targets. To add one: write a function `fn(&[u8])` in a module of this package, add a line here, put
//! at least one good input into `corpus/<name>/`, and (for nightly) a four-line file into `cargo-fuzz/fuzz_targets/`.
//! Read by `main.rs`.

use crate::{amqp, amqp_session, core_operations, journal, records, resp, sqs, stomp};

/// One fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Name on the command line, and of its folder in `corpus/`.
    pub name: &'static str,
    /// Panics if a promise is broken.
    pub run: fn(&[u8]),
}

/// All targets, in the order they run.
pub const TARGETS: &[Target] = &[
    Target { name: "amqp_frames", run: amqp::frames },
    Target { name: "amqp_method_roundtrip", run: amqp::method_roundtrip },
    Target { name: "amqp_table", run: amqp::table },
    Target { name: "amqp_content", run: amqp::content },
    Target { name: "amqp_session", run: amqp_session::session },
    Target { name: "core_operations", run: core_operations::operations },
    Target { name: "records_decode", run: records::decode },
    Target { name: "journal", run: journal::journal },
    Target { name: "resp_frames", run: resp::frames },
    Target { name: "resp_session", run: resp::session },
    Target { name: "sqs_wire", run: sqs::wire },
    Target { name: "sqs_sigv4", run: sqs::sigv4 },
    Target { name: "sqs_session", run: sqs::session },
    Target { name: "stomp_frames", run: stomp::frames },
    Target { name: "stomp_selector", run: stomp::selector },
    Target { name: "stomp_session", run: stomp::session },
];
