//! The HTTP clients: one for each port, kept or not.
//!
//! Whether an address may be connected to depends on the port, which a resolver is not told; so
//! every port has a client with a resolver of its own. Of each there are two: one keeps its
//! connections for the next request, the other closes them. Which one a host is given is up to
//! [`crate::hosts`], so that only so many connections are ever kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::{Client, redirect};
use rustls::{ClientConfig, RootCertStore};
use skein_wire::limit::{FETCH_CONNECT, FETCH_KEEP};

use crate::guard::Guard;
use crate::resolver::{Resolve, Vetting};
use crate::tls;

/// What a request says it comes from, unless its headers say otherwise.
const USER_AGENT: &str = concat!("skein/", env!("CARGO_PKG_VERSION"));
/// Clients at most. There are four for the web's ports; operators allow others by the range, and
/// peers choose among them.
const CLIENTS_MAX: usize = 64;

/// The clients of a fetcher.
pub(crate) struct Clients {
    guard: Guard,
    resolver: Arc<dyn Resolve>,
    tls: ClientConfig,
    made: Mutex<HashMap<(u16, bool), Client>>,
}

impl Clients {
    pub(crate) fn new(guard: Guard, resolver: Arc<dyn Resolve>, roots: RootCertStore) -> Self {
        Self { guard, resolver, tls: tls::config(roots), made: Mutex::default() }
    }

    /// The client for this port, which keeps its connections or does not.
    pub(crate) fn get(&self, port: u16, keeps: bool) -> Client {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= CLIENTS_MAX && !made.contains_key(&(port, keeps)) {
            // Whoever uses one still has it; what it kept is closed after that.
            made.clear();
        }
        made.entry((port, keeps)).or_insert_with(|| self.make(port, keeps)).clone()
    }

    fn make(&self, port: u16, keeps: bool) -> Client {
        let vetting = Vetting { guard: self.guard.clone(), resolver: self.resolver.clone(), port };
        Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .dns_resolver(vetting)
            // A proxy would resolve for us, unvetted.
            .no_proxy()
            // The fetcher follows them itself, each through the guard.
            .redirect(redirect::Policy::none())
            .referer(false)
            // Its bounds are enough, and a page is one request.
            .http1_only()
            .user_agent(USER_AGENT)
            .default_headers(defaults())
            .connect_timeout(FETCH_CONNECT)
            .pool_max_idle_per_host(usize::from(keeps))
            .pool_idle_timeout(FETCH_KEEP)
            .build()
            .expect("the settings fit each other and nothing is read from outside")
    }
}

fn defaults() -> HeaderMap {
    HeaderMap::from_iter([
        (ACCEPT, HeaderValue::from_static("*/*")),
        // Unpacked by us, so that what comes and what becomes of it are both counted.
        (ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
    ])
}
