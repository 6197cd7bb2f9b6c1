//! Moments, as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A moment as the clocks of `zone` show it: `Mon 23 Nov 2026 09:00 CET`.
pub fn absolute(at: Timestamp, zone: &TimeZone) -> String {
    let at = at.to_zoned(zone.clone());
    let form = match at.second() {
        0 => "%a %-d %b %Y %H:%M %Z",
        _ => "%a %-d %b %Y %H:%M:%S %Z",
    };
    at.strftime(form).to_string()
}

/// How far a moment is from now: `in 20 min`, `3 h 5 min ago`.
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    let ms = at.as_millisecond() - now.as_millisecond();
    let length = length(ms.unsigned_abs());
    match length {
        None => "now".to_owned(),
        Some(length) if ms > 0 => format!("in {length}"),
        Some(length) => format!("{length} ago"),
    }
}

/// Both: `in 20 min  Mon 23 Nov 2026 09:00 CET`.
pub fn both(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    format!("{}  {}", relative(at, now), absolute(at, zone))
}

/// A length of time, to the unit that matters; `None` for next to nothing.
fn length(ms: u64) -> Option<String> {
    let seconds = (ms + 500) / 1000;
    let minutes = (seconds + 30) / 60;
    let hours = (minutes + 30) / 60;
    Some(match (seconds, minutes, hours) {
        (0, ..) => return None,
        (1..90, ..) => format!("{seconds} s"),
        (_, 0..60, _) => format!("{minutes} min"),
        (_, 60..2880, _) => with_rest(minutes / 60, "h", minutes % 60, "min"),
        (_, _, 0..240) => with_rest(hours / 24, "d", hours % 24, "h"),
        _ => format!("{} d", (hours + 12) / 24),
    })
}

fn with_rest(count: u64, unit: &str, rest: u64, rest_unit: &str) -> String {
    match rest {
        0 => format!("{count} {unit}"),
        _ => format!("{count} {unit} {rest} {rest_unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_told_to_the_unit_that_matters() {
        let now = Timestamp::UNIX_EPOCH;
        for (ms, wanted) in [
            (0, "now"),
            (-400, "now"),
            (1_000, "in 1 s"),
            (89_400, "in 89 s"),
            (90_000, "in 2 min"),
            (1_199_900, "in 20 min"),
            (3_599_000, "in 1 h"),
            (-3_900_000, "1 h 5 min ago"),
            (47 * 3_600_000, "in 47 h"),
            (48 * 3_600_000, "in 2 d"),
            (52 * 3_600_000, "in 2 d 4 h"),
            (-30 * 86_400_000, "30 d ago"),
        ] {
            let at = Timestamp::from_millisecond(ms).unwrap();
            assert_eq!(relative(at, now), wanted, "{ms}");
        }
    }

    #[test]
    fn a_moment_is_shown_as_the_readers_clock_shows_it() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let at: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
        assert_eq!(absolute(at, &zone), "Mon 23 Nov 2026 09:00 CET");
        let at: Timestamp = "2026-07-01T08:00:05Z".parse().unwrap();
        assert_eq!(absolute(at, &zone), "Wed 1 Jul 2026 10:00:05 CEST");
        assert_eq!(both(at, at, &TimeZone::UTC), "now  Wed 1 Jul 2026 08:00:05 UTC");
    }
}
