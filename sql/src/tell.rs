//! Telling: where recipients are now, and the notifications to the nodes that have them.
//!
//! Runs after the commit, on a connection whose commits do not wait for the disk, and resolves
//! afresh: either the hello that attached meanwhile sees the row, or this sees the presence. See
//! delivery.md 4.

use std::collections::{HashMap, HashSet};

use crate::{GenericClient, Result, statement::statements};
use skein_wire::limit;

statements! {
    LOCATE = "
        select r.recipient, here.node, here.session, here.fresh, here.member_mail
          from unnest($1::bigint[]) as r(recipient)
          cross join lateral (
               select p.node, p.session, false as member_mail, p.attached_at,
                      p.attached_at > now() - $2::float8 * interval '1 s' as fresh
                 from presence p
                where p.session = r.recipient
               union all
               select p.node, p.session, true, p.attached_at,
                      p.attached_at > now() - $2::float8 * interval '1 s'
                 from presence p
                where p.member = r.recipient and p.inbox
                order by attached_at
                limit 1) here";

    LOG_NODES = "
        select distinct p.mesh, p.node
          from presence p
         where p.mesh = any($1)";

    MOVE = "
        update delivery d
           set node = t.node, xid = pg_current_xact_id()
          from unnest($1::bigint[], $2::bigint[], $3::integer[]) as t(seq, recipient, node)
         where d.seq = t.seq and d.recipient = t.recipient and d.node <> t.node";

    OFFER = "
        update delivery d
           set node = t.node, offered = t.session, xid = pg_current_xact_id()
          from unnest($1::bigint[], $2::bigint[], $3::integer[], $4::bigint[])
               as t(seq, recipient, node, session)
         where d.seq = t.seq and d.recipient = t.recipient
           and (d.offered is null
                or not exists (select from presence p where p.session = d.offered and p.inbox))
        returning d.seq";

    BACKLOG = "
        update delivery d
           set node = $3, offered = $2, xid = pg_current_xact_id()
         where d.recipient = $1
           and (d.offered is null
                or not exists (select from presence p where p.session = d.offered and p.inbox))
           and exists (select from presence p where p.session = $2 and p.node = $3 and p.inbox)";

    NOTIFY = "
        select pg_notify(t.channel, t.payload)
          from unnest($1::text[], $2::text[]) as t(channel, payload)";
}

/// Where a recipient is.
#[derive(Debug, Clone, Copy)]
pub struct Located {
    /// The mailbox asked for.
    pub recipient: i64,
    /// The node that has it.
    pub node: i32,
    /// The session that takes its mail: itself, or an inbox session of the member.
    pub session: i64,
    /// Whether that session attached less than a minute ago.
    pub fresh: bool,
    /// Whether this is a member's mailbox, whose mail is offered.
    pub member_mail: bool,
}

/// A message that was committed, as far as telling needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Its number.
    pub seq: i64,
    /// The mesh's number.
    pub mesh: i64,
    /// The sender's mailbox.
    pub sender: i64,
    /// What it was sent to.
    pub target: String,
    /// The transaction that stored it.
    pub xid: i64,
    /// Direct: its mailbox and the node that had it when it was stored. `None`: a multicast.
    pub recipient: Option<(i64, i32)>,
}

/// Where these mailboxes are now; those that are nowhere are left out.
pub async fn locate(db: &impl GenericClient, recipients: &[i64]) -> Result<Vec<Located>> {
    let locate = db.prepare_cached(LOCATE).await?;
    let rows = db.query(&locate, &[&recipients, &limit::FRESH.as_secs_f64()]).await?;
    Ok(rows
        .iter()
        .map(|row| Located {
            recipient: row.get("recipient"),
            node: row.get("node"),
            session: row.get("session"),
            fresh: row.get("fresh"),
            member_mail: row.get("member_mail"),
        })
        .collect())
}

