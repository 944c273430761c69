//! Tables as all commands print them.

use std::time::{SystemTime, UNIX_EPOCH};

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

/// A table with these columns. Columns whose name begins with `#` are numbers, aligned right.
pub(crate) fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    let bold = super::colours(&std::io::stdout());
    table.set_header(columns.iter().map(|name| {
        let cell = Cell::new(name.trim_start_matches('#').to_uppercase());
        if bold { cell.add_attribute(comfy_table::Attribute::Bold) } else { cell }
    }));
    for (index, name) in columns.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
            if name.starts_with('#') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table
}

/// The table as text, without spaces at the ends of lines.
pub(crate) fn text(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// How long ago `at_ms` (since the epoch) was, for a human.
#[expect(clippy::disallowed_methods, reason = "the CLI has no broker's clock; what it shows is for people")]
pub(crate) fn ago(at_ms: Option<u64>) -> String {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    match at_ms {
        None => "-".to_owned(),
        Some(at_ms) => {
            let ms = u64::try_from(now_ms.saturating_sub(u128::from(at_ms))).unwrap_or(u64::MAX);
            format!("{} ago", crate::duration::human_ms(ms))
        }
    }
}

/// Bytes for a human.
pub(crate) fn bytes(count: u64) -> String {
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    for (unit, size) in units {
        if count >= size {
            let tenths = u128::from(count) * 10 / u128::from(size);
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{count} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_no_decoration() {
        let mut table = table(&["queue", "#ready"]);
        table.add_row(["jobs", "3"]);
        table.add_row(["orders.created", "12345"]);
        assert_eq!(text(&table), "QUEUE           READY\njobs                3\norders.created  12345\n");
    }

    #[test]
    fn bytes_are_short() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "17179869183.9 GiB");
    }
}
