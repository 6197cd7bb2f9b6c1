//! What a mesh tells the host.

use serde_json::Value;
use tracing::error;

use super::pings::is_ping;
use super::{Mesh, Seat};
use crate::client::inbox::Mark;
use crate::client::message::{Event, Message};
use crate::mcp::channel::MessageMode;
use crate::mcp::{fence, lines};
use crate::time;

/// Messages that are read from disk at once.
const READ_MAX: usize = 256;
/// Waiting messages that are announced one by one; more are announced together.
const ANNOUNCED_MAX: usize = 5;

impl Mesh {
    /// Tells the host of what it was not told yet. What cannot be told now stays.
    pub(super) async fn show(&self, seat: &Seat) {
        if !self.channel.is_open() {
            return;
        }
        let shown = match self.channel.mode() {
            MessageMode::Push => self.push(seat).await,
            MessageMode::Inbox => self.announce(seat).await,
            MessageMode::Off => Ok(()),
        };
        if let Err(problem) = shown {
            error!(mesh = self.slug, error = ?problem, "the inbox cannot be read");
        }
    }

    /// Shows each message. It counts as shown when the host has the line in its pipe.
    async fn push(&self, seat: &Seat) -> std::io::Result<()> {
        let _turn = self.channel.reading().await;
        let mut mailbox = seat.mailbox.lock().await;
        loop {
            let unread = mailbox.unread(None, READ_MAX)?;
            if unread.is_empty() {
                return Ok(());
            }
            for (mark, message) in unread {
                if !is_ping(&message, &seat.client.session()) {
                    let name = self.name_from(&message).await;
                    let line = lines::message(self.place(), &message, &name, &fence::mark());
                    if self.channel.send(&line).await.is_err() {
                        return Ok(());
                    }
                    self.counters.pushed();
                }
                mailbox.shown(mark)?;
            }
        }
    }

    /// Says that messages wait.
    async fn announce(&self, seat: &Seat) -> std::io::Result<()> {
        let own = seat.client.session();
        let mut waiting = seat.mailbox.lock().await.announce(usize::MAX)?;
        waiting.retain(|message| !is_ping(message, &own));
        // What an event says is as short as that it waits.
        let (events, waiting): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|message| message.as_event().is_some());
        let skipped = events.len().saturating_sub(ANNOUNCED_MAX);
        for event in &events[skipped..] {
            let line = lines::message(self.place(), event, "", "");
            let _ = self.channel.send(&line).await;
        }
        if waiting.len() > ANNOUNCED_MAX {
            let mut senders: Vec<String> = Vec::new();
            for message in &waiting {
                let name = self.name_from(message).await;
                if !senders.contains(&name) {
                    senders.push(name);
                }
            }
            let _ = self.channel.send(&lines::waiting(&senders, waiting.len())).await;
            return Ok(());
        }
        for message in waiting {
            let name = self.name_from(&message).await;
            let _ = self.channel.send(&lines::waiting(&[name], 1)).await;
        }
        Ok(())
    }

    /// What waits to be shown, at most `most`, each with the mark that says so. Pings do not count;
    /// those that stand before all else are done with, so that they are not read for ever.
    pub async fn unread(&self, seat: &Seat, most: usize) -> std::io::Result<Vec<(Mark, Message)>> {
        let own = seat.client.session();
        let mut mailbox = seat.mailbox.lock().await;
        let mut unread = Vec::new();
        let mut after = None;
        while unread.len() < most {
            let page = mailbox.unread(after, READ_MAX)?;
            let Some(&(last, _)) = page.last() else { break };
            after = Some(last);
            unread.extend(page.into_iter().filter(|(_, message)| !is_ping(message, &own)));
            if unread.is_empty() {
                mailbox.shown(last)?;
            }
        }
        unread.truncate(most);
        Ok(unread)
    }

    /// The last `most` that arrived, shown or not.
    pub async fn recent(&self, seat: &Seat, most: usize) -> std::io::Result<Vec<Message>> {
        let own = seat.client.session();
        seat.mailbox.lock().await.recent(most, |message| !is_ping(message, &own))
    }

    /// Something happened in the mesh. Events are best effort: a host that is not there yet, or
    /// that is not to be told of anything, goes without.
    pub(super) async fn happened(&self, event: &Event) {
        let text = |field| event.event_data.get(field).and_then(|value| value.as_str());
        if let (Some(key), Some(name)) = (text("pubkey"), text("name")) {
            let seen = [(key.to_owned(), name.to_owned())];
            self.names.lock().await.0.learn(seen);
        }
        if self.channel.mode() != MessageMode::Off {
            let line = lines::event(self.place(), event, time::now_ms());
            let _ = self.channel.send(&line).await;
        }
    }

    /// Another capability has something to say. What this session listens to, it wants to hear in
    /// every mode.
    pub(super) async fn said(&self, kind: &str, text: &str) {
        let Ok(frame) = serde_json::from_str::<Value>(text) else { return };
        let word = |field: &str| frame[field].as_str().unwrap_or_default();
        let line = match kind {
            "stream_data" => {
                lines::stream_data(word("stream"), word("publishedBy"), &frame["data"])
            }
            "state_change" => lines::state_change(word("key"), &frame["value"], word("updatedBy")),
            _ => return,
        };
        let _ = self.channel.send(&line).await;
    }

    /// Messages to groups are not kept for ever.
    pub(super) async fn missed(&self, count: u64) {
        if self.channel.mode() != MessageMode::Off {
            let _ = self.channel.send(&lines::left_out(self.place(), count)).await;
        }
    }

    /// The line that a host is welcomed with.
    pub async fn welcome(&self) -> Option<lines::Line> {
        let peers = self.peers().await.ok()?;
        let own = self.key()?.hex();
        let others = peers.into_iter().filter(|peer| peer.pubkey != own);
        let others: Vec<_> = others.map(|peer| peer.display_name).collect();
        Some(lines::welcome(&self.slug, &self.own_name().await, &others, &self.settings.tools))
    }
}
