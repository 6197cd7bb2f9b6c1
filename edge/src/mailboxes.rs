//! How full mailboxes are: a soft count, so that a send need not count rows.
//!
//! The table is counted when a mailbox is first met and again after a share of its limit was added;
//! in between the edge adds up what it stores itself. Several edges may overshoot together by what
//! they store between two counts.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use skein_sql::{GenericClient, Result, store};
use skein_wire::{Code, limit};

/// A mailbox is counted again after this many messages.
const RECOUNT_MESSAGES: i64 = limit::MAILBOX_MESSAGES_MAX / 20;
/// And after this many bytes.
const RECOUNT_BYTES: i64 = limit::MAILBOX_BYTES_MAX / 16;
/// One that is full is counted again no sooner than this.
const RECOUNT_FULL: Duration = Duration::from_millis(250);
/// A mesh's bytes are read again after this.
const MESH_AGE: Duration = Duration::from_secs(10);
/// Mailboxes remembered; past it everything is forgotten, and counted anew when met.
const REMEMBERED_MAX: usize = 100_000;

#[derive(Debug)]
struct Load {
    messages: i64,
    bytes: i64,
    added_messages: i64,
    added_bytes: i64,
    at: Instant,
}

impl Load {
    fn is_full(&self, n_bytes: i64) -> bool {
        self.messages + self.added_messages >= limit::MAILBOX_MESSAGES_MAX
            || self.bytes + self.added_bytes + n_bytes > limit::MAILBOX_BYTES_MAX
    }

    fn is_old(&self) -> bool {
        self.added_messages >= RECOUNT_MESSAGES
            || self.added_bytes >= RECOUNT_BYTES
            || (self.is_full(0) && self.at.elapsed() > RECOUNT_FULL)
    }
}

/// What this edge knows of the mailboxes it stores for.
#[derive(Debug, Default)]
pub struct Mailboxes {
    loads: HashMap<i64, Load>,
    meshes: HashMap<i64, (i64, Instant)>,
}

impl Mailboxes {
    /// Counts what has to be counted, of these (mesh, mailbox).
    pub async fn refresh(&mut self, db: &impl GenericClient, direct: &[(i64, i64)]) -> Result<()> {
        if self.loads.len() > REMEMBERED_MAX {
            self.loads.clear();
            self.meshes.clear();
        }
        let old: HashSet<i64> = direct
            .iter()
            .map(|(_, mailbox)| *mailbox)
            .filter(|mailbox| self.loads.get(mailbox).is_none_or(Load::is_old))
            .collect();
        if !old.is_empty() {
            let old: Vec<i64> = old.into_iter().collect();
            for (mailbox, messages, bytes) in store::load(db, &old).await? {
                let (added_messages, added_bytes) = (0, 0);
                let at = Instant::now();
                let load = Load { messages, bytes, added_messages, added_bytes, at };
                self.loads.insert(mailbox, load);
            }
        }
        let old: HashSet<i64> = direct
            .iter()
            .map(|(mesh, _)| *mesh)
            .filter(|mesh| self.meshes.get(mesh).is_none_or(|(_, at)| at.elapsed() > MESH_AGE))
            .collect();
        if !old.is_empty() {
            let old: Vec<i64> = old.into_iter().collect();
            for (mesh, bytes) in store::mesh_load(db, &old).await? {
                self.meshes.insert(mesh, (bytes, Instant::now()));
            }
        }
        Ok(())
    }

    /// Takes room for a message of `n_bytes`.
    ///
    /// # Errors
    /// `mailbox_full` or `mesh_full`.
    pub fn take(&mut self, mesh: i64, mailbox: i64, n_bytes: usize) -> Result<(), Code> {
        let n_bytes = i64::try_from(n_bytes).unwrap_or(i64::MAX);
        if self.meshes.get(&mesh).is_some_and(|(held, _)| *held > limit::MESH_HELD_BYTES_MAX) {
            return Err(Code::MeshFull);
        }
        if let Some(load) = self.loads.get_mut(&mailbox) {
            if load.is_full(n_bytes) {
                return Err(Code::MailboxFull);
            }
            load.added_messages += 1;
            load.added_bytes += n_bytes;
        }
        Ok(())
    }
}
