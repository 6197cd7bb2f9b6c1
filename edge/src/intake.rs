//! The intake: one ordered stream of what a node is told, and the only place that pushes messages.
//!
//! Announced rows are pushed as they come, unless they are fresh, unknown, or their session is
//! behind: then the session's page is read, one query for all sessions of a turn. Every two seconds,
//! and after every gap, a look finds what nothing announced. See delivery.md 5.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use skein_sql::{Error, Pool, fail, presence, serve, sessions};
use skein_wire::{Status, hello::HelloAck, limit};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

use crate::{
    log::Log,
    measure,
    note::{Logged, Note, Rows, Told},
    push,
    relay::Relay,
    session::{Out, Session, Snapshot},
    states::States,
    teller::{Permit, Tell},
    ticks::Ticks,
};

/// Rows that one look reads; past it every session's page is read instead.
const LOOK_ROWS_MAX: i64 = 5000;
/// Messages taken from the queue before what they ask for is read.
const TURN_MAX: usize = 256;
/// Sessions made live at once: each may have missed [`limit::CATCH_UP_MAX`] multicasts.
const ADMITTED_AT_ONCE: usize = 64;
/// Sessions and meshes whose last events are remembered; past it they are forgotten.
const EVENTS_REMEMBERED_MAX: usize = 100_000;
/// How soon a failed read is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// Rows for sessions that are not here are handed back no faster than this: a presence without a
/// socket would send them round and round.
const ASTRAY_EVERY: Duration = Duration::from_millis(100);
/// A crash of the database takes back commits that did not wait for the disk, and gives the numbers
/// of their transactions out again: those of three times `wal_writer_delay` (200 ms), with room. A
/// look or a place that started behind such a number would miss what gets it next.
const TAKEN_BACK_MAX: Duration = Duration::from_millis(1500);
/// Places in the log are written this often.
const PLACES_EVERY: Duration = Duration::from_secs(1);
/// The database's presences of this node are compared with the sockets this often.
const COMPARE_EVERY: Duration = Duration::from_secs(10);

/// Something for the intake.
#[derive(Debug)]
pub enum In {
    /// A session was attached: its first page, then its acknowledgement, then live traffic.
    Attach(Box<Arrived>),
    /// A session's socket has gone; answers with its place in the log.
    Detach(Arc<Session>, oneshot::Sender<u64>),
    /// Rows of our own writer; the permit is given back when they were taken.
    Own(Vec<Told>, Vec<Logged>, Option<Permit>),
    /// A note of our own to ourselves.
    Note(Note),
    /// Something may have been missed.
    Gap,
    /// A session may be given more: its status changed, its window has room, or it was offered mail.
    Wake(i64),
    /// Every socket is to close with this code and reason.
    CloseAll(u16, &'static str),
}

/// A session that was attached and waits for its first page.
#[derive(Debug)]
pub struct Arrived {
    /// The session.
    pub session: Arc<Session>,
    /// What it is told; the multicasts left out are still to be counted.
    pub ack: HelloAck,
    /// Where its log starts.
    pub start: serve::Start,
    /// Told when the session is live.
    pub ready: oneshot::Sender<()>,
}

/// The intake of a node.
#[derive(Debug)]
pub struct Intake {
    node: i32,
    pool: Pool,
    teller: mpsc::UnboundedSender<Tell>,
    relay: Arc<Relay>,
    sessions: HashMap<i64, Arc<Session>>,
    by_mesh: HashMap<i64, Vec<Arc<Session>>>,
    /// Sessions whose page has to be read.
    dirty: HashSet<i64>,
    /// Attached sessions that wait for their first page.
    arrived: Vec<Arrived>,
    /// How many of them are made live at once.
    admits: usize,
    /// Rows for sessions that are not here.
    astray: Vec<(i64, i64)>,
    astray_at: Instant,
    /// The last counter heard from every writer.
    heard: HashMap<i32, u64>,
    log: Log,
    states: States,
    ticks: Ticks,
    /// The next look starts at this xid.
    since: i64,
    /// The xmin of a later look, and when that was: where looks start once no crash of the database
    /// can give its transactions' numbers to others.
    ahead: (Instant, i64),
    look_due: bool,
    events: HashMap<i64, i64>,
    event_budget: HashMap<i64, (Instant, u32)>,
    ghosts: HashSet<(i64, i64)>,
    /// Sessions whose socket was closed and that had not left when that was last looked at.
    closed: HashSet<(i64, i64)>,
    places_at: Instant,
    compared_at: Instant,
}

impl Intake {
    /// An intake that looks from xid `since` on.
    pub fn new(
        node: i32,
        pool: Pool,
        teller: mpsc::UnboundedSender<Tell>,
        relay: Arc<Relay>,
        since: i64,
    ) -> Self {
        Self {
            node,
            pool,
            teller,
            relay,
            sessions: HashMap::new(),
            by_mesh: HashMap::new(),
            dirty: HashSet::new(),
            arrived: Vec::new(),
            admits: ADMITTED_AT_ONCE,
            astray: Vec::new(),
            astray_at: Instant::now(),
            heard: HashMap::new(),
            log: Log::default(),
            states: States::default(),
            ticks: Ticks::default(),
            since,
            ahead: (Instant::now(), since),
            look_due: true,
            events: HashMap::new(),
            event_budget: HashMap::new(),
            ghosts: HashSet::new(),
            closed: HashSet::new(),
            places_at: Instant::now(),
            compared_at: Instant::now(),
        }
    }

