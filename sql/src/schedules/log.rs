//! One entry of a schedule's log, beside those that fires write together.

use jiff::Timestamp;
use skein_wire::{limit, schedules::Outcome};
use uuid::Uuid;

use super::slots::Slot;
use crate::{GenericClient, Result, statement::statements};

statements! {
    // The log keeps as many as ever.
    ENTRY = "
        with counted as (
            update schedule
               set n_logged = n_logged + 1
             where id = $1
            returning id, mesh, n_logged),
        forgotten as (
            delete from schedule_fire f
             using counted c
             where f.schedule = c.id and f.n = c.n_logged - $6)
        insert into schedule_fire (schedule, mesh, n, slot, at, late_ms, outcome, detail)
        select id, mesh, n_logged, $2, now(), $3, $4, $5
          from counted";
}

/// Logs what became of a slot. The caller holds the schedule's row.
pub(super) async fn entry(
    db: &impl GenericClient,
    id: Uuid,
    slot: Slot,
    now: Timestamp,
    outcome: Outcome,
    detail: &str,
) -> Result<()> {
    let entry = db.prepare_cached(ENTRY).await?;
    let (late_ms, kept) = (slot.late_ms(now), limit::SCHEDULE_FIRES_KEPT);
    db.execute(&entry, &[&id, &slot.at, &late_ms, &outcome.as_str(), &detail, &kept]).await?;
    Ok(())
}
