//! Memory: remember, recall, forget.
//!
//! An old client is told that what it wants forgotten is forgotten, as the contract says; what is
//! another's stays all the same. Ours are told why.

use skein_sql::memory::{self, Forgotten, Writer};
use skein_wire::{
    Code, limit,
    memory::{Forget, Memory, MemoryResults, MemoryStored, Recall, Remember, Request},
};

use super::{Context, Error, Result, tags, within};

/// Serves one memory message.
pub async fn handle(ctx: &Context<'_>, request: Request) -> Result<Option<String>> {
    match request {
        Request::Remember(call) => remember(ctx, &call).await,
        Request::Recall(call) => recall(ctx, &call).await,
        Request::Forget(call) => forget(ctx, &call).await,
    }
}

async fn remember(ctx: &Context<'_>, call: &Remember) -> Result<Option<String>> {
    let session = ctx.session;
    let given = call.tags.as_deref().unwrap_or_default();
    within("content", call.content.len(), limit::MEMORY_BYTES_MAX)?;
    tags(given)?;
    let writer =
        Writer { member: session.member, session_key: &session.key, session_name: &session.name };
    let db = ctx.db().await?;
    let id = memory::remember(&db, session.mesh, writer, &call.content, given).await?;
    let id = id.ok_or_else(|| Error::from(Code::MemoryFull))?;
    Ok(ctx.reply::<Remember>(&MemoryStored { id }))
}

async fn recall(ctx: &Context<'_>, call: &Recall) -> Result<Option<String>> {
    within("query", call.query.len(), limit::RECALL_QUERY_BYTES_MAX)?;
    let n_words = memory::grams::words(&call.query).len();
    if n_words > limit::RECALL_WORDS_MAX {
        let max = limit::RECALL_WORDS_MAX;
        let why = format!("`query` has {n_words} different words, at most {max}");
        return Err(Error::Refused(Code::TooLarge, why));
    }
    let db = ctx.db().await?;
    let mut memories = memory::recall(&db, ctx.session.mesh, &call.query).await?;
    if !ctx.session.caps.replies {
        let plain = |memory: &mut Memory| (memory.author, memory.found) = (None, None);
        memories.iter_mut().for_each(plain);
    }
    Ok(ctx.reply::<Recall>(&MemoryResults { memories }))
}

async fn forget(ctx: &Context<'_>, call: &Forget) -> Result<Option<String>> {
    let db = ctx.db().await?;
    let session = ctx.session;
    let forgotten = memory::forget(&db, session.mesh, &call.memory_id, session.member).await?;
    if !ctx.session.caps.replies {
        // The contract acknowledges whatever becomes of it; without `_reqId` it waits for nothing.
        return Ok(ctx.req_id.and_then(|_| ctx.reply::<Forget>(&call.ack())));
    }
    match forgotten {
        Forgotten::Done => Ok(ctx.reply::<Forget>(&call.ack())),
        Forgotten::Unknown => {
            Err(Error::Refused(Code::NotFound, "no memory of this mesh has that id".to_owned()))
        }
        Forgotten::NotAllowed => {
            let why = "only who remembered it, and admins, can have it forgotten";
            Err(Error::Refused(Code::Forbidden, why.to_owned()))
        }
    }
}
