//! The group-commit writer: one per edge. See delivery.md 4.
//!
//! While a commit runs, the next batch gathers. A batch is locked and resolved in one round trip,
//! decided here, and written and committed in a second. Only then is anybody acknowledged, and the
//! teller told. When the connection is lost around the commit, the outcome is asked before anything
//! is said.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use skein_sql::{
    Db, Error, Pool, fail,
    serve::Body,
    store::{self, Begun, NewMessage},
};
use skein_wire::{Code, Priority, Refusal, limit, messaging::Ack};
use tokio::sync::{Semaphore, mpsc};
use tracing::{error, warn};
use uuid::Uuid;

use crate::{
    mailboxes::Mailboxes,
    measure,
    node::pause,
    session::Session,
    teller::{Permit, Stored, Tell},
};

/// Sends that may wait for the writer; past it the edge stops reading sockets.
pub const QUEUE_MAX: usize = 4096;
/// Batches that may be stored and not yet served, of at most 1 MiB each.
const UNSERVED_MAX: usize = 64;
/// How long a writer whose last commit ended a moment ago waits for company.
const LINGER: Duration = Duration::from_micros(500);

/// A send on its way into the database.
#[derive(Debug)]
pub struct Item {
    /// Who sends.
    pub session: Arc<Session>,
    /// The sender's own id; empty when it gave none.
    pub id: String,
    /// What a refusal is matched by besides; an `ack` has none.
    pub req_id: Option<String>,
    /// The id it gets.
    pub message_id: Uuid,
    /// The hash of its body, where repeats are recognised.
    pub body_hash: Option<[u8; 16]>,
    /// Where to.
    pub target: Target,
    /// How urgent.
    pub priority: Priority,
    /// As sent.
    pub nonce: String,
    /// As sent.
    pub ciphertext: String,
    /// When it was read from the socket.
    pub since: Instant,
}

/// Where a send goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To a session's or member's key.
    Key(String),
    /// To everybody, or to a group: the target as it was written.
    Multicast(String),
}

impl Target {
    /// As it was written.
    pub fn text(&self) -> &str {
        match self {
            Self::Key(text) | Self::Multicast(text) => text,
        }
    }

    /// The path of the group, where the multicast is not for everybody.
    fn group(&self) -> Option<&str> {
        self.text().strip_prefix('@').filter(|group| *group != "all")
    }
}

/// What is decided of a send before anything is written.
#[derive(Debug)]
enum Verdict {
    /// To be stored; direct ones with their mailbox and where it is.
    Store { recipient: Option<(i64, i32)>, ack: Ack },
    /// Came before and is stored: acknowledged again.
    Repeat { ack: Ack, seq: i64, recipient: Option<i64> },
    /// Refused.
    Refuse(Code),
    /// The sender's presence has ended or was replaced: nothing is said.
    Skip,
}

/// What the writer needs.
#[derive(Debug)]
pub struct Writer {
    pool: Pool,
    /// Where batches are told.
    teller: mpsc::UnboundedSender<Tell>,
    /// Room for batches that are stored and not yet served.
    room: Arc<Semaphore>,
}

impl Writer {
    /// A writer with a connection of its own.
    pub fn new(pool: Pool, teller: mpsc::UnboundedSender<Tell>) -> Self {
        Self { pool, teller, room: Arc::new(Semaphore::new(UNSERVED_MAX)) }
    }

    /// Stores what comes, until nobody can send any more.
    pub async fn run(self, mut items: mpsc::Receiver<Item>) {
        let mut mailboxes = Mailboxes::default();
        let mut idle_since = Instant::now();
        while let Some(first) = items.recv().await {
            let mut batch = vec![first];
            gather(&mut batch, &mut items);
            if idle_since.elapsed() < LINGER && batch.len() < limit::BATCH_MESSAGES_MAX / 2 {
                tokio::time::sleep(LINGER).await;
                gather(&mut batch, &mut items);
            }
            measure::batch(batch.len());
            self.store(batch, &mut mailboxes).await;
            idle_since = Instant::now();
        }
    }

