//! One request, from the URL to the body.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::header::{
    CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED, LOCATION,
};
use rustls::RootCertStore;
use skein_wire::limit::{FETCH_HEAD_BYTES_MAX, FETCH_REDIRECTS_MAX};

use crate::body::Budget;
use crate::clients::Clients;
use crate::error::{FetchError, detail};
use crate::exchange::{Request, Response};
use crate::guard::{self, Guard};
use crate::hosts::{Hosts, Turn};
use crate::lookups::Lookups;
use crate::refused::Refused;
use crate::resolver::{Resolve, System, pinned};
use crate::time::Time;
use crate::tls;

/// The longest validator, or type of a body, that is kept.
const KEPT_BYTES_MAX: usize = 256;

/// Addresses of a name that are tried, one after the other.
const ADDRESSES_MAX: usize = 3;

/// Fetches URLs, each through its guard. One is for a whole process: it spaces what it asks of each
/// host, and keeps connections.
pub struct Fetcher {
    guard: Guard,
    lookups: Lookups,
    clients: Clients,
    hosts: Hosts,
    bodies: Budget,
}

/// An answer of one hop, before its body is read.
struct Answer {
    from: Url,
    is_first: bool,
    asked_if_modified: bool,
    inner: reqwest::Response,
    _turn: Turn,
}

impl Fetcher {
    /// A fetcher that asks the system for addresses and trusts the usual certificates, and those of
    /// `SSL_CERT_FILE`.
    pub fn new(guard: Guard) -> Self {
        Self::with(guard, Arc::new(System), tls::roots())
    }

    /// A fetcher that asks `resolver` for addresses and trusts `roots`.
    pub fn with(guard: Guard, resolver: Arc<dyn Resolve>, roots: RootCertStore) -> Self {
        Self {
            guard,
            lookups: Lookups::new(resolver),
            clients: Clients::new(roots),
            hosts: Hosts::new(),
            bodies: Budget::new(),
        }
    }

    /// The guard, for what is checked before there is anything to fetch.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Fetches what is asked for, following redirects. Waits for a turn, at a host or for a lookup,
    /// come on top of the time that the whole may take.
    pub async fn get(&self, request: &Request) -> Result<Response, FetchError> {
        let url = self.guard.check_url(&request.url)?;
        let headers = self.guard.check_headers(&request.headers)?;
        let mut time = Time::new();
        let answer = self.follow(url, headers, request, &mut time).await?;
        let mut response = time.spend(self.read(request.member, answer)).await?;
        response.took = time.spent();
        Ok(response)
    }

    /// The first answer that is no redirect.
    async fn follow(
        &self,
        mut url: Url,
        mut headers: HeaderMap,
        request: &Request,
        time: &mut Time,
    ) -> Result<Answer, FetchError> {
        let validators = validators(request);
        for n_redirects in 0..=FETCH_REDIRECTS_MAX {
            let is_first = n_redirects == 0;
            let mut sent = headers.clone();
            if is_first {
                sent.extend(validators.clone());
            }
            let asked = self.ask(&url, sent, request.member, time).await;
            let (inner, turn) =
                asked.map_err(|e| if is_first { e } else { redirected(&url, e) })?;
            let Some(location) = location(&inner)? else {
                let asked_if_modified = is_first && !validators.is_empty();
                return Ok(Answer { from: url, is_first, asked_if_modified, inner, _turn: turn });
            };
            // What it says beside that is not read.
            drop((inner, turn));
            let to = self.guard.check_redirect(&url, &location);
            let to =
                to.map_err(|refused| FetchError::Redirected { to: detail(&location), refused })?;
            if to.origin() != url.origin() {
                headers.clear();
            }
            url = to;
        }
        Err(Refused::Redirects.into())
    }

    /// Asks the first of the URL's addresses that takes a connection, each at its turn.
    async fn ask(
        &self,
        url: &Url,
        headers: HeaderMap,
        member: Option<i64>,
        time: &mut Time,
    ) -> Result<(reqwest::Response, Turn), FetchError> {
        let mut addresses = self.vetted(url, member, time).await?;
        addresses.truncate(ADDRESSES_MAX);
        let (last, origin) = (addresses.len() - 1, url.origin().ascii_serialization());
        for (n, address) in addresses.into_iter().enumerate() {
            let turn = self.hosts.turn(member, address, &origin).await?;
            let to = SocketAddr::new(address, guard::port(url));
            let asking = pinned(to, self.send(url, headers.clone(), turn.keeps));
            match time.spend(asking).await {
                Err(FetchError::Connect(_)) if n < last => (),
                asked => return Ok((asked?, turn)),
            }
        }
        unreachable!("the last address is the last turn of the loop")
    }

