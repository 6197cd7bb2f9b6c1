//! A real deployment for tests of the program: PostgreSQL, edges as processes, homes in a folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use skein_crypto::Secret;
use skein_embedded::testing::{self, TestDatabase};
use tempfile::TempDir;

use crate::edge::DEADLINE;

const SKEIN: &str = env!("CARGO_BIN_EXE_skein");
/// Who may make meshes.
const TOKEN: &str = "operator";
/// What tests may look at.
const LOOPBACK: &str = "127.0.0.0/8";
/// Between two looks at what says nothing by itself.
const LOOK: Duration = Duration::from_millis(20);

/// Edges over one database; they end with this value.
pub struct Place {
    edges: Vec<Child>,
    workers: Vec<Child>,
    /// Their ports on 127.0.0.1.
    pub ports: Vec<u16>,
    /// Homes and logs.
    pub folder: TempDir,
    /// Where their database is.
    pub database_url: String,
    _database: Option<TestDatabase>,
}

impl Place {
    /// A place with this many edges over a database of its own.
    pub async fn start(edges: usize) -> Self {
        let database = testing::database().await;
        let url = database.url();
        Self::over(&url, edges, &[], Some(database)).await
    }

    /// A place with one edge that has more settings.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        let database = testing::database().await;
        let url = database.url();
        Self::over(&url, 1, settings, Some(database)).await
    }

    /// A place over a database that the test may stop.
    pub async fn at(database_url: &str) -> Self {
        Self::over(database_url, 1, &[], None).await
    }

    async fn over(
        database_url: &str,
        edges: usize,
        settings: &[(&str, &str)],
        database: Option<TestDatabase>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut place = Self {
            edges: Vec::new(),
            workers: Vec::new(),
            ports: Vec::new(),
            folder,
            database_url: database_url.to_owned(),
            _database: database,
        };
        for number in 0..edges {
            let port = free_port();
            let log = File::create(place.folder.path().join(format!("edge-{number}.log"))).unwrap();
            let mut edge = Command::new(Path::new(SKEIN).with_file_name("skein-edge"));
            edge.env_clear().env("DATABASE_URL", database_url);
            edge.env("SKEIN_LISTEN", format!("127.0.0.1:{port}"));
            edge.env("SKEIN_PUBLIC_URL", format!("ws://127.0.0.1:{port}/ws"));
            edge.env("SKEIN_DEPLOYMENT_KEY", "5a".repeat(32)).env("SKEIN_OPERATOR_TOKEN", TOKEN);
            edge.envs(settings.iter().copied()).stdin(Stdio::null());
            edge.stdout(log.try_clone().unwrap()).stderr(log);
            place.edges.push(edge.spawn().expect("cargo build -p skein-edge comes first"));
            place.ports.push(port);
            // One after the other: the first brings the database to its schema.
            let is_tls = settings.iter().any(|(name, _)| *name == "SKEIN_TLS_CERT");
            let until = Instant::now() + 2 * DEADLINE;
            while !is_tls && place.health(number).await != Some(200)
                || is_tls && std::net::TcpStream::connect(("127.0.0.1", port)).is_err()
            {
                assert!(Instant::now() < until, "{}", place.log(number));
                tokio::time::sleep(LOOK).await;
            }
        }
        place
    }

    /// A place with this many edges, and a worker that may look at addresses of this machine.
    pub async fn with_worker(edges: usize) -> Self {
        let database = testing::database().await;
        let url = database.url();
        let settings = [("SKEIN_TEST_TARGETS", "1"), ("SKEIN_FETCH_ALLOW", LOOPBACK)];
        let mut place = Self::over(&url, edges, &settings, Some(database)).await;
        let log = File::create(place.folder.path().join("worker.log")).unwrap();
        let mut worker = Command::new(Path::new(SKEIN).with_file_name("skein-worker"));
        worker.env_clear().env("DATABASE_URL", &url).env("SKEIN_FETCH_ALLOW", LOOPBACK);
        worker.env("SKEIN_DEPLOYMENT_KEY", "5a".repeat(32)).stdin(Stdio::null());
        worker.stdout(log.try_clone().unwrap()).stderr(log);
        place.workers.push(worker.spawn().expect("cargo build -p skein-worker comes first"));
        place
    }

    /// The status of an edge's `/health`, if it answers.
    pub async fn health(&self, edge: usize) -> Option<u16> {
        let url = format!("http://127.0.0.1:{}/health", self.ports[edge]);
        let client = skein::rest::client_builder().build().unwrap();
        client.get(url).send().await.ok().map(|answer| answer.status().as_u16())
    }

    /// What an edge has logged.
    pub fn log(&self, edge: usize) -> String {
        let file = self.folder.path().join(format!("edge-{edge}.log"));
        fs::read_to_string(file).unwrap_or_default()
    }

    /// The socket URL of an edge.
    pub fn url(&self, edge: usize) -> String {
        format!("ws://127.0.0.1:{}/ws", self.ports[edge])
    }

    /// Ends an edge as SIGKILL does.
    pub fn kill(&mut self, edge: usize) {
        self.edges[edge].kill().unwrap();
        self.edges[edge].wait().unwrap();
    }

    /// A home of this name.
    pub fn home(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A home that owns a mesh here.
    pub fn owner(&self) -> PathBuf {
        let home = self.home("owner");
        let args = ["mesh", "create", "demo", "--edge", &self.url(0), "--as", "owner"];
        let created = skein(&home, &args).env("SKEIN_OPERATOR_TOKEN", TOKEN).output().unwrap();
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
        home
    }

    /// The key of the session that short commands of a home in one mesh use, once one has run.
    pub fn short_session(&self, home: &Path) -> String {
        let mesh = json(home, &["whoami"])[0]["meshId"].as_str().unwrap().to_owned();
        let file = home.join("sessions").join(mesh).join("short-0.key");
        Secret::parse(&fs::read_to_string(file).unwrap()).unwrap().public().hex()
    }

    /// A home that joined the mesh of `owner`.
    pub fn member(&self, owner: &Path, name: &str) -> PathBuf {
        let link = json(owner, &["invite"])["link"].as_str().unwrap().to_owned();
        let home = self.home(name);
        json(&home, &["join", "--name", name, &link]);
        home
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for child in self.edges.iter_mut().chain(&mut self.workers) {
            let _ = (child.kill(), child.wait());
        }
    }
}

