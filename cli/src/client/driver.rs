//! The task behind a [`Client`](super::Client): attach, serve, and attach again.
//!
//! One task owns everything, so there are no locks and the order of things is the order of this
//! task. Only the inbox is written elsewhere (a sync takes milliseconds): one burst at a time,
//! while the next gathers. What came over a connection that is gone is not `received` on the next
//! one; the edge sends it again there, and it is then a repeat.

mod serve;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use skein_crypto::direct::Pairs;
use skein_wire::push::Push;
use skein_wire::streams::Subscribe;
use skein_wire::{Code, Refusal, encode};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};
use tracing::{debug, error, warn};

use super::backoff::Edges;
use super::behind::Behind;
use super::inbox::Taken;
use super::kept::{Kept, Written};
use super::message::{Keys, Opened};
use super::outbox::{self, Outbox};
use super::pushes::Backlog;
use super::socket::{Attached, Failed, Socket};
use super::{Closed, Config, Incoming, RequestError, State};
use crate::time;

/// A connection that lived shorter than this did not work: the next edge is tried with more
/// patience.
const WORKED: Duration = Duration::from_secs(5);
/// A hello that was given up on may still be accepted for this long.
const LATE_HELLO_MAX: Duration = Duration::from_secs(30);

/// What a handle asks of its driver.
#[derive(Debug)]
pub enum Command {
    /// Queue this send.
    Send(outbox::Entry),
    /// Ask this.
    Ask(Ask),
    /// Say this, if there is a connection.
    Say(String),
    /// Listen to this stream, on every connection from the next on.
    Follow(String),
    /// Listen to it no more.
    Unfollow(String),
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

/// What the handles are told.
#[derive(Debug)]
pub struct Told {
    /// Where the client is.
    pub state: watch::Sender<State>,
    /// Every edge that is known.
    pub edges: watch::Sender<Vec<String>>,
    /// The extensions that the server serves.
    pub serves: watch::Sender<Vec<String>>,
}

/// Why a connection is over.
enum Left {
    /// It broke, or the edge ended it.
    Lost(String),
    /// The handle chose another edge.
    Moved,
    /// For good.
    Closed(Closed),
    /// The handle says goodbye, and waits for this.
    Closing(oneshot::Sender<()>),
}

/// The task's state.
pub struct Driver {
    config: Config,
    keys: Keys,
    edges: Edges,
    commands: mpsc::UnboundedReceiver<Command>,
    incoming: mpsc::UnboundedSender<Incoming>,
    told: Told,
    backlog: Arc<Backlog>,
    /// Changes that the consumer is too far behind for.
    behind: Behind,
    outbox: Outbox,
    /// Asked while there was no connection.
    unasked: Vec<Ask>,
    asked: HashMap<String, oneshot::Sender<Result<String, RequestError>>>,
    kept: Kept,
    /// Ids that are in the inbox and that the edge does not know of yet.
    unsettled: Vec<String>,
    /// Frames to write that nobody waits for an answer to.
    says: Vec<String>,
    /// Streams that this client listens to: a subscription ends with its connection.
    follows: BTreeSet<String>,
    /// Counts connections.
    attachment: u64,
    /// When we last left a hello without an answer.
    gave_up: Option<Instant>,
    tick: Interval,
}

impl Driver {
    /// A driver that has not begun.
    pub fn new(
        config: Config,
        commands: mpsc::UnboundedReceiver<Command>,
        incoming: mpsc::UnboundedSender<Incoming>,
        told: Told,
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
            told,
            backlog,
            behind: Behind::default(),
            outbox: Outbox::default(),
            unasked: Vec::new(),
            asked: HashMap::new(),
            unsettled: Vec::new(),
            says: Vec::new(),
            follows: BTreeSet::new(),
            attachment: 0,
            gave_up: None,
            tick,
        }
    }

    /// Runs until the client is closed, refused or replaced.
    pub async fn run(mut self) {
        let (closed, done) = self.live().await;
        self.finish_writing().await;
        self.outbox.close(&closed);
        self.told.state.send_replace(State::Closed(closed.clone()));
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
            let edge = self.edges.current().to_owned();
            let mut socket = self.begin(attached);
            let left = self.serve(&mut socket).await;
            let reason = match left {
                // A hello of ours that we gave up on was accepted after all, and late: that is no
                // other process.
                Left::Closed(Closed::Replaced) if self.gave_up_lately() => {
                    wait = self.edges.lost();
                    "replaced by an earlier hello of this client".to_owned()
                }
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
            self.told.edges.send_replace(self.edges.known().to_vec());
            let url = self.edges.current().to_owned();
            let hello = encode(&self.config.hello(time::now_ms()), None);
            let problem = match self.meanwhile(Socket::attach(&url, hello)).await? {
                Some(Ok(attached)) => return Ok(attached),
                None => {
                    self.gave_up = Some(Instant::now());
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
                Some(Err(Failed::Unreachable { problem, .. })) => {
                    self.gave_up = Some(Instant::now());
                    wait = self.edges.failed();
                    format!("{url}: {problem}")
                }
            };
            debug!(%problem, "attaching failed, next try in {wait:?}");
            self.told.state.send_replace(State::Connecting(Some(problem)));
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
                    // Who asked did so over the connection that is gone.
                    Some(Command::Say(_)) => (),
                    Some(Command::Follow(stream)) => drop(self.follows.insert(stream)),
                    Some(Command::Unfollow(stream)) => drop(self.follows.remove(&stream)),
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
            self.told.edges.send_replace(self.edges.known().to_vec());
        }
        let subscribe = |stream: &String| encode(&Subscribe { stream: stream.clone() }, None);
        self.says = self.follows.iter().map(subscribe).collect();
        self.attachment += 1;
        self.outbox.rewind();
        let n_unacked = self.outbox.len();
        debug!(%edge, presence = ack.presence_id, n_unacked, "attached to {edge}");
        self.told.serves.send_replace(ack.serves.clone().unwrap_or_default());
        self.told.state.send_replace(State::Connected(edge.clone()));
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
        self.told.state.send_replace(State::Connecting(Some(format!("{edge}: {reason}"))));
        self.deliver(Incoming::Disconnected { edge, reason });
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

    fn gave_up_lately(&self) -> bool {
        self.gave_up.is_some_and(|at| at.elapsed() < LATE_HELLO_MAX)
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

/// Whether another edge would say the same.
fn is_final(refusal: &Refusal) -> bool {
    [Code::Unauthorized, Code::BadSignature, Code::Malformed]
        .iter()
        .any(|code| code.as_str() == refusal.code)
}
