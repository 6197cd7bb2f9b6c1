//! The byte formats that two programs must agree on, over libsodium. No I/O, no clock, no state but
//! caches: what a moment decides (is it expired?) is asked with the moment as a parameter.
//!
//! One noun a module. Formats of the reference are in `wire-protocol.md` section 5, and its vectors
//! are this crate's tests; what is ours alone ([`proof`], [`request`], [`message_id`], the second
//! form in [`invite`]) has its canonical text in the module's comment.
//!
//! Secrets are zeroed when dropped and never print. A direct message that does not open is an error
//! that names the sender's key, and never text.

pub mod at_rest;
pub mod audit;
pub mod direct;
pub mod file;
pub mod hello;
pub mod invite;
pub mod keys;
pub mod message_id;
pub mod plain;
pub mod proof;
pub mod request;
pub mod vault;
pub mod webhook;

use std::sync::Once;

pub use keys::{Keypair, Public, Secret, Signature};

/// What can be wrong with bytes from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A field has the wrong length, alphabet or type.
    #[error("{0} is malformed")]
    Malformed(&'static str),

    /// The signature was not made by this key over this text.
    #[error("signature does not verify")]
    BadSignature,

    /// A direct message was not sealed by this sender for us, or was changed on its way.
    #[error("message of {sender} cannot be opened")]
    CannotOpen {
        /// The key that the message claims to be from.
        sender: Public,
    },

    /// Sealed bytes were changed, or were not sealed for this key.
    #[error("sealed bytes cannot be opened with this key")]
    Sealed,

    /// The key is no point that a secret can be shared with.
    #[error("{0} is not a usable key")]
    Unusable(Public),

    /// It was good once.
    #[error("expired")]
    Expired,
}

/// The result of reading bytes from elsewhere.
pub type Result<T> = std::result::Result<T, Error>;

/// Random bytes from the operating system, for nonces, ids and keys.
pub fn random<const N: usize>() -> [u8; N] {
    ready();
    let mut bytes = [0; N];
    libsodium_rs::random::fill_bytes(&mut bytes);
    bytes
}

/// Makes libsodium choose its implementations; without it everything works, but slower.
pub(crate) fn ready() {
    static READY: Once = Once::new();
    READY.call_once(|| libsodium_rs::ensure_init().expect("libsodium initialises on any host"));
}
