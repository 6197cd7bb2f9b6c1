//! The audit log as this edge gives it: what was noted is chained first, so that whoever asks sees
//! what was done before; verifying goes page by page and is bounded in time.

use std::time::{Duration, Instant};

use skein_crypto::audit::{Chain, Link};
use skein_sql::{Error, Pool, audit};
use skein_wire::{audit::AuditVerifyResult, limit};
use tracing::debug;

/// Steps of chaining that one question does; what is left then, workers do.
const STEPS_MAX: usize = 4;
/// Entries that are read at once to be verified.
const PAGE: i64 = 1000;

/// Chains what was noted in a mesh until now. Workers do the same every few seconds, so nothing is
/// lost when it fails, as when somebody else is at it for too long.
pub async fn catch_up(pool: &Pool, mesh: i64) -> Result<(), Error> {
    match chain(pool, mesh).await {
        Err(error) if error.is_retriable() => {
            debug!(%error, "the log is read without what was just noted");
            Ok(())
        }
        chained => chained,
    }
}

async fn chain(pool: &Pool, mesh: i64) -> Result<(), Error> {
    let mut db = pool.get().await?;
    // The transactions end with their guards, whatever becomes of whoever asks.
    let looking = db.transaction().await?;
    audit::sent::step(&looking, limit::AUDIT_PAUSE).await?;
    looking.commit().await?;
    for _ in 0..STEPS_MAX {
        let chaining = db.transaction().await?;
        let n_chained = audit::chain(&chaining, mesh).await?;
        chaining.commit().await?;
        if n_chained < audit::STEP_MAX {
            break;
        }
    }
    Ok(())
}

/// Computes the hashes of a mesh's log again, from behind the entry `after`, for at most `time`.
/// Each page has a connection of its own: who verifies keeps nobody waiting.
pub async fn verify(
    pool: &Pool,
    mesh: i64,
    mesh_id: &str,
    after: i64,
    time: Duration,
) -> Result<AuditVerifyResult, Error> {
    let until = Instant::now() + time;
    let hash = audit::hash_at(&pool.get().await?, mesh, after).await?;
    // Behind an entry that is not there nothing can be right.
    let Some(hash) = hash else { return Ok(broken(after.unsigned_abs(), after.unsigned_abs())) };
    let mut chain = Chain::at(mesh_id, after.unsigned_abs(), &hash);
    loop {
        let db = pool.get().await?;
        let page = audit::after(&db, mesh, chain.no().cast_signed(), PAGE).await?;
        let checked = page.iter().try_for_each(|entry| chain.take(&link(entry)));
        if let Err(no) = checked {
            return Ok(broken(audit::end(&db, mesh).await?.0.unsigned_abs(), no));
        }
        if page.is_empty() {
            // Read after the entries, so it is at or behind the last of them.
            let (no, hash) = audit::end(&db, mesh).await?;
            let no = no.unsigned_abs();
            return match chain.no() {
                last if last == no && chain.hash() == hash => {
                    Ok(AuditVerifyResult { valid: true, entries: no, broken_at: None, next: None })
                }
                // Appended between the two questions.
                last if last < no
                    && audit::hash_at(&db, mesh, no_of(last) + 1).await?.is_some() =>
                {
                    continue;
                }
                last if last < no => Ok(broken(no, last + 1)),
                last if last == no => Ok(broken(no, no)),
                _ => Ok(broken(no, no + 1)),
            };
        }
        if Instant::now() >= until {
            let n_checked = chain.no();
            let (broken_at, next) = (None, Some(n_checked));
            return Ok(AuditVerifyResult { valid: true, entries: n_checked, broken_at, next });
        }
    }
}

fn no_of(no: u64) -> i64 {
    no.cast_signed()
}

fn broken(entries: u64, no: u64) -> AuditVerifyResult {
    AuditVerifyResult { valid: false, entries, broken_at: Some(no), next: None }
}

fn link(entry: &audit::Entry) -> Link<'_> {
    Link {
        no: entry.no.unsigned_abs(),
        event_type: &entry.event_type,
        actor: &entry.actor_id,
        payload: &entry.payload,
        created_at: &entry.created_at,
        hash: &entry.hash,
    }
}
