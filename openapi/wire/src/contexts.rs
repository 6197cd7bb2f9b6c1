//! Contexts: what each member has learnt in its work, for others to find.
//!
//! A member has one; sharing again replaces it. The other peers are told by a
//! [`StateChange`](crate::state::StateChange) of the key `_context:` and the member's name.

use serde::{Deserialize, Serialize};

use crate::call::calls;

/// What the key of a shared context begins with, before the member's name.
pub const KEY_PREFIX: &str = "_context:";

calls! { Contexts {
    /// Replaces the member's context.
    "share_context" ShareContext => ContextShared,
    /// Finds contexts.
    "get_context" GetContext => ContextResults,
    /// Lists contexts.
    "list_contexts" ListContexts => ContextList,
}}

/// Replaces the member's context.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "share_context", rename_all = "camelCase")]
pub struct ShareContext {
    /// What it is about.
    pub summary: String,
    /// Files that were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_read: Option<Vec<String>>,
    /// What was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_findings: Option<Vec<String>>,
    /// What it can be found by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

/// A context was shared. Without `_reqId`, as the contract says, but for peers with cap `replies`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "context_shared")]
pub struct ContextShared {
    /// Its id, the same each time.
    pub id: String,
}

/// Finds contexts: `query` stands in the summary, in upper or lower case, or is one of the tags.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "get_context")]
pub struct GetContext {
    /// What to look for; an empty one stands in every summary.
    pub query: String,
}

/// A context that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    /// The enrolment name of the member.
    pub peer_name: String,
    /// What it is about.
    pub summary: String,
    /// Files that were read.
    pub files_read: Vec<String>,
    /// What was found.
    pub key_findings: Vec<String>,
    /// What it can be found by.
    pub tags: Vec<String>,
    /// When it was shared, ISO 8601.
    pub updated_at: String,
}

/// The contexts that were found, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "context_results")]
pub struct ContextResults {
    /// At most twenty.
    pub contexts: Vec<Context>,
}

/// Lists contexts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "list_contexts")]
pub struct ListContexts {}

/// A context as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedContext {
    /// See [`Context::peer_name`].
    pub peer_name: String,
    /// See [`Context::summary`].
    pub summary: String,
    /// See [`Context::tags`].
    pub tags: Vec<String>,
    /// See [`Context::updated_at`].
    pub updated_at: String,
}

/// The contexts of a mesh, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "context_list")]
pub struct ContextList {
    /// As many as fit one frame.
    pub contexts: Vec<ListedContext>,
}
