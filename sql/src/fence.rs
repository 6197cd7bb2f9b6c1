//! The fence: how a node is found dead, and how it is made sure that it does nothing any more.
//!
//! A node whose beat stands still is `dead`, marked under the beat that was seen: one that beats in
//! that moment lives. A dead node may still have connections, and with them statements under way,
//! locks of duties, or a listener that pins the notification queue. They are terminated, and only
//! when the server shows none of them is the node `fenced`. Every connection registers under the
//! node's state first (`nodes::register_backend`), so a dead node gets no new one. What it left
//! behind is touched after that and not before. See delivery.md 8.

use tokio_postgres::error::SqlState;

use crate::{GenericClient, Result, duties, nodes, statement::statements};

statements! {
    OBSERVE = "
        select n.id, n.kind, n.state, n.beat,
               coalesce(array_agg(l.classid::bigint::integer) filter (where l.classid is not null),
                        '{}') as seats
          from node n
          left join pg_locks l
            on n.kind = 'worker' and l.locktype = 'advisory' and l.objsubid = 2 and l.granted
           and l.objid::bigint = $1::integer + n.id
           and l.database = (select oid from pg_database where datname = current_database())
         where n.state <> 'swept'
         group by n.id
         order by n.id";

    MARK_DEAD = "
        update node
           set state = 'dead', dead_at = now()
         where id = $1 and beat = $2 and state in ('alive', 'draining')";

    // Other roles' backends show neither name nor start to a role without privileges: a matching
    // pid alone has to do, or such a backend would pass for gone.
    BACKENDS = "
        select a.pid, case when $3::boolean then pg_terminate_backend(a.pid) end as ended
          from node n
          join pg_stat_activity a
            on (a.application_name = $2 and a.datname = current_database())
            or exists (select
                         from unnest(n.pids, n.starts) as b(pid, start)
                        where b.pid = a.pid and coalesce(a.backend_start, b.start) = b.start)
         where n.id = $1 and n.state = 'dead' and a.pid <> pg_backend_pid()";

    MARK_FENCED = "
        update node
           set state = 'fenced'
         where id = $1 and state = 'dead'";

    FOREIGN = "
        select count(*) as n_foreign
          from pg_stat_activity a
         where a.datname = current_database() and a.usename <> current_user
           and a.pid in (select unnest(n.pids) from node n where n.state in ('alive', 'draining'))";

    END_ONE = "
        select pg_terminate_backend($1) as ended";

    WHO = "
        select pg_backend_pid() as pid";
}

/// A node as a worker sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The node.
    pub id: i32,
    /// Whether it is a worker; else an edge.
    pub is_worker: bool,
    /// Where it is between `alive` and `fenced`.
    pub state: State,
    /// Its beat.
    pub beat: i64,
    /// The kinds of duties that it has a living connection for.
    pub seats: Vec<duties::Kind>,
}

/// Where a node is on its way. Swept ones are not observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It beats.
    Alive,
    /// It beats, and takes no new peers.
    Draining,
    /// It stopped, or its beat stood still.
    Dead,
    /// No backend of it is left.
    Fenced,
}

/// Reads every node that is not swept, in the order of their ids.
pub async fn observe(db: &impl GenericClient) -> Result<Vec<Observed>> {
    let observe = db.prepare_cached(OBSERVE).await?;
    let rows = db.query(&observe, &[&duties::seat(0)]).await?;
    Ok(rows.iter().map(observed).collect())
}

fn observed(row: &tokio_postgres::Row) -> Observed {
    let seats: Vec<i32> = row.get("seats");
    Observed {
        id: row.get("id"),
        is_worker: row.get::<_, &str>("kind") == "worker",
        state: match row.get::<_, &str>("state") {
            "alive" => State::Alive,
            "draining" => State::Draining,
            "dead" => State::Dead,
            _ => State::Fenced,
        },
        beat: row.get("beat"),
        seats: duties::Kind::ALL.into_iter().filter(|k| seats.contains(&k.class())).collect(),
    }
}

/// Marks a node dead, if its beat is still the one that was seen; false when it is not.
pub async fn mark_dead(db: &impl GenericClient, node: i32, beat: i64) -> Result<bool> {
    let mark = db.prepare_cached(MARK_DEAD).await?;
    Ok(db.execute(&mark, &[&node, &beat]).await? == 1)
}

/// How far the fence of a dead node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// So many backends were told to end, and may not have yet.
    Ending(usize),
    /// So many backends are left, and this role may not end them.
    Waiting(usize),
    /// None was left: the node is fenced now, or was already.
    Closed,
}

/// Ends the backends of a dead node, or finds that none is left and marks it fenced.
pub async fn close(db: &impl GenericClient, node: i32) -> Result<Fence> {
    let left = match backends(db, node, true).await {
        Ok(n) => Fence::Ending(n),
        Err(error) if error.state() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            Fence::Waiting(backends(db, node, false).await?)
        }
        Err(error) => return Err(error),
    };
    if !matches!(left, Fence::Ending(0) | Fence::Waiting(0)) {
        return Ok(left);
    }
    let mark = db.prepare_cached(MARK_FENCED).await?;
    db.execute(&mark, &[&node]).await?;
    Ok(Fence::Closed)
}

async fn backends(db: &impl GenericClient, node: i32, end: bool) -> Result<usize> {
    let backends = db.prepare_cached(BACKENDS).await?;
    let name = nodes::application_name(node);
    Ok(db.query(&backends, &[&node, &name, &end]).await?.len())
}

/// The backends of living nodes that belong to another role than this connection's, and that it may
/// therefore not be able to end.
pub async fn foreign(db: &impl GenericClient) -> Result<i64> {
    let foreign = db.prepare_cached(FOREIGN).await?;
    Ok(db.query_one(&foreign, &[]).await?.get("n_foreign"))
}

/// Ends `spare`, which proves that this role may end backends of its own role.
pub async fn may_terminate(db: &impl GenericClient, spare: &impl GenericClient) -> Result<bool> {
    let pid: i32 = spare.query_one(WHO, &[]).await?.get("pid");
    match db.query_one(END_ONE, &[&pid]).await {
        Ok(row) => Ok(row.get("ended")),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
