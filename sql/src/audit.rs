//! The audit log of a mesh: one chain of hashes, appended to by many, changed by nobody.
//!
//! Three steps, so that nothing that is audited waits for the chain:
//!
//! 1. What happens is noted in `audit_intake`, in the transaction of the thing itself ([`add`]). It
//!    is committed with it or not at all, and no two writers wait for each other. Messages are the
//!    exception: storing them says nothing here, and [`sent`] finds them afterwards by their rows.
//! 2. [`chain`] moves a mesh's notes into its chain, a batch in a short transaction. It holds the
//!    mesh's row of `audit_head`, so that there is one order, no number twice and none left out;
//!    the primary key would refuse a fork. Workers do this for their buckets, and an edge that is
//!    asked for the log does it first, so that whoever asks sees what was done before.
//! 3. Entries are read by number. Triggers refuse every change of one; a chain that was changed all
//!    the same does not verify (`skein_crypto::audit`).
//!
//! A crash loses nothing: a note is there as long as it is in no chain, in one transaction or the
//! other.

pub mod sent;

use jiff::Timestamp;
use skein_crypto::audit::{Chain, GENESIS};
use skein_wire::audit::Event;
use tokio_postgres::Row;

use crate::{GenericClient, Result, duties, iso, statement::statements};

statements! {
    ADD = "
        insert into audit_intake (mesh, event_type, actor_id, actor, payload, at)
        select t.mesh, t.event_type, coalesce(m.id, t.actor_id), t.actor, t.payload,
               coalesce(t.at, now())
          from unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[],
                      $7::timestamptz[])
               with ordinality as t(mesh, event_type, member, actor_id, actor, payload, at, i)
          left join member m on m.mailbox = t.member and m.mesh = t.mesh
         order by t.i";

    HEAD = "
        select h.no, h.hash, m.id
          from audit_head h
          join mesh m on m.no = h.mesh
         where h.mesh = $1
           for update of h";

    BEGIN_CHAIN = "
        insert into audit_head (mesh, no, hash)
        select no, 0, $2 from mesh where no = $1
            on conflict (mesh) do nothing";

    TAKE = "
        delete from audit_intake i
         using (select id from audit_intake where mesh = $1 order by id limit $2) t
         where i.mesh = $1 and i.id = t.id
        returning i.id, i.event_type, i.actor_id, i.actor, i.payload, i.at";

    APPEND = "
        insert into audit (mesh, no, event_type, actor_id, actor, payload, created_at, hash)
        select $1, *
          from unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
                      $7::timestamptz[], $8::text[])";

    MOVE_HEAD = "
        update audit_head
           set no = $2, hash = $3
         where mesh = $1";

    COUNT = "
        insert into audit_count as c (mesh, event_type, n)
        select $1, t.event_type, count(*)
          from unnest($2::text[]) as t(event_type)
         group by t.event_type
            on conflict (mesh, event_type) do update set n = c.n + excluded.n";

    WAITING = "
        select distinct mesh
          from audit_intake
         where (mesh % $2::integer)::integer = any($1)
         limit $3";

    NEWEST = "
        select no, event_type, actor_id, actor, payload, created_at, hash
          from audit
         where mesh = $1 and no < $2
         order by no desc
         limit $3";

    NEWEST_OF_TYPE = "
        select no, event_type, actor_id, actor, payload, created_at, hash
          from audit
         where mesh = $1 and event_type = $4 and no < $2
         order by no desc
        offset $5
         limit $3";

    AFTER = "
        select no, event_type, actor_id, actor, payload, created_at, hash
          from audit
         where mesh = $1 and no > $2
         order by no
         limit $3";

    HASH_AT = "
        select hash
          from audit
         where mesh = $1 and no = $2";

    END = "
        select no, hash
          from audit_head
         where mesh = $1";

    TOTAL_OF_TYPE = "
        select n
          from audit_count
         where mesh = $1 and event_type = $2";
}

/// Entries that one step appends: a few milliseconds, and a page of memory each.
pub const STEP_MAX: i64 = 500;
/// Meshes that one look finds.
const MESHES_MAX: i64 = 100;

/// Who did it.
#[derive(Debug, Clone, Copy)]
pub enum Actor<'a> {
    /// A member, by its mailbox, and what it or its session is called.
    Member(i64, &'a str),
    /// The owner's key, which need not be a member's.
    Owner,
    /// Whoever runs the deployment.
    Operator,
    /// Nobody: it happened by itself.
    System,
}

