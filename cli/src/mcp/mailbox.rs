//! What arrived for this session and was not shown to its host yet.
//!
//! The driver writes messages to the session's inbox on disk; this reads them from there. A message
//! counts as shown only after the host has it in its pipe, so a crash may show one again and loses
//! none.

use std::io;
use std::path::Path;

use crate::client::inbox::{Inbox, Mark, Shown};
use crate::client::message::Message;

/// The reader's side of a session's inbox.
#[derive(Debug)]
pub struct Mailbox {
    shown: Shown,
    announced: Option<Mark>,
}

impl Mailbox {
    /// The mailbox in `dir`, made if need be.
    pub fn open(dir: &Path) -> io::Result<Self> {
        Ok(Self { shown: Shown::open(dir)?, announced: None })
    }

    /// What was not shown and stands after `after`, oldest first, at most `most`.
    pub fn unread(&mut self, after: Option<Mark>, most: usize) -> io::Result<Vec<(Mark, Message)>> {
        self.shown.pending(after, most)
    }

    /// What was neither shown nor announced, at most `most`. It counts as announced from here on,
    /// for as long as the process lives.
    pub fn announce(&mut self, most: usize) -> io::Result<Vec<Message>> {
        let found = self.shown.pending(self.announced, most)?;
        if let Some((mark, _)) = found.last() {
            self.announced = Some(*mark);
        }
        Ok(found.into_iter().map(|(_, message)| message).collect())
    }

    /// Everything up to `mark` was shown.
    pub fn shown(&mut self, mark: Mark) -> io::Result<()> {
        self.shown.showed(mark)
    }

    /// The last `most` of those `wanted` that arrived, shown or not, oldest first.
    pub fn recent(
        &self,
        most: usize,
        wanted: impl Fn(&Message) -> bool,
    ) -> io::Result<Vec<Message>> {
        self.shown.last(most, wanted)
    }

    /// Takes over what another mailbox was given and nobody was shown.
    pub fn take_over(&mut self, other: &mut Self) -> io::Result<()> {
        let pending = other.shown.pending(None, usize::MAX)?;
        let Some(&(last, _)) = pending.last() else { return Ok(()) };
        // On disk here before it counts as shown there: a crash in between repeats, and the inbox
        // drops what it has.
        let messages = pending.into_iter().map(|(_, message)| message).collect();
        Inbox::open(self.shown.dir())?.append(messages)?;
        other.shown(last)
    }
}
