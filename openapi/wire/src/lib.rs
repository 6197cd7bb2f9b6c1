//! What the peers of a mesh and an edge say to each other over a socket.
//!
//! Every frame is one JSON object with a string `type`. A capability is one module: its `calls!`
//! table pairs each message's `type` with its struct and its reply, so an edge cannot answer with
//! another type and a client cannot await one. Reading is two cheap steps: [`Envelope::peek`] finds
//! `type` and `_reqId`, [`Message::decode`] reads the struct, so that an error names the field.
//!
//! The contract is that of the reference implementation, version 0.8.9; what is ours beyond it is
//! marked "extension" and is left out towards peers that did not ask for it.

pub mod audit;
mod call;
pub mod clock;
mod code;
pub mod contexts;
pub mod cron;
mod envelope;
mod escape;
mod field;
pub mod groups;
pub mod hello;
pub mod limit;
pub mod memory;
pub mod mesh_info;
pub mod messaging;
pub mod peer_files;
pub mod presence;
pub mod profile;
pub mod push;
pub mod schedules;
pub mod skills;
pub mod state;
pub mod stats;
pub mod streams;
pub mod tasks;
pub mod watches;
pub mod webhooks;

pub use call::Call;
pub use code::{Code, Refusal};
pub use envelope::{DecodeError, Envelope, Message, encode};
pub use escape::has_unstorable;

use serde::{Deserialize, Deserializer, Serialize, de::Error};

/// How urgent a message is, and so what may hold it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Delivered whatever the recipient's status.
    Now,
    /// Delivered when the recipient is idle.
    Next,
    /// As `next`; a hint that it can wait for a pause.
    Low,
}

impl Priority {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Next => "next",
            Self::Low => "low",
        }
    }

    /// The priority of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Now, Self::Next, Self::Low].into_iter().find(|p| p.as_str() == word)
    }
}

// Not derived, here and below: a derived one would also take `{"now": null}`.
impl<'de> Deserialize<'de> for Priority {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        let unknown = || D::Error::unknown_variant(&word, &["now", "next", "low"]);
        Self::parse(&word).ok_or_else(unknown)
    }
}

/// What a session is doing, and so what it may be interrupted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Takes everything.
    #[default]
    Idle,
    /// Takes only what is urgent.
    Working,
    /// Takes only what is urgent, until told otherwise.
    Dnd,
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Working => "working",
            Self::Dnd => "dnd",
        }
    }

    /// The status of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Idle, Self::Working, Self::Dnd].into_iter().find(|s| s.as_str() == word)
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        let unknown = || D::Error::unknown_variant(&word, &["idle", "working", "dnd"]);
        Self::parse(&word).ok_or_else(unknown)
    }
}