    /// Stores a batch whatever it takes: whole, after the database came back, or one by one when its
    /// data is the trouble.
    async fn store(&self, batch: Vec<Item>, mailboxes: &mut Mailboxes) {
        let mut waiting = vec![batch];
        while let Some(batch) = waiting.pop() {
            match self.once(&batch, mailboxes).await {
                Ok(()) => done(batch),
                Err(error) if error.is_retriable() => waiting.push(batch),
                Err(error) if error.is_missing_partition() => {
                    pause::partition(&self.pool).await;
                    waiting.push(batch);
                }
                Err(error) if error.is_fenced() => return done(batch),
                Err(error) if error.is_connection() => {
                    warn!(%error, n_messages = batch.len(), "storing waits for the database");
                    if pause::database(&self.pool).await.is_err() {
                        return done(batch);
                    }
                    waiting.push(batch);
                }
                Err(error) if batch.len() > 1 => {
                    warn!(
                        error = error.brief(),
                        n_messages = batch.len(),
                        "a batch failed, storing one by one"
                    );
                    waiting.extend(batch.into_iter().rev().map(|item| vec![item]));
                }
                Err(error) => {
                    error!(error = error.brief(), "a message could not be stored");
                    refuse(&batch[0], Code::Internal);
                    done(batch);
                }
            }
        }
    }

    async fn once(&self, batch: &[Item], mailboxes: &mut Mailboxes) -> Result<(), Error> {
        // What is stored and not yet served takes memory; past so much, storing waits.
        let permit = self.room.clone().acquire_owned().await.expect("it is never closed");
        let started = Instant::now();
        let db = self.pool.get().await?;
        let (begun, verdicts) = match self.begin(&db, batch, mailboxes).await {
            Ok(begun) => begun,
            Err(error) => {
                // Its transaction is open; the connection is not used again.
                skein_sql::discard(db);
                return Err(error);
            }
        };
        let messages: Vec<NewMessage<'_>> = batch
            .iter()
            .zip(&verdicts)
            .zip(&begun.seqs)
            .filter_map(|((item, verdict), seq)| match verdict {
                Verdict::Store { recipient, .. } => Some(message(item, *seq, *recipient)),
                _ => None,
            })
            .collect();
        self.commit(db, &begun, &messages).await?;
        measure::commit(started.elapsed());
        self.say(batch, verdicts, &begun, Arc::new(permit));
        Ok(())
    }

    /// Locks and resolves, and decides each send.
    async fn begin(
        &self,
        db: &Db,
        batch: &[Item],
        mailboxes: &mut Mailboxes,
    ) -> Result<(Begun, Vec<Verdict>), Error> {
        let mut senders: Vec<i64> = batch.iter().map(|item| item.session.mailbox).collect();
        senders.sort_unstable();
        senders.dedup();
        let mut targets: Vec<store::Target> = batch
            .iter()
            .filter_map(|item| match &item.target {
                Target::Key(key) => Some((item.session.mesh, key.clone())),
                Target::Multicast(_) => None,
            })
            .collect();
        targets.sort_unstable();
        targets.dedup();
        let ids: Vec<Uuid> =
            batch.iter().filter(|i| i.body_hash.is_some()).map(|i| i.message_id).collect();
        fail::point("store.before").await;
        let begun = store::begin(db, &senders, &targets, &ids, batch.len()).await?;
        fail::point("store.resolved").await;
        let verdicts = self.decide(db, batch, &begun, &targets, mailboxes).await?;
        Ok((begun, verdicts))
    }

    /// Decides each send: what is skipped, refused, known, or to be stored.
    async fn decide(
        &self,
        db: &Db,
        batch: &[Item],
        begun: &Begun,
        targets: &[store::Target],
        mailboxes: &mut Mailboxes,
    ) -> Result<Vec<Verdict>, Error> {
        let resolved = |item: &Item| {
            let key = (item.session.mesh, item.target.text().to_owned());
            targets.binary_search(&key).ok().and_then(|i| begun.targets[i].as_ref())
        };
        let direct: Vec<(i64, i64)> = batch
            .iter()
            .filter(|item| matches!(item.target, Target::Key(_)))
            .filter_map(|item| Some((item.session.mesh, resolved(item)?.mailbox)))
            .collect();
        mailboxes.refresh(db, &direct).await?;

        let mut audiences: HashMap<(i64, &str), u64> = HashMap::new();
        let mut seen: HashMap<Uuid, usize> = HashMap::new();
        let mut verdicts: Vec<Verdict> = Vec::with_capacity(batch.len());
        for (i, item) in batch.iter().enumerate() {
            let session = &item.session;
            let verdict = match begun.senders.get(&session.mailbox) {
                _ if session.skipped.load(Ordering::Relaxed) => Verdict::Skip,
                Some((no, _)) if *no == session.attach_no => {
                    match self.known(item, begun, batch, &seen, &verdicts, resolved(item)) {
                        Some(verdict) => verdict,
                        None => {
                            self.fresh_verdict(db, item, resolved(item), mailboxes, &mut audiences)
                                .await?
                        }
                    }
                }
                Some(_) => {
                    session.out.close(4409, "attached elsewhere");
                    Verdict::Skip
                }
                None => {
                    // The client comes back, and repeats what was not acknowledged.
                    session.out.close(1012, "attach again");
                    Verdict::Skip
                }
            };
            if matches!(verdict, Verdict::Skip) {
                session.skipped.store(true, Ordering::Relaxed);
            } else if item.body_hash.is_some() {
                // Not those that are skipped: the same send may come again over the attachment
                // that took this one's place, and is stored then, before what follows it.
                seen.entry(item.message_id).or_insert(i);
            }
            verdicts.push(verdict);
        }
        Ok(verdicts)
    }

