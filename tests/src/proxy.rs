//! A TCP proxy in front of PostgreSQL that reads the protocol and can misbehave.
//!
//! It can swallow every notification, cut the connections that listen, hold the answer of the next
//! COMMIT of a writer, so that a test does something terrible exactly then, and let nobody in. It
//! speaks protocol 3 without TLS, as the programs under test do to a server on the same machine.

mod stream;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
    task::JoinHandle,
    time::timeout,
};

/// The proxy; it stops when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What its connections share.
#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    is_deaf: AtomicBool,
    is_shut: AtomicBool,
    swallowed: AtomicU64,
    next_id: AtomicU64,
    /// Ends each connection; and whether it listens.
    connections: Mutex<HashMap<u64, Link>>,
    trap: Mutex<Option<Trap>>,
}

#[derive(Debug)]
struct Link {
    end: Arc<Notify>,
    listens: bool,
}

/// Waits for the next COMMIT of a writer.
#[derive(Debug)]
struct Trap {
    at: Moment,
    sprung: oneshot::Sender<()>,
}

/// Which side of a COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It has left its writer, and never reaches the server.
    BeforeServer,
    /// The server has answered, and the writer never hears it.
    AfterServer,
}

impl Proxy {
    /// A proxy in front of the server on this port.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let port = listener.local_addr().expect("a listener has an address").port();
        let shared = Arc::new(Shared {
            server: ([127, 0, 0, 1], server_port).into(),
            is_deaf: AtomicBool::new(false),
            is_shut: AtomicBool::new(false),
            swallowed: AtomicU64::new(0),
            next_id: AtomicU64::new(0),
            connections: Mutex::default(),
            trap: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self { port, shared, accepting }
    }

    /// Swallows every notification from now on.
    pub fn deafen(&self) {
        self.shared.is_deaf.store(true, Ordering::Relaxed);
    }

    /// How many notifications were swallowed.
    pub fn swallowed(&self) -> u64 {
        self.shared.swallowed.load(Ordering::Relaxed)
    }

    /// Cuts one connection that listens, the oldest; false when there is none.
    pub fn cut_listener(&self) -> bool {
        let connections = self.shared.links();
        let oldest = connections.iter().filter(|(_, link)| link.listens).min_by_key(|(id, _)| **id);
        oldest.is_some_and(|(_, link)| {
            link.end.notify_one();
            true
        })
    }

    /// Waits for the next COMMIT of a writer and holds its connection still at this moment: what is
    /// held is never passed on. False when none comes in time.
    pub async fn hold_commit(&self, at: Moment, patience: Duration) -> bool {
        let (sprung, held) = oneshot::channel();
        *self.shared.trap() = Some(Trap { at, sprung });
        let held = timeout(patience, held).await.is_ok_and(|held| held.is_ok());
        self.shared.trap().take();
        held
    }

    /// Lets nobody in from now on, until [`Proxy::open`]. Connections that are there stay.
    pub fn shut(&self) {
        self.shared.is_shut.store(true, Ordering::SeqCst);
    }

    /// Lets everybody in again.
    pub fn open(&self) {
        self.shared.is_shut.store(false, Ordering::SeqCst);
    }

    /// Cuts every connection that is held at a COMMIT, and all others with it.
    pub fn cut_all(&self) {
        self.shared.links().values().for_each(|link| link.end.notify_one());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut_all();
    }
}

impl Shared {
    fn links(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Link>> {
        self.connections.lock().expect("nothing panics while it holds the connections")
    }

    fn trap(&self) -> std::sync::MutexGuard<'_, Option<Trap>> {
        self.trap.lock().expect("nothing panics while it holds the trap")
    }

    /// Whether a COMMIT is to be held at this moment; once.
    fn springs(&self, at: Moment) -> bool {
        let mut trap = self.trap();
        let Some(sprung) = trap.take_if(|trap| trap.at == at) else { return false };
        // Whoever set the trap may have lost patience.
        sprung.sprung.send(()).is_ok()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if shared.is_shut.load(Ordering::SeqCst) {
            continue;
        }
        tokio::spawn(connection(client, shared.clone()));
    }
}

async fn connection(client: TcpStream, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(shared.server).await else { return };
    // A socket that was closed meanwhile refuses; reading will tell.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
    let end = Arc::new(Notify::new());
    shared.links().insert(id, Link { end: end.clone(), listens: false });
    tokio::select! {
        () = stream::pass(client, server, id, &shared) => (),
        () = end.notified() => (),
    }
    shared.links().remove(&id);
}
