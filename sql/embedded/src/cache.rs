//! The folder that keeps what is worth keeping between runs.
//!
//! `SKEIN_CACHE` names it; else it is `skein` in `XDG_CACHE_HOME` or `~/.cache`. For root it is
//! `/var/cache/skein`, because the user that runs the server for root cannot enter root's home.
//! Everything in it may be deleted at any time that no server runs.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::{Error, Result};

/// The cache folder of this user, existing.
#[derive(Debug, Clone)]
pub struct Cache {
    path: PathBuf,
}

impl Cache {
    /// The folder of [`folder`], or one in the temporary folder if we have no home.
    pub fn open(account: &Account) -> Result<Self> {
        match Self::at(&folder(), account) {
            Err(Error::File { .. }) if env::var_os("SKEIN_CACHE").is_none() => {
                Self::homeless(account)
            }
            other => other,
        }
    }

    /// This folder, which is made if it is not there.
    pub fn at(path: &Path, account: &Account) -> Result<Self> {
        let path = std::path::absolute(path).map_err(Error::file("find", path))?;
        fs::create_dir_all(&path).map_err(Error::file("make", &path))?;
        if let Some(user) = account.steward().filter(|_| !account.enters(&path)) {
            return Err(Error::Unreachable { user: user.to_owned(), path });
        }
        let cache = Self { path };
        cache.lock("lock")?;
        Ok(cache)
    }

    /// A user without a home (`nobody`, a container) keeps it among temporary files, where others
    /// may pass through and change nothing: what lies here is run as a program.
    fn homeless(account: &Account) -> Result<Self> {
        let uid = rustix::process::geteuid().as_raw();
        let path = env::temp_dir().join(format!("skein-cache-{uid}"));
        match DirBuilder::new().mode(0o711).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
            made => made.map_err(Error::file("make", &path))?,
        }
        let meta = fs::symlink_metadata(&path).map_err(Error::file("read", &path))?;
        if !meta.is_dir() || meta.uid() != uid || meta.mode() & 0o022 != 0 {
            let source = io::Error::other("it belongs to somebody else");
            return Err(Error::File { action: "use", path, source });
        }
        Self::at(&path, account)
    }

    /// A place in the folder.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Waits until no other process holds this lock; it is ours until the file is dropped.
    pub fn lock(&self, name: &str) -> Result<File> {
        lock(&self.join(name))
    }
}

/// Where the cache is. See the module for the rule.
pub fn folder() -> PathBuf {
    let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = named("SKEIN_CACHE") {
        return path;
    }
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/cache/skein");
    }
    let home = || named("HOME").unwrap_or_else(|| PathBuf::from("/nonexistent"));
    named("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache")).join("skein")
}

/// Waits until no other process holds this lock; it is ours until the file is dropped.
pub fn lock(path: &Path) -> Result<File> {
    let file = open_lock(path)?;
    file.lock().map_err(Error::file("lock", path))?;
    Ok(file)
}

/// Opens a file to lock it, and never writes to it.
pub fn open_lock(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true);
    options.open(path).map_err(Error::file("open", path))
}
