//! The sweep: when each of its chores is due.
//!
//! What waits for a moment is looked for at every wake-up, by one query: fenced nodes, departures,
//! which are slept for exactly, leases, and keys whose time is over. The rest happens now and then,
//! at such a look. Chores of single meshes are done by whoever holds their bucket, chores of
//! everything by whoever holds the first.

use std::{collections::HashMap, time::Duration};

use skein_sql::{
    Connector, GenericClient, Settings, api_keys, clock, nonces, partitions, relay, streams,
    sweep::{self, departures::Departed},
    tasks, webhooks,
};
use skein_wire::limit;
use tokio::{task::JoinSet, time::Instant};
use tracing::{error, info, warn};

use crate::{Error, Result};

/// Departures are stored a grace ahead, so nothing is found late by looking this often; leases that
/// have ended, and keys whose time is over, are.
const LOOK: Duration = limit::LEASE_LOOK;
/// Something was due and is held by another at the moment.
const HELD_UP: Duration = Duration::from_millis(100);
/// Frames renew a status at most once a minute, so the last one may be that much younger.
const FRAME_STEP: Duration = Duration::from_secs(60);
/// How long relayed frames that nobody took are deleted at a time.
const RELAY_PATIENCE: Duration = Duration::from_secs(1);
/// The bucket of what belongs to no mesh.
const GLOBAL: i32 = 0;

/// How old things have to be before they are put away. Tests have smaller ones.
#[derive(Debug, Clone, Copy)]
pub struct Ages {
    /// A session that lost its node departs after this.
    pub grace: Duration,
    /// A direct message that nobody collected.
    pub delivery: Duration,
    /// A session that was not seen.
    pub session: Duration,
    /// A hook's `working`.
    pub working: Duration,
    /// A hook that found no session.
    pub hook: Duration,
    /// A table of keys, before the other has its turn.
    pub send_key: Duration,
    /// The row of a node that was swept, kept for whoever asks what happened.
    pub node: Duration,
}

impl Default for Ages {
    fn default() -> Self {
        Self {
            grace: limit::GRACE,
            delivery: limit::DELIVERY_AGE_MAX,
            session: limit::SESSION_AGE_MAX,
            working: limit::WORKING_AGE_MAX + FRAME_STEP,
            hook: limit::HOOK_PENDING,
            send_key: Duration::from_secs(3600),
            node: Duration::from_secs(24 * 3600),
        }
    }
}

/// What happens now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Chore {
    Statuses,
    Sessions,
    Deliveries,
    Nonces,
    Hooks,
    Counts,
    Keys,
    Nodes,
    Partitions,
    Removed,
}

impl Chore {
    const ALL: [Self; 10] = [
        // First: without partitions nothing can be stored.
        Self::Partitions,
        Self::Statuses,
        Self::Sessions,
        Self::Deliveries,
        Self::Nonces,
        Self::Hooks,
        Self::Counts,
        Self::Keys,
        Self::Nodes,
        Self::Removed,
    ];

    fn every(self) -> Duration {
        Duration::from_secs(match self {
            Self::Statuses => 15,
            Self::Deliveries
            | Self::Sessions
            | Self::Nonces
            | Self::Hooks
            | Self::Counts
            | Self::Keys
            | Self::Removed => 60,
            Self::Nodes => 600,
            Self::Partitions => 3600,
        })
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Statuses => "lapsing statuses",
            Self::Sessions => "forgetting sessions",
            Self::Deliveries => "expiring deliveries",
            Self::Nonces => "forgetting nonces",
            Self::Hooks => "forgetting hooks",
            Self::Counts => "counting what meshes hold",
            Self::Keys => "rotating keys",
            Self::Nodes => "forgetting nodes",
            Self::Partitions => "the upkeep of partitions",
            Self::Removed => "forgetting removed keys",
        }
    }

    fn is_global(self) -> bool {
        !matches!(self, Self::Statuses | Self::Sessions)
    }
}

/// The sweep of one worker.
pub struct Sweep {
    connector: Connector,
    ages: Ages,
    /// When each chore was last done here.
    done: HashMap<Chore, Instant>,
    /// Events of the current second, by mesh.
    told: (Option<Instant>, HashMap<i64, u32>),
    /// Upkeep of partitions, which takes as long as it takes. It ends with this value.
    upkeep: JoinSet<()>,
}

impl Sweep {
    /// Nothing was done yet, so everything is due.
    pub fn new(connector: Connector, ages: Ages) -> Self {
        let (done, told) = (HashMap::new(), (None, HashMap::new()));
        Self { connector, ages, done, told, upkeep: JoinSet::new() }
    }

    /// Does what is due in these buckets; returns when more will be.
    ///
    /// # Errors
    /// When the connection is gone. Other failures are logged, and the chore is tried again later.
    pub async fn once(&mut self, db: &impl GenericClient, buckets: &[i32]) -> Result<Duration> {
        let look = sweep::look(db, buckets).await?;
        let mut wait = LOOK;
        for node in look.fenced {
            wait = wait.min(self.node(db, node).await?);
        }
        match look.departure_in {
            Some(Duration::ZERO) => wait = wait.min(self.departures(db, buckets).await?),
            Some(later) => wait = wait.min(later),
            None => (),
        }
        if look.is_state_over && buckets.contains(&GLOBAL) {
            tolerate("expiring keys", sweep::state::expire(db).await.map(drop))?;
        }
        if look.is_lease_over {
            tolerate("ending leases", leases(db, buckets).await)?;
        }
        for chore in Chore::ALL {
            self.chore(db, buckets, chore).await?;
        }
        Ok(wait)
    }

