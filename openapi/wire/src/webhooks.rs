//! Webhooks: addresses at which programs outside the mesh say something into it.
//!
//! Whoever knows a webhook's URL may post JSON to it; those of the mesh who are attached get it as a
//! push. Ours beyond the contract: a webhook may have a target, whose messages wait for it like any
//! other, and may ask that every post is signed; then its URL alone is worth nothing.

use serde::{Deserialize, Serialize};

use crate::call::calls;

calls! { Webhooks {
    /// Makes a webhook.
    "create_webhook" CreateWebhook => WebhookAck,
    /// Asks which there are.
    "list_webhooks" ListWebhooks => WebhookList,
    /// Ends one.
    "delete_webhook" DeleteWebhook => WebhookAck,
}}

/// What stands before a webhook's name where messages have their sender's key.
pub const SENDER: &str = "webhook:";

/// What a webhook without a target is stored for: everybody who is attached, seen by others or not.
/// Nobody can send to it, and peers are told `*`.
pub const EVERYBODY: &str = "**";

/// A stored target as peers are told it.
pub fn shown(target: &str) -> &str {
    if target == EVERYBODY { "*" } else { target }
}

/// Makes a webhook.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "create_webhook")]
pub struct CreateWebhook {
    /// What it is called in its mesh; absent counts as empty, which is refused.
    #[serde(default)]
    pub name: String,
    /// Extension: whom posts are for (a key, `@group`, `*`), as messages that wait. Without it they
    /// are an event for everybody who is attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Extension: whether each post must be signed (Standard Webhooks). Absent counts as no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<bool>,
}

/// Asks which webhooks there are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "list_webhooks")]
pub struct ListWebhooks {}

/// Ends a webhook. Its name can be used again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "delete_webhook")]
pub struct DeleteWebhook {
    /// What it is called; absent counts as empty, which none is called.
    #[serde(default)]
    pub name: String,
}

/// A webhook was made, or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "webhook_ack")]
pub struct WebhookAck {
    /// What it is, or was, called.
    pub name: String,
    /// Where to post; empty once it has ended.
    pub url: String,
    /// What the URL ends with; of a signed one, the key that posts are signed with (`whsec_…`).
    /// Empty once it has ended.
    pub secret: String,
}

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// What it is called.
    pub name: String,
    /// Where to post.
    pub url: String,
    /// True: what has ended is not listed.
    pub active: bool,
    /// When it was made: ISO 8601, UTC, milliseconds.
    pub created_at: String,
    /// Extension: whom posts are for; absent for everybody who is attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Extension: true where posts must be signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<bool>,
}

/// The webhooks of a mesh, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "webhook_list")]
pub struct WebhookList {
    /// Those that are active.
    pub webhooks: Vec<Webhook>,
}
