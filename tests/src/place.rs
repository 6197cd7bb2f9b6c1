//! A place to be under fire: PostgreSQL behind a proxy, edges and workers as processes, one mesh.
//!
//! PostgreSQL keeps its promises here (`fsync` is on), and listens to the proxy's connections only,
//! except for what a test itself asks. Everything is gone when this is dropped.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use rand::Rng;
use rustix::process::Signal;
use skein_crypto::Keypair;
use skein_embedded::{Options, Server};
use skein_sql::{Connector, Settings, members, meshes, migrate, partitions};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_postgres::Client;

use crate::{peer::Identity, program::Program, proxy::Proxy};

/// How long anything that must come up may take.
const UP_PATIENCE: Duration = Duration::from_secs(30);
/// Ports that the system gives to nobody by itself, so that a killed edge finds its own free again.
const PORTS: std::ops::Range<u16> = 15_000..30_000;
/// The database of a place.
const DATABASE: &str = "skein";

/// A deployment.
#[derive(Debug)]
pub struct Place {
    /// Its edges.
    pub edges: Vec<Edge>,
    /// Its workers; none where one was killed.
    pub workers: Vec<Option<Program>>,
    /// What stands between them and PostgreSQL.
    pub proxy: Proxy,
    /// What stands between each worker and PostgreSQL, where that was asked for.
    pub doors: Vec<Proxy>,
    /// PostgreSQL.
    pub server: Server,
    /// The mesh's id on the wire.
    pub mesh_id: String,
    mesh: i64,
    /// The database's URL for edges and workers.
    through: String,
    /// Where logs and inboxes are.
    pub folder: TempDir,
}

/// A mesh of a place.
#[derive(Debug, Clone)]
pub struct Mesh {
    /// What the tables call it.
    pub no: i64,
    /// What the wire calls it.
    pub id: String,
}

/// An edge's process, or the place of one that was killed.
#[derive(Debug)]
pub struct Edge {
    /// Its port on 127.0.0.1.
    pub port: u16,
    program: Option<Program>,
    environment: Vec<(String, String)>,
    log: PathBuf,
}

/// What a place is to be.
#[derive(Debug, Clone)]
pub struct Setup {
    /// How many edges.
    pub edges: usize,
    /// How many workers.
    pub workers: usize,
    /// Whether each worker reaches PostgreSQL through a proxy of its own.
    pub doors: bool,
    /// `SKEIN_FAIL` of single edges, by index.
    pub fail: Vec<(usize, String)>,
    /// More settings for every edge.
    pub environment: Vec<(String, String)>,
}

impl Default for Setup {
    fn default() -> Self {
        let (fail, environment) = (Vec::new(), Vec::new());
        Self { edges: 2, workers: 1, doors: false, fail, environment }
    }
}

impl Place {
    /// Starts a place and waits until all of it serves.
    ///
    /// # Panics
    /// When that cannot be.
    pub async fn start(setup: Setup) -> Self {
        let server = Server::start(Options::default()).await.expect("PostgreSQL starts");
        let url = server.create_database(DATABASE).await.expect("a database can be made");
        let Mesh { id: mesh_id, no: mesh } = prepare(&url).await;
        let proxy = Proxy::start(server.port()).await;
        let (port, door) = (server.port(), proxy.port);
        let through = url.replacen(&format!(":{port}/"), &format!(":{door}/"), 1);
        let mut doors = Vec::new();
        for _ in 0..if setup.doors { setup.workers } else { 0 } {
            doors.push(Proxy::start(port).await);
        }
        let folder = TempDir::new().expect("there is room for temporary files");

        let mut edges = Vec::new();
        for index in 0..setup.edges {
            let fail = setup.fail.iter().find(|(i, _)| *i == index).map(|(_, fail)| fail.as_str());
            let log = folder.path().join(format!("edge-{index}.log"));
            let mut edge = Edge::new(free_port().await, &through, log);
            edge.environment.extend(setup.environment.iter().cloned());
            edge.environment.extend(fail.map(|fail| ("SKEIN_FAIL".to_owned(), fail.to_owned())));
            edge.start();
            edges.push(edge);
        }
        let workers = Vec::new();
        let mut place =
            Self { edges, workers, proxy, doors, server, mesh_id, mesh, through, folder };
        for index in 0..setup.workers {
            place.start_worker(index, None);
        }
        for edge in &place.edges {
            edge.ready().await;
        }
        place
    }

