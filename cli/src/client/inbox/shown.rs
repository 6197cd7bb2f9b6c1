//! How far the log was shown to the person.
//!
//! One small file names a place in the log. It is moved right after each message was shown, under a
//! lock of its own, so that two programs of one home do not both show it, and a restart does not
//! show it again. A process that is killed between showing and moving repeats that one message.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::log::{self, Place};
use crate::client::message::Message;
use crate::files;

/// The reader's side of an inbox.
#[derive(Debug)]
pub struct Shown {
    dir: PathBuf,
    file: File,
}

impl Shown {
    /// Opens the place in the inbox in `dir`, making it if need be.
    pub fn open(dir: &Path) -> io::Result<Self> {
        files::make_dir(dir)?;
        Ok(Self { dir: dir.to_owned(), file: files::open(&dir.join("shown"))? })
    }

    /// Gives everything that was not shown to `show`, in order, and remembers each when `show` has
    /// returned. Stops at its first error. Returns how many were shown.
    pub fn rest(&mut self, mut show: impl FnMut(&Message) -> io::Result<()>) -> io::Result<usize> {
        flock(&self.file, FlockOperation::LockExclusive)?;
        let result = self.rest_locked(&mut show);
        flock(&self.file, FlockOperation::Unlock)?;
        result
    }

    /// Every message that is kept, shown or not, oldest first.
    pub fn all(&self) -> io::Result<Vec<Message>> {
        let mut all = Vec::new();
        for segment in log::segments(&self.dir)? {
            let read = log::read(&self.dir, Place { segment, offset: 0 })?;
            all.extend(read.messages.into_iter().map(|(_, message)| message));
        }
        Ok(all)
    }

    fn rest_locked(
        &mut self,
        show: &mut impl FnMut(&Message) -> io::Result<()>,
    ) -> io::Result<usize> {
        let mut place = parse(&mut self.file)?;
        let mut count = 0;
        for segment in log::segments(&self.dir)? {
            if segment < place.segment {
                continue;
            }
            if segment > place.segment {
                place = Place { segment, offset: 0 };
            }
            for (after, message) in log::read(&self.dir, place)?.messages {
                show(&message)?;
                place.offset = after;
                self.write(place)?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn write(&mut self, place: Place) -> io::Result<()> {
        // One write of a fixed length, so that it is never half there.
        self.file.rewind()?;
        self.file.write_all(format!("{:010} {:020}\n", place.segment, place.offset).as_bytes())
    }
}

/// How far the inbox in `dir` was shown.
pub fn place(dir: &Path) -> io::Result<Place> {
    parse(&mut files::open(&dir.join("shown"))?)
}

fn parse(file: &mut File) -> io::Result<Place> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    let place = text.trim().split_once(' ').and_then(|(segment, offset)| {
        Some(Place { segment: segment.parse().ok()?, offset: offset.parse().ok()? })
    });
    Ok(place.unwrap_or_default())
}
