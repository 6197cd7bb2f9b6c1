//! Messages of an API key: what it sends, and what was sent to it.
//!
//! Bodies are sealed by who sends and opened by who receives; the server only stores them.

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

/// How urgent a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Enum, Serialize, Deserialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Delivered whatever the recipient is doing.
    Now,
    /// Delivered when the recipient is idle.
    #[default]
    Next,
    /// As `next`; it can wait for a pause.
    Low,
}

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
#[serde(rename_all = "camelCase")]
pub struct NewMessage {
    /// The sender's own id of it, random; the same id again is the same message, stored once.
    #[oai(validator(min_length = 1, max_length = 128, pattern = "^[!-~]+$"))]
    pub id: String,
    /// Whom it is for: a session's or member's key, `*`, or `@group`.
    pub target: String,
    /// How urgent.
    #[oai(default)]
    #[serde(default)]
    pub priority: Priority,
    /// Of a sealed message: 24 random bytes in base64. Empty where the body is not sealed.
    #[oai(validator(max_length = 128, pattern = "^[A-Za-z0-9+/=]*$"))]
    pub nonce: String,
    /// The body: to a key, sealed for it (`crypto_box`, in base64); to several, base64 of text.
    #[oai(validator(max_length = 60000, pattern = "^[A-Za-z0-9+/=]*$"))]
    pub ciphertext: String,
}

/// A message was stored.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    /// Its id in the mesh.
    pub message_id: String,
    /// How many it is for.
    pub recipients: i64,
    /// How many of those are here now.
    pub online: i64,
}

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// This key sent it.
    Sent,
    /// It was sent to this key.
    Received,
}

/// A message that a key sent or received.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Its id in the mesh.
    pub message_id: String,
    /// Which way it went.
    pub direction: Direction,
    /// The key that it is from, and was sealed with.
    pub sender_pubkey: String,
    /// Whom it is for.
    pub target: String,
    /// How urgent.
    pub priority: Priority,
    /// As it was sent.
    pub nonce: String,
    /// As it was sent.
    pub ciphertext: String,
    /// When it was stored.
    pub created_at: String,
}

/// Messages of a key.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
pub struct Messages {
    /// At most 100, and about a megabyte.
    pub messages: Vec<Message>,
    /// Where the list goes on: the next request's `after`. Absent at the end.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Messages that have arrived at who holds the key.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
#[serde(rename_all = "camelCase")]
pub struct Received {
    /// Their ids. Those that do not wait are ignored.
    #[oai(validator(max_items = 1000))]
    pub message_ids: Vec<String>,
}

/// What became of them.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
pub struct Settled {
    /// How many waited, and wait no longer.
    pub settled: i64,
}
