//! Serving: pages of what a session has not yet been sent, bodies, and the looks that find what no
//! notification announced. See delivery.md 5.

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use skein_wire::limit;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::{GenericClient, Result, statement::statements};

statements! {
    // One branch a class, each in the order of its index: otherwise the planner walks the primary
    // key, all of it for a session without rows.
    PAGE = "
        select q.session, d.seq, d.recipient, d.at, d.bytes
          from unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[])
               as q(session, member, class, rows)
          cross join lateral (
               select x.seq, x.recipient, x.at, x.bytes
                 from ((select seq, recipient, at, bytes
                          from delivery
                         where recipient = q.session and class = 0
                         order by recipient, class, seq
                         limit q.rows)
                       union all
                       (select seq, recipient, at, bytes
                          from delivery
                         where recipient = q.session and class = 1 and q.class = 1
                         order by recipient, class, seq
                         limit q.rows)
                       union all
                       (select seq, recipient, at, bytes
                          from delivery
                         where recipient = q.member and class = 0 and offered = q.session
                         order by recipient, class, seq
                         limit q.rows)
                       union all
                       (select seq, recipient, at, bytes
                          from delivery
                         where recipient = q.member and class = 1 and q.class = 1
                           and offered = q.session
                         order by recipient, class, seq
                         limit q.rows)) x
                order by x.seq
                limit q.rows) d
         order by q.session, d.seq";

    BODIES = "
        select seq, mesh, message_id, sender, sender_key, target, priority, nonce, ciphertext, kind,
               at, subtype, xid::text::bigint as xid
          from message
         where at >= $1 and at < $2 and seq = any($3)";

    HELD_BODIES = "
        select seq, mesh, message_id, sender, sender_key, target, priority, nonce, ciphertext, kind,
               at, subtype, xid::text::bigint as xid
          from message_held
         where seq = any($1)";

    HORIZON = "
        select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xmin";

    LOOK = "
        with gone as (
            select 0 as id
            union all
            select n.id from node n where n.state in ('dead', 'fenced', 'swept'))
        select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xmin,
               d.seq, d.recipient, d.offered, d.node
          from (select 1) one
          left join lateral (
               select d.seq, d.recipient, d.offered, d.node
                 from delivery d
                where d.node = $1 and d.xid >= $2::text::xid8
               union all
               select d.seq, d.recipient, d.offered, d.node
                 from gone g
                 join delivery d on d.node = g.id and d.xid >= $2::text::xid8
                where exists (select from presence p
                               where p.node = $1
                                 and (p.session = d.recipient
                                      or (p.member = d.recipient and p.inbox)))
               limit $3) d on true";

    // All of it in one snapshot: what commits between two statements, with a number that the first
    // has passed, would be left behind what follows it.
    LOG = "
        select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xmin, m.seq, m.at
          from (select 1) one
          left join lateral (
               select seq, at
                 from message
                where mesh = any($1) and kind = 1 and xid >= $2::text::xid8
                  and at > now() - interval '1 day') m on true
         -- Not the index on seq: that would walk the whole day.
         order by m.seq + 0";

    // `offset 0`: what is read of a session is read once, not for every message.
    CATCH_UP = "
        select q.i, m.seq, m.at, m.xid, m.bytes
          from (select i, mesh, session, taken_at, place::xid8 as place,
                       string_to_array(targets, E'\\n') as targets,
                       snapshot::pg_snapshot as snapshot
                  from unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[],
                              $6::timestamptz[])
                       with ordinality as q(mesh, place, session, targets, snapshot, taken_at, i)
                offset 0) q
          cross join lateral (
               select seq, at, xid::text::bigint as xid, octet_length(ciphertext) as bytes
                 from message
                where mesh = q.mesh and kind = 1 and xid >= q.place
                  and at > now() - $7::float8 * interval '1 s'
                  and sender <> q.session and target = any(q.targets)
                  and (q.snapshot is null or at > q.taken_at
                       or not pg_visible_in_snapshot(xid, q.snapshot))
                order by seq + 0 desc
                limit $8) m
         order by q.i, m.seq";

    CATCH_UP_COUNT = "
        select count(*) as n
          from message
         where mesh = $1 and kind = 1 and xid >= $2::text::xid8
           and at > now() - $3::float8 * interval '1 s'
           and sender <> $4 and target = any($5)";
}

/// What a session asks for: its own rows and those offered to it.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// The session's mailbox.
    pub session: i64,
    /// Its member's mailbox, when it takes its member's mail.
    pub member: Option<i64>,
    /// Whether it takes more than `now`.
    pub everything: bool,
    /// At most this many.
    pub rows: i64,
}

/// A row of work, without its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The session it is for now.
    pub session: i64,
    /// The message.
    pub seq: i64,
    /// The mailbox it was sent to.
    pub recipient: i64,
    /// When it was stored, which names its partition.
    pub at: Timestamp,
    /// The size of its body.
    pub bytes: i32,
}

