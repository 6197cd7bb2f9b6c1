//! Messages that come without a socket: what a webhook was given, what an API key sends.
//!
//! They are stored and told as the writer's are, one transaction each: there is no attachment to
//! lock, and nobody waits for a frame. They count as fresh, so that every recipient reads them from
//! its page or from the log, in their order, and no body travels in a note. When the connection is
//! lost in a commit, the caller learns that the outcome is not known, and repeats it under its id.

use std::{sync::Arc, time::Instant};

use skein_sql::{
    Db, SqlState, api_keys,
    serve::Body,
    store::{self, Begun, NewMessage},
    webhooks,
};
use skein_wire::{Code, Priority};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::{
    mailboxes::Mailboxes,
    measure,
    node::{Node, pause},
    teller::{Stored, Tell},
    writer::Target,
};

/// How often a post is tried again whose transaction lost a race.
const TRIES_MAX: usize = 3;

/// A message to be stored.
#[derive(Debug)]
pub struct Post<'a> {
    /// The mesh's number.
    pub mesh: i64,
    /// The mailbox it is from; 0: none.
    pub sender: i64,
    /// The key that it was sealed with, or what stands in its place.
    pub sender_key: &'a str,
    /// Where to.
    pub target: &'a Target,
    /// How urgent.
    pub priority: Priority,
    /// As sent.
    pub nonce: &'a str,
    /// As sent.
    pub ciphertext: &'a str,
    /// The id it gets.
    pub message_id: Uuid,
    /// The hash of its body, where repeats are recognised.
    pub body_hash: Option<[u8; 16]>,
    /// What else is done in its transaction.
    pub beside: Beside<'a>,
}

/// What else is done in the transaction that stores a message.
#[derive(Debug, Clone, Copy)]
pub enum Beside<'a> {
    /// Nothing.
    Nothing,
    /// An API key of this id sends it: it is in the key's history.
    ApiKey(&'a str),
    /// It is what a webhook was given.
    Webhook {
        /// The id of a signed one, and the hash of the post's own id: good once.
        once: Option<(&'a str, &'a [u8; 32])>,
        /// Whether it is an event, which sessions that hide get too.
        is_event: bool,
    },
}

/// What became of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posted {
    /// How many it is for.
    pub recipients: u64,
    /// How many of those are attached.
    pub online: u64,
}

/// Why a post was not stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// We said no.
    #[error("refused: {}", .0.message())]
    Refused(Code),

    /// The database failed; after a lost connection it is not known whether the post is stored.
    #[error("database")]
    Sql(#[from] skein_sql::Error),
}

/// Stores a message, and tells where it is for.
///
/// # Errors
/// `unknown_target`, `mailbox_full`, `mesh_full`, `id_reused`, `replayed`, or the database's.
pub async fn post(node: &Node, post: &Post<'_>) -> Result<Posted, Error> {
    let mut tries = 1;
    loop {
        match once(node, post).await {
            Err(Error::Sql(error)) if error.is_missing_partition() && tries < TRIES_MAX => {
                pause::partition(&node.pool).await;
            }
            Err(Error::Sql(error)) if error.is_retriable() && tries < TRIES_MAX => (),
            // Its id was being stored at that moment: now it is known.
            Err(Error::Sql(error))
                if error.state() == Some(&SqlState::UNIQUE_VIOLATION)
                    && post.body_hash.is_some()
                    && tries < TRIES_MAX => {}
            outcome => return outcome,
        }
        tries += 1;
    }
}

/// A connection whose transaction may be open: it is not used again, unless that is over. Whoever
/// asked may have gone in the middle, and then nothing runs here but this value's end.
struct Open(Option<Db>);

impl Open {
    fn db(&self) -> &Db {
        self.0.as_ref().expect("it is there until its transaction is over")
    }

    /// The transaction is over: the connection goes back to its pool.
    fn over(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(db) = self.0.take() {
            skein_sql::discard(db);
        }
    }
}

async fn once(node: &Node, post: &Post<'_>) -> Result<Posted, Error> {
    let open = Open(Some(node.pool.get().await.map_err(skein_sql::Error::from)?));
    let db = open.db();
    let begun = begin(db, post).await?;
    let to = begun.targets.first().cloned().flatten();
    if let (Some(known), Some(hash)) = (begun.known.get(&post.message_id), post.body_hash) {
        let (is_same, seq) = (known.body_hash == hash, known.seq);
        if !is_same {
            return Err(Error::Refused(Code::IdReused));
        }
        let Some(to) = &to else { return Ok(heard_by(db, post).await?) };
        node.tell(Tell::Again(vec![(seq, to.mailbox)]));
        return Ok(Posted { recipients: 1, online: (to.node != 0).into() });
    }
    let decided = decide(db, &begun, post, to.as_ref()).await?;
    let recipient = to.map(|to| (to.mailbox, to.node));
    let message = message(post, begun.seqs[0], recipient);
    store::finish(db, &begun, &[message]).await?;
    open.over();
    measure::routed(post.priority);
    tell(node, post, &begun, recipient, &decided.hidden);
    Ok(decided.posted)
}

