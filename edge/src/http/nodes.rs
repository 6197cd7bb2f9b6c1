//! Nodes: which edges and workers there are. The operator's.

use std::sync::Arc;

use openapi::nodes::Nodes;
use poem::web::Data;
use poem_openapi::{OpenApi, payload::Json};
use skein_openapi as openapi;
use skein_sql::nodes;
use skein_wire::Code;

use super::{Caller, Fault, Tag, db};
use crate::Edge;

/// The routes of nodes.
#[derive(Debug)]
pub struct NodeRoutes;

#[OpenApi(tag = "Tag::Nodes")]
impl NodeRoutes {
    /// Lists the nodes of the deployment. Takes the operator token.
    #[oai(path = "/v1/nodes", method = "get", operation_id = "listNodes")]
    async fn list(&self, caller: Caller, edge: Data<&Arc<Edge>>) -> Result<Json<Nodes>, Fault> {
        if caller != Caller::Operator {
            return Err(Fault::with(Code::Forbidden, "this takes the operator token"));
        }
        Ok(Json(Nodes { nodes: nodes::list(&db(&edge).await?).await? }))
    }
}
