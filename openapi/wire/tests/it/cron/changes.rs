//! Every change of the clock of 2026 to 2028 in five zones: none of the slots lost, none doubled.
//!
//! The zones have changes of an hour and of half an hour, at night, at 02:45 and at midnight, and
//! summers in both halves of the year. When each changes is written down from its law: the European
//! Union's (last Sundays of March and October, 01:00 UTC), that of the United States (second Sunday of
//! March, first of November, 02:00), Lord Howe's (first Sundays of April and October, 02:00, by half
//! an hour), Chile's (the Sundays on or after the 2nd of April and of September, at midnight), and
//! New Zealand's (first Sunday of April, last of September, at 02:45 standard time in Chatham).

use jiff::{SignedDuration, Timestamp};

use super::{at, cron, slots, zone};

/// A zone, a change of its clock, an expression whose time of day is in the middle of what is skipped
/// or repeated that day, and its slots: of the day before, of that day, and of the day after. What is
/// skipped happens at the change, what is repeated the first time.
const CHANGES: [(&str, &str, &str, [&str; 3]); 30] = [
    (
        "Europe/Berlin",
        "2026-03-29T01:00Z",
        "30 2 * * *",
        ["2026-03-28T01:30Z", "2026-03-29T01:00Z", "2026-03-30T00:30Z"],
    ),
    (
        "Europe/Berlin",
        "2026-10-25T01:00Z",
        "30 2 * * *",
        ["2026-10-24T00:30Z", "2026-10-25T00:30Z", "2026-10-26T01:30Z"],
    ),
    (
        "Europe/Berlin",
        "2027-03-28T01:00Z",
        "30 2 * * *",
        ["2027-03-27T01:30Z", "2027-03-28T01:00Z", "2027-03-29T00:30Z"],
    ),
    (
        "Europe/Berlin",
        "2027-10-31T01:00Z",
        "30 2 * * *",
        ["2027-10-30T00:30Z", "2027-10-31T00:30Z", "2027-11-01T01:30Z"],
    ),
    (
        "Europe/Berlin",
        "2028-03-26T01:00Z",
        "30 2 * * *",
        ["2028-03-25T01:30Z", "2028-03-26T01:00Z", "2028-03-27T00:30Z"],
    ),
    (
        "Europe/Berlin",
        "2028-10-29T01:00Z",
        "30 2 * * *",
        ["2028-10-28T00:30Z", "2028-10-29T00:30Z", "2028-10-30T01:30Z"],
    ),
    (
        "America/New_York",
        "2026-03-08T07:00Z",
        "30 2 * * *",
        ["2026-03-07T07:30Z", "2026-03-08T07:00Z", "2026-03-09T06:30Z"],
    ),
    (
        "America/New_York",
        "2026-11-01T06:00Z",
        "30 1 * * *",
        ["2026-10-31T05:30Z", "2026-11-01T05:30Z", "2026-11-02T06:30Z"],
    ),
    (
        "America/New_York",
        "2027-03-14T07:00Z",
        "30 2 * * *",
        ["2027-03-13T07:30Z", "2027-03-14T07:00Z", "2027-03-15T06:30Z"],
    ),
    (
        "America/New_York",
        "2027-11-07T06:00Z",
        "30 1 * * *",
        ["2027-11-06T05:30Z", "2027-11-07T05:30Z", "2027-11-08T06:30Z"],
    ),
    (
        "America/New_York",
        "2028-03-12T07:00Z",
        "30 2 * * *",
        ["2028-03-11T07:30Z", "2028-03-12T07:00Z", "2028-03-13T06:30Z"],
    ),
    (
        "America/New_York",
        "2028-11-05T06:00Z",
        "30 1 * * *",
        ["2028-11-04T05:30Z", "2028-11-05T05:30Z", "2028-11-06T06:30Z"],
    ),
    (
        "Australia/Lord_Howe",
        "2026-04-04T15:00Z",
        "45 1 * * *",
        ["2026-04-03T14:45Z", "2026-04-04T14:45Z", "2026-04-05T15:15Z"],
    ),
    (
        "Australia/Lord_Howe",
        "2026-10-03T15:30Z",
        "15 2 * * *",
        ["2026-10-02T15:45Z", "2026-10-03T15:30Z", "2026-10-04T15:15Z"],
    ),
    (
        "Australia/Lord_Howe",
        "2027-04-03T15:00Z",
        "45 1 * * *",
        ["2027-04-02T14:45Z", "2027-04-03T14:45Z", "2027-04-04T15:15Z"],
    ),
    (
        "Australia/Lord_Howe",
        "2027-10-02T15:30Z",
        "15 2 * * *",
        ["2027-10-01T15:45Z", "2027-10-02T15:30Z", "2027-10-03T15:15Z"],
    ),
    (
        "Australia/Lord_Howe",
        "2028-04-01T15:00Z",
        "45 1 * * *",
        ["2028-03-31T14:45Z", "2028-04-01T14:45Z", "2028-04-02T15:15Z"],
    ),
    (
        "Australia/Lord_Howe",
        "2028-09-30T15:30Z",
        "15 2 * * *",
        ["2028-09-29T15:45Z", "2028-09-30T15:30Z", "2028-10-01T15:15Z"],
    ),
    (
        "America/Santiago",
        "2026-04-05T03:00Z",
        "30 23 * * *",
        ["2026-04-04T02:30Z", "2026-04-05T02:30Z", "2026-04-06T03:30Z"],
    ),
    (
        "America/Santiago",
        "2026-09-06T04:00Z",
        "30 0 * * *",
        ["2026-09-05T04:30Z", "2026-09-06T04:00Z", "2026-09-07T03:30Z"],
    ),
    (
        "America/Santiago",
        "2027-04-04T03:00Z",
        "30 23 * * *",
        ["2027-04-03T02:30Z", "2027-04-04T02:30Z", "2027-04-05T03:30Z"],
    ),
    (
        "America/Santiago",
        "2027-09-05T04:00Z",
        "30 0 * * *",
        ["2027-09-04T04:30Z", "2027-09-05T04:00Z", "2027-09-06T03:30Z"],
    ),
    (
        "America/Santiago",
        "2028-04-02T03:00Z",
        "30 23 * * *",
        ["2028-04-01T02:30Z", "2028-04-02T02:30Z", "2028-04-03T03:30Z"],
    ),
    (
        "America/Santiago",
        "2028-09-03T04:00Z",
        "30 0 * * *",
        ["2028-09-02T04:30Z", "2028-09-03T04:00Z", "2028-09-04T03:30Z"],
    ),
    (
        "Pacific/Chatham",
        "2026-04-04T14:00Z",
        "15 3 * * *",
        ["2026-04-03T13:30Z", "2026-04-04T13:30Z", "2026-04-05T14:30Z"],
    ),
    (
        "Pacific/Chatham",
        "2026-09-26T14:00Z",
        "15 3 * * *",
        ["2026-09-25T14:30Z", "2026-09-26T14:00Z", "2026-09-27T13:30Z"],
    ),
    (
        "Pacific/Chatham",
        "2027-04-03T14:00Z",
        "15 3 * * *",
        ["2027-04-02T13:30Z", "2027-04-03T13:30Z", "2027-04-04T14:30Z"],
    ),
    (
        "Pacific/Chatham",
        "2027-09-25T14:00Z",
        "15 3 * * *",
        ["2027-09-24T14:30Z", "2027-09-25T14:00Z", "2027-09-26T13:30Z"],
    ),
    (
        "Pacific/Chatham",
        "2028-04-01T14:00Z",
        "15 3 * * *",
        ["2028-03-31T13:30Z", "2028-04-01T13:30Z", "2028-04-02T14:30Z"],
    ),
    (
        "Pacific/Chatham",
        "2028-09-23T14:00Z",
        "15 3 * * *",
        ["2028-09-22T14:30Z", "2028-09-23T14:00Z", "2028-09-24T13:30Z"],
    ),
];

