//! How far the log was shown to the person.
//!
//! One small file names a place in the log. It is moved right before each message is shown (and
//! back, if showing failed), under a lock of its own: two programs of one home do not both show it,
//! and a restart does not show it again, whenever the program was killed. A kill in the few
//! microseconds between the two leaves that message unseen in the inbox, where `skein inbox --all`
//! shows it; the other order would show it twice whenever somebody kills a program for what it has
//! just said.
//!
//! An agent's host takes the other order ([`Shown::pending`], then [`Shown::showed`]): for it a
//! message twice is a nuisance, and one that it never hears of is a loss.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::log::{self, Place};
use crate::client::message::Message;
use crate::files;

/// A point in the log: everything before it was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(Place);

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

    /// Gives everything that was not shown to `show`, in order, each once. Stops at its first
    /// error; that message counts as not shown. Returns how many were shown.
    pub fn rest(&mut self, mut show: impl FnMut(&Message) -> io::Result<()>) -> io::Result<usize> {
        flock(&self.file, FlockOperation::LockExclusive)?;
        let result = self.rest_locked(&mut show);
        flock(&self.file, FlockOperation::Unlock)?;
        result
    }

    /// How many were not shown yet.
    pub fn waiting(&mut self) -> io::Result<usize> {
        let place = parse(&mut self.file)?;
        let mut count = 0;
        for segment in log::segments(&self.dir)?.into_iter().filter(|&one| one >= place.segment) {
            let offset = if segment == place.segment { place.offset } else { 0 };
            count += log::read(&self.dir, Place { segment, offset })?.messages.len();
        }
        Ok(count)
    }

    /// What was not shown and stands after `after`, oldest first, at most `most`, each with the mark
    /// that [`Shown::showed`] takes. Nothing counts as shown by this.
    pub fn pending(
        &mut self,
        after: Option<Mark>,
        most: usize,
    ) -> io::Result<Vec<(Mark, Message)>> {
        let shown = parse(&mut self.file)?;
        let mut place = after.map_or(shown, |mark| mark.0.max(shown));
        let mut found = Vec::new();
        for segment in log::segments(&self.dir)? {
            if segment < place.segment || found.len() >= most {
                continue;
            }
            if segment > place.segment {
                place = Place { segment, offset: 0 };
            }
            let rest = log::read(&self.dir, place)?.messages.into_iter();
            let marked = rest.map(|(offset, message)| (Mark(Place { segment, offset }), message));
            found.extend(marked.take(most - found.len()));
        }
        Ok(found)
    }

    /// Everything up to `mark` was shown. A mark behind what was shown already changes nothing.
    pub fn showed(&mut self, mark: Mark) -> io::Result<()> {
        if parse(&mut self.file)? < mark.0 {
            self.write(mark.0)?;
        }
        Ok(())
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

    /// The last `most` of those `wanted` that are kept, shown or not, oldest first. Older segments
    /// are not read when newer ones have enough.
    pub fn last(&self, most: usize, wanted: impl Fn(&Message) -> bool) -> io::Result<Vec<Message>> {
        let mut newest_first = Vec::new();
        for segment in log::segments(&self.dir)?.into_iter().rev() {
            let read = log::read(&self.dir, Place { segment, offset: 0 })?.messages.into_iter();
            let wanted = read.rev().map(|(_, message)| message).filter(&wanted);
            newest_first.extend(wanted.take(most - newest_first.len()));
            if newest_first.len() == most {
                break;
            }
        }
        newest_first.reverse();
        Ok(newest_first)
    }

    /// The inbox's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
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
                let before = place.offset;
                place.offset = after;
                self.write(place)?;
                if let Err(error) = show(&message) {
                    self.write(Place { offset: before, ..place })?;
                    return Err(error);
                }
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