impl<'a> Actor<'a> {
    /// The member's mailbox, the id where there is no member, and the name.
    fn parts(self) -> (Option<i64>, &'static str, &'a str) {
        match self {
            Self::Member(mailbox, name) => (Some(mailbox), "system", name),
            Self::Owner => (None, "owner", "owner"),
            Self::Operator => (None, "operator", "operator"),
            Self::System => (None, "system", "system"),
        }
    }
}

/// Something to be audited.
#[derive(Debug)]
pub struct Note<'a> {
    /// The mesh's number.
    pub mesh: i64,
    /// Who did it.
    pub actor: Actor<'a>,
    /// What happened.
    pub event: Event<'a>,
    /// When; now when absent.
    pub at: Option<Timestamp>,
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub no: i64,
    /// What happened.
    pub event_type: String,
    /// Who did it: a member's id, `owner`, `operator` or `system`.
    pub actor_id: String,
    /// Who did it, by name.
    pub actor: String,
    /// Compact JSON, as it was hashed.
    pub payload: String,
    /// When, ISO 8601.
    pub created_at: String,
    /// Its hash.
    pub hash: String,
}

/// Notes what happened, in the caller's transaction: the one that makes it happen.
pub async fn add(
    db: &impl GenericClient,
    mesh: i64,
    actor: Actor<'_>,
    event: Event<'_>,
) -> Result<()> {
    add_all(db, &[Note { mesh, actor, event, at: None }]).await
}

/// The same for much at once, in this order.
pub async fn add_all(db: &impl GenericClient, notes: &[Note<'_>]) -> Result<()> {
    if notes.is_empty() {
        return Ok(());
    }
    let parts: Vec<_> = notes.iter().map(|note| note.actor.parts()).collect();
    let meshes: Vec<i64> = notes.iter().map(|note| note.mesh).collect();
    let kinds: Vec<&str> = notes.iter().map(|note| note.event.kind()).collect();
    let members: Vec<Option<i64>> = parts.iter().map(|part| part.0).collect();
    let ids: Vec<&str> = parts.iter().map(|part| part.1).collect();
    let names: Vec<&str> = parts.iter().map(|part| part.2).collect();
    let payloads: Vec<String> = notes.iter().map(|note| note.event.payload()).collect();
    let times: Vec<Option<Timestamp>> = notes.iter().map(|note| note.at).collect();
    let add = db.prepare_cached(ADD).await?;
    db.execute(&add, &[&meshes, &kinds, &members, &ids, &names, &payloads, &times]).await?;
    Ok(())
}

/// Moves notes of a mesh into its chain, in the caller's transaction, which should be short:
/// whoever else appends to this chain waits for it. Returns how many; [`STEP_MAX`] means that there
/// may be more.
pub async fn chain(db: &impl GenericClient, mesh: i64) -> Result<i64> {
    let head = db.prepare_cached(HEAD).await?;
    let locked = match db.query_opt(&head, &[&mesh]).await? {
        Some(locked) => locked,
        None => {
            let begin = db.prepare_cached(BEGIN_CHAIN).await?;
            db.execute(&begin, &[&mesh, &GENESIS]).await?;
            db.query_one(&head, &[&mesh]).await?
        }
    };
    // A statement of its own: what the lock waited for has taken its notes by now.
    let take = db.prepare_cached(TAKE).await?;
    let mut taken = db.query(&take, &[&mesh, &STEP_MAX]).await?;
    if taken.is_empty() {
        return Ok(0);
    }
    taken.sort_by_key(|row| (row.get::<_, Timestamp>("at"), row.get::<_, i64>("id")));

    let first: i64 = locked.get("no");
    let mut chain = Chain::at(locked.get("id"), first.unsigned_abs(), locked.get("hash"));
    let mut columns = Columns::default();
    for (row, no) in taken.iter().zip(first + 1..) {
        let at: Timestamp = row.get("at");
        let (event_type, actor_id) = (row.get("event_type"), row.get("actor_id"));
        let payload = row.get("payload");
        let hash = chain.append(event_type, actor_id, payload, &iso(at)).to_owned();
        columns.numbers.push(no);
        columns.event_types.push(event_type);
        columns.actor_ids.push(actor_id);
        columns.actors.push(row.get("actor"));
        columns.payloads.push(payload);
        columns.times.push(at);
        columns.hashes.push(hash);
    }
    columns.write(db, mesh, &chain).await?;
    Ok(i64::try_from(taken.len()).expect("a step is small"))
}

/// As [`chain`], in a transaction of its own. A connection on which it failed is not used again.
pub async fn chain_alone(db: &impl GenericClient, mesh: i64) -> Result<i64> {
    db.batch_execute("begin").await?;
    let n_chained = chain(db, mesh).await?;
    db.batch_execute("commit").await?;
    Ok(n_chained)
}

/// Entries as columns, for `unnest`.
#[derive(Default)]
struct Columns<'a> {
    numbers: Vec<i64>,
    event_types: Vec<&'a str>,
    actor_ids: Vec<&'a str>,
    actors: Vec<&'a str>,
    payloads: Vec<&'a str>,
    times: Vec<Timestamp>,
    hashes: Vec<String>,
}

