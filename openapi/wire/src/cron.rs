//! Cron expressions: which minutes of a time zone a recurring schedule names.
//!
//! The rules are those of crontab (POSIX, and Vixie's where POSIX is silent). Five fields: minute
//! 0-59, hour 0-23, day of the month 1-31, month 1-12, day of the week 0-7 (0 and 7 are Sunday). A
//! field is `*`, `*/2`, `5`, `1-5`, `1-9/2`, or several of these with commas. Months and days of the
//! week may be written as the first three letters of their English names. When the day of the month
//! and the day of the week are both restricted, a day that fits either is meant; a field that begins
//! with `*` (`*/2` too) does not count as restricted, and then a day has to fit both. `@hourly`,
//! `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly` and `@annually` stand for five fields.
//!
//! Refused, because crontab has none of it or means something else by it: seconds and years,
//! `@reboot`, `L`, `W`, `#`, `?`, a step of 0, a step after a single number (`5/20`; write
//! `5-59/20`), and a range that runs backwards (`22-2`; write `22-23,0-2`).
//!
//! **When the clock is changed**, an expression whose minute or hour begins with `*` goes by what the
//! clock shows: a minute that the clock skips is no slot, one that it shows twice is two. Any other
//! names a time of day, and has one slot for each: what falls into the skipped time happens when that
//! ends (several such slots are one then), what falls into the repeated time happens the first time.
//!
//! croner searches the calendar; the time zone is ours, because croner takes only expressions with a
//! single minute and hour for times of day.

use croner::{
    Cron as Calendar,
    parser::{CronParser, Seconds, Year},
};
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};

use crate::limit;

/// A field: its name, its bounds, and the names of its values from `names_from` on.
struct Field {
    name: &'static str,
    least: u8,
    most: u8,
    names: &'static [&'static str],
    names_from: u8,
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, names: &[], names_from: 0 },
    Field { name: "hour", least: 0, most: 23, names: &[], names_from: 0 },
    Field { name: "day of the month", least: 1, most: 31, names: &[], names_from: 0 },
    Field { name: "month", least: 1, most: 12, names: MONTHS, names_from: 1 },
    Field { name: "day of the week", least: 0, most: 7, names: WEEKDAYS, names_from: 0 },
];

const MONTHS: &[&str] =
    &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// The days of the longest month of each number.
const MONTH_DAYS: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

const NICKNAMES: &[(&str, &str)] = &[
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// Why an expression is none, or a schedule of it would never fire.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// It is longer than any that makes sense.
    #[error("it is longer than {} bytes", limit::CRON_BYTES_MAX)]
    TooLong,
    /// It has another number of fields.
    #[error("it has {0} fields, not 5: minute, hour, day of the month, month, day of the week")]
    Fields(usize),
    /// `@…` that stands for nothing here.
    #[error("`{0}` is not known; @hourly, @daily, @weekly, @monthly and @yearly are")]
    Nickname(String),
    /// A field cannot be read: which one, and why.
    #[error("{0}: {1}")]
    Field(&'static str, String),
    /// No day fits it.
    #[error("no month that it names has such a day")]
    NoDay,
    /// It would not fire for too long.
    #[error("it never fires within five years")]
    Never,
}

/// A cron expression that was understood.
#[derive(Debug, Clone)]
pub struct Cron {
    text: String,
    calendar: Calendar,
    /// It goes by what the clock shows: minute or hour begins with `*`.
    by_clock: bool,
}

impl Cron {
    /// Reads an expression.
    ///
    /// # Errors
    /// When it is none; the error says which field, and why.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        if text.len() > limit::CRON_BYTES_MAX {
            return Err(CronError::TooLong);
        }
        let lower = text.trim_ascii().to_ascii_lowercase();
        let spelled = match NICKNAMES.iter().find(|nickname| nickname.0 == lower) {
            Some((_, fields)) => fields,
            None if lower.starts_with('@') => return Err(CronError::Nickname(lower)),
            None => lower.as_str(),
        };
        let words: Vec<&str> = spelled.split_ascii_whitespace().collect();
        if words.len() != FIELDS.len() {
            return Err(CronError::Fields(words.len()));
        }
        let read = |(field, word): (&Field, &&str)| {
            field.read(word).map_err(|why| CronError::Field(field.name, why))
        };
        let fields: Vec<Values> =
            FIELDS.iter().zip(&words).map(read).collect::<Result<_, CronError>>()?;
        let starred = |n: usize| words[n].starts_with('*');
        if !has_day(&fields, starred(4)) {
            return Err(CronError::NoDay);
        }
        let numbers: Vec<&str> = fields.iter().map(|field| field.text.as_str()).collect();
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .dom_and_dow(starred(2) || starred(4))
            .build();
        let calendar = parser
            .parse(&numbers.join(" "))
            .map_err(|error| CronError::Field("expression", error.to_string()))?;
        let by_clock = starred(0) || starred(1);
        Ok(Self { text: text.trim_ascii().to_owned(), calendar, by_clock })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first slot after `after`; `None`: there is none within five years.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let slot = if self.by_clock {
            self.next_shown(after, zone)
        } else {
            self.next_named(after, zone)
        }?;
        let horizon = SignedDuration::try_from(limit::SCHEDULE_HORIZON).ok()?;
        (slot.duration_since(after) <= horizon).then_some(slot)
    }

    /// The first slot after `after`.
    ///
    /// # Errors
    /// When there is none within five years.
    pub fn first(&self, after: Timestamp, zone: &TimeZone) -> Result<Timestamp, CronError> {
        self.next(after, zone).ok_or(CronError::Never)
    }

    /// The first `n` slots after `after`.
    pub fn upcoming(&self, after: Timestamp, zone: &TimeZone, n: usize) -> Vec<Timestamp> {
        std::iter::successors(self.next(after, zone), |slot| self.next(*slot, zone))
            .take(n)
            .collect()
    }

    /// Of an expression that names times of day: each has one moment.
    fn next_named(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut from = after.to_zoned(zone.clone()).datetime();
        let mut inclusive = true;
        loop {
            let named = self.search(from, inclusive)?;
            let moment = moment(named, zone)?;
            if moment > after {
                return Some(moment);
            }
            (from, inclusive) = (named, false);
        }
    }

    /// Of an expression that goes by what the clock shows: between two changes of the clock, local
    /// and real time run alike.
    fn next_shown(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let (mut from, mut inclusive) = (after, false);
        loop {
            let offset = zone.to_offset(from);
            let shown = self.search(offset.to_datetime(from), inclusive)?;
            let moment = offset.to_timestamp(shown).ok()?;
            match zone.following(from).next() {
                Some(change) if moment >= change.timestamp() => {
                    (from, inclusive) = (change.timestamp(), true);
                }
                _ => return Some(moment),
            }
        }
    }

    fn search(&self, from: DateTime, inclusive: bool) -> Option<DateTime> {
        let whole = from.round(jiff::Unit::Second).ok()?;
        // croner counts seconds: a moment within one is after its beginning.
        let (from, inclusive) = match from.subsec_nanosecond() {
            0 => (from, inclusive),
            _ if whole > from => (whole, true),
            _ => (whole, false),
        };
        self.calendar.find_next_occurrence(&from, inclusive).ok()
    }
}

