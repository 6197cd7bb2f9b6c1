//! A node: one incarnation of this edge in the database, and everything that works in its name.
//!
//! A node that finds itself dead closes its sockets and is over; the program starts another, under
//! a new id (see [`crate::Edge::run`]). Without the database a node keeps its sockets for a minute.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use skein_sql::{
    Connector, Error, Pool, Settings, clock, duties, health, nodes, presence, serve, sessions,
};
use skein_wire::limit;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, error, info, warn};

use crate::{
    hello::{Greeter, Waiting},
    intake::{In, Intake},
    measure,
    note::{Event, Note},
    push,
    relay::{self, Parcels, Relay},
    session::{Pending, Session, Window},
    settler,
    states::{self, Telling},
    teller::{Tell, Teller},
    watches::Watches,
    webhooks::Webhooks,
    writer::{self, Writer},
};

/// Connections for handlers and departures.
const POOL_MAX: usize = 8;
/// How long a connection's last sends may take to be stored before its presence ends.
const LAST_SENDS: Duration = Duration::from_secs(5);
/// Notes that wait for the intake.
const HEARD_MAX: usize = 1024;
/// How long a beat may take before its connection is given up: two tries fit into the time after
/// which a node counts as dead.
const BEAT_PATIENCE: Duration = Duration::from_secs(3);
/// How often the database is measured.
const HEALTH_EVERY: Duration = Duration::from_secs(30);
/// How long a listener waits before it connects again.
const LISTEN_AGAIN: Duration = Duration::from_millis(250);

/// Waiting for the database.
pub mod pause {
    use std::time::Duration;

    use skein_sql::{
        Error, Pool,
        store::{self, Begun, NewMessage},
    };
    use tracing::warn;

    /// Between two tries.
    const TRY_EVERY: Duration = Duration::from_millis(200);

    /// Makes the partitions of the next days, when one was found missing: without a worker nobody
    /// else does.
    pub async fn partition(pool: &Pool) {
        let made = async {
            let db = pool.get().await?;
            skein_sql::partitions::ensure_ahead(&db, 1).await
        };
        if let Err(error) = made.await {
            tracing::error!(error = error.brief(), "today's partition could not be made");
            tokio::time::sleep(TRY_EVERY).await;
        }
    }

    /// Returns when a connection can be had again.
    ///
    /// # Errors
    /// [`Error::Fenced`] when this node gets none any more.
    pub async fn database(pool: &Pool) -> Result<(), Error> {
        loop {
            tokio::time::sleep(TRY_EVERY).await;
            match pool.get().await.map_err(Error::from) {
                Ok(_) => return Ok(()),
                Err(error) if error.is_fenced() => return Err(Error::Fenced),
                Err(_) => (),
            }
        }
    }

