//! Storing: one batch of sends in one transaction. See delivery.md 4.
//!
//! First round trip: [`begin`] locks the senders' presences, takes numbers, resolves targets and
//! looks up repeats, as separate pipelined statements: what the lock waited for is visible only to
//! the next one. The caller then decides refusals. Second: [`finish`] writes keys, messages and
//! deliveries and commits. Nothing is written for a send that was refused or skipped, not even its
//! key: a repeat of it would be acknowledged and is stored nowhere.

mod columns;

use std::{collections::HashMap, time::Duration};

use futures_util::future::{try_join, try_join3, try_join4, try_join5};
use jiff::Timestamp;
use skein_wire::limit;
use tokio_postgres::{error::SqlState, types::ToSql};
use uuid::Uuid;

use self::columns::Columns;
use crate::{Db, Error, GenericClient, Result, statement::statements};

statements! {
    XID = "
        select pg_current_xact_id()::text as xid, now() as at";

    SENDERS = "
        select session, attach_no, attached_at > now() - $2::float8 * interval '1 s' as fresh
          from presence
         where session = any($1)
         order by session
           for share";

    NUMBERS = "
        select nextval('message_seq') as seq
          from generate_series(1, $1::bigint)";

    RESOLVE = "
        select t.i, s.mailbox as session, m.mailbox as member,
               here.node, here.session as inbox_of
          from unnest($1::bigint[], $2::text[]) with ordinality as t(mesh, key, i)
          left join member m
               on m.mesh = t.mesh and m.pubkey = t.key and m.revoked_at is null
          left join (session s join member o on o.mailbox = s.member and o.revoked_at is null)
               on s.mesh = t.mesh and s.key = t.key
          left join lateral (
               select p.node, p.session, 0 as rank, p.attached_at
                 from presence p
                where p.session = s.mailbox
               union all
               select p.node, p.session, 1, p.attached_at
                 from presence p
                where p.member = m.mailbox and p.inbox
                order by rank, attached_at
                limit 1) here on true
         order by t.i";

    KEYS = "
        select message_id, body_hash, seq, at from send_key_0 where message_id = any($1)
        union all
        select message_id, body_hash, seq, at from send_key_1 where message_id = any($1)";

    TURN = "
        select current, since > now() - interval '30 s' as both
          from send_key_turn";

    AUDIENCE = "
        select count(*) as peers
          from presence p
          join session s on s.mailbox = p.session
         where p.mesh = $1 and s.visible
           and ($2::text is null or exists (
                   select from jsonb_array_elements(s.groups) g
                    where g->>'name' = $2 or starts_with(g->>'name', $2 || '/')))";

    LOAD = "
        select r.recipient, d.messages, d.bytes
          from unnest($1::bigint[]) as r(recipient)
          cross join lateral (
               select count(*) as messages, coalesce(sum(x.bytes), 0)::bigint as bytes
                 from (select bytes from delivery
                        where recipient = r.recipient
                        limit $2) x) d";

    MESH_LOAD = "
        select no, held_bytes
          from mesh
         where no = any($1)";

    KEY_0 = "
        insert into send_key_0 (message_id, body_hash, seq, at)
        select * from unnest($1::uuid[], $2::bytea[], $3::bigint[], $4::timestamptz[])";

    KEY_1 = "
        insert into send_key_1 (message_id, body_hash, seq, at)
        select * from unnest($1::uuid[], $2::bytea[], $3::bigint[], $4::timestamptz[])";

    MESSAGES = "
        insert into message (seq, mesh, message_id, sender, sender_key, target, priority, nonce,
                             ciphertext, kind, subtype, at, xid)
        select *, $12::timestamptz, pg_current_xact_id()
          from unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::bigint[], $5::text[], $6::text[],
                      $7::smallint[], $8::text[], $9::text[], $10::smallint[], $11::text[])";

    DELIVERIES = "
        insert into delivery (seq, recipient, mesh, node, class, bytes, at, xid)
        select *, $7::timestamptz, pg_current_xact_id()
          from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::integer[], $5::smallint[],
                      $6::integer[])";

    OUTCOME = "
        select pg_xact_status($1::text::xid8) as status";

    STORED = "
        select count(*) as n
          from unnest($1::bigint[], $2::uuid[]) as t(seq, message_id)
          join message m on m.seq = t.seq and m.message_id = t.message_id
         where m.at = $3";
}

