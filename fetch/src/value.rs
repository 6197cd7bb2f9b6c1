//! What of an answer is compared.
//!
//! Its status as text; the start of the SHA-256 of its text; or what is at a path of its JSON, as
//! text. A path is dotted (`a.b.0.c`, with or without `$.` before it), or JSONPath where it starts
//! with `$` and says what dots have no word for: `[`, `*` or `..`.

mod path;

use std::io::{self, Write};

use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use skein_wire::limit::{FETCH_BODY_BYTES_MAX, FETCH_VALUE_CHARS_MAX};
use skein_wire::watches::Mode;

use crate::exchange::Response;

pub use path::InvalidPath;
use path::Path;

/// What is shown of a body that should be JSON and is not.
const EXCERPT_CHARS: usize = 200;
/// What of a value is looked at: what several nodes have in common is written for each of them.
const WRITTEN_BYTES_MAX: usize = 2 * FETCH_BODY_BYTES_MAX;
/// Room for what is shown, of any characters, and one more that says that there is more.
const SHOWN_BYTES_MAX: usize = 4 * (FETCH_VALUE_CHARS_MAX + 1);
/// The end of a text that was cut.
const ELLIPSIS: &str = "…";

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The value for people; one longer than [`FETCH_VALUE_CHARS_MAX`] is cut and ends with `…`.
    pub text: String,
    /// The first 16 hex characters of the SHA-256 of the whole value, or the value itself where it
    /// is such a hash. Compare this one: two long values may begin alike.
    pub hash: String,
}

/// Says why `extract` cannot be looked up in any document, if it cannot.
pub fn check(extract: &str) -> Result<(), InvalidPath> {
    Path::parse(extract).map(drop)
}

/// The value of `response`: its status, its hash, or what is at `extract` of its JSON.
///
/// A large body takes milliseconds, of one core.
pub fn of(mode: Mode, extract: Option<&str>, response: &Response) -> Value {
    match (mode, extract.filter(|extract| !extract.is_empty())) {
        (Mode::Status, _) => written(|text| write!(text, "{}", response.status)),
        (Mode::Json, Some(extract)) => json(extract, &response.text()),
        (Mode::Hash, _) | (Mode::Json, None) => {
            let hash = short(Sha256::digest(response.text().as_bytes()).as_slice());
            Value { text: hash.clone(), hash }
        }
    }
}

fn json(extract: &str, body: &str) -> Value {
    let Ok(document) = serde_json::from_str::<Json>(body) else {
        return written(|text| {
            let end = body.char_indices().nth(EXCERPT_CHARS).map_or(body.len(), |(at, _)| at);
            text.write_all(&body.as_bytes()[..end])
        });
    };
    // One that cannot be read is refused before it gets here, and leads nowhere if it does.
    let found = Path::parse(extract).map(|path| path.look_up(&document)).unwrap_or_default();
    written(|text| match *found {
        [] => write!(text, "null"),
        [one] => write_one(text, one),
        _ => Ok(serde_json::to_writer(text, &found)?),
    })
}

/// As the contract's own program makes text of it: a string without quotes, a whole number without
/// a point. What has parts is JSON.
fn write_one(text: &mut Written, value: &Json) -> io::Result<()> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    match value {
        Json::String(string) => text.write_all(string.as_bytes()),
        Json::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT_MAX => {
                write!(text, "{}", float as i64)
            }
            _ => write!(text, "{number}"),
        },
        _ => Ok(serde_json::to_writer(text, value)?),
    }
}

/// The value that `write` writes, or its beginning where it is too long to be looked at.
fn written(write: impl FnOnce(&mut Written) -> io::Result<()>) -> Value {
    let mut text = Written { shown: Vec::new(), n_bytes: 0, hash: Sha256::new() };
    // It fails only at its bound; what is past that is not looked at.
    let _ = write(&mut text);
    Value { hash: short(&text.hash.clone().finalize()), text: text.shown() }
}

fn short(digest: &[u8]) -> String {
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A value as it is written: its hash, and what is shown of it.
struct Written {
    shown: Vec<u8>,
    n_bytes: usize,
    hash: Sha256,
}

impl Written {
    fn shown(self) -> String {
        let whole = String::from_utf8_lossy(&self.shown);
        let last = FETCH_VALUE_CHARS_MAX - 1;
        let mut rest = whole.char_indices().skip(last);
        match (rest.next(), rest.next()) {
            (Some((end, _)), Some(_)) => format!("{}{ELLIPSIS}", &whole[..end]),
            _ => whole.into_owned(),
        }
    }
}

impl Write for Written {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.n_bytes + part.len() > WRITTEN_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let room = SHOWN_BYTES_MAX.saturating_sub(self.shown.len());
        self.shown.extend_from_slice(&part[..part.len().min(room)]);
        self.n_bytes += part.len();
        self.hash.update(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