    /// Returns when it is known whether a batch is stored whose commit was not answered.
    ///
    /// # Errors
    /// As [`database`].
    pub async fn outcome(
        pool: &Pool,
        begun: &Begun,
        messages: &[NewMessage<'_>],
    ) -> Result<bool, Error> {
        loop {
            database(pool).await?;
            let Ok(db) = pool.get().await else { continue };
            match store::outcome(&db, begun, messages).await {
                Ok(Some(is_stored)) => return Ok(is_stored),
                Ok(None) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(error) => warn!(%error, "the outcome of a commit is not known yet"),
            }
        }
    }
}

/// One incarnation of this edge.
#[derive(Debug)]
pub struct Node {
    /// Its id.
    pub id: i32,
    /// For handlers.
    pub pool: Pool,
    /// Where sends go.
    pub writer: mpsc::Sender<writer::Item>,
    /// Where changes of state go.
    pub states: states::Handle,
    /// Where hellos go.
    pub hellos: mpsc::Sender<Waiting>,
    /// The way to other sockets, on any edge.
    pub relay: Arc<Relay>,
    /// What watches may look at.
    pub watches: Watches,
    /// How webhooks are shown.
    pub webhooks: Webhooks,
    /// Room for posts until they are told.
    pub posts: Arc<Semaphore>,
    /// Cancelled when the node takes no more and its sockets close.
    pub stop: CancellationToken,
    /// Cancelled when the node was declared dead.
    pub dead: CancellationToken,
    /// Cancelled when everything that works in the node's name is to end.
    over: CancellationToken,
    /// The sockets of the node.
    pub sockets: TaskTracker,
    intake: mpsc::UnboundedSender<In>,
    teller: mpsc::UnboundedSender<Tell>,
    settler: mpsc::UnboundedSender<settler::Received>,
    /// Rows that are with the settler.
    unsettled: Arc<Pending>,
    up: Arc<AtomicBool>,
    departures: TaskTracker,
}

impl Node {
    /// Enters a node in the database and starts everything that works in its name.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn start(
        connector: &Connector,
        region: &str,
        url: Option<&str>,
        peers_max: i64,
        watches: Watches,
        webhooks: Webhooks,
    ) -> Result<Arc<Self>, Error> {
        let first = connector.connect(Settings::Ordinary).await?;
        let id = nodes::create(&first, "edge", region, url).await?;
        let since = serve::horizon(&first).await?;
        let own = connector.of_node(id);
        let single = |settings| own.pool(settings, 1);

        let (intake, intake_queue) = mpsc::unbounded_channel();
        let (teller, teller_queue) = mpsc::unbounded_channel();
        let (notes, heard) = mpsc::channel(HEARD_MAX);
        let (relay, leaves) = Relay::new(id);
        let (parcels, relayed) = mpsc::channel(relay::HEARD_MAX);
        let (states, state_queue) = states::Handle::new(intake.clone());
        let (settler, settler_queue) = mpsc::unbounded_channel();
        let (writer, writer_queue) = mpsc::channel(writer::QUEUE_MAX);
        let (hellos, hello_queue) = mpsc::channel(limit::HELLOS_WAITING_MAX);
        let node = Arc::new(Self {
            id,
            pool: own.pool(Settings::Ordinary, POOL_MAX)?,
            writer,
            states,
            hellos,
            relay: relay.clone(),
            watches,
            webhooks,
            posts: Arc::new(Semaphore::new(limit::POSTS_AT_ONCE_MAX)),
            stop: CancellationToken::new(),
            dead: CancellationToken::new(),
            over: CancellationToken::new(),
            sockets: TaskTracker::new(),
            intake: intake.clone(),
            teller: teller.clone(),
            settler,
            unsettled: Arc::default(),
            up: Arc::new(AtomicBool::new(true)),
            departures: TaskTracker::new(),
        });

        let storing = Writer::new(single(Settings::Ordinary)?, teller.clone());
        node.work(storing.run(writer_queue));
        let telling = Teller { node: id, pool: single(Settings::Relaxed)?, intake: intake.clone() };
        node.work(telling.run(teller_queue));
        let pool = single(Settings::Relaxed)?;
        let spreading = Telling { node: id, pool: single(Settings::Relaxed)? };
        node.work(spreading.run(state_queue));
        let serving = Intake::new(id, pool, teller.clone(), relay.clone(), since);
        node.work(serving.run(intake_queue, heard));
        let unsettled = node.unsettled.clone();
        node.work(settler::run(single(Settings::Relaxed)?, settler_queue, unsettled));
        let greeting = Greeter {
            node: id,
            pool: single(Settings::Ordinary)?,
            peers_max,
            intake: intake.clone(),
            teller,
        };
        node.work(greeting.run(hello_queue));
        node.work(leaves.send(id, single(Settings::Relaxed)?));
        node.work(relay.clone().serve(single(Settings::Relaxed)?, relayed));
        node.work(relay.clone().keep_time());
        node.work(relay.watch(single(Settings::Relaxed)?));
        let heard = Heard { intake, notes, parcels };
        node.work(listen(own.clone(), id, heard));
        node.work(beat(single(Settings::Relaxed)?, node.clone()));
        node.work(watch(node.pool.clone()));
        info!(node = id, "node {id} is alive");
        Ok(node)
    }

    /// Does something in the node's name, until the node is over.
    fn work(&self, task: impl Future<Output = ()> + Send + 'static) {
        let over = self.over.clone();
        tokio::spawn(async move { over.run_until_cancelled(task).await });
    }

    /// Whether the database answered lately.
    pub fn database_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Tells other nodes, and our own.
    pub fn tell(&self, tell: Tell) {
        // The teller lives as long as the node.
        let _ = self.teller.send(tell);
    }

    /// Looks whether a session may be given more.
    pub fn wake(&self, session: i64) {
        let _ = self.intake.send(In::Wake(session));
    }

    /// Settles what `take` finds in a session's window.
    pub fn received(&self, session: &Session, take: impl FnOnce(&mut Window) -> Vec<(i64, i64)>) {
        let now = Instant::now();
        let (rows, wake) = {
            let mut window = session.window();
            (take(&mut window), window.wants_more())
        };
        for (seq, recipient) in rows {
            self.unsettled.add();
            let _ = self.settler.send((seq, recipient, now));
        }
        if wake {
            self.wake(session.mailbox);
        }
    }

