//! Who may ask which host when: a few at once, a few a second, and some connections kept.
//!
//! A request takes its turn at its host before it is made, and at each host that it is redirected
//! to. Turns are given in order, spaced by the rate after a first burst. A host that is asked so
//! often that the wait would be too long is [`FetchError::Busy`] at once, so what waits is bounded.
//! A host is remembered while somebody uses it, its rate is not yet forgiven, or a connection to it
//! may be kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use skein_wire::limit::{
    FETCH_HOSTS_KEPT_MAX, FETCH_KEEP, FETCH_PATIENCE, FETCH_TOTAL, FETCHES_AT_ONCE_MAX,
    FETCHES_AT_ONCE_PER_HOST_MAX, FETCHES_PER_SECOND_PER_HOST,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::error::FetchError;

/// Between two requests to one host, once its burst is spent.
const SPACING: Duration = Duration::from_millis(1000 / FETCHES_PER_SECOND_PER_HOST as u64);
/// What a host that was left alone may be asked for at once: a second's worth.
const BURST: Duration = Duration::from_secs(1);
/// Hosts that are remembered before those that need not be are looked for.
const REMEMBERED: usize = 8 * FETCH_HOSTS_KEPT_MAX;

/// All hosts.
pub(crate) struct Hosts {
    at_once: Arc<Semaphore>,
    known: Mutex<Known>,
}

struct Known {
    hosts: HashMap<Box<str>, Host>,
    /// Hosts with a connection that may be kept; those whose time is over count until a sweep.
    n_kept: usize,
    /// How many hosts bring about the next sweep.
    sweep_at: usize,
    swept: Instant,
}

struct Host {
    at_once: Arc<Semaphore>,
    /// When it would be asked next, had every turn been spaced.
    next: Instant,
    /// Until when a connection to it may be kept.
    kept: Option<Instant>,
}

/// The turn of one request. Another may have it when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Whether its connection is kept for the next.
    pub(crate) keeps: bool,
    _host: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Hosts {
    pub(crate) fn new() -> Self {
        let (hosts, now) = (HashMap::new(), Instant::now());
        Self {
            at_once: Arc::new(Semaphore::new(FETCHES_AT_ONCE_MAX)),
            known: Mutex::new(Known { hosts, n_kept: 0, sweep_at: REMEMBERED, swept: now }),
        }
    }

    /// Waits for a turn at `host`.
    pub(crate) async fn turn(&self, host: &str) -> Result<Turn, FetchError> {
        let now = Instant::now();
        let deadline = now + FETCH_PATIENCE;
        let (at, at_once, keeps) = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.reserve(host, now).ok_or(FetchError::Busy)?
        };
        let turn = async {
            sleep_until(at).await;
            let _host = at_once.acquire_owned().await.expect("never closed");
            let _all = self.at_once.clone().acquire_owned().await.expect("never closed");
            Turn { keeps, _host, _all }
        };
        timeout_at(deadline, turn).await.map_err(|_| FetchError::Busy)
    }
}

impl Known {
    /// When the next request to `host` may be made, what it takes, and whether its connection is
    /// kept; none: too many are before it.
    fn reserve(&mut self, host: &str, now: Instant) -> Option<(Instant, Arc<Semaphore>, bool)> {
        self.sweep(now);
        let has_room = self.n_kept < FETCH_HOSTS_KEPT_MAX;
        if !self.hosts.contains_key(host) {
            self.hosts.insert(host.into(), Host::new(now));
        }
        let known = self.hosts.get_mut(host).expect("was just put there");
        let next = known.next.max(now) + SPACING;
        let at = next.checked_sub(BURST).unwrap_or(now).max(now);
        if at > now + FETCH_PATIENCE {
            return None;
        }
        known.next = next;
        let keeps = known.kept.is_some() || has_room;
        if keeps {
            self.n_kept += usize::from(known.kept.is_none());
            known.kept = Some(at + FETCH_PATIENCE + FETCH_TOTAL + FETCH_KEEP);
        }
        Some((at, known.at_once.clone(), keeps))
    }

