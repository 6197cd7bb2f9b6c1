//! The client library: one session of a mesh, attached to whichever edge answers.
//!
//! A [`Client`] is a handle; a task of its own (the driver) holds the socket. The driver connects,
//! says hello, repeats what was not acknowledged, and connects elsewhere when the edge is lost,
//! until the handle is closed, the member is refused, or another process takes the session's key.
//!
//! What arrives goes through the inbox first: to disk, then `received` to the edge, then to
//! [`Pushes`]. So nothing that the edge has settled can be lost here, and nothing that it repeats
//! comes through twice. [`Keep`] says how much of that a client wants: programs of people keep
//! their mail on disk, load tools in memory, stand-ins for old clients not at all.
//!
//! A consumer that falls behind holds `received` back, so the edge's window stops the flow.

pub mod asked;
pub mod backoff;
mod behind;
mod config;
mod driver;
pub mod inbox;
mod kept;
pub mod message;
pub mod names;
pub mod outbox;
mod pushes;
mod recent;
mod sending;
pub mod socket;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use skein_crypto::direct::Pairs;
use skein_crypto::{Public, plain, random};
use skein_wire::limit::{CIPHERTEXT_BYTES_MAX, OUTBOUND_MAX};
use skein_wire::messaging::Send;
use skein_wire::streams::{Subscribe, Unsubscribe};
use skein_wire::{Call, Code, Priority, Refusal, encode};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

pub use self::config::{Config, Host, Keep};
use self::driver::{Command, Driver, Told};
pub use self::outbox::{Outcome, SendError};
use self::pushes::Backlog;
pub use self::pushes::{Incoming, Pushes};
pub use self::sending::Sending;
use self::sending::{Counted, Inner};

/// How long a request may take, unless its caller says otherwise.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(5);

/// Why a client ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// [`Client::close`], or every handle is gone.
    #[error("the client was closed")]
    Ours,
    /// Another process attached with the same session key.
    #[error("another process attached with this session's key")]
    Replaced,
    /// No edge would ever take this hello.
    #[error("{}: {}", .0.code, .0.message)]
    Rejected(Refusal),
}

/// Where a client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// On the way, with what went wrong last.
    Connecting(Option<String>),
    /// Attached to this edge.
    Connected(String),
    /// For good.
    Closed(Closed),
}

/// Why a request has no reply.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// No reply came in time: what was asked for may have been done all the same.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The connection was lost after it was asked.
    #[error("the connection was lost before the answer came")]
    Lost,
    /// The server said no.
    #[error("{}: {}", .0.code, .0.message)]
    Refused(Refusal),
    /// The reply is not what the contract says.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// The client is closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}

impl From<RequestError> for crate::Error {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Refused(refusal) => refusal.into(),
            RequestError::Closed(closed) => closed.into(),
            RequestError::Malformed(detail) => Self::Unexpected(detail),
            RequestError::TimedOut(_) | RequestError::Lost => Self::NotConnected(error.to_string()),
        }
    }
}

/// A handle to a session. Clones share it; when the last is gone, the session says goodbye.
#[derive(Debug, Clone)]
pub struct Client {
    commands: mpsc::UnboundedSender<Command>,
    state: watch::Receiver<State>,
    edges: watch::Receiver<Vec<String>>,
    serves: watch::Receiver<Vec<String>>,
    seals: Arc<Pairs>,
    session: Public,
    unacked: Arc<AtomicUsize>,
}

impl Client {
    /// Starts a session without waiting for it. Must be called within a tokio runtime.
    pub fn start(config: Config) -> (Self, Pushes) {
        crate::tls::install();
        let (commands, commanded) = mpsc::unbounded_channel();
        let (incoming_to, incoming) = mpsc::unbounded_channel();
        let (state_to, state) = watch::channel(State::Connecting(None));
        let (edges_to, edges) = watch::channel(config.edges.clone());
        let (serves_to, serves) = watch::channel(Vec::new());
        let backlog = Arc::<Backlog>::default();
        let client = Self {
            commands,
            state,
            edges,
            serves,
            seals: Arc::new(Pairs::new(&config.session.secret)),
            session: config.session.public,
            unacked: Arc::default(),
        };
        let told = Told { state: state_to, edges: edges_to, serves: serves_to };
        let driver = Driver::new(config, commanded, incoming_to, told, backlog.clone());
        tokio::spawn(driver.run());
        (client, Pushes { incoming, backlog })
    }

