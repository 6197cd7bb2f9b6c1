//! Invites: register, list, revoke.
//!
//! The owner or an admin made and signed the link on its own machine; here only the hash of its
//! token arrives. Invites that make admins are the owner's.

use std::sync::Arc;

use jiff::{Timestamp, ToSpan};
use openapi::{
    invites::{Invite, Invites, NewInvite},
    members::Grant,
};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use skein_openapi as openapi;
use skein_sql::invites;
use skein_wire::{Code, limit};

use super::{Caller, Fault, Rank, Tag, db, page};
use crate::Edge;

/// The routes of invites.
#[derive(Debug)]
pub struct InviteRoutes;

/// An invite is known.
#[derive(Debug, ApiResponse)]
pub enum Registered {
    /// The invite.
    #[oai(status = 201)]
    Registered(Json<Invite>),
}

/// An invite has ended.
#[derive(Debug, ApiResponse)]
pub enum Ended {
    /// It lets nobody in any more. Asking again does no harm.
    #[oai(status = 204)]
    Ended,
}

#[OpenApi(tag = "Tag::Invites")]
impl InviteRoutes {
    /// Registers an invite. Admins may, for members; the owner and the operator also for admins.
    #[oai(path = "/v1/meshes/:mesh_id/invites", method = "post", operation_id = "registerInvite")]
    async fn register(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        new: Json<NewInvite>,
    ) -> Result<Registered, Fault> {
        let expires_at = expiry(&new.expires_at)?;
        let mut token_hash = [0; 32];
        hex::decode_to_slice(&new.token_hash, &mut token_hash).expect("its pattern was checked");
        let least = match new.role {
            Grant::Admin => Rank::Owner,
            Grant::Member => Rank::Admin,
        };
        let db = db(&edge).await?;
        let (mesh, _) = caller.enter(&db, &mesh_id, least).await?;
        let (new, name) = (&new.0, caller.name());
        let invite = invites::register(&db, mesh.no, new, &token_hash, expires_at, name).await?;
        let known = || Fault::with(Code::Conflict, "this token was registered before");
        Ok(Registered::Registered(Json(invite.ok_or_else(known)?)))
    }

    /// Lists the invites of a mesh, newest first. Admins may.
    #[oai(path = "/v1/meshes/:mesh_id/invites", method = "get", operation_id = "listInvites")]
    async fn list(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        /// The `next` of the page before.
        after: Query<Option<String>>,
    ) -> Result<Json<Invites>, Fault> {
        let db = db(&edge).await?;
        let (mesh, _) = caller.enter(&db, &mesh_id, Rank::Admin).await?;
        let most = limit::LIST_MAX as i64 + 1;
        let found = invites::list(&db, mesh.no, after.as_deref(), most).await?;
        let (invites, next) = page(found, limit::LIST_MAX, |invite| &invite.id);
        Ok(Json(Invites { invites, next }))
    }

    /// Ends an invite before its time. Admins may end those for members; the owner and the operator
    /// all.
    #[oai(
        path = "/v1/meshes/:mesh_id/invites/:invite_id",
        method = "delete",
        operation_id = "revokeInvite"
    )]
    async fn revoke(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        invite_id: Path<String>,
    ) -> Result<Ended, Fault> {
        let db = db(&edge).await?;
        let (mesh, rank) = caller.enter(&db, &mesh_id, Rank::Admin).await?;
        let is_done = match rank {
            Rank::Admin => invites::revoke_plain(&db, mesh.no, &invite_id).await?,
            _ => invites::revoke(&db, mesh.no, &invite_id).await?,
        };
        if is_done {
            return Ok(Ended::Ended);
        }
        match invites::find(&db, mesh.no, &invite_id).await? {
            Some(_) => Err(Fault::with(Code::Forbidden, "this takes the owner or the operator")),
            None => Err(Fault::with(Code::NotFound, "the mesh has no such invite")),
        }
    }
}

fn expiry(text: &str) -> Result<Timestamp, Fault> {
    let wrong = |message| Fault::with(Code::InvalidRequest, message);
    let at: Timestamp =
        text.parse().map_err(|_| wrong("expiresAt is not ISO 8601 with a zone".to_owned()))?;
    let now = Timestamp::now();
    let latest = now + (limit::INVITE_DAYS_MAX * 24).hours();
    match at {
        at if at <= now => Err(wrong("expiresAt is past".to_owned())),
        at if at > latest => {
            Err(wrong(format!("expiresAt is over {} days ahead", limit::INVITE_DAYS_MAX)))
        }
        at => Ok(at),
    }
}
