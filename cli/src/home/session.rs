//! Session keys, one for each process that is attached.
//!
//! A key is a file that its process holds locked. A process takes the first key that nobody holds,
//! so keys are reused and do not pile up, and a program that is started again is the same session
//! again, with its mail. Programs that live long draw from other keys than one-shot commands: mail
//! that waits for them must not wait in a key that only a short command would use.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use skein_crypto::{Keypair, Secret};

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
        files::make_dir(dir).map_err(Error::at(dir))?;
        let kind = match lifetime {
            Lifetime::Long => "long",
            Lifetime::Agent => "agent",
            Lifetime::Short => "short",
        };
        for number in 0..SESSIONS_MAX {
            let path = dir.join(format!("{kind}-{number}.key"));
            let mut file = files::open(&path).map_err(Error::at(&path))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    let keys = read_or_make(&mut file).map_err(Error::at(&path))?;
                    return Ok(Self { keys, _lock: file });
                }
                Err(Errno::WOULDBLOCK) => (),
                Err(error) => return Err(Error::at(&path)(error.into())),
            }
        }
        Err(Error::Usage(format!("{SESSIONS_MAX} processes are attached from this home already")))
    }
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
    fn a_key_that_was_half_written_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("short-0.key"), "abc").unwrap();

        let made = Session::lock(dir.path(), Lifetime::Short).unwrap().keys.public;

        assert_eq!(Session::lock(dir.path(), Lifetime::Short).unwrap().keys.public, made);
    }
}
