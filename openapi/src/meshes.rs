//! Meshes: the tenants of a deployment.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

/// A mesh to be made. Its owner becomes its first member.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
#[serde(rename_all = "camelCase")]
pub struct NewMesh {
    /// Its short name, unique in the deployment: lower-case letters, digits and `-`.
    #[oai(validator(pattern = "^[a-z0-9][a-z0-9-]{0,62}$"))]
    pub slug: String,
    /// Its name for people.
    #[oai(validator(min_length = 1, max_length = 128))]
    pub name: String,
    /// The public key that signs its invites; the secret stays with the owner.
    #[oai(validator(pattern = "^[0-9a-f]{64}$"))]
    pub owner_pubkey: String,
    /// The owner's member key, which says hello; left out: the owner key itself.
    #[oai(validator(pattern = "^[0-9a-f]{64}$"), skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_pubkey: Option<String>,
    /// What the owner is called in the mesh.
    #[oai(validator(min_length = 1, max_length = 128))]
    pub display_name: String,
}

/// A mesh that was just made.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct MeshCreated {
    /// The mesh.
    pub mesh: Mesh,
    /// The owner's member id, as `/join` would have answered it.
    pub member_id: String,
}

/// A mesh.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Mesh {
    /// What the wire calls it.
    pub id: String,
    /// Its short name.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// The public key that signs its invites.
    pub owner_pubkey: String,
    /// How many sockets may be attached at once, where that differs from the deployment's default.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers_max: Option<i64>,
    /// Sockets attached now.
    pub peers: i64,
    /// Members that were not revoked.
    pub members: i64,
    /// When it was made.
    pub created_at: String,
}
