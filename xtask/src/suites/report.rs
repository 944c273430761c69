//! What a person sees: a line per suite while they run, the table, and the closing line that scripts read.

use std::time::Duration;

use super::Stop;
use super::counts::Counts;
use super::exec::Log;

/// One suite's line of the table.
pub(super) struct Row {
    pub suite: String,
    pub counts: Counts,
    /// Why it could not run, or was skipped.
    note: Option<String>,
    took: Duration,
}

impl Row {
    pub(super) fn new(suite: String, result: Result<Counts, Stop>, took: Duration) -> Row {
        let (counts, note) = match result {
            Ok(counts) => (counts, None),
            Err(Stop::Skip(reason)) => {
                (Counts { skipped: 1, reasons: vec![reason], ..Counts::default() }, None)
            }
            Err(Stop::Fail(reason)) => (Counts { failed: 1, ..Counts::default() }, Some(reason)),
        };
        Row { suite, counts, note, took }
    }

    fn remark(&self) -> String {
        match &self.note {
            Some(note) => note.clone(),
            None => self.counts.reasons.join("; "),
        }
    }
}

/// One suite is done: a line, and its whole output if it failed.
pub(super) fn progress(row: &Row, log: &Log) {
    let Counts { passed, failed, skipped, .. } = &row.counts;
    if *failed > 0 {
        println!("---- {}: output ({}) ----", row.suite, log.name());
        println!("{}", log.text().trim_end());
        println!("---- {}: end of output ----", row.suite);
    }
    let mark = match (failed, passed) {
        (0, 0) => "--",
        (0, _) => "ok",
        _ => "!!",
    };
    let remark = row.remark();
    let remark = if remark.is_empty() { String::new() } else { format!(" ({remark})") };
    let seconds = row.took.as_secs_f64();
    println!(
        "{mark} {}: {passed} passed, {failed} failed, {skipped} skipped in {seconds:.1} s{remark}",
        row.suite
    );
}

/// The table of all suites, then `N passed, N failed, N skipped` alone on the last line.
pub(super) fn table(rows: &[Row]) {
    print!("\n{}", rendered(rows));
}

fn rendered(rows: &[Row]) -> String {
    let mut total = Counts::default();
    let mut lines =
        vec![["suite", "passed", "failed", "skipped", "seconds", "why skipped or failed"].map(String::from)];
    for row in rows {
        total.add(&row.counts);
        lines.push([
            row.suite.clone(),
            row.counts.passed.to_string(),
            row.counts.failed.to_string(),
            row.counts.skipped.to_string(),
            format!("{:.1}", row.took.as_secs_f64()),
            row.remark(),
        ]);
    }
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let cell = if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
            text.push_str(&cell);
        }
        let remark = line.last().map_or("", String::as_str);
        text.push_str(&format!("  {remark}"));
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text.push_str(&format!(
        "\n{} passed, {} failed, {} skipped\n",
        total.passed, total.failed, total.skipped
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_ends_with_the_closing_line() {
        let ran = Counts { passed: 12, failed: 1, ..Counts::default() };
        let rows = [
            Row::new("unit".into(), Ok(ran), Duration::from_millis(1_250)),
            Row::new("crash".into(), Err(Stop::Skip("there is no benches yet".into())), Duration::ZERO),
            Row::new("readme".into(), Err(Stop::Fail("it hangs".into())), Duration::from_secs(60)),
        ];
        assert_eq!(
            rendered(&rows),
            "suite   passed  failed  skipped  seconds  why skipped or failed\n\
             unit        12       1        0      1.2\n\
             crash        0       0        1      0.0  there is no benches yet\n\
             readme       0       1        0     60.0  it hangs\n\
             \n12 passed, 2 failed, 1 skipped\n"
        );
    }
}
