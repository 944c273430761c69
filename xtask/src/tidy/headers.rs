//! Every Rust file opens with `//!`: what lives there, what does not, who calls it.

use super::{Finding, rust_files};
use crate::repo::SourceFile;

pub(super) fn check(files: &[SourceFile]) -> Vec<Finding> {
    rust_files(files)
        .filter(|file| !file.text.trim_start_matches('\u{feff}').starts_with("//!"))
        .map(|file| {
            Finding::new(
                &file.path,
                1,
                "the file does not open with `//!`",
                "say in its first lines what lives here, what does not, and who calls it",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.into(), text: text.into() }
    }

    #[test]
    fn only_the_file_without_a_header_is_found() {
        let files = [
            file("a.rs", "//! Fine.\n"),
            file("b.rs", "\n//! Late.\n"),
            file("c.rs", "fn f() {}"),
            file("d.md", "x"),
        ];
        let found: Vec<_> = check(&files).into_iter().map(|finding| finding.path).collect();
        assert_eq!(found, ["b.rs", "c.rs"]);
    }
}
