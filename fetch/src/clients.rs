//! The HTTP clients: one keeps its connections for the next request, the other closes them. Which
//! one a request is given is up to [`crate::hosts`], so that only so many connections are ever
//! kept, and those of a name only while it leads to the same address.

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::{Client, redirect};
use rustls::{ClientConfig, RootCertStore};
use skein_wire::limit::{FETCH_CONNECT, FETCH_KEEP};

use crate::resolver::Pinned;
use crate::tls;

/// What a request says it comes from, unless its headers say otherwise.
const USER_AGENT: &str = concat!("skein/", env!("CARGO_PKG_VERSION"));

/// The clients of a fetcher.
pub(crate) struct Clients {
    keeping: Client,
    closing: Client,
}

impl Clients {
    pub(crate) fn new(roots: RootCertStore) -> Self {
        let tls = tls::config(roots);
        Self { keeping: client(&tls, true), closing: client(&tls, false) }
    }

    /// The client that keeps its connections, or does not.
    pub(crate) fn get(&self, keeps: bool) -> &Client {
        if keeps { &self.keeping } else { &self.closing }
    }
}

fn client(tls: &ClientConfig, keeps: bool) -> Client {
    Client::builder()
        .tls_backend_preconfigured(tls.clone())
        .dns_resolver(Pinned)
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

fn defaults() -> HeaderMap {
    HeaderMap::from_iter([
        (ACCEPT, HeaderValue::from_static("*/*")),
        // Unpacked by us, so that what comes and what becomes of it are both counted.
        (ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
    ])
}
