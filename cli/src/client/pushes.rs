//! What arrives, on its way to the consumer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use skein_wire::hello::HelloAck;
use skein_wire::limit::PUSHES_MAX;
use tokio::sync::{Notify, mpsc};

use super::Closed;
use super::message::{Event, Message};

/// What comes out of [`Pushes`].
#[derive(Debug)]
pub enum Incoming {
    /// A message, once.
    Message(Box<Message>),
    /// Something happened in the mesh.
    Event(Event),
    /// Another capability has something to say: a frame that is neither a push nor an answer.
    Frame {
        /// Its `type`.
        kind: String,
        /// All of it.
        text: String,
    },
    /// Attached.
    Connected {
        /// To this edge.
        edge: String,
        /// With this answer.
        ack: Box<HelloAck>,
    },
    /// The socket is gone; the driver is on its way to another.
    Disconnected {
        /// From this edge.
        edge: String,
        /// Why.
        reason: String,
    },
    /// The end.
    Closed(Closed),
}

/// What arrives. Dropping it means that nobody is interested: with
/// [`Keep::Disk`](super::Keep::Disk) messages still go to disk.
#[derive(Debug)]
pub struct Pushes {
    pub(super) incoming: mpsc::UnboundedReceiver<Incoming>,
    pub(super) backlog: Arc<Backlog>,
}

/// How far the consumer is behind.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    pub(super) waiting: AtomicUsize,
    pub(super) drained: Notify,
}

impl Backlog {
    pub(super) fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > PUSHES_MAX
    }
}

impl Pushes {
    /// The next thing that arrives; `None` after [`Incoming::Closed`].
    pub async fn next(&mut self) -> Option<Incoming> {
        let incoming = self.incoming.recv().await;
        self.took(incoming.is_some());
        incoming
    }

    /// What has arrived already.
    pub fn try_next(&mut self) -> Option<Incoming> {
        let incoming = self.incoming.try_recv().ok();
        self.took(incoming.is_some());
        incoming
    }

    /// The next message; what else arrives is dropped.
    pub async fn message(&mut self) -> Option<Message> {
        loop {
            if let Incoming::Message(message) = self.next().await? {
                return Some(*message);
            }
        }
    }

    fn took(&self, any: bool) {
        if any && self.backlog.waiting.fetch_sub(1, Ordering::Relaxed) == PUSHES_MAX + 1 {
            self.backlog.drained.notify_one();
        }
    }
}
