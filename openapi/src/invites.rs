//! Invites, as the server knows them: never the token, only its hash.
//!
//! The link is made and signed by the owner or an admin, on its own machine; see the format in
//! `skein-crypto`.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use crate::members::Grant;

/// An invite to be registered.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
#[serde(rename_all = "camelCase")]
pub struct NewInvite {
    /// SHA-256 in lower-case hex over `skein-invite-token|` and the token as it is sent to `/join`.
    #[oai(validator(pattern = "^[0-9a-f]{64}$"))]
    pub token_hash: String,
    /// What whoever joins with it may do.
    pub role: Grant,
    /// How many may join with it.
    #[oai(validator(minimum(value = "1"), maximum(value = "10000")))]
    pub uses: i32,
    /// Until when it is good, at most 366 days ahead: ISO 8601 with a zone.
    pub expires_at: String,
}

/// An invite.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Invite {
    /// For revoking it.
    pub id: String,
    /// What whoever joins with it may do.
    pub role: Grant,
    /// How many may join with it.
    pub uses: i32,
    /// How many did.
    pub used: i32,
    /// The key that registered it, or `operator`.
    pub created_by: String,
    /// When it was registered.
    pub created_at: String,
    /// Until when it is good.
    pub expires_at: String,
    /// Since when it is good no longer, though it would not have expired.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
}

/// Invites of a mesh, newest first, at most 500.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
pub struct Invites {
    /// Also those that are spent, expired or revoked.
    pub invites: Vec<Invite>,
    /// Where the list goes on: the next request's `after`. Absent at the end.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
