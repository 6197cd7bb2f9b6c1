//! API keys: make, list, revoke.

use std::sync::Arc;

use openapi::api_keys::{ApiKeyCreated, ApiKeys, NewApiKey};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use sha2::{Digest, Sha256};
use skein_crypto::random;
use skein_openapi as openapi;
use skein_sql::{Error, api_keys};
use skein_wire::{Code, audit::Event, limit};

use super::{Body, Caller, Fault, Rank, Tag, access::API_KEY_PREFIX, audit, db, page};
use crate::Edge;

/// The routes of API keys.
#[derive(Debug)]
pub struct ApiKeyRoutes;

/// An API key was made.
#[derive(Debug, ApiResponse)]
pub enum Made {
    /// The key and its secret, which is shown this once.
    #[oai(status = 201)]
    Made(Json<ApiKeyCreated>),
}

/// An API key was revoked.
#[derive(Debug, ApiResponse)]
pub enum Revoked {
    /// It is good no longer, and what is sent to it is refused.
    #[oai(status = 204)]
    Revoked,
}

#[OpenApi(tag = "Tag::ApiKeys")]
impl ApiKeyRoutes {
    /// Makes an API key. Admins may.
    #[oai(path = "/v1/meshes/:mesh_id/api-keys", method = "post", operation_id = "createApiKey")]
    async fn create(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        new: Body<NewApiKey>,
    ) -> Result<Made, Fault> {
        let mut db = db(&edge).await?;
        let (mesh, _) = caller.enter(&db, &mesh_id, Rank::Admin).await?;
        let secret = format!("{API_KEY_PREFIX}{}", hex::encode(random::<32>()));
        let hash: [u8; 32] = Sha256::digest(&secret).into();
        // Nobody has the other half: the key's member never says hello.
        let member_key = hex::encode(random::<32>());
        let tx = db.transaction().await.map_err(Error::from)?;
        let name = caller.name();
        let key = api_keys::create(&tx, mesh.no, &new, &hash, &member_key, name).await?;
        let key = key.ok_or_else(|| {
            Fault::with(Code::Conflict, "somebody in the mesh has this public key, or had it")
        })?;
        let words: Vec<String> =
            key.capabilities.iter().map(|one| one.as_str().to_owned()).collect();
        let event = Event::ApiKeyCreated { key_id: &key.id, name: &key.name, capabilities: &words };
        audit::note(&tx, &caller, &mesh, event).await?;
        tx.commit().await.map_err(Error::from)?;
        Ok(Made::Made(Json(ApiKeyCreated { key, secret })))
    }

    /// Lists the API keys of a mesh, newest first. Admins may.
    #[oai(path = "/v1/meshes/:mesh_id/api-keys", method = "get", operation_id = "listApiKeys")]
    async fn list(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        /// The `next` of the page before.
        after: Query<Option<String>>,
    ) -> Result<Json<ApiKeys>, Fault> {
        let db = db(&edge).await?;
        let (mesh, _) = caller.enter(&db, &mesh_id, Rank::Admin).await?;
        let most = limit::LIST_MAX as i64 + 1;
        let found = api_keys::list(&db, mesh.no, after.as_deref(), most).await?;
        let (api_keys, next) = page(found, limit::LIST_MAX, |key| &key.id);
        Ok(Json(ApiKeys { api_keys, next }))
    }

    /// Revokes an API key. Admins may. One that is unknown, or was revoked before, is `not_found`.
    #[oai(
        path = "/v1/meshes/:mesh_id/api-keys/:key_id",
        method = "delete",
        operation_id = "revokeApiKey"
    )]
    async fn revoke(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        key_id: Path<String>,
    ) -> Result<Revoked, Fault> {
        let mut db = db(&edge).await?;
        let (mesh, _) = caller.enter(&db, &mesh_id, Rank::Admin).await?;
        let tx = db.transaction().await.map_err(Error::from)?;
        if !api_keys::revoke(&tx, mesh.no, &key_id).await? {
            let message = "the mesh has no such API key, or it was revoked before";
            return Err(Fault::with(Code::NotFound, message));
        }
        audit::note(&tx, &caller, &mesh, Event::ApiKeyRevoked { key_id: &key_id }).await?;
        tx.commit().await.map_err(Error::from)?;
        Ok(Revoked::Revoked)
    }
}
