//! `POST /hook/set-status` in the reference's shapes: a host's hook says what its session is doing.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

/// What a hook sends.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
pub struct SetStatus {
    /// Where the session works.
    pub cwd: String,
    /// `idle`, `working` or `dnd`.
    pub status: String,
    /// The session's process; without it the folder alone decides.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i64>,
    /// The host's id of the session.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
pub struct StatusSet {
    /// True unless `error` says otherwise.
    pub ok: bool,
    /// The presence that was meant.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence_id: Option<String>,
    /// True when no such session is here yet; it is kept for ten seconds.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<bool>,
    /// Why nothing was done.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
