//! Telling other nodes what changed: after the commit, on a connection of its own.
//!
//! What waits is gathered by key, so a storm of changes comes to as many notifications as the
//! database takes in that time, each with as many keys as fit. A lost one is found by a look.

use std::collections::{HashMap, HashSet};

use skein_sql::{
    Error, Pool,
    state::changes::{Change, Subject},
    tell,
};
use skein_wire::limit;
use tokio::sync::{Semaphore, mpsc};
use tracing::warn;

use super::Changed;
use crate::{intake::In, node::pause, note::Note};

/// What a note of several changes may hold of them; the rest is the note's own form.
const NOTE_BYTES_MAX: usize = limit::NOTIFY_BYTES_MAX - 64;
/// Changes that one edge makes at once. Those of one key wait for each other in the database, and
/// must leave connections to everybody else.
const WRITES_MAX: usize = 4;

/// The way of changes out of the handlers.
#[derive(Debug)]
pub struct Handle {
    /// Held while a change is made.
    pub writes: Semaphore,
    intake: mpsc::UnboundedSender<In>,
    others: mpsc::UnboundedSender<Changed>,
}

impl Handle {
    /// The way of a node's changes, and what its [`Telling`] reads.
    pub fn new(intake: mpsc::UnboundedSender<In>) -> (Self, mpsc::UnboundedReceiver<Changed>) {
        let (others, queue) = mpsc::unbounded_channel();
        (Self { writes: Semaphore::new(WRITES_MAX), intake, others }, queue)
    }

    /// Tells a change that was committed: our own sessions at once, then other nodes.
    pub fn tell(&self, change: Change) {
        let changed = Changed::from(change);
        let mut for_others = changed.clone();
        if size(&changed) > NOTE_BYTES_MAX {
            for_others.b = None;
        }
        // Both live as long as the node.
        let _ = self.intake.send(In::Note(Note::States { l: vec![changed] }));
        let _ = self.others.send(for_others);
    }
}

/// Tells other nodes.
#[derive(Debug)]
pub struct Telling {
    /// This node.
    pub node: i32,
    /// Its own connection, whose commits do not wait for the disk.
    pub pool: Pool,
}

impl Telling {
    /// Tells what comes, until nobody can say anything any more.
    pub async fn run(self, mut queue: mpsc::UnboundedReceiver<Changed>) {
        let mut due: HashMap<Subject, Changed> = HashMap::new();
        while let Some(first) = queue.recv().await {
            gather(&mut due, first);
            while let Ok(next) = queue.try_recv() {
                gather(&mut due, next);
            }
            while let Err(error) = self.once(&due).await {
                if error.is_fenced() {
                    return;
                }
                warn!(%error, "telling changes of state waits for the database");
                if pause::database(&self.pool).await.is_err() {
                    return;
                }
            }
            due.clear();
        }
    }

    async fn once(&self, due: &HashMap<Subject, Changed>) -> Result<(), Error> {
        let meshes: HashSet<i64> = due.keys().map(|subject| subject.mesh).collect();
        let meshes: Vec<i64> = meshes.into_iter().collect();
        let db = self.pool.get().await?;
        let mut of_node: HashMap<i32, HashSet<i64>> = HashMap::new();
        for (mesh, node) in tell::log_nodes(&db, &meshes).await? {
            of_node.entry(node).or_default().insert(mesh);
        }
        of_node.remove(&self.node);
        let mut payloads = Vec::new();
        for (node, meshes) in of_node {
            let channel = skein_sql::nodes::channel(node);
            let changes = due.values().filter(|changed| meshes.contains(&changed.m));
            let notes = notes(changes).into_iter().map(Note::payload);
            payloads.extend(notes.map(|payload| (channel.clone(), payload)));
        }
        if payloads.is_empty() {
            return Ok(());
        }
        tell::notify(&db, &payloads).await
    }
}

fn gather(due: &mut HashMap<Subject, Changed>, changed: Changed) {
    let subject = changed.subject();
    if due.get(&subject).is_none_or(|before| before.v < changed.v) {
        due.insert(subject, changed);
    }
}

/// Changes in as few notes as hold them.
fn notes<'a>(changes: impl Iterator<Item = &'a Changed>) -> Vec<Note> {
    let mut notes = Vec::new();
    let (mut gathered, mut n_bytes) = (Vec::new(), 0);
    for changed in changes {
        // A comma follows each.
        let size = size(changed) + 1;
        if n_bytes + size > NOTE_BYTES_MAX && !gathered.is_empty() {
            notes.push(Note::States { l: std::mem::take(&mut gathered) });
            n_bytes = 0;
        }
        n_bytes += size;
        gathered.push(changed.clone());
    }
    if !gathered.is_empty() {
        notes.push(Note::States { l: gathered });
    }
    notes
}

fn size(changed: &Changed) -> usize {
    serde_json::to_string(changed).expect("changes have string keys only").len()
}

#[cfg(test)]
mod tests {
    use super::super::Body;
    use super::*;

    fn changed(key: usize, n_bytes: usize) -> Changed {
        let value = format!("\"{}\"", "\"".repeat(n_bytes));
        let body = Body { w: 1, u: "ann".into(), j: Some(value) };
        Changed { m: 1, k: format!("k{key}"), o: None, v: 1, x: 1, b: Some(body) }
    }

    #[test]
    fn changes_share_notes_that_fit() {
        let changes: Vec<Changed> = (0..200).map(|key| changed(key, key)).collect();

        let notes = notes(changes.iter());

        assert!(notes.len() < 20, "{} notes", notes.len());
        let mut heard = Vec::new();
        for note in notes {
            match Note::read(&note.payload()).unwrap() {
                Note::States { l } => heard.extend(l.into_iter().map(|changed| changed.k)),
                other => panic!("a note that did not fit: {other:?}"),
            }
        }
        assert!(heard.into_iter().eq(changes.into_iter().map(|changed| changed.k)));
    }

    #[tokio::test]
    async fn a_value_that_fits_into_no_note_is_told_without() {
        let (intake, mut own) = mpsc::unbounded_channel();
        let (handle, mut others) = Handle::new(intake);
        let whole = changed(1, limit::NOTIFY_BYTES_MAX).due().1.whole.unwrap();

        handle.tell(whole);

        assert!(others.recv().await.unwrap().b.is_none());
        let Some(In::Note(Note::States { l })) = own.recv().await else { panic!("no note") };
        assert!(l[0].b.is_some(), "our own sessions are told without a read");
    }
}
