//! Bodies that are not sealed: multicasts and reminders carry base64 of UTF-8 text.
//!
//! Such a body proves nothing about who wrote it; a client must never take a direct message for
//! one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::{Error, Result};

/// The body of `text`.
pub fn encode(text: &str) -> String {
    STANDARD.encode(text)
}

/// The text of a body.
pub fn decode(ciphertext: &str) -> Result<String> {
    let bytes = STANDARD.decode(ciphertext).map_err(|_| Error::Malformed("ciphertext"))?;
    String::from_utf8(bytes).map_err(|_| Error::Malformed("ciphertext"))
}

/// The rule by which the reference tells text from noise: not empty, and only printable ASCII,
/// whitespace and U+00A0 to U+FFFF, counted in UTF-16 units (so that emoji pass).
pub fn is_printable(text: &str) -> bool {
    let printable = |unit: u16| matches!(unit, 0x09..=0x0d | 0x20..=0x7e | 0xa0..=0xffff);
    !text.is_empty() && text.encode_utf16().all(printable)
}
