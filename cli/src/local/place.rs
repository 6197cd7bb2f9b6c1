//! Where the edges of a local mesh are.
//!
//! They listen on 127.0.0.1, unless `SKEIN_LISTEN` names another address; its port, if it has one,
//! does not count.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use rand::Rng;
use tokio::time::sleep;

use super::folder::from_environment;
use super::progress::Progress;
use crate::{Error, Result};

/// Where free ports are looked for: below those that systems give to outgoing connections, which
/// could take ours while an edge starts again, and beside those of private servers.
const FREE_PORTS: std::ops::Range<u16> = 30_000..32_768;

/// How many ports are tried for one that is free.
const TRIES_MAX: usize = 100;

/// How long a taken port is waited for: the children of a mesh that was killed are just ending.
const FREE_WITHIN: Duration = Duration::from_secs(3);

/// Between two looks at a taken port.
const LOOK: Duration = Duration::from_millis(100);

/// Where one edge is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    listen: SocketAddr,
}

impl Place {
    /// What the edge listens on.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Its socket URL.
    pub fn socket(&self) -> String {
        format!("ws://{}/ws", self.here())
    }

    /// Its HTTP address.
    pub fn http(&self) -> String {
        format!("http://{}", self.here())
    }

    /// Whether only this machine can reach it.
    pub fn is_private(&self) -> bool {
        self.listen.ip().is_loopback()
    }

    /// How this machine reaches it.
    fn here(&self) -> SocketAddr {
        let ip = match self.listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            ip => ip,
        };
        SocketAddr::new(ip, self.listen.port())
    }
}

/// The places of `count` edges from port `base` on; from 0 on they are free ones.
pub async fn choose(base: u16, count: u16, progress: &Progress) -> Result<Vec<Place>> {
    if from_environment(&["SKEIN_TLS_CERT"]).is_some() {
        let words = "a local mesh is served without TLS; unset SKEIN_TLS_CERT and SKEIN_TLS_KEY";
        return Err(Error::Usage(words.into()));
    }
    let ip = address()?;
    let mut places = Vec::new();
    for number in 0..count {
        let port = match base {
            0 => free(ip, &places)?,
            base => base.checked_add(number).ok_or_else(|| {
                Error::Usage(format!("there are no {count} ports from {base} on; change --port"))
            })?,
        };
        let listen = SocketAddr::new(ip, port);
        if base != 0 {
            wait(listen, progress).await?;
        }
        places.push(Place { listen });
    }
    Ok(places)
}

fn address() -> Result<IpAddr> {
    let Some(named) = from_environment(&["SKEIN_LISTEN"]) else {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    };
    let named = named.as_str();
    let address = named.parse::<SocketAddr>().map(|address| address.ip());
    let words = || Error::Usage("SKEIN_LISTEN must be an address, with or without a port".into());
    address.or_else(|_| named.parse()).map_err(|_| words())
}

/// A port that nobody listens on.
fn free(ip: IpAddr, taken: &[Place]) -> Result<u16> {
    let mut random = rand::rng();
    let mut ports = (0..TRIES_MAX).map(|_| random.random_range(FREE_PORTS));
    let is_free = |port: &u16| {
        let is_ours = taken.iter().any(|place| place.listen.port() == *port);
        !is_ours && TcpListener::bind((ip, *port)).is_ok()
    };
    ports.find(is_free).ok_or_else(|| Error::Local(format!("no port of {ip} is free")))
}

async fn wait(listen: SocketAddr, progress: &Progress) -> Result<()> {
    let until = Instant::now() + FREE_WITHIN;
    while let Err(error) = TcpListener::bind(listen) {
        let (ip, port) = (listen.ip(), listen.port());
        if error.kind() != std::io::ErrorKind::AddrInUse {
            return Err(Error::Usage(format!("cannot listen on {ip} port {port}: {error}")));
        }
        if Instant::now() > until {
            let words = "is taken by another program; stop it, or name another with --port";
            return Err(Error::Usage(format!("port {port} of {ip} {words}")));
        }
        progress.step(&format!("waiting for port {port}"));
        sleep(LOOK).await;
    }
    Ok(())
}
