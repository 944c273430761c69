//! `baton doctor DIR`: examines the journals of a data directory and changes nothing.

use std::path::{Path, PathBuf};

use baton_journal_file::doctor::{Damage, Forecast, Report, examine};
use serde_json::{Value as Json, json};

use crate::cli::DoctorArgs;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::serve::PARTITION_PREFIX;

/// Runs the command. Damage is exit code 6.
///
/// # Errors
/// When the directory cannot be read or is none of Baton's.
pub(crate) fn run(args: &DoctorArgs) -> Result<Exit, Failure> {
    let mut reports = Vec::new();
    for dir in journals(&args.dir)? {
        let report = examine(&dir).map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
        reports.push(report);
    }
    let sound = reports.iter().all(Report::is_sound);
    if args.json {
        let reports: Vec<Json> = reports.iter().map(report_json).collect();
        output::json(&json!({ "sound": sound, "journals": reports }))?;
    } else {
        for report in &reports {
            output::data(&report.to_string())?;
        }
        output::note(if sound {
            "sound"
        } else {
            "damaged: keep a copy of the directory before anything else is done to it"
        });
    }
    Ok(if sound { Exit::Success } else { Exit::Corrupt })
}

/// The journals of a data directory; a directory without partitions is taken as a journal itself.
fn journals(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::new(
            Exit::Failure,
            format!("cannot read {}: {error}; name a broker's data directory", dir.display()),
        )
    };
    let mut partitions = Vec::new();
    let mut files = 0;
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        files += 1;
        if entry.path().is_dir() && entry.file_name().to_string_lossy().starts_with(PARTITION_PREFIX) {
            partitions.push(entry.path());
        }
    }
    if files == 0 {
        return Err(Failure::new(
            Exit::Failure,
            format!("{} is empty; name a broker's data directory", dir.display()),
        ));
    }
    partitions.sort();
    Ok(if partitions.is_empty() { vec![dir.to_owned()] } else { partitions })
}

fn report_json(report: &Report) -> Json {
    let recovery = match &report.recovery {
        Forecast::Opens { snapshot, end, torn_tail } => json!({
            "opens": true,
            "snapshot_position": snapshot.map(|position| position.0),
            "end_position": end.0,
            "torn_tail": torn_tail.as_ref().map(|torn| json!({ "file": torn.file, "offset": torn.offset, "what": torn.what })),
        }),
        Forecast::Refuses { error } => json!({ "opens": false, "error": error }),
    };
    let segments: Vec<Json> = report
        .segments
        .iter()
        .map(|segment| {
            json!({
                "file": segment.file, "base_position": segment.base.0, "end_position": segment.end.0,
                "sealed": segment.sealed, "batches": segment.batches, "records": segment.records,
                "record_bytes": segment.record_bytes, "file_bytes": segment.file_bytes,
                "damage": segment.damage.as_ref().map(damage_json),
            })
        })
        .collect();
    let snapshots: Vec<Json> = report
        .snapshots
        .iter()
        .map(|snapshot| {
            json!({
                "file": snapshot.file, "position": snapshot.position.0, "records": snapshot.records,
                "file_bytes": snapshot.file_bytes, "damage": snapshot.damage.as_ref().map(damage_json),
            })
        })
        .collect();
    json!({
        "directory": report.directory, "in_use_by": report.in_use_by, "sound": report.is_sound(),
        "first_damage": report.first_damage.as_ref().map(damage_json), "recovery": recovery,
        "segments": segments, "snapshots": snapshots, "spare_bytes": report.spare_bytes,
    })
}

fn damage_json(damage: &Damage) -> Json {
    json!({ "file": damage.file, "offset": damage.offset, "what": damage.what })
}