    /// Serves what its own node says (`queue`) and what others told it (`heard`).
    pub async fn run(
        mut self,
        mut queue: mpsc::UnboundedReceiver<In>,
        mut heard: mpsc::Receiver<Note>,
    ) {
        let mut looks = tokio::time::interval(limit::LOOK_INTERVAL);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut retry = tokio::time::interval(RETRY);
        retry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = queue.recv() => {
                    let Some(message) = message else { return };
                    self.take(message);
                }
                Some(note) = heard.recv() => self.note(note),
                _ = looks.tick() => self.look_due = true,
                _ = retry.tick(), if self.has_work() => (),
            }
            for _ in 1..TURN_MAX {
                match (queue.try_recv(), heard.try_recv()) {
                    (Err(_), Err(_)) => break,
                    (message, note) => {
                        if let Ok(message) = message {
                            self.take(message);
                        }
                        if let Ok(note) = note {
                            self.note(note);
                        }
                    }
                }
            }
            if let Err(error) = self.work().await {
                warn!(%error, "serving waits for the database");
                // What was asked for is still asked for; nothing is taken until it was read, so
                // that nothing newer overtakes it.
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    fn has_work(&self) -> bool {
        self.look_due
            || self.log.wants_look()
            || self.states.has_work()
            || !self.astray.is_empty()
            || !self.dirty.is_empty()
            || !self.arrived.is_empty()
    }

    fn take(&mut self, message: In) {
        match message {
            In::Attach(arrived) => self.arrived.push(*arrived),
            In::Detach(session, done) => {
                self.remove(&session);
                // A connection that stopped waiting ends its presence without a place.
                let _ = done.send(session.window().place());
            }
            In::Own(direct, log, _permit) => self.announced(direct, log),
            In::Note(note) => self.note(note),
            In::Gap => self.look_due = true,
            In::Wake(session) => {
                if let Some(session) = self.sessions.get(&session) {
                    session.window().woken = false;
                    self.dirty.insert(session.mailbox);
                }
            }
            In::CloseAll(code, reason) => {
                self.sessions.values().for_each(|s| s.out.close(code, reason));
                self.arrived.iter().for_each(|a| a.session.out.close(code, reason));
            }
        }
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::Rows(rows) => self.rows(rows),
            Note::Look => self.look_due = true,
            Note::Event(event) => self.event(*event),
            Note::Events { l } => l.into_iter().for_each(|event| self.event(event)),
            Note::States { l } => {
                l.into_iter().for_each(|changed| self.states.announced(changed, self.since));
            }
            Note::Ticks { l } => l.iter().for_each(|head| self.ticks.tell(head, &self.by_mesh)),
            Note::Status { session } => {
                // The look reads the statuses of sessions that are thought to be busy; one that
                // became busy elsewhere is read here.
                if let Some(session) = self.sessions.get(&session) {
                    session.live().status = Status::Working;
                    self.look_due = true;
                }
            }
            Note::Close { member } => {
                let arrived = self.arrived.iter().map(|arrived| &arrived.session);
                for session in self.sessions.values().chain(arrived).filter(|s| s.member == member)
                {
                    session.out.close(1008, "unauthorized");
                }
            }
            Note::Replaced { session, no } => {
                if let Some(session) = self.sessions.get(&session)
                    && session.attach_no < no
                {
                    session.out.close(4409, "attached elsewhere");
                }
            }
            // The listener gives these to the relay.
            Note::Relay(_) => (),
        }
    }

