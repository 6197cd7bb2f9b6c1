//! `POST /join` in the reference's shapes.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

/// What a joiner sends.
#[derive(Debug, Clone, Object, Serialize, Deserialize)]
pub struct Join {
    /// The secret of the invite: ours as 64 hex characters, the reference's as it stands in its
    /// link.
    pub invite_token: String,
    /// The signed payload of the invite, of either form.
    pub invite_payload: serde_json::Value,
    /// The joiner's new member key, in hex.
    pub peer_pubkey: String,
    /// What it wants to be called. Cut at 128 characters.
    pub display_name: String,
}

/// The joiner is a member.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Joined {
    /// Always true.
    pub ok: bool,
    /// Its member id, for hello.
    pub member_id: String,
    /// True when the key had joined before; no use of the invite was taken.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub already_member: Option<bool>,
}

/// How the reference's own routes refuse.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
pub struct NotOk {
    /// Always false.
    pub ok: bool,
    /// A code, or a sentence.
    pub error: String,
}

impl NotOk {
    /// The refusal of these words.
    pub fn new(error: impl Into<String>) -> Self {
        Self { ok: false, error: error.into() }
    }
}