    /// Forgets the hosts that need not be remembered: now and then, and when they have become many.
    fn sweep(&mut self, now: Instant) {
        let is_due = self.hosts.len() >= self.sweep_at || self.n_kept >= FETCH_HOSTS_KEPT_MAX;
        if !is_due || now < self.swept + SPACING {
            return;
        }
        for host in self.hosts.values_mut() {
            host.kept = host.kept.filter(|until| *until > now);
        }
        self.hosts.retain(|_, host| host.is_needed(now));
        self.n_kept = self.hosts.values().filter(|host| host.kept.is_some()).count();
        self.sweep_at = REMEMBERED.max(2 * self.hosts.len());
        self.swept = now;
    }
}

impl Host {
    fn new(now: Instant) -> Self {
        Self {
            at_once: Arc::new(Semaphore::new(FETCHES_AT_ONCE_PER_HOST_MAX)),
            next: now,
            kept: None,
        }
    }

    fn is_needed(&self, now: Instant) -> bool {
        self.kept.is_some() || self.next > now || Arc::strong_count(&self.at_once) > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(now: Instant) -> Known {
        Known { hosts: HashMap::new(), n_kept: 0, sweep_at: REMEMBERED, swept: now }
    }

    /// How long each of `n` requests that come at once waits.
    fn waits(known: &mut Known, host: &str, n: usize, now: Instant) -> Vec<Duration> {
        (0..n).filter_map(|_| known.reserve(host, now)).map(|(at, ..)| at - now).collect()
    }

    #[test]
    fn a_host_is_asked_a_seconds_worth_at_once_and_then_at_its_rate() {
        let now = Instant::now();
        let mut known = known(now);

        let first = waits(&mut known, "a", 500, now);
        let other = waits(&mut known, "b", 1, now);
        let later = waits(&mut known, "a", 3, now + Duration::from_secs(60));

        assert_eq!(first[..10], [Duration::ZERO; 10]);
        assert_eq!(first[10..13], [1, 2, 3].map(|n| n * SPACING));
        assert_eq!(first.last(), Some(&FETCH_PATIENCE));
        assert_eq!(first.len(), 110, "the others are busy");
        assert_eq!((other, later), (vec![Duration::ZERO], vec![Duration::ZERO; 3]));
    }

    #[test]
    fn a_host_that_was_busy_owes_nothing_for_what_was_not_made() {
        let now = Instant::now();
        let mut known = known(now);
        waits(&mut known, "a", 10_000, now);

        let later = waits(&mut known, "a", 1, now + FETCH_PATIENCE + BURST);

        assert_eq!(later, [Duration::ZERO]);
    }

    #[test]
    fn hosts_are_forgotten_and_connections_kept_to_few() {
        let begin = Instant::now();
        let mut known = known(begin);
        let (mut n_keeping, mut n_hosts_max) = (0, 0);

        for n in 0..100_000_u32 {
            let now = begin + n * Duration::from_millis(1);
            let (_, _, keeps) = known.reserve(&n.to_string(), now).unwrap();
            n_keeping += usize::from(keeps);
            n_hosts_max = n_hosts_max.max(known.hosts.len());
            assert!(known.n_kept <= FETCH_HOSTS_KEPT_MAX);
        }

        // In 100 s, each keeps its place for as long as its connection may last.
        assert_eq!(n_keeping, 2 * FETCH_HOSTS_KEPT_MAX);
        assert!(n_hosts_max <= REMEMBERED, "{n_hosts_max}");
    }

    #[test]
    fn a_host_in_use_is_not_forgotten() {
        let begin = Instant::now();
        let mut known = known(begin);
        known.n_kept = FETCH_HOSTS_KEPT_MAX;
        let (_, at_once, _) = known.reserve("a", begin).unwrap();
        let _turns = at_once.clone().try_acquire_many_owned(4).unwrap();
        drop(at_once);
        known.sweep_at = 0;

        let (_, again, _) = known.reserve("a", begin + Duration::from_secs(3600)).unwrap();

        assert_eq!(again.available_permits(), 0);
    }
}
