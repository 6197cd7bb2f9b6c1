//! Vault entries: a secret of one member, sealed so that only that member's key opens it.
//!
//! Unlike in a file, the nonce travels beside the sealed bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::file::ContentKey;
use crate::{Error, Public, Result, Secret, random};

/// A sealed entry as it travels, every part in base64 with padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The authenticator, then the secret.
    pub ciphertext: String,
    /// 24 bytes.
    pub nonce: String,
    /// The entry's key, sealed to the member.
    pub sealed_key: String,
}

/// Seals `plain` for `member`.
pub fn seal(member: &Public, plain: &[u8]) -> Result<Entry> {
    let key = ContentKey::generate();
    let nonce = random();
    Ok(Entry {
        ciphertext: STANDARD.encode(key.seal(plain, &nonce)),
        nonce: STANDARD.encode(nonce),
        sealed_key: key.wrap(member)?,
    })
}

/// Opens an entry that was sealed for `member`.
pub fn open(member: &Secret, entry: &Entry) -> Result<Vec<u8>> {
    let key = ContentKey::unwrap(&entry.sealed_key, member)?;
    let nonce = STANDARD.decode(&entry.nonce).map_err(|_| Error::Malformed("nonce"))?;
    let nonce = nonce.try_into().map_err(|_| Error::Malformed("nonce"))?;
    let sealed = STANDARD.decode(&entry.ciphertext).map_err(|_| Error::Malformed("ciphertext"))?;
    key.open(&sealed, &nonce)
}
