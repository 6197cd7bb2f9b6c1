//! What is found out before a worker becomes a node: that it can do its work here.

use skein_sql::{Connector, Settings, direct, fence, migrate};
use tracing::warn;

use crate::Result;

/// Brings the database to our schema, refuses to run behind a transaction pooler, and finds out
/// whether other nodes' backends can be terminated.
///
/// # Errors
/// When there is a pooler, the database is newer than this program, or cannot be reached.
pub async fn check(connector: &Connector) -> Result<()> {
    direct::require(connector).await?;
    migrate::run(connector).await?;
    let db = connector.connect(Settings::Ordinary).await?;
    let spare = connector.connect(Settings::Ordinary).await?;
    if !fence::may_terminate(&db, &spare).await? {
        warn!("this role may not terminate backends: dead nodes are fenced when they are gone");
    }
    let n_foreign = fence::foreign(&db).await?;
    if n_foreign > 0 {
        warn!(
            n_foreign,
            "{n_foreign} backends of living nodes belong to another role; give all programs one \
             role, or their fence has to wait"
        );
    }
    Ok(())
}
