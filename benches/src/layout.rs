//! Tables of figures, for a terminal and for the Markdown logs: two columns of names, then numbers at the right. What stands in
//! them is decided by `report` and `sqs`.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// Columns in front that are no numbers.
const NAMES: usize = 2;

/// For a terminal.
pub fn terminal<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(NAMES) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// In Markdown, each line ended.
pub fn markdown<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rules: Vec<String> =
        (0..N).map(|nth| if nth < NAMES { "---".to_owned() } else { "---:".to_owned() }).collect();
    let mut text = line(&headings.map(str::to_owned)) + &line(&rules);
    text.extend(rows.into_iter().map(|row| line(&row)));
    text
}

/// The middle one of some figures; of an even number of them the upper of both. `None`: there are none.
pub fn median(figures: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_in_markdown() {
        let row = |name: &str| [name, "b", "1"].map(str::to_owned);
        let text = markdown(["x", "y", "n"], [row("one"), row("two")]);
        assert_eq!(text, "| x | y | n |\n| --- | --- | ---: |\n| one | b | 1 |\n| two | b | 1 |\n");
        assert!(terminal(["x", "y", "n"], [row("one")]).contains("one"));
    }

    #[test]
    fn the_middle_figure() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0]), Some(4.0));
        assert_eq!(median([]), None);
    }
}