    /// Starts a worker in the place of one that has gone, or was never there.
    pub fn start_worker(&mut self, index: usize, fail: Option<&str>) {
        let door = |door: &Proxy| {
            let (shared, own) = (format!(":{}/", self.proxy.port), format!(":{}/", door.port));
            self.through.replacen(&shared, &own, 1)
        };
        let through = self.doors.get(index).map_or_else(|| self.through.clone(), door);
        let mut environment = vec![
            ("DATABASE_URL".to_owned(), through),
            // By which its nodes are known.
            ("SKEIN_REGION".to_owned(), format!("worker-{index}")),
            // What watches look at is here.
            ("SKEIN_FETCH_ALLOW".to_owned(), "127.0.0.0/8".to_owned()),
            ("SKEIN_DEPLOYMENT_KEY".to_owned(), "5a".repeat(32)),
        ];
        environment.extend(fail.map(|fail| ("SKEIN_FAIL".to_owned(), fail.to_owned())));
        let log = self.folder.path().join(format!("worker-{index}.log"));
        self.workers.resize_with(self.workers.len().max(index + 1), || None);
        self.workers[index] = Some(Program::start("skein-worker", &log, &environment));
    }

    /// A connection of the test's own, past the proxy.
    ///
    /// # Panics
    /// When PostgreSQL is not there.
    pub async fn db(&self) -> Client {
        let connector = Connector::new(&self.server.url(DATABASE)).expect("its URL can be read");
        connector.connect(Settings::Ordinary).await.expect("PostgreSQL takes connections")
    }

    /// A number that a query returns.
    ///
    /// # Panics
    /// When it returns none.
    pub async fn count(&self, query: &str) -> i64 {
        self.db().await.query_one(query, &[]).await.expect("the query is right").get(0)
    }

    /// Another mesh, of this number in the tables, which is larger than those of all before.
    ///
    /// # Panics
    /// When there is one of this name.
    pub async fn mesh(&self, slug: &str, no: i64) -> Mesh {
        let db = self.db().await;
        let next = "select setval(pg_get_serial_sequence('mesh', 'no'), $1, false)";
        db.execute(next, &[&no]).await.expect("the database serves");
        make_mesh(&db, slug).await
    }

    /// Enrols a member with one session, which may go to any edge, the one at `first` first.
    pub async fn enrol(&self, index: usize, first: usize) -> Identity {
        let mesh = Mesh { no: self.mesh, id: self.mesh_id.clone() };
        self.enrol_in(&mesh, index, first).await
    }

    /// The same in another mesh.
    ///
    /// # Panics
    /// When the database does not serve.
    pub async fn enrol_in(&self, mesh: &Mesh, index: usize, first: usize) -> Identity {
        let (member, session) = (Keypair::generate(), Keypair::generate());
        let name = format!("peer-{index}");
        let db = self.db().await;
        let role = skein_openapi::members::Role::Member;
        let entered = members::insert(&db, mesh.no, &member.public.hex(), &name, role).await;
        let entered = entered.expect("the database serves").expect("the key is new");
        let mut edges: Vec<String> = self.edges.iter().map(Edge::url).collect();
        let n_edges = edges.len();
        edges.rotate_left(first % n_edges);
        let mesh_id = mesh.id.clone();
        Identity { index, mesh_id, member_id: entered.id, member, session, name, edges }
    }

