//! Tallies: how much a worker does of each kind, and how late. What was done is written into its
//! report (`skein_sql::duties::report`) every few seconds, by the duty itself.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use skein_sql::duties;

/// Latenesses that are remembered between two reports; past it those that come are counted only.
const REMEMBERED_MAX: usize = 100_000;

/// What was done of one kind since the last report.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Done>);

#[derive(Debug, Default)]
struct Done {
    n: i64,
    late_ms: Vec<i64>,
    late_ms_max: i64,
}

impl Tally {
    /// One thing was done, so much later than it was due.
    pub fn done(&self, late: Duration) {
        let late_ms = i64::try_from(late.as_millis()).unwrap_or(i64::MAX);
        let mut done = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        done.n += 1;
        done.late_ms_max = done.late_ms_max.max(late_ms);
        if done.late_ms.len() < REMEMBERED_MAX {
            done.late_ms.push(late_ms);
        }
    }

    /// Whether nothing was done since the last report.
    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).n == 0
    }

    /// What was done since this was last asked.
    pub fn take(&self) -> duties::Tally {
        let mut done = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut done = std::mem::take(&mut *done);
        done.late_ms.sort_unstable();
        let p99 = done.late_ms.len().saturating_sub(1) * 99 / 100;
        duties::Tally {
            n_done: done.n,
            late_ms_max: done.late_ms_max,
            late_ms_p99: done.late_ms.get(p99).copied().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_starts_anew_when_it_was_taken() {
        let tally = Tally::default();
        (1..=200).for_each(|ms| tally.done(Duration::from_millis(ms)));

        let (first, second) = (tally.take(), tally.take());

        assert_eq!((first.n_done, first.late_ms_max), (200, 200));
        assert!((197..=199).contains(&first.late_ms_p99), "{first:?}");
        assert_eq!(second, duties::Tally::default());
    }
}