    async fn node(&self, db: &impl GenericClient, node: i32) -> Result<Duration> {
        let swept = match sweep::nodes::sweep(db, node, self.ages.grace).await {
            Ok(swept) => swept,
            // Two workers, or a worker and an edge, wanted the same rows: the other was faster.
            Err(error) if error.is_retriable() => return Ok(HELD_UP),
            Err(error) => return Err(error.into()),
        };
        let (n_ended, n_moved) = (swept.n_ended, swept.n_moved);
        if swept.is_done {
            info!(node, n_ended, n_moved, "node {node} is swept");
            return Ok(LOOK);
        }
        Ok(HELD_UP)
    }

    async fn departures(&mut self, db: &impl GenericClient, buckets: &[i32]) -> Result<Duration> {
        let mut departed = sweep::departures::depart(db, buckets).await?;
        let n_departed = departed.len();
        let mut left: Vec<i64> = departed.iter().map(|session| session.mesh).collect();
        left.sort_unstable();
        left.dedup();
        departed.retain(|session| self.may_tell(session));
        sweep::departures::announce(db, &departed).await?;
        if !left.is_empty() {
            clock::pause_empty(db, &left).await?;
        }
        if n_departed > 0 {
            info!(n_departed, n_told = departed.len(), "{n_departed} sessions have departed");
        }
        Ok(HELD_UP)
    }

    /// Whether the mesh may have one more event in this second.
    fn may_tell(&mut self, session: &Departed) -> bool {
        let now = Instant::now();
        if self.told.0.is_none_or(|since| now - since >= Duration::from_secs(1)) {
            self.told = (Some(now), HashMap::new());
        }
        let n_told = self.told.1.entry(session.mesh).or_default();
        *n_told += 1;
        *n_told <= limit::PRESENCE_EVENTS_PER_SECOND
    }

    /// Does a chore if it is due. None is so urgent that it cannot wait for the next look.
    async fn chore(
        &mut self,
        db: &impl GenericClient,
        buckets: &[i32],
        chore: Chore,
    ) -> Result<()> {
        if chore.is_global() && !buckets.contains(&GLOBAL) {
            return Ok(());
        }
        if self.done.get(&chore).is_some_and(|done| done.elapsed() < chore.every()) {
            return Ok(());
        }
        self.done.insert(chore, Instant::now());
        tolerate(chore.as_str(), self.perform(db, buckets, chore).await)
    }

    async fn perform(
        &mut self,
        db: &impl GenericClient,
        buckets: &[i32],
        chore: Chore,
    ) -> Result<()> {
        let ages = self.ages;
        match chore {
            Chore::Statuses => drop(sweep::expiry::lapse(db, buckets, ages.working).await?),
            Chore::Sessions => say(
                "sessions were forgotten",
                sweep::expiry::forget(db, buckets, ages.session).await?,
            ),
            Chore::Deliveries => {
                say("deliveries expired", sweep::expiry::expire(db, ages.delivery).await?)
            }
            Chore::Nonces => {
                nonces::sweep(db).await?;
                webhooks::sweep(db).await?;
                api_keys::sweep(db, partitions::MESSAGE_DAYS + 2).await?;
                relay::sweep(db, RELAY_PATIENCE).await?;
                streams::sweep(db).await?;
            }
            Chore::Hooks => drop(sweep::memory::drop_hooks(db, ages.hook).await?),
            Chore::Counts => drop(sweep::memory::recount(db).await?),
            Chore::Keys => drop(sweep::memory::rotate_keys(db, ages.send_key).await?),
            Chore::Nodes => drop(sweep::nodes::forget(db, ages.node).await?),
            Chore::Partitions => self.start_upkeep(),
            Chore::Removed => {
                let age = limit::STATE_REMOVED_AGE_MAX;
                say("removed keys were forgotten", sweep::state::forget(db, age).await?);
            }
        }
        Ok(())
    }

    /// Partitions have a connection of their own, which may wait long.
    fn start_upkeep(&mut self) {
        while self.upkeep.try_join_next().is_some() {}
        if self.upkeep.is_empty() {
            let connector = self.connector.clone();
            self.upkeep.spawn(async move {
                if let Err(error) = upkeep(&connector).await {
                    let error = error.chain();
                    warn!(error, "the upkeep of partitions failed: {error}");
                }
            });
        }
    }
}

async fn upkeep(connector: &Connector) -> Result<(), Error> {
    let db = connector.connect(Settings::Maintenance).await?;
    partitions::ensure_ahead(&db, partitions::DAYS_AHEAD).await?;
    partitions::drop_old(&db).await?;
    partitions::drop_unnamed(&db).await?;
    Ok(())
}

async fn leases(db: &impl GenericClient, buckets: &[i32]) -> Result<(), skein_sql::Error> {
    let lapsed = tasks::lapse(db, buckets).await?;
    tasks::announce(db, &lapsed).await?;
    say("leases of tasks have ended", i64::try_from(lapsed.len()).unwrap_or(i64::MAX));
    Ok(())
}

/// A failure of one thing holds up no other: only a lost connection is the caller's.
fn tolerate<E: Into<Error>>(what: &str, outcome: Result<(), E>) -> Result<()> {
    let Err(error) = outcome else { return Ok(()) };
    let error = error.into();
    if error.is_connection() {
        return Err(error);
    }
    let error = error.chain();
    error!(what, error, "{what} failed: {error}");
    Ok(())
}

fn say(what: &str, n: i64) {
    if n > 0 {
        info!(n, "{n} {what}");
    }
}