    /// The verdict on a send whose id came before, in this batch or an earlier one.
    fn known(
        &self,
        item: &Item,
        begun: &Begun,
        batch: &[Item],
        seen: &HashMap<Uuid, usize>,
        verdicts: &[Verdict],
        resolved: Option<&store::Resolved>,
    ) -> Option<Verdict> {
        let hash = item.body_hash?;
        let recipient = resolved.map(|r| r.mailbox);
        if let Some(known) = begun.known.get(&item.message_id) {
            if known.body_hash != hash {
                return Some(Verdict::Refuse(Code::IdReused));
            }
            let online = resolved.map(|r| u64::from(r.node != 0));
            let ack = ack(item, online.map(|_| 1), online);
            return Some(Verdict::Repeat { ack, seq: known.seq, recipient });
        }
        let first = *seen.get(&item.message_id)?;
        if batch[first].body_hash != Some(hash) {
            return Some(Verdict::Refuse(Code::IdReused));
        }
        match &verdicts[first] {
            Verdict::Store { ack, .. } | Verdict::Repeat { ack, .. } => {
                Some(Verdict::Repeat { ack: ack.clone(), seq: begun.seqs[first], recipient })
            }
            Verdict::Refuse(code) => Some(Verdict::Refuse(*code)),
            Verdict::Skip => None,
        }
    }

    async fn fresh_verdict<'a>(
        &self,
        db: &Db,
        item: &'a Item,
        resolved: Option<&store::Resolved>,
        mailboxes: &mut Mailboxes,
        audiences: &mut HashMap<(i64, &'a str), u64>,
    ) -> Result<Verdict, Error> {
        if let Target::Multicast(target) = &item.target {
            if !item.session.caps.ack {
                return Ok(Verdict::Store { recipient: None, ack: ack(item, None, None) });
            }
            let key = (item.session.mesh, target.as_str());
            let everybody = match audiences.get(&key) {
                Some(peers) => *peers,
                None => {
                    let n = store::audience(db, item.session.mesh, item.target.group()).await?;
                    let n = u64::try_from(n).unwrap_or(0);
                    audiences.insert(key, n);
                    n
                }
            };
            // Its sender was counted if it is for the sender too.
            let peers = everybody.saturating_sub(u64::from(item.session.hears(target, 0)));
            let ack = ack(item, Some(peers), Some(peers));
            return Ok(Verdict::Store { recipient: None, ack });
        }
        let Some(to) = resolved else { return Ok(Verdict::Refuse(Code::UnknownTarget)) };
        let n_bytes = item.nonce.len() + item.ciphertext.len();
        if let Err(code) = mailboxes.take(item.session.mesh, to.mailbox, n_bytes) {
            return Ok(Verdict::Refuse(code));
        }
        let ack = ack(item, Some(1), Some(u64::from(to.node != 0)));
        Ok(Verdict::Store { recipient: Some((to.mailbox, to.node)), ack })
    }

