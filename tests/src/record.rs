//! What clients wrote down: the only thing that a verdict reads.
//!
//! Entries are appended and never changed, except that a send learns how it ended. Peers are known
//! by their index; a message by its sender and the number the sender gave it, which its text
//! carries, so that nothing depends on what a server says of it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use skein_wire::Priority;

/// Whom a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum To {
    /// One peer, by index.
    Peer(usize),
    /// Everybody but the sender.
    All,
}

/// What order is kept within.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Direct and `now`.
    Now,
    /// Direct and anything else.
    Rest,
    /// A multicast.
    Multicast,
}

impl Class {
    /// The priority to send it with.
    pub fn priority(self) -> Priority {
        match self {
            Self::Now => Priority::Now,
            Self::Rest | Self::Multicast => Priority::Next,
        }
    }
}

/// A message that a peer gave to its client.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The sender, by index.
    pub from: usize,
    /// The sender's number of it: one more each time.
    pub number: u64,
    /// Whom it is for.
    pub to: To,
    /// See [`Class`].
    pub class: Class,
    /// When.
    pub at: Instant,
    /// How it ended, once that is known.
    pub end: Option<End>,
}

/// How a send ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Acknowledged, under this id.
    Acked(String, Instant),
    /// Refused, with this code.
    Refused(String),
    /// The connection was lost, and the client does not repeat: nobody knows.
    Unknown,
}

/// A message that a client showed to its user.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Whose user.
    pub by: usize,
    /// The sender and its number, from the text.
    pub from: usize,
    /// See `from`.
    pub number: u64,
    /// What the server calls it.
    pub message_id: String,
    /// When.
    pub at: Instant,
}

/// A stretch of time over which a peer was attached.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// Who.
    pub by: usize,
    /// To which edge.
    pub edge: String,
    /// From its `hello_ack`.
    pub from: Instant,
    /// Until it noticed that the socket was gone, or the edge was paused.
    pub until: Option<Instant>,
}

/// Everything that the peers of a run wrote down.
#[derive(Debug, Default)]
pub struct Record {
    sent: Mutex<Vec<Sent>>,
    shown: Mutex<Vec<Shown>>,
    attachments: Mutex<Vec<Attachment>>,
    left_out: Mutex<HashMap<usize, u64>>,
    oddities: Mutex<Vec<String>>,
}

/// Which send of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentNo(usize);

impl Record {
    /// A peer sends its message of this number.
    pub fn sends(&self, from: usize, number: u64, to: To, class: Class) -> SentNo {
        let mut sent = lock(&self.sent);
        sent.push(Sent { from, number, to, class, at: Instant::now(), end: None });
        SentNo(sent.len() - 1)
    }

    /// A send ended.
    pub fn ended(&self, no: SentNo, end: End) {
        lock(&self.sent)[no.0].end = Some(end);
    }

    /// A message was shown. Text that nobody of the run wrote is an oddity.
    pub fn shows(&self, by: usize, text: Option<&str>, message_id: &str) {
        let Some((from, number)) = text.and_then(read) else {
            return self.odd(format!("peer {by} was shown {text:?} as {message_id}"));
        };
        let message_id = message_id.to_owned();
        lock(&self.shown).push(Shown { by, from, number, message_id, at: Instant::now() });
    }

    /// A peer attached to an edge.
    pub fn attached(&self, by: usize, edge: &str) {
        let (from, edge) = (Instant::now(), edge.to_owned());
        lock(&self.attachments).push(Attachment { by, edge, from, until: None });
    }

    /// An edge was stopped where it is, for longer than it stays alive: who is attached to it is
    /// not any more, and will notice later.
    pub fn paused(&self, edge: &str) {
        let mut attachments = lock(&self.attachments);
        let open = attachments.iter_mut().filter(|a| a.edge == edge && a.until.is_none());
        open.for_each(|a| a.until = Some(Instant::now()));
    }

    /// A peer noticed that it is not attached any more.
    pub fn detached(&self, by: usize) {
        let mut attachments = lock(&self.attachments);
        let last = attachments.iter_mut().rfind(|a| a.by == by && a.until.is_none());
        if let Some(last) = last {
            last.until = Some(Instant::now());
        }
    }

    /// A peer was told that so many of the multicasts that it missed are left out.
    pub fn leaves_out(&self, by: usize, n: u64) {
        *lock(&self.left_out).entry(by).or_default() += n;
    }

    /// Something happened that never should.
    pub fn odd(&self, what: String) {
        lock(&self.oddities).push(what);
    }

    /// Every send so far.
    pub fn sent(&self) -> Vec<Sent> {
        lock(&self.sent).clone()
    }

    /// Everything shown so far, in the order in which it was.
    pub fn shown(&self) -> Vec<Shown> {
        lock(&self.shown).clone()
    }

    /// Every attachment so far.
    pub fn attachments(&self) -> Vec<Attachment> {
        lock(&self.attachments).clone()
    }

    /// How many multicasts a peer was told that it will not be given.
    pub fn left_out(&self, by: usize) -> u64 {
        lock(&self.left_out).get(&by).copied().unwrap_or(0)
    }

    /// What never should have happened.
    pub fn oddities(&self) -> Vec<String> {
        lock(&self.oddities).clone()
    }
}

/// The text of a message.
pub fn text(from: usize, number: u64) -> String {
    format!("peer {from} says {number}")
}

fn read(text: &str) -> Option<(usize, u64)> {
    let (from, number) = text.strip_prefix("peer ")?.split_once(" says ")?;
    Some((from.parse().ok()?, number.parse().ok()?))
}

fn lock<T>(entries: &Mutex<T>) -> MutexGuard<'_, T> {
    entries.lock().expect("nothing panics while it writes the record")
}
