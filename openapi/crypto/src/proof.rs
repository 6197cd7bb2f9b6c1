//! The proof that a session key belongs to a member, re-made at every connect.
//!
//! Canonical text: `skein-session-proof|<meshId>|<sessionPubkey>|<nonce>|<expiresAt>`, the nonce as
//! 32 hex characters, the expiry in Unix milliseconds, signed by the member key.

use serde::{Deserialize, Serialize};

use crate::{Error, Public, Result, Secret, Signature, random};

/// How long a proof is good, in milliseconds: as long as the skew that a hello may have.
pub const LIFE_MS: i64 = 60_000;

/// The furthest expiry that is accepted, in milliseconds from now: [`LIFE_MS`] and the skew, so
/// that no proof outlives its connect by hours.
pub const LIFE_MS_MAX: i64 = 120_000;

/// The member key's word for a session key, for one connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionProof {
    /// 32 hex characters, never used twice.
    pub nonce: String,
    /// Unix milliseconds after which the proof is worth nothing.
    pub expires_at: i64,
    /// 128 hex characters.
    pub signature: String,
}

/// What is signed.
pub fn text(mesh_id: &str, session: &Public, nonce: &str, expires_at: i64) -> String {
    format!("skein-session-proof|{mesh_id}|{session}|{nonce}|{expires_at}")
}

/// Proves at `now_ms` that `session` is this member's.
pub fn sign(member: &Secret, mesh_id: &str, session: &Public, now_ms: i64) -> SessionProof {
    let nonce = hex::encode(random::<16>());
    let expires_at = now_ms + LIFE_MS;
    let signature = member.sign(text(mesh_id, session, &nonce, expires_at).as_bytes());
    SessionProof { nonce, expires_at, signature: signature.hex() }
}

impl SessionProof {
    /// Whether `member` says at `now_ms` that `session` is its own.
    pub fn verify(
        &self,
        member: &Public,
        mesh_id: &str,
        session: &Public,
        now_ms: i64,
    ) -> Result<()> {
        if self.nonce.len() != 32 || !self.nonce.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Error::Malformed("nonce"));
        }
        let signature = Signature::parse(&self.signature)?;
        let text = text(mesh_id, session, &self.nonce, self.expires_at);
        member.verify(text.as_bytes(), &signature)?;
        let left_ms = self.expires_at.saturating_sub(now_ms);
        if (0..=LIFE_MS_MAX).contains(&left_ms) { Ok(()) } else { Err(Error::Expired) }
    }
}
