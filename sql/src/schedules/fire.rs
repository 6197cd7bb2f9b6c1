//! Fires: what is due is stored, advanced and logged, inside the caller's transaction.
//!
//! Rows are found by index, then locked and looked at again: one that another transaction holds is
//! left to it, one that changed meanwhile is not due any more. So a slot fires once even where two
//! workers should hold one bucket; that they do not is what the locks are for.
//!
//! **Targets.** A sealed body goes to the member key that it is sealed to, and only the rest is
//! found when it fires. What is for the creator's own session goes to that session while it is
//! attached or may come back, else to another session of the member, else to the member's mailbox. A
//! target that is nobody's (any more), or whose mailbox is full, makes the fire fail: the log says
//! so, and the creator is told. When the creator is no member any more, its schedules are done at
//! their next slot.
//!
//! **Errors.** What would come again because of one row does not stop the others ([`alone`]).

pub(crate) mod alone;
pub(crate) mod batch;
mod room;
mod row;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use skein_wire::{
    Code, Priority, limit,
    push::{self, Push},
    schedules::{FAILED, ScheduleFailed},
};
use tracing::warn;
use uuid::Uuid;

use self::{batch::Batch, row::Scheduled};
use crate::{GenericClient, Result, iso, statement::statements, tell::Committed};

statements! {
    DUE = "
        select d.id, d.bytes, now() as now
          from unnest($1::integer[]) as b(bucket)
          cross join lateral (
               select id, due_at, octet_length(body) as bytes
                 from schedule
                where bucket = b.bucket and due_at <= now()
                order by due_at
                limit $2) d
         order by d.due_at, d.id
         limit $2";

    SIM_DUE = "
        select id, octet_length(body) as bytes, now() as now
          from schedule
         where mesh = $1 and sim_due_at <= $3
         order by sim_due_at, id
         limit $2";

    LOCK = "
        select s.id, s.mesh, s.member, s.session, s.session_key, s.target, s.nonce, s.body,
               s.sealed_to, s.subtype, s.priority, s.cron, s.tz, s.clock, s.missed, s.overlap,
               s.jitter_s, s.state, s.slot, s.serve_at, s.n_logged, s.last_seq, s.run_at,
               m.pubkey, m.revoked_at is not null or h.archived_at is not null as is_gone,
               h.id as mesh_id
          from schedule s
          join member m on m.mailbox = s.member
          join mesh h on h.no = s.mesh
         where s.id = any($1)
           and (s.due_at <= now() or $2::timestamptz is not null and s.sim_due_at <= $2)
         order by s.due_at, s.sim_due_at, s.id
           for update of s skip locked";
}

/// Rows, and messages, of one transaction.
const BATCH_MAX: usize = 500;
/// Bytes of messages of one transaction, unless one alone is larger.
const BATCH_BYTES_MAX: usize = 8 * limit::BATCH_BYTES_MAX;

/// Which schedules may be due.
#[derive(Debug, Clone, Copy)]
pub enum Due<'a> {
    /// Those of these buckets, by the real clock.
    Real {
        /// The buckets whose locks the connection holds.
        buckets: &'a [i32],
    },
    /// Those of a mesh, by its simulation clock.
    Sim {
        /// The mesh's number.
        mesh: i64,
        /// What the clock shows.
        now: Timestamp,
    },
}

impl Due<'_> {
    /// What the clock shows by which they are due, where the real one shows `real_now`.
    fn now(self, real_now: Timestamp) -> Timestamp {
        match self {
            Self::Real { .. } => real_now,
            Self::Sim { now, .. } => now,
        }
    }

    /// What the mesh's clock shows, where they are due by it.
    fn sim_now(self) -> Option<Timestamp> {
        match self {
            Self::Real { .. } => None,
            Self::Sim { now, .. } => Some(now),
        }
    }
}

/// What was fired.
#[derive(Debug, Default)]
pub struct Fired {
    /// Rows that were served.
    pub n_rows: usize,
    /// The messages, to be told after the commit.
    pub committed: Vec<Committed>,
    /// What could not be sent; creators are told after the commit.
    pub failed: Vec<Failure>,
    /// How late each fire was, by the schedule's clock.
    pub late: Vec<Duration>,
    /// There may be more that is due.
    pub more: bool,
}

