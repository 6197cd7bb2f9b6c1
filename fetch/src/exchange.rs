//! A request and what came of it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The URL, as its user wrote it.
    pub url: String,
    /// Sent to the URL's own origin only: a redirect to another one drops them for good.
    pub headers: BTreeMap<String, String>,
    /// The [`Response::etag`] of the last answer. None where the status itself is what is looked
    /// at, since it would be 304.
    pub etag: Option<String>,
    /// The [`Response::last_modified`] of the last answer; none likewise.
    pub last_modified: Option<String>,
    /// The mailbox of the member that it is made for, who has only a share of what one process
    /// fetches at once. None: nobody's share.
    pub member: Option<i64>,
}

/// The last answer, after redirects.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its HTTP status.
    pub status: u16,
    /// Where it came from.
    pub final_url: String,
    /// What it calls its body.
    pub content_type: Option<String>,
    /// For the next request; none where the answer was redirected, since it is the validator of
    /// another URL then.
    pub etag: Option<String>,
    /// For the next request; none likewise.
    pub last_modified: Option<String>,
    /// Its body, decompressed.
    pub body: Vec<u8>,
    /// It is as it was when the request's validators were given. There is no body.
    pub not_modified: bool,
    /// From the first byte sent to the last one read, redirects and lookups of names included; not
    /// the waits for turns.
    pub took: Duration,
}

impl Response {
    /// How long the body is, decompressed.
    pub fn n_bytes(&self) -> usize {
        self.body.len()
    }

    /// The body as text: UTF-8 without its mark of byte order; what is none is replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.body))
    }
}