impl Columns<'_> {
    async fn write(&self, db: &impl GenericClient, mesh: i64, chain: &Chain) -> Result<()> {
        let append = db.prepare_cached(APPEND).await?;
        db.execute(
            &append,
            &[
                &mesh,
                &self.numbers,
                &self.event_types,
                &self.actor_ids,
                &self.actors,
                &self.payloads,
                &self.times,
                &self.hashes,
            ],
        )
        .await?;
        let move_head = db.prepare_cached(MOVE_HEAD).await?;
        let no = chain.no().cast_signed();
        db.execute(&move_head, &[&mesh, &no, &chain.hash()]).await?;
        let count = db.prepare_cached(COUNT).await?;
        db.execute(&count, &[&mesh, &self.event_types]).await?;
        Ok(())
    }
}

/// Meshes of these buckets that have notes; at most a hundred.
pub async fn waiting(db: &impl GenericClient, buckets: &[i32]) -> Result<Vec<i64>> {
    let waiting = db.prepare_cached(WAITING).await?;
    let rows = db.query(&waiting, &[&buckets, &duties::BUCKETS, &MESHES_MAX]).await?;
    Ok(rows.iter().map(|row| row.get("mesh")).collect())
}

/// At most `limit` entries with numbers below `before`, newest first, after the first `offset`.
pub async fn newest(
    db: &impl GenericClient,
    mesh: i64,
    before: i64,
    offset: i64,
    limit: i64,
) -> Result<Vec<Entry>> {
    // Numbers have no gaps, so an offset is a difference.
    let before = before.min(end(db, mesh).await?.0 + 1).saturating_sub(offset);
    let newest = db.prepare_cached(NEWEST).await?;
    Ok(db.query(&newest, &[&mesh, &before, &limit]).await?.iter().map(entry).collect())
}

/// The same of one event.
pub async fn newest_of_type(
    db: &impl GenericClient,
    mesh: i64,
    event_type: &str,
    before: i64,
    offset: i64,
    limit: i64,
) -> Result<Vec<Entry>> {
    let newest = db.prepare_cached(NEWEST_OF_TYPE).await?;
    let rows = db.query(&newest, &[&mesh, &before, &limit, &event_type, &offset]).await?;
    Ok(rows.iter().map(entry).collect())
}

/// At most `limit` entries with numbers above `after`, oldest first.
pub async fn after(
    db: &impl GenericClient,
    mesh: i64,
    after: i64,
    limit: i64,
) -> Result<Vec<Entry>> {
    let list = db.prepare_cached(AFTER).await?;
    Ok(db.query(&list, &[&mesh, &after, &limit]).await?.iter().map(entry).collect())
}

/// The hash that was written with the entry of this number; that of no entry is known too.
pub async fn hash_at(db: &impl GenericClient, mesh: i64, no: i64) -> Result<Option<String>> {
    if no == 0 {
        return Ok(Some(GENESIS.to_owned()));
    }
    let hash = db.prepare_cached(HASH_AT).await?;
    Ok(db.query_opt(&hash, &[&mesh, &no]).await?.map(|row| row.get("hash")))
}

/// The number and the hash of the last entry.
pub async fn end(db: &impl GenericClient, mesh: i64) -> Result<(i64, String)> {
    let end = db.prepare_cached(END).await?;
    let row = db.query_opt(&end, &[&mesh]).await?;
    Ok(row.map_or((0, GENESIS.to_owned()), |row| (row.get("no"), row.get("hash"))))
}

/// How many entries there are, or there are of one event.
pub async fn total(db: &impl GenericClient, mesh: i64, event_type: Option<&str>) -> Result<i64> {
    let Some(event_type) = event_type else { return Ok(end(db, mesh).await?.0) };
    let total = db.prepare_cached(TOTAL_OF_TYPE).await?;
    let row = db.query_opt(&total, &[&mesh, &event_type]).await?;
    Ok(row.map_or(0, |row| row.get("n")))
}

fn entry(row: &Row) -> Entry {
    Entry {
        no: row.get("no"),
        event_type: row.get("event_type"),
        actor_id: row.get("actor_id"),
        actor: row.get("actor"),
        payload: row.get("payload"),
        created_at: iso(row.get("created_at")),
        hash: row.get("hash"),
    }
}
