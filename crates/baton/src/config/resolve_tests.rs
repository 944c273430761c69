//! Tests of `resolve`: precedence, and that mistakes are reported with their origin.

use super::*;
use crate::cli;
use crate::cli::Command;
use crate::config::Sync;

fn flags(arguments: &[&str]) -> Flags {
    let (command, flags) = cli::parse(std::iter::once(&"baton").chain(arguments)).unwrap();
    assert!(matches!(command, Command::Serve(_)));
    flags
}

fn merged(arguments: &[&str], file: &str) -> Result<Config, String> {
    merge(&flags(arguments), None, file::parse(file).unwrap())
}

#[test]
fn nothing_said_is_loopback_and_defaults() {
    let config = merged(&[], "").unwrap();
    assert_eq!(config.listen.amqp.value, Listener::At(AMQP_DEFAULT));
    assert_eq!(config.listen.http.value.to_string(), "127.0.0.1:9324");
    assert!(!config.listen.amqp.is_configured());
    assert_eq!(config.data_dir.value, Path::new("./baton-data"));
    assert_eq!(config.journal.sync.value, Sync::Always);
    assert!((1..=4).contains(&config.worker_threads.value));
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let file = "data_dir = \"/from/file\"\n[listen]\namqp = \"127.0.0.1:1\"\nhttp = \"off\"\n";
    let config = merged(&["--amqp-listen", "127.0.0.1:2"], file).unwrap();
    assert_eq!(config.listen.amqp.value.to_string(), "127.0.0.1:2");
    assert_eq!(config.listen.amqp.source, Source::Flag("amqp-listen"));
    assert_eq!(config.listen.http.value, Listener::Off);
    assert_eq!(config.listen.http.source, Source::File("listen.http"));
    assert_eq!(config.data_dir.value, Path::new("/from/file"));
    assert_eq!(config.log.level.source, Source::Default);
}

#[test]
fn both_forms_of_the_command_take_flags() {
    for arguments in [&["--worker-threads", "3"][..], &["serve", "--worker-threads", "3"][..]] {
        assert_eq!(merged(arguments, "").unwrap().worker_threads.value, 3);
    }
}

#[test]
fn mistakes_name_their_origin_and_the_remedy() {
    for (arguments, file, expected) in [
        (
            &["--amqp-listen", "5672"][..],
            "",
            "flag --amqp-listen: \"5672\" is not an address; write it like 127.0.0.1:5672",
        ),
        (
            &[],
            "[listen]\nhttp = \"example.org:80\"",
            "file, listen.http: \"example.org:80\" is not an address",
        ),
        (&["--worker-threads", "two"], "", "flag --worker-threads: \"two\" is not a whole number"),
        (&[], "worker_threads = 0", "file, worker_threads: at least 1"),
        (&["--log-format", "xml"], "", "use human or json"),
        (&["--log-level", "lowd=chatty"], "", "is not a level"),
        (&["--journal-sync", "never"], "", "use always (before confirming) or interval"),
        (&["--tls-cert", "c.pem"], "", "set tls.key or --tls-key"),
        (&[], "[tls]\nkey = \"k.pem\"", "set tls.cert or --tls-cert"),
        (&[], "[journal]\nsegment_bytes = 10", "at least 1048576"),
        (&[], "[journal]\nsync_interval_ms = 0", "sync = \"always\""),
        (&[], "[limits]\nconnections_max = 0", "leave it out"),
        (&[], "namespaces = [\"\"]", "is not a name"),
    ] {
        let error = merged(arguments, file).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn localhost_and_ipv6_are_addresses() {
    let config = merged(&["--amqp-listen", "localhost:1", "--http-listen", "[::1]:0"], "").unwrap();
    assert_eq!(config.listen.amqp.value.to_string(), "127.0.0.1:1");
    assert_eq!(config.listen.http.value.to_string(), "[::1]:0");
}

#[test]
fn a_missing_named_file_is_an_error() {
    let error = load(&flags(&["--config", "/nowhere/baton.toml"])).unwrap_err();
    assert!(error.contains("/nowhere/baton.toml"), "{error}");
}
