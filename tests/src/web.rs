//! A web of many hosts, for watches to look at: HTTP on many addresses of loopback, with one port.
//!
//! Every path of every host is a page. All pages begin alike; each can be changed, and writes down
//! when it was looked at. A page has an `ETag`, and answers 304 to whoever knows it. The systems of
//! Linux have all of 127.0.0.0/8; others have to be given these addresses first.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
    time::timeout,
};

/// A web that ends when it is dropped.
#[derive(Debug)]
pub struct Web {
    n_hosts: usize,
    port: u16,
    shared: Arc<Shared>,
    /// Accepts for one host each.
    _accepting: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    pages: Mutex<HashMap<String, Page>>,
    n_connections: AtomicUsize,
    looked: Notify,
}

/// A page, by its path: a path means one page, on whichever host.
#[derive(Debug, Clone, Default)]
struct Page {
    /// How often it was changed.
    version: usize,
    body: Option<String>,
    looks: Vec<Look>,
}

/// One look at a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// When it was asked for.
    pub at: SystemTime,
    /// Whether whoever looked knew it already.
    pub was_known: bool,
}

impl Web {
    /// Begins to serve `n_hosts` hosts, from 127.1.0.1 on.
    ///
    /// # Panics
    /// When these addresses cannot be listened on, or there are more than 60,000.
    pub async fn start(n_hosts: usize) -> Self {
        allow_files();
        let (port, listeners) = listen(n_hosts).await;
        let shared = Arc::<Shared>::default();
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(accept(listener, shared.clone()));
        }
        Self { n_hosts, port, shared, _accepting: accepting }
    }

    /// What has to stand in `SKEIN_FETCH_ALLOW` so that this may be looked at.
    pub fn allow(&self) -> String {
        format!("127.1.0.0/16:{}", self.port)
    }

    /// The URL of page `n`, on one host after the other.
    pub fn url(&self, n: usize) -> String {
        format!("http://{}:{}{}", address(n % self.n_hosts), self.port, Self::path(n))
    }

    /// The path of page `n`.
    pub fn path(n: usize) -> String {
        format!("/{n}")
    }

    /// Gives page `n` another body.
    ///
    /// # Panics
    /// When a connection has panicked.
    pub fn change(&self, n: usize, body: &str) {
        let mut pages = self.shared.pages.lock().expect("no connection panics");
        let page = pages.entry(Self::path(n)).or_default();
        page.version += 1;
        page.body = Some(body.to_owned());
    }

    /// When page `n` was looked at.
    ///
    /// # Panics
    /// When a connection has panicked.
    pub fn looks(&self, n: usize) -> Vec<Look> {
        let pages = self.shared.pages.lock().expect("no connection panics");
        pages.get(&Self::path(n)).map(|page| page.looks.clone()).unwrap_or_default()
    }

    /// How many looks there were, at all pages.
    ///
    /// # Panics
    /// When a connection has panicked.
    pub fn n_looks(&self) -> usize {
        let pages = self.shared.pages.lock().expect("no connection panics");
        pages.values().map(|page| page.looks.len()).sum()
    }

    /// Connections that were made.
    pub fn n_connections(&self) -> usize {
        self.shared.n_connections.load(Ordering::Relaxed)
    }

    /// Waits until each of the pages below `n_pages` was looked at `n_looks` times; false: it took
    /// longer than `patience`.
    ///
    /// # Panics
    /// When a connection has panicked.
    pub async fn looked(&self, n_pages: usize, n_looks: usize, patience: Duration) -> bool {
        let looked = async {
            for n in 0..n_pages {
                loop {
                    let next = self.shared.looked.notified();
                    if self.looks(n).len() >= n_looks {
                        break;
                    }
                    next.await;
                }
            }
        };
        timeout(patience, looked).await.is_ok()
    }
}

