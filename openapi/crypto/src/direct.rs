//! Direct messages: sealed from one key to another (`crypto_box_easy` over the X25519 images).
//!
//! Agreeing on the shared key costs twenty times what sealing does, so [`Pairs`] computes it once a
//! pair and keeps it. A message that does not open is [`Error::CannotOpen`] with the sender's key:
//! the old client would go on to read it as plain text, which lets a broker inject words.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libsodium_rs::crypto_box::{self, PrecomputedKey};

use crate::{Error, Public, Result, Secret, random, ready};

/// Shared keys kept by one [`Pairs`]; the oldest goes first. 4,096 of them are 400 kB, and more
/// than the peers of a mesh.
pub const PAIRS_MAX: usize = 4096;

/// A sealed message as it travels, both parts in base64 with padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// 24 bytes, used once.
    pub nonce: String,
    /// The authenticator (16 bytes), then the message.
    pub ciphertext: String,
}

/// The shared keys of one secret with others, computed once each.
pub struct Pairs {
    own: crypto_box::SecretKey,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    keys: HashMap<Public, Arc<PrecomputedKey>>,
    oldest_first: VecDeque<Public>,
}

impl Pairs {
    /// The pairs of `own`, none computed yet.
    pub fn new(own: &Secret) -> Self {
        Self { own: own.box_key(), known: Mutex::default() }
    }

    /// Seals `text` for `to`.
    pub fn seal(&self, to: &Public, text: &str) -> Result<Sealed> {
        self.seal_with(to, text, random())
    }

    /// Seals with a given nonce. Only for vectors: a nonce that is used twice betrays both
    /// messages.
    pub fn seal_with(&self, to: &Public, text: &str, nonce: [u8; 24]) -> Result<Sealed> {
        let shared = self.shared(to)?;
        let box_nonce = crypto_box::Nonce::from_bytes_exact(nonce);
        let sealed = crypto_box::seal_afternm(text.as_bytes(), &box_nonce, &shared)
            .expect("sealing in memory has no way to fail");
        Ok(Sealed { nonce: STANDARD.encode(nonce), ciphertext: STANDARD.encode(sealed) })
    }

    /// Opens what `from` sealed for us, or names `from` in the error.
    pub fn open(&self, from: &Public, nonce: &str, ciphertext: &str) -> Result<String> {
        self.try_open(from, nonce, ciphertext).ok_or(Error::CannotOpen { sender: *from })
    }

    /// How many shared keys are kept.
    pub fn len(&self) -> usize {
        self.lock().keys.len()
    }

    /// Whether no shared key was computed yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn try_open(&self, from: &Public, nonce: &str, ciphertext: &str) -> Option<String> {
        let nonce: [u8; 24] = STANDARD.decode(nonce).ok()?.try_into().ok()?;
        let sealed = STANDARD.decode(ciphertext).ok()?;
        let shared = self.shared(from).ok()?;
        let nonce = crypto_box::Nonce::from_bytes_exact(nonce);
        let plain = crypto_box::open_afternm(&sealed, &nonce, &shared).ok()?;
        String::from_utf8(plain).ok()
    }

    fn shared(&self, other: &Public) -> Result<Arc<PrecomputedKey>> {
        if let Some(shared) = self.lock().keys.get(other) {
            return Ok(shared.clone());
        }
        ready();
        // Computed outside the lock: two threads may do it twice, and neither waits for the other.
        let shared = crypto_box::beforenm(&other.box_key()?, &self.own)
            .map_err(|_| Error::Unusable(*other))?;
        let shared = Arc::new(shared);
        let mut known = self.lock();
        if known.keys.insert(*other, shared.clone()).is_none() {
            known.oldest_first.push_back(*other);
        }
        if known.oldest_first.len() > PAIRS_MAX
            && let Some(oldest) = known.oldest_first.pop_front()
        {
            known.keys.remove(&oldest);
        }
        Ok(shared)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().expect("nothing panics while it holds this lock")
    }
}

impl std::fmt::Debug for Pairs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pairs(..)")
    }
}
