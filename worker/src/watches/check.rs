//! One check: what is asked, and what is made of the answer.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use skein_crypto::at_rest;
use skein_fetch::{Allow, FetchError, Fetcher, Guard, Request, Response, outcome};
use skein_sql::watches::{Check, Due, Failed, Seen};
use skein_wire::watches::Mode;

/// How a worker looks at what peers named. Clones share what is spaced out for each host.
#[derive(Clone)]
pub struct Fetching {
    fetcher: Arc<Fetcher>,
    /// The deployment key, which opens the headers of watches.
    key: Option<[u8; 32]>,
}

impl Fetching {
    /// Looks at what is public, and at what is allowed beyond it.
    pub fn new(allow: Allow, key: Option<[u8; 32]>) -> Self {
        Self { fetcher: Arc::new(Fetcher::new(Guard::new(allow))), key }
    }

    /// Makes a check; says also how long the asking took, without the wait for a turn.
    pub async fn check(&self, due: Due) -> (Check, Duration) {
        let headers = match self.headers(&due) {
            Ok(headers) => headers,
            Err(why) => {
                let failed = Failed { why: Some(why), status: None, is_ours: false };
                return (Check { due, outcome: Err(failed) }, Duration::ZERO);
            }
        };
        // A status that is looked at is never 304; and what was never seen cannot be unchanged.
        let is_known = due.last.is_some() && due.mode != Mode::Status;
        let request = Request {
            url: due.url.clone(),
            headers,
            etag: due.etag.clone().filter(|_| is_known),
            last_modified: due.last_modified.clone().filter(|_| is_known),
            member: Some(due.member),
        };
        let began = Instant::now();
        let (outcome, took) = match self.fetcher.get(&request).await {
            Ok(response) => {
                let took = response.took;
                (seen(&due, response).await, took)
            }
            Err(error) => (Err(failed(&error)), began.elapsed()),
        };
        (Check { due, outcome }, took)
    }

    /// What is sent, opened.
    fn headers(&self, due: &Due) -> Result<BTreeMap<String, String>, String> {
        let Some(sealed) = &due.headers else { return Ok(BTreeMap::new()) };
        let key =
            self.key.ok_or("its headers cannot be opened: workers need SKEIN_DEPLOYMENT_KEY")?;
        let opened = at_rest::open(&key, sealed).ok();
        opened
            .and_then(|text| serde_json::from_slice(&text).ok())
            .ok_or_else(|| "its headers were sealed under another deployment key".to_owned())
    }
}

// The key is not printed.
impl fmt::Debug for Fetching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetching").finish_non_exhaustive()
    }
}

async fn seen(due: &Due, response: Response) -> Result<Seen, Failed> {
    let (etag, last_modified) = (response.etag.clone(), response.last_modified.clone());
    if response.not_modified {
        return Ok(Seen {
            status: response.status,
            value: None,
            etag: etag.or_else(|| due.etag.clone()),
            last_modified: last_modified.or_else(|| due.last_modified.clone()),
        });
    }
    let (value, response) = outcome::read(due.mode, due.extract.clone(), response).await;
    let value = value.map_err(|why| Failed {
        why: Some(outcome::why(&why)),
        status: Some(response.status),
        is_ours: false,
    })?;
    // PostgreSQL's texts have no U+0000.
    let text = value.text.replace('\0', "\u{fffd}");
    Ok(Seen { status: response.status, value: Some((text, value.hash)), etag, last_modified })
}

fn failed(error: &FetchError) -> Failed {
    let is_ours = matches!(error, FetchError::Busy);
    Failed { why: Some(outcome::why(&error.to_string())), status: None, is_ours }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_was_not_made_is_no_failure_of_what_is_looked_at() {
        assert!(failed(&FetchError::Busy).is_ours);
        assert!(!failed(&FetchError::Timeout).is_ours);
    }
}
