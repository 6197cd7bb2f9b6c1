//! What the server must itself be able to reopen: AES-256-GCM under the deployment key, no
//! associated data, stored as base64 of IV (12 bytes), tag (16 bytes), ciphertext.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::{Error, Result, random};

const IV_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// Seals `plain` for storage.
pub fn seal(key: &[u8; 32], plain: &[u8]) -> String {
    seal_with(key, plain, random())
}

/// Seals with a given IV. Only for vectors: an IV that is used twice betrays the key's stream.
pub fn seal_with(key: &[u8; 32], plain: &[u8], iv: [u8; IV_BYTES]) -> String {
    let mut body = plain.to_vec();
    let tag = cipher(key)
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(iv), Aad::empty(), &mut body)
        .expect("bodies here are far below the cipher's limit");
    let mut stored = iv.to_vec();
    stored.extend_from_slice(tag.as_ref());
    stored.extend(body);
    STANDARD.encode(stored)
}

/// Opens what [`seal`] stored.
pub fn open(key: &[u8; 32], stored: &str) -> Result<Vec<u8>> {
    let stored = STANDARD.decode(stored).map_err(|_| Error::Malformed("stored text"))?;
    let (iv, rest) =
        stored.split_first_chunk::<IV_BYTES>().ok_or(Error::Malformed("stored text"))?;
    let (tag, body) =
        rest.split_first_chunk::<TAG_BYTES>().ok_or(Error::Malformed("stored text"))?;
    // ring wants the tag last, the format has it first.
    let mut buffer = [body, tag].concat();
    let plain = cipher(key)
        .open_in_place(Nonce::assume_unique_for_key(*iv), Aad::empty(), &mut buffer)
        .map_err(|_| Error::Sealed)?;
    Ok(plain.to_vec())
}

fn cipher(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("the key has the cipher's length"))
}
