//! Webhooks: make, list, end; and [`inbound`], what is posted to them.

mod inbound;

use std::sync::Arc;

use openapi::{
    api_keys::Capability,
    webhooks::{NewWebhook, Webhook, WebhookCreated, Webhooks},
};
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi, param::Path, payload::Json};
use skein_openapi as openapi;
use skein_wire::{
    Code, Message,
    webhooks::{CreateWebhook, DeleteWebhook, ListWebhooks, Request, WebhookAck},
};

pub use self::inbound::{Address, WebhookRoute};
use super::{Body, Caller, Fault, Tag, acting::Acting};
use crate::Edge;

/// The routes of webhooks.
#[derive(Debug)]
pub struct WebhookRoutes;

/// A webhook was made.
#[derive(Debug, ApiResponse)]
pub enum Made {
    /// Its URL and secret, which is shown this once.
    #[oai(status = 201)]
    Made(Json<WebhookCreated>),
}

/// A webhook has ended.
#[derive(Debug, ApiResponse)]
pub enum Ended {
    /// Its URL takes nothing more, and its name is free.
    #[oai(status = 204)]
    Ended,
}

#[OpenApi(tag = "Tag::Webhooks")]
impl WebhookRoutes {
    /// Makes a webhook. Members may, and API keys with `webhooks`.
    #[oai(path = "/v1/meshes/:mesh_id/webhooks", method = "post", operation_id = "createWebhook")]
    async fn create(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        new: Body<NewWebhook>,
    ) -> Result<Made, Fault> {
        let acting = Acting::begin(&edge, &caller, &mesh_id, Capability::Webhooks).await?;
        let NewWebhook { name, target, signed } = new.0;
        let call = CreateWebhook { name, target, signed };
        let message = Message::Webhooks(Request::CreateWebhook(call));
        let WebhookAck { name, url, secret } = acting.ask(message).await?;
        Ok(Made::Made(Json(WebhookCreated { name, url, secret })))
    }

    /// Lists the webhooks of a mesh with their URLs, oldest first. Members may, and API keys with
    /// `webhooks`.
    #[oai(path = "/v1/meshes/:mesh_id/webhooks", method = "get", operation_id = "listWebhooks")]
    async fn list(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
    ) -> Result<Json<Webhooks>, Fault> {
        let acting = Acting::begin(&edge, &caller, &mesh_id, Capability::Webhooks).await?;
        let message = Message::Webhooks(Request::ListWebhooks(ListWebhooks {}));
        Ok(Json(acting.ask(message).await?))
    }

    /// Ends a webhook. Members may, and API keys with `webhooks`.
    #[oai(
        path = "/v1/meshes/:mesh_id/webhooks/:name",
        method = "delete",
        operation_id = "deleteWebhook"
    )]
    async fn delete(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        name: Path<String>,
    ) -> Result<Ended, Fault> {
        let acting = Acting::begin(&edge, &caller, &mesh_id, Capability::Webhooks).await?;
        let message = Message::Webhooks(Request::ListWebhooks(ListWebhooks {}));
        // Over the socket an unknown name is acknowledged, as in the contract; here it is told.
        let Webhooks { webhooks } = acting.ask(message).await?;
        if !webhooks.iter().any(|Webhook { name: known, .. }| *known == *name) {
            return Err(Fault::with(Code::NotFound, "the mesh has no webhook of this name"));
        }
        let call = DeleteWebhook { name: name.0 };
        let message = Message::Webhooks(Request::DeleteWebhook(call));
        let WebhookAck { .. } = acting.ask(message).await?;
        Ok(Ended::Ended)
    }
}
