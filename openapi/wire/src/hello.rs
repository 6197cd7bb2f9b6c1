//! Hello: the first frame of a socket, and its answer.
//!
//! The member's key signs it. A field of ours that an old edge does not know is ignored there.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, value::RawValue};

use skein_crypto::proof::SessionProof;

use crate::{groups::Group, stats::Totals};

/// The `type` of a hello.
pub const TYPE: &str = "hello";
/// The fields of [`crate::schedules::Schedule`] and the calls that are extensions.
pub const SCHEDULES: &str = "schedules";
/// The same of [`crate::watches`].
pub const WATCHES: &str = "watches";
/// What this version serves.
pub const SERVES: [&str; 2] = [SCHEDULES, WATCHES];

/// Who is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "hello", rename_all = "camelCase")]
pub struct Hello {
    /// The mesh, by id.
    pub mesh_id: String,
    /// The member's id from `/join`. Signed, and compared with the key's member.
    pub member_id: String,
    /// The member's key, hex64 in lower case.
    pub pubkey: String,
    /// The session's key, hex64: what the session is addressed by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_pubkey: Option<String>,
    /// The session's name; the member's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The host program's id of the session.
    pub session_id: String,
    /// Process id.
    pub pid: i64,
    /// Working directory.
    pub cwd: String,
    /// Machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// `ai`, `human` or `connector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_type: Option<String>,
    /// Which program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Which model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The first groups; a list that is not empty replaces the restored ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<Group>>,
    /// Epoch milliseconds.
    pub timestamp: i64,
    /// Detached Ed25519 of `<meshId>|<memberId>|<pubkey>|<timestamp>` by the member's key, hex128.
    pub signature: String,
    /// Extension: what the client understands: `ack`, `replies`, `inbox`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caps: Option<Vec<String>>,
    /// Extension: the member's signature over the session key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_proof: Option<SessionProof>,
    /// Extension: the client's name and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// What is read of a hello before the rest, because its checks come first.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Head {
    /// The mesh, where it is a string.
    #[serde(deserialize_with = "text")]
    pub mesh_id: Option<String>,
    /// The timestamp, where it is a number.
    #[serde(deserialize_with = "number")]
    pub timestamp: Option<f64>,
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(serde_json::from_str(Box::<RawValue>::deserialize(from)?.get()).ok())
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    // Not through a `Value`, which fails on 1e400: that is a number, only not one of our time.
    Ok(serde_json::from_str(Box::<RawValue>::deserialize(from)?.get()).ok())
}

/// What a client understands beyond the reference's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caps {
    /// It sends `received`, and its send ids are random.
    pub ack: bool,
    /// It wants an answer to every message.
    pub replies: bool,
    /// It lives long enough to take its member's mail.
    pub inbox: bool,
}

impl Caps {
    /// The caps among these words; others are ignored.
    pub fn of(words: &[String]) -> Self {
        let has = |word: &str| words.iter().any(|w| w == word);
        Self { ack: has("ack"), replies: has("replies"), inbox: has("inbox") }
    }
}

/// The hello was accepted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "hello_ack", rename_all = "camelCase")]
pub struct HelloAck {
    /// This attachment; new for every socket.
    pub presence_id: String,
    /// The name that others see.
    pub member_display_name: String,
    /// `true` when saved state was restored; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<bool>,
    /// The saved summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_summary: Option<String>,
    /// When the session, or the member, was last here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<String>,
    /// The saved groups, when the hello named none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_groups: Option<Vec<Group>>,
    /// The saved counters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_stats: Option<Totals>,
    /// Running services that the peer may use. The reference leaves the list out when it could not
    /// read it.
    #[serde(default)]
    pub services: Vec<Map<String, Value>>,
    /// Extension: where else the mesh can be reached, as socket URLs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edges: Option<Vec<String>>,
    /// Extension: multicasts since the session was last here that are not given any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<u64>,
    /// Extension: [`SERVES`], what of the extensions is served that a server without them would
    /// ignore in silence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<Vec<String>>,
}
