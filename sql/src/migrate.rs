//! Migrations: forward only, applied once, by whoever holds the lock.

use crate::{Connector, Error, Result, Settings};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The advisory lock that migrating holds: "skein" in ASCII.
const LOCK: i64 = 0x73_6b_65_69_6e;

/// Brings the database to this program's schema.
///
/// Two programs at once take turns; the second finds nothing to do.
///
/// # Errors
/// When the database is newer than this program, when a migration that was applied has changed
/// since, or when a step fails (it is rolled back).
pub async fn run(connector: &Connector) -> Result<()> {
    let mut client = connector.connect(Settings::Maintenance).await?;
    client.batch_execute("set lock_timeout = 0; set statement_timeout = 0").await?;
    client.execute("select pg_advisory_lock($1)", &[&LOCK]).await?;
    let applied = embedded::migrations::runner()
        .set_abort_divergent(true)
        .set_abort_missing(true)
        .run_async(&mut client)
        .await
        .map_err(|error| Error::Migration(Box::new(error)));
    // The lock belongs to the connection, which ends here.
    applied.map(drop)
}

/// A hash of all migrations: what a template database is named by.
pub fn fingerprint() -> String {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for migration in embedded::migrations::runner().get_migrations() {
        sum = (sum ^ migration.checksum()).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{sum:016x}")
}
