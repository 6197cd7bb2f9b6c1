//! The verdict on a run of duties, from what its peers heard and nothing else.
//!
//! Every peer hears every tick of its mesh from the first that it heard to the last, once and in
//! order, each a minute after the one before. Every slot of every schedule is heard once by everyone
//! whom it is for, under the id of that slot, and nothing else is heard. How late things came is
//! counted, not judged.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use skein_crypto::message_id;

use super::entries::{Entry, When, number_of};
use crate::peer::{Heard, What};

/// Findings that are told one by one.
const FINDINGS_MAX: usize = 20;
/// What passes from one tick to the next.
const STEP_MS: i64 = 60_000;

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Ticks heard, by all peers together.
    pub ticks: u64,
    /// Slots that had to be heard, each counted for everyone whom it is for.
    pub slots: u64,
    /// Slots that were heard.
    pub heard: u64,
    /// Slots that were not.
    pub lost: u64,
    /// Messages that came again.
    pub doubled: u64,
    /// Ticks that were left out.
    pub gaps: u64,
    /// Ticks that came again or out of order.
    pub repeats: u64,
    /// What should never be heard.
    pub wrong: u64,
}

/// How late things came, in milliseconds: the middle one, the last of a hundred, the latest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lateness {
    /// Half were no later.
    pub p50: i64,
    /// Ninety-nine of a hundred were no later.
    pub p99: i64,
    /// None was later.
    pub max: i64,
}

impl Lateness {
    fn of(mut late_ms: Vec<i64>) -> Self {
        late_ms.sort_unstable();
        let at = |percent| late_ms.get((late_ms.len().saturating_sub(1)) * percent / 100);
        let at = |percent| at(percent).copied().unwrap_or_default();
        Self { p50: at(50), p99: at(99), max: at(100) }
    }
}

impl fmt::Display for Lateness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {} p99 {} max {} ms", self.p50, self.p99, self.max)
    }
}

/// A verdict.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// What was counted.
    pub counts: Counts,
    /// One-shots, from the moment that they named.
    pub once_late: Lateness,
    /// Ticks, beyond the time that passes between two.
    pub tick_late: Lateness,
    /// What is wrong, the first of it.
    pub findings: Vec<String>,
}

impl Verdict {
    fn find(&mut self, what: impl FnOnce() -> String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(what());
        }
    }
}

/// What was to happen.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// What was scheduled.
    pub entries: Vec<Entry>,
    /// The mesh of each peer.
    pub meshes: Vec<usize>,
    /// Of each mesh, the last tick and what its clock showed then, once it stands still.
    pub ends: Vec<Option<(i64, i64)>>,
    /// From one tick to the next.
    pub interval: Duration,
}

impl Expected {
    /// The ids of all messages that a peer must hear, with the entry of each.
    fn messages(&self) -> HashMap<(usize, String), usize> {
        let mut messages = HashMap::new();
        for (index, entry) in self.entries.iter().enumerate() {
            let last_ms = self.ends[entry.mesh].map_or(i64::MIN, |end| end.1);
            for slot in entry.when.slots(entry.first_ms, last_ms) {
                let id = hex(message_id::of_slot(&entry.id, slot));
                messages.extend(entry.to.iter().map(|to| ((*to, id.clone()), index)));
            }
        }
        messages
    }
}

/// Whether everything that must be heard was.
pub fn is_complete(expected: &Expected, heard: &[Heard]) -> bool {
    let mut missing = expected.messages();
    let mut last = vec![i64::MIN; expected.meshes.len()];
    for one in heard {
        match &one.what {
            What::Message { id, .. } => drop(missing.remove(&(one.by, id.clone()))),
            What::Tick { number, .. } => last[one.by] = last[one.by].max(*number),
            What::Gone => (),
        }
    }
    let ends = expected.meshes.iter().map(|mesh| expected.ends[*mesh]);
    missing.is_empty() && last.iter().zip(ends).all(|(last, end)| end.is_none_or(|e| *last >= e.0))
}

