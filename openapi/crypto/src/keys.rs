//! Keys: Ed25519 pairs for identity, and their X25519 images for sealing.
//!
//! On the wire a public key is 64 lower-case hex characters. The reference compares keys as text,
//! so a key in upper case is another key to it: [`Public::parse`] is strict, and
//! [`Public::parse_any_case`] is for the few places that accept both.

use std::fmt;
use std::str::FromStr;

use libsodium_rs::{crypto_box, crypto_sign};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{Error, Result, random, ready};

/// An Ed25519 public key: the name of an owner, a member or a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Public(pub [u8; 32]);

impl Public {
    /// Reads 64 lower-case hex characters, and nothing else.
    pub fn parse(text: &str) -> Result<Self> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(Error::Malformed("key"));
        }
        Self::parse_any_case(text)
    }

    /// Reads 64 hex characters of any case.
    pub fn parse_any_case(text: &str) -> Result<Self> {
        bytes(text).map(Self).ok_or(Error::Malformed("key"))
    }

    /// The 64 lower-case hex characters.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Whether `signature` is this key's over `text`.
    pub fn verify(&self, text: &[u8], signature: &Signature) -> Result<()> {
        ready();
        let key = crypto_sign::PublicKey::from_bytes_exact(self.0);
        if crypto_sign::verify_detached(&signature.0, text, &key) {
            Ok(())
        } else {
            Err(Error::BadSignature)
        }
    }

    /// The X25519 image, to which things are sealed.
    pub fn x25519(&self) -> Result<[u8; 32]> {
        ready();
        let key = crypto_sign::PublicKey::from_bytes_exact(self.0);
        crypto_sign::ed25519_pk_to_curve25519(&key).map_err(|_| Error::Unusable(*self))
    }

    pub(crate) fn box_key(&self) -> Result<crypto_box::PublicKey> {
        self.x25519().map(crypto_box::PublicKey::from_bytes_exact)
    }
}

impl fmt::Display for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Public({self})")
    }
}

impl FromStr for Public {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl Serialize for Public {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.hex())
    }
}

impl<'de> Deserialize<'de> for Public {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|_| de::Error::custom("expected 64 lower-case hex characters"))
    }
}

/// An Ed25519 secret key, seed and public key together. Zeroed on drop; does not print.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 64]);

impl Secret {
    /// Reads 128 hex characters whose second half is the public key of the first.
    pub fn parse(text: &str) -> Result<Self> {
        let secret: Zeroizing<[u8; 64]> =
            Zeroizing::new(bytes(text).ok_or(Error::Malformed("secret key"))?);
        let seed: Zeroizing<[u8; 32]> =
            Zeroizing::new(secret[..32].try_into().expect("half of 64 is 32"));
        let pair = Keypair::from_seed(&seed);
        // libsodium signs with the stored half; a wrong one would leak the secret through
        // signatures.
        if pair.secret.0 != *secret {
            return Err(Error::Malformed("secret key"));
        }
        Ok(pair.secret)
    }

    /// The 128 hex characters, for the owner's own disk.
    pub fn hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.0))
    }

    /// The public half.
    pub fn public(&self) -> Public {
        Public(self.0[32..].try_into().expect("half of 64 is 32"))
    }

    /// A detached signature over `text`.
    pub fn sign(&self, text: &[u8]) -> Signature {
        ready();
        let key = crypto_sign::SecretKey::from_bytes_exact(self.0);
        Signature(crypto_sign::sign_detached(text, &key).expect("signing has no way to fail"))
    }

    /// The X25519 image, which opens what was sealed to the public one.
    pub fn x25519(&self) -> Zeroizing<[u8; 32]> {
        ready();
        let key = crypto_sign::SecretKey::from_bytes_exact(self.0);
        let image = crypto_sign::ed25519_sk_to_curve25519(&key);
        Zeroizing::new(image.expect("hashing a seed has no way to fail"))
    }

    pub(crate) fn box_key(&self) -> crypto_box::SecretKey {
        crypto_box::SecretKey::from_bytes_exact(*self.x25519())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A public key and its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keypair {
    /// What others call it.
    pub public: Public,
    /// What only we have.
    pub secret: Secret,
}

impl Keypair {
    /// A new random pair.
    pub fn generate() -> Self {
        Self::from_seed(&Zeroizing::new(random()))
    }

    /// The pair of a seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        ready();
        let pair = crypto_sign::keypair_from_seed(seed).expect("every seed has a pair");
        Self {
            public: Public(*pair.public_key.as_bytes()),
            secret: Secret(*pair.secret_key.as_bytes()),
        }
    }
}

impl From<Secret> for Keypair {
    fn from(secret: Secret) -> Self {
        Self { public: secret.public(), secret }
    }
}

/// A detached Ed25519 signature: 128 hex characters on the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl Signature {
    /// Reads 128 hex characters of any case.
    pub fn parse(text: &str) -> Result<Self> {
        bytes(text).map(Self).ok_or(Error::Malformed("signature"))
    }

    /// The 128 lower-case hex characters.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", self.hex())
    }
}

/// The 32 bytes that every member has and the server never sees: content that the server must not
/// read is sealed with keys derived from it. Zeroed on drop; does not print.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct RootKey([u8; 32]);

impl RootKey {
    /// A new random key, for a new mesh.
    pub fn generate() -> Self {
        Self(random())
    }

    /// The key of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 64 hex characters.
    pub fn parse(text: &str) -> Result<Self> {
        bytes(text).map(Self).ok_or(Error::Malformed("root key"))
    }

    /// The 64 hex characters, for the member's own disk.
    pub fn hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.0))
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(..)")
    }
}

/// Exactly `N` bytes of hex.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}
