//! `GET /health` in the reference's shape.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

/// How the edge is.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// `ok` or `degraded`.
    pub status: String,
    /// `up` or `down`: whether the database answered the last ping.
    pub db: String,
    /// The version of this program.
    pub version: String,
    /// The commit it was built from, or `unknown`.
    pub git_sha: String,
    /// Seconds since it started.
    pub uptime: i64,
}
