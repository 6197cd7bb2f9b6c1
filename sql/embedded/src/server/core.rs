//! What is behind the handle: the folder, the lock and the process. Everything here blocks.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Listener, Options};
use crate::account::Account;
use crate::address::free_port;
use crate::cache::{self, Cache};
use crate::process::{self, Guard, Process, Refused, Stop};
use crate::programs::Programs;
use crate::template::{Kind, Source};
use crate::{Error, Progress, Result, home, settings};

/// How long a start is tried again while leftovers of an earlier server go away.
const LEFTOVERS_WITHIN: Duration = Duration::from_secs(10);

/// A server, its folder and its lock. The fields are dropped in this order.
pub struct Core {
    pub process: Option<Process>,
    kind: Kind,
    /// Gone with the server.
    _temporary: Vec<TempDir>,
    /// Ours until the very end.
    _lock: File,
    pub home: PathBuf,
    sockets: PathBuf,
    pub password: String,
    pub port: u16,
    settings: Vec<(String, String)>,
    pub programs: Programs,
    account: Account,
}

impl Core {
    /// Starts a server with everything it needs.
    pub fn start(options: Options) -> Result<Self> {
        let account = Account::current()?;
        let cache = Cache::open(&account)?;
        let silent: Listener = Box::new(|_: &str| ());
        let progress = options.progress.unwrap_or(silent);
        let mut temporary = Vec::new();
        let home = match &options.data {
            Some(data) => home::lasting(data, &account)?,
            None => home::temporary(&mut temporary)?,
        };
        let lock = cache::open_lock(&home.join("lock"))?;
        lock.try_lock().map_err(|_| Error::InUse { data: home.clone() })?;
        let main = home.join("main");
        process::clear(&main)?;
        let programs = choose(&options.programs, &cache, &account, &main, &progress)?;
        let kind = if temporary.is_empty() { Kind::Lasting } else { Kind::Passing };
        let source =
            Source { cache: &cache, programs: &programs, account: &account, progress: &progress };
        let password = home::prepare(&home, &source, kind)?;
        let sockets = home::sockets(&home, &account, &mut temporary)?;
        let port = options.port.map_or_else(free_port, Ok)?;
        let mut core = Self {
            process: None,
            kind,
            _temporary: temporary,
            _lock: lock,
            home,
            sockets,
            password,
            port,
            settings: options.settings,
            programs,
            account,
        };
        core.launch(options.port.is_some())?;
        Ok(core)
    }

    /// Starts the postmaster, again and again while an earlier one's leftovers are in the way.
    pub fn launch(&mut self, port_is_fixed: bool) -> Result<()> {
        if self.process.as_mut().is_some_and(Process::is_running) {
            return Ok(());
        }
        self.process = None;
        let (main, log) = (self.home.join("main"), self.home.join("log"));
        home::shorten(&log)?;
        let until = Instant::now() + LEFTOVERS_WITHIN;
        let guard = match self.kind {
            Kind::Lasting => Guard::Owner(Stop::Fast),
            Kind::Passing => Guard::OwnerOf(&self.home),
        };
        loop {
            process::clear(&main)?;
            home::empty(&self.sockets)?;
            let Self { account, port, sockets, settings, .. } = &*self;
            settings::write(&main, account, *port, sockets, settings)?;
            let Refused { log } = match Process::start(&self.programs, account, &main, &log, guard)?
            {
                Ok(process) => {
                    self.process = Some(process);
                    return Ok(());
                }
                Err(refused) => refused,
            };
            if !is_passing(&log) || Instant::now() > until {
                return Err(Error::Start { log });
            }
            if !port_is_fixed {
                self.port = free_port()?;
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends the postmaster, if one runs.
    pub fn end(&mut self, stop: Stop) {
        if let Some(process) = &mut self.process {
            process.stop(stop);
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // What is kept is closed well; what goes need not be.
        self.end(match self.kind {
            Kind::Lasting => Stop::Fast,
            Kind::Passing => Stop::Immediate,
        });
    }
}

/// The programs that were named, or those that fit the data, or the best.
fn choose(
    named: &Option<PathBuf>,
    cache: &Cache,
    account: &Account,
    main: &Path,
    progress: Progress,
) -> Result<Programs> {
    let text = fs::read_to_string(main.join("PG_VERSION")).ok();
    let major = text.and_then(|text| text.trim().parse::<u32>().ok());
    let found = match named {
        Some(folder) => Some(Programs::at(folder, account)?),
        None => Programs::find(cache, account, major, progress)?,
    };
    let other = |major| Error::OtherVersion { data: main.to_owned(), major };
    match (found, major) {
        (Some(found), Some(major)) if found.major() != major => Err(other(major)),
        (Some(found), _) => Ok(found),
        (None, major) => Err(other(major.unwrap_or(0))),
    }
}

/// Whether the refusal passes by itself: the memory or the port of a server that is just ending.
fn is_passing(log: &str) -> bool {
    ["pre-existing shared memory block", "could not create any TCP/IP sockets", "lock file"]
        .iter()
        .any(|words| log.contains(words))
}
