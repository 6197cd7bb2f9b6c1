//! Stats: set.

use serde_json::Value;
use skein_sql::sessions;
use skein_wire::{
    limit,
    stats::{Request, SetStats},
};

use super::{Context, Result, within};

/// Serves one stats message.
pub async fn handle(ctx: &Context<'_>, request: Request) -> Result<Option<String>> {
    match request {
        Request::SetStats(call) => set(ctx, call).await.map(|()| None),
    }
}

async fn set(ctx: &Context<'_>, call: SetStats) -> Result<()> {
    let stats = Value::Object(call.stats);
    within("stats", stats.to_string().len(), limit::STATS_BYTES_MAX)?;
    let db = ctx.db().await?;
    let session = ctx.session;
    ctx.current(sessions::set_stats(&db, session.mailbox, session.attach_no, &stats).await?)
}
