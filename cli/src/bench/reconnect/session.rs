//! One session that loses its edge and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{SinkExt, StreamExt};
use skein_crypto::direct::Pairs;
use skein_wire::limit::RECEIVED_IDS_MAX;
use skein_wire::messaging::{Received, Send};
use skein_wire::push::SYSTEM;
use skein_wire::{Priority, encode};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::Loss;
use crate::bench::body::{Body, Head};
use crate::bench::crowd;
use crate::bench::deployment::Member;
use crate::bench::order::{Came, Order};
use crate::bench::socket::{Heard, Socket};
use crate::client::backoff::Edges;
use crate::{Error, Result};

/// What the sessions are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Be attached.
    Attach,
    /// Send to the next one of the mesh.
    Fill,
    /// Lose the edge, and come back.
    Lose,
    /// Leave.
    Leave,
}

/// What all sessions of a run share.
pub struct Shared {
    /// What is to happen.
    pub loss: Loss,
    /// What messages say.
    pub body: Body,
    /// Sessions that have sent and received everything.
    pub filled: AtomicUsize,
    /// Sessions that are back and have everything again.
    pub drained: AtomicUsize,
}

/// One session.
pub struct Session {
    /// Who it is.
    pub member: Member,
    /// Its shared keys.
    pub pairs: Pairs,
    /// Who sends to it.
    pub from: Member,
    /// Whom it sends to.
    pub to: Member,
    /// Where it goes.
    pub edges: Edges,
    /// See there.
    pub shared: Arc<Shared>,
    /// What it is to do.
    pub step: watch::Receiver<Step>,
}

/// When a session was back, and when it had everything.
pub struct Back {
    /// When its hello was answered.
    pub attached: Instant,
    /// When everything had come and `received` was written.
    pub drained: Instant,
    /// Tries to attach that failed.
    pub retries: u64,
    /// What came before the loss, and what came after.
    pub came: [Faults; 2],
}

/// What did not come as it must.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Messages that came again.
    pub repeated: u64,
    /// Messages that came before an earlier one.
    pub out_of_order: u64,
}

/// The messages of one attachment.
#[derive(Default)]
struct Arrivals {
    order: Order,
    count: usize,
    faults: Faults,
}

impl Arrivals {
    /// Notes a message; whether it is new.
    fn note(&mut self, number: u64) -> bool {
        match self.order.note(number) {
            Came::Again => {
                self.faults.repeated += 1;
                return false;
            }
            Came::Early => self.faults.out_of_order += 1,
            Came::InTurn | Came::Late => (),
        }
        self.count += 1;
        true
    }
}

impl Session {
    /// Fills, is lost, and comes back; until it is to leave.
    pub async fn run(mut self, socket: Socket) -> Result<Back> {
        let (lost, before) = self.fill(socket).await?;
        drop(lost);
        sleep(self.edges.lost()).await;
        let attached = crowd::attach(&self.member, &mut self.edges).await?;
        let (at, retries, mut socket) = (Instant::now(), attached.retries, attached.socket);
        let after = self.drain(&mut socket).await?;
        let came = [before, after];
        let back = Back { attached: at, drained: Instant::now(), retries, came };
        self.shared.drained.fetch_add(1, Ordering::Relaxed);
        loop {
            tokio::select! {
                _ = self.step.wait_for(|step| *step >= Step::Leave) => return Ok(back),
                message = socket.next() => if !matches!(message, Some(Ok(_))) {
                    return Err(lost_early());
                },
            }
        }
    }