    fn rows(&mut self, rows: Rows) {
        let expected = self.heard.get(&rows.w).map(|c| c + 1);
        if expected != Some(rows.c) || rows.cut {
            debug!(writer = rows.w, counter = rows.c, ?expected, "a gap");
            self.look_due = true;
        }
        self.heard.insert(rows.w, rows.c);
        self.announced(rows.d, rows.l);
    }

    fn announced(&mut self, direct: Vec<Told>, log: Vec<Logged>) {
        for told in direct {
            let Some(session) = self.sessions.get(&told.o) else {
                // One that is just arriving reads its page when it is here.
                if !self.arrived.iter().any(|a| a.session.mailbox == told.o) {
                    self.astray.push((told.s, told.r));
                }
                continue;
            };
            // What waits for a look or a page must not be overtaken.
            let waits = self.look_due || self.log.wants_look() || self.dirty.contains(&told.o);
            match told.b {
                Some(inline) if !waits => {
                    if !push::announced(session, told.s, told.r, &inline) {
                        self.dirty.insert(told.o);
                    }
                }
                _ => {
                    self.dirty.insert(told.o);
                }
            }
        }
        for logged in log {
            self.log.announced(logged, self.look_due, &self.by_mesh);
        }
    }

    fn event(&mut self, event: crate::note::Event) {
        if self.events.len() + self.event_budget.len() > EVENTS_REMEMBERED_MAX {
            self.events.clear();
            self.event_budget.clear();
        }
        let newest = self.events.entry(event.about).or_insert(event.no);
        if *newest > event.no {
            return;
        }
        *newest = event.no;
        let (since, spent) =
            self.event_budget.entry(event.mesh).or_insert_with(|| (Instant::now(), 0));
        if since.elapsed() >= Duration::from_secs(1) {
            (*since, *spent) = (Instant::now(), 0);
        }
        *spent += 1;
        if *spent > limit::PRESENCE_EVENTS_PER_SECOND {
            return;
        }
        let frame = skein_wire::encode(&event.push, None);
        for session in self.by_mesh.get(&event.mesh).into_iter().flatten() {
            if Some(session.mailbox) != event.except {
                session.out.frame(frame.clone());
            }
        }
    }

    fn insert(&mut self, session: &Arc<Session>) {
        self.relay.enter(session);
        if let Some(older) = self.sessions.insert(session.mailbox, session.clone()) {
            older.out.close(4409, "attached elsewhere");
            self.unlist(&older);
        }
        self.by_mesh.entry(session.mesh).or_default().push(session.clone());
    }

    fn remove(&mut self, session: &Arc<Session>) {
        self.relay.leave(session);
        let is_current =
            self.sessions.get(&session.mailbox).is_some_and(|s| Arc::ptr_eq(s, session));
        if is_current {
            self.sessions.remove(&session.mailbox);
            self.dirty.remove(&session.mailbox);
        }
        self.unlist(session);
        self.arrived.retain(|a| !Arc::ptr_eq(&a.session, session));
    }

    fn unlist(&mut self, session: &Arc<Session>) {
        if let Some(listed) = self.by_mesh.get_mut(&session.mesh) {
            listed.retain(|s| !Arc::ptr_eq(s, session));
            if listed.is_empty() {
                self.by_mesh.remove(&session.mesh);
            }
        }
    }

    /// Reads and pushes whatever was asked for since the last turn.
    async fn work(&mut self) -> Result<(), Error> {
        if !self.astray.is_empty() && self.astray_at.elapsed() > ASTRAY_EVERY {
            self.astray_at = Instant::now();
            // The teller lives as long as the node.
            let _ = self.teller.send(Tell::Again(std::mem::take(&mut self.astray)));
        }
        if self.look_due {
            self.look().await?;
        } else if self.log.wants_look() {
            let db = self.pool.get().await?;
            self.log.look(&db, self.since, false, &self.by_mesh).await?;
        }
        if !self.arrived.is_empty() {
            self.admit().await?;
        }
        if !self.dirty.is_empty() {
            let pushed = push::pages(&self.pool, &self.sessions, &self.dirty).await?;
            self.dirty.clear();
            measure::paged(pushed);
        }
        if self.states.has_work() {
            let db = self.pool.get().await?;
            self.states.work(&db, &self.by_mesh).await?;
        }
        self.log.trim();
        self.states.trim(self.since);
        Ok(())
    }

