//! How many tests passed, read from each runner's own summary.

/// Tests of one suite, or of all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub passed: u64,
    pub failed: u64,
    pub skipped: u64,
    /// Why something was skipped; each reason once.
    pub reasons: Vec<String>,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        for reason in &other.reasons {
            if !self.reasons.contains(reason) {
                self.reasons.push(reason.clone());
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.passed + self.failed + self.skipped == 0
    }

    fn found(self) -> Option<Counts> {
        if self.is_empty() { None } else { Some(self) }
    }
}

/// All `test result:` lines of `cargo test`.
pub(super) fn cargo_test(output: &str) -> Option<Counts> {
    let mut counts = Counts::default();
    for line in output.lines().filter(|line| line.trim_start().starts_with("test result:")) {
        let numbers = line.split_once('.').map_or("", |(_, numbers)| numbers);
        counts.add(&tally(&numbers.replace(';', ",")));
    }
    counts.found()
}

/// The last line of pytest (`3 passed, 1 skipped in 0.12s`), with the reasons that `-rs` prints.
pub(super) fn pytest(output: &str) -> Option<Counts> {
    let last = output.lines().rev().map(|line| line.trim_matches(['=', ' '])).find(|line| {
        let time = line.rsplit_once(" in ").map_or("", |(_, time)| time);
        time.contains('s') && time.starts_with(|c: char| c.is_ascii_digit())
    })?;
    let mut counts = tally(last.rsplit_once(" in ").map_or(last, |(numbers, _)| numbers));
    for line in output.lines().filter(|line| line.starts_with("SKIPPED [")) {
        // SKIPPED [2] conformance/python/test_x.py:12: the reason
        if let Some((_, reason)) = line.split_once(".py:").and_then(|(_, rest)| rest.split_once(": ")) {
            counts.add(&Counts { reasons: vec![reason.to_owned()], ..Counts::default() });
        }
    }
    counts.found()
}

/// The summary of `node --test`: `# pass 3` as TAP, `ℹ pass 3` for people.
pub(super) fn node_test(output: &str) -> Option<Counts> {
    let last = |word: &str| {
        output.lines().rev().find_map(|line| {
            let rest = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ "))?;
            rest.strip_prefix(word)?.trim().parse::<u64>().ok()
        })
    };
    let counts = Counts {
        passed: last("pass ")?,
        failed: last("fail ")? + last("cancelled ").unwrap_or(0),
        skipped: last("skipped ").unwrap_or(0) + last("todo ").unwrap_or(0),
        reasons: Vec::new(),
    };
    counts.found()
}

/// The results of `go test -v`, of tests that have none below them: `    --- PASS: TestX/y (0.01s)`. With the reason of each that was
/// skipped, which stands on the line below it.
pub(super) fn go_test(output: &str) -> Option<Counts> {
    let results: Vec<(&str, &str)> = output
        .lines()
        .filter_map(|line| {
            let (word, name) = line.trim_start().strip_prefix("--- ")?.split_once(": ")?;
            Some((word, name.split(' ').next().unwrap_or_default()))
        })
        .collect();
    let has_parts = |name: &str| {
        results.iter().any(|(_, other)| other.strip_prefix(name).is_some_and(|rest| rest.starts_with('/')))
    };
    let mut counts = Counts::default();
    for (word, _) in results.iter().filter(|(_, name)| !has_parts(name)) {
        match *word {
            "PASS" => counts.passed += 1,
            "FAIL" => counts.failed += 1,
            "SKIP" => counts.skipped += 1,
            _ => {}
        }
    }
    let reasons = output
        .lines()
        .zip(output.lines().skip(1))
        .filter(|(line, _)| line.trim_start().starts_with("--- SKIP: "));
    for (_, below) in reasons {
        if let Some((_, reason)) = below.split_once(".go:").and_then(|(_, rest)| rest.split_once(": ")) {
            counts.add(&Counts { reasons: vec![reason.to_owned()], ..Counts::default() });
        }
    }
    counts.found()
}

/// The summary of Maven's Surefire: `[INFO] Tests run: 5, Failures: 0, Errors: 1, Skipped: 1`, the last without a class's name.
pub(super) fn surefire(output: &str) -> Option<Counts> {
    let line =
        output.lines().rev().find(|line| line.contains("Tests run: ") && !line.contains("Time elapsed"))?;
    let number = |word: &str| {
        let digits = line.split_once(word)?.1;
        digits.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
    };
    let (run, skipped) = (number("Tests run: ")?, number("Skipped: ")?);
    let failed = number("Failures: ")? + number("Errors: ")?;
    let passed = run.saturating_sub(failed + skipped);
    Counts { passed, failed, skipped, reasons: Vec::new() }.found()
}

