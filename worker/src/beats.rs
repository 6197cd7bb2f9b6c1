//! Beats: which nodes stood still for as long as this worker can vouch for.
//!
//! Only this worker's own monotonic clock counts, and only while it can be trusted to have looked:
//! a read that failed or came late starts every count again. So neither a database that was away,
//! nor a clock that was set, nor a worker that was paused makes a node look dead.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

/// What this worker has seen of the beats.
#[derive(Debug)]
pub struct Beats {
    still_max: Duration,
    read_max: Duration,
    last_read: Option<Instant>,
    /// By node: its beat, and since when it is known to be that.
    seen: HashMap<i32, (i64, Instant)>,
}

impl Beats {
    /// Nodes are dead after `still_max`, during which a read succeeded at least every `read_max`.
    pub fn new(still_max: Duration, read_max: Duration) -> Self {
        Self { still_max, read_max, last_read: None, seen: HashMap::new() }
    }

    /// A read failed.
    pub fn restart(&mut self) {
        self.seen.clear();
        self.last_read = None;
    }

    /// A read succeeded: it was `asked` and `answered` then, and found these beats by node. Returns
    /// the nodes that are dead, under the beat that was seen.
    pub fn read(
        &mut self,
        asked: Instant,
        answered: Instant,
        beats: &[(i32, i64)],
    ) -> Vec<(i32, i64)> {
        if self.last_read.is_some_and(|last| answered - last > self.read_max) {
            self.restart();
        }
        self.last_read = Some(answered);
        self.seen.retain(|node, _| beats.iter().any(|b| b.0 == *node));
        beats.iter().copied().filter(|beat| self.stands_still(asked, answered, *beat)).collect()
    }

    /// The first read counts from its answer and the last to its question: between the two the beat
    /// certainly stood still.
    fn stands_still(&mut self, asked: Instant, answered: Instant, beat: (i32, i64)) -> bool {
        let (node, beat) = beat;
        match self.seen.get(&node) {
            Some((seen, since)) if *seen == beat => {
                asked.saturating_duration_since(*since) >= self.still_max
            }
            _ => {
                self.seen.insert(node, (beat, answered));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STILL: Duration = Duration::from_secs(15);
    const READ: Duration = Duration::from_secs(3);

    /// Reads once at each of these seconds, always the same beat of node 7; when it was dead first.
    fn dead_at(seconds: impl IntoIterator<Item = u64>) -> Option<u64> {
        let (start, mut beats) = (Instant::now(), Beats::new(STILL, READ));
        seconds.into_iter().find(|second| {
            let now = start + Duration::from_secs(*second);
            beats.read(now, now, &[(7, 1)]) == [(7, 1)]
        })
    }

    #[test]
    fn a_beat_that_stands_still_for_fifteen_seconds_is_death() {
        assert_eq!(dead_at(0..60), Some(15));
        assert_eq!(dead_at((0..60).step_by(3)), Some(15));
    }

    #[test]
    fn a_late_read_starts_the_count_again() {
        // Paused from second 10 to second 50.
        assert_eq!(dead_at((0..10).chain(50..90)), Some(65));
        // Never read often enough to know.
        assert_eq!(dead_at((0..600).step_by(4)), None);
    }

    #[test]
    fn a_failed_read_starts_the_count_again() {
        let (start, mut beats) = (Instant::now(), Beats::new(STILL, READ));
        let mut read = |second| {
            let now = start + Duration::from_secs(second);
            if second == 12 {
                beats.restart();
                return false;
            }
            !beats.read(now, now, &[(7, 1)]).is_empty()
        };

        assert_eq!((0..60).find(|second| read(*second)), Some(13 + 15));
    }

    #[test]
    fn a_node_that_beats_lives() {
        let (start, mut beats) = (Instant::now(), Beats::new(STILL, READ));
        let mut read = |second: u64| {
            let now = start + Duration::from_secs(second);
            let beat = i64::try_from(second / 5).unwrap();
            beats.read(now, now, &[(7, beat), (8, 1)])
        };

        let dead: Vec<_> = (0..=15).flat_map(&mut read).collect();

        assert_eq!(dead, [(8, 1)]);
    }

    #[test]
    fn the_time_that_a_read_takes_is_not_counted() {
        let (start, mut beats) = (Instant::now(), Beats::new(STILL, READ));
        let at = |s: f64| start + Duration::from_secs_f64(s);

        // Each answer takes two seconds: known from 2.0, so dead when asked at 17.0.
        let dead: Vec<f64> = (0..20)
            .map(f64::from)
            .filter(|s| !beats.read(at(*s), at(*s + 2.0), &[(7, 1)]).is_empty())
            .collect();

        assert_eq!(dead.first(), Some(&17.0));
    }
}
