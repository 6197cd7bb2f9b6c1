//! The task behind a [`Client`](super::Client): attach, serve, and attach again.
//!
//! One task owns everything, so there are no locks and the order of things is the order of this
//! task. Only the inbox is written elsewhere (a sync takes milliseconds): one burst at a time,
//! while the next gathers. What came over a connection that is gone is not `received` on the next
//! one; the edge sends it again there, and it is then a repeat.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use skein_crypto::direct::Pairs;
use skein_wire::limit::RECEIVED_IDS_MAX;
use skein_wire::messaging::{Ack, Received};
use skein_wire::push::Push;
use skein_wire::{Code, Envelope, Refusal, encode};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};
use tracing::{debug, error, info, warn};

use super::backoff::Edges;
use super::inbox::Taken;
use super::kept::{Kept, Written};
use super::message::{Keys, Opened};
use super::outbox::{self, Outbox, Refused};
use super::pushes::Backlog;
use super::socket::{self, Attached, Failed, Frame, Socket};
use super::{Closed, Config, Incoming, RequestError, State};
use crate::time;

/// An edge pings every 30 s; one that was silent for longer than this is gone or stopped.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// A connection that lived shorter than this did not work: the next edge is tried with more
/// patience.
const WORKED: Duration = Duration::from_secs(5);
/// Frames or commands that are handled before others get their turn.
const TURN_MAX: usize = 64;

/// What a handle asks of its driver.
#[derive(Debug)]
pub enum Command {
    /// Queue this send.
    Send(outbox::Entry),
    /// Ask this.
    Ask(Ask),
    /// Go to this edge.
    Move(String),
    /// Say goodbye, then say so.
    Close(oneshot::Sender<()>),
}

/// A request.
#[derive(Debug)]
pub struct Ask {
    /// What its reply is matched by.
    pub req_id: String,
    /// The whole frame.
    pub frame: String,
    /// Who waits.
    pub reply: oneshot::Sender<Result<String, RequestError>>,
}

/// Why a connection is over.
enum Left {
    Lost(String),
    Moved,
    Closed(Closed),
    Closing(oneshot::Sender<()>),
}

/// The task's state.
pub struct Driver {
    config: Config,
    keys: Keys,
    edges: Edges,
    commands: mpsc::UnboundedReceiver<Command>,
    incoming: mpsc::UnboundedSender<Incoming>,
    state: watch::Sender<State>,
    known_edges: watch::Sender<Vec<String>>,
    backlog: Arc<Backlog>,
    outbox: Outbox,
    /// Asked while there was no connection.
    unasked: Vec<Ask>,
    asked: HashMap<String, oneshot::Sender<Result<String, RequestError>>>,
    kept: Kept,
    /// Ids that are in the inbox and that the edge does not know of yet.
    unsettled: Vec<String>,
    /// Counts connections.
    attachment: u64,
    tick: Interval,
}

