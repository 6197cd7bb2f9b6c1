//! The way to the host: lines that it shows to its model without being asked.
//!
//! Everything that knows how a host takes them is here. Today that is Claude's channel, a
//! notification of its own. A host that is not known to have it is told nothing, so that what
//! arrives stays unread for `check_messages` instead of vanishing; whoever knows better asks for
//! lines on the command line.

use std::sync::Arc;

use clap::ValueEnum;
use rmcp::model::{CustomNotification, ServerNotification};
use rmcp::{Peer, RoleServer};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tracing::warn;

use super::lines::Line;

/// The capability by which a host knows a channel.
pub const CAPABILITY: &str = "claude/channel";
/// The method of a line.
const METHOD: &str = "notifications/claude/channel";
/// Hosts with channels, by their names.
const WITH_CHANNELS: &[&str] = &["claude-code"];

/// What the host is told of messages that arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MessageMode {
    /// Each message, whole, as it arrives.
    Push,
    /// That a message waits, and from whom; `check_messages` shows it.
    Inbox,
    /// Nothing; `check_messages` shows what waits.
    Off,
}

impl MessageMode {
    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Inbox => "inbox",
            Self::Off => "off",
        }
    }
}

/// The host is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the host is gone")]
pub struct Gone;

/// The way to the host. Closed until the host has opened a session that takes lines.
#[derive(Debug)]
pub struct Channel {
    mode: MessageMode,
    /// Whatever the host is.
    is_asked_for: bool,
    peer: watch::Sender<Option<Peer<RoleServer>>>,
    /// Held by whoever reads mail for the host, until the host has it.
    reading: Arc<Mutex<()>>,
}

impl Channel {
    /// A channel that is not open yet. One that `is_asked_for` opens to every host.
    pub fn new(mode: MessageMode, is_asked_for: bool) -> Self {
        let reading = Arc::default();
        Self { mode, is_asked_for, peer: watch::Sender::new(None), reading }
    }

    /// What the host is told of messages.
    pub fn mode(&self) -> MessageMode {
        self.mode
    }

    /// The host has begun to talk. Lines flow from here on, if it opened a session (the newest
    /// protocol has none) and [takes](Self::takes_lines) them.
    pub fn greet(&self, peer: &Peer<RoleServer>) {
        if self.is_open() {
            return;
        }
        let Some(host) = peer.peer_info() else { return };
        if self.takes_lines(&host.client_info.name) {
            self.peer.send_replace(Some(peer.clone()));
        }
    }

    /// Whether a host of this name is told.
    pub fn takes_lines(&self, host: &str) -> bool {
        self.is_asked_for || WITH_CHANNELS.iter().any(|name| host.eq_ignore_ascii_case(name))
    }

    /// Whether lines flow.
    pub fn is_open(&self) -> bool {
        self.peer.borrow().is_some()
    }

    /// Follows whether lines flow.
    pub fn watch(&self) -> watch::Receiver<Option<Peer<RoleServer>>> {
        self.peer.subscribe()
    }

    /// Waits until nobody else reads mail for the host, and then keeps others waiting: what is on
    /// its way to the host is not read a second time.
    pub async fn reading(&self) -> OwnedMutexGuard<()> {
        self.reading.clone().lock_owned().await
    }

    /// Tells the host. When this returns, the line is in the host's pipe.
    pub async fn send(&self, line: &Line) -> Result<(), Gone> {
        let Some(peer) = self.peer.borrow().clone() else { return Err(Gone) };
        let params = serde_json::to_value(line).expect("a line has string keys only");
        let notification = CustomNotification::new(METHOD, Some(params));
        let sent = peer.send_notification(ServerNotification::CustomNotification(notification));
        sent.await.map_err(|error| {
            warn!(%error, "the host takes no lines any more");
            Gone
        })
    }
}
