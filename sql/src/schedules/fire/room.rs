//! Room: whether the mailboxes that are sent to hold one message more, as in `send`.

use std::collections::{HashMap, HashSet};

use skein_wire::{Code, limit};

use super::row::Scheduled;
use crate::{GenericClient, Result, store};

/// What the mailboxes that are sent to have room for.
pub(super) struct Room {
    /// Messages and bytes of each mailbox.
    held: HashMap<i64, (i64, i64)>,
    full: HashSet<i64>,
}

impl Room {
    pub(super) async fn of(
        db: &impl GenericClient,
        meshes: &HashSet<i64>,
        mailboxes: &HashSet<i64>,
    ) -> Result<Self> {
        let mailboxes: Vec<i64> = mailboxes.iter().copied().collect();
        let meshes: Vec<i64> = meshes.iter().copied().collect();
        let held = store::load(db, &mailboxes).await?;
        let of_mesh = store::mesh_load(db, &meshes).await?;
        Ok(Self {
            held: held.into_iter().map(|(mailbox, n, n_bytes)| (mailbox, (n, n_bytes))).collect(),
            full: of_mesh
                .into_iter()
                .filter(|(_, held)| *held > limit::MESH_HELD_BYTES_MAX)
                .map(|(mesh, _)| mesh)
                .collect(),
        })
    }

    pub(super) fn take(&mut self, row: &Scheduled, mailbox: i64) -> Result<(), Code> {
        if self.full.contains(&row.mesh) {
            return Err(Code::MeshFull);
        }
        let n_bytes = i64::try_from(row.n_bytes()).unwrap_or(i64::MAX);
        let held = self.held.entry(mailbox).or_default();
        if held.0 >= limit::MAILBOX_MESSAGES_MAX || held.1 + n_bytes > limit::MAILBOX_BYTES_MAX {
            return Err(Code::MailboxFull);
        }
        *held = (held.0 + 1, held.1 + n_bytes);
        Ok(())
    }
}