#[test]
fn a_time_of_day_has_one_slot_a_day_across_every_change() {
    for (name, _, text, expected) in CHANGES {
        let before = at(expected[0]) - SignedDuration::from_secs(1);

        let found = slots(text, name, before, 3);

        assert_eq!(found, expected.map(at), "{text} in {name}");
    }
}

#[test]
fn what_goes_by_the_clock_goes_on_through_every_change() {
    for (name, change, ..) in CHANGES {
        let change = at(change);
        let from = change - SignedDuration::from_mins(61);

        let found: Vec<i64> = slots("*/15 * * * *", name, from, 8)
            .iter()
            .map(|slot| slot.duration_since(change).as_secs() / 60)
            .collect();

        // All these offsets are whole quarters of an hour, and so is what the clock shows.
        assert_eq!(found, [-60, -45, -30, -15, 0, 15, 30, 45], "{name}, {change}");
    }
}

#[test]
fn what_the_clock_skips_is_no_slot_and_what_it_repeats_is_two_for_what_goes_by_it() {
    // Every hour at half past: in Berlin 02:30 is skipped in March and shown twice in October.
    for (from, expected) in [
        ("2026-03-29T00:00Z", ["2026-03-29T00:30Z", "2026-03-29T01:30Z", "2026-03-29T02:30Z"]),
        ("2026-10-25T00:00Z", ["2026-10-25T00:30Z", "2026-10-25T01:30Z", "2026-10-25T02:30Z"]),
    ] {
        assert_eq!(slots("30 * * * *", "Europe/Berlin", at(from), 3), expected.map(at));
    }
    // Each minute from 02:00 to 02:59, which begins with `*`: none of them, and twice of them.
    let of_day = |from: &str| {
        let (cron, zone) = (cron("* 2 * * *"), zone("Europe/Berlin"));
        let until = at(from) + SignedDuration::from_hours(24);
        cron.upcoming(at(from), &zone, 200).into_iter().filter(|slot| *slot < until).count()
    };
    assert_eq!((of_day("2026-03-28T23:00Z"), of_day("2026-10-24T22:00Z")), (0, 120));
}

