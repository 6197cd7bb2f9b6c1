//! The inbox on disk: what arrived, once each, whatever the server repeats and whoever crashes.
//!
//! A folder holds a log in numbered segments (`00000001.log`, one JSON line a message, each with a
//! checksum), and beside each finished segment its ids (`00000001.ids`, 32 bytes a message), so
//! that opening does not read old text. Several processes of one home share the folder: whoever
//! appends holds the lock file, reads what others appended, cuts a torn end off, writes, syncs,
//! lets go.
//!
//! A message is a *repeat* when id and body are known, and is dropped; it is a *conflict* when the
//! id is known with another body, and is kept with that mark. Ids are remembered for 35 days,
//! longer than anything lives on a server; then the segment goes, if it was shown.
//!
//! [`Shown`] is the other half: how far the log has been shown to the person.

mod ids;
mod line;
mod log;
mod shown;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use self::ids::{Ids, Seen};
pub use self::shown::{Mark, Shown};
use super::message::Message;
use crate::files;

/// A segment that has grown past this is finished, and the next begun.
const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;

/// What became of a message that was given to the inbox.
#[derive(Debug, Clone, PartialEq)]
pub enum Taken {
    /// It is on disk, and was not before.
    New(Box<Message>),
    /// It was there already.
    Repeat,
}

/// The inbox of one mesh in one home, or of one test peer.
#[derive(Debug)]
pub struct Inbox {
    dir: PathBuf,
    lock: File,
    ids: Ids,
    /// How far the log was read into `ids`.
    read: log::Place,
}

impl Inbox {
    /// Opens the inbox in `dir`, making it if need be, and reads which ids it knows.
    pub fn open(dir: &Path) -> io::Result<Self> {
        files::make_dir(dir)?;
        let lock = files::open(&dir.join("lock"))?;
        let mut inbox =
            Self { dir: dir.to_owned(), lock, ids: Ids::default(), read: log::Place::default() };
        inbox.locked(|inbox| {
            inbox.load()?;
            inbox.catch_up()
        })?;
        Ok(inbox)
    }

    /// Takes a burst of messages, in order; when this returns, they are on disk.
    pub fn append(&mut self, burst: Vec<Message>) -> io::Result<Vec<Taken>> {
        self.locked(|inbox| {
            inbox.catch_up()?;
            let (taken, bytes) = inbox.sort(burst);
            if bytes.is_empty() {
                return Ok(taken);
            }
            if let Err(error) = log::append(&inbox.dir, inbox.read, &bytes) {
                // The ids were noted ahead of the write; read again what is really there.
                inbox.reload();
                return Err(error);
            }
            inbox.read.offset += bytes.len() as u64;
            if inbox.read.offset > SEGMENT_BYTES {
                inbox.finish_segment()?;
            }
            Ok(taken)
        })
    }

    /// Sorts a burst into new, repeated and conflicting, and writes the lines of what is to be
    /// kept.
    fn sort(&mut self, burst: Vec<Message>) -> (Vec<Taken>, Vec<u8>) {
        let mut bytes = Vec::new();
        let taken = burst.into_iter().map(|mut message| {
            match self.ids.note(self.read.segment, &message) {
                Seen::Same => return Taken::Repeat,
                Seen::Never => (),
                Seen::WithAnotherBody => message.conflict = true,
            }
            line::write(&message, &mut bytes);
            Taken::New(Box::new(message))
        });
        (taken.collect(), bytes)
    }

    /// Forgets what old segments hold, and starts the next.
    fn finish_segment(&mut self) -> io::Result<()> {
        self.ids.save(&self.dir, self.read.segment)?;
        self.read = log::Place { segment: self.read.segment + 1, offset: 0 };
        log::create(&self.dir, self.read.segment)?;
        let shown = shown::place(&self.dir)?;
        for segment in log::prune(&self.dir, self.read.segment.min(shown.segment))? {
            self.ids.forget(segment);
        }
        Ok(())
    }

    /// Reads the ids of every segment that is finished.
    fn load(&mut self) -> io::Result<()> {
        let segments = log::segments(&self.dir)?;
        let Some((&last, finished)) = segments.split_last() else {
            self.read = log::Place { segment: 1, offset: 0 };
            return log::create(&self.dir, 1);
        };
        for &segment in finished {
            if !self.ids.load(&self.dir, segment) {
                let place = log::Place { segment, offset: 0 };
                let read = log::read(&self.dir, place)?;
                read.messages.iter().for_each(|(_, message)| {
                    self.ids.note(segment, message);
                });
                self.ids.save(&self.dir, segment)?;
            }
        }
        self.read = log::Place { segment: last, offset: 0 };
        Ok(())
    }

    /// Reads what was appended since, and cuts a torn end off. The lock is held.
    fn catch_up(&mut self) -> io::Result<()> {
        loop {
            let read = log::read(&self.dir, self.read)?;
            for (_, message) in &read.messages {
                self.ids.note(self.read.segment, message);
            }
            self.read.offset = read.end;
            if log::exists(&self.dir, self.read.segment + 1) {
                self.read = log::Place { segment: self.read.segment + 1, offset: 0 };
                continue;
            }
            if read.is_torn {
                log::cut(&self.dir, self.read)?;
            }
            return Ok(());
        }
    }

    fn reload(&mut self) {
        self.ids = Ids::default();
        if let Err(error) = self.load().and_then(|()| self.catch_up()) {
            tracing::error!(?error, "inbox cannot be read again after a failed write");
        }
    }

    fn locked<T>(&mut self, work: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        flock(&self.lock, FlockOperation::LockExclusive)?;
        let result = work(self);
        flock(&self.lock, FlockOperation::Unlock)?;
        result
    }
}
