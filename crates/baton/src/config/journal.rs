//! The section `[journal]`: merged as everything else, and checked.

use std::collections::BTreeMap;

use super::file::{JournalFile, JournalNamespaceFile};
use super::resolve::{Merge, only_file};
use super::{Journal, Sourced, Sync, SyncNamespace};

/// With `sync = "interval"`: what a power failure may cost, against how often the disk works.
const SYNC_INTERVAL_MS_DEFAULT: u64 = 100;
/// Large enough that opening files is rare, small enough that space comes back soon.
const SEGMENT_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;
/// Below this a segment holds less than one batch of ordinary size.
const SEGMENT_BYTES_MIN: u64 = 1024 * 1024;

/// Merges flags and the file. `known` are the namespaces that there are besides `default`.
///
/// # Errors
/// A sentence that names the value and what it must be.
pub(super) fn merge(merge: &Merge<'_>, file: JournalFile, known: &[String]) -> Result<Journal, String> {
    let sync_ = merge.word(
        "journal-sync",
        &merge.flags.args.journal_sync,
        "journal.sync",
        &file.sync,
        Sync::Always,
        sync,
    )?;
    let interval_key = "journal.sync_interval_ms";
    let sync_interval_ms = only_file(interval_key, file.sync_interval_ms, SYNC_INTERVAL_MS_DEFAULT);
    check_interval(&sync_interval_ms.source.to_string(), sync_interval_ms.value)?;
    let segment_bytes = only_file("journal.segment_bytes", file.segment_bytes, SEGMENT_BYTES_DEFAULT);
    let Sourced { value, source } = &segment_bytes;
    if *value < SEGMENT_BYTES_MIN {
        return Err(format!("{source}: {value} is too small; at least {SEGMENT_BYTES_MIN}"));
    }
    let namespaces = namespaces(file.namespaces, (sync_.value, sync_interval_ms.value), known)?;
    Ok(Journal { sync: sync_, sync_interval_ms, segment_bytes, namespaces })
}

/// What is not said of a namespace is as for all.
fn namespaces(
    file: BTreeMap<String, JournalNamespaceFile>,
    (sync_all, interval_ms_all): (Sync, u64),
    known: &[String],
) -> Result<Vec<(String, SyncNamespace)>, String> {
    let each = |(name, of): (String, JournalNamespaceFile)| {
        let key = format!("journal.namespaces.{name}");
        if name != "default" && name != "/" && !known.contains(&name) {
            return Err(format!("{key}: there is no namespace {name:?}; add it to `namespaces`"));
        }
        let sync = match of.sync.as_deref().map(sync) {
            Some(sync) => sync.map_err(|error| format!("{key}.sync: {error}"))?,
            None => sync_all,
        };
        let sync_interval_ms = of.sync_interval_ms.unwrap_or(interval_ms_all);
        check_interval(&format!("{key}.sync_interval_ms"), sync_interval_ms)?;
        Ok((name, SyncNamespace { sync, sync_interval_ms }))
    };
    file.into_iter().map(each).collect()
}

fn check_interval(origin: &str, interval_ms: u64) -> Result<(), String> {
    if interval_ms == 0 {
        return Err(format!("{origin}: an interval of 0 is sync = \"always\"; say that instead"));
    }
    Ok(())
}

fn sync(text: &str) -> Result<Sync, String> {
    match text {
        "always" => Ok(Sync::Always),
        "interval" => Ok(Sync::Interval),
        _ => Err(format!(
            "{text:?} is not a way to sync; use always (before confirming) or interval (a moment later)"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Flags, file, resolve};
    use super::*;

    fn journal(text: &str) -> Result<Journal, String> {
        let file = file::parse(text).map_err(|(_, message)| message)?;
        resolve::merge(&Flags::default(), None, file).map(|config| config.journal)
    }

    #[test]
    fn a_namespace_may_be_synced_in_its_own_way() {
        let text = "namespaces = [\"jobs\", \"mail\"]\n[journal]\nsync_interval_ms = 50\n\
                    [journal.namespaces.jobs]\nsync = \"interval\"\n\
                    [journal.namespaces.default]\nsync = \"interval\"\nsync_interval_ms = 1000\n";
        let journal = journal(text).unwrap();
        assert_eq!(journal.sync.value, Sync::Always);
        let of = |sync_interval_ms| SyncNamespace { sync: Sync::Interval, sync_interval_ms };
        assert_eq!(journal.namespaces, [("default".to_owned(), of(1000)), ("jobs".to_owned(), of(50))]);
    }

    #[test]
    fn mistakes_name_the_namespace() {
        for (text, expected) in [
            ("[journal.namespaces.jobs]\nsync = \"interval\"", "there is no namespace \"jobs\""),
            ("[journal.namespaces.default]\nsync = \"never\"", "journal.namespaces.default.sync: \"never\""),
            ("[journal.namespaces.default]\nsync_interval_ms = 0", "sync = \"always\""),
        ] {
            let error = journal(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
