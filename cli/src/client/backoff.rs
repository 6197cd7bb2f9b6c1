//! Which edge to try next, and how long to wait first.
//!
//! The first try after a loss goes to another edge almost at once; when every edge has failed, the
//! wait doubles from one second to thirty, with jitter, so that the peers of a lost edge do not
//! come back as one.

use std::time::Duration;

use rand::Rng;
use rand::seq::SliceRandom;

const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Before the first try after a loss: enough to spread the peers of a lost edge.
const SPREAD: Duration = Duration::from_millis(250);

/// The edges that are known, and where we are in trying them.
#[derive(Debug)]
pub struct Edges {
    /// In the order of trying; the first is the present or last one.
    known: Vec<String>,
    at: usize,
    rounds: u32,
}

impl Edges {
    /// These edges, tried in this order. There must be one.
    pub fn new(known: Vec<String>) -> Self {
        Self { known, at: 0, rounds: 0 }
    }

    /// The edge to try now.
    pub fn current(&self) -> &str {
        self.known.get(self.at).map_or("", String::as_str)
    }

    /// All that are known.
    pub fn known(&self) -> &[String] {
        &self.known
    }

    /// The current edge failed. Says how long to wait before trying what is current then.
    pub fn failed(&mut self) -> Duration {
        self.at += 1;
        if self.at < self.known.len() {
            return jitter(SPREAD);
        }
        self.at = 0;
        self.rounds += 1;
        let doubled = WAIT_FIRST.saturating_mul(1 << (self.rounds - 1).min(5));
        let wait = doubled.min(WAIT_MAX);
        wait / 2 + jitter(wait / 2)
    }

    /// The connection to the current edge was lost, after it had worked: the others come first.
    pub fn lost(&mut self) -> Duration {
        let lost = self.known.remove(self.at);
        self.known.shuffle(&mut rand::rng());
        self.known.push(lost);
        self.at = 0;
        self.rounds = 0;
        jitter(SPREAD)
    }

    /// Goes to `edge` next, at once.
    pub fn choose(&mut self, edge: &str) {
        self.known.retain(|known| known != edge);
        self.known.insert(0, edge.to_owned());
        self.at = 0;
        self.rounds = 0;
    }

    /// The current edge named others. Those that it did not name are kept, as the last resort.
    pub fn learn(&mut self, named: &[String]) {
        let current = self.current().to_owned();
        let old = std::mem::take(&mut self.known);
        for edge in std::iter::once(&current).chain(named).chain(&old) {
            if !self.known.contains(edge) && self.known.len() < EDGES_MAX {
                self.known.push(edge.clone());
            }
        }
        self.at = 0;
    }
}

/// Edges that are remembered; a mesh has a handful.
pub const EDGES_MAX: usize = 32;

fn jitter(most: Duration) -> Duration {
    most.mul_f64(rand::rng().random_range(0.0..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges() -> Edges {
        Edges::new(["a", "b", "c"].map(String::from).to_vec())
    }

    #[test]
    fn every_edge_is_tried_before_anyone_waits_and_waits_grow_to_thirty_seconds() {
        let mut edges = edges();
        for round in 0..10u32 {
            for expected in ["b", "c"] {
                assert!(edges.failed() <= SPREAD);
                assert_eq!(edges.current(), expected);
            }
            let wait = edges.failed();
            let most = Duration::from_secs(1 << round.min(5)).min(WAIT_MAX);
            assert!(most / 2 <= wait && wait <= most, "round {round} waits {wait:?}");
            assert_eq!(edges.current(), "a");
        }
    }

    #[test]
    fn after_a_loss_the_lost_edge_comes_last() {
        let mut edges = edges();

        assert!(edges.lost() <= SPREAD);

        assert_ne!(edges.current(), "a");
        assert_eq!(edges.known().last().unwrap(), "a");
    }

    #[test]
    fn edges_that_are_named_come_before_those_that_are_not() {
        let mut edges = edges();
        edges.learn(&["d".into(), "a".into()]);

        assert_eq!(edges.known(), ["a", "d", "b", "c"]);
        edges.choose("c");
        assert_eq!(edges.current(), "c");
    }

    #[test]
    fn a_single_edge_is_tried_again_after_a_loss() {
        let mut edges = Edges::new(vec!["a".into()]);

        assert!(edges.lost() <= SPREAD);

        assert_eq!(edges.current(), "a");
    }
}
