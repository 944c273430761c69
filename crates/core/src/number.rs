//! Numbers between the worlds of fractions (rates, backoff) and whole milliseconds.

/// The whole part of a number of milliseconds, messages or tokens: 0 for negative ones and for what is no number,
/// the largest there is for what is larger.
#[expect(clippy::cast_possible_truncation, reason = "the cast saturates, which is what is wanted")]
pub(crate) fn whole(value: f64) -> u64 {
    value as u64
}
