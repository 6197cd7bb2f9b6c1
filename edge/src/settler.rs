//! The settler: gathers what was received and forgets the work. See delivery.md 6.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use skein_sql::{Error, Pool, fail, settle};
use tokio::sync::mpsc;
use tracing::warn;

use crate::{measure, node::pause, session::Pending};

/// How long rows are gathered.
const GATHER: Duration = Duration::from_millis(10);
/// Rows settled by one statement.
const ROWS_MAX: usize = 4096;

/// A row that was received, as (seq, recipient), and when that was.
pub type Received = (i64, i64, Instant);

/// Settles what comes, until nothing can come any more. `waiting` counts what is on its way.
pub async fn run(
    pool: Pool,
    mut received: mpsc::UnboundedReceiver<Received>,
    waiting: Arc<Pending>,
) {
    let mut rows: Vec<Received> = Vec::new();
    while received.recv_many(&mut rows, ROWS_MAX).await > 0 {
        tokio::time::sleep(GATHER).await;
        while rows.len() < ROWS_MAX {
            let Ok(row) = received.try_recv() else { break };
            rows.push(row);
        }
        // In one order everywhere, so that two settlers of the same rows do not wait for each other.
        rows.sort_unstable_by_key(|row| (row.0, row.1));
        let pairs: Vec<(i64, i64)> = rows.iter().map(|row| (row.0, row.1)).collect();
        while let Err(error) = once(&pool, &pairs).await {
            if error.is_fenced() {
                return;
            }
            if error.is_missing_partition() {
                pause::partition(&pool).await;
                continue;
            }
            warn!(%error, "settling waits for the database");
            if pause::database(&pool).await.is_err() {
                return;
            }
        }
        for (_, _, since) in rows.drain(..) {
            measure::settled(since.elapsed());
            waiting.done();
        }
    }
}

async fn once(pool: &Pool, rows: &[(i64, i64)]) -> Result<(), Error> {
    let db = pool.get().await?;
    fail::point("settle.before").await;
    settle::settle(&db, rows).await
}
