//! URL watches: looking at what is due, each at its time.
//!
//! Watches that are due within a second are read together, and each is looked at by a task of its
//! own, which waits for its moment; what it saw is written with what others saw, some ten times a
//! second, by the duty on its own connection. A task knows no database. So nothing is asked or
//! written for one watch alone, and a slow server holds up nobody but its own watch.
//!
//! A task that is cut off with its connection, or its worker, wrote nothing: its watch is still
//! due, and whoever holds its bucket looks again. What was seen twice is written once, by the number
//! of the check (`skein_sql::watches`).

mod check;

pub use check::Fetching;

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use skein_sql::{
    GenericClient,
    duties::{Kind, SLEEP_MAX},
    fail,
    watches::{self, Check, Due},
};
use tokio::task::{JoinError, JoinSet};
use tracing::debug;

use crate::{Result, life::Life};

/// Watches are read so long before they are due.
const AHEAD: Duration = Duration::from_secs(1);
/// And at most this often, unless something was said to have changed.
const READ_EVERY: Duration = Duration::from_millis(500);
/// What was seen waits this long for more.
const WRITE_EVERY: Duration = Duration::from_millis(100);
/// Watches that are waited for or looked at; their rows are in memory. What else is due waits.
const IN_HAND_MAX: usize = 2000;
/// Results of one statement.
const WRITTEN_MAX: usize = 200;

/// The watches of one worker.
pub struct Watches {
    life: Arc<Life>,
    /// What is waited for or looked at. It ends with this value.
    tasks: JoinSet<(Check, Duration)>,
    /// The same by name.
    in_hand: HashSet<(i64, String)>,
    /// When what is due is read again.
    read_at: Instant,
    /// Until when [`Watches::once`] is not called, unless something changed.
    asleep_until: Instant,
}

impl Watches {
    /// Nothing was looked at yet.
    pub fn new(life: &Arc<Life>) -> Self {
        let now = Instant::now();
        Self {
            life: Arc::clone(life),
            tasks: JoinSet::new(),
            in_hand: HashSet::new(),
            read_at: now,
            asleep_until: now,
        }
    }

    /// Looks at what is due in these buckets; returns when more will be.
    ///
    /// # Errors
    /// When a statement failed: its transaction may be open, so the connection is not used again.
    pub async fn once(&mut self, db: &impl GenericClient, buckets: &[i32]) -> Result<Duration> {
        // Called before its time: there is a new watch, or another share.
        let is_woken = Instant::now() < self.asleep_until;
        self.write(db).await?;
        if is_woken || Instant::now() >= self.read_at {
            let next = self.read(db, buckets).await?;
            self.read_at = Instant::now() + next;
        }
        let mut wait = self.read_at.saturating_duration_since(Instant::now());
        if !self.tasks.is_empty() {
            wait = wait.min(WRITE_EVERY);
        }
        self.asleep_until = Instant::now() + wait;
        Ok(wait)
    }

    /// Writes what was seen.
    async fn write(&mut self, db: &impl GenericClient) -> Result<()> {
        let mut done: Vec<Check> = Vec::new();
        while let Some(ended) = self.tasks.try_join_next() {
            let (check, late) = ended.unwrap_or_else(panicked);
            self.life.tally(Kind::Watch).done(late);
            done.push(check);
        }
        if done.is_empty() {
            return Ok(());
        }
        fail::point("watch.write").await;
        for checks in done.chunks(WRITTEN_MAX) {
            let stored = watches::record(db, checks).await?;
            self.life.telling.messages(stored);
        }
        for Check { due, .. } in done {
            self.in_hand.remove(&(due.mesh, due.id));
        }
        // They are due again, perhaps sooner than everything that was known.
        self.read_at = self.read_at.min(Instant::now() + READ_EVERY);
        Ok(())
    }

    /// Takes what is due soon in hand; returns when to read again.
    async fn read(&mut self, db: &impl GenericClient, buckets: &[i32]) -> Result<Duration> {
        // Those in hand are still due, and are found too: what is new is behind them.
        let n_max = i64::try_from(IN_HAND_MAX).expect("a small constant");
        let due = watches::due(db, buckets, AHEAD, n_max).await?;
        let n_due = due.len();
        for due in due {
            if self.in_hand.insert((due.mesh, due.id.clone())) {
                self.tasks.spawn(look(self.life.watches.clone(), due));
            }
        }
        if n_due > 0 {
            debug!(n_due, n_in_hand = self.in_hand.len(), "{n_due} watches are due");
        }
        if n_due >= IN_HAND_MAX {
            return Ok(READ_EVERY);
        }
        let next = watches::next_in(db, buckets, AHEAD).await?;
        let soon = next.map_or(SLEEP_MAX, |next| next.saturating_sub(AHEAD).min(SLEEP_MAX));
        Ok(soon.max(READ_EVERY))
    }
}

/// Looks when it is time; says what was seen, and how late that was.
async fn look(fetching: Fetching, due: Due) -> (Check, Duration) {
    let planned = Instant::now() + due.wait;
    tokio::time::sleep(due.wait).await;
    let late = due.late;
    let (check, took) = fetching.check(due).await;
    (check, late + planned.elapsed().saturating_sub(took))
}

fn panicked<T>(error: JoinError) -> T {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => unreachable!("no task is cancelled before its duty ends"),
    }
}
