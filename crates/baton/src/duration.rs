//! Times on the command line: a number and a unit.

/// Reads `500ms`, `30s`, `5m`, `2h`, `7d` as milliseconds; a number alone is milliseconds.
///
/// # Errors
/// A sentence that shows the form.
pub(crate) fn parse_ms(text: &str) -> Result<u64, String> {
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(form(text)),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(|| form(text))
}

fn form(text: &str) -> String {
    format!("{text:?} is not a time; write it like 500ms, 30s, 5m, 2h or 7d")
}

/// A time span for a human: its two largest units.
pub(crate) fn human_ms(ms: u64) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    if ms < 1_000 {
        return format!("{ms}ms");
    }
    let mut parts = Vec::new();
    let mut rest = ms;
    for (unit, size) in units {
        if rest >= size && parts.len() < 2 {
            parts.push(format!("{}{unit}", rest / size));
            rest %= size;
        } else if !parts.is_empty() {
            break;
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        assert_eq!(parse_ms("250"), Ok(250));
        assert_eq!(parse_ms("500ms"), Ok(500));
        assert_eq!(parse_ms("30s"), Ok(30_000));
        assert_eq!(parse_ms("7d"), Ok(604_800_000));
        for bad in ["", "s", "-1s", "1.5s", "5 s", "5w", "99999999999999999999d", "18446744073709551615d"] {
            assert!(parse_ms(bad).unwrap_err().contains("30s"), "{bad}");
        }
    }

    #[test]
    fn spans_are_short() {
        assert_eq!(human_ms(20), "20ms");
        assert_eq!(human_ms(1_000), "1s");
        assert_eq!(human_ms(61_000), "1m 1s");
        assert_eq!(human_ms(90_061_000), "1d 1h");
        assert_eq!(human_ms(86_400_000 + 5_000), "1d");
    }
}