    /// Notes that a session is not idle.
    pub async fn seen(&self, session: &Session) {
        let Ok(db) = self.pool.get().await else { return };
        if let Err(error) = sessions::seen(&db, session.mailbox, session.attach_no).await {
            debug!(%error, "a session was not noted as seen");
        }
    }

    /// Ends an attachment whose socket has ended: at once towards the mesh when the client closed
    /// it, after the grace otherwise.
    pub async fn leave(self: &Arc<Self>, session: &Arc<Session>, clean: bool) {
        // What the socket sent is stored first; a presence that has ended would have it skipped.
        let _ = tokio::time::timeout(LAST_SENDS, session.pending.wait()).await;
        let (done, place) = oneshot::channel();
        let _ = self.intake.send(In::Detach(session.clone(), done));
        let place = place.await.unwrap_or(0);
        let grace = if clean { Duration::ZERO } else { limit::GRACE };
        match self.end(session, grace, place).await {
            Ok(true) => {
                let (node, session) = (self.clone(), session.clone());
                self.departures.spawn(async move { node.depart(&session, grace).await });
            }
            Ok(false) => (),
            // The intake compares presences with sockets, and the sweep has the deadline.
            Err(error) => warn!(%error, session = %session.key, "a presence was not ended yet"),
        }
    }

    async fn end(&self, session: &Session, grace: Duration, place: u64) -> Result<bool, Error> {
        let mut db = self.pool.get().await?;
        let transaction = db.transaction().await?;
        let (mailbox, no) = (session.mailbox, session.attach_no);
        let withdrawn =
            presence::end(&transaction, mailbox, no, grace.as_secs_f64(), place).await?;
        transaction.commit().await?;
        let Some(rows) = withdrawn else { return Ok(false) };
        info!(mesh = %session.mesh_id, session = %session.key, no, "{} detached", session.name);
        if !rows.is_empty() {
            self.tell(Tell::Again(rows));
        }
        Ok(true)
    }

    /// Tells the mesh that a session has gone, unless it is back by then.
    async fn depart(&self, session: &Session, grace: Duration) {
        tokio::select! {
            () = tokio::time::sleep(grace + Duration::from_millis(50)), if !grace.is_zero() => (),
            () = std::future::ready(()), if grace.is_zero() => (),
            // The sweep does it from the stored deadline.
            () = self.stop.cancelled() => return,
        }
        skein_sql::fail::point("depart.before").await;
        let departed = async {
            let db = self.pool.get().await?;
            presence::depart(&db, session.mailbox, session.attach_no).await
        };
        match departed.await {
            Ok(Some(departure)) => {
                let data = serde_json::json!({
                    "name": departure.display_name, "pubkey": departure.key,
                });
                self.tell(Tell::Events(vec![Event {
                    mesh: departure.mesh,
                    except: None,
                    about: session.mailbox,
                    no: session.attach_no,
                    push: push::event(&session.mesh_id, "peer_left", data),
                }]));
                self.pause_clock(departure.mesh).await;
            }
            Ok(None) => (),
            Err(error) => debug!(%error, "a departure is left to the sweep"),
        }
    }

    /// Stops the clock of a mesh that nobody is in any more.
    async fn pause_clock(&self, mesh: i64) {
        let paused = async {
            let db = self.pool.get().await?;
            clock::pause_empty(&db, &[mesh]).await
        };
        if let Err(error) = paused.await {
            debug!(%error, "a clock is left to its next tick");
        }
    }

    /// Closes every socket and waits for their ends, at most `patience`.
    pub async fn close(&self, code: u16, reason: &'static str, patience: Duration) {
        self.stop.cancel();
        let _ = self.intake.send(In::CloseAll(code, reason));
        self.sockets.close();
        self.departures.close();
        if tokio::time::timeout(patience, self.sockets.wait()).await.is_err() {
            warn!("sockets were still open after {patience:?}");
        }
        let _ = tokio::time::timeout(patience, self.departures.wait()).await;
    }

    /// Ends everything that works in the node's name, after its sockets are closed.
    pub fn end_work(&self) {
        self.over.cancel();
    }