    /// The addresses of the URL's host, every one of which may be connected to: at least one.
    async fn vetted(
        &self,
        url: &Url,
        member: Option<i64>,
        time: &mut Time,
    ) -> Result<Vec<IpAddr>, FetchError> {
        let host = url.host_str().unwrap_or_default();
        if let Some(address) = guard::literal(host) {
            // It was vetted with its URL.
            return Ok(vec![address]);
        }
        let place = self.lookups.place(member, host).await?;
        let addresses = time.spend(self.lookups.find(place, host)).await?;
        let port = guard::port(url);
        addresses.iter().try_for_each(|address| self.guard.judge(host, *address, port))?;
        Ok(addresses)
    }

    async fn send(
        &self,
        url: &Url,
        headers: HeaderMap,
        keeps: bool,
    ) -> Result<reqwest::Response, FetchError> {
        let asking = self.clients.get(keeps).get(url.clone()).headers(headers).send();
        let answer = asking.await.map_err(|error| failure(&error))?;
        let head = answer.headers().iter();
        let n_bytes: usize = head.map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if n_bytes > FETCH_HEAD_BYTES_MAX {
            return Err(FetchError::HeadTooLong);
        }
        Ok(answer)
    }

    async fn read(&self, member: Option<i64>, answer: Answer) -> Result<Response, FetchError> {
        let Answer { from, is_first, asked_if_modified, inner, .. } = &answer;
        let status = inner.status().as_u16();
        let kept = |name| kept(inner.headers(), name);
        let mut response = Response {
            status,
            final_url: from.to_string(),
            content_type: kept(CONTENT_TYPE),
            etag: kept(ETAG).filter(|_| *is_first),
            last_modified: kept(LAST_MODIFIED).filter(|_| *is_first),
            body: Vec::new(),
            not_modified: status == 304 && *asked_if_modified,
            took: Default::default(),
        };
        response.body = self.bodies.read(member, answer.inner).await?;
        Ok(response)
    }
}

/// What makes a request ask only for what has changed.
fn validators(request: &Request) -> HeaderMap {
    let header = |name: HeaderName, value: &Option<String>| {
        Some((name, HeaderValue::from_str(value.as_deref()?).ok()?))
    };
    let etag = header(IF_NONE_MATCH, &request.etag);
    let date = header(IF_MODIFIED_SINCE, &request.last_modified);
    etag.into_iter().chain(date).collect()
}

/// Where a redirect leads; none: it is no redirect.
fn location(answer: &reqwest::Response) -> Result<Option<String>, FetchError> {
    if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let mut named = answer.headers().get_all(LOCATION).iter();
    let Some(first) = named.next() else { return Ok(None) };
    if named.any(|other| other != first) {
        return Err(FetchError::Location);
    }
    let text = str::from_utf8(first.as_bytes()).map_err(|_| FetchError::Location)?;
    Ok(Some(text.to_owned()))
}

/// A header that is short and readable.
fn kept(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (value.len() <= KEPT_BYTES_MAX).then(|| value.to_owned())
}

/// What the guard refuses only now is where a redirect led.
fn redirected(to: &Url, error: FetchError) -> FetchError {
    match error {
        FetchError::Refused(refused) => FetchError::Redirected { to: detail(to.as_str()), refused },
        other => other,
    }
}

/// What an error of the client means. Its causes are looked through: the innermost says most.
pub(crate) fn failure(error: &reqwest::Error) -> FetchError {
    let mut cause: &(dyn Error + 'static) = error;
    loop {
        if let Some(fault) = cause.downcast_ref::<rustls::Error>() {
            return FetchError::Tls(detail(&fault.to_string()));
        }
        match inner(cause) {
            Some(inner) => cause = inner,
            None => break,
        }
    }
    let innermost = detail(&cause.to_string());
    match () {
        () if error.is_timeout() && error.is_connect() => {
            FetchError::Connect("it took too long".into())
        }
        () if error.is_timeout() => FetchError::Timeout,
        () if error.is_connect() => FetchError::Connect(innermost),
        // The words of the HTTP library for a head that its buffer does not hold.
        () if innermost.contains("head is too large") => FetchError::HeadTooLong,
        () => FetchError::Broken(innermost),
    }
}

/// The cause of an error. An I/O error that wraps another one names only that one's cause.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}
