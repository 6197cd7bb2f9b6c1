//! Sends that were not acknowledged yet, in the order they were made.
//!
//! A send stays here until its `ack` or its `error` comes. After a reconnect everything that is
//! here is sent again, first things first and before anything new, under the same ids: the server
//! knows a repeat by its id and stores it once. What is not acknowledged within 24 hours is given
//! up, and its sender is told.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use skein_wire::limit::{OUTBOUND_MAX, REPEAT_AGE_MAX};
use skein_wire::messaging::Ack;
use skein_wire::{Code, Refusal};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::Closed;
use super::sending::Counted;

/// Unacknowledged sends while connected; the next is refused. Each holds its frame.
pub const UNACKED_MAX: usize = 4096;

/// Why a send has no `ack`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SendError {
    /// Too much waits already; nothing was queued.
    #[error("outbound queue full: {OUTBOUND_MAX} sends wait for a connection")]
    QueueFull,

    /// Nobody acknowledged it for a day.
    #[error("given up: not acknowledged within {} hours", REPEAT_AGE_MAX.as_secs() / 3600)]
    GaveUp,

    /// The caller's own patience ended; it may still be stored later.
    #[error("no acknowledgement in time; it may still be stored")]
    TooLong,

    /// The server said no.
    #[error("{}: {}", .0.code, .0.message)]
    Refused(Refusal),

    /// The key is no point that a message can be sealed for.
    #[error("{0} is not a usable key")]
    Unusable(String),

    /// The client is closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// What a send comes to.
pub type Outcome = Result<Ack, SendError>;

/// One send.
#[derive(Debug)]
pub struct Entry {
    /// 128 random bits in hex.
    pub id: String,
    /// The whole frame.
    pub frame: Utf8Bytes,
    /// When it was made.
    pub made: Instant,
    /// Who waits.
    pub reply: oneshot::Sender<Outcome>,
    /// Counts it for the handle, until it is gone.
    pub counted: Counted,
}

/// All sends that wait.
#[derive(Debug, Default)]
pub struct Outbox {
    entries: VecDeque<Entry>,
    /// How many of the first entries were written to the present connection.
    written: usize,
}

/// What an `error` frame means for its send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Its sender was told.
    Told,
    /// It is kept; this connection is worth nothing any more.
    Superseded,
    /// No such send waits.
    Unknown,
}

