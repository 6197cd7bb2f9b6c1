//! One line of the log: eight hex characters of SHA-256 over the JSON, a space, the JSON, a
//! newline.
//!
//! A line without its newline is the torn end of a write that never finished; a whole line whose
//! checksum does not fit is damage, and is skipped.

use sha2::{Digest, Sha256};

use crate::client::message::Message;

const SUM_CHARS: usize = 8;

/// The line of a message.
pub fn write(message: &Message, to: &mut Vec<u8>) {
    let json = serde_json::to_vec(message).expect("a message has string keys only");
    to.extend_from_slice(sum(&json).as_bytes());
    to.push(b' ');
    to.extend_from_slice(&json);
    to.push(b'\n');
}

/// What stands at the beginning of `bytes`.
#[derive(Debug, PartialEq)]
pub enum Line {
    /// A message, and how many bytes it took.
    Whole(Box<Message>, usize),
    /// A whole line that is damaged, and how many bytes it took.
    Damaged(usize),
    /// Nothing, or a line without an end.
    Torn,
}

/// Reads the line at the beginning of `bytes`.
pub fn read(bytes: &[u8]) -> Line {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return Line::Torn };
    let message = bytes[..end].split_at_checked(SUM_CHARS).and_then(|(claimed, rest)| {
        let json = rest.strip_prefix(b" ")?;
        if sum(json).as_bytes() != claimed {
            return None;
        }
        serde_json::from_slice(json).ok()
    });
    match message {
        Some(message) => Line::Whole(Box::new(message), end + 1),
        None => Line::Damaged(end + 1),
    }
}

fn sum(json: &[u8]) -> String {
    hex::encode(&Sha256::digest(json)[..SUM_CHARS / 2])
}
