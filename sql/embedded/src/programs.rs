//! Which PostgreSQL: the cached one, the wheel, or the system's newest.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::account::Account;
use crate::cache::Cache;
use crate::{Error, Progress, Result, wheel};

/// The oldest server that we run: older ones cannot copy a database through their log.
const MAJOR_MIN: u32 = 15;

/// Where systems put the programs of one major, with the major in the place of the star.
const PLACES: [(&str, &str); 3] = [
    ("/usr/lib/postgresql", "bin"),
    ("/usr/local/lib/postgresql", "bin"),
    ("/usr/libexec/postgresql", ""),
];

/// The programs of one PostgreSQL.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
    version: u32,
}

impl Programs {
    /// Finds or obtains a server, of exactly this major if data that exists demands it.
    pub fn find(
        cache: &Cache,
        account: &Account,
        major: Option<u32>,
        progress: Progress,
    ) -> Result<Option<Self>> {
        let fits = |found: &Self| major.is_none_or(|major| found.major() == major);
        let mut tried = Vec::new();
        match private(cache, account, progress) {
            Ok(found) if fits(&found) => return Ok(Some(found)),
            Ok(_) => (),
            Err(reason) => tried.push(format!("the wheel could not be had ({reason})")),
        }
        let mut found = system(account);
        found.sort_by_key(|found| std::cmp::Reverse(found.version));
        if let Some(found) = found.into_iter().find(fits) {
            return Ok(Some(found));
        }
        if major.is_some() {
            return Ok(None);
        }
        tried.push(format!("the system has no server of version {MAJOR_MIN} or newer"));
        Err(Error::Missing { tried: tried.join(", and ") })
    }

    /// The programs in this folder.
    pub fn at(folder: &Path, account: &Account) -> Result<Self> {
        let folder = folder.canonicalize().map_err(Error::file("find", folder))?;
        let postgres = folder.join("postgres");
        let said = account.run(&postgres, &["--version"])?;
        let version = version(&said).ok_or(Error::Program { program: postgres, output: said })?;
        Ok(Self { folder, version })
    }

    /// One program, by its name.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The version as the server counts it: 180004 is 18.4.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The major version: data of one is unreadable to another.
    pub fn major(&self) -> u32 {
        self.version / 10_000
    }

    /// Names this very server in the cache: the same version built elsewhere is another.
    pub fn name(&self) -> String {
        let place = Sha256::digest(self.folder.as_os_str().as_encoded_bytes());
        format!("{}-{}", self.version, hex::encode(&place[..4]))
    }
}

/// The server of the wheel, unpacked before or now.
fn private(
    cache: &Cache,
    account: &Account,
    progress: Progress,
) -> std::result::Result<Programs, String> {
    let words = |error: Error| crate::error::chain(&error);
    let at = |folder: PathBuf| Programs::at(&folder, account).map_err(words);
    if let Some(folder) = wheel::cached(cache) {
        return at(folder);
    }
    let _lock = cache.lock("lock").map_err(words)?;
    // Whoever held the lock before us may have done it.
    match wheel::cached(cache) {
        Some(folder) => at(folder),
        None => at(wheel::obtain(cache, progress)?),
    }
}

/// Every server of the system that runs and is new enough.
fn system(account: &Account) -> Vec<Programs> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for (place, below) in PLACES {
        let majors = fs::read_dir(place).into_iter().flatten().flatten();
        folders.extend(majors.map(|major| major.path().join(below)));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    let is_server = |folder: &PathBuf| {
        ["postgres", "initdb"].iter().all(|program| folder.join(program).is_file())
    };
    let found = folders.iter().filter(|folder| is_server(folder));
    let found = found.filter_map(|folder| Programs::at(folder, account).ok());
    found.filter(|found| found.major() >= MAJOR_MIN).collect()
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian …)`, and the `17beta2` of a preview.
fn version(said: &str) -> Option<u32> {
    let number = said.strip_prefix("postgres (PostgreSQL) ")?.split_whitespace().next()?;
    let digits = |text: &str| -> String { text.chars().take_while(char::is_ascii_digit).collect() };
    let major: u32 = digits(number).parse().ok()?;
    let minor = number.split_once('.').and_then(|(_, minor)| digits(minor).parse().ok());
    Some(major * 10_000 + minor.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_server_counts_them() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)";

        assert_eq!(version(debian), Some(150_018));
        assert_eq!(version("postgres (PostgreSQL) 18.4"), Some(180_004));
        assert_eq!(version("postgres (PostgreSQL) 19beta2"), Some(190_000));
        assert_eq!(version("something else 18.4"), None);
    }
}
