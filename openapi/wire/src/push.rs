//! Pushes: what an edge sends without being asked.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use skein_crypto::plain;

use crate::{Priority, watches};

/// The `senderPubkey` of system events, and their `subtype`.
pub const SYSTEM: &str = "system";

/// System events that are kept for their recipients as messages are, and that clients of ours
/// acknowledge and remember like messages; all others are best effort.
pub const KEPT: &[&str] = &[watches::TRIGGERED, watches::FAILING, watches::RECOVERED];

/// A system event as the body of the message that keeps it, whose sender is [`SYSTEM`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// The event's name: one of [`KEPT`].
    pub event: String,
    /// What the event says.
    pub event_data: Value,
}

impl Kept {
    /// The event of this name.
    pub fn new(event: &str, data: impl Serialize) -> Self {
        let event_data = serde_json::to_value(data).expect("events have string keys only");
        Self { event: event.to_owned(), event_data }
    }

    /// The message's `ciphertext`.
    pub fn body(&self) -> String {
        plain::encode(&serde_json::to_string(self).expect("events have string keys only"))
    }

    /// Reads a body.
    pub fn read(body: &str) -> Option<Self> {
        serde_json::from_str(&plain::decode(body).ok()?).ok()
    }
}

/// A message or an event for this session.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "push", rename_all = "camelCase")]
pub struct Push {
    /// The message's id; a random one for events.
    pub message_id: String,
    /// The mesh it belongs to.
    pub mesh_id: String,
    /// The key that the sender sealed with, or `system`.
    pub sender_pubkey: String,
    /// How urgent.
    pub priority: Priority,
    /// As sent; empty for events.
    pub nonce: String,
    /// As sent; empty for events.
    pub ciphertext: String,
    /// When it was stored, or the event happened: ISO 8601, UTC, milliseconds.
    pub created_at: String,
    /// Extension, for multicasts to peers with cap `ack`: what they were sent to (`*`, `@group`).
    /// It is how a client of ours knows that the body is not sealed although the sender, an old
    /// client, gave it a nonce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_spec: Option<String>,
    /// `system` for events; absent for messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtype: Option<String>,
    /// The event's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// What the event says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_data: Option<Value>,
}