    /// Starts a session and waits until it is attached, for at most `patience`.
    pub async fn connect(config: Config, patience: Duration) -> crate::Result<(Self, Pushes)> {
        let (client, pushes) = Self::start(config);
        client.ready(patience).await?;
        Ok((client, pushes))
    }

    /// Waits until the session is attached; says what went wrong last when that takes too long.
    pub async fn ready(&self, patience: Duration) -> crate::Result<()> {
        let mut state = self.state.clone();
        let settled = timeout(patience, state.wait_for(|s| !matches!(s, State::Connecting(_))));
        match settled.await {
            Ok(Ok(now)) => match &*now {
                State::Closed(closed) => Err(closed.clone().into()),
                State::Connected(_) | State::Connecting(_) => Ok(()),
            },
            Ok(Err(_)) => Err(Closed::Ours.into()),
            Err(_) => {
                let problem = match &*self.state.borrow() {
                    State::Connecting(Some(problem)) => problem.clone(),
                    _ => format!("no edge answered within {} s", patience.as_secs()),
                };
                Err(crate::Error::NotConnected(problem))
            }
        }
    }

    /// Where the session is now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Follows where the session is.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// The edge that the session is attached to.
    pub fn edge(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Connected(edge) => Some(edge.clone()),
            State::Connecting(_) | State::Closed(_) => None,
        }
    }

    /// Every edge that is known, the present or next one first.
    pub fn edges(&self) -> Vec<String> {
        self.edges.borrow().clone()
    }

    /// Whether the server that the session is attached to serves this extension, one of
    /// [`skein_wire::hello::SERVES`]. One of the old kind serves none, and says nothing to what it
    /// does not know.
    pub fn serves(&self, extension: &str) -> bool {
        self.serves.borrow().iter().any(|served| served == extension)
    }

    /// The session's key: what others send to.
    pub fn session(&self) -> Public {
        self.session
    }

    /// Sends `text` to a key (sealed), a `@group` or `*` (readable by the server). The message is
    /// in its place in the order when this returns; the future is its `ack`, and may be dropped.
    pub fn send(&self, target: &str, priority: Priority, text: &str) -> Sending {
        if message::is_multicast(target) {
            return self.send_body(target, priority, String::new(), plain::encode(text));
        }
        let sealed = Public::parse(target).and_then(|key| self.seals.seal(&key, text));
        match sealed {
            Ok(sealed) => self.send_body(target, priority, sealed.nonce, sealed.ciphertext),
            Err(_) => Sending::failed(SendError::Unusable(target.into())),
        }
    }

    /// Sends a body as it is.
    pub fn send_body(
        &self,
        target: &str,
        priority: Priority,
        nonce: String,
        ciphertext: String,
    ) -> Sending {
        if ciphertext.len() > CIPHERTEXT_BYTES_MAX {
            let words = "the message is longer than 1 MiB; send a file instead";
            return Sending::failed(SendError::Refused(Refusal::with(Code::TooLarge, words)));
        }
        let waiting = self.unacked.load(Ordering::Relaxed);
        let most = match &*self.state.borrow() {
            State::Connected(_) => outbox::UNACKED_MAX,
            State::Connecting(_) => OUTBOUND_MAX,
            State::Closed(closed) => return Sending::failed(closed.clone().into()),
        };
        if waiting >= most {
            return Sending::failed(SendError::QueueFull);
        }
        let id = hex::encode(random::<16>());
        let send =
            Send { id: Some(id.clone()), target_spec: target.into(), priority, nonce, ciphertext };
        let (reply, outcome) = oneshot::channel();
        let entry = outbox::Entry {
            id: id.clone(),
            frame: encode(&send, None).into(),
            made: Instant::now(),
            reply,
            counted: Counted::new(&self.unacked),
        };
        // A driver that is gone drops the command, and with it the reply's sender.
        let _ = self.commands.send(Command::Send(entry));
        Sending { id, outcome: Inner::Waiting(outcome) }
    }

    /// Sends that were not acknowledged yet.
    pub fn unacked(&self) -> usize {
        self.unacked.load(Ordering::Relaxed)
    }

    /// Asks something, and reads the reply.
    pub async fn request<C: Call>(&self, call: &C) -> Result<C::Reply, RequestError>
    where
        C::Reply: DeserializeOwned,
    {
        self.request_within(call, REQUEST_DEADLINE).await
    }

    /// The same with a patience of the caller's own: some questions go on to another peer.
    pub async fn request_within<C: Call>(
        &self,
        call: &C,
        patience: Duration,
    ) -> Result<C::Reply, RequestError>
    where
        C::Reply: DeserializeOwned,
    {
        let reply = self.ask(call, patience).await?;
        serde_json::from_str(&reply).map_err(|error| RequestError::Malformed(error.to_string()))
    }

    /// Says something that has no reply of its own; an edge of ours acknowledges it all the same.
    pub async fn tell<C: Call>(&self, call: &C) -> Result<(), RequestError> {
        self.ask(call, REQUEST_DEADLINE).await.map(drop)
    }

    /// Listens to a stream, also after every reconnect. What is published comes as
    /// [`Incoming::Frame`].
    pub async fn subscribe(&self, stream: &str) -> Result<(), RequestError> {
        // First, so that a connection that begins before the answer comes knows of it.
        let _ = self.commands.send(Command::Follow(stream.to_owned()));
        let subscribed = self.request(&Subscribe { stream: stream.to_owned() }).await;
        if let Err(RequestError::Refused(_)) = &subscribed {
            let _ = self.commands.send(Command::Unfollow(stream.to_owned()));
        }
        subscribed.map(drop)
    }

    /// Listens to a stream no more.
    pub async fn unsubscribe(&self, stream: &str) -> Result<(), RequestError> {
        let _ = self.commands.send(Command::Unfollow(stream.to_owned()));
        self.tell(&Unsubscribe { stream: stream.to_owned() }).await
    }

    /// Answers a question of another peer, which came as a frame with this `_reqId`. Nothing comes
    /// back; without a connection it is not said at all.
    pub fn answer<C: Call>(&self, call: &C, req_id: Option<&str>) {
        self.say(encode(call, req_id));
    }

    /// Says a frame that nothing answers; without a connection it is not said at all.
    pub fn say(&self, frame: String) {
        let _ = self.commands.send(Command::Say(frame));
    }

    async fn ask<C: Call>(&self, call: &C, patience: Duration) -> Result<String, RequestError> {
        let req_id = hex::encode(random::<8>());
        let frame = encode(call, Some(&req_id));
        let (reply, answer) = oneshot::channel();
        let _ = self.commands.send(Command::Ask(driver::Ask { req_id, frame, reply }));
        match timeout(patience, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(self.closed().into()),
            Err(_) => Err(RequestError::TimedOut(patience)),
        }
    }

    /// Leaves the present edge, as if the network had, and goes to this one.
    pub fn move_to(&self, edge: &str) {
        let _ = self.commands.send(Command::Move(edge.into()));
    }

    /// Says goodbye: what is queued is written, the departure counts at once, and whoever waits for
    /// an `ack` is told. Returns when that is done.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        let _ = self.commands.send(Command::Close(done));
        let _ = closed.await;
    }

    fn closed(&self) -> Closed {
        match &*self.state.borrow() {
            State::Closed(closed) => closed.clone(),
            State::Connecting(_) | State::Connected(_) => Closed::Ours,
        }
    }
}
