//! What is scheduled in a run, and which slots that names.
//!
//! The slots are found by looking at every minute, not by the code under test: minutes and hours of
//! a zone that never changes its clock.

use std::{collections::BTreeSet, fmt};

use rand::{Rng, rngs::StdRng};
use serde_json::{Value, json};

const MINUTE_MS: i64 = 60_000;

/// Zones without summer time, and how many minutes they are ahead of UTC.
const ZONES: [(&str, i64); 4] =
    [("UTC", 0), ("Asia/Kolkata", 330), ("Asia/Kathmandu", 345), ("America/Phoenix", -420)];

/// When an entry is due.
#[derive(Debug, Clone)]
pub enum When {
    /// In these minutes of these hours, in simulated time.
    Cron {
        /// As it is written.
        text: String,
        /// Its zone: its name, and the minutes that it is ahead of UTC.
        zone: (&'static str, i64),
        minutes: BTreeSet<i64>,
        hours: BTreeSet<i64>,
    },
    /// Once, in real time, so many milliseconds after it is made.
    Once(i64),
}

impl When {
    /// A cron entry; most are due every few minutes.
    pub fn cron(rng: &mut StdRng) -> Self {
        let (minute, minutes): (String, BTreeSet<i64>) = match rng.random_range(0..6) {
            0 => ("*".into(), (0..60).collect()),
            1 => {
                let step: usize = rng.random_range(2..=20);
                (format!("*/{step}"), (0..60).step_by(step).collect())
            }
            2 => {
                let (from, step) = (rng.random_range(0..20), rng.random_range(1..=15_usize));
                let to = rng.random_range(from..60);
                (format!("{from}-{to}/{step}"), (from..=to).step_by(step).collect())
            }
            3 => {
                let at: BTreeSet<i64> = (0..8).map(|_| rng.random_range(0..60)).collect();
                let words: Vec<String> = at.iter().map(i64::to_string).collect();
                (words.join(","), at)
            }
            4 => {
                let at = rng.random_range(0..60);
                (at.to_string(), [at].into())
            }
            _ => {
                let (from, at) = (rng.random_range(0..50), rng.random_range(0..60));
                let all = (from..from + 10).chain([at]).collect();
                (format!("{from}-{},{at}", from + 9), all)
            }
        };
        let (hour, hours) = match rng.random_range(0..8) {
            0 => ("*/2", (0..24).step_by(2).collect()),
            1 => ("0-11,13-23", (0..24).filter(|hour| *hour != 12).collect()),
            _ => ("*", (0..24).collect()),
        };
        let zone = ZONES[rng.random_range(0..ZONES.len())];
        Self::Cron { text: format!("{minute} {hour} * * *"), zone, minutes, hours }
    }

    /// The slots from the one at `first_ms` to `last_ms`; a one-shot has the first alone.
    pub fn slots(&self, first_ms: i64, last_ms: i64) -> Vec<i64> {
        let Self::Cron { zone, minutes, hours, .. } = self else { return vec![first_ms] };
        let names = |ms: &i64| {
            let shown = ms.div_euclid(MINUTE_MS) + zone.1;
            minutes.contains(&shown.rem_euclid(60))
                && hours.contains(&shown.div_euclid(60).rem_euclid(24))
        };
        let first = first_ms.div_euclid(MINUTE_MS) * MINUTE_MS;
        let step = usize::try_from(MINUTE_MS).expect("a small constant");
        (first..=last_ms).step_by(step).filter(names).collect()
    }

    /// Whether it names this moment.
    pub fn is_slot(&self, ms: i64) -> bool {
        self.slots(ms, ms) == [ms]
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron { text, zone, .. } => write!(f, "`{text}` in {}", zone.0),
            Self::Once(later_ms) => write!(f, "once after {later_ms} ms"),
        }
    }
}

/// What was scheduled, once it was acknowledged.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its number in the run, which its text carries.
    pub number: usize,
    /// Its id.
    pub id: [u8; 16],
    /// When it is due.
    pub when: When,
    /// Its first slot, by its `scheduled_ack`.
    pub first_ms: i64,
    /// What it is, for people.
    pub words: String,
    /// The peers that must get it.
    pub to: Vec<usize>,
    /// Its mesh, by index.
    pub mesh: usize,
}

/// What asks for an entry.
pub fn request(number: usize, when: &When, target: &str, now_ms: i64) -> Value {
    let mut frame = json!({
        "type": "schedule", "to": target, "message": text(number), "deliverAt": 0,
    });
    match when {
        When::Cron { text, zone, .. } => {
            frame["cron"] = json!(text);
            frame["tz"] = json!(zone.0);
            frame["clock"] = json!("sim");
        }
        When::Once(later_ms) => frame["deliverAt"] = json!(now_ms + later_ms),
    }
    frame
}

/// What an entry says.
fn text(number: usize) -> String {
    format!("entry {number}")
}

/// The entry that says this.
pub fn number_of(text: &str) -> Option<usize> {
    text.strip_prefix("entry ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slots_of_an_entry_are_the_minutes_that_it_names_in_its_zone() {
        let entry = |zone| When::Cron {
            text: String::new(),
            zone,
            minutes: [0, 45].into(),
            hours: [1].into(),
        };
        let at = |minute: i64| minute * MINUTE_MS;

        assert_eq!(entry(("UTC", 0)).slots(0, at(200)), [at(60), at(105)]);
        assert_eq!(entry(("x", 45)).slots(0, at(200)), [at(15), at(60)]);
        assert_eq!(entry(("x", -60)).slots(at(120), at(120)), [at(120)]);
        assert!(entry(("UTC", 0)).is_slot(at(105)) && !entry(("UTC", 0)).is_slot(at(105) + 1));
        assert_eq!(When::Once(7).slots(99, 0), [99]);
    }
}