async fn begin(db: &Db, post: &Post<'_>) -> Result<Begun, skein_sql::Error> {
    let targets = match post.target {
        Target::Key(key) => vec![(post.mesh, key.clone())],
        Target::Multicast(_) => Vec::new(),
    };
    let ids: Vec<Uuid> = post.body_hash.map(|_| post.message_id).into_iter().collect();
    store::begin(db, &[], &targets, &ids, 1).await
}

/// What a post comes to.
struct Decided {
    posted: Posted,
    /// The sessions that hide and get it nevertheless.
    hidden: Vec<i64>,
}

async fn decide(
    db: &Db,
    begun: &Begun,
    post: &Post<'_>,
    to: Option<&store::Resolved>,
) -> Result<Decided, Error> {
    if let Beside::Webhook { once: Some((webhook, id_hash)), .. } = post.beside
        && !webhooks::take(db, post.mesh, webhook, id_hash).await?
    {
        return Err(Error::Refused(Code::Replayed));
    }
    if let Beside::ApiKey(id) = post.beside {
        let sent = [(begun.seqs[0], begun.at)];
        api_keys::note(db, post.mesh, id, &sent, true).await?;
    }
    let n_bytes = post.nonce.len() + post.ciphertext.len();
    if matches!(post.target, Target::Key(_)) {
        let to = to.ok_or(Error::Refused(Code::UnknownTarget))?;
        let mut mailboxes = Mailboxes::default();
        mailboxes.refresh(db, &[(post.mesh, to.mailbox)]).await?;
        mailboxes.take(post.mesh, to.mailbox, n_bytes).map_err(Error::Refused)?;
        let posted = Posted { recipients: 1, online: (to.node != 0).into() };
        return Ok(Decided { posted, hidden: Vec::new() });
    }
    if let Beside::Webhook { is_event: true, .. } = post.beside {
        let (seq, at) = (begun.seqs[0], begun.at);
        let hidden = webhooks::reach_hidden(db, post.mesh, seq, at, n_bytes).await?;
        let online = count(webhooks::here(db, post.mesh).await?);
        return Ok(Decided { posted: Posted { recipients: online, online }, hidden });
    }
    Ok(Decided { posted: heard_by(db, post).await?, hidden: Vec::new() })
}

/// How many a multicast is for.
async fn heard_by(db: &Db, post: &Post<'_>) -> Result<Posted, skein_sql::Error> {
    let group = post.target.text().strip_prefix('@').filter(|group| *group != "all");
    let online = count(store::audience(db, post.mesh, group).await?);
    Ok(Posted { recipients: online, online })
}

fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

fn message<'a>(post: &'a Post<'_>, seq: i64, recipient: Option<(i64, i32)>) -> NewMessage<'a> {
    NewMessage {
        seq,
        mesh: post.mesh,
        message_id: post.message_id,
        body_hash: post.body_hash.as_ref().map(<[u8; 16]>::as_slice),
        sender: post.sender,
        sender_key: post.sender_key,
        target: post.target.text(),
        priority: priority(post.priority),
        nonce: post.nonce,
        ciphertext: post.ciphertext,
        recipient,
    }
}

fn priority(of: Priority) -> i16 {
    match of {
        Priority::Now => 0,
        Priority::Next => 1,
        Priority::Low => 2,
    }
}

fn tell(
    node: &Node,
    post: &Post<'_>,
    begun: &Begun,
    recipient: Option<(i64, i32)>,
    hidden: &[i64],
) {
    let seq = begun.seqs[0];
    let body = Body {
        seq,
        mesh: post.mesh,
        message_id: post.message_id,
        sender: post.sender,
        sender_key: post.sender_key.to_owned(),
        target: post.target.text().to_owned(),
        priority: priority(post.priority),
        // What is fresh is told without its body.
        nonce: String::new(),
        ciphertext: String::new(),
        multicast: recipient.is_none(),
        at: begun.at,
        subtype: None,
        xid: begun.xid.parse().unwrap_or(0),
    };
    let stored = Stored { body, recipient, fresh: true, since: Instant::now() };
    let room = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("it was just made");
    node.tell(Tell::Batch(vec![stored], Arc::new(room)));
    if !hidden.is_empty() {
        node.tell(Tell::Again(hidden.iter().map(|session| (seq, *session)).collect()));
    }
}
