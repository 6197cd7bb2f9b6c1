//! Members: list, change the role, revoke.
//!
//! Admins revoke plain members only; what makes or ends admins is the owner's. Nobody touches
//! owners.

use std::sync::Arc;

use openapi::members::{Member, Members, Role, RoleChange};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use skein_openapi as openapi;
use skein_sql::{Error, members};
use skein_wire::{Code, audit::Event, limit};

use super::{Body, Caller, Fault, Rank, Tag, audit, db, page};
use crate::Edge;

/// The routes of members.
#[derive(Debug)]
pub struct MemberRoutes;

/// A member was revoked.
#[derive(Debug, ApiResponse)]
pub enum Revoked {
    /// Its sockets are being closed, on every edge. Asking again does no harm.
    #[oai(status = 204)]
    Revoked,
}

#[OpenApi(tag = "Tag::Members")]
impl MemberRoutes {
    /// Lists the members of a mesh. Members may.
    #[oai(path = "/v1/meshes/:mesh_id/members", method = "get", operation_id = "listMembers")]
    async fn list(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        /// The `next` of the page before.
        after: Query<Option<String>>,
    ) -> Result<Json<Members>, Fault> {
        let db = db(&edge).await?;
        let (mesh, _) = caller.enter(&db, &mesh_id, Rank::Member).await?;
        let most = limit::LIST_MAX as i64 + 1;
        let found = members::list(&db, mesh.no, after.as_deref(), most).await?;
        let (members, next) = page(found, limit::LIST_MAX, |member| &member.id);
        Ok(Json(Members { members, next }))
    }

    /// Gives a member another role. The owner may, and the operator.
    #[oai(
        path = "/v1/meshes/:mesh_id/members/:member_id",
        method = "patch",
        operation_id = "changeRole"
    )]
    async fn change_role(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        member_id: Path<String>,
        change: Body<RoleChange>,
    ) -> Result<Json<Member>, Fault> {
        let mut db = db(&edge).await?;
        let (mesh, _) = caller.enter(&db, &mesh_id, Rank::Owner).await?;
        let tx = db.transaction().await.map_err(Error::from)?;
        if !members::set_role(&tx, mesh.no, &member_id, change.role).await? {
            refuse(members::find(&tx, mesh.no, &member_id).await?)?;
        }
        let role = Role::from(change.role).as_str();
        let event = Event::RoleChanged { member_id: &member_id, role };
        audit::note(&tx, &caller, &mesh, event).await?;
        tx.commit().await.map_err(Error::from)?;
        let member = members::read(&db, mesh.no, &member_id).await?;
        member.map(Json).ok_or_else(no_such_member)
    }

    /// Revokes a member: its sockets are closed on every edge, and its key never joins again.
    /// Admins may revoke members; the owner and the operator also admins.
    #[oai(
        path = "/v1/meshes/:mesh_id/members/:member_id",
        method = "delete",
        operation_id = "revokeMember"
    )]
    async fn revoke(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        member_id: Path<String>,
    ) -> Result<Revoked, Fault> {
        let mut db = db(&edge).await?;
        let (mesh, rank) = caller.enter(&db, &mesh_id, Rank::Admin).await?;
        let tx = db.transaction().await.map_err(Error::from)?;
        let revoked = match rank {
            Rank::Admin => members::revoke_plain(&tx, mesh.no, &member_id).await?,
            _ => members::revoke(&tx, mesh.no, &member_id).await?,
        };
        if revoked.is_some() {
            let event = Event::MemberRevoked { member_id: &member_id };
            audit::note(&tx, &caller, &mesh, event).await?;
        }
        tx.commit().await.map_err(Error::from)?;
        let mailbox = match revoked {
            Some(mailbox) => mailbox,
            // Asked again, perhaps since the sockets did not go: they are closed again.
            None => match members::find(&db, mesh.no, &member_id).await? {
                Some(member) if member.is_revoked => member.mailbox,
                found => return refuse(found).map(|()| Revoked::Revoked),
            },
        };
        edge.close_member(mailbox).await;
        Ok(Revoked::Revoked)
    }
}

/// Says why nothing was done to this member.
fn refuse(found: Option<members::Member>) -> Result<(), Fault> {
    match found {
        Some(member) if member.is_revoked => Err(no_such_member()),
        Some(member) if member.role == Role::Owner => {
            Err(Fault::with(Code::Forbidden, "an owner stays as it is"))
        }
        Some(_) => Err(Fault::with(Code::Forbidden, "this takes the owner or the operator")),
        None => Err(no_such_member()),
    }
}

fn no_such_member() -> Fault {
    Fault::with(Code::NotFound, "the mesh has no such member")
}
