//! The audit log of a mesh, and what came of computing its hashes again.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

/// An entry of the log.
///
/// Its hash is SHA-256 in hex over `<hash of the entry before>|<mesh id>|<eventType>|<actorId>|
/// <payload>|<createdAt>`; before the first entry stands `genesis`.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Its number in the mesh: 1, 2, 3 and so on.
    pub no: i64,
    /// What happened.
    pub event_type: String,
    /// Who did it: a member's id, `owner`, `operator` or `system`.
    pub actor_id: String,
    /// Who did it, by name. The name is not part of the hash.
    pub actor: String,
    /// What it is about: JSON, as the text that is part of the hash.
    pub payload: String,
    /// When it happened. Numbers are given a little later, so this may step back.
    pub created_at: String,
    /// In hex.
    pub hash: String,
}

/// Entries of the log.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
pub struct AuditEntries {
    /// Newest first; with `after`, oldest first.
    pub entries: Vec<AuditEntry>,
    /// How many the log has, of the event that was asked for.
    pub total: i64,
    /// Where the list goes on: the next request's `before`, or `after`. Absent at the end.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}

/// What came of computing the hashes again.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct AuditVerified {
    /// Whether everything that was looked at is as it was written.
    pub valid: bool,
    /// How many entries the log has; where `next` is given, how many were looked at so far.
    pub entries: i64,
    /// The number of the first entry that is changed, missing or moved.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken_at: Option<i64>,
    /// The log is longer than one answer may take: ask again with `after` this.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}
