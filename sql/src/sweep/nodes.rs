//! What a fenced node left behind: presences, offers, and rows that were told to it.

use std::time::Duration;

use super::secs;
use crate::{GenericClient, Result, statement::statements};

statements! {
    // A hello and a closing edge lock the session, then the presence; here neither is waited for.
    END_PRESENCES = "
        with found as (
            select p.session, p.member, p.inbox
              from presence p
              join session s on s.mailbox = p.session
             where p.node = $1
               and exists (select from node n where n.id = $1 and n.state = 'fenced')
             limit $3
               for update of p skip locked
               for no key update of s skip locked),
        ended as (
            delete from presence p
             using found
             where p.session = found.session
            returning p.session),
        departing as (
            update session s
               set depart_at = now() + make_interval(secs => $2), seen_at = now()
              from ended
             where s.mailbox = ended.session and s.announced = 'here'),
        offered as (
            select d.seq, d.recipient
              from found
              join delivery d on d.recipient = found.member and d.offered = found.session
             where found.inbox
             order by d.seq, d.recipient
               for update of d),
        withdrawn as (
            update delivery d
               set offered = null, node = $1, xid = pg_current_xact_id()
              from offered
             where d.seq = offered.seq and d.recipient = offered.recipient)
        select count(*) as n_ended from ended";

    // An offer to a session that is here stands; else the longest attached inbox session has it. By
    // sets: a look-up for each row costs up to a millisecond where one member has many sessions.
    RESOLVE = "
        with found as (
            select d.seq, d.recipient, d.offered
              from delivery d
             where d.node = $1
               and not exists (select from node n
                                where n.id = $1 and n.state in ('alive', 'draining', 'dead'))
             limit $2
               for update skip locked),
        own as (
            select p.session, p.node
              from presence p
              join node n on n.id = p.node and n.state in ('alive', 'draining')
             where p.session in (select recipient from found)),
        kept as (
            select p.session, p.member, p.node
              from presence p
              join node n on n.id = p.node and n.state in ('alive', 'draining')
             where p.inbox and p.session in (select offered from found)),
        inbox as (
            select distinct on (p.member) p.session, p.member, p.node
              from presence p
              join node n on n.id = p.node and n.state in ('alive', 'draining')
             where p.inbox and p.member in (select recipient from found)
             order by p.member, p.attached_at),
        place as (
            select f.seq, f.recipient, coalesce(own.node, kept.node, inbox.node, 0) as node,
                   coalesce(kept.session, inbox.session) as offered
              from found f
              left join own on own.session = f.recipient
              left join kept on kept.session = f.offered and kept.member = f.recipient
              left join inbox on inbox.member = f.recipient),
        moved as (
            update delivery d
               set node = place.node, offered = place.offered, xid = pg_current_xact_id()
              from place
             where d.seq = place.seq and d.recipient = place.recipient
            returning d.node)
        select node, count(*) as n_moved
          from moved
         group by node";

    FINISH = "
        update node n
           set state = 'swept'
         where n.id = $1 and n.state = 'fenced'
           and not exists (select from presence p where p.node = $1)
           and not exists (select from delivery d where d.node = $1)";

    OLD = "
        select id
          from node
         where state = 'swept' and dead_at < now() - make_interval(secs => $1)
         order by id
         limit $2";

    FORGET = "
        delete from node n
         where n.id = $1 and n.state = 'swept'
           and not exists (select from presence p where p.node = $1)
           and not exists (select from delivery d where d.node = $1)";
}

/// Presences that one step ends.
const PRESENCES_MAX: i64 = 500;
/// Rows that one step resolves: some 50 ms.
const ROWS_MAX: i64 = 5_000;
/// Old node rows that are forgotten at once.
const OLD_MAX: i64 = 100;
/// Steps of one call, so that a worker can give the bucket away in between.
const STEPS_MAX: usize = 20;

/// How far a call came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Presences that were ended.
    pub n_ended: i64,
    /// Rows that were resolved again.
    pub n_moved: i64,
    /// Whether nothing is left and the node is swept.
    pub is_done: bool,
}

/// Sweeps a fenced node, some steps of it; nothing happens to a node that is not fenced.
///
/// Its presences end, and their sessions depart after `grace`; mail offered to those sessions is
/// free again; rows that the node was told of are resolved to where their recipients are now, and
/// those nodes are told. What others hold locked at the moment is left for the next call.
pub async fn sweep(db: &impl GenericClient, node: i32, grace: Duration) -> Result<Swept> {
    let mut swept = Swept::default();
    let end = db.prepare_cached(END_PRESENCES).await?;
    for _ in 0..STEPS_MAX {
        let row = db.query_one(&end, &[&node, &secs(grace), &PRESENCES_MAX]).await?;
        let n_ended: i64 = row.get("n_ended");
        swept.n_ended += n_ended;
        if n_ended == 0 {
            break;
        }
    }
    swept.n_moved = resolve(db, node).await?;
    let finish = db.prepare_cached(FINISH).await?;
    swept.is_done = db.execute(&finish, &[&node]).await? == 1;
    Ok(swept)
}

async fn resolve(db: &impl GenericClient, node: i32) -> Result<i64> {
    let resolve = db.prepare_cached(RESOLVE).await?;
    let mut n_total = 0;
    for _ in 0..STEPS_MAX {
        let rows = db.query(&resolve, &[&node, &ROWS_MAX]).await?;
        let n_moved: i64 = rows.iter().map(|row| row.get::<_, i64>("n_moved")).sum();
        if n_moved == 0 {
            break;
        }
        n_total += n_moved;
        let nodes: Vec<i32> = rows.iter().map(|row| row.get("node")).collect();
        super::tell(db, &nodes).await?;
    }
    Ok(n_total)
}

/// Deletes the rows of nodes that are swept since `age`, and returns how many those were.
///
/// A batch that was under way may have told a row to a node after it was swept; such rows are
/// resolved first, since no look finds rows of a node that has no row.
pub async fn forget(db: &impl GenericClient, age: Duration) -> Result<u64> {
    let old = db.prepare_cached(OLD).await?;
    let forget = db.prepare_cached(FORGET).await?;
    let mut n_forgotten = 0;
    for row in db.query(&old, &[&secs(age), &OLD_MAX]).await? {
        let node: i32 = row.get("id");
        resolve(db, node).await?;
        n_forgotten += db.execute(&forget, &[&node]).await?;
    }
    Ok(n_forgotten)
}
