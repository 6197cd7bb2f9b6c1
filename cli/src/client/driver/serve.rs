//! One connection, from its first frame after the hello to its end.

use std::time::{Duration, Instant};

use skein_wire::limit::RECEIVED_IDS_MAX;
use skein_wire::messaging::{Ack, Received};
use skein_wire::{Envelope, Refusal, encode};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{Command, Driver, Left};
use crate::client::asked::Question;
use crate::client::behind::STATE_CHANGE;
use crate::client::outbox::Refused;
use crate::client::socket::{self, Frame, Socket};
use crate::client::{Closed, Incoming, RequestError};

/// An edge pings every 30 s; one that was silent for longer than this is gone or stopped.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// Frames or commands that are handled before others get their turn.
const TURN_MAX: usize = 64;

impl Driver {
    /// Serves one connection until it is over.
    pub(super) async fn serve(&mut self, socket: &mut Socket) -> Left {
        let mut heard = Instant::now();
        loop {
            self.settle(socket);
            self.fill(socket);
            self.catch_up();
            let is_gated = !self.unsettled.is_empty() || !self.behind.is_empty();
            tokio::select! {
                frame = socket.next() => {
                    heard = Instant::now();
                    if let Some(left) = self.frames(frame, socket) {
                        return left;
                    }
                }
                command = self.commands.recv() => {
                    if let Some(left) = self.orders(command, socket) {
                        return left;
                    }
                }
                written = self.kept.written() => self.written(written),
                () = self.backlog.drained.notified(), if is_gated => (),
                _ = self.tick.tick() => {
                    self.expire();
                    self.asked.retain(|_, reply| !reply.is_closed());
                    if heard.elapsed() > SILENCE_MAX {
                        return Left::Lost(format!("silent for {} s", SILENCE_MAX.as_secs()));
                    }
                }
            }
            self.kept.start_writing();
        }
    }

    /// Handles a frame and those that are here already.
    fn frames(&mut self, first: Result<Frame, String>, socket: &mut Socket) -> Option<Left> {
        let mut frame = first;
        for taken in 1..=TURN_MAX {
            match frame {
                Ok(Frame::Text(text)) => {
                    if let Some(left) = self.frame(&text) {
                        return Some(left);
                    }
                }
                Ok(Frame::Sign | Frame::Pong(_)) => (),
                Ok(Frame::Close(Some(socket::REPLACED))) => {
                    return Some(Left::Closed(Closed::Replaced));
                }
                Ok(Frame::Close(code)) => return Some(Left::Lost(socket::closed(code))),
                Err(reason) => return Some(Left::Lost(reason)),
            }
            // Asked only when there is a turn left for it: what is taken must be handled.
            if taken == TURN_MAX {
                return None;
            }
            frame = socket.ready()?;
        }
        None
    }

    fn frame(&mut self, text: &str) -> Option<Left> {
        let head = match Envelope::peek(text) {
            Ok(head) => head,
            Err(problem) => {
                warn!(%problem, "a frame of the edge cannot be read");
                return None;
            }
        };
        if head.kind == "push" {
            match serde_json::from_str(text) {
                Ok(push) => self.arrived(push),
                Err(problem) => warn!(%problem, "a push of the edge cannot be read"),
            }
            return None;
        }
        if !self.config.answers
            && let Some(question) = Question::read(&head.kind, text)
        {
            // Nobody here would: whoever asked is told at once.
            self.says.push(question.answer(None).frame);
            return None;
        }
        let is_question = is_question(&head.kind);
        let answers = head.req_id.as_ref().filter(|_| !is_question);
        if let Some(reply) = answers.and_then(|req_id| self.asked.remove(req_id)) {
            let _ = reply.send(answer(&head.kind, text));
            return None;
        }
        match head.kind.as_str() {
            "ack" => {
                if let Ok(ack) = serde_json::from_str::<Ack>(text) {
                    self.outbox.acked(ack);
                }
                None
            }
            "error" => self.error(text),
            // Also while an earlier change of the key may be held.
            STATE_CHANGE if self.backlog.is_full() || !self.behind.is_empty() => {
                self.behind.hold(text);
                None
            }
            // Events are best effort; a consumer that is behind goes without. A `_reqId` that
            // nobody waits for is of a late answer.
            _ if (head.req_id.is_none() || is_question) && !self.backlog.is_full() => {
                self.deliver(Incoming::Frame { kind: head.kind.clone(), text: text.to_owned() });
                None
            }
            _ => None,
        }
    }