/// A program that follows the inbox of a home; it is killed with this value.
pub struct Follower(pub Child);

impl Follower {
    /// Starts it; what it shows is one line of JSON a message.
    pub fn start(home: &Path) -> Self {
        let mut command = skein(home, &["inbox", "--follow", "--json"]);
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Asks it to end, which says goodbye to the mesh, and waits.
    pub fn end(mut self) {
        let pid = Pid::from_raw(self.0.id().cast_signed()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

/// A port on which nothing listens.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// `skein` in this home, undisturbed by the environment of the tests.
pub fn skein(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(SKEIN);
    command.args(args).env("SKEIN_HOME", home).env("USER", "user").stdin(Stdio::null());
    for name in ["RUST_LOG", "SKEIN_OPERATOR_TOKEN", "SKEIN_EDGE", "SSL_CERT_FILE"] {
        command.env_remove(name);
    }
    command
}

/// Runs a command to its end with `--json`.
pub fn run(home: &Path, args: &[&str]) -> Output {
    skein(home, args).arg("--json").output().unwrap()
}

/// Runs a command, which must end well; what it printed is JSON.
pub fn json(home: &Path, args: &[&str]) -> Value {
    let output = run(home, args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs a command, which must fail with this exit code; returns what it printed and its error.
pub fn fails(home: &Path, args: &[&str], exit: i32) -> (Value, Value) {
    let output = run(home, args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{args:?}: {said}");
    let printed = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let error: Value = serde_json::from_slice(&output.stderr).expect(&said);
    (printed, error["error"].clone())
}

/// Waits until `look` sees something.
pub async fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        match look() {
            Some(seen) => return seen,
            None if Instant::now() < until => tokio::time::sleep(LOOK).await,
            None => panic!("{what}: not within {DEADLINE:?}"),
        }
    }
}
