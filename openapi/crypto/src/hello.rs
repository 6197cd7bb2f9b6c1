//! The signature of a hello.
//!
//! Canonical text: `<meshId>|<memberId>|<pubkey>|<timestamp>`, every part exactly as it stands in
//! the frame (so a key in upper case is signed in upper case), signed by the member key.

use crate::{Public, Result, Secret, Signature};

/// What is signed. `pubkey` is the text of the frame.
pub fn text(mesh_id: &str, member_id: &str, pubkey: &str, timestamp_ms: i64) -> String {
    format!("{mesh_id}|{member_id}|{pubkey}|{timestamp_ms}")
}

/// Signs a hello of this member.
pub fn sign(member: &Secret, mesh_id: &str, member_id: &str, timestamp_ms: i64) -> Signature {
    let text = text(mesh_id, member_id, &member.public().hex(), timestamp_ms);
    member.sign(text.as_bytes())
}

/// Checks a hello by the texts of its frame: `Malformed` when key or signature cannot be read,
/// `BadSignature` when they do not fit. Returns the key.
pub fn verify(
    mesh_id: &str,
    member_id: &str,
    pubkey: &str,
    timestamp_ms: i64,
    signature: &str,
) -> Result<Public> {
    let key = Public::parse_any_case(pubkey)?;
    let signature = Signature::parse(signature)?;
    key.verify(text(mesh_id, member_id, pubkey, timestamp_ms).as_bytes(), &signature)?;
    Ok(key)
}
