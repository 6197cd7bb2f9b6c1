//! A peer with our client library and an inbox on disk.

use std::{path::Path, sync::Arc};

use skein::client::{Client, Config, Incoming, Keep, Pushes, SendError};
use skein_crypto::Public;
use tokio::{
    sync::{Mutex, Semaphore},
    task::JoinHandle,
};

use super::Identity;
use crate::record::{Class, End, Record, To, text};

/// Sends that may wait for their acknowledgement.
const WINDOW: usize = 32;

/// See [`Kind::Ours`](super::Kind::Ours).
#[derive(Debug)]
pub struct Ours {
    config: Config,
    index: usize,
    keys: Arc<Vec<Public>>,
    record: Arc<Record>,
    window: Arc<Semaphore>,
    /// None while it is away. Held across a send, so that numbers are given in order.
    running: Mutex<Option<Running>>,
    number: std::sync::atomic::AtomicU64,
}

#[derive(Debug)]
struct Running {
    client: Client,
    reading: JoinHandle<()>,
}

impl Ours {
    /// Starts the peer; its inbox is in `folder`.
    pub fn start(
        identity: Identity,
        keys: Arc<Vec<Public>>,
        record: Arc<Record>,
        folder: &Path,
    ) -> Self {
        let index = identity.index;
        let mut config = Config::new(
            identity.edges,
            &identity.mesh_id,
            &identity.member_id,
            identity.member,
            identity.session,
        );
        config.display_name = Some(identity.name);
        config.keep = Keep::Disk(folder.join(format!("inbox-{index}")));
        let running = Running::start(&config, index, &record);
        Self {
            config,
            index,
            keys,
            record,
            window: Arc::new(Semaphore::new(WINDOW)),
            running: Mutex::new(Some(running)),
            number: 1.into(),
        }
    }

    /// See [`Peer::send`](super::Peer::send).
    pub async fn send(&self, to: To, class: Class) {
        let permit = self.window.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let running = self.running.lock().await;
        // Whoever is away sends nothing.
        let Some(running) = running.as_ref() else { return };
        let number = self.number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let sent = self.record.sends(self.index, number, to, class);
        let target = match to {
            To::Peer(peer) => self.keys[peer].hex(),
            To::All => "*".to_owned(),
        };
        let sending = running.client.send(&target, class.priority(), &text(self.index, number));
        let record = self.record.clone();
        tokio::spawn(async move {
            let end = match sending.await {
                Ok(ack) => End::Acked(ack.message_id, std::time::Instant::now()),
                Err(SendError::Refused(refusal)) => End::Refused(refusal.code),
                Err(SendError::Closed(_)) => End::Unknown,
                Err(error) => End::Refused(error.to_string()),
            };
            record.ended(sent, end);
            drop(permit);
        });
    }

    /// See [`Peer::move_to`](super::Peer::move_to).
    pub async fn move_to(&self, edge: &str) {
        if let Some(running) = self.running.lock().await.as_ref() {
            running.client.move_to(edge);
        }
    }

    /// See [`Peer::leave`](super::Peer::leave).
    pub async fn leave(&self) {
        let Some(running) = self.running.lock().await.take() else { return };
        running.client.close().await;
        running.reading.await.expect("reading does not panic");
    }

    /// See [`Peer::come_back`](super::Peer::come_back).
    pub async fn come_back(&self) {
        let mut running = self.running.lock().await;
        if running.is_none() {
            *running = Some(Running::start(&self.config, self.index, &self.record));
        }
    }
}

impl Running {
    fn start(config: &Config, index: usize, record: &Arc<Record>) -> Self {
        let (client, pushes) = Client::start(config.clone());
        let reading = tokio::spawn(read(pushes, index, record.clone()));
        Self { client, reading }
    }
}

/// Shows to the user, as `inbox --follow` does, until the client ends.
async fn read(mut pushes: Pushes, by: usize, record: Arc<Record>) {
    while let Some(incoming) = pushes.next().await {
        match incoming {
            Incoming::Message(message) => {
                record.shows(by, message.text.as_deref(), &message.message_id);
                if message.conflict {
                    record.odd(format!("peer {by} has a conflict: {message:?}"));
                }
            }
            Incoming::Connected { edge, ack } => {
                record.attached(by, &edge);
                if let Some(n) = ack.left_out {
                    record.leaves_out(by, n);
                }
            }
            Incoming::Disconnected { .. } => record.detached(by),
            Incoming::Closed(closed) => {
                record.detached(by);
                if closed != skein::client::Closed::Ours {
                    record.odd(format!("peer {by} was closed: {closed}"));
                }
            }
            Incoming::Event(_) | Incoming::Frame { .. } => (),
        }
    }
}
