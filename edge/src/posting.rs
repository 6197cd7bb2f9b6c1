//! Messages that come without a socket: what a webhook was given, what an API key sends.
//!
//! They are stored and told as the writer's are, one transaction each: there is no attachment to
//! lock, and nobody waits for a frame. They count as fresh, so that every recipient reads them from
//! its page or from the log, in their order, and no body travels in a note. When the connection is
//! lost in a commit, what became of it is asked over another; only if that cannot be known soon
//! does the caller learn that it is not known, and repeats it under its id.
//!
//! A node stores few of them at once, so that they never take every connection of its pool, and a
//! post keeps its place until it was told: when telling is slow, posting is. Whoever waits too long
//! for a place is told that nothing was stored.

use std::{sync::Arc, time::Instant};

use skein_sql::{
    Db, SqlState, api_keys,
    serve::Body,
    store::{self, Begun, NewMessage},
    webhooks::{self, Taken},
};
use skein_wire::{Code, Priority, limit, webhooks::EVERYBODY};
use tracing::warn;
use uuid::Uuid;

use crate::{
    mailboxes::Mailboxes,
    measure,
    node::{Node, pause},
    teller::{Permit, Stored, Tell},
    writer::Target,
};

/// How often a post is tried again whose transaction lost a race.
const TRIES_MAX: usize = 3;
/// Said when no place came free in time.
pub const BUSY: &str = "this edge stores as many posts as it may; nothing was stored, post again";
/// Said when there was no connection, or none any more, before the commit.
pub const LOST: &str = "the database does not answer; nothing was stored, post again";

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
    /// A signed webhook of this id was given it; the hash of the post's own id is good once.
    Once(&'a str, &'a [u8; 32]),
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

    /// No place came free in time; nothing was stored.
    #[error("{BUSY}")]
    Busy,

    /// There was no connection, or none any more; nothing was stored.
    #[error("{LOST}")]
    Lost(#[source] skein_sql::Error),

    /// The connection was lost in the commit, and whether the post is stored could not be asked.
    #[error("the outcome of a commit is not known")]
    Unknown(#[source] skein_sql::Error),

    /// The database refused it; nothing was stored.
    #[error("database")]
    Sql(#[source] skein_sql::Error),
}

impl From<skein_sql::Error> for Error {
    /// What fails before the commit.
    fn from(error: skein_sql::Error) -> Self {
        match error.is_connection() || matches!(error, skein_sql::Error::Pool(_)) {
            true => Self::Lost(error),
            false => Self::Sql(error),
        }
    }
}

/// Stores a message, and tells where it is for.
///
/// # Errors
/// `unknown_target`, `mailbox_full`, `mesh_full`, `id_reused`, `replayed`, `not_found` (the webhook
/// has ended), that there was no place in time, no connection, or the database's.
pub async fn post(node: &Node, post: &Post<'_>) -> Result<Posted, Error> {
    let place = node.posts.clone().acquire_owned();
    let place = tokio::time::timeout(limit::POST_PATIENCE, place).await;
    let place = Arc::new(place.map_err(|_| Error::Busy)?.expect("it is never closed"));
    let mut tries = 1;
    loop {
        match once(node, post, &place).await {
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

    /// Nothing of the transaction stays. The connection goes back, unless it does not answer.
    async fn roll_back(self) {
        if store::roll_back(self.db()).await {
            self.over();
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(db) = self.0.take() {
            skein_sql::discard(db);
        }
    }
}

/// What one try came to.
enum Tried {
    /// It is committed, and has to be told.
    Stored(Box<Stored>, Posted),
    /// The connection was lost in the commit: whether it is stored has to be asked.
    Cut(Box<Cut>),
    /// It was stored before: this row of it is told again.
    Repeat(Option<(i64, i64)>, Posted),
}

/// A commit that was not answered.
struct Cut {
    begun: Begun,
    stored: Stored,
    posted: Posted,
    error: skein_sql::Error,
}

async fn once(node: &Node, post: &Post<'_>, place: &Permit) -> Result<Posted, Error> {
    let open = Open(Some(node.pool.get().await.map_err(skein_sql::Error::from)?));
    let tried = store(open.db(), post).await;
    match tried {
        Ok(Tried::Stored(..)) => open.over(),
        _ => open.roll_back().await,
    }
    let (stored, posted) = match tried? {
        Tried::Stored(stored, posted) => (*stored, posted),
        Tried::Cut(cut) => became(node, post, *cut).await?,
        Tried::Repeat(row, posted) => {
            node.tell(Tell::Again(row.into_iter().collect()));
            // It keeps its place until then.
            node.tell(Tell::Batch(Vec::new(), place.clone()));
            return Ok(posted);
        }
    };
    measure::routed(post.priority);
    node.tell(Tell::Batch(vec![stored], place.clone()));
    Ok(posted)
}

/// What became of a commit that was not answered.
async fn became(node: &Node, post: &Post<'_>, cut: Cut) -> Result<(Stored, Posted), Error> {
    let Cut { begun, stored, posted, error } = cut;
    warn!(%error, "the connection was lost in a post's commit; asking what became of it");
    let messages = [message(post, begun.seqs[0], stored.recipient)];
    let asked = pause::outcome(&node.pool, &begun, &messages);
    match tokio::time::timeout(limit::POST_PATIENCE, asked).await {
        Ok(Ok(true)) => Ok((stored, posted)),
        Ok(Ok(false)) => Err(Error::Lost(error)),
        Ok(Err(_)) | Err(_) => Err(Error::Unknown(error)),
    }
}

/// Stores a post and commits, or says why not and may leave its transaction open.
async fn store(db: &Db, post: &Post<'_>) -> Result<Tried, Error> {
    let begun = begin(db, post).await?;
    let to = begun.targets.first().cloned().flatten();
    if let (Some(known), Some(hash)) = (begun.known.get(&post.message_id), post.body_hash) {
        if known.body_hash != hash {
            return Err(Error::Refused(Code::IdReused));
        }
        let row = to.as_ref().map(|to| (known.seq, to.mailbox));
        return Ok(Tried::Repeat(row, audience(db, post, to.as_ref()).await?));
    }
    beside(db, &begun, post).await?;
    let posted = decide(db, post, to.as_ref()).await?;
    let recipient = to.map(|to| (to.mailbox, to.node));
    let stored = stored(post, &begun, recipient);
    match store::finish(db, &begun, &[message(post, begun.seqs[0], recipient)]).await {
        Ok(()) => Ok(Tried::Stored(Box::new(stored), posted)),
        Err(error) if error.is_connection() => {
            Ok(Tried::Cut(Box::new(Cut { begun, stored, posted, error })))
        }
        Err(error) => Err(error.into()),
    }
}

async fn begin(db: &Db, post: &Post<'_>) -> Result<Begun, skein_sql::Error> {
    let targets = match post.target {
        Target::Key(key) => vec![(post.mesh, key.clone())],
        Target::Multicast(_) => Vec::new(),
    };
    let ids: Vec<Uuid> = post.body_hash.map(|_| post.message_id).into_iter().collect();
    store::begin(db, &[], &targets, &ids, 1).await
}

async fn beside(db: &Db, begun: &Begun, post: &Post<'_>) -> Result<(), Error> {
    match post.beside {
        Beside::Nothing => Ok(()),
        Beside::ApiKey(id) => {
            let sent = [(begun.seqs[0], begun.at)];
            Ok(api_keys::note(db, post.mesh, id, &sent, true).await?)
        }
        Beside::Once(webhook, id_hash) => {
            match webhooks::take(db, post.mesh, webhook, id_hash).await? {
                Taken::Now => Ok(()),
                Taken::Before => Err(Error::Refused(Code::Replayed)),
                Taken::Ended => Err(Error::Refused(Code::NotFound)),
            }
        }
    }
}

/// Whether there is room where it goes, and whom it is for.
async fn decide(db: &Db, post: &Post<'_>, to: Option<&store::Resolved>) -> Result<Posted, Error> {
    if matches!(post.target, Target::Key(_)) {
        let to = to.ok_or(Error::Refused(Code::UnknownTarget))?;
        let n_bytes = post.nonce.len() + post.ciphertext.len();
        let mut mailboxes = Mailboxes::default();
        mailboxes.refresh(db, &[(post.mesh, to.mailbox)]).await?;
        mailboxes.take(post.mesh, to.mailbox, n_bytes).map_err(Error::Refused)?;
    }
    Ok(audience(db, post, to).await?)
}

/// How many it is for.
async fn audience(
    db: &Db,
    post: &Post<'_>,
    to: Option<&store::Resolved>,
) -> Result<Posted, skein_sql::Error> {
    let n = match post.target {
        Target::Key(_) => {
            let online = to.is_some_and(|to| to.node != 0);
            return Ok(Posted { recipients: 1, online: online.into() });
        }
        Target::Multicast(target) if target == EVERYBODY => webhooks::here(db, post.mesh).await?,
        Target::Multicast(target) => {
            let group = target.strip_prefix('@').filter(|group| *group != "all");
            store::audience(db, post.mesh, group).await?
        }
    };
    let online = u64::try_from(n).unwrap_or(0);
    Ok(Posted { recipients: online, online })
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
        subtype: None,
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

/// What is told of a post.
fn stored(post: &Post<'_>, begun: &Begun, recipient: Option<(i64, i32)>) -> Stored {
    let body = Body {
        seq: begun.seqs[0],
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
    Stored { body, recipient, fresh: true, since: Instant::now() }
}
