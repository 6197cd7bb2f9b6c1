//! Shared state: set, read, list, remove.

use std::sync::Arc;

use openapi::{
    api_keys::Capability,
    state::{Changed, Entries, Entry, NewValue},
};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use serde::Deserialize;
use serde_json::value::to_raw_value;
use skein_openapi as openapi;
use skein_wire::{
    Code, Message,
    state::{DeleteState, GetState, ListState, Request, SetState},
};

use super::{Body, Caller, Fault, Tag, acting::Acting};
use crate::Edge;

/// The routes of the state.
#[derive(Debug)]
pub struct StateRoutes;

/// A key was removed.
#[derive(Debug, ApiResponse)]
pub enum Removed {
    /// There is no such key any more.
    #[oai(status = 204)]
    Removed,
}

/// The list as the socket has it.
#[derive(Deserialize)]
struct Listed {
    entries: Vec<Entry>,
    more: Option<bool>,
}

#[OpenApi(tag = "Tag::State")]
impl StateRoutes {
    /// Sets a key; every peer of the mesh is told. Members may, and API keys with `state:write`.
    ///
    /// With `ifVersion` it is refused with `version_mismatch` when the key has another version.
    #[oai(path = "/v1/meshes/:mesh_id/state/:key", method = "put", operation_id = "setState")]
    async fn set(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        #[oai(validator(pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$"))] key: Path<String>,
        new: Body<NewValue>,
    ) -> Result<Json<Changed>, Fault> {
        let acting = Acting::begin(&edge, &caller, &mesh_id, Capability::StateWrite).await?;
        let call = SetState {
            key: key.0,
            value: to_raw_value(&new.value).map_err(|_| Fault::new(Code::Internal))?,
            if_version: new.if_version.map(i64::unsigned_abs),
            ttl_seconds: new.ttl_seconds.map(i64::unsigned_abs),
        };
        Ok(Json(acting.ask(Message::State(Request::SetState(call))).await?))
    }

    /// Reads a key. Members may, and API keys with `state:read`.
    #[oai(path = "/v1/meshes/:mesh_id/state/:key", method = "get", operation_id = "getState")]
    async fn get(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        key: Path<String>,
    ) -> Result<Json<Entry>, Fault> {
        let acting = Acting::begin(&edge, &caller, &mesh_id, Capability::StateRead).await?;
        let call = GetState { key: key.0 };
        let entry: Entry = acting.ask(Message::State(Request::GetState(call))).await?;
        if entry.key.is_empty() {
            return Err(Fault::with(Code::NotFound, "the mesh has no such key"));
        }
        Ok(Json(entry))
    }

    /// Lists keys with their values, by key. Members may, and API keys with `state:read`.
    #[oai(path = "/v1/meshes/:mesh_id/state", method = "get", operation_id = "listState")]
    async fn list(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        /// Only keys that begin so.
        prefix: Query<Option<String>>,
        /// The `next` of the page before.
        after: Query<Option<String>>,
    ) -> Result<Json<Entries>, Fault> {
        let acting = Acting::begin(&edge, &caller, &mesh_id, Capability::StateRead).await?;
        let call = ListState { prefix: prefix.0, after: after.0 };
        let listed = acting.ask(Message::State(Request::ListState(call))).await?;
        let Listed { entries, more } = listed;
        let next = entries.last().filter(|_| more == Some(true)).map(|last| last.key.clone());
        Ok(Json(Entries { entries, next }))
    }

    /// Removes a key; every peer of the mesh is told. Members may, and API keys with `state:write`.
    #[oai(path = "/v1/meshes/:mesh_id/state/:key", method = "delete", operation_id = "deleteState")]
    async fn delete(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        key: Path<String>,
        /// Only if the key has this version.
        #[oai(name = "ifVersion", validator(minimum(value = "0")))]
        if_version: Query<Option<i64>>,
    ) -> Result<Removed, Fault> {
        let acting = Acting::begin(&edge, &caller, &mesh_id, Capability::StateWrite).await?;
        let call = DeleteState { key: key.0, if_version: if_version.map(i64::unsigned_abs) };
        acting.tell(Message::State(Request::DeleteState(call))).await?;
        Ok(Removed::Removed)
    }
}
