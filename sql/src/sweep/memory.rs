//! What is remembered for a while only: the keys of sends, hooks that wait, what a mesh holds.

use std::time::Duration;

use super::secs;
use crate::{GenericClient, Result, statement::statements};

statements! {
    TURN = "
        select current
          from send_key_turn
         where since < now() - make_interval(secs => $1)
           for update";

    EMPTY_0 = "
        truncate send_key_0";

    EMPTY_1 = "
        truncate send_key_1";

    FLIP = "
        update send_key_turn
           set current = 1 - current, since = now()";

    HOOKS = "
        delete from hook_pending
         where at < now() - make_interval(secs => $1)";

    RECOUNT = "
        update mesh m
           set held_bytes = coalesce(d.bytes, 0)
          from mesh every
          left join (select mesh, sum(bytes)::bigint as bytes
                       from delivery
                      group by mesh) d on d.mesh = every.no
         where m.no = every.no and m.held_bytes <> coalesce(d.bytes, 0)";
}

/// A rotation needs the older table for itself for a moment; batches that use it are over sooner
/// than this, and those behind it wait no longer.
const LOCK_WAIT: &str = "begin; set local lock_timeout = '500ms'";

/// Lets the two tables of keys take turns, if the current one is older than `age`: the older one is
/// emptied and becomes the current one. Returns whether it was time.
///
/// Runs a transaction of its own. The row of the turn is locked first, so of two workers the second
/// finds that it is not time.
pub async fn rotate_keys(db: &impl GenericClient, age: Duration) -> Result<bool> {
    db.batch_execute(LOCK_WAIT).await?;
    let rotated = rotate(db, age).await;
    db.batch_execute(if rotated.is_ok() { "commit" } else { "rollback" }).await?;
    rotated
}

async fn rotate(db: &impl GenericClient, age: Duration) -> Result<bool> {
    let turn = db.prepare_cached(TURN).await?;
    let Some(row) = db.query_opt(&turn, &[&secs(age)]).await? else {
        return Ok(false);
    };
    let older = if row.get::<_, i16>("current") == 0 { EMPTY_1 } else { EMPTY_0 };
    db.batch_execute(older).await?;
    let flip = db.prepare_cached(FLIP).await?;
    db.execute(&flip, &[]).await?;
    Ok(true)
}

/// Forgets hooks that found no session for `age`, and returns how many.
pub async fn drop_hooks(db: &impl GenericClient, age: Duration) -> Result<u64> {
    let hooks = db.prepare_cached(HOOKS).await?;
    Ok(db.execute(&hooks, &[&secs(age)]).await?)
}

/// Counts anew what each mesh holds, and returns how many counts changed.
pub async fn recount(db: &impl GenericClient) -> Result<u64> {
    let recount = db.prepare_cached(RECOUNT).await?;
    Ok(db.execute(&recount, &[]).await?)
}
