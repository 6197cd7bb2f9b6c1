//! Webhooks; and, in the reference's shape, what became of a post (`POST /hook/<mesh>/<secret>`).

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

/// A post was taken.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Taken {
    /// True.
    pub ok: bool,
    /// How many attached sessions it is for.
    pub delivered: i64,
    /// Of a webhook with a target: the id of the message, for `message_status`.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
}

/// A webhook to be made.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
#[serde(rename_all = "camelCase")]
pub struct NewWebhook {
    /// What it is to be called in its mesh.
    #[oai(validator(min_length = 1, max_length = 32, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$"))]
    pub name: String,
    /// Whom posts are for: a session's or member's key, `*`, or `@group`. They are messages, and
    /// wait. Without it posts are an event for everybody who is attached.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Whether each post must be signed (Standard Webhooks). Then the URL is no secret.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<bool>,
}

/// A webhook that was just made.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
pub struct WebhookCreated {
    /// What it is called.
    pub name: String,
    /// Where to post.
    pub url: String,
    /// What the URL ends with; of a signed one, the key that posts are signed with. A signed one's
    /// is shown this once.
    pub secret: String,
}

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// What it is called.
    pub name: String,
    /// Where to post; empty where the deployment's key was changed since.
    pub url: String,
    /// When it was made.
    pub created_at: String,
    /// Whom posts are for; absent for everybody who is attached.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// True where posts must be signed.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<bool>,
}

/// The webhooks of a mesh, oldest first: at most 100.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
pub struct Webhooks {
    /// Those that are active.
    pub webhooks: Vec<Webhook>,
}
