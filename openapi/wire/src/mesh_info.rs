//! The overview of a mesh: what it has, as far as the caller may see it.

use serde::{Deserialize, Serialize};

use crate::{call::calls, groups::Group};

calls! { MeshInfo {
    /// Asks what the mesh has.
    "mesh_info" MeshInfo => MeshInfoResult,
}}

/// Asks what the mesh has.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "mesh_info")]
pub struct MeshInfo {}

/// What the mesh has.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "mesh_info_result", rename_all = "camelCase")]
pub struct MeshInfoResult {
    /// The mesh's id.
    pub mesh: String,
    /// Sessions that the caller sees, its own included.
    pub peers: i64,
    /// Their groups, each once, behind an `@`.
    pub groups: Vec<String>,
    /// The keys of its state, in their order, as many as fit.
    pub state_keys: Vec<String>,
    /// Memories that are not forgotten.
    pub memory_count: i64,
    /// Its files.
    pub file_count: i64,
    /// Its tasks.
    pub tasks: TaskCounts,
    /// The names of its streams.
    pub streams: Vec<String>,
    /// The tables of its SQL database.
    pub tables: Vec<String>,
    /// Its collections of vectors.
    pub collections: Vec<String>,
    /// What others see as the caller's name.
    pub your_name: String,
    /// The caller's groups.
    pub your_groups: Vec<Group>,
}

/// How many tasks there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TaskCounts {
    /// Nobody has them.
    pub open: i64,
    /// Somebody has them.
    pub claimed: i64,
    /// They are done.
    pub done: i64,
}
