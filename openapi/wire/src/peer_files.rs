//! Peer files: reading what another peer shares, through the edges and stored nowhere.
//!
//! A question goes from the requester to the edge, and as `…_forward` to the target; the answer
//! comes back the same way. The requester's `_reqId` is the same in all four frames. Who shares,
//! and from which folder, is the target's business alone.

use serde::{Deserialize, Serialize};

use crate::{call::calls, limit};

calls! { PeerFiles {
    /// Asks a peer for a file.
    "peer_file_request" PeerFileRequest => PeerFileResponseForward,
    /// Answers [`PeerFileRequestForward`].
    "peer_file_response" PeerFileResponse => (),
    /// Asks a peer what is in a folder.
    "peer_dir_request" PeerDirRequest => PeerDirResponseForward,
    /// Answers [`PeerDirRequestForward`].
    "peer_dir_response" PeerDirResponse => (),
}}

/// What a target says of a path with `..` in it.
pub const TRAVERSAL: &str = "path traversal not allowed";
/// What a target says of a file that is not below what it shares.
pub const FILE_OUTSIDE: &str = "file outside shared directories";
/// What a target says of a folder that is not below what it shares.
pub const DIR_OUTSIDE: &str = "directory outside shared directories";
/// What a target says of a folder, or anything else, asked for as a file.
pub const NOT_A_FILE: &str = "not a file";
/// What a target says of a file asked for as a folder.
pub const NOT_A_DIR: &str = "not a directory";
/// What a target says when there is no such file.
pub const NO_FILE: &str = "file not found";
/// What a target says when there is no such folder.
pub const NO_DIR: &str = "directory not found";
/// Ours: what a session says that shares nothing.
pub const NOTHING_SHARED: &str = "this session shares no files";
/// The pattern is over [`crate::limit::PEER_PATTERN_BYTES_MAX`]; ours, the contract has no limit.
pub const LONG_PATTERN: &str = "pattern too long";

/// What a target says of a file of `n_bytes`, which is too large.
pub fn too_large(n_bytes: u64) -> String {
    format!("file too large ({n_bytes} bytes, max {})", limit::PEER_FILE_BYTES_MAX)
}

/// Asks a peer for a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "peer_file_request", rename_all = "camelCase")]
pub struct PeerFileRequest {
    /// The session's key, or the member's.
    pub target_pubkey: String,
    /// The path, as the target reads it: relative to what it shares.
    pub file_path: String,
}

/// What the target is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "peer_file_request_forward", rename_all = "camelCase")]
pub struct PeerFileRequestForward {
    /// Who asks: its session's key.
    pub requester_pubkey: String,
    /// The path.
    pub file_path: String,
}

/// Answers [`PeerFileRequestForward`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "peer_file_response", rename_all = "camelCase")]
pub struct PeerFileResponse {
    /// Who asked.
    pub requester_pubkey: String,
    /// The path.
    pub file_path: String,
    /// The file in base64; of an empty file, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What the requester is answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "peer_file_response_forward", rename_all = "camelCase")]
pub struct PeerFileResponseForward {
    /// The path.
    pub file_path: String,
    /// The file in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Why there is none. Extension, for peers without cap `replies`: also when the peer went away
    /// or did not answer, as `<code>: <message>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Asks a peer what is in a folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "peer_dir_request", rename_all = "camelCase")]
pub struct PeerDirRequest {
    /// The session's key, or the member's.
    pub target_pubkey: String,
    /// The folder, relative to what the target shares.
    pub dir_path: String,
    /// Which base names are wanted: `*` and `?` stand for any text and any character.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}

/// What the target is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "peer_dir_request_forward", rename_all = "camelCase")]
pub struct PeerDirRequestForward {
    /// Who asks: its session's key.
    pub requester_pubkey: String,
    /// The folder.
    pub dir_path: String,
    /// Which base names are wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}

/// Answers [`PeerDirRequestForward`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "peer_dir_response", rename_all = "camelCase")]
pub struct PeerDirResponse {
    /// Who asked.
    pub requester_pubkey: String,
    /// The folder.
    pub dir_path: String,
    /// Paths relative to the folder, sorted; folders end in `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<Vec<String>>,
    /// Why there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What the requester is answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "peer_dir_response_forward", rename_all = "camelCase")]
pub struct PeerDirResponseForward {
    /// The folder.
    pub dir_path: String,
    /// Paths relative to the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<Vec<String>>,
    /// Why there are none; see [`PeerFileResponseForward::error`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