    /// Everything that the edges and workers have logged.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        let entries = std::fs::read_dir(self.folder.path()).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            if path.extension().is_some_and(|kind| kind == "log") {
                text += &std::fs::read_to_string(&path).unwrap_or_default();
            }
        }
        text
    }

    /// What PostgreSQL has logged.
    pub fn server_log(&self) -> String {
        std::fs::read_to_string(self.server.data().join("log")).unwrap_or_default()
    }

    /// Keeps the folder with logs and inboxes, and says where.
    pub fn keep(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        let log = self.folder.path().join("postgresql.log");
        // Only to look at; a place that cannot be kept is no failure of its own.
        let _ = std::fs::copy(self.server.data().join("log"), log);
        self.folder.path().to_owned()
    }

    /// Stops everything, asking politely.
    pub async fn stop(mut self) {
        for edge in &mut self.edges {
            if let Some(program) = edge.program.take() {
                program.end().await;
            }
        }
        for worker in self.workers.drain(..).flatten() {
            worker.end().await;
        }
        self.server.stop().await.expect("PostgreSQL stops");
    }
}

impl Edge {
    fn new(port: u16, database_url: &str, log: PathBuf) -> Self {
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let environment = vec![
            set("SKEIN_LISTEN", &format!("127.0.0.1:{port}")),
            set("SKEIN_PUBLIC_URL", &format!("ws://127.0.0.1:{port}/ws")),
            set("SKEIN_DEPLOYMENT_KEY", &"5a".repeat(32)),
            set("SKEIN_OPERATOR_TOKEN", "operator"),
            set("DATABASE_URL", database_url),
            set("RUST_LOG", "info,skein_edge=debug"),
        ];
        Self { port, program: None, environment, log }
    }

    /// Where peers reach it.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/ws", self.port)
    }

    /// Its process.
    ///
    /// # Panics
    /// When it was killed.
    pub fn program(&mut self) -> &mut Program {
        self.program.as_mut().expect("the edge was started")
    }

    /// Starts it, with the settings it had.
    pub fn start(&mut self) {
        self.program = Some(Program::start("skein-edge", &self.log, &self.environment));
    }

    /// Waits until it serves.
    ///
    /// # Panics
    /// When it does not in time.
    pub async fn ready(&self) {
        let since = Instant::now();
        while !is_healthy(self.port).await {
            assert!(
                since.elapsed() < UP_PATIENCE,
                "the edge does not serve; its log ends: {}",
                tail(&std::fs::read_to_string(&self.log).unwrap_or_default())
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it as SIGKILL does.
    pub async fn kill(&mut self) {
        if let Some(program) = self.program.take() {
            program.kill().await;
        }
    }

    /// Asks it to end, and waits.
    pub async fn end(&mut self) {
        if let Some(program) = self.program.take() {
            program.end().await;
        }
    }

    /// Stops it where it is.
    pub fn pause(&mut self) {
        self.program().signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&mut self) {
        self.program().signal(Signal::CONT);
    }
}

async fn prepare(url: &str) -> Mesh {
    let connector = Connector::new(url).expect("the server's URL can be read");
    migrate::run(&connector).await.expect("an empty database takes the schema");
    let db = connector.connect(Settings::Maintenance).await.expect("the server is up");
    partitions::ensure_ahead(&db, 7).await.expect("partitions can be made");
    make_mesh(&db, "fire").await
}

async fn make_mesh(db: &Client, slug: &str) -> Mesh {
    let owner = Keypair::generate().public.hex();
    let new = skein_openapi::meshes::NewMesh {
        slug: slug.into(),
        name: slug.into(),
        owner_pubkey: owner,
        member_pubkey: None,
        display_name: "owner".into(),
    };
    let mesh = meshes::create(db, &new).await.expect("the database serves");
    let mesh = mesh.expect("the mesh's name is new");
    Mesh { id: mesh.id, no: mesh.no }
}

async fn free_port() -> u16 {
    loop {
        let port = rand::rng().random_range(PORTS);
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return port;
        }
    }
}

/// Whether `/health` answers 200: the edge serves, and has its database.
async fn is_healthy(port: u16) -> bool {
    let asked = async {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let request = b"GET /health HTTP/1.1\r\nHost: skein\r\nConnection: close\r\n\r\n";
        socket.write_all(request).await.ok()?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.ok()?;
        answer.starts_with(b"HTTP/1.1 200").then_some(())
    };
    timeout(Duration::from_secs(5), asked).await.is_ok_and(|answer| answer.is_some())
}

fn tail(text: &str) -> &str {
    let from = text.len().saturating_sub(2000);
    &text[text.ceil_char_boundary(from)..]
}