/// How long a rollback may take: past it the connection is not worth waiting for.
const ROLL_BACK_PATIENCE: Duration = Duration::from_secs(1);

/// A target that a batch names: the mesh's number and a key.
pub type Target = (i64, String);

/// Where a key leads.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The mailbox: the session's, else the member's.
    pub mailbox: i64,
    /// The node that has it now; 0 when none has.
    pub node: i32,
}

/// A send that came before.
#[derive(Debug, Clone)]
pub struct Known {
    /// The hash of its body.
    pub body_hash: Vec<u8>,
    /// Its number.
    pub seq: i64,
}

/// What a batch finds when it begins.
#[derive(Debug)]
pub struct Begun {
    /// The transaction, for [`outcome`].
    pub xid: String,
    /// The time of everything stored in it.
    pub at: Timestamp,
    /// The senders that are attached: attachment number, and whether that is fresh.
    pub senders: HashMap<i64, (i64, bool)>,
    /// One number for every send, ascending.
    pub seqs: Vec<i64>,
    /// Where each target leads, in order; `None` where nowhere.
    pub targets: Vec<Option<Resolved>>,
    /// The sends that came before.
    pub known: HashMap<Uuid, Known>,
    /// Which table of keys is current, and whether a key goes into both.
    turn: (i16, bool),
}

/// A message to store.
#[derive(Debug)]
pub struct NewMessage<'a> {
    /// Its number.
    pub seq: i64,
    /// The mesh's number.
    pub mesh: i64,
    /// Its id.
    pub message_id: Uuid,
    /// The hash of its body, where repeats are recognised.
    pub body_hash: Option<&'a [u8]>,
    /// The sender's mailbox.
    pub sender: i64,
    /// The key that the sender sealed with.
    pub sender_key: &'a str,
    /// What it was sent to.
    pub target: &'a str,
    /// 0 now, 1 next, 2 low.
    pub priority: i16,
    /// As sent.
    pub nonce: &'a str,
    /// As sent.
    pub ciphertext: &'a str,
    /// `reminder` and the like.
    pub subtype: Option<&'a str>,
    /// Direct: the recipient's mailbox and the node that has it. `None`: a multicast.
    pub recipient: Option<(i64, i32)>,
}

/// Begins a transaction for a batch. `senders` and `ids` are distinct; they are locked in order.
pub async fn begin(
    db: &Db,
    senders: &[i64],
    targets: &[Target],
    ids: &[Uuid],
    n_messages: usize,
) -> Result<Begun> {
    let begin = db.prepare_cached("begin").await?;
    let xid = db.prepare_cached(XID).await?;
    let lock = db.prepare_cached(SENDERS).await?;
    let numbers = db.prepare_cached(NUMBERS).await?;
    let resolve = db.prepare_cached(RESOLVE).await?;
    let keys = db.prepare_cached(KEYS).await?;
    let turn = db.prepare_cached(TURN).await?;

    let fresh = limit::FRESH.as_secs_f64();
    let n_messages = i64::try_from(n_messages).expect("a batch is small");
    let meshes: Vec<i64> = targets.iter().map(|t| t.0).collect();
    let names: Vec<&str> = targets.iter().map(|t| t.1.as_str()).collect();
    // Pipelined: the statements leave in this order, in one round trip.
    let ((_, xid), (senders, seqs, resolved, known, turn)) = try_join(
        try_join(db.execute(&begin, &[]), db.query_one(&xid, &[])),
        try_join5(
            db.query(&lock, &[&senders, &fresh]),
            db.query(&numbers, &[&n_messages]),
            db.query(&resolve, &[&meshes, &names]),
            db.query(&keys, &[&ids]),
            db.query_one(&turn, &[]),
        ),
    )
    .await?;
    Ok(Begun {
        xid: xid.get("xid"),
        at: xid.get("at"),
        senders: senders
            .iter()
            .map(|row| (row.get("session"), (row.get("attach_no"), row.get("fresh"))))
            .collect(),
        seqs: seqs.iter().map(|row| row.get("seq")).collect(),
        targets: resolved.iter().map(resolved_target).collect(),
        known: known
            .iter()
            .map(|row| {
                let known = Known { body_hash: row.get("body_hash"), seq: row.get("seq") };
                (row.get("message_id"), known)
            })
            .collect(),
        turn: (turn.get("current"), turn.get("both")),
    })
}

