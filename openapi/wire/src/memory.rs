//! Memory: what the peers of a mesh want to know later, found again by its words.
//!
//! A memory is shared by the whole mesh and written by one member. It stays until its author or an
//! admin has it forgotten; what is forgotten is never recalled.
//!
//! Recalling looks for the query's words as English reads them, then for words that begin so, then
//! for words that are like them; the first of these that finds something is the answer.

use serde::{Deserialize, Serialize};

use crate::{call::calls, messaging::Ack};

calls! { Memory {
    /// Keeps a text for the mesh.
    "remember" Remember => MemoryStored,
    /// Finds texts by their words.
    "recall" Recall => MemoryResults,
    /// Has a text forgotten.
    "forget" Forget => Ack,
}}

/// Keeps a text for the mesh.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "remember")]
pub struct Remember {
    /// The text.
    pub content: String,
    /// Words that it is to be found by as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

/// The text is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "memory_stored")]
pub struct MemoryStored {
    /// Ours for the memory.
    pub id: String,
}

/// Finds texts by their words.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "recall")]
pub struct Recall {
    /// The words. All of them must be found; those that carry no meaning do not count.
    pub query: String,
}

/// What was found, the best first: at most twenty.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "memory_results")]
pub struct MemoryResults {
    /// The memories.
    pub memories: Vec<Memory>,
}

/// A text that the mesh keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// Its id, for `forget`.
    pub id: String,
    /// The text.
    pub content: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// The name of the member that wrote it.
    pub remembered_by: String,
    /// When that was: ISO 8601, UTC, milliseconds.
    pub remembered_at: String,
    /// Extension: who wrote it, by what cannot change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// Extension: why it was found.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub found: Option<Match>,
}

/// Who wrote something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Author {
    /// The member's id.
    pub member_id: String,
    /// The member's key.
    pub member_pubkey: String,
    /// The key of the session that wrote it.
    pub session_pubkey: String,
    /// What the session was called then.
    pub session_name: String,
}

/// Why a memory was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Match {
    /// How its words fit.
    pub kind: MatchKind,
    /// What was found in it: the stems of the query's words, or the words themselves where they
    /// were found by their beginning or their likeness.
    pub terms: Vec<String>,
    /// How well it fits, to compare with others of the same answer only.
    pub score: f64,
}

/// How the words of a memory fit those of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatchKind {
    /// They are the same words, as English reads them.
    Words,
    /// They begin as the query's words do.
    Prefix,
    /// They have most of their letters in common.
    Similar,
}

/// Has a text forgotten: by its author, or by an admin of the mesh.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "forget", rename_all = "camelCase")]
pub struct Forget {
    /// The memory.
    pub memory_id: String,
}

impl Forget {
    /// What answers it.
    pub fn ack(&self) -> Ack {
        let id = self.memory_id.clone();
        Ack { message_id: id.clone(), ..Ack::of_request(Some(&id)) }
    }
}
