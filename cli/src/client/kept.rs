//! How a driver keeps what arrives: on disk, in memory, or not.
//!
//! On disk, one burst is written at a time, off the driver's task, while the next gathers.

use std::io;
use std::path::PathBuf;

use tokio::task::JoinHandle;

use super::Keep;
use super::inbox::{Inbox, Taken};
use super::message::Message;
use super::recent::Recent;

/// How arrivals are kept.
pub enum Kept {
    /// In an inbox, which is away while a burst is written.
    Disk {
        /// Its folder.
        dir: PathBuf,
        /// The inbox, once it was needed.
        inbox: Option<Inbox>,
        /// The next burst, each with the attachment that it came over.
        gathered: Vec<(u64, Message)>,
        /// The burst that is being written.
        writing: Option<JoinHandle<Written>>,
    },
    /// Repeats are known.
    Memory(Recent),
    /// Nothing is known.
    Nothing,
}

/// A burst that was written, or not.
pub struct Written {
    /// The inbox, back again.
    pub inbox: Option<Inbox>,
    /// What was in the burst, and over which attachment it came.
    pub ids: Vec<(u64, String)>,
    /// What became of it.
    pub taken: io::Result<Vec<Taken>>,
}

impl Kept {
    /// As the client wants it.
    pub fn new(keep: &Keep) -> Self {
        match keep {
            Keep::Disk(dir) => {
                Self::Disk { dir: dir.clone(), inbox: None, gathered: Vec::new(), writing: None }
            }
            Keep::Memory => Self::Memory(Recent::default()),
            Keep::Nothing => Self::Nothing,
        }
    }

    /// Whether a burst is being written.
    pub fn is_writing(&self) -> bool {
        matches!(self, Self::Disk { writing: Some(_), .. })
    }

    /// Begins to write what has gathered, unless a write is under way.
    pub fn start_writing(&mut self) {
        let Self::Disk { dir, inbox, gathered, writing } = self else { return };
        if gathered.is_empty() || writing.is_some() {
            return;
        }
        let (dir, inbox, burst) = (dir.clone(), inbox.take(), std::mem::take(gathered));
        *writing = Some(tokio::task::spawn_blocking(move || {
            let ids = burst.iter().map(|(at, m)| (*at, m.message_id.clone())).collect();
            let burst = burst.into_iter().map(|(_, message)| message).collect();
            let mut inbox = match inbox.map_or_else(|| Inbox::open(&dir), Ok) {
                Ok(inbox) => inbox,
                Err(error) => return Written { inbox: None, ids, taken: Err(error) },
            };
            let taken = inbox.append(burst);
            Written { inbox: Some(inbox), ids, taken }
        }));
    }

    /// Waits for the write that is under way; for ever, if there is none.
    pub async fn written(&mut self) -> Written {
        match self {
            Self::Disk { writing: Some(writing), .. } => match writing.await {
                Ok(written) => written,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            },
            _ => std::future::pending().await,
        }
    }
}
