//! What this deployment adds to URL watches: what may be looked at, and the key that seals what is
//! sent along. Workers look; an edge only tries a check when it is asked to.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use skein_crypto::at_rest;
use skein_fetch::{Fetcher, Guard};
use skein_wire::{
    limit,
    push::{Kept, Push, SYSTEM},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::{Config, Secret};

/// Watches as this deployment makes them.
#[derive(Clone)]
pub struct Watches {
    /// Makes the checks that are tried here; its guard measures those that workers make.
    pub fetcher: Arc<Fetcher>,
    /// Room for such checks, until they are answered.
    pub tests: Arc<Tests>,
    key: Secret,
}

impl Watches {
    /// The watches of the deployment of these settings.
    pub fn of(config: &Config) -> Self {
        Self {
            fetcher: Arc::new(Fetcher::new(Guard::new(config.fetch_allow.clone()))),
            tests: Arc::default(),
            key: config.deployment_key.clone(),
        }
    }

    /// Headers as they are kept.
    pub fn seal(&self, headers: &BTreeMap<String, String>) -> String {
        let text = serde_json::to_string(headers).expect("headers are text");
        at_rest::seal(&self.key.key(), text.as_bytes())
    }
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watches").finish_non_exhaustive()
    }
}

/// Members whose rate is remembered before those that have rested are forgotten.
const RATES_MAX: usize = 1024;

/// Checks that are tried on this edge: so many at once, of them a few of one member, and so many of
/// one member in a minute.
pub struct Tests {
    all: Arc<Semaphore>,
    of_member: Mutex<HashMap<i64, usize>>,
    rates: DefaultKeyedRateLimiter<i64>,
}

/// Why a check is not tried now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// Too many are under way.
    AtOnce,
    /// The member has tried too many in the last minute.
    Rate,
}

/// Room for one check, until this is dropped.
pub struct Room {
    tests: Arc<Tests>,
    member: i64,
    _all: OwnedSemaphorePermit,
}

impl Default for Tests {
    fn default() -> Self {
        let per_minute = NonZeroU32::new(limit::WATCH_TESTS_PER_MINUTE_PER_MEMBER);
        let quota = Quota::per_minute(per_minute.expect("the limit is not zero"));
        Self {
            all: Arc::new(Semaphore::new(limit::WATCH_TESTS_AT_ONCE_MAX)),
            of_member: Mutex::default(),
            rates: RateLimiter::keyed(quota),
        }
    }
}

impl Tests {
    /// Room for a check of this member's.
    ///
    /// # Errors
    /// When there is none now.
    pub fn room(self: &Arc<Self>, member: i64) -> Result<Room, NoRoom> {
        let all = self.all.clone().try_acquire_owned().map_err(|_| NoRoom::AtOnce)?;
        let mut of_member = self.of_member.lock().unwrap_or_else(PoisonError::into_inner);
        let n_under_way = of_member.get(&member).copied().unwrap_or_default();
        if n_under_way >= limit::WATCH_TESTS_AT_ONCE_PER_MEMBER_MAX {
            return Err(NoRoom::AtOnce);
        }
        if self.rates.len() >= RATES_MAX {
            self.rates.retain_recent();
        }
        self.rates.check_key(&member).map_err(|_| NoRoom::Rate)?;
        of_member.insert(member, n_under_way + 1);
        Ok(Room { tests: self.clone(), member, _all: all })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut of_member = self.tests.of_member.lock().unwrap_or_else(PoisonError::into_inner);
        match of_member.get_mut(&self.member) {
            Some(n) if *n > 1 => *n -= 1,
            _ => drop(of_member.remove(&self.member)),
        }
    }
}

/// Makes of a stored message what a system event's push is, if it is of one.
pub fn dress(push: &mut Push) {
    if push.sender_pubkey != SYSTEM {
        return;
    }
    push.subtype = Some(SYSTEM.to_owned());
    if let Some(Kept { event, event_data }) = Kept::read(&std::mem::take(&mut push.ciphertext)) {
        (push.event, push.event_data) = (Some(event), Some(event_data));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_tried_a_few_of_each_member_and_so_many_of_all() {
        let tests = Arc::new(Tests::default());
        let of_one = limit::WATCH_TESTS_AT_ONCE_PER_MEMBER_MAX;
        let n_members = i64::try_from(limit::WATCH_TESTS_AT_ONCE_MAX / of_one).unwrap();

        let mut rooms: Vec<Room> = (0..n_members)
            .flat_map(|member| vec![member; of_one])
            .map(|member| tests.room(member).unwrap())
            .collect();

        assert_eq!(tests.room(n_members).err(), Some(NoRoom::AtOnce), "there is none for another");
        rooms.pop();
        assert_eq!(tests.room(0).err(), Some(NoRoom::AtOnce), "one has its own");
        drop(tests.room(n_members).unwrap());
        rooms.clear();
        assert!(tests.of_member.lock().unwrap().is_empty(), "nobody is remembered");
    }

    #[test]
    fn who_has_tried_enough_waits_and_nobody_else() {
        let tests = Arc::new(Tests::default());
        let max = limit::WATCH_TESTS_PER_MINUTE_PER_MEMBER;

        let n_tried = (0..2 * max).filter(|_| tests.room(1).is_ok()).count();

        assert!((max as usize..max as usize + 5).contains(&n_tried), "{n_tried}");
        assert_eq!(tests.room(1).err(), Some(NoRoom::Rate));
        assert!(tests.room(2).is_ok());
    }
}
