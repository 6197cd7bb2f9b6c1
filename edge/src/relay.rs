//! The relay: frames between sockets that may be on different edges. Nothing here is durable.
//!
//! An **event** is pushed to sessions of a mesh on every edge that has presences in it. Events of one
//! edge arrive in the order in which they were given, also where small and large ones mix; between
//! two edges there is no order, but what is [`Event::newest`] is never followed by something older.
//! Best effort: a lost notification is a lost event, so what must be known has to be readable.
//!
//! A **call** asks one session something. Its caller's edge keeps it and ends it exactly once: by the
//! answer, or by a failure with a name: the peer went away (its socket, or its edge, by the node
//! row), it was asked too much, or the deadline passed, which also answers for a lost notification.
//! Questions of one session to another arrive in their order.
//!
//! Frames that fit travel inside a notification, the others as rows (see [`skein_sql::relay`]).
//! Everything that waits is bounded: open calls by session and node, bytes on their way out, bytes
//! of answers for sockets that read slowly. A socket that does not read its events is closed, as it
//! is for messages.

mod calls;
mod event;
mod here;
mod parcel;
mod parked;
mod receiver;
mod sender;
#[cfg(test)]
mod tests;
mod versions;

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use skein_sql::{Pool, relay::Located};
use skein_wire::{Code, limit};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::Instant,
};
use tracing::error;

use self::{
    calls::{Asked, Calls, Open},
    here::Here,
    parcel::{Body, Parcel, Question, Why},
    parked::Parked,
    sender::{Leaving, Outgoing, Sender, To},
};
pub use self::{event::Event, parcel::Parcels, receiver::HEARD_MAX};
use crate::{measure, session::Session};

/// What a permit of the way out stands for.
const ROOM_STEP_BYTES: usize = 1024;
/// The mesh of what has no frame, and so no row.
const NO_MESH: i64 = 0;
/// How long an event waits for room on its way out before it is dropped.
const EVENT_PATIENCE: Duration = Duration::from_secs(5);

/// The relay of a node.
#[derive(Debug)]
pub struct Relay {
    node: i32,
    out: mpsc::UnboundedSender<Outgoing>,
    room: Arc<Semaphore>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    here: Here,
    calls: Calls,
    parked: Parked,
}

/// A call that will not be answered.
#[derive(Debug, Clone, Copy)]
struct Refused {
    /// The caller's node.
    node: i32,
    /// The number of the call there.
    id: u64,
    why: Why,
}

impl Refused {
    fn gone(asked: Asked) -> Self {
        Self { node: asked.node, id: asked.id, why: Why::Gone }
    }
}

impl Inner {
    /// Asks a session that is here, or waits for it to come.
    fn ask(&mut self, node: i32, question: Question, frame: String) -> Option<Refused> {
        let (id, mailbox) = (question.i, question.to);
        let Some(session) = self.here.get(mailbox) else {
            let is_parked = self.parked.park(node, question, frame);
            return (!is_parked).then_some(Refused { node, id, why: Why::Busy });
        };
        let until = Instant::now() + Duration::from_millis(question.ms);
        let asked = Asked { node, id, req_id: question.q, until };
        if !self.calls.ask(mailbox, question.key, asked) {
            return Some(Refused { node, id, why: Why::Busy });
        }
        session.out.frame(frame);
        None
    }
}

/// A question of one session to another.
#[derive(Debug)]
pub struct Call<'a> {
    /// Who asks.
    pub caller: &'a Arc<Session>,
    /// Who is asked.
    pub to: &'a Located,
    /// What the answer is matched by, among the questions to the same session; of equal ones the
    /// oldest is answered first. It has to name the caller.
    pub key: String,
    /// The caller's `_reqId`; whoever words the answer is given it.
    pub req_id: Option<String>,
    /// What the session that is asked is sent.
    pub frame: String,
    /// How long an answer is waited for.
    pub patience: Duration,
}