/// A fire that could not be sent.
#[derive(Debug)]
pub struct Failure {
    /// The mesh's number.
    pub mesh: i64,
    /// The member that made the schedule.
    pub member: i64,
    mesh_id: String,
    schedule: Uuid,
    target: String,
    code: Code,
}

impl Failure {
    /// The event that tells its creator.
    pub fn frame(&self) -> String {
        let data = ScheduleFailed {
            scheduled_id: self.schedule.to_string(),
            to: self.target.clone(),
            code: self.code.as_str().to_owned(),
            message: self.code.message().to_owned(),
        };
        let push = Push {
            message_id: Uuid::new_v4().to_string(),
            mesh_id: self.mesh_id.clone(),
            sender_pubkey: push::SYSTEM.to_owned(),
            priority: Priority::Low,
            nonce: String::new(),
            ciphertext: String::new(),
            created_at: iso(Timestamp::now()),
            target_spec: None,
            subtype: Some(push::SYSTEM.to_owned()),
            event: Some(FAILED.to_owned()),
            event_data: Some(json!(data)),
        };
        skein_wire::encode(&push, None)
    }
}

/// Fires what is due, as much as one transaction takes. The caller has one open, on the connection
/// whose duty it is; it commits, and then tells. While `more`, it calls again.
///
/// A row that cannot be served does not hold up the others: they are served one by one, and it has
/// `internal` in its log.
pub async fn fire(db: &impl GenericClient, due: Due<'_>) -> Result<Fired> {
    let Some(found) = find(db, due).await? else { return Ok(Fired::default()) };
    db.batch_execute("savepoint fire").await?;
    match serve(db, due, found.now, &found.ids).await {
        Ok(fired) => Ok(Fired { more: fired.more || found.is_full, ..fired }),
        Err(error) if alone::is_of_rows(&error) => {
            let error = error.brief();
            warn!(error, "a batch of schedules failed, serving one by one: {error}");
            db.batch_execute("rollback to savepoint fire").await?;
            alone::one_by_one(db, due, &found).await
        }
        Err(error) => Err(error),
    }
}

/// Serves these rows: those that nobody else holds and that are still due.
async fn serve(
    db: &impl GenericClient,
    due: Due<'_>,
    real_now: Timestamp,
    ids: &[Uuid],
) -> Result<Fired> {
    let sim_now = due.sim_now();
    let lock = db.prepare_cached(LOCK).await?;
    let rows = db.query(&lock, &[&ids, &sim_now]).await?;
    let mut batch = Batch::new(due.now(real_now));
    batch.more = rows.len() < ids.len();
    for row in &rows {
        if batch.is_full() {
            batch.more = true;
            break;
        }
        batch.plan(Scheduled::of(row), sim_now.is_some());
    }
    let begun = batch.resolve(db).await?;
    batch.decide(db, &begun).await?;
    batch.write(db, &begun).await?;
    Ok(batch.fired(&begun))
}

/// What is due.
struct Found {
    /// As many as one transaction takes.
    ids: Vec<Uuid>,
    now: Timestamp,
    /// There may be more.
    is_full: bool,
}

async fn find(db: &impl GenericClient, due: Due<'_>) -> Result<Option<Found>> {
    let most = i64::try_from(BATCH_MAX).expect("a small constant");
    let rows = match due {
        Due::Real { buckets } => {
            let due = db.prepare_cached(DUE).await?;
            db.query(&due, &[&buckets, &most]).await?
        }
        Due::Sim { mesh, now } => {
            let due = db.prepare_cached(SIM_DUE).await?;
            db.query(&due, &[&mesh, &most, &now]).await?
        }
    };
    let Some(first) = rows.first() else { return Ok(None) };
    let mut n_bytes = 0;
    let fits = rows.iter().take_while(|row| {
        let is_first = n_bytes == 0;
        n_bytes += usize::try_from(row.get::<_, i32>("bytes")).unwrap_or(0).max(1);
        is_first || n_bytes <= BATCH_BYTES_MAX
    });
    let ids: Vec<Uuid> = fits.map(|row| row.get("id")).collect();
    let is_full = rows.len() == BATCH_MAX || ids.len() < rows.len();
    Ok(Some(Found { ids, now: first.get("now"), is_full }))
}
