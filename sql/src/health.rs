//! What makes deliveries slow without failing (old snapshots, a lazy vacuum, a long queue), and
//! what a measure must say of the server.

use crate::{GenericClient, Result, statement::statements};

statements! {
    HEALTH = "
        select coalesce((select extract(epoch from max(now() - a.xact_start))
                           from pg_stat_activity a
                          where a.backend_xmin is not null
                            and a.pid <> pg_backend_pid()), 0)::float8 as snapshot_s,
               (select setting::float8 from pg_settings
                 where name = 'autovacuum_naptime') as naptime_s,
               (select count(*) from (select from delivery limit $1) d) as waiting,
               current_setting('fsync') as fsync,
               current_setting('synchronous_commit') as synchronous_commit,
               current_setting('server_version') as version";
}

/// Deliveries counted at most.
const WAITING_MAX: i64 = 100_000;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// The age of the oldest snapshot in any database of the cluster, in seconds. It widens every
    /// look and stops vacuum.
    pub oldest_snapshot_s: f64,
    /// `autovacuum_naptime`, in seconds.
    pub autovacuum_naptime_s: f64,
    /// Direct messages that wait for their recipients; counted up to 100,000.
    pub waiting: i64,
    /// `fsync`, as the server says it.
    pub fsync: String,
    /// `synchronous_commit` of a connection that stores messages.
    pub synchronous_commit: String,
    /// The server's version.
    pub version: String,
}

/// Asks the server how it is.
pub async fn read(db: &impl GenericClient) -> Result<Health> {
    let health = db.prepare_cached(HEALTH).await?;
    let row = db.query_one(&health, &[&WAITING_MAX]).await?;
    Ok(Health {
        oldest_snapshot_s: row.get("snapshot_s"),
        autovacuum_naptime_s: row.get("naptime_s"),
        waiting: row.get("waiting"),
        fsync: row.get("fsync"),
        synchronous_commit: row.get("synchronous_commit"),
        version: row.get("version"),
    })
}
