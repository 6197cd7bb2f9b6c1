//! A scripted web server, a trap, a resolver that says what it is told to, and a fetcher between.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::{RootCertStore, ServerConfig};
use skein_fetch::{FetchError, Fetcher, Guard, Request, Resolve, Resolving, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

/// What a site does with a request.
pub enum Reply {
    /// Writes this and waits for the next request.
    Raw(Vec<u8>),
    /// Writes this and closes.
    Last(Vec<u8>),
    /// Writes the first, then the second for as long as anybody reads.
    Endless(Vec<u8>, Vec<u8>),
    /// Likewise, with a pause before each.
    Drip(Vec<u8>, Vec<u8>, Duration),
    /// Waits, then writes this and waits for the next request.
    Late(Duration, Vec<u8>),
    /// Writes this, and nothing ever again.
    Hang(Vec<u8>),
}

impl Reply {
    /// A whole answer with these header lines.
    pub fn new(status: &str, headers: &[&str], body: &[u8]) -> Self {
        let mut raw = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
        headers.iter().for_each(|line| raw += &format!("{line}\r\n"));
        Self::Raw([raw.as_bytes(), b"\r\n", body].concat())
    }

    /// 200 with this body.
    pub fn ok(body: &str) -> Self {
        Self::new("200 OK", &[], body.as_bytes())
    }

    /// 302 to there.
    pub fn to(location: &str) -> Self {
        Self::new("302 Found", &[&format!("Location: {location}")], b"")
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its path and query.
    pub path: String,
    /// The whole head.
    pub head: String,
}

impl Asked {
    /// The value of a header; none where it is not there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

type Script = dyn Fn(&Asked) -> Reply + Send + Sync;

/// A web server on loopback.
pub struct Site {
    /// Where it listens.
    pub address: SocketAddr,
    n_connections: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: AbortHandle,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Site {
    /// A server of plain HTTP.
    pub async fn start(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1", script).await
    }

    /// A server of plain HTTP at another address of loopback: a host of its own.
    pub async fn at(
        address: &str,
        script: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::on(&format!("{address}:0"), script).await
    }

    /// A server of plain HTTP at an address and a port.
    pub async fn on(
        listens_on: &str,
        script: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen(listens_on, None, script).await
    }

    /// A server over TLS.
    pub async fn secure(
        tls: ServerConfig,
        script: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen("127.0.0.1:0", Some(TlsAcceptor::from(Arc::new(tls))), script).await
    }

    async fn listen(
        listens_on: &str,
        tls: Option<TlsAcceptor>,
        script: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(listens_on).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (n_connections, asked) = (Arc::<AtomicUsize>::default(), Arc::default());
        let (n, log, script): (_, Arc<Mutex<Vec<Asked>>>, Arc<Script>) =
            (n_connections.clone(), Arc::clone(&asked), Arc::new(script));
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                n.fetch_add(1, Ordering::SeqCst);
                let (tls, log, script) = (tls.clone(), log.clone(), script.clone());
                tokio::spawn(async move {
                    // Whoever leaves in the middle is no fault of the site's.
                    let _ = match tls {
                        None => serve(socket, &log, &*script).await,
                        Some(tls) => secured(tls, socket, &log, &*script).await,
                    };
                });
            }
        });
        Self { address, n_connections, asked, task: task.abort_handle() }
    }

    /// The URL of a path of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Connections that were made to it.
    pub fn n_connections(&self) -> usize {
        self.n_connections.load(Ordering::SeqCst)
    }

    /// What it was asked for.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// What the guard is told so that this plays the public internet.
    pub fn rule(&self) -> String {
        self.address.to_string()
    }
}

async fn secured(
    tls: TlsAcceptor,
    socket: TcpStream,
    log: &Mutex<Vec<Asked>>,
    script: &Script,
) -> io::Result<()> {
    serve(tls.accept(socket).await?, log, script).await
}

async fn serve(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    log: &Mutex<Vec<Asked>>,
    script: &Script,
) -> io::Result<()> {
    while let Some(asked) = read_head(&mut socket).await? {
        log.lock().unwrap().push(asked.clone());
        match script(&asked) {
            Reply::Raw(raw) => socket.write_all(&raw).await?,
            Reply::Last(raw) => {
                socket.write_all(&raw).await?;
                return socket.shutdown().await;
            }
            Reply::Endless(first, again) => {
                socket.write_all(&first).await?;
                loop {
                    socket.write_all(&again).await?;
                }
            }
            Reply::Drip(first, again, pause) => {
                socket.write_all(&first).await?;
                loop {
                    sleep(pause).await;
                    socket.write_all(&again).await?;
                    socket.flush().await?;
                }
            }
            Reply::Late(pause, raw) => {
                sleep(pause).await;
                socket.write_all(&raw).await?;
            }
            Reply::Hang(first) => {
                socket.write_all(&first).await?;
                socket.flush().await?;
                // Until the other end leaves.
                tokio::io::copy(&mut socket, &mut tokio::io::sink()).await?;
                return Ok(());
            }
        }
        socket.flush().await?;
    }
    Ok(())
}

async fn read_head(socket: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Asked>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return Ok(None),
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    Ok(Some(Asked { path, head }))
}

/// A place that nobody may come to.
pub struct Trap(Site);

impl Trap {
    /// One that would answer.
    pub async fn start() -> Self {
        Self(Site::start(|_| Reply::ok("secret")).await)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.0.address.port()
    }

    /// What lets names be tried with its port: the guard allows it somewhere else.
    pub fn rule_of_its_port(&self) -> String {
        format!("192.0.2.77:{}", self.port())
    }

    /// Nobody came.
    #[track_caller]
    pub fn assert_empty(&self, what: &str) {
        assert_eq!(self.0.n_connections(), 0, "something private was contacted: {what}");
    }
}

/// A resolver that answers from a list: each answer once, the last one from then on.
#[derive(Default)]
pub struct Told {
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    n_lookups: AtomicUsize,
}

impl Told {
    /// Answers for `name` with these addresses, one lookup after the other.
    pub fn name(self, name: &str, answers: &[&[&str]]) -> Self {
        let parse = |answer: &&[&str]| answer.iter().map(|a| a.parse().unwrap()).collect();
        let answers = answers.iter().map(parse).collect();
        self.answers.lock().unwrap().insert(name.into(), answers);
        self
    }

    /// How often it was asked.
    pub fn n_lookups(&self) -> usize {
        self.n_lookups.load(Ordering::SeqCst)
    }
}

impl Resolve for Told {
    fn resolve(&self, name: &str) -> Resolving {
        self.n_lookups.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let found = answers.get_mut(name).map(|answers| match answers.len() {
            1 => answers[0].clone(),
            _ => answers.remove(0),
        });
        Box::pin(async move { found.ok_or_else(|| io::ErrorKind::NotFound.into()) })
    }
}

/// A fetcher with these ranges allowed, whose names are these.
pub fn fetcher(allow: &str, names: Arc<Told>) -> Fetcher {
    trusting(allow, names, RootCertStore::empty())
}

/// Likewise, that trusts these certificates.
pub fn trusting(allow: &str, names: Arc<Told>, roots: RootCertStore) -> Fetcher {
    Fetcher::with(Guard::new(allow.parse().unwrap()), names, roots)
}

/// Fetches a URL with a fetcher of its own, from the given site only.
pub async fn get(site: &Site, url: &str) -> Result<Response, FetchError> {
    fetcher(&site.rule(), Arc::default()).get(&request(url)).await
}

/// A request for that URL.
pub fn request(url: &str) -> Request {
    Request { url: url.into(), ..Request::default() }
}