fn address(host: usize) -> Ipv4Addr {
    let host = u16::try_from(host + 1).expect("there are fewer hosts than addresses");
    let [high, low] = host.to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

/// As many files as the machine gives us: every host takes one, and every connection.
fn allow_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Refused, it stays as it is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Listens on every host with the port that the first was given; if that is taken on another, with
/// the next.
async fn listen(n_hosts: usize) -> (u16, Vec<TcpListener>) {
    for _ in 0..20 {
        let first = TcpListener::bind((address(0), 0)).await.expect("loopback can be listened on");
        let port = first.local_addr().expect("it listens").port();
        let mut listeners = vec![first];
        for host in 1..n_hosts {
            match TcpListener::bind((address(host), port)).await {
                Ok(listener) => listeners.push(listener),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => break,
                Err(error) => panic!("no listening on {}: {error}", address(host)),
            }
        }
        if listeners.len() == n_hosts {
            return (port, listeners);
        }
    }
    panic!("no port is free on {n_hosts} addresses")
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut serving = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await as io::Result<(TcpStream, SocketAddr)> {
        shared.n_connections.fetch_add(1, Ordering::Relaxed);
        // Whoever leaves in the middle has seen enough.
        let shared = shared.clone();
        serving.spawn(async move { drop(serve(socket, &shared).await) });
        while serving.try_join_next().is_some() {}
    }
}

async fn serve(socket: TcpStream, shared: &Shared) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut socket = BufReader::new(socket);
    while let Some((path, known)) = read_head(&mut socket).await? {
        let answer = shared.look(path, known.as_deref());
        socket.get_mut().write_all(answer.as_bytes()).await?;
        shared.looked.notify_waiters();
    }
    Ok(())
}

/// The path that is asked for, and the tag that is known; none: there are no more requests.
async fn read_head(
    socket: &mut BufReader<TcpStream>,
) -> io::Result<Option<(String, Option<String>)>> {
    let (mut path, mut known) = (None, None);
    loop {
        let mut line = String::new();
        if socket.take(8192).read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        match (&path, line.split_once(": ")) {
            _ if line.is_empty() => return Ok(path.map(|path| (path, known))),
            (None, _) => path = line.split(' ').nth(1).map(str::to_owned),
            (Some(_), Some((name, value))) if name.eq_ignore_ascii_case("if-none-match") => {
                known = Some(value.to_owned());
            }
            _ => (),
        }
    }
}

impl Shared {
    /// Writes a look down, and says what is seen.
    fn look(&self, path: String, known: Option<&str>) -> String {
        let mut pages = self.pages.lock().expect("no connection panics");
        let page = pages.entry(path).or_default();
        let tag = format!("\"v{}\"", page.version);
        let was_known = known == Some(&*tag);
        page.looks.push(Look { at: SystemTime::now(), was_known });
        if was_known {
            return format!("HTTP/1.1 304 Not Modified\r\nETag: {tag}\r\n\r\n");
        }
        let body = page.body.as_deref().unwrap_or("{\"value\":\"first\"}");
        format!("HTTP/1.1 200 OK\r\nETag: {tag}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(web: &Web, n: usize, header: &str) -> String {
        let host = address(n % web.n_hosts);
        let mut socket = TcpStream::connect((host, web.port)).await.unwrap();
        let head = format!("GET {} HTTP/1.1\r\nHost: a\r\n{header}\r\n", Web::path(n));
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn pages_are_looked_at_on_their_hosts_and_write_it_down() {
        let web = Web::start(3).await;

        let first = ask(&web, 4, "").await;
        let known = ask(&web, 4, "if-none-match: \"v0\"\r\n").await;
        web.change(4, "second");
        let changed = ask(&web, 4, "If-None-Match: \"v0\"\r\n").await;
        let other = ask(&web, 0, "").await;

        assert!(first.starts_with("HTTP/1.1 200") && first.ends_with("{\"value\":\"first\"}"));
        assert!(known.starts_with("HTTP/1.1 304"), "{known}");
        assert!(changed.ends_with("\r\n\r\nsecond") && other.ends_with("\"first\"}"));
        let looks: Vec<bool> = web.looks(4).iter().map(|look| look.was_known).collect();
        assert_eq!(looks, [false, true, false]);
        assert_eq!((web.n_looks(), web.n_connections()), (4, 4));
        assert!(web.looked(1, 1, Duration::from_secs(5)).await);
        assert!(web.url(4).starts_with("http://127.1.0.2:"), "{}", web.url(4));
    }
}
