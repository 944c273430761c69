//! Text from messages on a terminal: control characters could move the cursor, change colours or fake output, so they
//! are shown as what they are. Never used for data that goes to a file or a pipe.

use std::io::IsTerminal;

/// `text` for stdout: as it is for a file or a pipe, harmless for a terminal.
pub(crate) fn for_stdout(text: &str) -> String {
    if std::io::stdout().is_terminal() { visible(text) } else { text.to_owned() }
}

/// Bytes for stdout: as they are for a file or a pipe, harmless text for a terminal.
pub(crate) fn bytes_for_stdout(bytes: Vec<u8>) -> Vec<u8> {
    if std::io::stdout().is_terminal() {
        visible(&String::from_utf8_lossy(&bytes)).into_bytes()
    } else {
        bytes
    }
}

/// `text` with control characters made visible; line ends and tabs stay.
pub(crate) fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let harmless = matches!(c, '\n' | '\t') || !(c.is_control() || is_bidi_control(c));
            let escaped = (!harmless).then(|| c.escape_unicode());
            escaped.into_iter().flatten().chain(harmless.then_some(c))
        })
        .collect()
}

/// `text` on one line of at most `width` characters.
pub(crate) fn one_line(text: &str, width: usize) -> String {
    let line: String =
        visible(text).chars().map(|c| if matches!(c, '\n' | '\t') { ' ' } else { c }).collect();
    if line.chars().count() <= width {
        return line;
    }
    line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Characters that reorder what stands around them.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_visible() {
        assert_eq!(visible("a\u{1b}[31mb\rc\u{202e}"), "a\\u{1b}[31mb\\u{d}c\\u{202e}");
        assert_eq!(visible("line\n\tnaïve ✓"), "line\n\tnaïve ✓");
        assert_eq!(visible("\u{9b}31m"), "\\u{9b}31m");
    }

    #[test]
    fn lines_are_cut_by_characters() {
        assert_eq!(one_line("a\nb", 10), "a b");
        assert_eq!(one_line("ééééé", 4), "ééé…");
    }
}