impl Outbox {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes a send, behind all others.
    pub fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
    }

    /// The next frame for the present connection.
    pub fn next_frame(&mut self) -> Option<Utf8Bytes> {
        let entry = self.entries.get(self.written)?;
        self.written += 1;
        Some(entry.frame.clone())
    }

    /// A new connection: everything is to be written again, in order.
    pub fn rewind(&mut self) {
        self.written = 0;
    }

    /// An `ack` came. False when nothing waits for it.
    pub fn acked(&mut self, ack: Ack) -> bool {
        let Some(entry) = self.remove(&ack.id) else { return false };
        // The waiting side may be gone; the send was made all the same.
        let _ = entry.reply.send(Ok(ack));
        true
    }

    /// An `error` came that names a send.
    pub fn refused(&mut self, id: &str, refusal: Refusal) -> Refused {
        if refusal.code == Code::Superseded.as_str() {
            let waits = self.entries.iter().any(|entry| entry.id == id);
            return if waits { Refused::Superseded } else { Refused::Unknown };
        }
        match self.remove(id) {
            Some(entry) => {
                let _ = entry.reply.send(Err(SendError::Refused(refusal)));
                Refused::Told
            }
            None => Refused::Unknown,
        }
    }

    /// Gives up what is older than a day at `now`. Returns how many.
    pub fn expire(&mut self, now: Instant) -> usize {
        let is_old = |entry: &Entry| now.duration_since(entry.made) > REPEAT_AGE_MAX;
        let mut count = 0;
        while self.entries.front().is_some_and(is_old) {
            let entry = self.entries.pop_front().expect("there is a first one");
            self.written = self.written.saturating_sub(1);
            let _ = entry.reply.send(Err(SendError::GaveUp));
            count += 1;
        }
        count
    }

    /// The client closes: whoever waits is told.
    pub fn close(&mut self, closed: &Closed) {
        for entry in self.entries.drain(..) {
            let _ = entry.reply.send(Err(closed.clone().into()));
        }
        self.written = 0;
    }

    /// How long the oldest has waited.
    pub fn oldest(&self, now: Instant) -> Option<Duration> {
        self.entries.front().map(|entry| now.duration_since(entry.made))
    }

    fn remove(&mut self, id: &str) -> Option<Entry> {
        // Answers come in the order of sends, so the first is nearly always it.
        let at = self.entries.iter().position(|entry| entry.id == id)?;
        if at < self.written {
            self.written -= 1;
        }
        self.entries.remove(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, made: Instant) -> (Entry, oneshot::Receiver<Outcome>) {
        let (reply, outcome) = oneshot::channel();
        let counted = Counted::new(&Default::default());
        (Entry { id: id.into(), frame: id.into(), made, reply, counted }, outcome)
    }

    fn ack(id: &str) -> Ack {
        Ack { message_id: "m".into(), queued: true, ..Ack::of_request(Some(id)) }
    }

    fn frames(outbox: &mut Outbox) -> Vec<String> {
        std::iter::from_fn(|| outbox.next_frame()).map(|frame| frame.to_string()).collect()
    }

    #[test]
    fn what_is_not_acked_is_written_again_in_order_and_before_what_is_new() {
        let mut outbox = Outbox::default();
        let now = Instant::now();
        let (first, first_outcome) = entry("1", now);
        let rest = ["2", "3"].map(|id| entry(id, now).0);
        outbox.push(first);
        rest.into_iter().for_each(|entry| outbox.push(entry));
        assert_eq!(frames(&mut outbox), ["1", "2", "3"]);

        assert!(outbox.acked(ack("2")));
        outbox.push(entry("4", now).0);
        outbox.rewind();

        assert_eq!(frames(&mut outbox), ["1", "3", "4"]);
        assert!(outbox.acked(ack("1")));
        assert_eq!(first_outcome.blocking_recv().unwrap(), Ok(ack("1")));
        assert!(!outbox.acked(ack("1")), "an ack that nobody waits for is ignored");
    }

    #[test]
    fn an_ack_in_between_does_not_skip_what_was_not_written() {
        let mut outbox = Outbox::default();
        for id in ["1", "2", "3"] {
            outbox.push(entry(id, Instant::now()).0);
        }
        outbox.next_frame();
        outbox.next_frame();

        outbox.acked(ack("1"));

        assert_eq!(frames(&mut outbox), ["3"]);
    }

    #[test]
    fn a_refusal_reaches_its_sender_but_a_superseded_send_is_kept() {
        let mut outbox = Outbox::default();
        let (first, outcome) = entry("1", Instant::now());
        outbox.push(first);
        let kept = outbox.refused("1", Refusal::new(Code::Superseded));
        let refusal = Refusal::new(Code::MailboxFull);

        assert_eq!(kept, Refused::Superseded);
        assert_eq!(outbox.refused("1", refusal.clone()), Refused::Told);
        assert_eq!(outcome.blocking_recv().unwrap(), Err(SendError::Refused(refusal.clone())));
        assert_eq!(outbox.refused("1", refusal), Refused::Unknown);
    }

    #[test]
    fn after_a_day_a_send_is_given_up_and_its_sender_told() {
        let mut outbox = Outbox::default();
        let now = Instant::now();
        let (first, outcome) = entry("1", now);
        outbox.push(first);
        outbox.push(entry("2", now + Duration::from_secs(10)).0);
        outbox.next_frame();

        assert_eq!(outbox.expire(now + REPEAT_AGE_MAX), 0);
        assert_eq!(outbox.expire(now + REPEAT_AGE_MAX + Duration::from_secs(1)), 1);

        assert_eq!(outcome.blocking_recv().unwrap(), Err(SendError::GaveUp));
        assert_eq!(frames(&mut outbox), ["2"]);
    }
}
