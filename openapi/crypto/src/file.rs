//! Files: sealed with a key of their own, which is sealed to each peer that may read them.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libsodium_rs::{crypto_box, crypto_secretbox};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{Error, Public, Result, Secret, random, ready};

/// The nonce that stands before the sealed bytes.
const NONCE_BYTES: usize = 24;

/// The key of one file or vault entry. Zeroed on drop; does not print.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ContentKey([u8; 32]);

impl ContentKey {
    /// A new random key.
    pub fn generate() -> Self {
        Self(random())
    }

    /// The key of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key, sealed so that only `to` can open it: 80 bytes in base64.
    pub fn wrap(&self, to: &Public) -> Result<String> {
        ready();
        let sealed =
            crypto_box::seal_box(&self.0, &to.box_key()?).map_err(|_| Error::Unusable(*to))?;
        Ok(STANDARD.encode(sealed))
    }

    /// Opens a key that was wrapped for `own`.
    pub fn unwrap(wrapped: &str, own: &Secret) -> Result<Self> {
        let sealed = STANDARD.decode(wrapped).map_err(|_| Error::Malformed("sealed key"))?;
        let public = own.public().box_key()?;
        let key = crypto_box::open_sealed_box(&sealed, &public, &own.box_key());
        let key = Zeroizing::new(key.map_err(|_| Error::Sealed)?);
        key.as_slice().try_into().map(Self).map_err(|_| Error::Malformed("sealed key"))
    }

    pub(crate) fn seal(&self, plain: &[u8], nonce: &[u8; NONCE_BYTES]) -> Vec<u8> {
        ready();
        let nonce = crypto_secretbox::Nonce::from_bytes(*nonce);
        crypto_secretbox::seal(plain, &nonce, &crypto_secretbox::Key::from(self.0))
    }

    pub(crate) fn open(&self, sealed: &[u8], nonce: &[u8; NONCE_BYTES]) -> Result<Vec<u8>> {
        ready();
        let nonce = crypto_secretbox::Nonce::from_bytes(*nonce);
        let key = crypto_secretbox::Key::from(self.0);
        crypto_secretbox::open(sealed, &nonce, &key).map_err(|_| Error::Sealed)
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey(..)")
    }
}

/// The bytes to store: nonce, authenticator, ciphertext.
pub fn seal(key: &ContentKey, plain: &[u8]) -> Vec<u8> {
    seal_with(key, plain, random())
}

/// Seals with a given nonce. Only for vectors: a nonce that is used twice betrays both files.
pub fn seal_with(key: &ContentKey, plain: &[u8], nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
    let mut stored = nonce.to_vec();
    stored.extend(key.seal(plain, &nonce));
    stored
}

/// The file in stored bytes.
pub fn open(key: &ContentKey, stored: &[u8]) -> Result<Vec<u8>> {
    let (nonce, sealed) =
        stored.split_first_chunk::<NONCE_BYTES>().ok_or(Error::Malformed("stored bytes"))?;
    key.open(sealed, nonce)
}
