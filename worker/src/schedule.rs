//! Schedules: fires what is due, exactly once for each slot.
//!
//! Everything of a fire is one transaction on the duty's connection, which holds the locks of its
//! buckets: the messages are stored, the rows advance, the log is written
//! (`skein_sql::schedules::fire`). When the answer to COMMIT is lost, so is the connection: the next
//! one, here or at another worker, finds in the rows what was done, and the recipients are found by
//! looks. Telling follows the commit, elsewhere.
//!
//! Between fires the duty sleeps until exactly the next is due; what is made to be due sooner wakes
//! it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use skein_sql::{
    GenericClient, fail,
    schedules::{self, Due, Fired},
};
use skein_wire::limit;
use tokio::time::Instant;
use tracing::{debug, info};

use crate::{Result, life::Life};
use skein_sql::duties::{Kind, SLEEP_MAX};

/// How often schedules that are done are looked for, to be forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// Batches of one call, so that buckets can be given away in between.
const BATCHES_MAX: usize = 20;
/// Something is due and is held by another at the moment.
const HELD_UP: Duration = Duration::from_millis(20);

/// The schedules of one worker.
pub struct Schedule {
    life: Arc<Life>,
    swept_at: Option<Instant>,
    is_ready: bool,
}

impl Schedule {
    /// Nothing was fired yet.
    pub fn new(life: &Arc<Life>) -> Self {
        Self { life: Arc::clone(life), swept_at: None, is_ready: false }
    }

    /// Fires what is due in these buckets; returns when more will be.
    ///
    /// # Errors
    /// When a statement failed: its transaction is open, so the connection is not used again.
    pub async fn once(&mut self, db: &impl GenericClient, buckets: &[i32]) -> Result<Duration> {
        if !self.is_ready {
            schedules::by_index(db).await?;
            self.is_ready = true;
        }
        for _ in 0..BATCHES_MAX {
            let fired = fire(db, buckets).await?;
            let (is_last, n_fired) = (!fired.more, fired.n_rows);
            self.say(fired);
            if is_last {
                return self.rest(db, buckets).await;
            }
            if n_fired == 0 {
                return Ok(HELD_UP);
            }
        }
        Ok(Duration::ZERO)
    }

    /// Nothing is due: how long nothing will be.
    async fn rest(&mut self, db: &impl GenericClient, buckets: &[i32]) -> Result<Duration> {
        if self.swept_at.is_none_or(|at| at.elapsed() >= SWEEP_EVERY) {
            self.swept_at = Some(Instant::now());
            let n = schedules::forget(db, buckets, limit::SCHEDULE_DONE_AGE_MAX).await?;
            if n > 0 {
                info!(n, "{n} schedules that are done were forgotten");
            }
        }
        let next = schedules::next(db, buckets).await?;
        Ok(next.unwrap_or(SLEEP_MAX).min(SLEEP_MAX))
    }

    /// After the commit: counts what was done, and tells it.
    fn say(&self, fired: Fired) {
        let tally = self.life.tally(Kind::Schedule);
        fired.late.iter().for_each(|late| tally.done(*late));
        if fired.n_rows > 0 {
            let (n_rows, n_messages) = (fired.n_rows, fired.committed.len());
            debug!(n_rows, n_messages, "{n_rows} schedules fired {n_messages} messages");
        }
        tell(&self.life, fired);
    }
}

/// Tells, after the commit, where messages are for, and creators what could not be sent.
pub(crate) fn tell(life: &Life, fired: Fired) {
    life.telling.messages(fired.committed);
    // One word for each member: lists say what became of the others, and what fails a thousand times
    // a minute must not hold up what others are told.
    let mut told = HashSet::new();
    for failure in &fired.failed {
        if told.insert((failure.mesh, failure.member)) {
            life.telling.word(failure.mesh, failure.member, failure.frame());
        }
    }
}

async fn fire(db: &impl GenericClient, buckets: &[i32]) -> Result<Fired> {
    db.batch_execute("begin").await.map_err(skein_sql::Error::from)?;
    let fired = schedules::fire(db, Due::Real { buckets }).await?;
    fail::point("schedule.before_commit").await;
    db.batch_execute("commit").await.map_err(skein_sql::Error::from)?;
    if !fired.committed.is_empty() {
        fail::point("schedule.committed").await;
    }
    Ok(fired)
}
