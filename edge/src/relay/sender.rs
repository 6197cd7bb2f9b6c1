//! The relay's way out: one ordered queue of parcels for other nodes, on a connection of its own.
//!
//! What gathers while a batch is sent goes with the next one, in as few notes as hold it. A batch
//! that failed with its connection is sent again, under the same counters, before anything newer.

use std::collections::HashMap;

use skein_sql::{Db, Error, Pool, relay, tell};
use skein_wire::limit;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tracing::{error, warn};

use super::parcel::{Body, Parcel, Parcels, lots};
use crate::{measure, node::pause, note::Note};

/// Parcels of one batch.
const BATCH_MAX: usize = 256;
/// Bytes of their frames.
const BATCH_BYTES_MAX: usize = 2 * limit::FRAME_BYTES_MAX;
/// How often a batch is tried that fails with its connection alive: a deadlock, a slow disk.
const TRIES_MAX: usize = 3;

/// Where a parcel goes.
#[derive(Debug, Clone)]
pub enum To {
    /// To these nodes.
    Nodes(Vec<i32>),
    /// To every other node with sessions of its mesh.
    Mesh,
}

/// Something for the sender.
#[derive(Debug)]
pub enum Outgoing {
    /// A parcel; its own body is empty.
    Parcel(Box<Leaving>),
    /// Answered when everything before it was sent.
    Flush(oneshot::Sender<()>),
}

/// A parcel that leaves.
#[derive(Debug)]
pub struct Leaving {
    /// Where it goes.
    pub to: To,
    /// The mesh's number.
    pub mesh: i64,
    /// It, without its frame.
    pub parcel: Parcel,
    /// Its frame.
    pub frame: String,
    /// Its room among what waits to leave.
    pub _room: Option<OwnedSemaphorePermit>,
}

/// The relay's way out.
#[derive(Debug)]
pub struct Sender {
    /// This node.
    pub node: i32,
    /// Its own connection, whose commits do not wait for the disk.
    pub pool: Pool,
}

impl Sender {
    /// Sends what comes, until nobody can say anything any more.
    pub async fn run(self, mut queue: mpsc::UnboundedReceiver<Outgoing>) {
        let mut counters: HashMap<i32, u64> = HashMap::new();
        while let Some(first) = queue.recv().await {
            let mut batch = Vec::new();
            let mut told = None;
            let (mut next, mut n_bytes) = (Some(first), 0);
            while let Some(outgoing) = next.take() {
                match outgoing {
                    Outgoing::Flush(done) => told = Some(done),
                    Outgoing::Parcel(leaving) => {
                        n_bytes += leaving.frame.len();
                        batch.push(*leaving);
                        if batch.len() < BATCH_MAX && n_bytes < BATCH_BYTES_MAX {
                            next = queue.try_recv().ok();
                        }
                    }
                }
            }
            if !self.send(batch, &mut counters).await {
                return;
            }
            if let Some(told) = told {
                // Whoever asked may have stopped waiting.
                let _ = told.send(());
            }
        }
    }

    /// Sends a batch, however long that takes; `false`: this node is over.
    async fn send(&self, batch: Vec<Leaving>, counters: &mut HashMap<i32, u64>) -> bool {
        let mut tries_left = TRIES_MAX;
        while let Err(error) = self.once(&batch, counters).await {
            if error.is_fenced() {
                return false;
            }
            if error.is_connection() {
                warn!(%error, "relaying waits for the database");
                if pause::database(&self.pool).await.is_err() {
                    return false;
                }
                continue;
            }
            tries_left -= 1;
            if tries_left == 0 {
                error!(
                    error = error.brief(),
                    n_parcels = batch.len(),
                    "parcels could not be relayed"
                );
                measure::relay_dropped(batch.len());
                break;
            }
        }
        true
    }

    async fn once(&self, batch: &[Leaving], counters: &mut HashMap<i32, u64>) -> Result<(), Error> {
        let db = self.pool.get().await?;
        let of_mesh = self.nodes(&db, batch).await?;
        let mut by_node: HashMap<i32, Vec<Parcel>> = HashMap::new();
        for leaving in batch {
            let nodes = match &leaving.to {
                To::Nodes(nodes) => nodes.as_slice(),
                To::Mesh => of_mesh.get(&leaving.mesh).map_or(&[][..], Vec::as_slice),
            };
            if nodes.is_empty() {
                continue;
            }
            if let Some(parcel) = leaving.parcel.small(&leaving.frame) {
                for node in nodes {
                    by_node.entry(*node).or_default().push(parcel.clone());
                }
                continue;
            }
            for (node, row) in relay::keep(&db, leaving.mesh, nodes, &leaving.frame).await? {
                let parcel = leaving.parcel.with(Body::Row(row, leaving.frame.len()));
                by_node.entry(node).or_default().push(parcel);
            }
        }
        let mut notes = Vec::new();
        let mut counted = Vec::new();
        for (node, parcels) in by_node {
            let channel = skein_sql::nodes::channel(node);
            let mut c = counters.get(&node).copied().unwrap_or_default();
            for l in lots(parcels) {
                c += 1;
                let note = Note::Relay(Parcels { w: self.node, c, l });
                notes.push((channel.clone(), note.payload()));
            }
            counted.push((node, c));
        }
        if !notes.is_empty() {
            tell::notify(&db, &notes).await?;
            counters.extend(counted);
        }
        Ok(())
    }

    /// The other nodes of the meshes that parcels go to as a whole.
    async fn nodes(&self, db: &Db, batch: &[Leaving]) -> Result<HashMap<i64, Vec<i32>>, Error> {
        let whole = batch.iter().filter(|leaving| matches!(leaving.to, To::Mesh));
        let mut meshes: Vec<i64> = whole.map(|leaving| leaving.mesh).collect();
        meshes.sort_unstable();
        meshes.dedup();
        let mut of_mesh: HashMap<i64, Vec<i32>> = HashMap::new();
        if !meshes.is_empty() {
            for (mesh, node) in tell::log_nodes(db, &meshes).await? {
                if node != self.node {
                    of_mesh.entry(mesh).or_default().push(node);
                }
            }
        }
        Ok(of_mesh)
    }
}
