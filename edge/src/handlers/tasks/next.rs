//! The next task of a queue.
//!
//! Claimers pass over what others are just about to claim, so they do not wait for each other. One
//! that finds nothing else looks whether something is still open, because a claim that is under way
//! may come to nothing; then it asks again, so no task is passed over.

use std::time::{Duration, Instant};

use skein_sql::tasks::{self, Wanted};
use skein_wire::{
    Code,
    tasks::{Change, ClaimNext, TaskResult},
};
use tokio::time::sleep;

use super::{super::tags, Context, Error, Result, claimer, lease, tell};

/// How long a claimer waits for what others hold. A claim takes milliseconds; only a database
/// connection that hangs holds a task longer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Gives the caller the next task, or none.
pub async fn claim(ctx: &Context<'_>, call: &ClaimNext) -> Result<Option<String>> {
    let lease = lease(call.lease_seconds)?;
    let session = ctx.session;
    let given = call.tags.as_deref().unwrap_or_default();
    tags(given)?;
    let mut names = session.log_targets();
    names.extend([session.name.clone(), session.key.clone()]);
    let wanted = Wanted { names: &names, tags: given };
    let claimer = claimer(ctx, call.holder);
    let since = Instant::now();
    loop {
        let db = ctx.db().await?;
        let next = tasks::claim_next(&db, session.mesh, wanted, claimer, lease).await?;
        if let Some(id) = next {
            let task = tasks::get(&db, session.mesh, &id).await?;
            drop(db);
            tell(ctx, Change::Claimed, &id).await?;
            return Ok(ctx.reply::<ClaimNext>(&TaskResult { task }));
        }
        if !tasks::is_any_next(&db, session.mesh, wanted, session.member).await? {
            return Ok(ctx.reply::<ClaimNext>(&TaskResult { task: None }));
        }
        drop(db);
        if since.elapsed() > PATIENCE {
            let why = "what is open is being claimed just now; ask again";
            return Err(Error::Refused(Code::Unavailable, why.to_owned()));
        }
        sleep(PAUSE).await;
    }
}