/// The moment of a time of day: in skipped time the end of that, in repeated time the first.
fn moment(named: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let found = zone.to_ambiguous_timestamp(named);
    if !matches!(found.offset(), jiff::tz::AmbiguousOffset::Gap { .. }) {
        return found.earlier().ok();
    }
    // The offset of after the gap, applied to a time inside it, gives a moment before it.
    let before = found.earlier().ok()?;
    zone.following(before).next().map(|change| change.timestamp())
}

/// The zone of an IANA name, such as `Europe/Berlin`.
pub fn zone(name: &str) -> Option<TimeZone> {
    if name.len() > limit::TIME_ZONE_BYTES_MAX {
        return None;
    }
    TimeZone::get(name).ok().filter(|zone| zone.iana_name().is_some())
}

/// The values of a field: as numbers that croner reads, and the smallest.
struct Values {
    text: String,
    least: u8,
    all: Vec<u8>,
}

impl Field {
    fn read(&self, word: &str) -> Result<Values, String> {
        let mut values = Values { text: String::new(), least: u8::MAX, all: Vec::new() };
        for item in word.split(',') {
            let (text, from, to, step) = self.item(item)?;
            if !values.text.is_empty() {
                values.text.push(',');
            }
            values.text.push_str(&text);
            values.least = values.least.min(from);
            values.all.extend((from..=to).step_by(step.into()));
        }
        Ok(values)
    }

    /// One of a list: its text, and its values from, to, and by which step.
    fn item(&self, item: &str) -> Result<(String, u8, u8, u8), String> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(self.step(step)?)),
            None => (item, None),
        };
        let by = step.map(|step| format!("/{step}")).unwrap_or_default();
        if range == "*" {
            return Ok((format!("*{by}"), self.least, self.most, step.unwrap_or(1)));
        }
        let Some((from, to)) = range.split_once('-') else {
            let value = self.value(range)?;
            if let Some(step) = step {
                let most = self.most;
                return Err(format!(
                    "a step follows `*` or a range; write `{value}-{most}/{step}`"
                ));
            }
            return Ok((value.to_string(), value, value, 1));
        };
        let from = self.value(from)?;
        // A week that ends with Sunday.
        let to = if to == "sun" { 7 } else { self.value(to)? };
        if from > to {
            return Err(format!("`{range}` runs backwards; write two ranges"));
        }
        Ok((format!("{from}-{to}{by}"), from, to, step.unwrap_or(1)))
    }

    fn value(&self, word: &str) -> Result<u8, String> {
        if let Some(n) = self.names.iter().position(|name| *name == word) {
            return Ok(self.names_from + u8::try_from(n).expect("there are few names"));
        }
        let (least, most) = (self.least, self.most);
        let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        match word.parse::<u8>() {
            Ok(value) if is_number && (least..=most).contains(&value) => Ok(value),
            _ if is_number => Err(format!("`{word}` is not within {least}-{most}")),
            _ if word.is_empty() => Err("a value is missing".to_owned()),
            _ => Err(format!("`{word}` cannot be read")),
        }
    }

    fn step(&self, word: &str) -> Result<u8, String> {
        let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        let most = self.most;
        match word.parse::<u8>() {
            Ok(0) if is_number => Err("a step of 0 never ends".to_owned()),
            Ok(step) if is_number && step <= most => Ok(step),
            _ => Err(format!("the step `{word}` is not within 1-{most}")),
        }
    }
}

/// Whether any month that is named has a day that is named. A restricted day of the week always
/// comes, unless it has to be on such a day too.
fn has_day(fields: &[Values], any_weekday: bool) -> bool {
    let (days, months) = (&fields[2], &fields[3]);
    let longest = months.all.iter().map(|month| MONTH_DAYS[usize::from(month - 1)]).max();
    !any_weekday || longest.is_some_and(|longest| days.least <= longest)
}
