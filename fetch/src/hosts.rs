//! Who may ask which host when: a few at once, a few a second, and some connections kept.
//!
//! A host is an address: whoever holds a thousand names of one has one host. A request takes its
//! turn at the address that it will be made to, and so at each that it is redirected to. Turns are
//! given in order, spaced by the rate after a first burst; of all turns one member has a share. A
//! host that is asked so often that the wait would be too long is [`FetchError::Busy`] at once, so
//! what waits is bounded. A host is remembered while somebody uses it or its rate is not yet
//! forgiven.
//!
//! A connection is kept for an origin and one address: while it may be open, requests that go to
//! another address of that origin do not come near it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use skein_wire::limit::{
    FETCH_CONNECT, FETCH_HOSTS_KEPT_MAX, FETCH_KEEP, FETCH_PATIENCE, FETCH_TOTAL,
    FETCHES_AT_ONCE_MAX, FETCHES_AT_ONCE_PER_HOST_MAX, FETCHES_AT_ONCE_PER_MEMBER_MAX,
    FETCHES_PER_SECOND_PER_HOST,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::error::FetchError;
use crate::shares::Shares;

/// Between two requests to one host, once its burst is spent.
const SPACING: Duration = Duration::from_millis(1000 / FETCHES_PER_SECOND_PER_HOST as u64);
/// What a host that was left alone may be asked for at once: a second's worth.
const BURST: Duration = Duration::from_secs(1);
/// Hosts that are remembered before those that need not be are looked for.
const REMEMBERED: usize = 8 * FETCH_HOSTS_KEPT_MAX;
/// How long after its turn's moment a request may leave a connection open.
const OPEN: Duration = Duration::from_secs(
    FETCH_PATIENCE.as_secs()
        + FETCH_TOTAL.as_secs()
        + FETCH_CONNECT.as_secs()
        + FETCH_KEEP.as_secs(),
);

/// All hosts.
pub(crate) struct Hosts {
    at_once: Arc<Semaphore>,
    of_member: Shares<i64>,
    known: Mutex<Known>,
}

struct Known {
    hosts: HashMap<IpAddr, Host>,
    /// Origins with a connection that may be kept; those whose time is over count until a sweep.
    kept: HashMap<Box<str>, Kept>,
    /// How many hosts bring about the next sweep.
    sweep_at: usize,
    swept: Instant,
}

struct Host {
    at_once: Arc<Semaphore>,
    /// When it would be asked next, had every turn been spaced.
    next: Instant,
}

struct Kept {
    /// What the connection is with.
    address: IpAddr,
    until: Instant,
}

/// The turn of one request. Another may have it when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Whether its connection is kept for the next.
    pub(crate) keeps: bool,
    _member: Option<OwnedSemaphorePermit>,
    _host: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Hosts {
    pub(crate) fn new() -> Self {
        Self {
            at_once: Arc::new(Semaphore::new(FETCHES_AT_ONCE_MAX)),
            of_member: Shares::new(FETCHES_AT_ONCE_PER_MEMBER_MAX),
            known: Mutex::new(Known::new(Instant::now())),
        }
    }

    /// Waits for a turn of this member's at `address`, for a request to this origin.
    pub(crate) async fn turn(
        &self,
        member: Option<i64>,
        address: IpAddr,
        origin: &str,
    ) -> Result<Turn, FetchError> {
        let deadline = Instant::now() + FETCH_PATIENCE;
        let turn = async {
            // First, so that who asks too much holds places nowhere else.
            let _member = self.of_member.part_if(member).await;
            let (at, at_once, keeps) = {
                let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                let (at, at_once) =
                    known.reserve(address, now, deadline).ok_or(FetchError::Busy)?;
                (at, at_once, known.keeps(origin, address, now, at))
            };
            sleep_until(at).await;
            let _host = at_once.acquire_owned().await.expect("never closed");
            let _all = self.at_once.clone().acquire_owned().await.expect("never closed");
            Ok(Turn { keeps, _member, _host, _all })
        };
        timeout_at(deadline, turn).await.map_err(|_| FetchError::Busy)?
    }
}

impl Known {
    fn new(now: Instant) -> Self {
        Self { hosts: HashMap::new(), kept: HashMap::new(), sweep_at: REMEMBERED, swept: now }
    }

    /// When the next request to `address` may be made, and what it takes; none: too many are
    /// before it.
    fn reserve(
        &mut self,
        address: IpAddr,
        now: Instant,
        deadline: Instant,
    ) -> Option<(Instant, Arc<Semaphore>)> {
        self.sweep(now);
        let host = self.hosts.entry(address).or_insert_with(|| Host::new(now));
        let next = host.next.max(now) + SPACING;
        let at = next.checked_sub(BURST).unwrap_or(now).max(now);
        if at > deadline {
            return None;
        }
        host.next = next;
        Some((at, host.at_once.clone()))
    }

