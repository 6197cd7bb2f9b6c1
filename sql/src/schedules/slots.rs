//! Slots: which of a schedule are to be served now, which were missed, and which is next.
//!
//! A slot is served at its time plus its jitter, which follows from the schedule and the slot, so
//! that every worker takes it for the same. It is missed when that is longer ago than
//! [`limit::SCHEDULE_LATE_MAX`]: no worker ran, or the database was away. However long ago the last
//! one was served, only as much of the calendar is searched as is needed.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use skein_crypto::message_id;
use skein_wire::{cron::Cron, limit, schedules::Missed};
use uuid::Uuid;

/// Where a schedule stands, as far as its slots go.
#[derive(Debug)]
pub(super) struct Calendar<'a> {
    pub id: Uuid,
    /// `None`: a one-shot.
    pub cron: Option<&'a Cron>,
    pub zone: &'a TimeZone,
    pub jitter_s: u32,
    pub missed: Missed,
    /// The slot that is next.
    pub slot: Timestamp,
}

/// A slot to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub at: Timestamp,
    /// When it was to be served.
    pub serve_at: Timestamp,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// To be fired, in their order.
    pub fires: Vec<Slot>,
    /// Missed and not made up for: the first and the last.
    pub skipped: Option<(Timestamp, Slot)>,
    /// The slot after all of these; `None`: there is none any more.
    pub next: Option<Timestamp>,
}

/// When a slot is served: up to `jitter_s` later, always the same for one slot.
pub fn serve_at(id: Uuid, slot: Timestamp, jitter_s: u32) -> Timestamp {
    let hash = message_id::of_slot(id.as_bytes(), slot.as_millisecond());
    let number = u64::from_le_bytes(*hash.first_chunk().expect("16 bytes hold 8"));
    let late_ms = number % (u64::from(jitter_s) * 1000 + 1);
    let late = SignedDuration::from_millis(i64::try_from(late_ms).unwrap_or(0));
    slot.checked_add(late).unwrap_or(slot)
}

impl Slot {
    /// How much later than its time that is.
    pub fn late_ms(&self, now: Timestamp) -> i64 {
        let late = now.duration_since(self.serve_at).as_millis();
        i64::try_from(late).unwrap_or(i64::MAX).max(0)
    }
}

impl Calendar<'_> {
    /// What is to be done at `now` where nothing that has passed is served.
    pub fn skip(&self, now: Timestamp) -> Plan {
        let until = now.checked_add(SignedDuration::from_nanos(1)).unwrap_or(now);
        let (passed, next) = self.long_missed(until);
        let skipped = passed.last().map(|last| (self.slot, *last));
        Plan { fires: Vec::new(), skipped, next }
    }

    /// What is to be done at `now`.
    pub fn plan(&self, now: Timestamp) -> Plan {
        let late_max = signed(limit::SCHEDULE_LATE_MAX);
        let jitter = SignedDuration::from_secs(self.jitter_s.into());
        // What is before this was missed, whatever its jitter.
        let long_ago = now.checked_sub(late_max + jitter).unwrap_or(Timestamp::MIN);
        let (mut missed, mut cursor) = self.long_missed(long_ago);
        let mut fires = Vec::new();
        while let Some(at) = cursor {
            let slot = self.slot_at(at);
            if slot.serve_at > now {
                break;
            }
            // Late is counted from the end of its jitter: where that is longer than the time to the
            // next slot, this is served with those behind it.
            match now.duration_since(at) > late_max + jitter {
                true => missed.push(slot),
                false => fires.push(slot),
            }
            cursor = self.after(at);
        }
        let (made_up, skipped) = self.divide(missed);
        fires.splice(0..0, made_up);
        Plan { fires, skipped, next: cursor }
    }

    /// Of the slots before `until` the last that may be made up for, and the first slot that is not.
    fn long_missed(&self, until: Timestamp) -> (Vec<Slot>, Option<Timestamp>) {
        if self.slot >= until {
            return (Vec::new(), Some(self.slot));
        }
        let Some(cron) = self.cron else { return (vec![self.slot_at(self.slot)], None) };
        let mut window = SignedDuration::from_hours(2);
        loop {
            let from = until.checked_sub(window).unwrap_or(Timestamp::MIN).max(self.slot);
            let mut found = vec![];
            let mut cursor =
                if from == self.slot { Some(from) } else { cron.next(from, self.zone) };
            while let Some(at) = cursor.filter(|at| *at < until) {
                found.push(self.slot_at(at));
                cursor = cron.next(at, self.zone);
            }
            let enough = limit::SCHEDULE_MADE_UP_MAX;
            if found.len() >= enough || from == self.slot {
                found.drain(..found.len().saturating_sub(enough));
                return (found, cursor);
            }
            window *= 2;
        }
    }

    /// What of the missed slots is made up for, and what is not.
    fn divide(&self, mut missed: Vec<Slot>) -> (Vec<Slot>, Option<(Timestamp, Slot)>) {
        let Some(last) = missed.last().copied() else { return (missed, None) };
        let n_made_up = match self.missed {
            Missed::Skip => 0,
            Missed::Once => 1,
            Missed::All => limit::SCHEDULE_MADE_UP_MAX,
        };
        let made_up = missed.split_off(missed.len().saturating_sub(n_made_up));
        let is_all = made_up.first().is_some_and(|first| first.at == self.slot);
        // What is older than the oldest that was looked for is left out too.
        let last_left = missed.last().copied().unwrap_or(last);
        let skipped = (!is_all).then_some((self.slot, last_left));
        (made_up, skipped)
    }

    fn after(&self, at: Timestamp) -> Option<Timestamp> {
        self.cron.and_then(|cron| cron.next(at, self.zone))
    }

    fn slot_at(&self, at: Timestamp) -> Slot {
        Slot { at, serve_at: serve_at(self.id, at, self.jitter_s) }
    }
}

