//! What a check makes of an answer.
//!
//! The reference compares the body of any answer. An error page is no news of what is watched, and
//! it is not the last one: so an answer that says it is an error is a failed check, unless its
//! status is what is looked at, or it is JSON and a part of that is (`/health` says what is wrong
//! with 503).

use std::panic::resume_unwind;

use serde::de::IgnoredAny;
use skein_wire::{limit, watches::Mode};
use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::exchange::Response;
use crate::value::{self, Value};

/// The end of a text that was cut.
const ELLIPSIS: &str = "…";
/// The first status that says that there is an error.
const ERRORS_FROM: u16 = 400;

/// Documents that are read at once: each may take as much memory as a hundred of its size.
static TURNS: Semaphore = Semaphore::const_new(limit::FETCH_DOCUMENTS_AT_ONCE_MAX);

/// As [`of`], beside the threads that everything else runs on: a large document takes long.
pub async fn read(
    mode: Mode,
    extract: Option<String>,
    response: Response,
) -> (Result<Value, String>, Response) {
    let _turn = TURNS.acquire().await.expect("it is never closed");
    let reading = spawn_blocking(move || {
        let value = of(mode, extract.as_deref(), &response);
        (value, response)
    });
    reading.await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}

/// The value of an answer, or why it has none.
pub fn of(mode: Mode, extract: Option<&str>, response: &Response) -> Result<Value, String> {
    let is_error = response.status >= ERRORS_FROM;
    let says_itself = match mode {
        Mode::Status => true,
        Mode::Json => {
            extract.is_some() && serde_json::from_slice::<IgnoredAny>(&response.body).is_ok()
        }
        Mode::Hash => false,
    };
    if is_error && !says_itself {
        return Err(format!("HTTP {}", response.status));
    }
    Ok(value::of(mode, extract, response))
}

/// Why a check failed, as it is kept and told: one that is too long is cut and ends with `…`.
pub fn why(text: &str) -> String {
    // PostgreSQL's texts have no U+0000.
    let text = text.replace('\0', "\u{fffd}");
    if text.len() <= limit::WATCH_ERROR_BYTES_MAX {
        return text;
    }
    let end = text.floor_char_boundary(limit::WATCH_ERROR_BYTES_MAX - ELLIPSIS.len());
    format!("{}{ELLIPSIS}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_is_cut_says_so_and_can_be_kept() {
        let most = "é".repeat(limit::WATCH_ERROR_BYTES_MAX / 2);

        let cut = why(&format!("x{most}"));

        assert_eq!(why("a\0b"), "a\u{fffd}b");
        assert_eq!(why(&most), most);
        assert!(cut.starts_with("xé") && cut.ends_with("é…"), "{cut}");
        assert!(cut.len() <= limit::WATCH_ERROR_BYTES_MAX, "{}", cut.len());
    }

    fn response(status: u16, body: &str) -> Response {
        Response {
            status,
            final_url: String::new(),
            content_type: None,
            etag: None,
            last_modified: None,
            body: body.as_bytes().to_vec(),
            not_modified: false,
            took: std::time::Duration::ZERO,
        }
    }

    #[test]
    fn an_error_is_a_value_only_where_it_is_looked_at() {
        let down = response(503, r#"{"db":"down"}"#);
        let text = |mode, extract| of(mode, extract, &down).map(|value| value.text);

        assert_eq!(text(Mode::Status, None), Ok("503".to_owned()));
        assert_eq!(text(Mode::Json, Some("db")), Ok("down".to_owned()));
        assert_eq!(text(Mode::Json, None), Err("HTTP 503".to_owned()));
        assert_eq!(text(Mode::Hash, None), Err("HTTP 503".to_owned()));
        let page = response(502, "<h1>Bad gateway</h1>");
        assert_eq!(of(Mode::Json, Some("db"), &page), Err("HTTP 502".to_owned()));
        assert!(of(Mode::Hash, None, &response(204, "")).is_ok());
    }
}
