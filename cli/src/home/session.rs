//! Session keys, one for each process that is attached.
//!
//! A key is a file that its process holds locked. A process takes the first key that nobody holds,
//! so keys are reused and do not pile up, and a program that is started again is the same session
//! again, with its mail. Programs that live long draw from other keys than one-shot commands: mail
//! that waits for them must not wait in a key that only a short command would use.
//!
//! An agent works in a folder, and its mail is about what is there: a key remembers the folder that
//! it was last used in, and goes to agents of that folder. Only when there is no room for another
//! key is one of another folder taken.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use skein_crypto::{Keypair, Public, Secret};

use crate::files;
use crate::{Error, Result};

/// Processes of one home in one mesh at one time.
const SESSIONS_MAX: u32 = 1000;

/// How long a process means to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// It reads the inbox.
    Long,
    /// It lives as long as an agent's host, and has an inbox of its own.
    Agent,
    /// It does one thing and ends.
    Short,
}

/// A session key that is ours until this is dropped.
#[derive(Debug)]
pub struct Session {
    /// The key.
    pub keys: Keypair,
    /// Holds the lock.
    _lock: File,
}

impl Session {
    /// Takes the first key in `dir` that no process holds, making one if all are held.
    pub fn lock(dir: &Path, lifetime: Lifetime) -> Result<Self> {
        match lifetime {
            Lifetime::Long => Self::first(dir, "long"),
            // A folder that is gone has no name, and no mail of its own either.
            Lifetime::Agent => Self::of_agent(dir, &std::env::current_dir().unwrap_or_default()),
            Lifetime::Short => Self::first(dir, "short"),
        }
    }

    /// Takes a free key that was last used in `place`, else one that nobody has used, else any.
    pub fn of_agent(dir: &Path, place: &Path) -> Result<Self> {
        let kind = "agent";
        files::make_dir(dir).map_err(Error::at(dir))?;
        let keys: Vec<_> = (0..SESSIONS_MAX).map(|number| key_file(dir, kind, number)).collect();
        let (known, unknown): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.exists());
        let place = place.as_os_str().as_bytes();
        let (own, others): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|key| last_place(key).as_deref() == Some(place));
        // A crash may have left a key before anybody knew of it.
        let (nobodys, others): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|key| last_place(key).is_none());
        for key in own.into_iter().chain(nobodys).chain(unknown).chain(others) {
            if let Some(session) = Self::take(key)? {
                let file = place_file(key);
                files::write(&file, place).map_err(Error::at(&file))?;
                return Ok(session);
            }
        }
        Err(too_many())
    }

    fn first(dir: &Path, kind: &str) -> Result<Self> {
        files::make_dir(dir).map_err(Error::at(dir))?;
        for number in 0..SESSIONS_MAX {
            if let Some(session) = Self::take(&key_file(dir, kind, number))? {
                return Ok(session);
            }
        }
        Err(too_many())
    }

    /// Takes the key in this file, unless somebody holds it.
    fn take(path: &Path) -> Result<Option<Self>> {
        let mut file = files::open(path).map_err(Error::at(path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let keys = read_or_make(&mut file).map_err(Error::at(path))?;
                Ok(Some(Self { keys, _lock: file }))
            }
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(Error::at(path)(error.into())),
        }
    }
}

/// Every key in `dir`, in use or not. What cannot be read is no key.
pub fn known(dir: &Path) -> Vec<Public> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let read = |path: PathBuf| {
        let text = zeroize::Zeroizing::new(std::fs::read_to_string(path).ok()?);
        Some(Keypair::from(Secret::parse(text.trim()).ok()?).public)
    };
    let is_key = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "key");
    entries.map(|entry| entry.path()).filter(is_key).filter_map(read).collect()
}

fn key_file(dir: &Path, kind: &str, number: u32) -> PathBuf {
    dir.join(format!("{kind}-{number}.key"))
}

/// Where a key was last used.
fn last_place(key: &Path) -> Option<Vec<u8>> {
    std::fs::read(place_file(key)).ok()
}

fn place_file(key: &Path) -> PathBuf {
    key.with_extension("place")
}

fn too_many() -> Error {
    Error::Usage(format!("{SESSIONS_MAX} processes are attached from this home already"))
}

fn read_or_make(file: &mut File) -> std::io::Result<Keypair> {
    let mut text = zeroize::Zeroizing::new(String::new());
    // A file that a crash left half written is no key; nobody has heard of it.
    if file.read_to_string(&mut text).is_ok()
        && let Ok(secret) = Secret::parse(text.trim())
    {
        return Ok(secret.into());
    }
    let keys = Keypair::generate();
    file.rewind()?;
    file.set_len(0)?;
    file.write_all(keys.secret.hex().as_bytes())?;
    file.sync_all()?;
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_processes_share_a_key_and_a_free_one_is_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let first = Session::lock(dir.path(), Lifetime::Long).unwrap();
        let second = Session::lock(dir.path(), Lifetime::Long).unwrap();
        let short = Session::lock(dir.path(), Lifetime::Short).unwrap();
        let keys = [&first, &second, &short].map(|session| session.keys.public);
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);

        drop(first);

        assert_eq!(Session::lock(dir.path(), Lifetime::Long).unwrap().keys.public, keys[0]);
    }

    #[test]
    fn an_agent_gets_the_key_of_its_folder_and_never_mail_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let take = |place: &str| Session::of_agent(dir.path(), Path::new(place)).unwrap();
        let (a, b) = (take("/a"), take("/b"));
        let also_a = take("/a");
        let keys = [&a, &b, &also_a].map(|session| session.keys.public);
        drop((a, b, also_a));

        let (b, c) = (take("/b"), take("/c"));

        assert_eq!(b.keys.public, keys[1], "its own, though others are free and come first");
        assert!(!keys.contains(&c.keys.public), "a new one, though others are free");
        assert_eq!(take("/a").keys.public, keys[0]);
        assert_eq!(known(dir.path()).len(), 4);
    }

    #[test]
    fn a_key_that_nobody_heard_of_is_anybodys() {
        let dir = tempfile::tempdir().unwrap();
        let key = Session::of_agent(dir.path(), Path::new("/a")).unwrap().keys.public;
        std::fs::remove_file(dir.path().join("agent-0.place")).unwrap();

        assert_eq!(Session::of_agent(dir.path(), Path::new("/b")).unwrap().keys.public, key);
    }

    #[test]
    fn a_key_that_was_half_written_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("short-0.key"), "abc").unwrap();

        let made = Session::lock(dir.path(), Lifetime::Short).unwrap().keys.public;

        assert_eq!(Session::lock(dir.path(), Lifetime::Short).unwrap().keys.public, made);
    }
}
