//! Which URLs may be fetched, from which addresses, and with which headers.
//!
//! One reading of a URL decides: what is vetted here is the parsed URL that is requested, so no
//! second parser can see another host in it. A host that is an address is judged at once; one that
//! is a name when it was resolved, by every address that it has. A name with one address that is
//! refused is refused as a whole: choosing among its addresses would make the answer depend on the
//! order of the day, and a public name with a private address is a mistake or an attack.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::sync::Arc;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use skein_wire::limit::{FETCH_HEADER_BYTES_MAX, FETCH_HEADERS_MAX, FETCH_URL_BYTES_MAX};

use crate::address::{self, Kind};
use crate::allow::Allow;
use crate::error::detail;
use crate::refused::Refused;

/// The ports of the web.
const PORTS: [u16; 2] = [80, 443];

/// Headers that are HTTP's own, or the fetcher's: those of a connection, those that say how long a
/// request is and whom it is for, what the body may be packed in, and conditions, whose answers are
/// no values. `proxy-` and `if-` are refused as a beginning.
const HEADERS_REFUSED: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Decides what may be fetched. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard {
    allow: Arc<Allow>,
}

impl Guard {
    /// A guard that allows these ranges beyond the public internet.
    pub fn new(allow: Allow) -> Self {
        Self { allow: Arc::new(allow) }
    }

    /// Reads a URL, or says why it is not fetched. A host that is a name is judged once more when
    /// it was resolved.
    pub fn check_url(&self, text: &str) -> Result<Url, Refused> {
        if text.len() > FETCH_URL_BYTES_MAX {
            return Err(Refused::TooLong);
        }
        // The standard drops some of these silently, in the middle of a name too.
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Refused::Invalid("it holds a space or a control character".into()));
        }
        let url = Url::parse(text).map_err(|error| Refused::Invalid(error.to_string()))?;
        self.check(&url)?;
        if let Some(address) = v4(&url).filter(|address| !is_spelled(text, *address)) {
            return Err(Refused::Spelling(address));
        }
        Ok(url)
    }

    /// The URL that a redirect of `from` to `location` leads to, or why it is not followed.
    pub(crate) fn check_redirect(&self, from: &Url, location: &str) -> Result<Url, Refused> {
        let location = location.trim_matches([' ', '\t']);
        let to = match Url::parse(location) {
            Ok(_) => self.check_url(location)?,
            Err(_)
                if location.starts_with(['/', '\\']) && location[1..].starts_with(['/', '\\']) =>
            {
                self.check_url(&format!("{}:{location}", from.scheme()))?
            }
            Err(_) => {
                let to = from.join(location).map_err(|e| Refused::Invalid(e.to_string()))?;
                self.check_url(to.as_str())?
            }
        };
        if from.scheme() == "https" && to.scheme() != "https" {
            return Err(Refused::Downgrade);
        }
        Ok(to)
    }

    fn check(&self, url: &Url) -> Result<(), Refused> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused::Scheme(detail(url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        let host = url.host_str().ok_or_else(|| Refused::Invalid("it has no host".into()))?;
        let port = port(url);
        match literal(host) {
            Some(address) => self.judge(host, address, port),
            None if is_localhost(host) => self.judge(host, Ipv4Addr::LOCALHOST.into(), port),
            None if PORTS.contains(&port) || self.allow.has_port(port) => Ok(()),
            None => Err(Refused::Port(port)),
        }
    }

    /// Whether this address, which `host` is or has, may be connected to with this port.
    pub(crate) fn judge(&self, host: &str, address: IpAddr, port: u16) -> Result<(), Refused> {
        let refuse = |kind| Err(Refused::Address { host: detail(host), kind });
        if self.allow.has(address, port) {
            // A range of addresses that hold others says nothing about the others.
            return match address::embedded(address) {
                Some(inner) => self.judge(host, inner, port),
                None => Ok(()),
            };
        }
        match address::kind(address) {
            Some(kind) => refuse(kind),
            None if address::is_own(address) => refuse(Kind::Own),
            None if PORTS.contains(&port) => Ok(()),
            None => Err(Refused::Port(port)),
        }
    }

    /// Reads headers, or says which cannot be set.
    pub fn check_headers(&self, headers: &BTreeMap<String, String>) -> Result<HeaderMap, Refused> {
        if headers.len() > FETCH_HEADERS_MAX {
            return Err(Refused::Headers);
        }
        let read = headers.iter().map(|(name, value)| Ok((check_name(name)?, value)));
        let read = read.map(|header| {
            let (name, value) = header?;
            let value = check_value(&name, value)?;
            Ok((name, value))
        });
        read.collect()
    }
}

fn check_name(name: &str) -> Result<HeaderName, Refused> {
    let refused = || Refused::HeaderName(detail(name));
    let read = HeaderName::from_str(name).map_err(|_| refused())?;
    let low = read.as_str();
    let own = HEADERS_REFUSED.contains(&low) || low.starts_with("proxy-") || low.starts_with("if-");
    if own { Err(refused()) } else { Ok(read) }
}

fn check_value(name: &HeaderName, value: &str) -> Result<HeaderValue, Refused> {
    let refused = || Refused::HeaderValue(name.to_string());
    let printable = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if !printable || value.len() > FETCH_HEADER_BYTES_MAX {
        return Err(refused());
    }
    let mut value = HeaderValue::from_str(value).map_err(|_| refused())?;
    value.set_sensitive(true);
    Ok(value)
}

/// The port that a URL of the web is fetched from.
pub(crate) fn port(url: &Url) -> u16 {
    url.port_or_known_default().unwrap_or_default()
}

/// The address that a URL's host is, if it is one.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn v4(url: &Url) -> Option<Ipv4Addr> {
    url.host_str()?.parse().ok()
}

/// Whether the text names the address in its one plain form.
fn is_spelled(text: &str, address: Ipv4Addr) -> bool {
    let host = text.split_once("://").map_or("", |(_, rest)| rest);
    let host = host.split([':', '/', '\\', '?', '#']).next().unwrap_or_default();
    host == address.to_string()
}

/// The names that are this machine's by standard, before anything is resolved.
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host == "localhost" || host.ends_with(".localhost")
}