    /// Makes the arrived sessions live: reads what they missed, acknowledges, and pushes.
    async fn admit(&mut self) -> Result<(), Error> {
        fail::point("attach.before_read").await;
        let db = self.pool.get().await?;
        // What is in the log of a mesh that is new here came before its first session: a look must
        // not bring it behind what comes next.
        let mut meshes: Vec<i64> = self.arrived.iter().map(|a| a.session.mesh).collect();
        meshes.sort_unstable();
        meshes.dedup();
        self.ticks.begin(&db, &meshes, &self.by_mesh).await?;
        meshes.retain(|mesh| !self.by_mesh.contains_key(mesh));
        if !meshes.is_empty() {
            self.log.read(&db, &meshes, self.since, &self.by_mesh).await?;
            self.states.begin(&db, &meshes, self.since).await?;
        }
        // Of a snapshot before those that read what was missed, and no later than looks are sure of.
        let horizon = serve::horizon(&db).await?.min(self.since);
        let horizon = u64::try_from(horizon).unwrap_or(0);
        loop {
            // Those whose socket has gone meanwhile are not waited for.
            self.arrived.retain(|arrived| !arrived.session.out.closed.is_cancelled());
            if self.arrived.is_empty() {
                break;
            }
            let turn = &self.arrived[..self.arrived.len().min(self.admits)];
            let coming: Vec<serve::Coming> = turn
                .iter()
                .map(|Arrived { session, start, .. }| {
                    let targets = session.log_targets();
                    let (mesh, session) = (session.mesh, session.mailbox);
                    serve::Coming { mesh, session, start, targets }
                })
                .collect();
            let missed = match serve::catch_up(&db, &coming).await {
                // Too much for one statement's time: then fewer of them.
                Err(error) if error.is_retriable() && coming.len() > 1 => {
                    self.admits = coming.len() / 2;
                    continue;
                }
                // One alone is too much: it must not hold up everybody else.
                Err(error) if error.is_retriable() => {
                    warn!(%error, "what a session missed could not be read in time");
                    self.arrived.remove(0).session.out.close(1013, "too far behind");
                    continue;
                }
                missed => missed?,
            };
            self.admits = ADMITTED_AT_ONCE.min(2 * self.admits);
            let turn: Vec<Arrived> = self.arrived.drain(..missed.len()).collect();
            for (arrived, missed) in turn.into_iter().zip(missed) {
                self.begin(arrived, missed, horizon);
            }
        }
        Ok(())
    }

    /// Makes a session live that missed these multicasts, and older ones that are left out.
    fn begin(
        &mut self,
        mut arrived: Arrived,
        (missed, left_out): (Vec<serve::Missed>, u64),
        horizon: u64,
    ) {
        let session = arrived.session;
        arrived.ack.left_out = (left_out > 0).then_some(left_out);
        session.out.send(Out::Frame(skein_wire::encode(&arrived.ack, None)));
        self.insert(&session);
        let start = &arrived.start;
        let snapshot = start.snapshot.as_ref().and_then(|(text, at)| Snapshot::read(text, *at));
        session.window().begin_after(snapshot);
        Log::catch_up(&session, &missed, horizon);
        self.dirty.insert(session.mailbox);
        if session.caps.inbox {
            let _ = self.teller.send(Tell::Backlog(session.member, session.mailbox));
        }
        // A connection that has gone meanwhile detaches next, or is found by `compare`.
        let _ = arrived.ready.send(());
    }

    /// Finds what nothing announced, and checks what only time can tell.
    async fn look(&mut self) -> Result<(), Error> {
        let mut db = self.pool.get().await?;
        let look = serve::look(&db, self.node, self.since, LOOK_ROWS_MAX).await?;
        if look.cut {
            // More than a look reads: every session reads its page, every member its backlog.
            self.dirty.extend(self.sessions.keys().copied());
            for session in self.sessions.values().filter(|s| s.caps.inbox) {
                let _ = self.teller.send(Tell::Backlog(session.member, session.mailbox));
            }
        }
        for (seq, recipient, offered, node) in look.rows {
            let of = offered.unwrap_or(recipient);
            match self.sessions.get(&of) {
                Some(session) if session.window().has(seq) => (),
                Some(_) => {
                    self.dirty.insert(of);
                }
                // Nobody's row for one of ours, or one told to us for a session that has gone.
                None if node != self.node || !self.is_arriving(of) => {
                    self.astray.push((seq, recipient));
                }
                None => (),
            }
        }
        self.log.look(&db, self.since, true, &self.by_mesh).await?;
        self.states.look(&db, self.since, &self.by_mesh).await?;
        self.ticks.look(&db, &self.by_mesh).await?;
        if self.ahead.0.elapsed() > TAKEN_BACK_MAX {
            self.since = std::mem::replace(&mut self.ahead, (Instant::now(), look.xmin)).1;
        }
        self.look_due = false;
        self.log.looked(self.since);
        self.statuses(&db).await?;
        let horizon = u64::try_from(self.since).unwrap_or(0);
        for session in self.sessions.values() {
            let mut window = session.window();
            window.advance(horizon);
            if window.is_stuck() {
                session.out.close(1013, "nothing was acknowledged");
            }
            if window.wants_more() {
                window.woken = false;
                self.dirty.insert(session.mailbox);
            }
        }
        if self.places_at.elapsed() > PLACES_EVERY {
            self.places_at = Instant::now();
            self.keep_places(&db).await?;
        }
        if self.compared_at.elapsed() > COMPARE_EVERY {
            self.compared_at = Instant::now();
            self.compare(&mut db).await?;
        }
        measure::attached(self.sessions.len());
        Ok(())
    }

