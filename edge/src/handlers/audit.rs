//! Audit: query, verify.
//!
//! Every peer of a mesh may read its log, as in the contract.

use serde_json::value::RawValue;
use skein_sql::audit;
use skein_wire::{
    Code,
    audit::{AuditQuery, AuditResult, AuditVerify, AuditVerifyResult, Entry, Request},
    limit,
};
use tracing::error;

use super::{Context, Error, Result};
use crate::{audit as log, measure};

/// Entries of an answer when the question does not say.
const LIMIT: u32 = 50;

/// Serves one audit message.
pub async fn handle(ctx: &Context<'_>, request: Request) -> Result<Option<String>> {
    match request {
        Request::AuditQuery(call) => {
            let found =
                query(ctx, &call).await.map_err(|error| named(Code::AuditQueryError, error))?;
            Ok(ctx.reply::<AuditQuery>(&found))
        }
        Request::AuditVerify(call) => {
            let verified =
                verify(ctx, &call).await.map_err(|error| named(Code::AuditVerifyError, error))?;
            Ok(ctx.reply::<AuditVerify>(&verified))
        }
    }
}

/// The contract has a code of its own for a log that cannot be read, which old clients get too.
fn named(code: Code, error: Error) -> Error {
    let Error::Sql(cause) = error else { return error };
    error!(error = cause.brief(), "the audit log could not be read");
    measure::unserved();
    code.into()
}

async fn query(ctx: &Context<'_>, call: &AuditQuery) -> Result<AuditResult> {
    let mesh = ctx.session.mesh;
    log::catch_up(&ctx.node.pool, mesh).await?;
    let most = i64::try_from(limit::AUDIT_PAGE_MAX).unwrap_or(i64::MAX);
    let limit = i64::from(call.limit.unwrap_or(LIMIT)).min(most);
    let offset = i64::from(call.offset.unwrap_or(0));
    let before = call.before.map_or(i64::MAX, |no| i64::try_from(no).unwrap_or(i64::MAX));
    let db = ctx.db().await?;
    let event_type = call.event_type.as_deref();
    let found = match event_type {
        None => audit::newest(&db, mesh, before, offset, limit).await?,
        Some(kind) => audit::newest_of_type(&db, mesh, kind, before, offset, limit).await?,
    };
    let total = audit::total(&db, mesh, event_type).await?.unsigned_abs();
    let ours = ctx.session.caps.ack;
    Ok(AuditResult { entries: fitting(found).map(|entry| said(entry, ours)).collect(), total })
}

/// The first of these entries, as many as one answer may have.
fn fitting(found: Vec<audit::Entry>) -> impl Iterator<Item = audit::Entry> {
    let mut n_bytes = 0;
    found.into_iter().enumerate().map_while(move |(i, entry)| {
        n_bytes += entry.payload.len();
        (i == 0 || n_bytes <= limit::AUDIT_PAGE_BYTES_MAX).then_some(entry)
    })
}

/// The extension goes to those that asked for it.
fn said(entry: audit::Entry, ours: bool) -> Entry {
    // Whoever put something else there has broken the chain, which `audit_verify` says.
    let payload =
        RawValue::from_string(entry.payload).unwrap_or_else(|_| RawValue::NULL.to_owned());
    Entry {
        id: entry.no.unsigned_abs(),
        event_type: entry.event_type,
        actor: entry.actor,
        actor_id: ours.then_some(entry.actor_id),
        payload,
        hash: entry.hash,
        created_at: entry.created_at,
    }
}

async fn verify(ctx: &Context<'_>, call: &AuditVerify) -> Result<AuditVerifyResult> {
    let session = ctx.session;
    log::catch_up(&ctx.node.pool, session.mesh).await?;
    let after = i64::try_from(call.after.unwrap_or(0)).unwrap_or(i64::MAX);
    let time = limit::AUDIT_VERIFY_TIME;
    Ok(log::verify(&ctx.node.pool, session.mesh, &session.mesh_id, after, time).await?)
}
