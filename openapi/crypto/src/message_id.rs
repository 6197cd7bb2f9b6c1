//! The id of a message, made from what the sender calls it, so that a repeat has the same id
//! wherever and however often it arrives.
//!
//! Both hashes are BLAKE2b over a domain string and then every part behind its length (eight bytes,
//! little-endian), cut to 128 bits: no two lists of parts give the same bytes.

use libsodium_rs::crypto_generichash::State;

use crate::{Public, ready};

const MESSAGE_DOMAIN: &[u8] = b"skein-message-id";
const FIRE_DOMAIN: &[u8] = b"skein-schedule-fire";
const RUN_DOMAIN: &[u8] = b"skein-schedule-run";
const BODY_DOMAIN: &[u8] = b"skein-body-hash";

/// The id of the message that `session` calls `id`: 32 hex characters.
pub fn of(mesh_id: &str, session: &Public, id: &str) -> String {
    hex::encode(bytes_of(mesh_id, session, id))
}

/// The same, as the 16 bytes that are stored.
pub fn bytes_of(mesh_id: &str, session: &Public, id: &str) -> [u8; 16] {
    hash(MESSAGE_DOMAIN, &[mesh_id.as_bytes(), &session.0, id.as_bytes()])
}

/// The id of the message of a schedule's slot, in epoch milliseconds: whoever fires it, and however
/// often, it is the same message.
pub fn of_slot(schedule: &[u8; 16], slot_ms: i64) -> [u8; 16] {
    hash(FIRE_DOMAIN, &[schedule, &slot_ms.to_le_bytes()])
}

/// The id of the message of a schedule that was asked at this moment to fire beside its slots.
pub fn of_run(schedule: &[u8; 16], asked_ms: i64) -> [u8; 16] {
    hash(RUN_DOMAIN, &[schedule, &asked_ms.to_le_bytes()])
}

/// What tells a repeat from another message under the same id.
pub fn body_hash(target: &str, priority: &str, nonce: &str, ciphertext: &str) -> [u8; 16] {
    let parts = [target, priority, nonce, ciphertext].map(str::as_bytes);
    hash(BODY_DOMAIN, &parts)
}

fn hash(domain: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    ready();
    let mut state = State::new(None, 64).expect("64 bytes is BLAKE2b's own length");
    for part in std::iter::once(&domain).chain(parts) {
        state.update(&(part.len() as u64).to_le_bytes());
        state.update(part);
    }
    *state.finalize().first_chunk().expect("64 bytes hold 16")
}
