//! From a URL to an open stream: the address, TCP, TLS.

use std::fmt;
use std::io::{Error as IoError, ErrorKind};
use std::net::SocketAddr;

use rustls::CertificateError;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::MaybeTlsStream;

use super::{Fault, PATIENCE};
use crate::tls;

/// A stream to an edge, with or without TLS.
pub type Stream = MaybeTlsStream<TcpStream>;

/// Where an edge is, as its URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// A name or an address.
    pub host: String,
    /// The port, also where the URL leaves it out.
    pub port: u16,
    /// Whether it speaks TLS.
    pub is_tls: bool,
}

impl Place {
    /// Reads a socket URL.
    pub fn of(url: &str) -> Result<Self, Fault> {
        let bad = || {
            let fix = "an edge is ws://HOST[:PORT]/ws or wss://HOST[:PORT]/ws; \
                       correct it with `skein config set edges URL`";
            Fault::new(format!("`{url}` is no socket URL"), fix)
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
        let (is_tls, default_port) = match scheme {
            "ws" => (false, 80),
            "wss" => (true, 443),
            _ => return Err(bad()),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of a bare IPv6 address are not before a port.
            Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| bad())?),
            _ => (authority, default_port),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_name = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '@');
        if !is_name {
            return Err(bad());
        }
        Ok(Self { host: host.to_owned(), port, is_tls })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Asks for the addresses of a place.
pub async fn resolve(place: &Place) -> Result<Vec<SocketAddr>, Fault> {
    let name = &place.host;
    let fix = format!(
        "check the spelling of {name} and this machine's name server (/etc/resolv.conf), or set \
         another edge with `skein config set edges URL`"
    );
    let asked = timeout(PATIENCE, lookup_host((name.as_str(), place.port))).await;
    let found: Vec<SocketAddr> = match asked {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => return Err(Fault::new(format!("{name} has no address: {error}"), fix)),
        Err(_) => {
            let what = format!("the name server said nothing of {name} within 5 s");
            return Err(Fault::new(what, fix));
        }
    };
    if found.is_empty() {
        Err(Fault::new(format!("{name} has no address"), fix))
    } else {
        Ok(found)
    }
}

/// Connects to the first of these addresses that takes us.
pub async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, Fault> {
    let shown = addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ");
    let error = match timeout(PATIENCE, TcpStream::connect(addresses)).await {
        Ok(Ok(stream)) => {
            // A socket that was closed meanwhile refuses; the next step will tell.
            let _ = stream.set_nodelay(true);
            return Ok(stream);
        }
        Ok(Err(error)) => error,
        Err(_) => IoError::new(ErrorKind::TimedOut, "no answer within 5 s"),
    };
    let fix = match error.kind() {
        ErrorKind::ConnectionRefused => {
            "nothing listens there: start the edge (`skein up` for a mesh on this machine), or \
             correct the port"
        }
        ErrorKind::TimedOut => "a firewall drops it, or the machine is off; check both",
        _ => "check the network between here and there",
    };
    Err(Fault::new(format!("{shown}: {error}"), fix))
}

/// Shakes hands over TLS, where the place speaks it.
pub async fn secure(place: &Place, stream: TcpStream) -> Result<Stream, Fault> {
    if !place.is_tls {
        return Ok(MaybeTlsStream::Plain(stream));
    }
    let name = ServerName::try_from(place.host.clone()).map_err(|_| {
        Fault::new(format!("{} is no name for TLS", place.host), "use a host name or an address")
    })?;
    let connect = TlsConnector::from(tls::config()).connect(name, stream);
    match timeout(PATIENCE, connect).await {
        Ok(Ok(stream)) => Ok(MaybeTlsStream::Rustls(stream)),
        Ok(Err(error)) => Err(tls_fault(place, &error)),
        Err(_) => {
            let what = format!("{place} did not shake hands within 5 s");
            Err(Fault::new(what, speaks_plain(place)))
        }
    }
}

fn speaks_plain(place: &Place) -> String {
    format!(
        "is {} a port for TLS? If the edge speaks plain, its URL begins with ws://; else give it \
         SKEIN_TLS_CERT and SKEIN_TLS_KEY",
        place.port
    )
}

fn tls_fault(place: &Place, error: &IoError) -> Fault {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let what = match cause {
        Some(rustls::Error::InvalidMessage(_)) => format!("{place} does not speak TLS: {error}"),
        _ => error.to_string(),
    };
    let fix = match cause {
        Some(rustls::Error::InvalidCertificate(problem)) => certificate_fix(problem),
        Some(rustls::Error::AlertReceived(_)) => {
            "the edge refused the handshake; its log says why".into()
        }
        Some(rustls::Error::PeerIncompatible(_)) => {
            "let the edge, or what stands before it, speak TLS 1.2 or 1.3".into()
        }
        _ => speaks_plain(place),
    };
    Fault::new(what, fix)
}

fn certificate_fix(problem: &CertificateError) -> String {
    match problem {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            "set this machine's clock; if it is right, the edge needs a new certificate"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "use the name that the certificate is for, or give the edge one for this name"
        }
        CertificateError::UnknownIssuer => {
            "name the file of its certificate authority in SSL_CERT_FILE, or give the edge a \
             certificate of a public one"
        }
        _ => "give the edge another certificate",
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_from_every_form_of_url() {
        let place = |url: &str| Place::of(url).map(|one| (one.host, one.port, one.is_tls));
        let is = |host: &str, port, is_tls| Ok((host.to_owned(), port, is_tls));
        assert_eq!(place("ws://127.0.0.1:7900/ws"), is("127.0.0.1", 7900, false));
        assert_eq!(place("wss://a.example/ws"), is("a.example", 443, true));
        assert_eq!(place("ws://a.example"), is("a.example", 80, false));
        assert_eq!(place("ws://[::1]:7900/ws"), is("::1", 7900, false));
        assert_eq!(place("wss://[::1]/ws"), is("::1", 443, true));
        for bad in ["", "a:1", "http://a", "ws://", "ws://:1", "ws://a:x/ws", "ws://u@a/ws"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_fault_of_a_certificate_has_its_own_fix() {
        let fixes = [
            CertificateError::Expired,
            CertificateError::NotValidForName,
            CertificateError::UnknownIssuer,
            CertificateError::Revoked,
        ]
        .map(|problem| certificate_fix(&problem));
        for (at, fix) in fixes.iter().enumerate() {
            assert!(!fixes[at + 1..].contains(fix), "{fix}");
        }
    }
}
