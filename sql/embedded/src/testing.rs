//! One server for all tests of a run, and a database for each of them.
//!
//! Test runners use a process per test, so no process can own the server. The first test starts it
//! and leaves it to a shell, which ends it when no test has used it for a minute, or when somebody
//! removes the file `used` of its folder (as `./dev test` does at its end). Every process that uses
//! it touches that file.
//!
//! The server does not wait for the disk, since nothing of it outlives it: a test of durability
//! starts a [`Server`](crate::Server) of its own. These functions panic when they fail, as tests
//! do.

use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest, Sha256};

use crate::account::Account;
use crate::address::{free_port, query, random_password, url};
use crate::cache::{self, Cache};
use crate::process::{self, Guard, Process};
use crate::programs::Programs;
use crate::server::blocking;
use crate::template::{Kind, Source};
use crate::{Error, Result, settings};

/// The file in the cache folder that says where the server is.
const STATE: &str = "test-server";

/// How often a process says that it still uses the server. The shell waits for a minute;
/// `./dev test` makes it wait for seconds, and other runs must be heard within those.
const BEAT: Duration = Duration::from_secs(2);

/// How long the last server may take to go before the next one starts.
const ENDING_WITHIN: Duration = Duration::from_secs(30);

/// How often a port that another took is replaced.
const PORTS_TRIED: usize = 10;

/// Safe because everything goes with the server.
const SETTINGS: [(&str, &str); 5] = [
    // A test that ends while it logs in leaves a half-open login, for which others would wait.
    ("authentication_timeout", "5s"),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("synchronous_commit", "off"),
    ("max_connections", "500"),
];

/// A database of one test. It is dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    shared: Shared,
}

/// A fresh empty database.
pub async fn database() -> TestDatabase {
    let shared = shared().await;
    create(shared, "template1").await.unwrap_or_else(|error| fail(&error))
}

/// A fresh copy of what `prepare` makes of an empty database, given its URL.
///
/// That happens once per `key` and server: the key is a digest of everything that `prepare` does,
/// for instance of the migrations.
pub async fn database_from<E>(
    key: &str,
    prepare: impl AsyncFnOnce(String) -> std::result::Result<(), E>,
) -> TestDatabase
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let shared = shared().await;
    let name = format!("template_{}", hex::encode(&Sha256::digest(key)[..8]));
    let prepared = prepare_template(&shared, &name, prepare).await;
    prepared.unwrap_or_else(|error| fail(&error));
    create(shared, &name).await.unwrap_or_else(|error| fail(&error))
}

impl TestDatabase {
    /// Where to connect, as the role that may do everything.
    pub fn url(&self) -> String {
        self.shared.url(&self.name)
    }

    /// The name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same server's own database, for asking about all of them.
    pub fn server_url(&self) -> String {
        self.shared.url("postgres")
    }
}

impl Drop for TestDatabase {
    /// Best effort: the database goes with the server anyway.
    fn drop(&mut self) {
        let statement = format!("drop database if exists {} with (force)", self.name);
        let url = self.shared.url("postgres");
        let (done, dropped) = std::sync::mpsc::channel();
        // A thread of its own, because a runtime may be running in this one. It stands still
        // meanwhile, and with it a connection that is just logging in, for which PostgreSQL would
        // wait: so not for long.
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let _ = runtime.map(|runtime| runtime.block_on(query(&url, &statement)).is_ok());
            done.send(()).ok();
        });
        dropped.recv_timeout(DROP_PATIENCE).ok();
    }
}

/// How long a test waits for its database to go.
const DROP_PATIENCE: Duration = Duration::from_secs(1);

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shared {
    folder: PathBuf,
    port: u16,
    password: String,
}

impl Shared {
    fn url(&self, database: &str) -> String {
        url(&self.password, self.port, database)
    }

    fn used(&self) -> PathBuf {
        self.folder.join("used")
    }

    /// Says that the server is in use; false if it is going away.
    ///
    /// The shell takes the file away before it looks for the last time, so a touch of a file that
    /// is still there afterwards counts.
    fn touch(&self) -> bool {
        let Ok(file) = File::options().write(true).open(self.used()) else { return false };
        file.set_modified(SystemTime::now()).is_ok() && self.used().exists()
    }

    fn answers(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }

    fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let mut lines = text.lines();
        let port = lines.next()?.parse().ok()?;
        let (password, folder) = (lines.next()?.to_owned(), PathBuf::from(lines.next()?));
        Some(Self { folder, port, password })
    }

    fn write(&self, path: &Path) -> Result<()> {
        let part = path.with_extension("part");
        let text = format!("{}\n{}\n{}\n", self.port, self.password, self.folder.display());
        let mut file = File::options();
        let file = file.write(true).create(true).truncate(true).mode(0o600);
        let mut file = file.open(&part).map_err(Error::file("write", &part))?;
        std::io::Write::write_all(&mut file, text.as_bytes())
            .and_then(|()| fs::rename(&part, path))
            .map_err(Error::file("write", path))
    }
}

/// The cache folder, existing: tests keep there what else they fetch.
pub fn cache() -> PathBuf {
    let opened = Account::current().and_then(|account| Cache::open(&account));
    opened.unwrap_or_else(|error| fail(&error)).join("")
}