/// Judges a run.
pub fn judge(expected: &Expected, heard: &[Heard]) -> Verdict {
    let mut verdict = Verdict::default();
    judge_messages(&mut verdict, expected, heard);
    judge_ticks(&mut verdict, expected, heard);
    for gone in heard.iter().filter(|one| one.what == What::Gone) {
        verdict.counts.wrong += 1;
        verdict.find(|| format!("peer {} lost its socket to an edge that lives", gone.by));
    }
    verdict
}

fn judge_messages(verdict: &mut Verdict, expected: &Expected, heard: &[Heard]) {
    let messages = expected.messages();
    let by_number: HashMap<usize, &Entry> =
        expected.entries.iter().map(|entry| (entry.number, entry)).collect();
    let mut seen: HashSet<(usize, &str)> = HashSet::new();
    let mut once_late = Vec::new();
    for one in heard {
        let What::Message { id, text } = &one.what else { continue };
        let entry = number_of(text).and_then(|number| by_number.get(&number));
        let wanted = messages.get(&(one.by, id.clone())).map(|index| &expected.entries[*index]);
        if wanted.is_none() || wanted.map(|w| w.number) != entry.map(|e| e.number) {
            verdict.counts.wrong += 1;
            verdict.find(|| format!("peer {} heard {text:?} of no slot of its own ({id})", one.by));
            continue;
        }
        if !seen.insert((one.by, id)) {
            verdict.counts.doubled += 1;
            verdict.find(|| format!("peer {} heard {text:?} ({id}) again", one.by));
            continue;
        }
        if let Some(entry) = entry
            && matches!(entry.when, When::Once(_))
        {
            once_late.push(one.at_ms - entry.first_ms);
        }
    }
    verdict.counts.slots = messages.len() as u64;
    verdict.counts.heard = seen.len() as u64;
    for ((by, id), index) in &messages {
        if !seen.contains(&(*by, id.as_str())) {
            verdict.counts.lost += 1;
            let entry = &expected.entries[*index];
            let last_ms = expected.ends[entry.mesh].map_or(i64::MIN, |end| end.1);
            let slots = entry.when.slots(entry.first_ms, last_ms);
            let is_it = |slot: &&i64| hex(message_id::of_slot(&entry.id, **slot)) == *id;
            let slot = slots.iter().find(is_it).copied().unwrap_or_default();
            verdict.find(|| {
                let (number, words) = (entry.number, &entry.words);
                format!("peer {by} never heard slot {slot} of entry {number}, {words}")
            });
        }
    }
    verdict.once_late = Lateness::of(once_late);
}

fn judge_ticks(verdict: &mut Verdict, expected: &Expected, heard: &[Heard]) {
    let mut last: BTreeMap<usize, (i64, i64, Instant)> = BTreeMap::new();
    let mut late_ms = Vec::new();
    for one in heard {
        let What::Tick { number, sim_ms } = one.what else { continue };
        verdict.counts.ticks += 1;
        if let Some((before, before_ms, at)) = last.insert(one.by, (number, sim_ms, one.at)) {
            if number <= before {
                verdict.counts.repeats += 1;
                verdict.find(|| format!("peer {} heard tick {number} after {before}", one.by));
            } else if number > before + 1 {
                verdict.counts.gaps += number.abs_diff(before) - 1;
                verdict.find(|| format!("peer {} heard tick {number} after {before}", one.by));
            }
            if sim_ms - before_ms != STEP_MS * (number - before) {
                verdict.counts.wrong += 1;
                verdict.find(|| format!("tick {number} shows {sim_ms}, {before} {before_ms}"));
            }
            let late = one.at.duration_since(at).saturating_sub(expected.interval);
            late_ms.push(i64::try_from(late.as_millis()).unwrap_or(i64::MAX));
        }
    }
    for (by, mesh) in expected.meshes.iter().enumerate() {
        let Some(end) = expected.ends[*mesh] else { continue };
        let heard = last.get(&by).map_or((0, 0), |last| (last.0, last.1));
        if heard.0 < end.0 {
            verdict.counts.gaps += end.0.abs_diff(heard.0);
            verdict.find(|| format!("peer {by} heard ticks up to {} of {}", heard.0, end.0));
        } else if heard != end {
            verdict.counts.wrong += 1;
            verdict.find(|| format!("peer {by} heard {heard:?} of a clock that ended at {end:?}"));
        }
    }
    verdict.tick_late = Lateness::of(late_ms);
}