impl Relay {
    /// The relay of node `node`, and what its way out sends.
    pub fn new(node: i32) -> (Arc<Self>, Leaves) {
        let (out, leaves) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(limit::RELAY_BYTES_MAX / ROOM_STEP_BYTES));
        (Arc::new(Self { node, out, room, inner: Mutex::default() }), Leaves(leaves))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds the relay")
    }

    /// Pushes an event, here at once and elsewhere soon. Waits while too much is on its way, so a
    /// storm slows its sender down; after a while without room the event is dropped.
    pub async fn event(&self, event: Event) {
        let Event { audience, frame, nodes } = event;
        if is_too_large(&frame) {
            return;
        }
        self.inner().here.event(&audience, &frame);
        let to = match nodes {
            None => To::Mesh,
            Some(mut nodes) => {
                nodes.retain(|node| *node != self.node);
                if nodes.is_empty() {
                    return;
                }
                To::Nodes(nodes)
            }
        };
        let mesh = audience.mesh;
        let parcel = Parcel::Event(audience, Body::default());
        self.send(to, mesh, parcel, frame, EVENT_PATIENCE).await;
    }

    /// Lets a session follow a topic for as long as its socket lives.
    ///
    /// # Errors
    /// `limit` when it follows as many as it may.
    pub fn follow(&self, session: &Arc<Session>, topic: &str) -> Result<(), Code> {
        self.inner().here.follow(session, topic).then_some(()).ok_or(Code::Limit)
    }

    /// Lets a session follow a topic no more.
    pub fn unfollow(&self, session: &Arc<Session>, topic: &str) {
        self.inner().here.unfollow(session, topic);
    }

    /// Asks a session something. The caller is sent exactly one frame: what [`Relay::answer`] makes
    /// of the answer, or what `fail` makes of a failure.
    pub async fn call(&self, call: Call<'_>, fail: impl FnOnce(Code) -> String + Send + 'static) {
        let Call { caller, to, key, req_id, frame, patience } = call;
        let open = Open {
            caller: caller.clone(),
            node: to.node,
            deadline: Instant::now() + patience,
            fail: Box::new(fail),
        };
        let opened = self.inner().calls.open(open);
        let i = match opened {
            Ok(i) => i,
            Err(open) => return end(open, Code::TooManyCalls),
        };
        let ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        let question = Question { i, to: to.session, key, q: req_id, ms, b: Body::default() };
        if to.node == self.node {
            self.ask(self.node, question, frame);
        } else {
            let parcel = Parcel::Call(question);
            self.send(To::Nodes(vec![to.node]), caller.mesh, parcel, frame, patience).await;
        }
    }

    /// Takes the answer of a session to what it was asked under this key; `frame` words it for the
    /// caller, whose `_reqId` it is given. `false`: this attachment of the session was not asked, or
    /// nobody waits.
    pub async fn answer(
        &self,
        session: &Session,
        key: &str,
        frame: impl FnOnce(Option<&str>) -> String,
    ) -> bool {
        let answered = {
            let mut inner = self.inner();
            // What a newer attachment is asked is not answered by the older.
            let is_here = inner.here.is_here(session);
            is_here.then(|| inner.calls.answered(session.mailbox, key)).flatten()
        };
        let Some(asked) = answered else { return false };
        let frame = frame(asked.req_id.as_deref());
        if is_too_large(&frame) {
            self.refuse(Refused::gone(asked));
            return true;
        }
        if asked.node == self.node {
            self.finish(self.node, asked.id, frame);
        } else {
            let patience = asked.until.saturating_duration_since(Instant::now());
            let parcel = Parcel::Answer { i: asked.id, b: Body::default() };
            self.send(To::Nodes(vec![asked.node]), session.mesh, parcel, frame, patience).await;
        }
        true
    }

    /// A session is live.
    pub fn enter(&self, session: &Arc<Session>) {
        let mut inner = self.inner();
        let older = inner.here.enter(session);
        let asked = older.map(|older| inner.calls.leave(&older)).unwrap_or_default();
        let mut refused: Vec<Refused> = asked.into_iter().map(Refused::gone).collect();
        // Under the same lock: what comes now comes after what waited.
        for waits in inner.parked.take(session.mailbox) {
            refused.extend(inner.ask(waits.node, waits.question, waits.frame));
        }
        drop(inner);
        refused.into_iter().for_each(|refused| self.refuse(refused));
    }

    /// A session has gone: what it was asked will not be answered.
    pub fn leave(&self, session: &Arc<Session>) {
        let mut inner = self.inner();
        let was_here = inner.here.leave(session);
        let asked = if was_here { inner.calls.leave(session) } else { Vec::new() };
        drop(inner);
        asked.into_iter().for_each(|asked| self.refuse(Refused::gone(asked)));
    }

    /// Waits until what was given to the way out was sent.
    pub async fn flush(&self) {
        let (sent, last) = oneshot::channel();
        // The way out ends with the node, and then nothing is sent any more.
        let _ = self.out.send(Outgoing::Flush(sent));
        let _ = last.await;
    }

    /// Gives something to the way out when there is room.
    async fn send(&self, to: To, mesh: i64, parcel: Parcel, frame: String, patience: Duration) {
        let steps = frame.len().div_ceil(ROOM_STEP_BYTES).max(1);
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        let room = self.room.clone().acquire_many_owned(steps);
        // Nobody closes it.
        let Ok(Ok(room)) = tokio::time::timeout(patience, room).await else {
            return measure::relay_dropped(1);
        };
        self.leaves(to, mesh, parcel, frame, Some(room));
    }

    fn leaves(
        &self,
        to: To,
        mesh: i64,
        parcel: Parcel,
        frame: String,
        room: Option<OwnedSemaphorePermit>,
    ) {
        let leaving = Leaving { to, mesh, parcel, frame, _room: room };
        // The way out ends with the node.
        let _ = self.out.send(Outgoing::Parcel(Box::new(leaving)));
    }

    /// Asks a session of ours.
    fn ask(&self, from: i32, question: Question, frame: String) {
        let refused = self.inner().ask(from, question, frame);
        if let Some(refused) = refused {
            self.refuse(refused);
        }
    }

    /// Tells the caller's node that a call will not be answered.
    fn refuse(&self, Refused { node, id, why }: Refused) {
        if node == self.node {
            return self.fail(node, id, why.code());
        }
        let failed = Parcel::Failed { i: id, y: why };
        self.leaves(To::Nodes(vec![node]), NO_MESH, failed, String::new(), None);
    }

    /// Ends a call of ours with its answer.
    fn finish(&self, from: i32, id: u64, frame: String) {
        let mut inner = self.inner();
        let Some(open) = inner.calls.close(id, from) else { return };
        let taken = inner.here.answer(&open.caller, frame);
        drop(inner);
        if !taken {
            end(open, Code::TooManyCalls);
        }
    }

    /// Ends a call of ours with a failure.
    fn fail(&self, from: i32, id: u64, code: Code) {
        let closed = self.inner().calls.close(id, from);
        if let Some(open) = closed {
            end(open, code);
        }
    }

    /// Takes what another node sent, with its frame.
    fn deliver(&self, from: i32, parcel: Parcel, frame: String) {
        match parcel {
            Parcel::Call(question) => self.ask(from, question, frame),
            Parcel::Answer { i, .. } => self.finish(from, i, frame),
            Parcel::Failed { i, y } => self.fail(from, i, y.code()),
            Parcel::Event(audience, _) => {
                self.inner().here.event(&audience, &frame);
            }
        }
    }

    /// Ends what is over by now and gives sockets what they have room for; whether answers still
    /// wait.
    fn turn(&self, now: Instant) -> bool {
        let mut inner = self.inner();
        inner.here.drain();
        let n_waiting_bytes = inner.here.n_waiting_bytes();
        let expired = inner.calls.expire(now);
        let absent = inner.parked.expire(now);
        let (n_open, n_asked) = inner.calls.len();
        drop(inner);
        let n_leaving = limit::RELAY_BYTES_MAX / ROOM_STEP_BYTES - self.room.available_permits();
        measure::relay(n_open, n_asked, n_waiting_bytes + n_leaving * ROOM_STEP_BYTES);
        for open in expired {
            end(open, Code::Timeout);
        }
        for waits in absent {
            self.refuse(Refused { node: waits.node, id: waits.question.i, why: Why::Gone });
        }
        n_waiting_bytes > 0
    }

    /// The other nodes that calls are open to.
    fn called(&self) -> Vec<i32> {
        let mut nodes = self.inner().calls.nodes();
        nodes.retain(|node| *node != self.node);
        nodes
    }

    /// Ends the calls to nodes that are gone.
    fn lost(&self, nodes: &[i32]) {
        let lost = self.inner().calls.lost(nodes);
        for open in lost {
            end(open, Code::PeerGone);
        }
    }
}

