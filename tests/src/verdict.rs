//! The verdict on a run, from what its clients wrote down and nothing else.
//!
//! Peers of our client: every acknowledged message exactly once to the user and in order, multicasts
//! too, also those of a time when they were away (but for the oldest beyond a thousand, if they were
//! told how many). Peers like the old client: every acknowledged
//! direct message at least once, repeats under the same id, order kept once repeats are left out,
//! and the multicasts of a time over which they were attached.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    peer::Kind,
    record::{Class, End, Record, Sent, Shown, To},
};

/// An old peer has to see a multicast when it stays attached this long after its `ack`: as long as
/// a look may take to find what was announced to nobody, with room for a slow machine.
const MULTICAST_SLACK: Duration = Duration::from_secs(6);
/// Findings that are told one by one.
const FINDINGS_MAX: usize = 20;

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Messages given to clients.
    pub sent: u64,
    /// Acknowledged direct messages.
    pub acked: u64,
    /// Acknowledged multicasts.
    pub multicasts_acked: u64,
    /// Sends that were refused.
    pub refused: u64,
    /// Sends of which nobody knows: old clients do not repeat.
    pub unknown: u64,
    /// Direct messages shown, each counted once.
    pub received: u64,
    /// Multicasts shown, each counted once for every peer.
    pub multicasts_received: u64,
    /// Acknowledged messages that somebody should have been shown and was not.
    pub lost: u64,
    /// Multicasts that a peer missed while it was away, and was told that it will not be given.
    #[serde(default)]
    pub left_out: u64,
    /// Messages shown again, to users of our client.
    pub doubled: u64,
    /// Messages shown again, to users of old clients, who may see that.
    pub repeated: u64,
    /// Messages shown after a later one of the same order.
    pub reordered: u64,
    /// Messages shown under two ids, or to somebody they were not for.
    pub wrong: u64,
}

/// A verdict.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// What was counted.
    pub counts: Counts,
    /// What is wrong, the first of it.
    pub findings: Vec<String>,
}

impl Verdict {
    /// Whether everything that is promised was kept.
    pub fn is_good(&self) -> bool {
        let Counts { lost, doubled, reordered, wrong, .. } = self.counts;
        lost + doubled + reordered + wrong == 0
    }

    fn find(&mut self, what: impl FnOnce() -> String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(what());
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self;
        write!(
            f,
            "sent {}, acked {}+{}, refused {}, unknown {}, received {}+{}, lost {}, left out {}, \
             doubled {}, repeated {}, reordered {}, wrong {}",
            c.sent,
            c.acked,
            c.multicasts_acked,
            c.refused,
            c.unknown,
            c.received,
            c.multicasts_received,
            c.lost,
            c.left_out,
            c.doubled,
            c.repeated,
            c.reordered,
            c.wrong
        )
    }
}

/// Whether everything that has to arrive has arrived: what a run waits for before it is judged.
pub fn is_complete(record: &Record, kinds: &[Kind]) -> bool {
    missing(record, kinds).0.is_empty() && record.sent().iter().all(|sent| sent.end.is_some())
}

/// Judges a run of peers of these kinds.
pub fn judge(record: &Record, kinds: &[Kind]) -> Verdict {
    let mut verdict = Verdict::default();
    let sent = record.sent();
    for one in &sent {
        let counts = &mut verdict.counts;
        counts.sent += 1;
        match (&one.end, one.to) {
            (Some(End::Acked(..)), To::Peer(_)) => counts.acked += 1,
            (Some(End::Acked(..)), To::All) => counts.multicasts_acked += 1,
            (Some(End::Refused(code)), _) => {
                counts.refused += 1;
                let (from, number, code) = (one.from, one.number, code.clone());
                verdict.find(|| format!("peer {from}'s {number} was refused: {code}"));
            }
            (Some(End::Unknown) | None, _) => counts.unknown += 1,
        }
    }
    let (missing, left_out) = missing(record, kinds);
    verdict.counts.left_out = left_out;
    for (one, by) in missing {
        verdict.counts.lost += 1;
        verdict.find(|| {
            format!(
                "peer {by} ({:?}) never saw {} of peer {}: {one:?}",
                kinds[by], one.number, one.from
            )
        });
    }
    judge_shown(&mut verdict, &sent, &record.shown(), kinds);
    for odd in record.oddities() {
        verdict.counts.wrong += 1;
        verdict.find(|| odd);
    }
    verdict
}

