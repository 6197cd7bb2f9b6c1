//! When something is to happen: from what a person writes to a moment, and back.
//!
//! A time is `in 20m`, `14:30`, `tomorrow 9:00`, `monday 14:30`, `2026-12-24 18:00`, or ISO 8601
//! with an offset or a zone. Without an offset it is meant in one zone: the reader's, unless another was
//! named. A time of day alone, or of a weekday, is the next one; any other that is past is refused.
//!
//! Where a zone's clock goes forward, some times of day do not exist: the moment after as much time
//! is taken, as cron does. Where it goes back, some come twice: the first is taken. Both are said.

mod shown;
mod span;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, Zoned};

pub use self::shown::{absolute, both, relative};
pub use self::span::{Unlike, span};

/// A moment that no calendar of ours reaches.
const END: &str = "the calendar ends before that";

/// What is understood, for whoever wrote something else.
pub const EXAMPLES: &str = "`in 20m`, `14:30`, `tomorrow 9:00`, `monday 14:30`, `2026-12-24T18:00`";

/// A moment that was read, and what whoever wrote it should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// The moment.
    pub at: Timestamp,
    /// What is odd about it.
    pub note: Option<String>,
}

/// Why a text gives no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// It says nothing of a time.
    #[error("{0}")]
    NoTime(String),
    /// It does, but not one that can be.
    #[error("{0}")]
    Refused(String),
}

/// The zone of this name; without one, the reader's.
pub fn zone(name: Option<&str>) -> Result<TimeZone, String> {
    match name {
        Some(name) => TimeZone::get(name).map_err(|_| {
            format!("there is no time zone `{name}`; names are like Europe/Berlin or UTC")
        }),
        None => {
            let zone = TimeZone::system();
            Ok(if zone.is_unknown() { TimeZone::UTC } else { zone })
        }
    }
}

/// Reads a moment after `now`.
pub fn read(text: &str, zone: &TimeZone, now: Timestamp) -> Result<When, Unread> {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    let length = match words.as_slice() {
        ["in", rest @ ..] | rest => rest.join(" "),
    };
    match span(&length) {
        Ok(length) => {
            let at = now.checked_add(length).map_err(|error| refused(&error))?;
            return Ok(When { at, note: None });
        }
        Err(Unlike::Bounds(problem)) => return Err(Unread::Refused(problem)),
        Err(Unlike::Other(_)) => (),
    }
    // What says its own offset or zone needs none of ours.
    let text = text.trim();
    let absolute = text.parse::<Zoned>().map(|zoned| zoned.timestamp());
    if let Ok(at) = absolute.or_else(|_| text.parse::<Timestamp>()) {
        return future(When { at, note: None }, zone, now);
    }
    let (day, time) = parts(&words).ok_or_else(|| {
        Unread::NoTime(format!("`{text}` is not a time that is understood; write {EXAMPLES}"))
    })?;
    let Some(time) = time else {
        return Err(Unread::Refused(format!("at what time? write it behind: `{text} 9:00`")));
    };
    let today = now.to_zoned(zone.clone()).date();
    let days_after = |days: i64| today.checked_add(jiff::Span::new().days(days)).ok();
    match day {
        Some(Day::Date(date)) => future(moment(date.to_datetime(time), zone)?, zone, now),
        Some(Day::After(days)) => {
            let date = days_after(days).ok_or_else(|| refused(&END))?;
            future(moment(date.to_datetime(time), zone)?, zone, now)
        }
        // The next one: today's, if it is yet to come.
        Some(Day::Of(weekday)) => {
            let dates = (0..=7).filter_map(days_after).filter(|date| date.weekday() == weekday);
            first(dates, time, zone, now)
        }
        None => first((0..=1).filter_map(days_after), time, zone, now),
    }
}

/// Which day is meant.
#[derive(Debug, Clone, Copy)]
enum Day {
    /// So many days from today.
    After(i64),
    /// The next such day.
    Of(Weekday),
    /// That one.
    Date(Date),
}