/// Whether no socket may be sent this: then it is dropped, and nothing else with it.
fn is_too_large(frame: &str) -> bool {
    let is_too_large = frame.len() > limit::FRAME_BYTES_MAX;
    if is_too_large {
        error!(n_bytes = frame.len(), "a frame is too large to be relayed");
        measure::relay_dropped(1);
    }
    is_too_large
}

/// Tells the caller why its call failed.
fn end(open: Open, code: Code) {
    measure::relay_failed(code);
    open.caller.out.frame((open.fail)(code));
}

/// What leaves a relay, until [`Leaves::send`] sends it.
#[derive(Debug)]
pub struct Leaves(mpsc::UnboundedReceiver<Outgoing>);

impl Leaves {
    /// Sends what leaves, on a connection of its own whose commits do not wait for the disk.
    pub async fn send(self, node: i32, pool: Pool) {
        Sender { node, pool }.run(self.0).await;
    }
}

impl Relay {
    /// Serves what other nodes' relays say, on a connection of its own.
    pub async fn serve(self: Arc<Self>, pool: Pool, heard: mpsc::Receiver<Parcels>) {
        receiver::run(self, pool, heard).await;
    }

    /// Ends calls whose time is over.
    pub async fn keep_time(self: Arc<Self>) {
        receiver::tick(self).await;
    }

    /// Ends calls to nodes that are gone.
    pub async fn watch(self: Arc<Self>, pool: Pool) {
        receiver::look(self, pool).await;
    }
}
