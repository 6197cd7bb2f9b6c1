//! State: set, get, list, remove.
//!
//! The database decides who was first; what was changed is told after the commit.

use skein_sql::state::{self, Author, Outcome};
use skein_wire::{
    Code, Refusal, limit,
    messaging::Ack,
    state::{
        DeleteState, Entry, GetState, ListState, Request, SetState, StateList, StateResult, depth,
    },
};

use super::{Context, Error, Result, within};

/// Serves one state message.
pub async fn handle(ctx: &Context<'_>, request: Request) -> Result<Option<String>> {
    match request {
        Request::SetState(call) => set(ctx, &call).await,
        Request::GetState(call) => get(ctx, &call).await,
        Request::ListState(call) => list(ctx, &call).await,
        Request::DeleteState(call) => delete(ctx, &call).await,
    }
}

/// The session of a call as the author of a change.
pub fn author<'a>(ctx: &Context<'_>) -> Author<'a> {
    let session = ctx.session;
    Author {
        session: session.mailbox,
        attach_no: session.attach_no,
        member: session.member,
        name: None,
    }
}

/// Refuses what is no key of the state, or no value of one.
pub fn check(key: &str, value: &str, ttl_s: Option<u64>) -> Result<()> {
    within("key", key.len(), limit::STATE_KEY_BYTES_MAX)?;
    if key.is_empty() || key.chars().any(char::is_control) {
        let why = "`key` is empty, or has control characters";
        return Err(Error::Refused(Code::InvalidMessage, why.to_owned()));
    }
    within("value", value.len(), limit::STATE_VALUE_BYTES_MAX)?;
    let deep = depth(value);
    if deep > limit::STATE_DEPTH_MAX {
        let max = limit::STATE_DEPTH_MAX;
        let why = format!("`value` is nested {deep} deep, at most {max}");
        return Err(Error::Refused(Code::TooLarge, why));
    }
    let max_s = limit::STATE_TTL_MAX.as_secs();
    if ttl_s.is_some_and(|ttl_s| !(1..=max_s).contains(&ttl_s)) {
        let why = format!("`ttlSeconds` is a number from 1 to {max_s}");
        return Err(Error::Refused(Code::InvalidMessage, why));
    }
    Ok(())
}

async fn set(ctx: &Context<'_>, call: &SetState) -> Result<Option<String>> {
    check(&call.key, call.value.get(), call.ttl_seconds)?;
    let set = state::Set {
        key: &call.key,
        value: call.value.get(),
        if_version: call.if_version,
        ttl_s: call.ttl_seconds,
    };
    let outcome = {
        let _turn = ctx.node.states.writes.acquire().await;
        let mut db = ctx.db().await?;
        state::set(&mut db, ctx.session.mesh, &author(ctx), &set).await?
    };
    changed(ctx, &call.key, outcome)
}

async fn delete(ctx: &Context<'_>, call: &DeleteState) -> Result<Option<String>> {
    let outcome = {
        let _turn = ctx.node.states.writes.acquire().await;
        let db = ctx.db().await?;
        state::remove(&db, ctx.session.mesh, &author(ctx), &call.key, call.if_version).await?
    };
    changed(ctx, &call.key, outcome)
}

/// Tells a change, and answers who made it: with an `ack` that names the version, if it asked for
/// replies, and never with a `state_result`, which an old client would give to a read that waits.
fn changed(ctx: &Context<'_>, key: &str, outcome: Outcome) -> Result<Option<String>> {
    match outcome {
        Outcome::Done(change) => {
            let version = Some(change.version.unsigned_abs());
            ctx.node.states.tell(change);
            let ack = Ack { version, ..Ack::of_request(ctx.req_id) };
            Ok(ctx.session.caps.replies.then(|| skein_wire::encode(&ack, ctx.req_id)))
        }
        Outcome::Differs(current) => {
            let refusal = differs(current.unwrap_or_else(|| Entry::absent(key)));
            Ok(ctx.session.caps.replies.then(|| skein_wire::encode(&refusal, ctx.req_id)))
        }
        Outcome::Absent => Err(Error::Refused(Code::NotFound, format!("no key `{key}`"))),
        Outcome::Full(n) => {
            let max = limit::STATE_KEYS_MAX;
            let why = format!("the mesh has {n} keys, at most {max}; remove some");
            Err(Error::Refused(Code::StateFull, why))
        }
        Outcome::Moved => Err(Code::Superseded.into()),
    }
}

/// The refusal of a change to a key that has another version, with what it holds.
pub fn differs(current: Entry) -> Refusal {
    let version = current.version.unwrap_or(0);
    let why = match version {
        0 => "there is no such key".to_owned(),
        _ => format!("the version is {version}"),
    };
    Refusal { current: Some(Box::new(current)), ..Refusal::with(Code::VersionMismatch, why) }
}

async fn get(ctx: &Context<'_>, call: &GetState) -> Result<Option<String>> {
    let found = state::get(&ctx.db().await?, ctx.session.mesh, &call.key).await?;
    // An empty key is what old clients take for "not found".
    let entry = found.unwrap_or_else(|| Entry::absent(""));
    Ok(ctx.reply::<GetState>(&StateResult::from(shown(ctx, entry))))
}

async fn list(ctx: &Context<'_>, call: &ListState) -> Result<Option<String>> {
    let (prefix, after) = (call.prefix.as_deref(), call.after.as_deref());
    let (prefix, after) = (prefix.unwrap_or_default(), after.unwrap_or_default());
    within("prefix", prefix.len(), limit::STATE_KEY_BYTES_MAX)?;
    within("after", after.len(), limit::STATE_KEY_BYTES_MAX)?;
    let db = ctx.db().await?;
    let (entries, more) = state::list(&db, ctx.session.mesh, prefix, after).await?;
    let entries = entries.into_iter().map(|entry| shown(ctx, entry)).collect();
    let more = (more && ctx.session.caps.replies).then_some(true);
    Ok(ctx.reply::<ListState>(&StateList { entries, more }))
}

/// An entry as this peer is shown it.
fn shown(ctx: &Context<'_>, entry: Entry) -> Entry {
    if ctx.session.caps.replies { entry } else { entry.plain() }
}
