//! The audit log: read, verify. And how routes note what was done over them.
//!
//! A mesh's log is open to its members, as it is over the socket.

use std::sync::Arc;

use openapi::{
    api_keys::Capability,
    audit::{AuditEntries, AuditEntry, AuditVerified},
};
use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
    payload::Json,
};
use skein_openapi as openapi;
use skein_sql::{
    GenericClient,
    audit::{self, Actor},
    members,
    meshes::Mesh,
};
use skein_wire::{Code, audit::Event, limit};

use super::{Caller, Fault, Tag, db};
use crate::{Edge, audit as log};

/// Entries of a page when the request does not say.
const LIMIT: i64 = 100;

/// Notes what a caller does, in the transaction in which it is done.
pub async fn note(
    db: &impl GenericClient,
    caller: &Caller,
    mesh: &Mesh,
    event: Event<'_>,
) -> Result<(), skein_sql::Error> {
    let member = match caller {
        Caller::Key { key, .. } => members::find_by_key(db, mesh.no, key).await?,
        _ => None,
    };
    let actor = match (caller, &member) {
        (_, Some(member)) => Actor::Member(member.mailbox, &member.display_name),
        (Caller::Operator, None) => Actor::Operator,
        (Caller::Key { .. }, None) => Actor::Owner,
        (Caller::Api(key), None) => Actor::Member(key.member, &key.name),
    };
    audit::add(db, mesh.no, actor, event).await
}

/// The routes of the audit log.
#[derive(Debug)]
pub struct AuditRoutes;

#[OpenApi(tag = "Tag::Audit")]
impl AuditRoutes {
    /// Reads the audit log of a mesh, newest first. Members may, and API keys with `audit:read`.
    #[oai(path = "/v1/meshes/:mesh_id/audit", method = "get", operation_id = "listAudit")]
    #[allow(clippy::too_many_arguments, reason = "each is a parameter of the request")]
    async fn list(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        /// Only entries with a smaller number: the `next` of the page before.
        #[oai(validator(minimum(value = "1")))]
        before: Query<Option<i64>>,
        /// Only entries with a larger number, oldest first: the `next` of the page before, or 0.
        #[oai(validator(minimum(value = "0")))]
        after: Query<Option<i64>>,
        /// Only entries of this event; not together with `after`.
        #[oai(name = "eventType", validator(min_length = 1, max_length = 64))]
        event_type: Query<Option<String>>,
        /// At most so many; 100 when left out.
        #[oai(validator(minimum(value = "1"), maximum(value = "1000")))]
        limit: Query<Option<i64>>,
    ) -> Result<Json<AuditEntries>, Fault> {
        if after.is_some() && (before.is_some() || event_type.is_some()) {
            let message = "`after` goes together with neither `before` nor `eventType`";
            return Err(Fault::with(Code::InvalidRequest, message));
        }
        let db = db(&edge).await?;
        let mesh = caller.see(&db, &mesh_id, Capability::AuditRead).await?;
        // Its connection goes back first: few serve all requests.
        drop(db);
        log::catch_up(&edge.pool, mesh.no).await?;
        let db = super::db(&edge).await?;
        let most = limit.unwrap_or(LIMIT);
        let kind = event_type.as_deref();
        let from = before.unwrap_or(i64::MAX);
        // Counted first: who reads to the end has at least so many.
        let total = audit::total(&db, mesh.no, kind).await?;
        let found = match (after.0, kind) {
            (Some(no), _) => audit::after(&db, mesh.no, no, most + 1).await?,
            (None, None) => audit::newest(&db, mesh.no, from, 0, most + 1).await?,
            (None, Some(kind)) => {
                audit::newest_of_type(&db, mesh.no, kind, from, 0, most + 1).await?
            }
        };
        let mut n_bytes = 0;
        let fits = |entry: &&audit::Entry| {
            let is_first = n_bytes == 0;
            n_bytes += entry.payload.len();
            is_first || n_bytes <= limit::AUDIT_PAGE_BYTES_MAX
        };
        let n_fit = found.iter().take(usize::try_from(most).unwrap_or(1)).take_while(fits).count();
        let is_cut = n_fit < found.len();
        let entries: Vec<AuditEntry> = found.into_iter().take(n_fit).map(object).collect();
        let next = entries.last().filter(|_| is_cut).map(|last| last.no);
        Ok(Json(AuditEntries { entries, total, next }))
    }

    /// Computes the hashes of the audit log again, for at most two seconds. Members may, and
    /// API keys with `audit:read`.
    #[oai(path = "/v1/meshes/:mesh_id/audit/verify", method = "get", operation_id = "verifyAudit")]
    async fn verify(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        /// Begins behind this entry: the `next` of the answer before.
        #[oai(validator(minimum(value = "0")))]
        after: Query<Option<i64>>,
    ) -> Result<Json<AuditVerified>, Fault> {
        let db = db(&edge).await?;
        let mesh = caller.see(&db, &mesh_id, Capability::AuditRead).await?;
        drop(db);
        log::catch_up(&edge.pool, mesh.no).await?;
        let (after, time) = (after.unwrap_or(0), limit::AUDIT_VERIFY_TIME);
        let said = log::verify(&edge.pool, mesh.no, &mesh.id, after, time).await?;
        Ok(Json(AuditVerified {
            valid: said.valid,
            entries: said.entries.cast_signed(),
            broken_at: said.broken_at.map(u64::cast_signed),
            next: said.next.map(u64::cast_signed),
        }))
    }
}

fn object(entry: audit::Entry) -> AuditEntry {
    AuditEntry {
        no: entry.no,
        event_type: entry.event_type,
        actor_id: entry.actor_id,
        actor: entry.actor,
        payload: entry.payload,
        created_at: entry.created_at,
        hash: entry.hash,
    }
}