    /// Tells the consumer of changes that were held, as far as it has room.
    fn catch_up(&mut self) {
        while !self.backlog.is_full() {
            let Some(text) = self.behind.next() else { return };
            self.deliver(Incoming::Frame { kind: STATE_CHANGE.to_owned(), text });
        }
    }

    /// An error that answers no request.
    fn error(&mut self, text: &str) -> Option<Left> {
        let refusal: Refusal = serde_json::from_str(text).ok()?;
        let refused = match &refusal.id {
            Some(id) => self.outbox.refused(id, refusal.clone()),
            None => Refused::Unknown,
        };
        match refused {
            Refused::Told => None,
            // The server attached us elsewhere meanwhile; there, everything is repeated in order.
            Refused::Superseded => Some(Left::Lost(refusal.message)),
            Refused::Unknown => {
                info!(code = refusal.code, "the edge says: {}", refusal.message);
                None
            }
        }
    }

    /// Handles a command and those that wait behind it.
    fn orders(&mut self, first: Option<Command>, socket: &mut Socket) -> Option<Left> {
        let mut command = first;
        for taken in 1..=TURN_MAX {
            match command {
                Some(Command::Send(entry)) => self.outbox.push(entry),
                Some(Command::Ask(ask)) => self.unasked.push(ask),
                Some(Command::Say(frame)) => socket.queue(frame.into()),
                Some(Command::Follow(stream)) => drop(self.follows.insert(stream)),
                Some(Command::Unfollow(stream)) => drop(self.follows.remove(&stream)),
                Some(Command::Move(edge)) => {
                    self.edges.choose(&edge);
                    return Some(Left::Moved);
                }
                Some(Command::Close(done)) => return Some(Left::Closing(done)),
                None => return Some(Left::Closed(Closed::Ours)),
            }
            if taken == TURN_MAX {
                return None;
            }
            command = match self.commands.try_recv() {
                Ok(command) => Some(command),
                Err(mpsc::error::TryRecvError::Empty) => return None,
                Err(mpsc::error::TryRecvError::Disconnected) => None,
            };
        }
        None
    }

    /// Gives the socket what it has room for.
    fn fill(&mut self, socket: &mut Socket) {
        for frame in self.says.drain(..) {
            socket.queue(frame.into());
        }
        for ask in self.unasked.drain(..) {
            socket.queue(ask.frame.into());
            self.asked.insert(ask.req_id, ask.reply);
        }
        while socket.has_room() {
            let Some(frame) = self.outbox.next_frame() else { return };
            socket.queue(frame);
        }
    }

    /// Says `received` for what is kept, unless the consumer is behind: then the edge's window
    /// holds the rest back.
    pub(super) fn settle(&mut self, socket: &mut Socket) {
        if !self.config.caps.ack {
            self.unsettled.clear();
        }
        if self.unsettled.is_empty() || (self.backlog.is_full() && !self.incoming.is_closed()) {
            return;
        }
        for ids in std::mem::take(&mut self.unsettled).chunks(RECEIVED_IDS_MAX) {
            socket.queue(encode(&Received { message_ids: ids.to_vec() }, None).into());
        }
    }
}

/// Whether a frame is the question of another peer, whose `_reqId` it carries.
fn is_question(kind: &str) -> bool {
    kind.ends_with("_forward") && !kind.ends_with("_response_forward")
}

/// The reply to a request.
fn answer(kind: &str, text: &str) -> Result<String, RequestError> {
    if kind != "error" {
        return Ok(text.to_owned());
    }
    match serde_json::from_str(text) {
        Ok(refusal) => Err(RequestError::Refused(refusal)),
        Err(error) => Err(RequestError::Malformed(error.to_string())),
    }
}
