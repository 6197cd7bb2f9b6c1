//! `GET /health`: whether the edge and its database are well.

use std::{sync::Arc, time::Instant};

use openapi::health::Health;
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi};
use skein_openapi as openapi;

use super::{Tag, legacy::Plain};
use crate::Edge;

/// The route.
#[derive(Debug)]
pub struct HealthRoute {
    /// When the edge started.
    pub since: Instant,
}

/// The answer.
#[derive(Debug, ApiResponse)]
pub enum Reply {
    /// The database answered the last ping.
    #[oai(status = 200)]
    Ok(Plain<Health>),
    /// It did not. Sockets stay, and nothing is acknowledged.
    #[oai(status = 503)]
    Degraded(Plain<Health>),
}

#[OpenApi(tag = "Tag::Legacy")]
impl HealthRoute {
    /// Whether the edge and its database are well.
    #[oai(path = "/health", method = "get", operation_id = "health")]
    async fn health(&self, edge: Data<&Arc<Edge>>) -> Reply {
        let is_up = edge.database_up();
        let health = Plain(Health {
            status: if is_up { "ok" } else { "degraded" }.to_owned(),
            db: if is_up { "up" } else { "down" }.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            git_sha: edge.config.git_sha.clone(),
            uptime: self.since.elapsed().as_secs().cast_signed(),
        });
        if is_up { Reply::Ok(health) } else { Reply::Degraded(health) }
    }
}