/// A day and a time of day, in either order.
fn parts(words: &[&str]) -> Option<(Option<Day>, Option<Time>)> {
    let (mut found_day, mut found_time) = (None, None);
    for word in words.iter().filter(|word| !["at", "on"].contains(word)) {
        if let Some(day) = day(word) {
            found_day.replace(day).is_none().then_some(())?;
        } else if let Some(time) = time(word) {
            found_time.replace(time).is_none().then_some(())?;
        } else {
            let whole: DateTime = word.to_uppercase().parse().ok()?;
            found_day.replace(Day::Date(whole.date())).is_none().then_some(())?;
            found_time.replace(whole.time()).is_none().then_some(())?;
        }
    }
    (found_day.is_some() || found_time.is_some()).then_some((found_day, found_time))
}

fn day(word: &str) -> Option<Day> {
    const WEEKDAYS: [(&str, Weekday); 7] = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    match word {
        "today" => return Some(Day::After(0)),
        "tomorrow" => return Some(Day::After(1)),
        _ => (),
    }
    let named = WEEKDAYS.iter().find(|(name, _)| *name == word || name[..3] == *word);
    if let Some((_, weekday)) = named {
        return Some(Day::Of(*weekday));
    }
    // A date alone: with a time in it, the word is more than a day.
    let is_date =
        word.len() == 10 && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    is_date.then(|| word.parse().ok().map(Day::Date))?
}

/// `9:00`, `09:00:30`, `9am`, `9:30pm`, `noon`, `midnight`.
fn time(word: &str) -> Option<Time> {
    match word {
        "noon" => return Time::new(12, 0, 0, 0).ok(),
        "midnight" => return Some(Time::midnight()),
        _ => (),
    }
    let half = [("am", 0), ("pm", 12)]
        .into_iter()
        .find_map(|(half, hours)| Some((word.strip_suffix(half)?, hours)));
    let (digits, half) = half.map_or((word, None), |(digits, hours)| (digits, Some(hours)));
    let numbers: Vec<&str> = digits.split(':').collect();
    let number = |at: usize| -> Option<i8> {
        let Some(digits) = numbers.get(at) else { return Some(0) };
        let is_number =
            (1..=2).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        let is_whole = at == 0 || digits.len() == 2;
        (is_number && is_whole).then(|| digits.parse().ok())?
    };
    let (hour, minute, second) = (number(0)?, number(1)?, number(2)?);
    let hour = match half {
        None if numbers.len() == 1 => return None,
        None => hour,
        Some(hours) if (1..=12).contains(&hour) => hour % 12 + hours,
        Some(_) => return None,
    };
    (numbers.len() <= 3).then(|| Time::new(hour, minute, second, 0).ok())?
}

