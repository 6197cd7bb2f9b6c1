//! What one of many may hold at once, so that there is some for the others.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Shares that are remembered before those that nobody uses are looked for.
const REMEMBERED: usize = 1024;

/// Shares of the same size, one for each key. A share is remembered while somebody has part of it.
pub(crate) struct Shares<K> {
    size: usize,
    known: Mutex<Known<K>>,
}

struct Known<K> {
    shares: HashMap<K, Arc<Semaphore>>,
    /// How many shares bring about the next sweep.
    sweep_at: usize,
}

impl<K: Eq + Hash> Shares<K> {
    /// Shares of so many parts.
    pub(crate) fn new(size: usize) -> Self {
        let known = Known { shares: HashMap::new(), sweep_at: REMEMBERED };
        Self { size, known: Mutex::new(known) }
    }

    /// The share of this key.
    pub(crate) fn of(&self, key: K) -> Arc<Semaphore> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.shares.len() >= known.sweep_at {
            known.shares.retain(|_, share| Arc::strong_count(share) > 1);
            known.sweep_at = REMEMBERED.max(2 * known.shares.len());
        }
        let new = || Arc::new(Semaphore::new(self.size));
        known.shares.entry(key).or_insert_with(new).clone()
    }

    /// Waits for a part of the share of this key.
    pub(crate) async fn part(&self, key: K) -> OwnedSemaphorePermit {
        self.of(key).acquire_owned().await.expect("never closed")
    }

    /// The same, where there is a key.
    pub(crate) async fn part_if(&self, key: Option<K>) -> Option<OwnedSemaphorePermit> {
        match key {
            Some(key) => Some(self.part(key).await),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shares_in_use_are_remembered() {
        let shares = Shares::new(1);
        let taken = shares.of(0).try_acquire_owned().unwrap();

        for key in 1..100_000 {
            shares.of(key);
        }

        assert!(shares.known.lock().unwrap().shares.len() <= REMEMBERED);
        assert_eq!(shares.of(0).available_permits(), 0, "it is the same one");
        drop(taken);
        assert_eq!(shares.of(0).available_permits(), 1);
    }
}
