//! Duties: a worker's buckets of one kind, and the loop that does what is due in them.
//!
//! Everything of a kind happens on one connection: it holds the locks, so a worker that lost them
//! has also lost the means to act on them. When the number of workers changes, each gives away what
//! is beyond its share and takes what is free.

use std::{sync::Arc, time::Duration};

use skein_sql::{
    GenericClient, Settings,
    duties::{self, Kind, SLEEP_MAX},
};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::{
    Error, Result, audit, clock::Clock, life::Life, schedule::Schedule, share::Share, sweep::Sweep,
    watches::Watches,
};

/// Between attempts to get a connection, or a seat that an older connection still has.
const RETRY: Duration = Duration::from_millis(250);
/// The longest wait between attempts: each that fails soon doubles it.
const RETRY_MAX: Duration = Duration::from_secs(2);
/// Between attempts to take buckets that somebody still has to give.
const TAKE_AGAIN: Duration = Duration::from_millis(500);
/// Between two reports of what was done.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// For a connection to come up and register.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// What the kinds do. Each has `once`: do what is due in these buckets, and say when more is.
enum Work {
    Sweep(Box<Sweep>),
    Audit,
    Schedule(Schedule),
    Clock(Clock),
    Watch(Watches),
}

impl Work {
    fn new(life: &Arc<Life>, kind: Kind) -> Self {
        match kind {
            Kind::Sweep => Self::Sweep(Box::new(Sweep::new(life.connector.clone(), life.ages))),
            Kind::Audit => Self::Audit,
            Kind::Schedule => Self::Schedule(Schedule::new(life)),
            Kind::Clock => Self::Clock(Clock::new(life)),
            Kind::Watch => Self::Watch(Watches::new(life)),
        }
    }

    async fn once(&mut self, db: &impl GenericClient, buckets: &[i32]) -> Result<Duration> {
        match self {
            Self::Sweep(sweep) => sweep.once(db, buckets).await,
            Self::Audit => audit::once(db, buckets).await,
            Self::Schedule(schedule) => schedule.once(db, buckets).await,
            Self::Clock(clock) => clock.once(db, buckets).await,
            Self::Watch(watches) => watches.once(db, buckets).await,
        }
    }
}

/// Does this kind until the life ends, then gives everything away.
///
/// # Errors
/// When the node was declared dead, and nothing else.
pub async fn run(life: Arc<Life>, kind: Kind) -> Result<()> {
    let mut wait = RETRY;
    while !life.stop.is_cancelled() {
        let since = Instant::now();
        match on_one_connection(&life, kind).await {
            Ok(()) => (),
            Err(error) if error.is_fenced() => return Err(error),
            Err(error) => {
                let (kind, error) = (kind.as_str(), error.chain());
                warn!(kind, error, "the {kind} duty failed: {error}");
                wait = if since.elapsed() > wait { RETRY } else { RETRY_MAX.min(2 * wait) };
                pause(&life, wait).await;
            }
        }
    }
    Ok(())
}

async fn on_one_connection(life: &Arc<Life>, kind: Kind) -> Result<()> {
    let connect = life.connector.connect_cached(Settings::Ordinary);
    let db = timeout(CONNECT_MAX, connect).await.map_err(|_| Error::Late)??;
    while !duties::sit(&db, kind, life.node).await? {
        pause(life, RETRY).await;
        if life.stop.is_cancelled() {
            return Ok(());
        }
    }
    // Seen sooner, shared sooner.
    life.look.notify_one();
    let mut work = Work::new(life, kind);
    let mut held: Vec<i32> = Vec::new();
    let mut reports = Reports { said: None, at: Instant::now() };
    let mut seats = life.seats.subscribe();
    while !life.stop.is_cancelled() {
        let share = seats.borrow_and_update().share(kind, life.node);
        rebalance(&db, kind, &mut held, share).await?;
        // What is missing from the share is still held by whoever has to give it.
        let mut wait = if held.len() < share.n { TAKE_AGAIN } else { SLEEP_MAX };
        if !held.is_empty() {
            wait = wait.min(work.once(&db, &held).await?);
        }
        wait = wait.min(reports.once(&db, life, kind, held.len()).await?);
        tokio::select! {
            () = sleep(wait) => (),
            () = life.wake(kind).notified() => (),
            changed = seats.changed() => changed.expect("the life outlives its duties"),
            () = life.stop.cancelled() => (),
        }
    }
    Ok(duties::leave(&db).await?)
}

/// What this connection last said of its share and its work.
struct Reports {
    /// The buckets that it said it holds.
    said: Option<usize>,
    at: Instant,
}

impl Reports {
    /// Says what is new: a changed share at once, work now and then. Returns when there is more to
    /// say.
    async fn once(
        &mut self,
        db: &impl GenericClient,
        life: &Life,
        kind: Kind,
        n_held: usize,
    ) -> Result<Duration> {
        let tally = life.tally(kind);
        let is_new = self.said != Some(n_held);
        if !is_new && tally.is_empty() {
            return Ok(SLEEP_MAX);
        }
        if !is_new && let Some(rest) = REPORT_EVERY.checked_sub(self.at.elapsed()) {
            return Ok(rest.max(RETRY));
        }
        duties::report(db, life.node, kind, n_held, tally.take()).await?;
        (self.said, self.at) = (Some(n_held), Instant::now());
        Ok(SLEEP_MAX)
    }
}

/// Gives what is beyond the share, or takes what is missing and free.
async fn rebalance(
    db: &impl GenericClient,
    kind: Kind,
    held: &mut Vec<i32>,
    share: Share,
) -> Result<()> {
    let (name, n_before) = (kind.as_str(), held.len());
    if n_before > share.n {
        let surplus = held.split_off(share.n);
        duties::give(db, kind, &surplus).await?;
        info!(kind = name, n_held = share.n, "{name}: gave {} buckets away", surplus.len());
    } else if n_before < share.n {
        let missing = share.n - n_before;
        held.extend(duties::take(db, kind, &share.candidates(held), missing).await?);
        let (n_held, n_taken) = (held.len(), held.len() - n_before);
        debug!(kind = name, n_held, n_taken, "{name}: took {n_taken} buckets");
    }
    Ok(())
}

async fn pause(life: &Life, time: Duration) {
    tokio::select! {
        () = sleep(time) => (),
        () = life.stop.cancelled() => (),
    }
}
