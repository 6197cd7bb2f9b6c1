//! The teller: says after the commit where messages are for. See delivery.md 4.
//!
//! It works through its queue one by one, and repeats what failed before it takes the next: what
//! leaves its connection stays in commit order. Every destination has a counter, so a node that
//! missed a notification knows.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use skein_sql::{
    Db, Error, Pool, clock,
    duties::{self, Kind},
    fail,
    serve::Body,
    tell,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tracing::warn;

use crate::{
    intake::In,
    measure,
    node::pause,
    note::{Event, Inline, Logged, Note, Rows, Told},
};

/// Room for a batch between the writer and the intake.
pub type Permit = Arc<OwnedSemaphorePermit>;

/// Something to tell.
#[derive(Debug)]
pub enum Tell {
    /// A batch that was committed; the permit is given back when its rows were taken.
    Batch(Vec<Stored>, Permit),
    /// Rows to resolve and tell again, as (seq, recipient).
    Again(Vec<(i64, i64)>),
    /// A session takes its member's mail from now on: (member, session).
    Backlog(i64, i64),
    /// System events, in the order in which they came.
    Events(Vec<Event>),
    /// The clock of a mesh was set or goes on: nodes are told that it has one, and workers that a
    /// tick may be due sooner than they know.
    Clock(i64),
    /// A note to certain nodes.
    To(Vec<i32>, Note),
    /// Answered when everything before it was told.
    Flush(oneshot::Sender<()>),
}

/// A message that was committed.
#[derive(Debug)]
pub struct Stored {
    /// The message.
    pub body: Body,
    /// Direct: its mailbox and the node that had it when it was stored.
    pub recipient: Option<(i64, i32)>,
    /// Whether its sender attached a moment ago.
    pub fresh: bool,
    /// When it was read from the socket.
    pub since: Instant,
}

/// What the teller needs.
#[derive(Debug)]
pub struct Teller {
    /// This node.
    pub node: i32,
    /// Its own connection, whose commits do not wait for the disk.
    pub pool: Pool,
    /// The node's own intake.
    pub intake: mpsc::UnboundedSender<In>,
}

/// What one telling comes to: notes to other nodes, and rows for our own intake.
#[derive(Debug, Default)]
struct Round {
    rows: HashMap<i32, (Vec<Told>, Vec<Logged>)>,
}

impl Teller {
    /// Tells what comes, until nobody can say anything any more.
    pub async fn run(self, mut queue: mpsc::UnboundedReceiver<Tell>) {
        let mut counters: HashMap<i32, u64> = HashMap::new();
        while let Some(tell) = queue.recv().await {
            if let Tell::Flush(told) = tell {
                // Whoever asked may have stopped waiting.
                let _ = told.send(());
                continue;
            }
            while let Err(error) = self.once(&tell, &mut counters).await {
                if error.is_fenced() {
                    return;
                }
                warn!(%error, "telling waits for the database");
                if pause::database(&self.pool).await.is_err() {
                    return;
                }
                // Before anything newer: it may have been a crash.
                let _ = self.intake.send(In::Gap);
            }
        }
    }

    async fn once(&self, tell: &Tell, counters: &mut HashMap<i32, u64>) -> Result<(), Error> {
        let db = self.pool.get().await?;
        match tell {
            Tell::Batch(stored, permit) => {
                fail::point("tell.before").await;
                let round = self.locate_batch(&db, stored).await?;
                self.send(&db, round, Some(permit.clone()), counters).await?;
                for stored in stored {
                    measure::told(stored.since.elapsed());
                }
                fail::point("tell.after").await;
                Ok(())
            }
            Tell::Again(rows) => {
                let round = self.locate_rows(&db, rows, |_| None).await?;
                self.send(&db, round, None, counters).await
            }
            Tell::Backlog(member, session) => {
                tell::offer_backlog(&db, *member, *session, self.node).await?;
                let _ = self.intake.send(In::Wake(*session));
                Ok(())
            }
            Tell::Events(events) => self.events(&db, events).await,
            Tell::Clock(mesh) => {
                duties::wake(&db, Kind::Clock).await?;
                clock::announce(&db, &clock::heads(&db, &[*mesh]).await?).await
            }
            Tell::To(nodes, note) => self.note(&db, nodes, note).await,
            Tell::Flush(_) => Ok(()),
        }
    }

