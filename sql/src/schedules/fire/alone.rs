//! One by one: what is done of a batch that failed for what is in it.
//!
//! Such a failure would come again, and stop every schedule of the buckets. So each row is served
//! alone, and the one that fails then has a failed fire in its log and goes on to its next slot; a
//! one-shot is done. A row that takes too long is only put aside for a while: what held it up, a
//! lock or a busy disk, is seldom its own. What may pass is not of this kind: the connection, the
//! server's resources, other transactions, a schema that is just changed. Then nothing is written,
//! and the duty tries again on another connection.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use skein_wire::{
    Code,
    cron::Cron,
    schedules::{Missed, Outcome},
};
use tokio_postgres::{Row, error::SqlState};
use tracing::{error, warn};
use uuid::Uuid;

use super::{
    super::{
        log,
        slots::{Calendar, Slot, serve_at},
        zone,
    },
    Due, Failure, Fired, Found, serve,
};
use crate::{Error, GenericClient, Result, statement::statements};

statements! {
    // Without the body, which may be what cannot be read.
    HOLD = "
        select s.id, s.mesh, s.member, s.target, s.cron, s.tz, s.clock, s.jitter_s, s.state, s.slot,
               s.serve_at, h.id as mesh_id
          from schedule s
          join mesh h on h.no = s.mesh
         where s.id = $1
           and (s.due_at <= now() or $2::timestamptz is not null and s.sim_due_at <= $2)
           for update of s skip locked";

    // By the real clock: what is due by a mesh's is looked at again with its next tick.
    PUT_ASIDE = "
        update schedule
           set serve_at = case when clock = 'real' and serve_at <= now()
                               then now() + make_interval(secs => $2) else serve_at end,
               run_at = case when run_at <= now()
                             then now() + make_interval(secs => $2) else run_at end
         where id = $1 and state <> 'done'";

    GIVE_UP = "
        update schedule
           set slot = $2, serve_at = $3, run_at = null,
               state = case when $4 then 'done' else state end,
               done_at = case when $4 then now() end
         where id = $1";
}

/// What takes longer is committed before more is served: a row may take as long as a statement.
const TURN: Duration = Duration::from_secs(2);
/// How long a row that took too long is put aside. It is late, not missed.
const ASIDE: Duration = Duration::from_secs(30);

/// Whether it would come again, for what is in the rows or how much of it there is.
pub(super) fn is_of_rows(error: &Error) -> bool {
    let Some(state) = error.state().map(|state| state.code()) else { return false };
    // Connection; a plan or statement that is not valid any more, or a standby that was asked;
    // concurrency; a schema of another version; resources; locks; the server goes or comes.
    let passes = ["08", "0A", "25", "26", "28", "3D", "3F", "40", "42", "53", "55", "57P"];
    !passes.iter().any(|class| state.starts_with(class)) && !error.is_missing_partition()
}

/// Serves these one by one, as many as a turn takes and at least one.
pub(super) async fn one_by_one(
    db: &impl GenericClient,
    due: Due<'_>,
    found: &Found,
) -> Result<Fired> {
    let mut all = Fired { more: true, ..Fired::default() };
    let since = Instant::now();
    for id in &found.ids {
        db.batch_execute("savepoint fire").await?;
        match serve(db, due, found.now, std::slice::from_ref(id)).await {
            Ok(fired) => {
                all.n_rows += fired.n_rows;
                all.committed.extend(fired.committed);
                all.failed.extend(fired.failed);
                all.late.extend(fired.late);
            }
            Err(failure) if failure.state() == Some(&SqlState::QUERY_CANCELED) => {
                warn!(schedule = %id, "schedule {id} took too long and is put aside");
                db.batch_execute("rollback to savepoint fire").await?;
                let put_aside = db.prepare_cached(PUT_ASIDE).await?;
                db.execute(&put_aside, &[id, &ASIDE.as_secs_f64()]).await?;
                // By a mesh's clock it is due until the next tick.
                all.more = matches!(due, Due::Real { .. });
            }
            Err(failure) if is_of_rows(&failure) => {
                let failure = failure.brief();
                error!(failure, schedule = %id, "schedule {id} could not be served: {failure}");
                db.batch_execute("rollback to savepoint fire").await?;
                if let Some(failed) = give_up(db, due, found.now, *id).await? {
                    all.n_rows += 1;
                    all.failed.push(failed);
                }
            }
            Err(error) => return Err(error),
        }
        if since.elapsed() >= TURN {
            break;
        }
    }
    Ok(all)
}

/// Logs that a row could not be served and has it go on; `None` when another holds it, or it is due
/// no more.
async fn give_up(
    db: &impl GenericClient,
    due: Due<'_>,
    real_now: Timestamp,
    id: Uuid,
) -> Result<Option<Failure>> {
    let hold = db.prepare_cached(HOLD).await?;
    let Some(row) = db.query_opt(&hold, &[&id, &due.sim_now()]).await? else { return Ok(None) };
    let (failed, next) = left(&row, due, real_now);
    let is_done = next.is_none();
    let jitter_s = jitter_s(&row);
    let slot = next.unwrap_or_else(|| row.get("slot"));
    let detail = format!("{}: {}", Code::Internal.as_str(), Code::Internal.message());
    let give_up = db.prepare_cached(GIVE_UP).await?;
    db.execute(&give_up, &[&id, &slot, &serve_at(id, slot, jitter_s), &is_done]).await?;
    log::entry(db, id, failed, due.now(real_now), Outcome::Failed, &detail).await?;
    Ok(Some(Failure {
        mesh: row.get("mesh"),
        member: row.get("member"),
        mesh_id: row.get("mesh_id"),
        schedule: id,
        target: row.get("target"),
        code: Code::Internal,
    }))
}

/// The slot that is given up, the last of them where there are several, and the next of the row.
fn left(row: &Row, due: Due<'_>, real_now: Timestamp) -> (Slot, Option<Timestamp>) {
    let (slot, serve_at): (Timestamp, Timestamp) = (row.get("slot"), row.get("serve_at"));
    let is_sim = row.get::<_, &str>("clock") == "sim";
    let now = due.now(real_now);
    let is_due = row.get::<_, &str>("state") == "active"
        && is_sim == matches!(due, Due::Sim { .. })
        && serve_at <= now;
    if !is_due {
        // It was asked to fire beside its slots.
        return (Slot { at: real_now, serve_at: real_now }, Some(slot));
    }
    let first = Slot { at: slot, serve_at };
    let Some(Ok(cron)) = row.get::<_, Option<&str>>("cron").map(Cron::parse) else {
        return (first, None);
    };
    let calendar = Calendar {
        id: row.get("id"),
        cron: Some(&cron),
        zone: &zone(row.get("tz")),
        jitter_s: jitter_s(row),
        missed: Missed::Skip,
        slot,
    };
    let plan = calendar.skip(now);
    (plan.skipped.map_or(first, |(_, last)| last), plan.next)
}

fn jitter_s(row: &Row) -> u32 {
    u32::try_from(row.get::<_, i32>("jitter_s")).unwrap_or_default()
}
