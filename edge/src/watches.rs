//! What this deployment adds to URL watches: what may be looked at, and the key that seals what is
//! sent along. Workers look; an edge only tries a check when it is asked to.

use std::{collections::BTreeMap, fmt, sync::Arc};

use skein_crypto::at_rest;
use skein_fetch::{Fetcher, Guard};
use skein_wire::{
    limit,
    push::{Kept, Push, SYSTEM},
};
use tokio::sync::Semaphore;

use crate::config::{Config, Secret};

/// Watches as this deployment makes them.
#[derive(Clone)]
pub struct Watches {
    /// Makes the checks that are tried here; its guard measures those that workers make.
    pub fetcher: Arc<Fetcher>,
    /// Room for such checks, until they are answered.
    pub tests: Arc<Semaphore>,
    key: Secret,
}

impl Watches {
    /// The watches of the deployment of these settings.
    pub fn of(config: &Config) -> Self {
        Self {
            fetcher: Arc::new(Fetcher::new(Guard::new(config.fetch_allow.clone()))),
            tests: Arc::new(Semaphore::new(limit::WATCH_TESTS_AT_ONCE_MAX)),
            key: config.deployment_key.clone(),
        }
    }

    /// Headers as they are kept.
    pub fn seal(&self, headers: &BTreeMap<String, String>) -> String {
        let text = serde_json::to_string(headers).expect("headers are text");
        at_rest::seal(&self.key.key(), text.as_bytes())
    }
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watches").finish_non_exhaustive()
    }
}

/// Makes of a stored message what a system event's push is, if it is of one.
pub fn dress(push: &mut Push) {
    if push.sender_pubkey != SYSTEM {
        return;
    }
    push.subtype = Some(SYSTEM.to_owned());
    if let Some(Kept { event, event_data }) = Kept::read(&std::mem::take(&mut push.ciphertext)) {
        (push.event, push.event_data) = (Some(event), Some(event_data));
    }
}