/// The last line that says `N passed, N failed`: how our own runners end.
pub(super) fn own_runner(output: &str) -> Option<Counts> {
    let last = output.lines().rev().find(|line| line.contains(" passed, ") && line.contains(" failed"))?;
    tally(last).found()
}

/// Reads `3 passed, 1 failed, 2 skipped`; other words count for nothing.
fn tally(line: &str) -> Counts {
    let mut counts = Counts::default();
    for part in line.split(',') {
        let mut words = part.split_whitespace();
        let (Some(number), Some(word)) = (words.next().and_then(|n| n.parse::<u64>().ok()), words.next())
        else {
            continue;
        };
        match word {
            "passed" | "xpassed" => counts.passed += number,
            "failed" | "error" | "errors" => counts.failed += number,
            "skipped" | "xfailed" | "ignored" => counts.skipped += number,
            _ => {}
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(counts: Option<Counts>) -> Option<(u64, u64, u64)> {
        counts.map(|c| (c.passed, c.failed, c.skipped))
    }

    #[test]
    fn cargo_sums_up_all_its_binaries() {
        let output = "running 3 tests\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
                      test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 5 filtered out; finished in 1.00s\n";
        assert_eq!(numbers(cargo_test(output)), Some((4, 2, 1)));
        assert_eq!(numbers(cargo_test("error: could not compile")), None);
    }

    #[test]
    fn pytest_in_all_its_moods() {
        assert_eq!(
            numbers(pytest("..F\n1 failed, 2 passed, 1 skipped, 1 xfailed, 2 errors in 0.31s\n")),
            Some((2, 3, 2))
        );
        assert_eq!(numbers(pytest("=== 12 passed, 3 warnings in 62.10s (0:01:02) ===\n")), Some((12, 0, 0)));
        assert_eq!(numbers(pytest("no tests ran in 0.01s\n")), None);
        let output =
            "SKIPPED [2] conformance/python/test_a.py:12: no Celery here\n1 passed, 2 skipped in 0.2s\n";
        assert_eq!(pytest(output).unwrap().reasons, ["no Celery here"]);
    }

    #[test]
    fn node_speaks_two_dialects() {
        let tap = "# Subtest: x\nok 1 - x\n# tests 5\n# suites 0\n# pass 3\n# fail 1\n# cancelled 1\n# skipped 1\n# todo 0\n";
        assert_eq!(numbers(node_test(tap)), Some((3, 2, 1)));
        assert_eq!(numbers(node_test("ℹ tests 2\nℹ pass 2\nℹ fail 0\n")), Some((2, 0, 0)));
        assert_eq!(numbers(node_test("Cannot find module\n")), None);
    }

    #[test]
    fn go_counts_what_has_no_parts() {
        let output = "=== RUN   TestA\n--- PASS: TestA (0.01s)\n--- FAIL: TestB (0.10s)\n    --- PASS: TestB/x (0.05s)\n    --- FAIL: TestB/y (0.05s)\n\
                      --- PASS: TestBeta (0.01s)\n    --- SKIP: TestC/z (0.00s)\n        c_test.go:7: no NACK: too old\n--- PASS: TestC (0.01s)\nFAIL\n";
        assert_eq!(numbers(go_test(output)), Some((3, 1, 1)));
        assert_eq!(go_test(output).unwrap().reasons, ["no NACK: too old"]);
        assert_eq!(numbers(go_test("FAIL baton.test/conformance [build failed]\n")), None);
    }

    #[test]
    fn surefire_sums_up_its_classes() {
        let output = "[INFO] Tests run: 3, Failures: 0, Errors: 0, Skipped: 1, Time elapsed: 1.2 s -- in ATest\n\
                      [ERROR] Tests run: 7, Failures: 1, Errors: 1, Skipped: 2\n";
        assert_eq!(numbers(surefire(output)), Some((3, 2, 2)));
        assert_eq!(numbers(surefire("[ERROR] COMPILATION ERROR :\n")), None);
    }

    #[test]
    fn our_runners_end_with_their_counts() {
        assert_eq!(numbers(own_runner("kill 30 of 30\n30 passed, 0 failed\n")), Some((30, 0, 0)));
        assert_eq!(numbers(own_runner("7 passed, 1 failed, 2 skipped\n\n")), Some((7, 1, 2)));
        assert_eq!(numbers(own_runner("nothing\n")), None);
    }
}