/// A message as it was stored.
#[derive(Debug, Clone)]
pub struct Body {
    /// Its number.
    pub seq: i64,
    /// The mesh's number.
    pub mesh: i64,
    /// Its id.
    pub message_id: Uuid,
    /// The sender's mailbox.
    pub sender: i64,
    /// The key that the sender sealed with.
    pub sender_key: String,
    /// What it was sent to.
    pub target: String,
    /// 0 now, 1 next, 2 low.
    pub priority: i16,
    /// As sent.
    pub nonce: String,
    /// As sent.
    pub ciphertext: String,
    /// Whether it is a multicast.
    pub multicast: bool,
    /// When it was stored.
    pub at: Timestamp,
    /// `reminder` and the like.
    pub subtype: Option<String>,
    /// The transaction that stored it.
    pub xid: i64,
}

/// What a look found.
#[derive(Debug, Default)]
pub struct Look {
    /// The snapshot's xmin: the next look starts there, when this one was not cut.
    pub xmin: i64,
    /// Rows: seq, recipient, the session it is offered to, and the node that was told.
    pub rows: Vec<(i64, i64, Option<i64>, i32)>,
    /// Whether there may be more than these.
    pub cut: bool,
}

/// The lowest unsettled rows of each session, by session and seq.
pub async fn pages(db: &impl GenericClient, asks: &[Ask]) -> Result<Vec<Head>> {
    let sessions: Vec<i64> = asks.iter().map(|a| a.session).collect();
    let members: Vec<Option<i64>> = asks.iter().map(|a| a.member).collect();
    let classes: Vec<i16> = asks.iter().map(|a| i16::from(a.everything)).collect();
    let rows: Vec<i64> = asks.iter().map(|a| a.rows).collect();
    let page = db.prepare_cached(PAGE).await?;
    let rows = db.query(&page, &[&sessions, &members, &classes, &rows]).await?;
    Ok(rows
        .iter()
        .map(|row| Head {
            session: row.get("session"),
            seq: row.get("seq"),
            recipient: row.get("recipient"),
            at: row.get("at"),
            bytes: row.get("bytes"),
        })
        .collect())
}

/// The bodies of these messages, named by number and time; a read names the day's partition, and
/// what is not there any more is held aside.
pub async fn bodies(db: &impl GenericClient, wanted: &[(i64, Timestamp)]) -> Result<Vec<Body>> {
    let mut found = Vec::with_capacity(wanted.len());
    let read = db.prepare_cached(BODIES).await?;
    let mut days: Vec<(Timestamp, Vec<i64>)> = Vec::new();
    for &(seq, at) in wanted {
        let day = day_of(at);
        match days.iter_mut().find(|(d, _)| *d == day) {
            Some((_, seqs)) => seqs.push(seq),
            None => days.push((day, vec![seq])),
        }
    }
    for (day, seqs) in &days {
        let next = *day + 24.hours();
        found.extend(db.query(&read, &[day, &next, seqs]).await?.iter().map(body));
    }
    if found.len() < wanted.len() {
        let missing: Vec<i64> = wanted
            .iter()
            .map(|w| w.0)
            .filter(|seq| !found.iter().any(|b: &Body| b.seq == *seq))
            .collect();
        let held = db.prepare_cached(HELD_BODIES).await?;
        found.extend(db.query(&held, &[&missing]).await?.iter().map(body));
    }
    Ok(found)
}

/// The beginning of the UTC day of a moment: the lower bound of its partition.
fn day_of(at: Timestamp) -> Timestamp {
    at.to_zoned(TimeZone::UTC)
        .start_of_day()
        .expect("every UTC day of a stored message has a start")
        .timestamp()
}

fn body(row: &tokio_postgres::Row) -> Body {
    Body {
        seq: row.get("seq"),
        mesh: row.get("mesh"),
        message_id: row.get("message_id"),
        sender: row.get("sender"),
        sender_key: row.get("sender_key"),
        target: row.get("target"),
        priority: row.get("priority"),
        nonce: row.get("nonce"),
        ciphertext: row.get("ciphertext"),
        multicast: row.get::<_, i16>("kind") == 1,
        at: row.get("at"),
        subtype: row.get("subtype"),
        xid: row.get("xid"),
    }
}

/// The xmin of a snapshot taken now.
pub async fn horizon(db: &impl GenericClient) -> Result<i64> {
    let horizon = db.prepare_cached(HORIZON).await?;
    Ok(db.query_one(&horizon, &[]).await?.get("xmin"))
}

/// The rows whose `node` or `offered` changed at or after `since` (an xid): those of `node`, and
/// those of nobody, or of a node that is not alive, for a session of `node`.
pub async fn look(db: &impl GenericClient, node: i32, since: i64, rows: i64) -> Result<Look> {
    let look = db.prepare_cached(LOOK).await?;
    let found = db.query(&look, &[&node, &since.to_string(), &rows]).await?;
    let mut look = Look::default();
    for row in &found {
        look.xmin = row.get("xmin");
        if let Some(seq) = row.get::<_, Option<i64>>("seq") {
            look.rows.push((seq, row.get("recipient"), row.get("offered"), row.get("node")));
        }
    }
    look.cut = i64::try_from(look.rows.len()).is_ok_and(|n| n >= rows);
    Ok(look)
}