    fn is_arriving(&self, mailbox: i64) -> bool {
        self.arrived.iter().any(|a| a.session.mailbox == mailbox)
    }

    /// A lost status event must not hold messages.
    async fn statuses(&mut self, db: &skein_sql::Db) -> Result<(), Error> {
        let busy = self.sessions.values().filter(|s| !s.takes_everything());
        let changes: HashMap<i64, u64> =
            busy.map(|s| (s.mailbox, s.live().status_changes)).collect();
        let busy: Vec<i64> = changes.keys().copied().collect();
        if busy.is_empty() {
            return Ok(());
        }
        for (mailbox, word) in sessions::statuses(db, &busy).await? {
            let Some(session) = self.sessions.get(&mailbox) else { continue };
            let status = Status::parse(&word).unwrap_or_default();
            {
                let mut live = session.live();
                // What the session said itself meanwhile is newer than what was read.
                if changes.get(&mailbox) != Some(&live.status_changes) {
                    continue;
                }
                live.status = status;
            }
            if status == Status::Idle {
                self.dirty.insert(mailbox);
            }
        }
        Ok(())
    }

    async fn keep_places(&mut self, db: &skein_sql::Db) -> Result<(), Error> {
        let ours = self.sessions.values().filter(|s| s.caps.ack);
        let places: Vec<(i64, u64)> =
            ours.filter_map(|s| Some((s.mailbox, s.window().place_to_keep()?))).collect();
        if places.is_empty() {
            return Ok(());
        }
        presence::keep_places(db, &places).await
    }

    /// Compares the sockets with what the database has: a presence without a socket ends, a socket
    /// whose presence was lost asserts it again or closes.
    async fn compare(&mut self, db: &mut skein_sql::Db) -> Result<(), Error> {
        let here = presence::of_node(&*db, self.node).await?;
        let here: HashMap<i64, i64> = here.into_iter().collect();
        // A socket that was closed leaves at once; one whose task could not is taken out here.
        let closed: HashSet<(i64, i64)> = self
            .sessions
            .values()
            .filter(|s| s.out.closed.is_cancelled())
            .map(|s| (s.mailbox, s.attach_no))
            .collect();
        let before = std::mem::replace(&mut self.closed, closed.clone());
        for (mailbox, _) in closed.intersection(&before) {
            if let Some(session) = self.sessions.get(mailbox).cloned() {
                self.remove(&session);
            }
        }
        for session in self.sessions.values() {
            if here.get(&session.mailbox) == Some(&session.attach_no) {
                continue;
            }
            let (id, inbox) = (session.presence_id.as_str(), session.caps.inbox);
            let (mailbox, no) = (session.mailbox, session.attach_no);
            if !skein_sql::attach::reassert(&*db, self.node, mailbox, no, id, inbox).await? {
                session.out.close(4409, "attached elsewhere");
            } else {
                self.dirty.insert(mailbox);
            }
        }
        let ghosts: HashSet<(i64, i64)> = here
            .into_iter()
            .filter(|(mailbox, no)| {
                self.sessions.get(mailbox).is_none_or(|s| s.attach_no < *no)
                    && !self.is_arriving(*mailbox)
            })
            .collect();
        // Twice in a row: a hello that has just committed is not here yet.
        for (mailbox, no) in ghosts.intersection(&self.ghosts) {
            let grace_s = limit::GRACE.as_secs_f64();
            let transaction = db.transaction().await?;
            let ended = presence::end(&transaction, *mailbox, *no, grace_s, 0).await?;
            transaction.commit().await?;
            if let Some(rows) = ended {
                let _ = self.teller.send(Tell::Again(rows));
            }
        }
        self.ghosts = ghosts;
        Ok(())
    }
}
