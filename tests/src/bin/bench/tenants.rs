//! Meshes with two members each, made by SQL: what bench rows of the worker's duties are about, so
//! that every bucket has something and more than one worker has a share of it.

use skein_sql::{Connector, Settings};
use tokio_postgres::Client;

/// Two meshes for every bucket.
pub const MESHES: i32 = 2 * skein_sql::duties::BUCKETS;

const MAKE: &str = "
    with new as (
        insert into mesh (id, slug, name, owner_key)
        select 'bench-' || i, 'bench-' || i, 'bench', repeat('0', 64)
          from generate_series(1, $1::int) i
        returning no)
    insert into member (id, mesh, pubkey, display_name, role)
    select 'bench-' || n.no || '-' || i, n.no,
           encode(sha256(convert_to(n.no || ' ' || i, 'UTF8')), 'hex'), 'bench', 'member'
      from new n, generate_series(1, 2) i";

/// What errors are here.
pub type Error = Box<dyn std::error::Error>;

/// Connects and makes the meshes.
pub async fn make(url: &str) -> Result<Client, Error> {
    let db = Connector::new(url)?.connect(Settings::Maintenance).await?;
    db.execute(MAKE, &[&MESHES]).await?;
    // One at a time: several in one text are a transaction.
    for table in ["mesh", "member"] {
        db.batch_execute(&format!("vacuum analyze {table}")).await?;
    }
    Ok(db)
}

/// Runs what a row does.
pub fn block_on<T>(doing: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(doing).map_err(|error| chain(&*error))
}

/// An error with its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
