//! A server on the web, as far as a watch sees one: it answers what it is told to, at addresses of
//! 127.0.0.0/8, and remembers who asked for what.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::place::until;

/// What is answered at a path.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    pub etag: Option<&'static str>,
    pub location: Option<String>,
}

impl Answer {
    pub fn ok(body: &str) -> Self {
        Self { status: 200, body: body.to_owned(), etag: None, location: None }
    }

    pub fn status(status: u16) -> Self {
        Self { status, ..Self::ok("an error page") }
    }
}

/// A request: its path, and its headers with names in lower case.
#[derive(Clone, Debug)]
pub struct Hit {
    pub path: String,
    pub headers: HashMap<String, String>,
}

struct State {
    answers: HashMap<String, Answer>,
    hits: Vec<Hit>,
}

/// The server. It ends with this value.
pub struct Web {
    pub addresses: Vec<SocketAddr>,
    state: Arc<Mutex<State>>,
    /// False: answers wait until it is true.
    open: Arc<watch::Sender<bool>>,
    _serving: JoinSet<()>,
}

impl Web {
    pub async fn start() -> Self {
        Self::at(1).await
    }

    /// At so many addresses, each a host of its own to those who space out requests.
    pub async fn at(n_hosts: u8) -> Self {
        let state = Arc::new(Mutex::new(State { answers: HashMap::new(), hits: Vec::new() }));
        let open = Arc::new(watch::Sender::new(true));
        let (mut addresses, mut serving) = (Vec::new(), JoinSet::new());
        for n in 1..=n_hosts {
            let listener = TcpListener::bind(format!("127.0.0.{n}:0")).await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            let (state, open) = (state.clone(), open.clone());
            serving.spawn(async move {
                let mut sockets = JoinSet::new();
                while let Ok((socket, _)) = listener.accept().await {
                    let serving = serve(socket, state.clone(), open.subscribe());
                    sockets.spawn(async move { drop(serving.await) });
                }
            });
        }
        Self { addresses, state, open, _serving: serving }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addresses[0])
    }

    /// Answers this at that path from now on; elsewhere it answers `ok`.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.state().answers.insert(path.to_owned(), answer);
    }

    /// Keeps answers back until [`Web::release`].
    pub fn hold(&self) {
        self.open.send_replace(false);
    }

    pub fn release(&self) {
        self.open.send_replace(true);
    }

    /// The requests for a path so far.
    pub fn hits(&self, path: &str) -> Vec<Hit> {
        self.state().hits.iter().filter(|hit| hit.path == path).cloned().collect()
    }

    /// Waits until a path was asked for so often.
    pub async fn asked(&self, path: &str, n: usize) {
        until(async || self.hits(path).len() >= n).await;
    }
}

async fn serve(
    socket: TcpStream,
    state: Arc<Mutex<State>>,
    mut open: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let (reads, mut writes) = socket.into_split();
    let mut lines = BufReader::new(reads).lines();
    while let Some(request) = lines.next_line().await? {
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = HashMap::new();
        while let Some(line) = lines.next_line().await?.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        // What was asked for first is answered as it was then.
        let answer = {
            let mut state = state.lock().unwrap();
            state.hits.push(Hit { path: path.clone(), headers: headers.clone() });
            state.answers.get(&path).cloned().unwrap_or_else(|| Answer::ok("ok"))
        };
        if open.wait_for(|open| *open).await.is_err() {
            return Ok(());
        }
        let is_known = answer.etag.is_some()
            && headers.get("if-none-match").map(String::as_str) == answer.etag;
        let (status, body) =
            if is_known { (304, String::new()) } else { (answer.status, answer.body) };
        let mut head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
        head.extend(answer.etag.map(|etag| format!("ETag: {etag}\r\n")));
        head.extend(answer.location.map(|to| format!("Location: {to}\r\n")));
        writes.write_all(format!("{head}\r\n{body}").as_bytes()).await?;
    }
    Ok(())
}
