//! Invites: register, list, revoke.
//!
//! The owner or an admin made and signed the link on its own machine; here only the hash of its
//! token arrives. Invites that make admins are the owner's.

use std::sync::Arc;

use jiff::{Timestamp, ToSpan};
use openapi::{
    invites::{Invite, Invites, NewInvite},
    members::{Grant, Role},
};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use skein_openapi as openapi;
use skein_sql::{Error, invites};
use skein_wire::{Code, audit::Event, limit};

use super::{Body, Caller, Fault, Rank, Tag, audit, db, page};
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
        new: Body<NewInvite>,
    ) -> Result<Registered, Fault> {
        let expires_at = expiry(&new.expires_at)?;
        let mut token_hash = [0; 32];
        hex::decode_to_slice(&new.token_hash, &mut token_hash).expect("its pattern was checked");
        let least = match new.role {
            Grant::Admin => Rank::Owner,
            Grant::Member => Rank::Admin,
        };
        let mut db = db(&edge).await?;
        let (mesh, _) = caller.enter(&db, &mesh_id, least).await?;
        let (new, name) = (&new.0, caller.name());
        let tx = db.transaction().await.map_err(Error::from)?;
        let invite = invites::register(&tx, mesh.no, new, &token_hash, expires_at, name).await?;
        let known = || Fault::with(Code::Conflict, "this token was registered before");
        let invite = invite.ok_or_else(known)?;
        let event = Event::InviteCreated {
            invite_id: &invite.id,
            role: Role::from(invite.role).as_str(),
            uses: invite.uses,
            expires_at: &invite.expires_at,
        };
        audit::note(&tx, &caller, &mesh, event).await?;
        tx.commit().await.map_err(Error::from)?;
        Ok(Registered::Registered(Json(invite)))
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
        let mut db = db(&edge).await?;
        let (mesh, rank) = caller.enter(&db, &mesh_id, Rank::Admin).await?;
        let tx = db.transaction().await.map_err(Error::from)?;
        let is_done = match rank {
            Rank::Admin => invites::revoke_plain(&tx, mesh.no, &invite_id).await?,
            _ => invites::revoke(&tx, mesh.no, &invite_id).await?,
        };
        if is_done {
            let event = Event::InviteRevoked { invite_id: &invite_id };
            audit::note(&tx, &caller, &mesh, event).await?;
            tx.commit().await.map_err(Error::from)?;
            return Ok(Ended::Ended);
        }
        drop(tx);
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