fn signed(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).expect("limits are short")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(0x5f0c_1a7e_9d0b_4b52_8d6f_3d0c_9a6f_2b11);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn across_changes_of_the_clock_no_slot_is_lost_and_none_is_doubled() {
        let cron = Cron::parse("30 2 * * *").unwrap();
        let zone = &skein_wire::cron::zone("Europe/Berlin").unwrap();
        for (slots, now, next) in [
            // 02:30 is skipped on the 29th of March, and happens at 03:00.
            (
                ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
                "2026-03-30T12:00:00Z",
                "2026-03-31T00:30:00Z",
            ),
            // It is twice on the 25th of October, and happens the first time.
            (
                ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
                "2026-10-26T12:00:00Z",
                "2026-10-27T01:30:00Z",
            ),
        ] {
            let (slot, missed) = (at(slots[0]), Missed::All);
            let calendar = Calendar { id: ID, cron: Some(&cron), zone, jitter_s: 0, missed, slot };

            let plan = calendar.plan(at(now));

            assert_eq!(times(&plan), slots);
            assert_eq!((plan.skipped, plan.next), (None, Some(at(next))));
        }
    }

    #[test]
    fn where_jitter_is_longer_than_the_time_between_slots_none_is_lost() {
        let cron = Cron::parse("* * * * *").unwrap();
        let (zone, missed, jitter_s) = (&TimeZone::UTC, Missed::Skip, 3600);
        let (mut slot, mut fired) = (at("2026-04-08T09:00:00Z"), Vec::new());

        for _ in 0..200 {
            let calendar = Calendar { id: ID, cron: Some(&cron), zone, jitter_s, missed, slot };
            let plan = calendar.plan(serve_at(ID, slot, jitter_s));
            assert_eq!(plan.skipped, None);
            fired.extend(times(&plan));
            slot = plan.next.unwrap();
        }

        let first = at("2026-04-08T09:00:00Z");
        let minutes = (0..fired.len())
            .map(|n| (first + SignedDuration::from_mins(i64::try_from(n).unwrap())).to_string());
        assert!(fired.len() >= 200 && fired.iter().cloned().eq(minutes));
    }

    fn plan(cron: Option<&str>, missed: Missed, slot: &str, now: &str) -> Plan {
        let cron = cron.map(|text| Cron::parse(text).unwrap());
        let zone = &TimeZone::UTC;
        let slot = at(slot);
        Calendar { id: ID, cron: cron.as_ref(), zone, jitter_s: 0, missed, slot }.plan(at(now))
    }

    fn times(plan: &Plan) -> Vec<String> {
        plan.fires.iter().map(|slot| slot.at.to_string()).collect()
    }

    #[test]
    fn what_is_due_is_served_and_the_next_is_the_next() {
        let plan =
            plan(Some("* * * * *"), Missed::Skip, "2026-11-22T10:00:00Z", "2026-11-22T10:00:00.1Z");

        assert_eq!(times(&plan), ["2026-11-22T10:00:00Z"]);
        assert_eq!((plan.skipped, plan.next), (None, Some(at("2026-11-22T10:01:00Z"))));
    }

    #[test]
    fn a_slot_that_is_a_minute_late_is_served_and_one_later_is_missed() {
        let served =
            plan(Some("0 * * * *"), Missed::Skip, "2026-11-22T10:00:00Z", "2026-11-22T10:01:00Z");
        let missed = plan(
            Some("0 * * * *"),
            Missed::Skip,
            "2026-11-22T10:00:00Z",
            "2026-11-22T10:01:00.001Z",
        );

        assert_eq!(times(&served), ["2026-11-22T10:00:00Z"]);
        assert_eq!(times(&missed), [""; 0]);
        let (first, last) = missed.skipped.unwrap();
        assert_eq!((first, last.at), (at("2026-11-22T10:00:00Z"), first));
    }

    #[test]
    fn missed_slots_are_skipped_made_up_for_once_or_all() {
        let (slot, now) = ("2026-11-22T10:00:00Z", "2026-11-22T15:30:00Z");
        let hours = |from: u32| (from..=15).map(|h| format!("2026-11-22T{h}:00:00Z"));
        for (missed, fires, skipped) in [
            (Missed::Skip, vec![], Some((at(slot), at("2026-11-22T15:00:00Z")))),
            (Missed::Once, hours(15).collect(), Some((at(slot), at("2026-11-22T14:00:00Z")))),
            (Missed::All, hours(10).collect::<Vec<_>>(), None),
        ] {
            let plan = plan(Some("0 * * * *"), missed, slot, now);

            assert_eq!(times(&plan), fires, "{missed:?}");
            assert_eq!(plan.skipped.map(|(first, last)| (first, last.at)), skipped, "{missed:?}");
            assert_eq!(plan.next, Some(at("2026-11-22T16:00:00Z")), "{missed:?}");
        }
    }

    #[test]
    fn of_years_that_were_missed_the_last_hundred_slots_are_made_up_for() {
        let plan =
            plan(Some("* * * * *"), Missed::All, "2021-01-01T00:00:00Z", "2026-11-22T10:00:30Z");

        assert_eq!(plan.fires.len(), 101, "a hundred, and the one that is not missed");
        assert_eq!(plan.fires[0].at, at("2026-11-22T08:20:00Z"));
        assert_eq!(plan.fires[100].at, at("2026-11-22T10:00:00Z"));
        let (first, last) = plan.skipped.unwrap();
        assert_eq!((first, last.at), (at("2021-01-01T00:00:00Z"), plan.fires[99].at));
        assert_eq!(plan.next, Some(at("2026-11-22T10:01:00Z")));
    }

    #[test]
    fn a_one_shot_fires_late_unless_it_is_to_be_skipped() {
        let (slot, now) = ("2026-11-22T10:00:00Z", "2026-11-25T00:00:00Z");

        let (once, skip) =
            (plan(None, Missed::Once, slot, now), plan(None, Missed::Skip, slot, now));

        assert_eq!((times(&once), once.skipped, once.next), (vec![slot.to_owned()], None, None));
        assert_eq!((times(&skip), skip.next), (vec![], None));
        assert!(skip.skipped.is_some());
    }

    #[test]
    fn jitter_is_the_same_for_one_slot_and_spread_over_many() {
        let slots: Vec<Timestamp> =
            (0..1000).map(|n| at("2026-01-01T00:00:00Z") + SignedDuration::from_mins(n)).collect();
        let late = |slot: &Timestamp| serve_at(ID, *slot, 30).duration_since(*slot).as_millis();

        let first: Vec<i128> = slots.iter().map(late).collect();

        assert_eq!(first, slots.iter().map(late).collect::<Vec<_>>());
        assert!(first.iter().all(|ms| (0..=30_000).contains(ms)));
        let below = first.iter().filter(|ms| **ms < 15_000).count();
        assert!((400..600).contains(&below), "{below} of 1000 in the first half");
    }
}
