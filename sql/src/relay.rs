//! The relay: frames that one edge hands to another for a socket there.
//!
//! Small frames travel inside a notification. The others are rows of an unlogged table, one for
//! each node that is to have it, which that node takes out; what nobody took is swept. Notifications
//! are sent after the rows are committed, on a connection whose commits do not wait for the disk.

use std::time::Duration;

use skein_wire::limit;

use crate::{GenericClient, Result, statement::statements};

statements! {
    FIND = "
        select p.session, p.node, s.key
          from (select 0 as turn, s.mailbox
                  from session s
                 where s.mesh = $1 and s.key = $2
                union all
                select 1, p.session
                  from member m
                  join presence p on p.member = m.mailbox
                 where m.mesh = $1 and m.pubkey = $2 and m.revoked_at is null) as t
          join presence p on p.session = t.mailbox and p.mesh = $1
          join session s on s.mailbox = p.session
         order by t.turn, p.attached_at, p.session
         limit 1";

    KEEP = "
        insert into relay_frame (mesh, node, frame, until)
        select $1, n.node, $3, now() + make_interval(secs => $4)
          from unnest($2::integer[]) as n(node)
        returning id, node";

    TAKE = "
        delete from relay_frame
         where id = any($1) and node = $2
        returning id, frame";

    SWEEP = "
        delete from relay_frame
         where id in (select id
                        from relay_frame
                       where until < now()
                       order by until
                       limit $1
                         for update skip locked)";

    // A program that was killed has no backend left at once, long before its beat stands still.
    GONE = "
        select t.node
          from unnest($1::integer[]) as t(node)
         where not exists (select from node n
                            where n.id = t.node and n.state in ('alive', 'draining'))
            or not exists (select from pg_stat_activity a
                            where a.application_name = 'skein-node-' || t.node)";
}

/// Rows swept by one statement, so that none runs long.
const SWEEP_MAX: i64 = 100;

/// Where a peer's socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The session's mailbox.
    pub session: i64,
    /// The node that has its socket.
    pub node: i32,
    /// The session's key.
    pub key: String,
}

/// The first socket of the mesh whose session has this key, else whose member has it.
pub async fn find(db: &impl GenericClient, mesh: i64, key: &str) -> Result<Option<Located>> {
    let find = db.prepare_cached(FIND).await?;
    let row = db.query_opt(&find, &[&mesh, &key]).await?;
    Ok(row.map(|row| Located {
        session: row.get("session"),
        node: row.get("node"),
        key: row.get("key"),
    }))
}

/// Keeps a frame once for each of these nodes; returns (node, id of its row).
pub async fn keep(
    db: &impl GenericClient,
    mesh: i64,
    nodes: &[i32],
    frame: &str,
) -> Result<Vec<(i32, i64)>> {
    let keep = db.prepare_cached(KEEP).await?;
    let age_s = limit::RELAY_FRAME_AGE_MAX.as_secs_f64();
    let rows = db.query(&keep, &[&mesh, &nodes, &frame, &age_s]).await?;
    Ok(rows.iter().map(|row| (row.get("node"), row.get("id"))).collect())
}

/// Takes frames of this node out, by the ids of their rows; those that are gone are left out.
pub async fn take(db: &impl GenericClient, node: i32, ids: &[i64]) -> Result<Vec<(i64, String)>> {
    let take = db.prepare_cached(TAKE).await?;
    let rows = db.query(&take, &[&ids, &node]).await?;
    Ok(rows.iter().map(|row| (row.get("id"), row.get("frame"))).collect())
}

/// Deletes frames that nobody took in their time, for at most `patience`; returns how many.
pub async fn sweep(db: &impl GenericClient, patience: Duration) -> Result<u64> {
    let sweep = db.prepare_cached(SWEEP).await?;
    let since = std::time::Instant::now();
    let mut n_swept = 0;
    loop {
        let n = db.execute(&sweep, &[&SWEEP_MAX]).await?;
        n_swept += n;
        if n < SWEEP_MAX.unsigned_abs() || since.elapsed() > patience {
            return Ok(n_swept);
        }
    }
}

/// Which of these nodes have ended, by their rows or because no connection of theirs is left.
pub async fn gone(db: &impl GenericClient, nodes: &[i32]) -> Result<Vec<i32>> {
    let gone = db.prepare_cached(GONE).await?;
    Ok(db.query(&gone, &[&nodes]).await?.iter().map(|row| row.get("node")).collect())
}