#[test]
fn several_times_in_what_is_skipped_are_one_slot() {
    let found = slots("0,30 2,3 * * *", "Europe/Berlin", at("2026-03-29T00:00Z"), 3);

    // 02:00, 02:30 and 03:00 are the moment of the change.
    let expected = ["2026-03-29T01:00Z", "2026-03-29T01:30Z", "2026-03-30T00:00Z"];
    assert_eq!(found, expected.map(at));
}

#[test]
fn a_list_of_times_that_is_repeated_happens_once() {
    let found = slots("0,30 2,3 * * *", "Europe/Berlin", at("2026-10-24T23:00Z"), 5);

    let expected = [
        "2026-10-25T00:00Z",
        "2026-10-25T00:30Z",
        "2026-10-25T02:00Z",
        "2026-10-25T02:30Z",
        "2026-10-26T01:00Z",
    ];
    assert_eq!(found, expected.map(at));
}

#[test]
fn a_search_that_begins_inside_a_repeated_hour_finds_what_is_left_of_it() {
    let zone = "Europe/Berlin";
    for (text, from, next) in [
        // 02:40, the first time.
        ("*/15 * * * *", "2026-10-25T00:40Z", "2026-10-25T00:45Z"),
        ("30 * * * *", "2026-10-25T00:40Z", "2026-10-25T01:30Z"),
        ("30 2 * * *", "2026-10-25T00:40Z", "2026-10-26T01:30Z"),
        // 02:10, the second time: half past two has happened.
        ("30 2 * * *", "2026-10-25T01:10Z", "2026-10-26T01:30Z"),
        ("30 * * * *", "2026-10-25T01:10Z", "2026-10-25T01:30Z"),
    ] {
        assert_eq!(slots(text, zone, at(from), 1), [at(next)], "{text} after {from}");
    }
}

#[test]
fn every_half_hour_of_the_night_has_one_slot_a_day_for_three_years_in_every_zone() {
    // 2028 has a 29th of February.
    const DAYS: usize = 365 + 365 + 366;
    let mut zones: Vec<&str> = CHANGES.iter().map(|change| change.0).collect();
    zones.dedup();
    for name in zones {
        let zone = zone(name);
        let midnight = |year| jiff::civil::date(year, 1, 1).to_zoned(zone.clone()).unwrap();
        let (first, last) = (midnight(2026).timestamp(), midnight(2029).timestamp());
        // From 23:00 to 05:00, when clocks are changed.
        for half_hour in (46..48).chain(0..10) {
            let text = format!("{} {} * * *", half_hour % 2 * 30, half_hour / 2);
            let before = first - SignedDuration::from_secs(1);

            let found: Vec<Timestamp> = cron(&text).upcoming(before, &zone, DAYS + 1);

            let of_days: Vec<_> =
                found.iter().map(|slot| slot.to_zoned(zone.clone()).date()).collect();
            assert!(found[DAYS - 1] < last && found[DAYS] >= last, "{text} in {name}");
            assert!(of_days.windows(2).all(|days| days[0] < days[1]), "{text} in {name}");
        }
    }
}
