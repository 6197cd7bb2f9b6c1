//! Nodes: the running edges and workers, and what proves that one is dead.
//!
//! A node is `alive` until it drains, or until a worker saw its beat stand still: then it is `dead`,
//! `fenced` once no backend of it is left, and `swept` once its presences are ended. Every
//! connection of a node enters its row first, guarded by `state`, so a dead node gets none.

use skein_openapi as openapi;
use skein_wire::limit;

use crate::{Error, GenericClient, Result, iso, statement::statements};

statements! {
    CREATE = "
        insert into node (kind, region, url)
        values ($1, $2, $3)
        returning id";

    REGISTER_BACKEND = "
        update node
           set pids = (pids || pg_backend_pid())[greatest(1, cardinality(pids) - 510):],
               starts = (starts || (select backend_start from pg_stat_activity
                                     where pid = pg_backend_pid()))
                        [greatest(1, cardinality(starts) - 510):]
         where id = $1 and state in ('alive', 'draining')";

    BEAT = "
        update node
           set beat = beat + 1
         where id = $1 and state in ('alive', 'draining')";

    DRAIN = "
        update node
           set state = 'draining'
         where id = $1 and state = 'alive'";

    RETIRE = "
        update node
           set state = 'dead', dead_at = now()
         where id = $1 and state in ('alive', 'draining')";

    ALIVE = "
        select id
          from node
         where kind = 'edge' and state in ('alive', 'draining')";

    LIST = "
        select n.id, n.kind, n.region, n.url, n.state, n.started_at, n.dead_at,
               (select count(*) from presence p where p.node = n.id) as peers
          from node n
         order by n.id";

    EDGES = "
        select url
          from node
         where kind = 'edge' and state = 'alive' and url is not null
         order by id desc
         limit 16";
}

/// Every node that is known, by number.
pub async fn list(db: &impl GenericClient) -> Result<Vec<openapi::nodes::Node>> {
    let list = db.prepare_cached(LIST).await?;
    let node = |row: &tokio_postgres::Row| openapi::nodes::Node {
        id: row.get("id"),
        kind: row.get("kind"),
        region: row.get("region"),
        url: row.get("url"),
        state: row.get("state"),
        peers: row.get("peers"),
        started_at: iso(row.get("started_at")),
        dead_at: row.get::<_, Option<_>>("dead_at").map(iso),
    };
    Ok(db.query(&list, &[]).await?.iter().map(node).collect())
}

/// What a node's connections are called in `pg_stat_activity`.
pub fn application_name(node: i32) -> String {
    format!("skein-node-{node}")
}

/// The channel that a node listens on.
pub fn channel(node: i32) -> String {
    format!("node_{node}")
}

/// Enters a node and returns its id.
pub async fn create(
    db: &impl GenericClient,
    kind: &str,
    region: &str,
    url: Option<&str>,
) -> Result<i32> {
    Ok(db.query_one(CREATE, &[&kind, &region, &url]).await?.get("id"))
}

/// Enters this connection in its node's row; the first statement of every connection. The last 512
/// are remembered; older ones that still live are known by their name.
///
/// # Errors
/// [`Error::Fenced`] when the node is no longer alive.
pub async fn register_backend(db: &impl GenericClient, node: i32) -> Result<()> {
    match db.execute(REGISTER_BACKEND, &[&node]).await? {
        0 => Err(Error::Fenced),
        _ => Ok(()),
    }
}

/// Bumps the beat, every [`limit::BEAT_INTERVAL`].
///
/// # Errors
/// [`Error::Fenced`] when the node is no longer alive.
pub async fn beat(db: &impl GenericClient, node: i32) -> Result<()> {
    let beat = db.prepare_cached(BEAT).await?;
    match db.execute(&beat, &[&node]).await? {
        0 => Err(Error::Fenced),
        _ => Ok(()),
    }
}

/// Says that the node takes no new peers.
pub async fn drain(db: &impl GenericClient, node: i32) -> Result<()> {
    db.execute(DRAIN, &[&node]).await?;
    Ok(())
}

/// Says that the node has stopped; what it left behind is swept as if it had died.
pub async fn retire(db: &impl GenericClient, node: i32) -> Result<()> {
    db.execute(RETIRE, &[&node]).await?;
    Ok(())
}

/// The edges that may have sockets.
pub async fn alive_edges(db: &impl GenericClient) -> Result<Vec<i32>> {
    let alive = db.prepare_cached(ALIVE).await?;
    Ok(db.query(&alive, &[]).await?.iter().map(|row| row.get("id")).collect())
}

/// Where the edges are reached, newest first, at most 16.
pub async fn edges(db: &impl GenericClient) -> Result<Vec<String>> {
    let edges = db.prepare_cached(EDGES).await?;
    Ok(db.query(&edges, &[]).await?.iter().map(|row| row.get("url")).collect())
}

const _: () = assert!(limit::BEAT_INTERVAL.as_secs() * 2 < limit::BEAT_STILL_MAX.as_secs());