/// Takes numbers and resolves targets inside a transaction that is open, for messages that come over
/// no attachment and whose repeats are not recognised. [`write()`] stores them.
pub async fn join(db: &impl GenericClient, targets: &[Target], n_messages: usize) -> Result<Begun> {
    let xid = db.prepare_cached(XID).await?;
    let numbers = db.prepare_cached(NUMBERS).await?;
    let resolve = db.prepare_cached(RESOLVE).await?;
    let n_messages = i64::try_from(n_messages).expect("a batch is small");
    let meshes: Vec<i64> = targets.iter().map(|t| t.0).collect();
    let names: Vec<&str> = targets.iter().map(|t| t.1.as_str()).collect();
    let (xid, seqs, resolved) = try_join3(
        db.query_one(&xid, &[]),
        db.query(&numbers, &[&n_messages]),
        db.query(&resolve, &[&meshes, &names]),
    )
    .await?;
    Ok(Begun {
        xid: xid.get("xid"),
        at: xid.get("at"),
        senders: HashMap::new(),
        seqs: seqs.iter().map(|row| row.get("seq")).collect(),
        targets: resolved.iter().map(resolved_target).collect(),
        known: HashMap::new(),
        turn: (0, false),
    })
}

/// A key that is both a session's and its member's (a client without a session key) leads to the
/// session, unless that is away and another session takes the member's mail.
fn resolved_target(row: &tokio_postgres::Row) -> Option<Resolved> {
    let session: Option<i64> = row.get("session");
    let member: Option<i64> = row.get("member");
    let inbox_of: Option<i64> = row.get("inbox_of");
    let node = row.get::<_, Option<i32>>("node").unwrap_or(0);
    let mailbox = match (session, member) {
        (Some(session), Some(member)) => {
            if inbox_of == Some(session) {
                session
            } else {
                member
            }
        }
        (session, member) => session.or(member)?,
    };
    Some(Resolved { mailbox, node })
}

/// How many visible sessions are attached that a multicast is for. `group` is a path; `None` means
/// everybody.
pub async fn audience(db: &impl GenericClient, mesh: i64, group: Option<&str>) -> Result<i64> {
    let audience = db.prepare_cached(AUDIENCE).await?;
    Ok(db.query_one(&audience, &[&mesh, &group]).await?.get("peers"))
}

/// What these mailboxes hold: mailbox, messages, bytes. Counting stops just past the limit.
pub async fn load(db: &impl GenericClient, mailboxes: &[i64]) -> Result<Vec<(i64, i64, i64)>> {
    let load = db.prepare_cached(LOAD).await?;
    let stop = limit::MAILBOX_MESSAGES_MAX + 1;
    let rows = db.query(&load, &[&mailboxes, &stop]).await?;
    Ok(rows.iter().map(|r| (r.get("recipient"), r.get("messages"), r.get("bytes"))).collect())
}

/// What these meshes hold, in bytes, as the sweep last counted it.
pub async fn mesh_load(db: &impl GenericClient, meshes: &[i64]) -> Result<Vec<(i64, i64)>> {
    let load = db.prepare_cached(MESH_LOAD).await?;
    let rows = db.query(&load, &[&meshes]).await?;
    Ok(rows.iter().map(|row| (row.get("no"), row.get("held_bytes"))).collect())
}

