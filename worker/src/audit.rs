//! The audit log: what was noted and what was sent is chained. See `skein_sql::audit`.
//!
//! Messages are looked for by whoever holds the first bucket, in steps of bounded length, and each
//! mesh's notes are chained by whoever holds its bucket. An edge that is asked for a log does the
//! same for it; the rows that both lock make it right, the buckets make it cheap.

use std::time::Duration;

use skein_sql::{
    GenericClient,
    audit::{self, sent::Step},
};
use skein_wire::limit;
use tracing::debug;

use crate::Result;

/// The bucket of what belongs to no mesh.
const GLOBAL: i32 = 0;
/// Steps of one call, so that buckets can be given away in between.
const STEPS_MAX: usize = 20;
/// When there is more than one call does.
const GO_ON: Duration = Duration::from_millis(20);

/// Does what is due in these buckets; returns when more will be.
///
/// # Errors
/// When a statement failed: its transaction is open, so the connection is not used again.
pub async fn once(db: &impl GenericClient, buckets: &[i32]) -> Result<Duration> {
    let mut is_done = true;
    if buckets.contains(&GLOBAL) {
        is_done &= look(db).await?;
    }
    let (mut n_chained, mut n_steps) = (0, 0);
    let meshes = audit::waiting(db, buckets).await?;
    for mesh in &meshes {
        loop {
            let n = audit::chain_alone(db, *mesh).await?;
            (n_chained, n_steps) = (n_chained + n, n_steps + 1);
            if n < audit::STEP_MAX {
                break;
            }
            if n_steps >= STEPS_MAX {
                return Ok(GO_ON);
            }
        }
    }
    if n_chained > 0 {
        debug!(n_chained, "chained {n_chained} entries of {} meshes", meshes.len());
    }
    Ok(if is_done { limit::AUDIT_LOOK } else { GO_ON })
}

/// Looks for messages; returns whether everything was found that there is.
async fn look(db: &impl GenericClient) -> Result<bool> {
    for _ in 0..STEPS_MAX {
        if audit::sent::step_alone(db, limit::AUDIT_PAUSE).await? != Step::More {
            return Ok(true);
        }
    }
    Ok(false)
}
