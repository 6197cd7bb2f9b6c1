//! Streams: their names, and who listens to them now.
//!
//! A subscription is one attachment's. It is not deleted when that ends, only void: every reading
//! joins it with the presence of the same number, and the sweep deletes what joins with none.

use skein_wire::streams::Stream;

use crate::{GenericClient, Result, iso, meshes, new_id, statement::statements};

statements! {
    CREATE = "
        insert into stream (id, mesh, name, created_by)
        select $1, $2, $3, m.display_name
          from member m
         where m.mailbox = $4 and m.mesh = $2
        on conflict (mesh, name) do nothing";

    ID = "
        select id
          from stream
         where mesh = $1 and name = $2";

    COUNT = "
        select count(*)
          from stream
         where mesh = $1";

    LIST = "
        select s.id, s.name, s.created_by, s.created_at,
               (select count(*)
                  from subscription u
                  join presence p on p.session = u.session and p.attach_no = u.attach_no
                 where u.mesh = s.mesh and u.stream = s.name) as n_subscribers
          from stream s
         where s.mesh = $1
         order by s.created_at, s.id";

    SUBSCRIBE = "
        insert into subscription (mesh, stream, session, attach_no)
        values ($1, $2, $3, $4)
        on conflict (mesh, stream, session) do update
           set attach_no = excluded.attach_no";

    UNSUBSCRIBE = "
        delete from subscription
         where mesh = $1 and stream = $2 and session = $3 and attach_no = $4";

    AUDIENCE = "
        select m.display_name,
               array(select distinct p.node
                       from subscription u
                       join presence p on p.session = u.session and p.attach_no = u.attach_no
                      where u.mesh = $1 and u.stream = $2 and u.session <> $3) as nodes
          from member m
         where m.mesh = $1 and m.mailbox = $4";

    SWEEP = "
        delete from subscription u
         where not exists (select from presence p
                            where p.session = u.session and p.attach_no = u.attach_no)";
}

/// Creates a stream, inside the caller's transaction, and returns its id; the same one when it
/// exists. `None`: the mesh has as many streams as it may.
pub async fn create(
    db: &impl GenericClient,
    mesh: i64,
    name: &str,
    member: i64,
    streams_max: i64,
) -> Result<Option<String>> {
    let id = db.prepare_cached(ID).await?;
    if let Some(row) = db.query_opt(&id, &[&mesh, &name]).await? {
        return Ok(Some(row.get("id")));
    }
    meshes::hold(db, mesh).await?;
    // Another may have been first: its id counts.
    if let Some(row) = db.query_opt(&id, &[&mesh, &name]).await? {
        return Ok(Some(row.get("id")));
    }
    let count = db.prepare_cached(COUNT).await?;
    if db.query_one(&count, &[&mesh]).await?.get::<_, i64>(0) >= streams_max {
        return Ok(None);
    }
    let create = db.prepare_cached(CREATE).await?;
    db.execute(&create, &[&new_id(), &mesh, &name, &member]).await?;
    Ok(db.query_opt(&id, &[&mesh, &name]).await?.map(|row| row.get("id")))
}

/// The streams of a mesh, oldest first, each with the number of those who listen on any edge.
pub async fn list(db: &impl GenericClient, mesh: i64) -> Result<Vec<Stream>> {
    let list = db.prepare_cached(LIST).await?;
    let rows = db.query(&list, &[&mesh]).await?;
    Ok(rows
        .iter()
        .map(|row| Stream {
            id: row.get("id"),
            name: row.get("name"),
            created_by: row.get("created_by"),
            created_at: iso(row.get("created_at")),
            subscriber_count: row.get::<_, i64>("n_subscribers").unsigned_abs(),
        })
        .collect())
}

/// Lets an attachment listen.
pub async fn subscribe(
    db: &impl GenericClient,
    mesh: i64,
    stream: &str,
    session: i64,
    attach_no: i64,
) -> Result<()> {
    let subscribe = db.prepare_cached(SUBSCRIBE).await?;
    db.execute(&subscribe, &[&mesh, &stream, &session, &attach_no]).await?;
    Ok(())
}

/// Lets an attachment listen no more.
pub async fn unsubscribe(
    db: &impl GenericClient,
    mesh: i64,
    stream: &str,
    session: i64,
    attach_no: i64,
) -> Result<()> {
    let unsubscribe = db.prepare_cached(UNSUBSCRIBE).await?;
    db.execute(&unsubscribe, &[&mesh, &stream, &session, &attach_no]).await?;
    Ok(())
}

/// Who publishes, by the member's name, and the nodes on which anybody else listens.
pub async fn audience(
    db: &impl GenericClient,
    mesh: i64,
    stream: &str,
    session: i64,
    member: i64,
) -> Result<(Option<String>, Vec<i32>)> {
    let audience = db.prepare_cached(AUDIENCE).await?;
    let row = db.query_opt(&audience, &[&mesh, &stream, &session, &member]).await?;
    Ok(row.map_or((None, Vec::new()), |row| (row.get("display_name"), row.get("nodes"))))
}

/// Deletes the subscriptions of attachments that have ended, and returns how many.
pub async fn sweep(db: &impl GenericClient) -> Result<u64> {
    let sweep = db.prepare_cached(SWEEP).await?;
    Ok(db.execute(&sweep, &[]).await?)
}