    /// Whether a request to this origin, at this address, leaves its connection open.
    fn keeps(&mut self, origin: &str, address: IpAddr, now: Instant, at: Instant) -> bool {
        let (until, has_room) = (at + OPEN, self.kept.len() < FETCH_HOSTS_KEPT_MAX);
        match self.kept.get_mut(origin) {
            Some(kept) if kept.address == address || kept.until <= now => {
                *kept = Kept { address, until };
                true
            }
            Some(_) => false,
            None if has_room => {
                self.kept.insert(origin.into(), Kept { address, until });
                true
            }
            None => false,
        }
    }

    /// Forgets what need not be remembered: now and then, and when it has become much.
    fn sweep(&mut self, now: Instant) {
        let is_due = self.hosts.len() >= self.sweep_at || self.kept.len() >= FETCH_HOSTS_KEPT_MAX;
        if !is_due || now < self.swept + SPACING {
            return;
        }
        self.kept.retain(|_, kept| kept.until > now);
        self.hosts.retain(|_, host| host.is_needed(now));
        self.sweep_at = REMEMBERED.max(2 * self.hosts.len());
        self.swept = now;
    }
}

impl Host {
    fn new(now: Instant) -> Self {
        Self { at_once: Arc::new(Semaphore::new(FETCHES_AT_ONCE_PER_HOST_MAX)), next: now }
    }

    fn is_needed(&self, now: Instant) -> bool {
        self.next > now || Arc::strong_count(&self.at_once) > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    /// How long each of `n` requests that come at once waits.
    fn waits(known: &mut Known, host: u32, n: usize, now: Instant) -> Vec<Duration> {
        let reserve = |_| known.reserve(address(host), now, now + FETCH_PATIENCE);
        (0..n).filter_map(reserve).map(|(at, _)| at - now).collect()
    }

    #[test]
    fn a_host_is_asked_a_seconds_worth_at_once_and_then_at_its_rate() {
        let now = Instant::now();
        let mut known = Known::new(now);

        let first = waits(&mut known, 1, 500, now);
        let other = waits(&mut known, 2, 1, now);
        let later = waits(&mut known, 1, 3, now + Duration::from_secs(60));

        assert_eq!(first[..10], [Duration::ZERO; 10]);
        assert_eq!(first[10..13], [1, 2, 3].map(|n| n * SPACING));
        assert_eq!(first.last(), Some(&FETCH_PATIENCE));
        assert_eq!(first.len(), 110, "the others are busy");
        assert_eq!((other, later), (vec![Duration::ZERO], vec![Duration::ZERO; 3]));
    }

    #[test]
    fn a_host_that_was_busy_owes_nothing_for_what_was_not_made() {
        let now = Instant::now();
        let mut known = Known::new(now);
        waits(&mut known, 1, 10_000, now);

        let later = waits(&mut known, 1, 1, now + FETCH_PATIENCE + BURST);

        assert_eq!(later, [Duration::ZERO]);
    }

    #[test]
    fn hosts_are_forgotten_and_connections_kept_to_few() {
        let begin = Instant::now();
        let mut known = Known::new(begin);
        let (mut n_keeping, mut n_hosts_max) = (0, 0);

        for n in 0..100_000_u32 {
            let now = begin + n * Duration::from_millis(1);
            let (at, _) = known.reserve(address(n), now, now + FETCH_PATIENCE).unwrap();
            n_keeping += usize::from(known.keeps(&n.to_string(), address(n), now, at));
            n_hosts_max = n_hosts_max.max(known.hosts.len());
            assert!(known.kept.len() <= FETCH_HOSTS_KEPT_MAX);
        }

        // In 100 s, each keeps its place for as long as its connection may last.
        assert_eq!(n_keeping, 2 * FETCH_HOSTS_KEPT_MAX);
        assert!(n_hosts_max <= REMEMBERED, "{n_hosts_max}");
    }

    #[test]
    fn a_connection_is_kept_for_one_address_of_an_origin() {
        let begin = Instant::now();
        let mut known = Known::new(begin);
        let mut keeps = |n: u32, after: Duration| {
            known.keeps("http://a.example", address(n), begin + after, begin + after)
        };

        assert!(keeps(1, Duration::ZERO));
        assert!(!keeps(2, Duration::ZERO), "the one that is open is with another");
        assert!(keeps(1, OPEN / 2));
        assert!(!keeps(2, OPEN), "it was used again meanwhile");
        assert!(keeps(2, OPEN * 2));
        assert!(!keeps(1, OPEN * 2));
    }

    #[test]
    fn a_host_in_use_is_not_forgotten() {
        let begin = Instant::now();
        let mut known = Known::new(begin);
        let (_, at_once) = known.reserve(address(1), begin, begin).unwrap();
        let _turns = at_once.clone().try_acquire_many_owned(4).unwrap();
        drop(at_once);
        known.sweep_at = 0;

        let later = begin + Duration::from_secs(3600);
        let (_, again) = known.reserve(address(1), later, later).unwrap();

        assert_eq!(again.available_permits(), 0);
    }
}
