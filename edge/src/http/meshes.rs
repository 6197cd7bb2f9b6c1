//! Meshes: make, read.

use std::sync::Arc;

use openapi::{
    members::Role,
    meshes::{Mesh, MeshCreated, NewMesh},
};
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi, param::Path, payload::Json};
use skein_openapi as openapi;
use skein_sql::{Error, members, meshes};
use skein_wire::{Code, audit::Event};

use super::{Body, Caller, Fault, Rank, Tag, audit, db};
use crate::Edge;

/// The routes of meshes.
#[derive(Debug)]
pub struct Meshes;

/// A mesh was made.
#[derive(Debug, ApiResponse)]
pub enum Created {
    /// The mesh, and its first member.
    #[oai(status = 201)]
    Created(Json<MeshCreated>),
}

#[OpenApi(tag = "Tag::Meshes")]
impl Meshes {
    /// Makes a mesh. Its owner becomes its first member. Takes the operator token.
    #[oai(path = "/v1/meshes", method = "post", operation_id = "createMesh")]
    async fn create(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        new: Body<NewMesh>,
    ) -> Result<Created, Fault> {
        if caller != Caller::Operator {
            return Err(Fault::with(Code::Forbidden, "this takes the operator token"));
        }
        if [&new.name, &new.display_name].iter().any(|text| text.contains('\0')) {
            return Err(Fault::with(Code::InvalidRequest, "a name must not contain U+0000"));
        }
        let mut db = db(&edge).await?;
        let tx = db.transaction().await.map_err(Error::from)?;
        let taken =
            || Fault::with(Code::Conflict, format!("a mesh is called {} already", new.slug));
        let mesh = meshes::create(&tx, &new.0).await?.ok_or_else(taken)?;
        let key = new.member_pubkey.as_deref().unwrap_or(&new.owner_pubkey);
        let member = members::insert(&tx, mesh.no, key, &new.display_name, Role::Owner)
            .await?
            .expect("a mesh that was just made has no member");
        let (slug, owner_pubkey) = (&new.slug, &new.owner_pubkey);
        audit::note(&tx, &caller, &mesh, Event::MeshCreated { slug, owner_pubkey }).await?;
        tx.commit().await.map_err(Error::from)?;

        let counts = meshes::Counts { peers: 0, members: 1 };
        let created = MeshCreated { mesh: mesh.object(counts), member_id: member.id };
        Ok(Created::Created(Json(created)))
    }

    /// Reads a mesh. Members may.
    #[oai(path = "/v1/meshes/:mesh_id", method = "get", operation_id = "readMesh")]
    async fn read(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
    ) -> Result<Json<Mesh>, Fault> {
        let db = db(&edge).await?;
        let (mesh, _) = caller.enter(&db, &mesh_id, Rank::Member).await?;
        let counts = meshes::counts(&db, mesh.no).await?;
        Ok(Json(mesh.object(counts)))
    }
}
