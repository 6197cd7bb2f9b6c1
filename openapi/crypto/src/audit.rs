//! The hash chain of the audit log.

use sha2::{Digest, Sha256};

/// What stands before the first entry.
pub const GENESIS: &str = "genesis";

/// The hash of an entry: SHA-256 in hex over
/// `<previous>|<meshId>|<eventType>|<actor>|<payload>|<createdAt>`. The payload is compact JSON in
/// the order of insertion.
pub fn hash(
    previous: &str,
    mesh_id: &str,
    event_type: &str,
    actor: &str,
    payload: &str,
    created_at: &str,
) -> String {
    let text = format!("{previous}|{mesh_id}|{event_type}|{actor}|{payload}|{created_at}");
    hex::encode(Sha256::digest(text))
}
