//! Peers: our client, and a stand-in for the old one. Both write down what they do and see.

mod listener;
mod old;
mod ours;
mod raw;

use std::{path::Path, sync::Arc};

use skein_crypto::{Keypair, Public};

pub use self::{
    listener::{Heard, Listener, Log, What},
    old::Old,
    ours::Ours,
    raw::{Caps, Raw},
};
use crate::record::{Class, Record, To};

/// Which client a peer runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Our client library, with an inbox on disk.
    Ours,
    /// One that behaves as 0.8.9: no caps, nothing repeated, nothing remembered.
    Old,
}

/// Who a peer is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its index in the run.
    pub index: usize,
    /// The mesh.
    pub mesh_id: String,
    /// The member's id.
    pub member_id: String,
    /// The member's keys.
    pub member: Keypair,
    /// The session's keys.
    pub session: Keypair,
    /// The name others see.
    pub name: String,
    /// The edges it may go to.
    pub edges: Vec<String>,
}

/// A running peer.
#[derive(Debug)]
pub enum Peer {
    /// See [`Kind::Ours`].
    Ours(Box<Ours>),
    /// See [`Kind::Old`].
    Old(Old),
}

impl Peer {
    /// Starts a peer; one of ours keeps its inbox in `folder`. It knows the others by their keys,
    /// in the order of their indices.
    pub fn start(
        kind: Kind,
        identity: Identity,
        keys: Arc<Vec<Public>>,
        record: Arc<Record>,
        folder: &Path,
    ) -> Self {
        match kind {
            Kind::Ours => Self::Ours(Box::new(Ours::start(identity, keys, record, folder))),
            Kind::Old => Self::Old(Old::start(identity, keys, record)),
        }
    }

    /// Sends the next message. Waits while too many are not acknowledged, or while the peer is
    /// away; returns once it is in its place in the order.
    pub async fn send(&self, to: To, class: Class) {
        match self {
            Self::Ours(ours) => ours.send(to, class).await,
            Self::Old(old) => old.send(to, class).await,
        }
    }

    /// Leaves the present edge without a goodbye and goes to this one.
    pub async fn move_to(&self, edge: &str) {
        match self {
            Self::Ours(ours) => ours.move_to(edge).await,
            Self::Old(old) => old.move_to(edge),
        }
    }

    /// Goes away, as a program that ends; nothing for old peers, whose program would come back with
    /// another key.
    pub async fn leave(&self) {
        if let Self::Ours(ours) = self {
            ours.leave().await;
        }
    }

    /// Comes back after [`Peer::leave`], as a new process of the same home.
    pub async fn come_back(&self) {
        if let Self::Ours(ours) = self {
            ours.come_back().await;
        }
    }
}
