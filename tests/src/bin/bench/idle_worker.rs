//! How many queries an idle worker makes: the transactions of a database that nobody else is in.

use std::time::Duration;

use skein_tests::place::{Place, Setup};
use tokio::time::sleep;
use tokio_postgres::Client;

use super::tenants::{self, Error};

/// For what is done at the start. The server counts what a connection did when it is used again, or
/// when it has been idle for ten seconds (PGSTAT_IDLE_INTERVAL in PostgreSQL's `pgstat.c`).
const WARM: Duration = Duration::from_secs(30);
/// How long it is looked at.
const LOOK: Duration = Duration::from_secs(60);

/// The server counts what is not in a transaction of its own as one each.
const ASKED: &str = "
    select xact_commit + xact_rollback from pg_stat_database where datname = current_database()";

/// Queries a second of one worker beside nobody.
pub fn queries() -> Result<f64, String> {
    tenants::block_on(measure())
}

async fn measure() -> Result<f64, Error> {
    let place = Place::start(Setup { edges: 0, workers: 1, ..Setup::default() }).await;
    let db = place.db().await;
    // What vacuums asks too, and is no worker of ours.
    db.batch_execute("alter system set autovacuum = off").await?;
    db.batch_execute("select pg_reload_conf()").await?;
    sleep(WARM).await;
    let before = asked(&db).await?;
    sleep(LOOK).await;
    // Our own question is among them.
    let n_asked = asked(&db).await? - before - 1;
    drop(db);
    place.stop().await;
    Ok(n_asked as f64 / LOOK.as_secs_f64())
}

async fn asked(db: &Client) -> Result<i64, Error> {
    Ok(db.query_one(ASKED, &[]).await?.get(0))
}
