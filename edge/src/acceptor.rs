//! How connections come in.
//!
//! poem's own listener leaves Nagle on, spins when the process is out of files, and waits forever
//! for half a request. Ours sets TCP_NODELAY, backs off, holds a permit for every connection as
//! long as it lives, does the TLS handshake beside the accepting, and puts a [`Guarded`] stream
//! between the socket and the server, which ends connections that make no progress.

mod guarded;
pub mod tls;

use std::{io, sync::Arc, time::Duration};

pub use guarded::{Deadlines, Guarded};
use metrics::counter;
use poem::{
    http::uri::Scheme,
    listener::Acceptor,
    web::{LocalAddr, RemoteAddr},
};
use skein_wire::limit;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::Config;

/// The pauses after failed accepts: each is double the one before, up to the second.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A socket, with or without TLS.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection as the server gets it.
pub type Stream = Guarded<Box<dyn Io>>;

/// Accepts connections on one port.
pub struct EdgeAcceptor {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    deadlines: Deadlines,
    permits: Arc<Semaphore>,
    /// Connections that are shaking hands; each ends by its deadline.
    greeting: JoinSet<io::Result<Accepted>>,
    pause: Duration,
}

type Accepted = (Stream, LocalAddr, RemoteAddr, Scheme);

impl EdgeAcceptor {
    /// Accepts from this listener, at most `sockets_max` at once.
    pub fn new(
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        deadlines: Deadlines,
        sockets_max: usize,
    ) -> Self {
        Self {
            listener,
            tls: tls.map(TlsAcceptor::from),
            deadlines,
            permits: Arc::new(Semaphore::new(sockets_max)),
            greeting: JoinSet::new(),
            pause: PAUSE_MIN,
        }
    }

    /// Accepts as the settings say, with the deadlines of every edge.
    ///
    /// # Errors
    /// When the TLS files cannot be read.
    pub fn of(listener: TcpListener, config: &Config) -> Result<Self, tls::Error> {
        let tls = match &config.tls {
            Some((certificates, key)) => Some(tls::config(certificates, key)?),
            None => None,
        };
        Ok(Self::new(listener, tls, Deadlines::default(), limit::SOCKETS_MAX))
    }

    /// Takes a connection in, unless there are too many: then it is closed at once, so that its
    /// client tries another edge. Without TLS it is ready.
    fn welcome(&mut self, socket: TcpStream, from: std::net::SocketAddr) -> Option<Accepted> {
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            counter!("broker_connections_rejected_total", "reason" => "sockets").increment(1);
            debug!("refused a connection: there are too many");
            return None;
        };
        // A socket that was closed meanwhile refuses; reading will tell.
        socket.set_nodelay(true).ok();
        let local = LocalAddr(socket.local_addr().ok()?.into());
        let remote = RemoteAddr(from.into());
        let deadlines = self.deadlines;
        match self.tls.clone() {
            None => Some((guard(socket, deadlines, permit), local, remote, Scheme::HTTP)),
            Some(tls) => {
                self.greeting.spawn(async move {
                    let socket = timeout(deadlines.handshake, tls.accept(socket)).await??;
                    Ok((guard(socket, deadlines, permit), local, remote, Scheme::HTTPS))
                });
                None
            }
        }
    }

    /// Waits after a failure that is ours, so that a process without free files does not spin.
    async fn back_off(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            return;
        }
        warn!(%error, "cannot accept connections; trying again in {:?}", self.pause);
        sleep(self.pause).await;
        self.pause = PAUSE_MAX.min(self.pause * 2);
    }
}

fn guard(socket: impl Io + 'static, deadlines: Deadlines, permit: OwnedSemaphorePermit) -> Stream {
    Guarded::new(Box::new(socket), deadlines, permit)
}

impl Acceptor for EdgeAcceptor {
    type Io = Stream;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.listener.local_addr().map(|at| LocalAddr(at.into())).into_iter().collect()
    }

    async fn accept(&mut self) -> io::Result<Accepted> {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, from)) => {
                        self.pause = PAUSE_MIN;
                        if let Some(ready) = self.welcome(socket, from) {
                            return Ok(ready);
                        }
                    }
                    Err(error) => self.back_off(&error).await,
                },
                Some(greeted) = self.greeting.join_next() => match greeted {
                    Ok(Ok(ready)) => return Ok(ready),
                    Ok(Err(error)) => debug!(%error, "a TLS handshake failed"),
                    Err(error) => warn!(%error, "a TLS handshake panicked"),
                },
            }
        }
    }
}
