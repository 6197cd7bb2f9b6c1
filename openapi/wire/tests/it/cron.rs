//! Cron: the rules of crontab, in a table that was written from POSIX and Vixie's manual, not by any
//! program.

mod changes;

use jiff::{Timestamp, tz::TimeZone};
use skein_wire::cron::{self, Cron};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn zone(name: &str) -> TimeZone {
    cron::zone(name).unwrap_or_else(|| panic!("no zone {name}"))
}

fn cron(text: &str) -> Cron {
    Cron::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn slots(text: &str, name: &str, after: Timestamp, n: usize) -> Vec<Timestamp> {
    cron(text).upcoming(after, &zone(name), n)
}

/// An expression, a moment, and the slots that follow it, in UTC. 2026 begins on a Thursday.
#[rustfmt::skip]
const RULES: &[(&str, &str, &[&str])] = &[
    // Single values, and what `*` means in each field.
    ("* * * * *", "2026-01-01T00:00:00Z", &["2026-01-01T00:01Z", "2026-01-01T00:02Z"]),
    ("* * * * *", "2026-01-01T00:00:59.999Z", &["2026-01-01T00:01Z"]),
    ("* * * * *", "2026-12-31T23:59:00Z", &["2027-01-01T00:00Z"]),
    ("30 * * * *", "2026-01-01T00:30:00Z", &["2026-01-01T01:30Z", "2026-01-01T02:30Z"]),
    ("0 0 * * *", "2026-02-28T00:00:00Z", &["2026-03-01T00:00Z"]),
    ("59 23 31 12 *", "2026-01-01T00:00:00Z", &["2026-12-31T23:59Z", "2027-12-31T23:59Z"]),
    ("0 12 1 * *", "2026-01-01T12:00:00Z", &["2026-02-01T12:00Z", "2026-03-01T12:00Z"]),
    ("05 04 * * *", "2026-01-01T00:00:00Z", &["2026-01-01T04:05Z"]),
    // Ranges.
    ("0 9-11 * * *", "2026-01-01T08:00:00Z", &["2026-01-01T09:00Z", "2026-01-01T10:00Z", "2026-01-01T11:00Z", "2026-01-02T09:00Z"]),
    ("58-59 23 * * *", "2026-01-01T00:00:00Z", &["2026-01-01T23:58Z", "2026-01-01T23:59Z", "2026-01-02T23:58Z"]),
    ("0 0 5-5 * *", "2026-01-01T00:00:00Z", &["2026-01-05T00:00Z", "2026-02-05T00:00Z"]),
    ("0 0 1 6-8 *", "2026-01-01T00:00:00Z", &["2026-06-01T00:00Z", "2026-07-01T00:00Z", "2026-08-01T00:00Z", "2027-06-01T00:00Z"]),
    // Steps: from the first of the range, not from zero.
    ("*/20 * * * *", "2026-01-01T00:00:00Z", &["2026-01-01T00:20Z", "2026-01-01T00:40Z", "2026-01-01T01:00Z"]),
    ("*/25 * * * *", "2026-01-01T00:00:00Z", &["2026-01-01T00:25Z", "2026-01-01T00:50Z", "2026-01-01T01:00Z"]),
    ("10-30/10 * * * *", "2026-01-01T00:30:00Z", &["2026-01-01T01:10Z", "2026-01-01T01:20Z", "2026-01-01T01:30Z"]),
    ("5-59/20 * * * *", "2026-01-01T00:00:00Z", &["2026-01-01T00:05Z", "2026-01-01T00:25Z", "2026-01-01T00:45Z", "2026-01-01T01:05Z"]),
    ("0 0-23/6 * * *", "2026-01-01T00:00:00Z", &["2026-01-01T06:00Z", "2026-01-01T12:00Z", "2026-01-01T18:00Z", "2026-01-02T00:00Z"]),
    ("0 0 */10 * *", "2026-01-01T00:00:00Z", &["2026-01-11T00:00Z", "2026-01-21T00:00Z", "2026-01-31T00:00Z", "2026-02-01T00:00Z"]),
    ("0 0 1 */5 *", "2026-01-01T00:00:00Z", &["2026-06-01T00:00Z", "2026-11-01T00:00Z", "2027-01-01T00:00Z"]),
    ("0 0 1 2-12/3 *", "2026-01-01T00:00:00Z", &["2026-02-01T00:00Z", "2026-05-01T00:00Z", "2026-08-01T00:00Z", "2026-11-01T00:00Z"]),
    ("1-10/1 0 * * *", "2026-01-01T00:09:00Z", &["2026-01-01T00:10Z", "2026-01-02T00:01Z"]),
    // Lists, in any order, with repeats and with ranges in them.
    ("45,15,15 * * * *", "2026-01-01T00:00:00Z", &["2026-01-01T00:15Z", "2026-01-01T00:45Z", "2026-01-01T01:15Z"]),
    ("0 1-2,22,4-8/4 * * *", "2026-01-01T00:00:00Z", &["2026-01-01T01:00Z", "2026-01-01T02:00Z", "2026-01-01T04:00Z", "2026-01-01T08:00Z", "2026-01-01T22:00Z"]),
    ("0 0 1,15 * *", "2026-01-01T00:00:00Z", &["2026-01-15T00:00Z", "2026-02-01T00:00Z"]),
    // Names, of either case.
    ("0 0 1 mar *", "2026-01-01T00:00:00Z", &["2026-03-01T00:00Z"]),
    ("0 0 1 MAR,Sep *", "2026-01-01T00:00:00Z", &["2026-03-01T00:00Z", "2026-09-01T00:00Z"]),
    ("0 0 1 oct-dec *", "2026-01-01T00:00:00Z", &["2026-10-01T00:00Z", "2026-11-01T00:00Z", "2026-12-01T00:00Z", "2027-10-01T00:00Z"]),
    ("0 9 * * mon-fri", "2026-01-01T09:00:00Z", &["2026-01-02T09:00Z", "2026-01-05T09:00Z"]),
    ("0 9 * * Sat,SUN", "2026-01-01T00:00:00Z", &["2026-01-03T09:00Z", "2026-01-04T09:00Z", "2026-01-10T09:00Z"]),
    ("0 9 * * fri-sun", "2026-01-01T00:00:00Z", &["2026-01-02T09:00Z", "2026-01-03T09:00Z", "2026-01-04T09:00Z", "2026-01-09T09:00Z"]),
    // Sunday is 0 and 7.
    ("0 0 * * 0", "2026-01-01T00:00:00Z", &["2026-01-04T00:00Z", "2026-01-11T00:00Z"]),
    ("0 0 * * 7", "2026-01-01T00:00:00Z", &["2026-01-04T00:00Z", "2026-01-11T00:00Z"]),
    ("0 0 * * 5-7", "2026-01-01T00:00:00Z", &["2026-01-02T00:00Z", "2026-01-03T00:00Z", "2026-01-04T00:00Z", "2026-01-09T00:00Z"]),
    ("0 0 * * 0-1", "2026-01-01T00:00:00Z", &["2026-01-04T00:00Z", "2026-01-05T00:00Z", "2026-01-11T00:00Z"]),
    ("0 0 * * 0,7", "2026-01-01T00:00:00Z", &["2026-01-04T00:00Z", "2026-01-11T00:00Z"]),
    ("0 0 * * 1-5/2", "2026-01-01T00:00:00Z", &["2026-01-02T00:00Z", "2026-01-05T00:00Z", "2026-01-07T00:00Z", "2026-01-09T00:00Z"]),
    // Day of the month or day of the week, when both are restricted: the 13th, and every Friday.
    ("0 0 13 * 5", "2026-02-01T00:00:00Z", &["2026-02-06T00:00Z", "2026-02-13T00:00Z", "2026-02-20T00:00Z", "2026-02-27T00:00Z", "2026-03-06T00:00Z"]),
    ("0 0 13 * 5", "2026-04-10T00:00:00Z", &["2026-04-13T00:00Z", "2026-04-17T00:00Z"]),
    ("0 0 1,15 * mon", "2026-01-02T00:00:00Z", &["2026-01-05T00:00Z", "2026-01-12T00:00Z", "2026-01-15T00:00Z", "2026-01-19T00:00Z"]),
    // One of them begins with `*`: both have to fit. Odd days that are Mondays.
    ("0 0 */2 * 1", "2026-01-01T00:00:00Z", &["2026-01-05T00:00Z", "2026-01-19T00:00Z", "2026-02-09T00:00Z"]),
    ("0 0 13 * */5", "2026-01-01T00:00:00Z", &["2026-02-13T00:00Z", "2026-03-13T00:00Z", "2026-09-13T00:00Z"]),
    ("0 0 13 * *", "2026-01-01T00:00:00Z", &["2026-01-13T00:00Z", "2026-02-13T00:00Z"]),
    // Ends of months: a month without the day is passed over.
    ("0 0 31 * *", "2026-01-01T00:00:00Z", &["2026-01-31T00:00Z", "2026-03-31T00:00Z", "2026-05-31T00:00Z", "2026-07-31T00:00Z", "2026-08-31T00:00Z"]),
    ("0 0 30 * *", "2026-01-30T00:00:00Z", &["2026-03-30T00:00Z", "2026-04-30T00:00Z"]),
    ("0 0 29-31 2 *", "2027-01-01T00:00:00Z", &["2028-02-29T00:00Z"]),
    ("0 0 31 4,6,12 *", "2026-01-01T00:00:00Z", &["2026-12-31T00:00Z", "2027-12-31T00:00Z"]),
    ("0 0 31 2 1", "2026-01-01T00:00:00Z", &["2026-02-02T00:00Z", "2026-02-09T00:00Z", "2026-02-16T00:00Z", "2026-02-23T00:00Z", "2027-02-01T00:00Z"]),
    // Leap years.
    ("0 0 29 2 *", "2026-01-01T00:00:00Z", &["2028-02-29T00:00Z", "2032-02-29T00:00Z"]),
    ("0 0 28 2 *", "2027-03-01T00:00:00Z", &["2028-02-28T00:00Z", "2029-02-28T00:00Z"]),
    ("0 0 1 3 *", "2028-02-28T00:00:00Z", &["2028-03-01T00:00Z"]),
    // Names for whole expressions, and blanks around and between.
    ("@hourly", "2026-01-01T00:00:00Z", &["2026-01-01T01:00Z", "2026-01-01T02:00Z"]),
    ("@daily", "2026-01-01T00:00:00Z", &["2026-01-02T00:00Z"]),
    ("@midnight", "2026-01-01T00:00:00Z", &["2026-01-02T00:00Z"]),
    ("@Weekly", "2026-01-01T00:00:00Z", &["2026-01-04T00:00Z", "2026-01-11T00:00Z"]),
    ("@monthly", "2026-01-01T00:00:00Z", &["2026-02-01T00:00Z"]),
    ("@yearly", "2026-01-01T00:00:00Z", &["2027-01-01T00:00Z"]),
    ("@annually", "2026-01-01T00:00:00Z", &["2027-01-01T00:00Z"]),
    ("  0\t0  * *   *  ", "2026-01-01T00:00:00Z", &["2026-01-02T00:00Z"]),
];

#[test]
fn slots_are_those_of_the_rules() {
    for (text, after, expected) in RULES {
        let expected: Vec<Timestamp> = expected.iter().map(|slot| at(slot)).collect();

        let found = slots(text, "UTC", at(after), expected.len());

        assert_eq!(found, expected, "{text} after {after}");
    }
}

#[test]
fn what_is_no_expression_is_refused_with_its_reason() {
    for (text, why) in [
        ("", "it has 0 fields, not 5: minute, hour, day of the month, month, day of the week"),
        ("* * * *", "it has 4 fields"),
        ("0 * * * * *", "it has 6 fields"),
        ("0 0 1 1 * 2027", "it has 6 fields"),
        ("60 * * * *", "minute: `60` is not within 0-59"),
        ("* 24 * * *", "hour: `24` is not within 0-23"),
        ("* * 0 * *", "day of the month: `0` is not within 1-31"),
        ("* * 32 * *", "day of the month: `32` is not within 1-31"),
        ("* * * 13 *", "month: `13` is not within 1-12"),
        ("* * * * 8", "day of the week: `8` is not within 0-7"),
        ("-1 * * * *", "minute: a value is missing"),
        ("1- * * * *", "minute: a value is missing"),
        ("1,,2 * * * *", "minute: a value is missing"),
        ("9999999999 * * * *", "is not within 0-59"),
        ("*/0 * * * *", "minute: a step of 0 never ends"),
        ("0-59/0 * * * *", "a step of 0 never ends"),
        ("*/60 * * * *", "the step `60` is not within 1-59"),
        ("*/x * * * *", "the step `x` is not within 1-59"),
        ("* */ * * *", "the step `` is not within 1-23"),
        ("5/20 * * * *", "a step follows `*` or a range; write `5-59/20`"),
        ("30-10 * * * *", "`30-10` runs backwards; write two ranges"),
        ("* * * * fri-mon", "`fri-mon` runs backwards; write two ranges"),
        ("1-2-3 * * * *", "cannot be read"),
        ("jan * * * *", "minute: `jan` cannot be read"),
        ("* * * mon *", "month: `mon` cannot be read"),
        ("* * * january *", "month: `january` cannot be read"),
        ("* * L * *", "day of the month: `l` cannot be read"),
        ("* * 15W * *", "`15w` cannot be read"),
        ("* * * * 5#2", "`5#2` cannot be read"),
        ("* * ? * *", "`?` cannot be read"),
        ("+5 * * * *", "`+5` cannot be read"),
        ("٣ * * * *", "cannot be read"),
        ("* * * * *\u{a0}", "cannot be read"),
        ("@reboot", "`@reboot` is not known; @hourly"),
        ("@every 5m", "`@every 5m` is not known"),
        ("0 0 30 2 *", "no month that it names has such a day"),
        ("0 0 31 4,6,9,11 *", "no month that it names has such a day"),
        ("0 0 31 2 */2", "no month that it names has such a day"),
    ] {
        let refused = Cron::parse(text).expect_err(text).to_string();
        assert!(refused.contains(why), "{text}: {refused}");
    }
    let long = format!("{} * * * *", "1,".repeat(200));
    assert_eq!(Cron::parse(&long).unwrap_err().to_string(), "it is longer than 256 bytes");
}

#[test]
fn what_never_fires_within_five_years_is_refused() {
    let (utc, leap_day) = (TimeZone::UTC, cron("0 0 29 2 *"));

    // 2100 is no leap year.
    assert!(leap_day.first(at("2096-02-29T00:00:00Z"), &utc).is_err());
    assert!(leap_day.first(at("2026-11-22T00:00:00Z"), &utc).is_ok());
    // The next 29th of February that is a Tuesday, or a day of an even number beside: 2028.
    let tuesday = cron("0 0 29 2 */2");
    assert_eq!(tuesday.next(at("2026-11-22T00:00:00Z"), &utc), Some(at("2028-02-29T00:00Z")));
    let refused = cron("0 0 29 2 */7").first(at("2026-11-22T00:00:00Z"), &utc).unwrap_err();
    assert_eq!(refused.to_string(), "it never fires within five years", "a Sunday: 2032");
}

#[test]
fn zones_are_those_of_iana() {
    for name in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Asia/Kolkata"] {
        assert!(cron::zone(name).is_some(), "{name}");
    }
    for name in ["", "Berlin", "UTC+1", "../UTC", "/etc/passwd", "Europe/Berlin ", &"x".repeat(65)]
    {
        assert!(cron::zone(name).is_none(), "{name}");
    }
}
