//! The wall clock, in the two forms that the wire has.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// Unix milliseconds, now.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// ISO 8601 in UTC with milliseconds, as the wire has it.
pub fn iso(ms: i64) -> String {
    let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Unix milliseconds of an ISO 8601 text.
pub fn parse_iso(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// Reads a span like `90s`, `10m`, `24h` or `7d`; a bare number is seconds.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &text[digits.len()..];
    let count: u64 =
        digits.parse().map_err(|_| format!("`{text}` is not like 90s, 10m, 24h, 7d"))?;
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(format!("`{unit}` is not one of s, m, h, d")),
    };
    let total = count.checked_mul(seconds).filter(|&total| total > 0 && total <= 3650 * 86_400);
    total.map(Duration::from_secs).ok_or_else(|| "from one second to ten years".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_to_the_wire_and_back() {
        assert_eq!(iso(1_775_640_600_123), "2026-04-08T09:30:00.123Z");
        assert_eq!(parse_iso("2026-04-08T09:30:00.123Z"), Some(1_775_640_600_123));
    }

    #[test]
    fn spans_are_read_with_their_units() {
        assert_eq!(parse_span("90"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_span("24h"), Ok(Duration::from_secs(86_400)));
        for bad in ["", "h", "1w", "0", "-1s", "99999999d"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
    }
}
