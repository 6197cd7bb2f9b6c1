//! The folder of a local mesh.
//!
//! ```text
//! lock              who runs it (a process id, and a lock that ends with the process)
//! deployment-key    64 hex characters (0600)
//! operator-token    64 hex characters (0600)
//! postgres/         the private server's own folder
//! log/              what the edges and the worker say
//! ```
//!
//! The keys are made once. Owner keys and memberships are not here: they are in the home.

use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use skein_crypto::random;
use zeroize::Zeroizing;

use crate::files;
use crate::home::SecretText;
use crate::{Error, Result};

/// A log above this is begun anew at the next start.
const LOG_BYTES_MAX: u64 = 10_000_000;

/// The end of a log that goes into an error.
const LOG_BYTES_SHOWN: u64 = 2_000;

/// A folder that is ours until this is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl Folder {
    /// Takes the folder, making it if need be.
    pub fn open(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).map_err(Error::at(path))?;
        // Whoever runs PostgreSQL for root passes through; only files say what is in here.
        let made = DirBuilder::new().recursive(true).mode(0o711).create(&path);
        made.map_err(Error::at(&path))?;
        let lock_path = path.join("lock");
        let mut lock = files::open(&lock_path).map_err(Error::at(&lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => (),
            Err(Errno::WOULDBLOCK) => return Err(taken(&path, &mut lock)),
            Err(error) => return Err(Error::at(&lock_path)(error.into())),
        }
        let noted = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
        noted.map_err(Error::at(&lock_path))?;
        Ok(Self { path, _lock: lock })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a private server keeps its own.
    pub fn postgres(&self) -> PathBuf {
        self.path.join("postgres")
    }

    /// The log of a program; one that has become large is begun anew.
    pub fn log(&self, name: &str) -> Result<PathBuf> {
        let logs = self.path.join("log");
        files::make_dir(&logs).map_err(Error::at(&logs))?;
        let path = logs.join(format!("{name}.log"));
        if fs::metadata(&path).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
            fs::remove_file(&path).map_err(Error::at(&path))?;
        }
        Ok(path)
    }

    /// A secret of 32 random bytes in hex, made when it is first asked for.
    pub fn secret(&self, name: &str) -> Result<SecretText> {
        let path = self.path.join(name);
        match fs::read_to_string(&path).map(Zeroizing::new) {
            Ok(text) => Ok(Zeroizing::new(text.trim().to_owned()).into()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let text = Zeroizing::new(hex::encode(random::<32>()));
                files::write(&path, text.as_bytes()).map_err(Error::at(&path))?;
                Ok(text.into())
            }
            Err(error) => Err(Error::at(path)(error)),
        }
    }
}

/// The first of these variables that is set to something.
pub fn from_environment(names: &[&str]) -> Option<SecretText> {
    let mut values = names.iter().filter_map(|name| std::env::var(name).ok());
    values.find(|value| !value.is_empty()).map(|value| Zeroizing::new(value).into())
}

/// The last lines of a log, if there are any.
pub fn end_of(log: &Path, lines: usize) -> Option<String> {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(end.saturating_sub(LOG_BYTES_SHOWN)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    let text = read().ok().filter(|text| !text.is_empty())?;
    let all: Vec<_> = text.lines().collect();
    Some(all[all.len().saturating_sub(lines)..].join("\n"))
}

fn taken(path: &Path, lock: &mut File) -> Error {
    let mut pid = String::new();
    // Without a number the sentence is still true.
    let _ = lock.read_to_string(&mut pid);
    let by = if pid.is_empty() { String::new() } else { format!(" (process {pid})") };
    Error::Usage(format!(
        "a mesh runs in {} already{by}; stop it, or name another folder with --data",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secrets_are_made_once_and_are_for_their_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(&dir.path().join("mesh")).unwrap();

        let first = folder.secret("deployment-key").unwrap();
        let second = folder.secret("deployment-key").unwrap();
        let other = folder.secret("operator-token").unwrap();

        let mode = fs::metadata(folder.path().join("deployment-key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(first.as_str(), second.as_str());
        assert_ne!(first.as_str(), other.as_str());
        assert_eq!(hex::decode(first.as_str()).unwrap().len(), 32);
    }

    #[test]
    fn a_folder_is_taken_once_and_free_again_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::open(dir.path()).unwrap();

        let refused = Folder::open(dir.path()).unwrap_err().to_string();

        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        assert!(refused.contains("--data"), "{refused}");
        drop(first);
        Folder::open(dir.path()).unwrap();
    }
}
