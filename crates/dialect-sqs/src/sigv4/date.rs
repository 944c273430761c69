//! Timestamps as signatures have them: `20150830T123600Z`.

use baton_model::Time;

const DAY_MS: u64 = 86_400_000;

/// Reads a timestamp like `20150830T123600Z`. `None`: it is none, or before 1970.
#[must_use]
pub fn parse(text: &str) -> Option<Time> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    if date.len() != 8 || time.len() != 6 || !(date.bytes().chain(time.bytes())).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = |text: &str, from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(date, 0, 4)?, number(date, 4, 6)?, number(date, 6, 8)?);
    let (hour, minute, second) = (number(time, 0, 2)?, number(time, 2, 4)?, number(time, 4, 6)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_before(year, month)?.checked_add(day - 1)?;
    Some(Time(days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1_000))
}

/// Days from 1970 to the first of a month: years begin in March, so that leap days come last
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_before(year: u64, month: u64) -> Option<u64> {
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    (era * 146_097 + of_era).checked_sub(719_468)
}

/// Writes one.
pub(super) fn format(time: Time) -> String {
    let days = time.0 / DAY_MS + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let second = time.0 % DAY_MS / 1_000;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_read_and_written() {
        assert_eq!(parse("19700101T000000Z"), Some(Time(0)));
        assert_eq!(parse("20150830T123600Z"), Some(Time(1_440_938_160_000)));
        assert_eq!(parse("20240229T235959Z"), Some(Time(1_709_251_199_000)));
        for text in ["20150830T123600Z", "20240229T000000Z", "20000301T010203Z", "20991231T235959Z"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
        for bad in [
            "",
            "20150830",
            "20150830T123600",
            "20151330T123600Z",
            "2015083xT123600Z",
            "19691231T235959Z",
            "20150830T12360éZ",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
