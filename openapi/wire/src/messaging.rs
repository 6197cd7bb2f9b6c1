//! Messaging: sends, what became of them, and the word that they arrived.
//!
//! A send is acknowledged when it is stored, not before; it is settled when the recipient's process
//! has it. The body is opaque here: `nonce` and `ciphertext` are passed on as they came.

use serde::{Deserialize, Serialize};

use crate::{Priority, call::calls};

calls! { Messaging {
    /// Stores a message for its target.
    "send" Send => Ack,
    /// Asks what became of a message.
    "message_status" MessageStatus => MessageStatusResult,
    /// Extension: says that pushed messages are in the inbox on disk.
    "received" Received => (),
}}

/// Stores a message for its target.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "send", rename_all = "camelCase")]
pub struct Send {
    /// The sender's own id of it, echoed in the `ack`. From senders with cap `ack` it is at least
    /// 128 random bits, and a repeat with the same id is the same message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// A session's or member's key, `*`, `@all` or `@group`.
    pub target_spec: String,
    /// What may hold it back.
    pub priority: Priority,
    /// Base64 of 24 bytes for a sealed body; may be empty.
    pub nonce: String,
    /// The body, sealed (direct) or base64 of text (multicast); may be empty.
    pub ciphertext: String,
}

/// The message is stored; also the answer to messages that have no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "ack", rename_all = "camelCase")]
pub struct Ack {
    /// The send's `id`, or the request's `_reqId`.
    pub id: String,
    /// Ours for the message; empty where nothing was sent.
    pub message_id: String,
    /// Whether a message was stored.
    pub queued: bool,
    /// Extension: how many mailboxes (direct: 1) or attached sessions (multicast) it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipients: Option<u64>,
    /// Extension: how many of them were attached when it was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online: Option<u64>,
    /// Extension, of a change of state: the version that it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

impl Ack {
    /// The answer to a request that changes something and has no reply of its own.
    pub fn of_request(req_id: Option<&str>) -> Self {
        Self {
            id: req_id.unwrap_or_default().into(),
            message_id: String::new(),
            queued: false,
            recipients: None,
            online: None,
            version: None,
        }
    }
}

/// Asks what became of a message.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "message_status", rename_all = "camelCase")]
pub struct MessageStatus {
    /// The id that the `ack` named.
    pub message_id: String,
}

/// What became of a message, as far as is known.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "message_status_result", rename_all = "camelCase")]
pub struct MessageStatusResult {
    /// The message.
    pub message_id: String,
    /// What it was sent to.
    pub target_spec: String,
    /// Direct: the recipient's process has it. Multicast: it is stored.
    pub delivered: bool,
    /// When that was, ISO 8601; `null` when not, or not known.
    pub delivered_at: Option<String>,
    /// Whom it is for.
    pub recipients: Vec<RecipientStatus>,
    /// Extension: how it ended other than by delivery: `expired` or `dropped`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

/// One recipient of a message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecipientStatus {
    /// Its name, or `unknown`.
    pub name: String,
    /// Its key, or the first 16 characters of an unknown target.
    pub pubkey: String,
    /// `delivered`, `held` or `disconnected`.
    pub status: String,
    /// Extension: `stored`, `received`, `expired` or `dropped`. Of a multicast, `received` is known
    /// a few seconds late, and of sessions of ours only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// Says that pushed messages are in the inbox on disk, repeats included.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "received", rename_all = "camelCase")]
pub struct Received {
    /// Their ids; unknown ones are ignored.
    pub message_ids: Vec<String>,
}