fn hex(id: [u8; 16]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 16] = [7; 16];

    /// One peer in one mesh, whose clock ends at tick 3, with an entry for every minute of its own
    /// that begins with tick 2.
    fn expected() -> Expected {
        let (minutes, hours) = ((0..60).collect(), (0..24).collect());
        let when = When::Cron { text: String::new(), zone: ("UTC", 0), minutes, hours };
        let (number, first_ms) = (5, 2 * STEP_MS);
        Expected {
            entries: vec![Entry {
                number,
                id: ID,
                when,
                first_ms,
                words: String::new(),
                to: vec![0],
                mesh: 0,
            }],
            meshes: vec![0],
            ends: vec![Some((3, 3 * STEP_MS))],
            interval: Duration::ZERO,
        }
    }

    fn hear(what: What) -> Heard {
        Heard { by: 0, at: Instant::now(), at_ms: 0, what }
    }

    fn tick(number: i64) -> Heard {
        hear(What::Tick { number, sim_ms: number * STEP_MS })
    }

    fn fire(tick: i64) -> Heard {
        let id = hex(message_id::of_slot(&ID, tick * STEP_MS));
        hear(What::Message { id, text: "entry 5".into() })
    }

    fn judged(heard: &[Heard]) -> Counts {
        let verdict = judge(&expected(), heard);
        let Counts { lost, doubled, gaps, repeats, wrong, .. } = verdict.counts;
        assert_eq!(verdict.findings.is_empty(), lost + doubled + gaps + repeats + wrong == 0);
        verdict.counts
    }

    #[test]
    fn every_tick_and_every_slot_once_is_good_and_complete() {
        let heard = [tick(1), tick(2), fire(2), fire(3), tick(3)];

        let counts = judged(&heard);

        assert_eq!((counts.ticks, counts.slots, counts.heard), (3, 2, 2));
        assert_eq!(judge(&expected(), &heard).findings, [""; 0]);
        assert!(is_complete(&expected(), &heard));
        assert!(!is_complete(&expected(), &heard[..4]) && !is_complete(&expected(), &heard[3..]));
    }

    #[test]
    fn a_slot_that_is_lost_doubled_or_early_is_found() {
        let ticks = [tick(1), tick(2), tick(3)];
        let with = |fires: &[Heard]| judged(&[&ticks[..], fires].concat());

        assert_eq!(with(&[fire(2)]).lost, 1);
        assert_eq!(with(&[fire(2), fire(3), fire(2)]).doubled, 1);
        assert_eq!(with(&[fire(2), fire(3), fire(4)]).wrong, 1);
        assert_eq!(with(&[fire(2), fire(3), fire(1)]).wrong, 1);
    }

    #[test]
    fn a_tick_that_is_left_out_comes_again_or_is_missing_at_the_end_is_found() {
        let with = |ticks: &[i64]| {
            let ticks: Vec<Heard> = ticks.iter().map(|number| tick(*number)).collect();
            let counts = judged(&[&[fire(2), fire(3)], &ticks[..]].concat());
            (counts.gaps, counts.repeats, counts.wrong)
        };

        assert_eq!(with(&[1, 3]), (1, 0, 0));
        assert_eq!(with(&[1, 2, 2, 3]), (0, 1, 0));
        assert_eq!(with(&[1, 2]), (1, 0, 0));
        assert_eq!(with(&[1, 2, 3, 4]), (0, 0, 1));
        assert_eq!(with(&[]), (3, 0, 0));
    }

    #[test]
    fn a_clock_that_jumps_and_a_socket_that_is_lost_are_found() {
        let mut heard = vec![fire(2), fire(3), tick(1), tick(2), tick(3)];
        heard[3].what = What::Tick { number: 2, sim_ms: 2 * STEP_MS + 1 };

        assert_eq!(judged(&heard).wrong, 2, "before it and after it");
        assert_eq!(judged(&[&heard[..3], &[tick(2), tick(3), hear(What::Gone)]].concat()).wrong, 1);
    }
}
