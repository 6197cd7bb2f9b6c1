//! A message as its recipient keeps it: opened, with what is known of how it came.
//!
//! A direct message that does not open keeps its sealed form and has no text: what a broker could
//! have written is never shown as what a peer said.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use skein_crypto::direct::Pairs;
use skein_crypto::{Public, message_id, plain};
use skein_wire::Priority;
use skein_wire::push::{KEPT, Push, SYSTEM};
use tracing::warn;

use crate::time;

/// How a message was protected on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Sealed by the sender for one of our keys.
    Direct,
    /// For several, readable by the server.
    Multicast,
}

/// A message in an inbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The server's id of it; a repeat has the same.
    pub message_id: String,
    /// The mesh it came through.
    pub mesh_id: String,
    /// The key it is from.
    pub sender_pubkey: String,
    /// How urgent the sender called it.
    pub priority: Priority,
    /// When the server stored it.
    pub created_at: String,
    /// When it came here.
    pub received_at: String,
    /// How it was protected.
    pub kind: Kind,
    /// What a multicast was sent to, where the server says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The words; absent when it could not be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Why there is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The sealed form of what could not be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
    /// Another body came under the same id before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub conflict: bool,
    /// `webhook`, `reminder`, or `system` for an event that is kept; absent for ordinary messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtype: Option<String>,
    /// A webhook's or an event's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// What a webhook was given, or an event says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_data: Option<Value>,
    /// Tells a repeat from a conflict: a hash over sender, priority, nonce and ciphertext.
    pub body_hash: String,
}

/// The parts of a message that could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// As it came.
    pub nonce: String,
    /// As it came.
    pub ciphertext: String,
}

impl Message {
    /// The event that this is, if it is one that is kept.
    pub fn as_event(&self) -> Option<Event> {
        let is_event = self.subtype.as_deref() == Some(SYSTEM);
        is_event.then(|| Event {
            event: self.event.clone().unwrap_or_default(),
            event_data: self.event_data.clone().unwrap_or_default(),
            created_at: self.created_at.clone(),
        })
    }
}

/// Something that happened in the mesh. Best effort, never stored and never repeated, unless it came
/// as a [`Message`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// `peer_joined`, `peer_left` and so on.
    pub event: String,
    /// What it says.
    pub event_data: Value,
    /// When it happened.
    pub created_at: String,
}

/// A push, read.
#[derive(Debug, Clone, PartialEq)]
pub enum Opened {
    /// Goes to the inbox.
    Message(Box<Message>),
    /// Is shown or forgotten.
    Event(Event),
}

/// The two keys that messages may be sealed to.
#[derive(Debug)]
pub struct Keys {
    /// Most are: the key that a peer is listed by.
    pub session: Pairs,
    /// What is addressed to the member, whichever session takes it.
    pub member: Pairs,
}

impl Keys {
    /// Reads a push.
    pub fn open(&self, mut push: Push) -> Opened {
        let is_event = push.subtype.as_deref() == Some(SYSTEM) || push.sender_pubkey == SYSTEM;
        let is_kept = push.event.as_deref().is_some_and(|event| KEPT.contains(&event));
        if is_event && !is_kept {
            return Opened::Event(Event {
                event: push.event.unwrap_or_default(),
                event_data: push.event_data.unwrap_or_default(),
                created_at: push.created_at,
            });
        }
        let (kind, text) = if is_event {
            push.subtype = Some(SYSTEM.to_owned());
            (Kind::Multicast, Ok(None))
        } else {
            self.read(&push)
        };
        let (text, problem) = match text {
            Ok(text) => (text, None),
            Err(problem) => {
                warn!(sender = push.sender_pubkey, message = push.message_id, "{problem}");
                (None, Some(problem))
            }
        };
        let sealed = problem
            .is_some()
            .then(|| Sealed { nonce: push.nonce.clone(), ciphertext: push.ciphertext.clone() });
        let hash = message_id::body_hash(
            &push.sender_pubkey,
            push.priority.as_str(),
            &push.nonce,
            &push.ciphertext,
        );
        Opened::Message(Box::new(Message {
            message_id: push.message_id,
            mesh_id: push.mesh_id,
            sender_pubkey: push.sender_pubkey,
            priority: push.priority,
            created_at: push.created_at,
            received_at: time::iso(time::now_ms()),
            kind,
            target: push.target_spec,
            text,
            problem,
            sealed,
            conflict: false,
            subtype: push.subtype,
            event: push.event,
            event_data: push.event_data,
            body_hash: hex::encode(hash),
        }))
    }

    fn read(&self, push: &Push) -> (Kind, Result<Option<String>, String>) {
        let is_multicast = push.target_spec.as_deref().is_some_and(is_multicast);
        if push.nonce.is_empty() || is_multicast {
            if push.ciphertext.is_empty() {
                return (Kind::Multicast, Ok(None));
            }
            let text = plain::decode(&push.ciphertext).map(Some);
            let from = &push.sender_pubkey;
            return (Kind::Multicast, text.map_err(|_| format!("body of {from} is not text")));
        }
        let opened = Public::parse(&push.sender_pubkey).and_then(|sender| {
            let open = |pairs: &Pairs| pairs.open(&sender, &push.nonce, &push.ciphertext);
            open(&self.session).or_else(|_| open(&self.member))
        });
        let unopened = |_| format!("message of {} cannot be opened", push.sender_pubkey);
        (Kind::Direct, opened.map(Some).map_err(unopened))
    }
}

/// Whether a target is `*` or a group, and so is sent without a seal.
pub fn is_multicast(target: &str) -> bool {
    target == "*" || target.starts_with('@')
}
