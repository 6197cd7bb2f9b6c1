//! The owner's handle on a private server.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::task::spawn_blocking;

use crate::Result;
use crate::address::{query, url};
use crate::process::{Process, Stop};

mod core;

use self::core::Core;

/// Hears of what takes long, in words for people.
pub type Listener = Box<dyn Fn(&str) + Send + Sync>;

/// What a private server is to be.
#[derive(Default)]
pub struct Options {
    /// The folder that keeps the data; none: a temporary one, gone with the server.
    pub data: Option<PathBuf>,
    /// The port; none: a free one.
    pub port: Option<u16>,
    /// Settings of PostgreSQL, over ours.
    pub settings: Vec<(String, String)>,
    /// Hears of what takes long, in words for people.
    pub progress: Option<Listener>,
    /// The folder of the programs to use; none: the best that can be found or obtained.
    pub programs: Option<PathBuf>,
}

/// A running private server. It stops when this is dropped, or when its process ends.
pub struct Server {
    core: Arc<Mutex<Core>>,
    data: PathBuf,
    port: u16,
    password: String,
    version: u32,
}

impl Server {
    /// Starts a server and waits until it takes connections.
    pub async fn start(options: Options) -> Result<Self> {
        blocking(move || {
            let core = Core::start(options)?;
            Ok(Self {
                data: core.home.clone(),
                port: core.port,
                password: core.password.clone(),
                version: core.programs.version(),
                core: Arc::new(Mutex::new(core)),
            })
        })
        .await
    }

    /// Where to connect to this database; `postgres` is always there.
    pub fn url(&self, database: &str) -> String {
        url(&self.password, self.port, database)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder that holds everything of this server.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The version as the server counts it: 180004 is 18.4.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The process id of the postmaster, or of the last one.
    pub fn pid(&self) -> u32 {
        self.core().process.as_ref().map_or(0, Process::pid)
    }

    /// Whether the server has pgvector.
    pub async fn has_vector(&self) -> Result<bool> {
        let available = "select from pg_available_extensions where name = 'vector'";
        Ok(!query(&self.url("postgres"), available).await?.is_empty())
    }

    /// Makes the database if it is not there, and gives its URL. The name is a plain lowercase one.
    pub async fn create_database(&self, name: &str) -> Result<String> {
        let is_there = format!("select from pg_database where datname = '{name}'");
        if query(&self.url("postgres"), &is_there).await?.is_empty() {
            query(&self.url("postgres"), &format!("create database {name}")).await?;
        }
        Ok(self.url(name))
    }

    /// Stops the server and waits until it is gone, with its folder if that is temporary.
    pub async fn stop(self) -> Result<()> {
        let core = Arc::clone(&self.core);
        drop(self);
        blocking(move || {
            lock(&core).end(Stop::Fast);
            drop(core);
            Ok(())
        })
        .await
    }

    /// Stops the server like a power cut. [`Server::resume`] starts it again.
    pub async fn kill(&mut self) {
        let core = Arc::clone(&self.core);
        let killed = blocking(move || {
            lock(&core).end(Stop::Immediate);
            Ok(())
        });
        killed.await.expect("ending a process has no error");
    }

    /// Starts the server again after [`Server::kill`], or after it died: same port, same data.
    /// One that still runs is left alone.
    pub async fn resume(&mut self) -> Result<()> {
        let core = Arc::clone(&self.core);
        blocking(move || lock(&core).launch(true)).await
    }

    /// A power cut and the start after it: same port, same data.
    pub async fn restart_immediate(&mut self) -> Result<()> {
        self.kill().await;
        self.resume().await
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        lock(&self.core)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data, port, version, .. } = self;
        f.debug_struct("Server")
            .field("data", data)
            .field("port", port)
            .field("version", version)
            .finish_non_exhaustive()
    }
}

/// Runs what blocks where it may.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    spawn_blocking(work).await.expect("blocking work neither panics nor is aborted")
}

fn lock(core: &Mutex<Core>) -> MutexGuard<'_, Core> {
    core.lock().expect("no holder of this lock panics")
}