/// The first of these dates on which `time` is yet to come.
fn first(
    dates: impl Iterator<Item = Date>,
    time: Time,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<When, Unread> {
    for date in dates {
        let when = moment(date.to_datetime(time), zone)?;
        if when.at > now {
            return Ok(when);
        }
    }
    Err(refused(&END))
}

/// The moment at which the clocks of a zone show this.
fn moment(shown: DateTime, zone: &TimeZone) -> Result<When, Unread> {
    let ambiguous = zone.to_ambiguous_zoned(shown);
    let offset = ambiguous.offset();
    let at = ambiguous.compatible().map_err(|error| refused(&error))?;
    let (date, time) = (shown.date(), shown.strftime("%H:%M"));
    let name = name(zone);
    let note = match offset {
        AmbiguousOffset::Unambiguous { .. } => None,
        AmbiguousOffset::Gap { .. } => Some(format!(
            "there is no {time} on {date} in {name}, the clock goes forward: {} is taken",
            at.strftime("%H:%M")
        )),
        AmbiguousOffset::Fold { .. } => Some(format!(
            "{time} comes twice on {date} in {name}, the clock goes back: the first is taken ({})",
            at.strftime("%Z")
        )),
    };
    Ok(When { at: at.timestamp(), note })
}

fn future(when: When, zone: &TimeZone, now: Timestamp) -> Result<When, Unread> {
    if when.at > now {
        return Ok(when);
    }
    let (at, ago) = (absolute(when.at, zone), relative(when.at, now));
    Err(Unread::Refused(format!("{at} is past ({ago})")))
}

fn refused(why: &impl std::fmt::Display) -> Unread {
    Unread::Refused(why.to_string())
}

/// What a zone is called.
pub fn name(zone: &TimeZone) -> &str {
    zone.iana_name().unwrap_or("your time zone")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    /// Sunday, 22 November 2026, 17:03:20 in Berlin.
    fn now() -> Timestamp {
        "2026-11-22T16:03:20Z".parse().unwrap()
    }

    fn at(text: &str) -> String {
        read(text, &berlin(), now())
            .map(|when| when.at.to_string())
            .unwrap_or_else(|no| no.to_string())
    }

    #[test]
    fn what_people_write_is_understood_in_their_zone() {
        for (text, wanted) in [
            ("in 20m", "2026-11-22T16:23:20Z"),
            ("20 minutes", "2026-11-22T16:23:20Z"),
            ("In 1h 30m", "2026-11-22T17:33:20Z"),
            ("18:00", "2026-11-22T17:00:00Z"),
            ("at 17:00", "2026-11-23T16:00:00Z"),
            ("6pm", "2026-11-22T17:00:00Z"),
            ("12am", "2026-11-22T23:00:00Z"),
            ("noon", "2026-11-23T11:00:00Z"),
            ("today 18:00:30", "2026-11-22T17:00:30Z"),
            ("tomorrow 9:00", "2026-11-23T08:00:00Z"),
            ("9:00 tomorrow", "2026-11-23T08:00:00Z"),
            ("Monday at 14:30", "2026-11-23T13:30:00Z"),
            ("on sun 17:00", "2026-11-29T16:00:00Z"),
            ("sunday 17:30", "2026-11-22T16:30:00Z"),
            ("2026-12-24 18:00", "2026-12-24T17:00:00Z"),
            ("2026-12-24T18:00", "2026-12-24T17:00:00Z"),
            ("2026-12-24T18:00Z", "2026-12-24T18:00:00Z"),
            ("2026-12-24 18:00:00+05:30", "2026-12-24T12:30:00Z"),
            ("2026-12-24T18:00[America/New_York]", "2026-12-24T23:00:00Z"),
        ] {
            assert_eq!(at(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_past_or_incomplete_or_no_time_is_refused_in_words() {
        for (text, wanted) in [
            ("today 9:00", "is past (8 h 3 min ago)"),
            ("2026-11-22 17:03", "is past (20 s ago)"),
            ("2020-01-01T00:00Z", "is past"),
            ("tomorrow", "at what time?"),
            ("2026-12-24", "at what time?"),
            ("", "not a time that is understood"),
            ("soon", "not a time that is understood"),
            ("9", "not a time that is understood"),
            ("25:00", "not a time that is understood"),
            ("13pm", "not a time that is understood"),
            ("9:0", "not a time that is understood"),
            ("9:00 10:00", "not a time that is understood"),
            ("monday tuesday 9:00", "not a time that is understood"),
            ("in a while", "not a time that is understood"),
            ("in 0m", "from one second"),
        ] {
            let said = at(text);
            assert!(said.contains(wanted), "{text}: {said}");
        }
    }

    #[test]
    fn a_time_that_the_clock_skips_or_shows_twice_is_said() {
        let gap = read("2027-03-28 02:30", &berlin(), now()).unwrap();
        assert_eq!(gap.at.to_string(), "2027-03-28T01:30:00Z");
        let note = gap.note.unwrap();
        assert!(note.contains("there is no 02:30") && note.contains("03:30 is taken"), "{note}");

        let fold = read("2027-10-31 02:30", &berlin(), now()).unwrap();
        assert_eq!(fold.at.to_string(), "2027-10-31T00:30:00Z");
        assert!(fold.note.unwrap().contains("comes twice"));

        let plain = read("2027-10-31 03:30", &berlin(), now()).unwrap();
        assert_eq!(plain.note, None);
    }

    #[test]
    fn a_time_of_day_is_the_next_one_across_a_change_of_the_clock() {
        // Saturday evening before the clock goes forward.
        let now: Timestamp = "2027-03-27T22:00:00Z".parse().unwrap();
        let when = read("02:30", &berlin(), now).unwrap();
        assert_eq!(when.at.to_string(), "2027-03-28T01:30:00Z");
        assert!(when.note.is_some());
    }

    #[test]
    fn a_zone_that_is_none_is_refused() {
        assert!(zone(Some("Mars/Olympus")).unwrap_err().contains("Europe/Berlin"));
        assert_eq!(name(&zone(Some("europe/berlin")).unwrap()), "Europe/Berlin");
        assert!(zone(None).is_ok());
    }
}
