//! Simulation clocks: lets those tick that are due.
//!
//! Ticks are made on the duty's connection, which holds the locks of its buckets, and every tick is
//! a guarded update (`skein_sql::clock::tick`): no number is given twice, and none is left out,
//! whoever dies in between. A worker that dies after the commit has told nobody: nodes tell what is
//! missing before the next number that they hear, or find it in a look.
//!
//! Schedules in simulated time fire in the transaction of the tick that makes them due. Where one
//! tick makes more due than a transaction should hold, the others follow with the next. So that no
//! clock waits for more than one mesh's schedules, a step is two transactions: the ticks that make
//! nothing due, all together, then one that does, of the clock that has waited longest.
//!
//! A clock of a mesh that nobody is in any more stops instead. Between ticks the duty sleeps until
//! exactly the next is due; a clock that is set or goes on wakes it.

use std::{sync::Arc, time::Duration};

use skein_sql::{
    GenericClient,
    clock::{self, Head, Ticked},
    duties::{Kind, SLEEP_MAX},
    fail,
    schedules::{self, Due, Fired},
};
use tracing::{debug, error, info};

use crate::{Result, life::Life, schedule};

/// Steps of one call, so that buckets can be given away in between.
const STEPS_MAX: usize = 20;
/// Batches of schedules that fire with one tick of one clock.
const BATCHES_MAX: usize = 4;
/// Clocks that are due within this of each other tick in one step.
const TOGETHER: Duration = Duration::from_millis(2);
/// A clock is due that somebody else is just changing.
const HELD_UP: Duration = Duration::from_millis(20);

/// The clocks of one worker.
pub struct Clock {
    life: Arc<Life>,
    is_ready: bool,
}

impl Clock {
    /// Nothing has ticked yet.
    pub fn new(life: &Arc<Life>) -> Self {
        Self { life: Arc::clone(life), is_ready: false }
    }

    /// Lets what is due in these buckets tick; returns when more will be.
    ///
    /// # Errors
    /// When a statement failed: its transaction is open, so the connection is not used again.
    pub async fn once(&mut self, db: &impl GenericClient, buckets: &[i32]) -> Result<Duration> {
        if !self.is_ready {
            schedules::by_index(db).await?;
            self.is_ready = true;
        }
        for _ in 0..STEPS_MAX {
            let Some(next) = clock::next(db, buckets).await? else { return Ok(SLEEP_MAX) };
            if !next.wait.is_zero() {
                return Ok(next.wait.clamp(TOGETHER, SLEEP_MAX));
            }
            let mut n_done = 0;
            if next.is_plain {
                n_done += self.say(tick(db, buckets).await?, Vec::new());
            }
            if next.is_scheduled {
                let (ticked, fired) = tick_scheduled(db, buckets).await?;
                n_done += self.say(ticked, fired);
            }
            if n_done == 0 {
                return Ok(HELD_UP);
            }
        }
        Ok(Duration::ZERO)
    }

    /// After the commit; returns how many clocks ticked, or stand still now.
    fn say(&self, ticked: Ticked, fired: Vec<Fired>) -> usize {
        let n_done = ticked.heads.len() + ticked.paused.len();
        let tally = self.life.tally(Kind::Clock);
        ticked.late.iter().for_each(|late| tally.done(*late));
        for mesh in &ticked.paused {
            info!(mesh, "the clock of mesh {mesh} stands still: nobody is there");
        }
        debug!(n_ticked = ticked.heads.len(), "{} clocks have ticked", ticked.heads.len());
        self.life.telling.ticks(ticked.heads);
        fired.into_iter().for_each(|fired| schedule::tell(&self.life, fired));
        n_done
    }
}

/// The ticks that make no schedule due.
async fn tick(db: &impl GenericClient, buckets: &[i32]) -> Result<Ticked> {
    run(db, "begin").await?;
    let ticked = clock::tick(db, buckets).await?;
    commit(db).await?;
    Ok(ticked)
}

/// A tick that makes schedules due, with their fires.
async fn tick_scheduled(db: &impl GenericClient, buckets: &[i32]) -> Result<(Ticked, Vec<Fired>)> {
    run(db, "begin").await?;
    let ticked = clock::tick_scheduled(db, buckets).await?;
    let mut fired = Vec::new();
    for head in &ticked.heads {
        run(db, "savepoint fires").await?;
        match fire(db, head).await {
            Ok(its) => fired.extend(its),
            // No mesh's schedules hold up its clock: they are due at the next tick too. Where it
            // was the connection, undoing fails too.
            Err(error) => {
                let (mesh, error) = (head.m, error.brief());
                error!(mesh, error, "the schedules of mesh {mesh} did not fire: {error}");
                run(db, "rollback to savepoint fires").await?;
            }
        }
        run(db, "release savepoint fires").await?;
    }
    commit(db).await?;
    Ok((ticked, fired))
}

async fn commit(db: &impl GenericClient) -> Result<()> {
    fail::point("clock.before_commit").await;
    run(db, "commit").await?;
    fail::point("clock.committed").await;
    Ok(())
}

async fn run(db: &impl GenericClient, text: &str) -> Result<()> {
    Ok(db.batch_execute(text).await.map_err(skein_sql::Error::from)?)
}

/// Fires what this tick of a clock makes due.
async fn fire(db: &impl GenericClient, head: &Head) -> skein_sql::Result<Vec<Fired>> {
    let due = Due::Sim { mesh: head.m, now: head.sim_time() };
    let mut fired = Vec::new();
    for _ in 0..BATCHES_MAX {
        let batch = schedules::fire(db, due).await?;
        // None fired: somebody else is just changing what is left.
        let is_last = !batch.more || batch.n_rows == 0;
        fired.push(batch);
        if is_last {
            break;
        }
    }
    Ok(fired)
}
