//! The prose of the tree: ARCHITECTURE.md stays short, and relative links lead somewhere.

use std::collections::BTreeSet;

use super::Finding;
use crate::repo::SourceFile;

const ARCHITECTURE: &str = "ARCHITECTURE.md";
const ARCHITECTURE_LINES_MAX: usize = 300;

/// `names` are all files of the tree, also those that are no text.
pub(super) fn check(files: &[SourceFile], names: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        if file.path == ARCHITECTURE && file.text.lines().count() > ARCHITECTURE_LINES_MAX {
            findings.push(Finding::new(
                &file.path,
                ARCHITECTURE_LINES_MAX + 1,
                format!("{} lines, at most {ARCHITECTURE_LINES_MAX}", file.text.lines().count()),
                "move what one crate alone needs into its lib.rs, and what users need into docs/",
            ));
        }
        for (line, target) in links(&file.text) {
            if let Err(what) = resolve(&file.path, &target, files, names) {
                findings.push(Finding::new(
                    &file.path,
                    line,
                    format!("the link to `{target}` {what}"),
                    "mend it, or drop the link",
                ));
            }
        }
    }
    findings
}

/// Link targets with their lines (from 1), outside of code.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, prose) in prose_lines(text) {
        let mut rest = prose.as_str();
        while let Some(at) = rest.find("](") {
            rest = rest.get(at + 2..).unwrap_or_default();
            let target = rest.split([')', ' ']).next().unwrap_or_default();
            found.push((line, target.trim_matches(['<', '>']).to_owned()));
        }
        // A reference: `[name]: target`
        if let Some((name, target)) = prose.split_once("]: ")
            && name.starts_with('[')
            && !name.starts_with("[^")
        {
            found.push((line, target.split_whitespace().next().unwrap_or_default().to_owned()));
        }
    }
    found
}

/// Lines outside fenced blocks, with their inline code taken out.
fn prose_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut fence: Option<&str> = None;
    for (at, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let marker = ["```", "~~~"].into_iter().find(|marker| trimmed.starts_with(marker));
        match (fence, marker) {
            (Some(open), Some(marker)) if open == marker => fence = None,
            (Some(_), _) => {}
            (None, Some(marker)) => fence = Some(marker),
            (None, None) => lines.push((at + 1, line.split('`').step_by(2).collect())),
        }
    }
    lines
}

fn resolve(from: &str, target: &str, files: &[SourceFile], names: &[String]) -> Result<(), String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    if path.starts_with('/') {
        return Err("begins at the root of the machine".into());
    }
    let path = if path.is_empty() { Some(from.to_owned()) } else { join(from, path) };
    let path = path.ok_or("leaves the repository")?;
    let as_folder = format!("{path}/");
    if path.is_empty() || names.iter().any(|name| name.starts_with(&as_folder)) {
        return Ok(());
    }
    if !names.contains(&path) {
        return Err("leads nowhere".into());
    }
    let Some(page) = files.iter().find(|file| file.path == path && path.ends_with(".md")) else {
        return Ok(());
    };
    if anchor.is_empty() || anchors(&page.text).contains(anchor) {
        return Ok(());
    }
    Err("names a heading that is not there".into())
}

/// `target` as seen from the file `from`; `None` when it climbs above the root.
fn join(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The anchors that hosts of Markdown make of headings, and those written as HTML.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut in_fence = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
        }
        if let (false, Some(heading)) = (in_fence, line.strip_prefix('#')) {
            let slug: String = heading
                .trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect();
            let again = (1..).map(|n| format!("{slug}-{n}")).find(|name| !anchors.contains(name));
            let slug = if anchors.contains(&slug) { again.unwrap_or(slug) } else { slug };
            anchors.insert(slug);
        }
        for marker in ["id=\"", "name=\""] {
            anchors.extend(
                line.split(marker)
                    .skip(1)
                    .filter_map(|rest| rest.split_once('"'))
                    .map(|(id, _)| id.to_owned()),
            );
        }
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(readme: &str) -> Vec<String> {
        let page = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
        let files = [page("docs/a.md", readme), page("docs/b.md", "# One thing\n## It's `x`, two!\n")];
        let names = ["docs/a.md", "docs/b.md", "logo.svg"].map(String::from);
        check(&files, &names)
            .into_iter()
            .map(|finding| format!("{}: {}", finding.line, finding.what))
            .collect()
    }

    #[test]
    fn links_that_lead_somewhere_are_fine() {
        let text = "# Top\n[a](b.md) ![l](../logo.svg) [d](../docs/) [r](..) [h](b.md#its-x-two) [s](#top)\n\
                    [w](https://x.y/z) `[c](none.md)`\n```\n[c](none.md)\n```\n[ref]: b.md\n";
        assert_eq!(findings(text), Vec::<String>::new());
    }

    #[test]
    fn broken_links_are_found_on_their_line() {
        let text =
            "x\n[a](c.md)\n[b](b.md#three) [c](../../up.md)\n[d](/etc/x)\n[ref]: gone.md\n[e](#nope)\n";
        assert_eq!(
            findings(text),
            [
                "2: the link to `c.md` leads nowhere",
                "3: the link to `b.md#three` names a heading that is not there",
                "3: the link to `../../up.md` leaves the repository",
                "4: the link to `/etc/x` begins at the root of the machine",
                "5: the link to `gone.md` leads nowhere",
                "6: the link to `#nope` names a heading that is not there",
            ]
        );
    }

    #[test]
    fn architecture_is_one_reading() {
        let page = |lines: usize| SourceFile { path: ARCHITECTURE.into(), text: "x\n".repeat(lines) };
        assert_eq!(check(&[page(300)], &[]), []);
        assert_eq!(check(&[page(301)], &[])[0].line, 301);
    }
}