/// The multicasts of these meshes stored at or after `since` (an xid), oldest first: number, and when
/// it was stored, which names its partition. Before them the xmin of the snapshot that they are of:
/// whatever is stored before it is among them, or was stored before `since`.
pub async fn log(
    db: &impl GenericClient,
    meshes: &[i64],
    since: i64,
) -> Result<(i64, Vec<(i64, Timestamp)>)> {
    let log = db.prepare_cached(LOG).await?;
    let rows = db.query(&log, &[&meshes, &since.to_string()]).await?;
    let xmin = rows.first().map_or(since, |row| row.get("xmin"));
    let stored = rows
        .iter()
        .filter_map(|row| Some((row.get::<_, Option<i64>>("seq")?, row.get("at"))))
        .collect();
    Ok((xmin, stored))
}

/// Where a session's log starts.
#[derive(Debug, Clone)]
pub struct Start {
    /// Multicasts of this transaction and later ones are given.
    pub place: i64,
    /// For a session that is given nothing older than its attachment: the snapshot of that, and a
    /// moment after it was taken.
    pub snapshot: Option<(String, Timestamp)>,
}

/// A multicast that a session has to be given, without its body.
#[derive(Debug, Clone, Copy)]
pub struct Missed {
    /// The message.
    pub seq: i64,
    /// When it was stored, which names its partition.
    pub at: Timestamp,
    /// The transaction that stored it.
    pub xid: i64,
    /// The size of its body.
    pub bytes: i32,
}

/// A session that comes, and what of the log is for it.
#[derive(Debug)]
pub struct Coming<'a> {
    /// Its mesh.
    pub mesh: i64,
    /// Its mailbox.
    pub session: i64,
    /// Where its log starts.
    pub start: &'a Start,
    /// The targets whose multicasts it gets; group paths have no control characters.
    pub targets: Vec<String>,
}

/// What sessions missed, one answer each: the newest multicasts since its start for its targets,
/// oldest first, and how many older ones are left out.
pub async fn catch_up(
    db: &impl GenericClient,
    coming: &[Coming<'_>],
) -> Result<Vec<(Vec<Missed>, u64)>> {
    let mut caught_up: Vec<(Vec<Missed>, u64)> = Vec::new();
    caught_up.resize_with(coming.len(), Default::default);
    let meshes: Vec<i64> = coming.iter().map(|c| c.mesh).collect();
    let places: Vec<String> = coming.iter().map(|c| c.start.place.to_string()).collect();
    let sessions: Vec<i64> = coming.iter().map(|c| c.session).collect();
    let targets: Vec<String> = coming.iter().map(|c| c.targets.join("\n")).collect();
    let (snapshots, taken_at): (Vec<Option<&str>>, Vec<Option<Timestamp>>) = coming
        .iter()
        .map(|c| c.start.snapshot.as_ref().map(|(s, at)| (s.as_str(), *at)).unzip())
        .unzip();
    let age = limit::CATCH_UP_AGE.as_secs_f64();
    let most = i64::try_from(limit::CATCH_UP_MAX + 1).expect("a small constant");
    let catch_up = db.prepare_cached(CATCH_UP).await?;
    let values: [&(dyn ToSql + Sync); 8] =
        [&meshes, &places, &sessions, &targets, &snapshots, &taken_at, &age, &most];
    for row in db.query(&catch_up, &values).await? {
        let at = usize::try_from(row.get::<_, i64>("i") - 1).expect("ordinals begin at one");
        caught_up[at].0.push(Missed {
            seq: row.get("seq"),
            at: row.get("at"),
            xid: row.get("xid"),
            bytes: row.get("bytes"),
        });
    }
    for ((missed, left_out), coming) in caught_up.iter_mut().zip(coming) {
        if missed.len() > limit::CATCH_UP_MAX {
            missed.drain(..missed.len() - limit::CATCH_UP_MAX);
            *left_out = count(db, coming).await?.saturating_sub(missed.len() as u64);
        }
    }
    Ok(caught_up)
}

/// How many multicasts there are for a session since its start.
async fn count(db: &impl GenericClient, coming: &Coming<'_>) -> Result<u64> {
    let age = limit::CATCH_UP_AGE.as_secs_f64();
    let place = coming.start.place.to_string();
    let count = db.prepare_cached(CATCH_UP_COUNT).await?;
    let values: [&(dyn ToSql + Sync); 5] =
        [&coming.mesh, &place, &age, &coming.session, &coming.targets];
    let row = db.query_one(&count, &values).await?;
    Ok(u64::try_from(row.get::<_, i64>("n")).unwrap_or(0))
}