    /// Stops for good: takes no more, drains its sockets, and says so in the database.
    pub async fn drain(&self, patience: Duration) {
        let drained = async {
            let db = self.pool.get().await?;
            nodes::drain(&db, self.id).await
        };
        if let Err(error) = drained.await {
            warn!(%error, "the database was not told that this node drains");
        }
        self.close(1001, "shutting down", patience).await;
        // What was received is settled, and what was stored is told, before the node is over.
        let (told, last) = oneshot::channel();
        self.tell(Tell::Flush(told));
        let _ = tokio::time::timeout(patience, async {
            let _ = last.await;
            self.relay.flush().await;
            self.unsettled.wait().await;
        })
        .await;
        let retired = async {
            let db = self.pool.get().await?;
            nodes::retire(&db, self.id).await
        };
        if let Err(error) = retired.await {
            warn!(%error, "the database was not told that this node stopped");
        }
        self.end_work();
    }
}

/// Bumps the beat; finds out when the database is away, and when this node was declared dead.
async fn beat(pool: Pool, node: Arc<Node>) {
    let mut ticks = tokio::time::interval(limit::BEAT_INTERVAL / 5);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut answered = Instant::now();
    let mut bumped = Instant::now() - limit::BEAT_INTERVAL;
    loop {
        ticks.tick().await;
        let due = bumped.elapsed() >= limit::BEAT_INTERVAL;
        match beat_once(&pool, node.id, due).await {
            Ok(Ok(beat)) => {
                answered = Instant::now();
                if beat {
                    bumped = answered;
                }
                node.up.store(true, Ordering::Relaxed);
            }
            Ok(Err(error)) if error.is_fenced() => {
                error!(node = node.id, "this node was declared dead; starting again");
                node.dead.cancel();
                return;
            }
            Ok(Err(_)) | Err(_) => node.up.store(false, Ordering::Relaxed),
        }
        measure::database(node.database_up());
        if answered.elapsed() > limit::DATABASE_AWAY_MAX {
            warn!("the database was away for {:?}; closing the sockets", answered.elapsed());
            let _ = node.intake.send(In::CloseAll(1013, "the database is away"));
            answered = Instant::now();
        }
    }
}

/// Bumps the beat if that is due, else only asks whether the database answers; says which. A
/// connection that hangs is not used again.
async fn beat_once(
    pool: &Pool,
    node: i32,
    due: bool,
) -> Result<Result<bool, Error>, tokio::time::error::Elapsed> {
    let db = match pool.get().await {
        Ok(db) => db,
        Err(error) => return Ok(Err(error.into())),
    };
    let beaten = async {
        match due {
            true => nodes::beat(&db, node).await.map(|()| true),
            false => serve::horizon(&db).await.map(|_| false),
        }
    };
    let beaten = tokio::time::timeout(BEAT_PATIENCE, beaten).await;
    if beaten.is_err() {
        skein_sql::discard(db);
    }
    beaten
}

/// Measures how the database is, for `/metrics` and `skein doctor`.
async fn watch(pool: Pool) {
    let mut ticks = tokio::time::interval(HEALTH_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut said = BTreeSet::new();
    loop {
        ticks.tick().await;
        let health = async {
            let db = pool.get().await?;
            Ok::<_, Error>((health::read(&db).await?, duties::workers(&db).await?))
        };
        match health.await {
            Ok((health, workers)) => {
                measure::health(&health);
                measure::duties(&workers, &mut said);
            }
            Err(error) => debug!(%error, "the database was not measured"),
        }
    }
}

/// Where what is heard goes.
struct Heard {
    intake: mpsc::UnboundedSender<In>,
    notes: mpsc::Sender<Note>,
    parcels: mpsc::Sender<Parcels>,
}

/// Listens on the node's channel, again after every loss; each time something may have been missed.
async fn listen(connector: Connector, id: i32, heard: Heard) {
    loop {
        match hear(&connector, id, &heard).await {
            Ok(()) => warn!("the listening connection was lost"),
            Err(error) if error.is_fenced() => return,
            Err(error) => debug!(%error, "cannot listen yet"),
        }
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}

async fn hear(connector: &Connector, id: i32, heard: &Heard) -> Result<(), Error> {
    let Heard { intake, notes, parcels } = heard;
    let mut listener = connector.listener().await?;
    listener.listen(id).await?;
    let _ = intake.send(In::Gap);
    while let Some(notification) = listener.notifications.recv().await {
        match Note::read(&notification.payload) {
            // Nothing of the relay holds up messages: what has no room is dropped.
            Ok(Note::Relay(relayed)) => {
                if parcels.try_send(relayed).is_err() {
                    measure::relay_dropped(1);
                }
            }
            Ok(note) => {
                // A slow intake lets the listener fall behind, whose connection then ends: a gap.
                let _ = notes.send(note).await;
            }
            Err(error) => {
                warn!(%error, "a notification could not be read");
                let _ = intake.send(In::Gap);
            }
        }
    }
    Ok(())
}
