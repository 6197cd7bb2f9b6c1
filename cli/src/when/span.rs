//! Lengths of time, as people write them.

use std::time::Duration;

/// Nothing is planned further ahead: ten years.
const SECONDS_MAX: u64 = 3650 * 86_400;

/// Each unit, by every name it has, in seconds.
const UNITS: &[(&[&str], u64)] = &[
    (&["s", "sec", "secs", "second", "seconds"], 1),
    (&["m", "min", "mins", "minute", "minutes"], 60),
    (&["h", "hr", "hrs", "hour", "hours"], 3600),
    (&["d", "day", "days"], 86_400),
    (&["w", "week", "weeks"], 7 * 86_400),
];

/// Why a text is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unlike {
    /// It is one, but too short or too long.
    #[error("{0}")]
    Bounds(String),
    /// It is something else.
    #[error("{0}")]
    Other(String),
}

/// Reads `90s`, `20m`, `1h30m`, `2 days`, `1 hour 30 minutes`. A day is 24 hours.
pub fn span(text: &str) -> Result<Duration, Unlike> {
    let unlike = || Unlike::Other(format!("`{text}` is not like 90s, 20m, 1h30m, 2 days"));
    let mut rest = text.trim();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| unlike())?;
        let after = after.trim_start();
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_alphabetic()).len();
        let (unit, after) = after.split_at(letters);
        let unit = unit.to_lowercase();
        let unit = UNITS.iter().find(|(names, _)| names.contains(&unit.as_str()));
        let (_, seconds) = unit.ok_or_else(unlike)?;
        let added = number.checked_mul(*seconds).and_then(|more| total.checked_add(more));
        total = added.unwrap_or(u64::MAX);
        rest = after.trim_start();
    }
    match total {
        0 if text.trim().is_empty() => Err(unlike()),
        1..=SECONDS_MAX => Ok(Duration::from_secs(total)),
        _ => {
            Err(Unlike::Bounds(format!("`{text}`: from one second to ten years can be waited for")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_add_up_in_every_spelling() {
        for (text, seconds) in [
            ("90s", 90),
            ("20m", 1200),
            ("20 min", 1200),
            ("1h30m", 5400),
            ("1 hour 30 minutes", 5400),
            ("2 days", 172_800),
            ("1W", 604_800),
            ("3hr", 10_800),
        ] {
            assert_eq!(span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_length_is_refused() {
        for text in ["", "20", "m", "1.5h", "-1s", "1 month", "0s", "3651d", "99999999999999999w"] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