    /// Sends and receives everything, settles nothing, and returns the socket when it is lost, or
    /// to be.
    async fn fill(&mut self, mut socket: Socket) -> Result<(Socket, Faults)> {
        let count = self.shared.loss.unsettled;
        let is_killed = self.shared.loss.kill.is_some();
        let mut step = self.step.clone();
        let (mut is_sent, mut acked, mut arrivals) = (false, 0, Arrivals::default());
        loop {
            // Others must have been here before they can be sent to. What they send may come
            // before we hear that we may send.
            let wanted = if is_sent { Step::Lose } else { Step::Fill };
            let frame = tokio::select! {
                _ = step.wait_for(|step| *step >= wanted), if !(is_sent && is_killed) => None,
                message = socket.next() => Some(message),
            };
            match frame {
                None if is_sent => return Ok((socket, arrivals.faults)),
                None => {
                    self.send(&mut socket).await?;
                    is_sent = true;
                }
                Some(Some(Ok(Message::Text(text)))) => {
                    let was_filled = acked == count && arrivals.count == count;
                    let heard = read(&text)?;
                    acked += usize::from(heard.kind == "ack");
                    if let Some(number) = self.open(&heard)? {
                        arrivals.note(number);
                    }
                    if !was_filled && acked == count && arrivals.count == count {
                        self.shared.filled.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Some(Some(Ok(Message::Close(_)) | Err(_)) | None) => {
                    // Lost before it was meant to be is a fault of the run.
                    let is_meant = *self.step.borrow() >= Step::Lose;
                    let lost = is_meant.then_some((socket, arrivals.faults));
                    return lost.ok_or_else(lost_early);
                }
                Some(Some(Ok(_))) => (),
            }
        }
    }

    async fn send(&self, socket: &mut Socket) -> Result<()> {
        for number in 0..self.shared.loss.unsettled as u64 {
            let frame = Message::text(self.frame(number));
            socket.feed(frame).await.map_err(|error| lost(&error))?;
        }
        socket.flush().await.map_err(|error| lost(&error))
    }

    /// Receives everything again, and settles it.
    async fn drain(&mut self, socket: &mut Socket) -> Result<Faults> {
        let count = self.shared.loss.unsettled;
        let (mut ids, mut arrivals) = (Vec::new(), Arrivals::default());
        while ids.len() < count {
            let text = next(socket).await?;
            let heard: Heard<'_> = read(&text)?;
            if self.open(&heard)?.is_some_and(|number| arrivals.note(number)) {
                ids.push(heard.message_id.unwrap_or_default().to_owned());
            }
        }
        for ids in ids.chunks(RECEIVED_IDS_MAX) {
            let received = encode(&Received { message_ids: ids.to_vec() }, None);
            socket.send(Message::text(received)).await.map_err(|error| lost(&error))?;
        }
        Ok(arrivals.faults)
    }

    /// The number of the message that this frame is, if it is one.
    fn open(&self, heard: &Heard<'_>) -> Result<Option<u64>> {
        if heard.kind == "error" {
            return Err(Error::Local(format!("refused: {heard:?}")));
        }
        if heard.kind != "push" || heard.sender_pubkey == SYSTEM {
            return Ok(None);
        }
        let from = self.from.session().public;
        let text = self.pairs.open(&from, heard.nonce, heard.ciphertext)?;
        let head = self.shared.body.read(&text);
        let damaged = || Error::Local("a message is not what was sent".into());
        head.map(|head| Some(head.number)).ok_or_else(damaged)
    }

    fn frame(&self, number: u64) -> String {
        let to = self.to.session().public;
        let text = self.shared.body.text(Head { flow: 0, number, due_ns: 0 });
        let sealed =
            self.pairs.seal(&to, &text).expect("a key that was just made can be sealed to");
        let send = Send {
            id: Some(hex::encode(skein_crypto::random::<16>())),
            target_spec: to.hex(),
            priority: Priority::Next,
            nonce: sealed.nonce,
            ciphertext: sealed.ciphertext,
        };
        encode(&send, None)
    }
}

async fn next(socket: &mut Socket) -> Result<Utf8Bytes> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text),
            Some(Ok(Message::Close(_))) | None => return Err(lost_early()),
            Some(Ok(_)) => (),
            Some(Err(error)) => return Err(lost(&error)),
        }
    }
}

fn read(text: &str) -> Result<Heard<'_>> {
    serde_json::from_str(text).map_err(|error| Error::Unexpected(error.to_string()))
}

fn lost(error: &dyn std::fmt::Display) -> Error {
    Error::NotConnected(error.to_string())
}

fn lost_early() -> Error {
    Error::NotConnected("a connection was lost that was not meant to be".into())
}