/// Repeats, order, and who was shown what, in the order of showing.
fn judge_shown(verdict: &mut Verdict, sent: &[Sent], shown: &[Shown], kinds: &[Kind]) {
    let by_number: HashMap<(usize, u64), &Sent> =
        sent.iter().map(|one| ((one.from, one.number), one)).collect();
    let mut ids: HashMap<(usize, u64), &str> = HashMap::new();
    let mut seen: HashSet<(usize, usize, u64)> = HashSet::new();
    let mut newest: BTreeMap<(usize, usize, Class), u64> = BTreeMap::new();
    for one in shown {
        let name = (one.from, one.number);
        let Some(sent) = by_number.get(&name) else {
            verdict.counts.wrong += 1;
            verdict.find(|| format!("nobody sent {one:?}"));
            continue;
        };
        let is_for = sent.to == To::Peer(one.by) || (sent.to == To::All && sent.from != one.by);
        let id = *ids.entry(name).or_insert(&one.message_id);
        let is_acked_otherwise =
            matches!(&sent.end, Some(End::Acked(acked, _)) if *acked != one.message_id);
        if !is_for || id != one.message_id || is_acked_otherwise {
            verdict.counts.wrong += 1;
            verdict.find(|| format!("{one:?} is not as it was sent: {sent:?}"));
        }
        if !seen.insert((one.by, one.from, one.number)) {
            if kinds[one.by] == Kind::Old {
                verdict.counts.repeated += 1;
            } else {
                verdict.counts.doubled += 1;
                verdict.find(|| format!("shown again: {one:?}"));
            }
            continue;
        }
        match sent.to {
            To::Peer(_) => verdict.counts.received += 1,
            To::All => verdict.counts.multicasts_received += 1,
        }
        let newest = newest.entry((one.by, one.from, sent.class)).or_insert(0);
        if one.number < *newest {
            verdict.counts.reordered += 1;
            let newest = *newest;
            verdict.find(|| format!("after {newest}: {one:?} {:?}", sent.class));
        }
        *newest = one.number.max(*newest);
    }
}