/// Writes what is left of the batch and commits, in one round trip.
///
/// # Errors
/// When the data was refused, nothing is stored. When the connection was lost, [`outcome`] knows.
pub async fn finish(db: &Db, begun: &Begun, messages: &[NewMessage<'_>]) -> Result<()> {
    let commit = db.prepare_cached("commit").await?;
    if messages.is_empty() {
        db.execute(&commit, &[]).await?;
        return Ok(());
    }
    let insert_messages = db.prepare_cached(MESSAGES).await?;
    let insert_deliveries = db.prepare_cached(DELIVERIES).await?;
    let (current, both) = begun.turn;
    let tables = if current == 0 { [KEY_0, KEY_1] } else { [KEY_1, KEY_0] };
    let key = db.prepare_cached(tables[0]).await?;
    let second_key = db.prepare_cached(tables[1]).await?;

    let columns = Columns::of(begun, messages);
    let keys: [&(dyn ToSql + Sync); 4] =
        [&columns.key_ids, &columns.hashes, &columns.key_seqs, &columns.key_ats];
    let second = async { if both { db.execute(&second_key, &keys).await } else { Ok(0) } };
    let (of_messages, of_deliveries) =
        (columns.of_messages(&begun.at), columns.of_deliveries(&begun.at));
    let written = try_join4(
        async { if columns.key_ids.is_empty() { Ok(0) } else { db.execute(&key, &keys).await } },
        second,
        db.execute(&insert_messages, &of_messages),
        try_join(
            db.execute(&insert_deliveries, &of_deliveries),
            // After a failed statement the server answers COMMIT with ROLLBACK.
            db.execute(&commit, &[]),
        ),
    )
    .await;
    match written {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::from(error)),
    }
}

/// Writes messages, and leaves the transaction open: whoever opened it has more to do in it. No keys
/// are kept of them.
pub async fn write(
    db: &impl GenericClient,
    begun: &Begun,
    messages: &[NewMessage<'_>],
) -> Result<()> {
    if messages.is_empty() {
        return Ok(());
    }
    let insert_messages = db.prepare_cached(MESSAGES).await?;
    let insert_deliveries = db.prepare_cached(DELIVERIES).await?;
    let columns = Columns::of(begun, messages);
    let (of_messages, of_deliveries) =
        (columns.of_messages(&begun.at), columns.of_deliveries(&begun.at));
    try_join(
        db.execute(&insert_messages, &of_messages),
        db.execute(&insert_deliveries, &of_deliveries),
    )
    .await?;
    Ok(())
}

/// Ends the transaction of [`begin`] so that nothing of it stays, and says whether that is certain:
/// then the connection can be used again.
pub async fn roll_back(db: &Db) -> bool {
    let over = tokio::time::timeout(ROLL_BACK_PATIENCE, db.batch_execute("rollback")).await;
    matches!(over, Ok(Ok(())))
}

/// What became of a batch whose COMMIT was not answered: `Some(true)` committed, `Some(false)` not,
/// `None` still going on.
///
/// The transaction's own status is not enough: after a crash, the number of a transaction that left
/// no trace on disk is given to another, and that one may have committed. So the rows are looked
/// for, once no transaction of this number is going on.
pub async fn outcome(
    db: &impl GenericClient,
    begun: &Begun,
    messages: &[NewMessage<'_>],
) -> Result<Option<bool>> {
    let ask = db.prepare_cached(OUTCOME).await?;
    match db.query_one(&ask, &[&begun.xid]).await {
        Ok(row) if row.get::<_, Option<&str>>("status") == Some("in progress") => return Ok(None),
        Ok(_) => (),
        // A number of the future: the crash took back more than ours.
        Err(error) if error.code() == Some(&SqlState::INVALID_PARAMETER_VALUE) => {
            return Ok(Some(false));
        }
        Err(error) => return Err(error.into()),
    }
    let seqs: Vec<i64> = messages.iter().map(|m| m.seq).collect();
    let ids: Vec<Uuid> = messages.iter().map(|m| m.message_id).collect();
    let stored = db.prepare_cached(STORED).await?;
    let n: i64 = db.query_one(&stored, &[&seqs, &ids, &begun.at]).await?.get("n");
    Ok(Some(usize::try_from(n).is_ok_and(|n| n == messages.len())))
}