    /// Writes and commits. Returns only when it is known that the batch is stored, or that it is not.
    async fn commit(
        &self,
        db: Db,
        begun: &Begun,
        messages: &[NewMessage<'_>],
    ) -> Result<(), Error> {
        let error = match store::finish(&db, begun, messages).await {
            Ok(()) => {
                fail::point("store.committed").await;
                return Ok(());
            }
            Err(error) => error,
        };
        // A refused statement leaves the transaction open; the connection is not used again.
        skein_sql::discard(db);
        if !error.is_connection() {
            return Err(error);
        }
        warn!(%error, "the connection was lost in a commit; asking what became of it");
        match pause::outcome(&self.pool, begun, messages).await? {
            true => Ok(()),
            false => Err(error),
        }
    }

    /// Acknowledges and refuses, and hands what was stored to the teller.
    fn say(&self, batch: &[Item], verdicts: Vec<Verdict>, begun: &Begun, permit: Permit) {
        let mut stored = Vec::new();
        let mut repeats = Vec::new();
        let mut repeated = HashSet::new();
        for ((item, verdict), seq) in batch.iter().zip(verdicts).zip(&begun.seqs) {
            match verdict {
                Verdict::Store { recipient, ack } => {
                    item.session.out.frame(skein_wire::encode(&ack, None));
                    measure::routed(item.priority);
                    let fresh =
                        begun.senders.get(&item.session.mailbox).is_some_and(|(_, fresh)| *fresh);
                    let body = body(item, *seq, begun);
                    stored.push(Stored { body, recipient, fresh, since: item.since });
                }
                Verdict::Repeat { ack, seq, recipient } => {
                    item.session.out.frame(skein_wire::encode(&ack, None));
                    if let Some(recipient) = recipient
                        && repeated.insert(seq)
                    {
                        repeats.push((seq, recipient));
                    }
                }
                Verdict::Refuse(code) => refuse(item, code),
                Verdict::Skip => (),
            }
        }
        // The teller lives as long as the node; without it nothing is served here any more.
        let _ = self.teller.send(Tell::Batch(stored, permit));
        if !repeats.is_empty() {
            let _ = self.teller.send(Tell::Again(repeats));
        }
    }
}

fn gather(batch: &mut Vec<Item>, items: &mut mpsc::Receiver<Item>) {
    let mut n_bytes: usize = batch.iter().map(|item| item.ciphertext.len()).sum();
    while batch.len() < limit::BATCH_MESSAGES_MAX && n_bytes < limit::BATCH_BYTES_MAX {
        let Ok(item) = items.try_recv() else { return };
        n_bytes += item.ciphertext.len();
        batch.push(item);
    }
}

fn done(batch: Vec<Item>) {
    for item in batch {
        item.session.pending.done();
    }
}

fn refuse(item: &Item, code: Code) {
    measure::refused(code);
    let refusal = Refusal::new(code).of_send(&item.id);
    item.session.out.frame(skein_wire::encode(&refusal, item.req_id.as_deref()));
}

/// The extensions go to those that asked for them.
fn ack(item: &Item, recipients: Option<u64>, online: Option<u64>) -> Ack {
    let ours = item.session.caps.ack;
    Ack {
        id: item.id.clone(),
        message_id: item.message_id.simple().to_string(),
        queued: true,
        recipients: recipients.filter(|_| ours),
        online: online.filter(|_| ours),
        version: None,
    }
}

fn priority(of: Priority) -> i16 {
    match of {
        Priority::Now => 0,
        Priority::Next => 1,
        Priority::Low => 2,
    }
}

fn message(item: &Item, seq: i64, recipient: Option<(i64, i32)>) -> NewMessage<'_> {
    NewMessage {
        seq,
        mesh: item.session.mesh,
        message_id: item.message_id,
        body_hash: item.body_hash.as_ref().map(<[u8; 16]>::as_slice),
        sender: item.session.mailbox,
        sender_key: &item.session.key,
        target: item.target.text(),
        priority: priority(item.priority),
        nonce: &item.nonce,
        ciphertext: &item.ciphertext,
        subtype: None,
        recipient,
    }
}

fn body(item: &Item, seq: i64, begun: &Begun) -> Body {
    Body {
        seq,
        mesh: item.session.mesh,
        message_id: item.message_id,
        sender: item.session.mailbox,
        sender_key: item.session.key.clone(),
        target: item.target.text().to_owned(),
        priority: priority(item.priority),
        nonce: item.nonce.clone(),
        ciphertext: item.ciphertext.clone(),
        multicast: matches!(item.target, Target::Multicast(_)),
        at: begun.at,
        subtype: None,
        xid: begun.xid.parse().unwrap_or(0),
    }
}