/// The server, started if need be.
async fn shared() -> Shared {
    let found = blocking(|| {
        let account = Account::current()?;
        let cache = Cache::open(&account)?;
        keep(cache.join(STATE));
        acquire(&cache, &account)
    });
    found.await.unwrap_or_else(|error| fail(&error))
}

/// Finds the server that another process started, else starts one.
fn acquire(cache: &Cache, account: &Account) -> Result<Shared> {
    let _lock = cache.lock("test-server.lock")?;
    let state = cache.join(STATE);
    let until = Instant::now() + ENDING_WITHIN;
    while let Some(shared) = Shared::read(&state) {
        if shared.answers() && shared.touch() {
            return Ok(shared);
        }
        // It died or is on its way out; its folder goes last. Where nothing does that (the machine
        // was restarted), the folder stays and is passed over.
        if !shared.answers() || Instant::now() > until {
            fs::remove_file(&state).map_err(Error::file("remove", &state))?;
        }
        thread::sleep(Duration::from_millis(20));
    }
    start(cache, account)
}

fn start(cache: &Cache, account: &Account) -> Result<Shared> {
    let folder = cache.join(format!("test-{}", hex::encode(rand::random::<[u8; 4]>())));
    remove_older(cache);
    fs::create_dir(&folder).map_err(Error::file("make", &folder))?;
    let found = Programs::find(cache, account, None, &|words| eprintln!("skein: {words}"))?;
    let programs = found.expect("without a wanted version, none is an error");
    let source = Source { cache, programs: &programs, account, progress: &|_| () };
    let mut shared = Shared { folder, port: 0, password: random_password() };
    let main = shared.folder.join("main");
    source.copy(&main, &shared.password, Kind::Passing)?;
    let used = shared.used();
    fs::write(&used, "").map_err(Error::file("write", &used))?;
    let own: Vec<_> = SETTINGS.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let log = shared.folder.join("log");
    let mut refused = String::new();
    for _ in 0..PORTS_TRIED {
        shared.port = free_port()?;
        settings::write(&main, account, shared.port, Path::new(""), &own)?;
        let guard = Guard::Idle(&used, &shared.folder);
        match Process::start(&programs, account, &main, &log, guard)? {
            Ok(process) => {
                shared.write(&cache.join(STATE))?;
                process.leave();
                return Ok(shared);
            }
            Err(error) => refused = error.log,
        }
    }
    Err(Error::Start { log: refused })
}

/// Ends and removes what earlier servers left; the caller holds the lock.
fn remove_older(cache: &Cache) {
    let folders = fs::read_dir(cache.join("")).into_iter().flatten().flatten();
    for folder in folders {
        let name = folder.file_name();
        if name.to_string_lossy().starts_with("test-") && folder.path().join("main").is_dir() {
            // It may be ending, or have lost the shell that would end it.
            process::clear(&folder.path().join("main")).ok();
            fs::remove_dir_all(folder.path()).ok();
        }
    }
}

/// Says that the server is in use for as long as this process lives.
fn keep(state: PathBuf) {
    static KEEPER: OnceLock<()> = OnceLock::new();
    let beat = move || {
        loop {
            Shared::read(&state).map(|shared| shared.touch());
            thread::sleep(BEAT);
        }
    };
    KEEPER.get_or_init(|| drop(thread::spawn(beat)));
}

async fn create(shared: Shared, template: &str) -> Result<TestDatabase> {
    let name = format!("test_{}", hex::encode(rand::random::<[u8; 8]>()));
    query(&shared.url("postgres"), &format!("create database {name} template {template}")).await?;
    Ok(TestDatabase { name, shared })
}

/// Makes the template if it is not there. Its name is only given to it when it is whole.
async fn prepare_template<E>(
    shared: &Shared,
    name: &str,
    prepare: impl AsyncFnOnce(String) -> std::result::Result<(), E>,
) -> Result<()>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let server = shared.url("postgres");
    let is_there = format!("select from pg_database where datname = '{name}'");
    if !query(&server, &is_there).await?.is_empty() {
        return Ok(());
    }
    let path = shared.folder.join(format!("{name}.lock"));
    let _lock = blocking(move || cache::lock(&path)).await?;
    if !query(&server, &is_there).await?.is_empty() {
        return Ok(());
    }
    let part = format!("{name}_part");
    query(&server, &format!("drop database if exists {part} with (force)")).await?;
    query(&server, &format!("create database {part}")).await?;
    prepare(shared.url(&part)).await.map_err(|error| Error::Prepare(error.into()))?;
    seal(&server, &part, name).await
}

/// Closes the template to connections and names it.
async fn seal(server: &str, part: &str, name: &str) -> Result<()> {
    query(server, &format!("alter database {part} allow_connections false")).await?;
    let end = format!(
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = '{part}'"
    );
    query(server, &end).await?;
    query(server, &format!("alter database {part} rename to {name}")).await?;
    Ok(())
}

fn fail(error: &Error) -> ! {
    panic!("no test database: {}", crate::error::chain(error))
}
