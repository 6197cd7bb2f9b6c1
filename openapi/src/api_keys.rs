//! API keys: how a program without a socket takes part in a mesh.
//!
//! A key is asked for by the owner or an admin, with the capabilities that it needs and a public
//! key. Its secret is shown once and sent as `Authorization: Bearer`, never in a URL. Messages to
//! it are sealed for its public key; the server has neither secret.

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

/// Something that an API key may do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Enum, Serialize, Deserialize,
)]
pub enum Capability {
    /// Sends messages.
    #[oai(rename = "messages:send")]
    #[serde(rename = "messages:send")]
    MessagesSend,
    /// Reads what it sent, and what was sent to it.
    #[oai(rename = "messages:read")]
    #[serde(rename = "messages:read")]
    MessagesRead,
    /// Reads the shared state.
    #[oai(rename = "state:read")]
    #[serde(rename = "state:read")]
    StateRead,
    /// Changes the shared state.
    #[oai(rename = "state:write")]
    #[serde(rename = "state:write")]
    StateWrite,
    /// Reads tasks.
    #[oai(rename = "tasks:read")]
    #[serde(rename = "tasks:read")]
    TasksRead,
    /// Makes, claims and completes tasks.
    #[oai(rename = "tasks:write")]
    #[serde(rename = "tasks:write")]
    TasksWrite,
    /// Makes, lists and ends webhooks.
    #[oai(rename = "webhooks")]
    #[serde(rename = "webhooks")]
    Webhooks,
    /// Reads and verifies the audit log.
    #[oai(rename = "audit:read")]
    #[serde(rename = "audit:read")]
    AuditRead,
}

impl Capability {
    /// Every capability.
    pub const ALL: [Self; 8] = [
        Self::MessagesSend,
        Self::MessagesRead,
        Self::StateRead,
        Self::StateWrite,
        Self::TasksRead,
        Self::TasksWrite,
        Self::Webhooks,
        Self::AuditRead,
    ];

    /// The word on the wire and in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MessagesSend => "messages:send",
            Self::MessagesRead => "messages:read",
            Self::StateRead => "state:read",
            Self::StateWrite => "state:write",
            Self::TasksRead => "tasks:read",
            Self::TasksWrite => "tasks:write",
            Self::Webhooks => "webhooks",
            Self::AuditRead => "audit:read",
        }
    }

    /// The capability of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.as_str() == word)
    }
}

/// An API key to be made.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
#[serde(rename_all = "camelCase")]
pub struct NewApiKey {
    /// What it is called, for people; peers see it as the name of who sends.
    #[oai(validator(min_length = 1, max_length = 128, pattern = "^[^\\x00-\\x1f\\x7f]*$"))]
    pub name: String,
    /// Its Ed25519 public key in lower-case hex, which only its holder has the other half of. It is
    /// what messages to it are sent to and sealed for, and no other member's or session's.
    #[oai(validator(pattern = "^[0-9a-f]{64}$"))]
    pub pubkey: String,
    /// What it may do.
    #[oai(validator(min_items = 1, max_items = 8, unique_items))]
    pub capabilities: Vec<Capability>,
    /// After so many days it is good no longer; without this it is good until it is revoked.
    #[oai(validator(minimum(value = "1"), maximum(value = "3660")), skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<i32>,
}

/// An API key.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// For revoking it.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// What messages to it are sent to and sealed for.
    pub pubkey: String,
    /// What it may do.
    pub capabilities: Vec<Capability>,
    /// The key that asked for it, or `operator`.
    pub created_by: String,
    /// When it was made.
    pub created_at: String,
    /// When it was last used, to the minute.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<String>,
    /// Until when it is good.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Since when it is good no longer, though it would not have expired.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
}

/// An API key that was just made.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyCreated {
    /// The key as it is listed.
    pub key: ApiKey,
    /// What goes behind `Authorization: Bearer`. It is shown this once.
    pub secret: String,
}

/// API keys of a mesh, newest first, at most 500.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct ApiKeys {
    /// Also those that expired or were revoked.
    pub api_keys: Vec<ApiKey>,
    /// Where the list goes on: the next request's `after`. Absent at the end.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
