//! HTTP requests signed by an owner or a member.
//!
//! Canonical text: `skein-request|<METHOD>|<path with query>|<SHA-256 of the body in
//! hex>|<timestamp in ms>|<nonce>`, the nonce as 32 hex characters. Key, timestamp, nonce and
//! signature travel in the four headers below. The host is not signed, since proxies may change it;
//! the nonce is, so that a server can refuse a repeat.

use sha2::{Digest, Sha256};

use crate::{Error, Public, Result, Secret, Signature, random};

/// The signer's public key, 64 hex characters.
pub const KEY_HEADER: &str = "X-Skein-Key";
/// When it was signed, in Unix milliseconds.
pub const TIMESTAMP_HEADER: &str = "X-Skein-Timestamp";
/// 32 hex characters, used once.
pub const NONCE_HEADER: &str = "X-Skein-Nonce";
/// 128 hex characters.
pub const SIGNATURE_HEADER: &str = "X-Skein-Signature";

/// How far the clocks of signer and server may differ, in milliseconds, as for a hello.
pub const SKEW_MS_MAX: i64 = 60_000;

/// The four headers of a signed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Who signed.
    pub key: Public,
    /// When, in Unix milliseconds.
    pub timestamp: i64,
    /// 32 hex characters.
    pub nonce: String,
    /// Over the canonical text.
    pub signature: Signature,
}

/// Signs a request at `now_ms`.
pub fn sign(secret: &Secret, method: &str, path: &str, body: &[u8], now_ms: i64) -> Signed {
    let nonce = hex::encode(random::<16>());
    let signature = secret.sign(text(method, path, body, now_ms, &nonce).as_bytes());
    Signed { key: secret.public(), timestamp: now_ms, nonce, signature }
}

impl Signed {
    /// Reads the values of the four headers.
    pub fn parse(key: &str, timestamp: &str, nonce: &str, signature: &str) -> Result<Self> {
        if nonce.len() != 32 || !nonce.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Error::Malformed("nonce"));
        }
        Ok(Self {
            key: Public::parse(key)?,
            timestamp: timestamp.parse().map_err(|_| Error::Malformed("timestamp"))?,
            nonce: nonce.to_owned(),
            signature: Signature::parse(signature)?,
        })
    }

    /// Names and values of the four headers.
    pub fn headers(&self) -> [(&'static str, String); 4] {
        [
            (KEY_HEADER, self.key.hex()),
            (TIMESTAMP_HEADER, self.timestamp.to_string()),
            (NONCE_HEADER, self.nonce.clone()),
            (SIGNATURE_HEADER, self.signature.hex()),
        ]
    }

    /// Whether the key signed exactly this request, within the skew of `now_ms`.
    pub fn verify(&self, method: &str, path: &str, body: &[u8], now_ms: i64) -> Result<()> {
        let text = text(method, path, body, self.timestamp, &self.nonce);
        self.key.verify(text.as_bytes(), &self.signature)?;
        if self.timestamp.abs_diff(now_ms) > SKEW_MS_MAX.unsigned_abs() {
            return Err(Error::Expired);
        }
        Ok(())
    }
}

/// What is signed.
pub fn text(method: &str, path: &str, body: &[u8], timestamp_ms: i64, nonce: &str) -> String {
    let body = hex::encode(Sha256::digest(body));
    format!("skein-request|{method}|{path}|{body}|{timestamp_ms}|{nonce}")
}