/// The acknowledged messages that a peer should have been shown and was not, and how many more it
/// was told that it will not be given.
fn missing(record: &Record, kinds: &[Kind]) -> (Vec<(Sent, usize)>, u64) {
    let shown: HashSet<(usize, usize, u64)> =
        record.shown().iter().map(|one| (one.by, one.from, one.number)).collect();
    let attachments = record.attachments();
    // Over the whole time from the send to well after its acknowledgement.
    let was_attached = |by: usize, sent: &Sent| {
        let Some(End::Acked(_, acked)) = sent.end else { return false };
        attachments.iter().any(|a| {
            let stays = a.until.is_none_or(|until| until > acked + MULTICAST_SLACK);
            a.by == by && a.from < sent.at && stays
        })
    };
    let mut missing = Vec::new();
    for one in record.sent() {
        if !matches!(one.end, Some(End::Acked(..))) {
            continue;
        }
        let is_due = |by: usize| match one.to {
            To::Peer(to) => to == by,
            To::All => by != one.from && (kinds[by] == Kind::Ours || was_attached(by, &one)),
        };
        for by in (0..kinds.len()).filter(|by| is_due(*by)) {
            if !shown.contains(&(by, one.from, one.number)) {
                missing.push((one.clone(), by));
            }
        }
    }
    let mut left_out = 0;
    for by in 0..kinds.len() {
        let is_multicast = |(one, peer): &(Sent, usize)| *peer == by && one.to == To::All;
        let n = missing.iter().filter(|one| is_multicast(one)).count() as u64;
        if n <= record.left_out(by) {
            missing.retain(|one| !is_multicast(one));
            left_out += n;
        }
    }
    (missing, left_out)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const KINDS: [Kind; 3] = [Kind::Ours, Kind::Ours, Kind::Old];

    fn send(record: &Record, to: To, number: u64) {
        let class = if to == To::All { Class::Multicast } else { Class::Rest };
        let no = record.sends(0, number, to, class);
        record.ended(no, End::Acked(format!("id{number}"), Instant::now()));
    }

    fn show(record: &Record, by: usize, number: u64) {
        record.shows(by, Some(&super::super::record::text(0, number)), &format!("id{number}"));
    }

    #[test]
    fn what_was_acknowledged_and_not_shown_is_lost() {
        let record = Record::default();
        send(&record, To::Peer(1), 1);
        send(&record, To::Peer(2), 2);
        send(&record, To::All, 3);

        let counts = judge(&record, &KINDS).counts;

        assert_eq!((counts.lost, counts.acked, counts.multicasts_acked), (3, 2, 1));
    }

    #[test]
    fn what_a_peer_was_told_that_it_will_not_be_given_is_not_lost() {
        let record = Record::default();
        (1..=3).for_each(|number| send(&record, To::All, number));
        show(&record, 1, 3);

        record.leaves_out(1, 1);
        assert_eq!(judge(&record, &KINDS).counts.lost, 2, "it was told of one");
        record.leaves_out(1, 1);
        let counts = judge(&record, &KINDS).counts;
        assert_eq!((counts.lost, counts.left_out), (0, 2));
    }

    #[test]
    fn a_repeat_is_a_fault_for_ours_and_none_for_old_clients() {
        let record = Record::default();
        for (to, number) in [(1, 1), (2, 2)] {
            send(&record, To::Peer(to), number);
            show(&record, to, number);
            show(&record, to, number);
        }

        let verdict = judge(&record, &KINDS);

        assert_eq!((verdict.counts.doubled, verdict.counts.repeated), (1, 1));
        assert_eq!((verdict.counts.lost, verdict.counts.reordered), (0, 0));
        assert!(!verdict.is_good());
    }

    #[test]
    fn order_is_judged_without_repeats() {
        let record = Record::default();
        (1..=3).for_each(|number| send(&record, To::Peer(2), number));
        [1, 2, 1, 2, 3].into_iter().for_each(|number| show(&record, 2, number));
        assert!(judge(&record, &KINDS).is_good());

        (4..=5).for_each(|number| send(&record, To::Peer(2), number));
        [5, 4].into_iter().for_each(|number| show(&record, 2, number));

        assert_eq!(judge(&record, &KINDS).counts.reordered, 1);
    }

    #[test]
    fn a_message_under_two_ids_or_for_another_is_wrong() {
        let record = Record::default();
        send(&record, To::Peer(2), 1);
        show(&record, 2, 1);
        record.shows(2, Some(&super::super::record::text(0, 1)), "another");
        show(&record, 1, 1);
        record.shows(1, None, "x");

        assert_eq!(judge(&record, &KINDS).counts.wrong, 3);
    }

    #[test]
    fn an_old_peer_misses_only_the_multicasts_of_a_time_over_which_it_was_attached() {
        let record = Record::default();
        send(&record, To::All, 1);
        show(&record, 1, 1);
        assert!(is_complete(&record, &KINDS), "it was not attached");

        record.attached(2, "ws://edge");
        send(&record, To::All, 2);
        show(&record, 1, 2);

        assert_eq!(judge(&record, &KINDS).counts.lost, 1);
    }
}
