//! Nodes: the edges and workers of a deployment, for whoever runs it.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

/// A running edge or worker, or one that was.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its number.
    pub id: i32,
    /// `edge` or `worker`.
    pub kind: String,
    /// The label that it was given; may be empty.
    pub region: String,
    /// Where peers reach it, of an edge that says so.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// `alive`, `draining`, `dead`, `fenced` or `swept`.
    pub state: String,
    /// How many sessions are attached to it.
    pub peers: i64,
    /// When it started.
    pub started_at: String,
    /// When it was found dead.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_at: Option<String>,
}

/// The nodes of the deployment, by number.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
pub struct Nodes {
    /// Those that are alive, and those that ended within a day.
    pub nodes: Vec<Node>,
}
