//! Presence: who is here, what they do, and whether they want to be seen.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Status, call::calls, groups::Group, messaging::Ack, profile::Profile};

calls! { Presence {
    /// Says what the session is doing.
    "set_status" SetStatus => (),
    /// Asks who is here.
    "list_peers" ListPeers => PeersList,
    /// Says in a few words what the session works on.
    "set_summary" SetSummary => (),
    /// Hides the session, or shows it again.
    "set_visible" SetVisible => Ack,
}}

/// Says what the session is doing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "set_status")]
pub struct SetStatus {
    /// The new status.
    pub status: Status,
}

/// Asks who is here.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "list_peers")]
pub struct ListPeers {}

/// Says in a few words what the session works on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "set_summary")]
pub struct SetSummary {
    /// The words; absent counts as empty.
    #[serde(default)]
    pub summary: String,
}

/// Hides the session from the list and from multicasts, or shows it again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "set_visible")]
pub struct SetVisible {
    /// Whether it is shown.
    pub visible: bool,
}

/// A session that is here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// The session's key, or the member's where the session has none: what messages are sent to.
    pub pubkey: String,
    /// Extension: the member's key. Several sessions of one member share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_pubkey: Option<String>,
    /// The session's name, else the member's.
    pub display_name: String,
    /// What it does.
    pub status: Status,
    /// What it works on; `null` until said.
    pub summary: Option<String>,
    /// Its groups.
    pub groups: Vec<Group>,
    /// The host program's id of the session.
    pub session_id: String,
    /// When its socket was attached: ISO 8601, UTC, milliseconds.
    pub connected_at: String,
    /// Its working directory.
    pub cwd: String,
    /// Its machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// `ai`, `human` or `connector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_type: Option<String>,
    /// Which program it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Which model it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The counters of this session, once it reported any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<Map<String, Value>>,
    /// Whether others see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visible: Option<bool>,
    /// What it says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
}

/// Who is here, longest attached first, the caller included.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "peers_list")]
pub struct PeersList {
    /// The sessions.
    pub peers: Vec<Peer>,
}