impl Driver {
    /// A driver that has not begun.
    pub fn new(
        config: Config,
        commands: mpsc::UnboundedReceiver<Command>,
        incoming: mpsc::UnboundedSender<Incoming>,
        state: watch::Sender<State>,
        known_edges: watch::Sender<Vec<String>>,
        backlog: Arc<Backlog>,
    ) -> Self {
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            keys: Keys {
                session: Pairs::new(&config.session.secret),
                member: Pairs::new(&config.member.secret),
            },
            edges: Edges::new(config.edges.clone()),
            kept: Kept::new(&config.keep),
            config,
            commands,
            incoming,
            state,
            known_edges,
            backlog,
            outbox: Outbox::default(),
            unasked: Vec::new(),
            asked: HashMap::new(),
            unsettled: Vec::new(),
            attachment: 0,
            tick,
        }
    }

    /// Runs until the client is closed, refused or replaced.
    pub async fn run(mut self) {
        let (closed, done) = self.live().await;
        self.finish_writing().await;
        self.outbox.close(&closed);
        self.state.send_replace(State::Closed(closed.clone()));
        let asks = self.unasked.drain(..).map(|ask| ask.reply);
        for reply in asks.chain(self.asked.drain().map(|(_, reply)| reply)) {
            let _ = reply.send(Err(closed.clone().into()));
        }
        self.deliver(Incoming::Closed(closed));
        if let Some(done) = done {
            let _ = done.send(());
        }
    }

    async fn live(&mut self) -> (Closed, Option<oneshot::Sender<()>>) {
        let mut wait = Duration::ZERO;
        loop {
            let attached = match self.attach(wait).await {
                Ok(attached) => attached,
                Err(ended) => return ended,
            };
            let since = Instant::now();
            let mut socket = self.begin(attached);
            let left = self.serve(&mut socket).await;
            let edge = self.edges.current().to_owned();
            let reason = match left {
                Left::Closed(closed) => return (closed, None),
                Left::Closing(done) => {
                    self.finish_writing().await;
                    self.settle(&mut socket);
                    socket.close().await;
                    return (Closed::Ours, Some(done));
                }
                Left::Moved => {
                    wait = Duration::ZERO;
                    "moved".to_owned()
                }
                Left::Lost(reason) => {
                    let worked = since.elapsed() > WORKED;
                    wait = if worked { self.edges.lost() } else { self.edges.failed() };
                    reason
                }
            };
            // The socket is dropped without a goodbye: we are coming back, not leaving.
            drop(socket);
            self.end(edge, reason);
        }
    }

    /// Waits, then tries edges until one takes us. Sends and requests gather meanwhile.
    async fn attach(
        &mut self,
        mut wait: Duration,
    ) -> Result<Attached, (Closed, Option<oneshot::Sender<()>>)> {
        loop {
            if !wait.is_zero() && self.meanwhile(sleep(wait)).await?.is_none() {
                wait = Duration::ZERO;
                continue;
            }
            self.known_edges.send_replace(self.edges.known().to_vec());
            let url = self.edges.current().to_owned();
            let hello = encode(&self.config.hello(time::now_ms()), None);
            let problem = match self.meanwhile(Socket::attach(&url, hello)).await? {
                Some(Ok(attached)) => return Ok(attached),
                None => {
                    wait = Duration::ZERO;
                    continue;
                }
                Some(Err(Failed::Rejected(refusal))) => {
                    if is_final(&refusal) {
                        return Err((Closed::Rejected(refusal), None));
                    }
                    // Two hellos met in one millisecond: signing again is enough.
                    if refusal.code == Code::Replayed.as_str() {
                        wait = Duration::from_millis(2);
                    } else {
                        wait = self.edges.failed();
                    }
                    format!("{url}: {}", refusal.message)
                }
                Some(Err(Failed::Unreachable(problem))) => {
                    wait = self.edges.failed();
                    format!("{url}: {problem}")
                }
            };
            debug!(%problem, "attaching failed, next try in {wait:?}");
            self.state.send_replace(State::Connecting(Some(problem)));
        }
    }

    /// Does `work` while commands are taken; `None` when the handle asked for another edge.
    async fn meanwhile<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<Option<T>, (Closed, Option<oneshot::Sender<()>>)> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(Some(done)),
                command = self.commands.recv() => match command {
                    Some(Command::Send(entry)) => self.outbox.push(entry),
                    Some(Command::Ask(ask)) => self.unasked.push(ask),
                    Some(Command::Move(edge)) => {
                        self.edges.choose(&edge);
                        return Ok(None);
                    }
                    Some(Command::Close(done)) => return Err((Closed::Ours, Some(done))),
                    None => return Err((Closed::Ours, None)),
                },
                written = self.kept.written() => self.written(written),
                _ = self.tick.tick() => self.expire(),
            }
            self.kept.start_writing();
        }
    }

    /// A connection begins: everything unacknowledged is to be written again.
    fn begin(&mut self, attached: Attached) -> Socket {
        let Attached { socket, ack, early } = attached;
        let edge = self.edges.current().to_owned();
        if let Some(named) = &ack.edges {
            self.edges.learn(named);
            self.known_edges.send_replace(self.edges.known().to_vec());
        }
        self.attachment += 1;
        self.outbox.rewind();
        let n_unacked = self.outbox.len();
        debug!(%edge, presence = ack.presence_id, n_unacked, "attached to {edge}");
        self.state.send_replace(State::Connected(edge.clone()));
        self.deliver(Incoming::Connected { edge, ack: Box::new(ack) });
        for push in early {
            self.arrived(push);
        }
        self.kept.start_writing();
        socket
    }

    /// A connection is over.
    fn end(&mut self, edge: String, reason: String) {
        debug!(%edge, %reason, "left {edge}: {reason}");
        self.unsettled.clear();
        for (_, reply) in self.asked.drain() {
            let _ = reply.send(Err(RequestError::Lost));
        }
        self.state.send_replace(State::Connecting(Some(format!("{edge}: {reason}"))));
        self.deliver(Incoming::Disconnected { edge, reason });
    }

    async fn serve(&mut self, socket: &mut Socket) -> Left {
        let mut heard = Instant::now();
        loop {
            self.settle(socket);
            self.fill(socket);
            let is_gated = !self.unsettled.is_empty();
            tokio::select! {
                frame = socket.next() => {
                    heard = Instant::now();
                    if let Some(left) = self.frames(frame, socket) {
                        return left;
                    }
                }
                command = self.commands.recv() => {
                    if let Some(left) = self.orders(command) {
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
                Ok(Frame::Sign) => (),
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
        if let Some(reply) = head.req_id.as_ref().and_then(|req_id| self.asked.remove(req_id)) {
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
            _ => None,
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
    fn orders(&mut self, first: Option<Command>) -> Option<Left> {
        let mut command = first;
        for taken in 1..=TURN_MAX {
            match command {
                Some(Command::Send(entry)) => self.outbox.push(entry),
                Some(Command::Ask(ask)) => self.unasked.push(ask),
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
        for ask in self.unasked.drain(..) {
            socket.queue(ask.frame.into());
            self.asked.insert(ask.req_id, ask.reply);
        }
        while socket.has_room() {
            let Some(frame) = self.outbox.next_frame() else { return };
            socket.queue(frame);
        }
    }

    /// A push came.
    fn arrived(&mut self, push: Push) {
        let message = match self.keys.open(push) {
            Opened::Event(event) => {
                // Events are best effort; a consumer that is behind goes without.
                if !self.backlog.is_full() {
                    self.deliver(Incoming::Event(event));
                }
                return;
            }
            Opened::Message(message) => message,
        };
        match &mut self.kept {
            Kept::Disk { gathered, .. } => gathered.push((self.attachment, *message)),
            Kept::Memory(recent) => {
                let is_new = recent.note(&message.message_id);
                self.unsettled.push(message.message_id.clone());
                if is_new {
                    self.deliver(Incoming::Message(message));
                }
            }
            Kept::Nothing => {
                self.unsettled.push(message.message_id.clone());
                self.deliver(Incoming::Message(message));
            }
        }
    }

    /// A burst was written: now the edge and the consumer may know.
    fn written(&mut self, done: Written) {
        if let Kept::Disk { inbox, writing, .. } = &mut self.kept {
            *inbox = done.inbox;
            *writing = None;
        }
        let taken = match done.taken {
            Ok(taken) => taken,
            Err(error) => {
                // Not settled, so the edge sends it again at the next attachment.
                error!(?error, n_messages = done.ids.len(), "the inbox cannot be written");
                return;
            }
        };
        let current = done.ids.into_iter().filter(|(at, _)| *at == self.attachment);
        self.unsettled.extend(current.map(|(_, id)| id));
        for taken in taken {
            if let Taken::New(message) = taken {
                self.deliver(Incoming::Message(message));
            }
        }
    }

    async fn finish_writing(&mut self) {
        loop {
            self.kept.start_writing();
            if !self.kept.is_writing() {
                return;
            }
            let done = self.kept.written().await;
            self.written(done);
        }
    }

    /// Says `received` for what is kept, unless the consumer is behind: then the edge's window
    /// holds the rest back.
    fn settle(&mut self, socket: &mut Socket) {
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

    fn expire(&mut self) {
        let n_given_up = self.outbox.expire(Instant::now());
        if n_given_up > 0 {
            warn!(n_given_up, "gave up {n_given_up} sends that nobody acknowledged for a day");
        }
    }

    fn deliver(&self, incoming: Incoming) {
        self.backlog.waiting.fetch_add(1, Ordering::Relaxed);
        if self.incoming.send(incoming).is_err() {
            self.backlog.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
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

/// Whether another edge would say the same.
fn is_final(refusal: &Refusal) -> bool {
    [Code::Unauthorized, Code::BadSignature, Code::Malformed]
        .iter()
        .any(|code| code.as_str() == refusal.code)
}
