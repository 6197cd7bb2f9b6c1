//! What a member does with a schedule of its own that is not done: end, stop, go on, fire now.

use jiff::Timestamp;
use skein_wire::{
    cron::Cron,
    schedules::{Missed, Outcome},
};
use uuid::Uuid;

use super::{
    log, since,
    slots::{Calendar, serve_at},
    zone,
};
use crate::{GenericClient, Result, statement::statements};

statements! {
    CANCEL = "
        delete from schedule
         where mesh = $1 and member = $2 and id = $3 and state in ('active', 'paused')
        returning target";

    PAUSE = "
        update schedule
           set state = 'paused'
         where mesh = $1 and member = $2 and id = $3 and state = 'active'";

    LOCK = "
        select cron, tz, clock, jitter_s, slot, serve_at
          from schedule
         where mesh = $1 and member = $2 and id = $3 and state = 'paused'
           for update";

    RESUME = "
        update schedule
           set state = 'active', slot = $4, serve_at = $5
         where mesh = $1 and member = $2 and id = $3 and state = 'paused'";

    // To the millisecond, as it is said and as its message's id is made.
    RUN = "
        update schedule
           set run_at = date_trunc('milliseconds', clock_timestamp())
         where mesh = $1 and member = $2 and id = $3 and state in ('active', 'paused')
           and run_at is null";
}

/// Ends a schedule that is not done; returns its target, or `None` when there is none.
pub async fn cancel(
    db: &impl GenericClient,
    mesh: i64,
    member: i64,
    id: Uuid,
) -> Result<Option<String>> {
    let cancel = db.prepare_cached(CANCEL).await?;
    let row = db.query_opt(&cancel, &[&mesh, &member, &id]).await?;
    Ok(row.map(|row| row.get("target")))
}

/// Stops a schedule that is active; false when there is none.
pub async fn pause(db: &impl GenericClient, mesh: i64, member: i64, id: Uuid) -> Result<bool> {
    let pause = db.prepare_cached(PAUSE).await?;
    Ok(db.execute(&pause, &[&mesh, &member, &id]).await? == 1)
}

/// Lets a schedule that is paused go on; false when there is none. Slots that passed meanwhile are
/// not made up for, and the log says so; a one-shot keeps its own. `now` is by the schedule's
/// clock. The caller has a transaction open.
pub async fn resume(
    db: &impl GenericClient,
    mesh: i64,
    member: i64,
    id: Uuid,
    now: Timestamp,
) -> Result<bool> {
    let lock = db.prepare_cached(LOCK).await?;
    let Some(row) = db.query_opt(&lock, &[&mesh, &member, &id]).await? else { return Ok(false) };
    let mut slot: Timestamp = row.get("slot");
    let jitter_s = u32::try_from(row.get::<_, i32>("jitter_s")).unwrap_or_default();
    if let Some(text) = row.get::<_, Option<&str>>("cron")
        && let Ok(cron) = Cron::parse(text)
        && row.get::<_, Timestamp>("serve_at") <= now
    {
        let (zone, missed) = (&zone(row.get("tz")), Missed::Skip);
        let plan = Calendar { id, cron: Some(&cron), zone, jitter_s, missed, slot }.skip(now);
        if let (Some((first, last)), Some(next)) = (plan.skipped, plan.next) {
            log::entry(db, id, last, now, Outcome::Missed, &since(first)).await?;
            slot = next;
        }
    }
    let resume = db.prepare_cached(RESUME).await?;
    let values = (slot, serve_at(id, slot, jitter_s));
    Ok(db.execute(&resume, &[&mesh, &member, &id, &values.0, &values.1]).await? == 1)
}

/// Has a schedule fire beside its slots; false when there is none, or it waits to do so already.
pub async fn run(db: &impl GenericClient, mesh: i64, member: i64, id: Uuid) -> Result<bool> {
    let run = db.prepare_cached(RUN).await?;
    Ok(db.execute(&run, &[&mesh, &member, &id]).await? == 1)
}