    /// Tells each node that has sessions of their meshes, in as few notes as hold them.
    async fn events(&self, db: &Db, events: &[Event]) -> Result<(), Error> {
        let mut meshes: Vec<i64> = events.iter().map(|event| event.mesh).collect();
        meshes.sort_unstable();
        meshes.dedup();
        let mut of_node: HashMap<i32, HashSet<i64>> = HashMap::new();
        for (mesh, node) in tell::log_nodes(db, &meshes).await? {
            of_node.entry(node).or_default().insert(mesh);
        }
        let mut notes = Vec::new();
        let mut own = Vec::new();
        for (node, meshes) in of_node {
            let events = events.iter().filter(|event| meshes.contains(&event.mesh)).cloned();
            if node == self.node {
                own = events.collect();
                continue;
            }
            let channel = skein_sql::nodes::channel(node);
            let payloads = Note::events(events.collect()).into_iter().map(Note::payload);
            notes.extend(payloads.map(|payload| (channel.clone(), payload)));
        }
        if !notes.is_empty() {
            tell::notify(db, &notes).await?;
        }
        if !own.is_empty() {
            let _ = self.intake.send(In::Note(Note::Events { l: own }));
        }
        Ok(())
    }

    /// Sends a note to nodes, ourselves among them perhaps.
    async fn note(&self, db: &Db, nodes: &[i32], note: &Note) -> Result<(), Error> {
        let payload = note.clone().payload();
        let others: Vec<(String, String)> = nodes
            .iter()
            .filter(|node| **node != self.node)
            .map(|node| (skein_sql::nodes::channel(*node), payload.clone()))
            .collect();
        if !others.is_empty() {
            tell::notify(db, &others).await?;
        }
        if nodes.contains(&self.node) {
            let _ = self.intake.send(In::Note(note.clone()));
        }
        Ok(())
    }

    async fn locate_batch(&self, db: &Db, stored: &[Stored]) -> Result<Round, Error> {
        let direct: Vec<(i64, i64)> = stored
            .iter()
            .filter_map(|s| s.recipient.map(|(recipient, _)| (s.body.seq, recipient)))
            .collect();
        let by_seq: HashMap<i64, &Stored> = stored.iter().map(|s| (s.body.seq, s)).collect();
        let mut round = self.locate_rows(db, &direct, |seq| by_seq.get(&seq).copied()).await?;

        let mut meshes: Vec<i64> =
            stored.iter().filter(|s| s.body.multicast).map(|s| s.body.mesh).collect();
        meshes.sort_unstable();
        meshes.dedup();
        if !meshes.is_empty() {
            let nodes = tell::log_nodes(db, &meshes).await?;
            for s in stored.iter().filter(|s| s.body.multicast) {
                for (_, node) in nodes.iter().filter(|(mesh, _)| *mesh == s.body.mesh) {
                    round.rows.entry(*node).or_default().1.push(Logged {
                        s: s.body.seq,
                        m: s.body.mesh,
                        a: s.body.sender,
                        t: s.body.target.clone(),
                        x: s.body.xid,
                        b: (!s.fresh).then(|| Inline::of(&s.body)),
                    });
                }
            }
        }
        Ok(round)
    }

    /// Resolves rows afresh, corrects who is told of them, offers member mail, and says what each
    /// node is to be told. `stored` knows the bodies that may travel along.
    async fn locate_rows<'a>(
        &self,
        db: &Db,
        rows: &[(i64, i64)],
        stored: impl Fn(i64) -> Option<&'a Stored>,
    ) -> Result<Round, Error> {
        let mut round = Round::default();
        if rows.is_empty() {
            return Ok(round);
        }
        let told = |seq| stored(seq).and_then(|s| s.recipient).map(|(_, node)| node);
        let rows: Vec<(i64, i64, Option<i32>)> =
            rows.iter().map(|&(seq, recipient)| (seq, recipient, told(seq))).collect();
        for (seq, located) in tell::resolve(db, &rows).await? {
            let inline = stored(seq)
                .filter(|s| !s.fresh && !located.fresh && !located.member_mail)
                .map(|s| Inline::of(&s.body));
            let told = Told { s: seq, r: located.recipient, o: located.session, b: inline };
            round.rows.entry(located.node).or_default().0.push(told);
        }
        Ok(round)
    }

    /// Notifies each node once; our own intake gets its rows as they are.
    async fn send(
        &self,
        db: &Db,
        round: Round,
        permit: Option<Permit>,
        counters: &mut HashMap<i32, u64>,
    ) -> Result<(), Error> {
        let mut notes = Vec::new();
        let mut own = None;
        let mut counted = Vec::new();
        for (node, (d, l)) in round.rows {
            if node == self.node {
                own = Some((d, l));
                continue;
            }
            let c = counters.get(&node).map_or(1, |c| c + 1);
            counted.push((node, c));
            let rows = Rows { w: self.node, c, d, l, cut: false };
            notes.push((skein_sql::nodes::channel(node), Note::Rows(rows).payload()));
        }
        if !notes.is_empty() {
            tell::notify(db, &notes).await?;
            counters.extend(counted);
        }
        if let Some((d, l)) = own {
            let _ = self.intake.send(In::Own(d, l, permit));
        }
        Ok(())
    }
}
