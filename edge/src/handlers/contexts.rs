//! Contexts: share, find, list.

use skein_sql::contexts;
use skein_wire::{
    Code,
    contexts::{
        ContextList, ContextResults, ContextShared, GetContext, ListContexts, Request, ShareContext,
    },
    limit,
};

use super::{Context, Error, Result, fitting, state::author, tags, within};

/// Serves one contexts message.
pub async fn handle(ctx: &Context<'_>, request: Request) -> Result<Option<String>> {
    match request {
        Request::ShareContext(call) => share(ctx, &call).await,
        Request::GetContext(call) => get(ctx, &call).await,
        Request::ListContexts(_) => list(ctx).await,
    }
}

async fn share(ctx: &Context<'_>, call: &ShareContext) -> Result<Option<String>> {
    within("summary", call.summary.len(), limit::CONTEXT_SUMMARY_BYTES_MAX)?;
    for (field, items) in [("filesRead", &call.files_read), ("keyFindings", &call.key_findings)] {
        let items = items.as_deref().unwrap_or_default();
        if items.len() > limit::CONTEXT_ITEMS_MAX {
            let (n, max) = (items.len(), limit::CONTEXT_ITEMS_MAX);
            let why = format!("`{field}` has {n}, at most {max}");
            return Err(Error::Refused(Code::TooLarge, why));
        }
        within(field, items.iter().map(String::len).sum(), limit::CONTEXT_ITEMS_BYTES_MAX)?;
    }
    tags(call.tags.as_deref().unwrap_or_default())?;
    let shared = contexts::share(&ctx.db().await?, ctx.session.mesh, &author(ctx), call).await?;
    let (id, change) = shared.ok_or_else(|| Error::from(Code::Superseded))?;
    ctx.node.states.tell(change);
    // Without `_reqId`, as the contract says; a peer that matches its replies needs it.
    let req_id = ctx.req_id.filter(|_| ctx.session.caps.replies);
    Ok(Some(skein_wire::encode(&ContextShared { id }, req_id)))
}

async fn get(ctx: &Context<'_>, call: &GetContext) -> Result<Option<String>> {
    within("query", call.query.len(), limit::RECALL_QUERY_BYTES_MAX)?;
    let found = contexts::find(&ctx.db().await?, ctx.session.mesh, &call.query).await?;
    Ok(ctx.reply::<GetContext>(&ContextResults { contexts: fitting(found) }))
}

async fn list(ctx: &Context<'_>) -> Result<Option<String>> {
    let found = contexts::list(&ctx.db().await?, ctx.session.mesh).await?;
    Ok(ctx.reply::<ListContexts>(&ContextList { contexts: fitting(found) }))
}