/// Resolves rows afresh, as (seq, recipient, the node that was told), corrects who is told of them
/// and offers member mail. Returns the rows that are to be told, each with where it is for now.
pub async fn resolve(
    db: &impl GenericClient,
    rows: &[(i64, i64, Option<i32>)],
) -> Result<Vec<(i64, Located)>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut recipients: Vec<i64> = rows.iter().map(|row| row.1).collect();
    recipients.sort_unstable();
    recipients.dedup();
    let located: HashMap<i64, Located> = locate(db, &recipients)
        .await?
        .into_iter()
        .map(|located| (located.recipient, located))
        .collect();

    let (mut moves, mut offers) = (Vec::new(), Vec::new());
    for &(seq, recipient, told) in rows {
        match located.get(&recipient) {
            Some(l) if l.member_mail => offers.push((seq, recipient, l.node, l.session)),
            Some(l) if told != Some(l.node) => moves.push((seq, recipient, l.node)),
            None if told != Some(0) => moves.push((seq, recipient, 0)),
            _ => (),
        }
    }
    if !moves.is_empty() {
        relocate(db, &moves).await?;
    }
    let offered: HashSet<i64> = match offers.is_empty() {
        true => HashSet::new(),
        false => offer(db, &offers).await?.into_iter().collect(),
    };
    // What is offered to another session that is here was told by whoever offered it.
    let is_told = |seq: i64, located: &Located| !located.member_mail || offered.contains(&seq);
    Ok(rows
        .iter()
        .filter_map(|(seq, recipient, _)| Some((*seq, *located.get(recipient)?)))
        .filter(|(seq, located)| is_told(*seq, located))
        .collect())
}

/// The nodes that have presences of these meshes: (mesh, node).
pub async fn log_nodes(db: &impl GenericClient, meshes: &[i64]) -> Result<Vec<(i64, i32)>> {
    let nodes = db.prepare_cached(LOG_NODES).await?;
    let rows = db.query(&nodes, &[&meshes]).await?;
    Ok(rows.iter().map(|row| (row.get("mesh"), row.get("node"))).collect())
}

/// Corrects who is told of these rows: (seq, recipient, node).
pub async fn relocate(db: &impl GenericClient, rows: &[(i64, i64, i32)]) -> Result<()> {
    let seqs: Vec<i64> = rows.iter().map(|r| r.0).collect();
    let recipients: Vec<i64> = rows.iter().map(|r| r.1).collect();
    let nodes: Vec<i32> = rows.iter().map(|r| r.2).collect();
    let relocate = db.prepare_cached(MOVE).await?;
    db.execute(&relocate, &[&seqs, &recipients, &nodes]).await?;
    Ok(())
}

/// Offers a member's mail to sessions: (seq, recipient, node, session). Returns the rows that were
/// free; the others are offered to a session that is here.
pub async fn offer(db: &impl GenericClient, rows: &[(i64, i64, i32, i64)]) -> Result<Vec<i64>> {
    let seqs: Vec<i64> = rows.iter().map(|r| r.0).collect();
    let recipients: Vec<i64> = rows.iter().map(|r| r.1).collect();
    let nodes: Vec<i32> = rows.iter().map(|r| r.2).collect();
    let sessions: Vec<i64> = rows.iter().map(|r| r.3).collect();
    let offer = db.prepare_cached(OFFER).await?;
    let rows = db.query(&offer, &[&seqs, &recipients, &nodes, &sessions]).await?;
    Ok(rows.iter().map(|row| row.get("seq")).collect())
}

/// Offers everything of the member that is not offered to a session that is here.
pub async fn offer_backlog(
    db: &impl GenericClient,
    member: i64,
    session: i64,
    node: i32,
) -> Result<u64> {
    let backlog = db.prepare_cached(BACKLOG).await?;
    Ok(db.execute(&backlog, &[&member, &session, &node]).await?)
}

/// Sends notifications: channel and payload, in order, in one transaction.
pub async fn notify(db: &impl GenericClient, notes: &[(String, String)]) -> Result<()> {
    let channels: Vec<&str> = notes.iter().map(|n| n.0.as_str()).collect();
    let payloads: Vec<&str> = notes.iter().map(|n| n.1.as_str()).collect();
    let notify = db.prepare_cached(NOTIFY).await?;
    db.execute(&notify, &[&channels, &payloads]).await?;
    Ok(())
}
