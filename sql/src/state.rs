//! Shared state: what the keys of a mesh hold.
//!
//! A row is live until it is removed or its time is over. A removed key's row stays for a day
//! without a value, so that every node hears of the removal and the key's version goes on; when it
//! is forgotten, the mesh remembers how high versions were.
//!
//! A change of a live key is one statement, and PostgreSQL's row lock decides who was first. A key
//! that begins is made under the lock of its mesh: there keys are counted, and versions that were
//! forgotten are not given out again. What changed is asked for by transaction: see [`changes`].

pub mod changes;

use jiff::Timestamp;
use serde_json::value::RawValue;
use skein_wire::{audit::Event, limit, state::Entry};
use tokio_postgres::{Row, types::ToSql};

pub use self::changes::{Change, Subject};
use crate::{Db, GenericClient, Result, iso, statement::statements};

statements! {
    // The name is the member's; `unknown` as in the contract. No row: the session has moved.
    AUTHOR = "
        select coalesce($4, (select m.display_name from member m where m.mailbox = $3),
                        'unknown') as name
         where $1::bigint = 0
            or exists (select from presence p where p.session = $1 and p.attach_no = $2)";

    // What is changed is noted in the audit log by the same statement, here and below.
    UPDATE = "
        with changed as (
            update state s
               set value = $3, version = s.version + 1, writer = $4, updated_by = $5,
                   updated_at = clock_timestamp(),
                   expires_at = clock_timestamp() + $6::float8 * interval '1 s',
                   xid = pg_current_xact_id()
             where s.mesh = $1 and s.key = $2 and s.value is not null
               and (s.expires_at is null or s.expires_at > clock_timestamp())
               and ($7::bigint is null or s.version = $7)
            returning s.version, s.xid::text::bigint as xid),
        audited as (
            insert into audit_intake (mesh, event_type, actor_id, actor, payload)
            select $1, 'state_set',
                   coalesce((select id from member where mailbox = $8), 'system'),
                   coalesce((select display_name from session where mailbox = $4), $5), $9
              from changed)
        select version, xid from changed";

    REMOVE = "
        with changed as (
            update state s
               set value = null, version = s.version + 1, writer = $3, updated_by = $4,
                   updated_at = clock_timestamp(), expires_at = null, xid = pg_current_xact_id()
             where s.mesh = $1 and s.key = $2 and s.value is not null
               and (s.expires_at is null or s.expires_at > clock_timestamp())
               and ($5::bigint is null or s.version = $5)
            returning s.version, s.xid::text::bigint as xid),
        audited as (
            insert into audit_intake (mesh, event_type, actor_id, actor, payload)
            select $1, 'state_deleted',
                   coalesce((select id from member where mailbox = $6), 'system'),
                   coalesce((select display_name from session where mailbox = $3), $4), $7
              from changed)
        select version, xid from changed";

    FLOOR = "
        select state_floor as floor
          from mesh
         where no = $1
           for no key update";

    GET = "
        select key, value, version, updated_by, updated_at, expires_at
          from state
         where mesh = $1 and key = $2 and value is not null
           and (expires_at is null or expires_at > clock_timestamp())";

    COUNT = "
        select count(*) as n
          from state
         where mesh = $1 and value is not null
           and (expires_at is null or expires_at > clock_timestamp())";

    PUT = "
        with changed as (
            insert into state as s (mesh, key, value, version, writer, updated_by, updated_at,
                                    expires_at, xid)
            values ($1, $2, $3, $7::bigint + 1, $4, $5, clock_timestamp(),
                    clock_timestamp() + $6::float8 * interval '1 s', pg_current_xact_id())
                on conflict (mesh, key) do update
               set value = excluded.value, version = s.version + 1, writer = excluded.writer,
                   updated_by = excluded.updated_by, updated_at = excluded.updated_at,
                   expires_at = excluded.expires_at, xid = excluded.xid
            returning s.version, s.xid::text::bigint as xid),
        audited as (
            insert into audit_intake (mesh, event_type, actor_id, actor, payload)
            select $1, 'state_set',
                   coalesce((select id from member where mailbox = $8), 'system'),
                   coalesce((select display_name from session where mailbox = $4), $5), $9
              from changed)
        select version, xid from changed";

    // What an entry comes to on the wire, roughly: names are shown with escapes.
    LIST = "
        select key, value, version, updated_by, updated_at, expires_at
          from (select key, value, version, updated_by, updated_at, expires_at,
                       sum(octet_length(value) + 2 * octet_length(key)
                           + 2 * octet_length(updated_by) + 200)
                           over (order by key) as bytes
                  from state
                 where mesh = $1 and key > $2 and starts_with(key, $3) and value is not null
                   and (expires_at is null or expires_at > clock_timestamp())) s
         where bytes <= $4
         order by key";

    KEYS = "
        select key
          from state
         where mesh = $1 and value is not null and (expires_at is null or expires_at > now())
         order by key";

    MORE = "
        select key
          from state
         where mesh = $1 and key > $2 and starts_with(key, $3) and value is not null
           and (expires_at is null or expires_at > clock_timestamp())
         limit 1";
}

/// Who changes a key.
#[derive(Debug, Clone, Copy)]
pub struct Author<'a> {
    /// The session and its attachment, which must be the present one; 0: none of a mesh.
    pub session: i64,
    /// See `session`.
    pub attach_no: i64,
    /// The member, whose name it is changed under.
    pub member: i64,
    /// Another name, for what has no member.
    pub name: Option<&'a str>,
}

/// A change of a key.
#[derive(Debug, Clone, Copy)]
pub struct Set<'a> {
    /// The key.
    pub key: &'a str,
    /// JSON.
    pub value: &'a str,
    /// Only if it has this version; 0: only if there is no such key.
    pub if_version: Option<u64>,
    /// How long it is to last.
    pub ttl_s: Option<u64>,
}

/// What became of a change.
#[derive(Debug)]
pub enum Outcome {
    /// It was made.
    Done(Change),
    /// The key has another version; this is what it holds, if there is one.
    Differs(Option<Entry>),
    /// There is no such key to remove.
    Absent,
    /// The mesh has this many keys, which is as many as it may.
    Full(u64),
    /// The session has another attachment by now.
    Moved,
}

/// Sets a key of `mesh`.
pub async fn set(db: &mut Db, mesh: i64, author: &Author<'_>, set: &Set<'_>) -> Result<Outcome> {
    let Some(name) = name_of(&*db, author).await? else { return Ok(Outcome::Moved) };
    let ttl_s = set.ttl_s.map(|s| s as f64);
    let if_version = set.if_version.map(signed);
    let audited = Event::state_set(set.key, set.value).payload();
    let (session, member) = (&author.session, &author.member);
    let values: [&(dyn ToSql + Sync); 9] =
        [&mesh, &set.key, &set.value, session, &name, &ttl_s, &if_version, member, &audited];
    if let Some(row) = update(&*db, &values).await? {
        return Ok(Outcome::Done(made(mesh, set.key, author, name, Some(set.value), &row)));
    }
    let transaction = db.transaction().await?;
    let floor = transaction.prepare_cached(FLOOR).await?;
    let floor: i64 = transaction.query_one(&floor, &[&mesh]).await?.get("floor");
    // Another may have begun it before we had the lock; nobody does now.
    let row = match update(&transaction, &values).await? {
        Some(row) => row,
        None => {
            let current = get(&transaction, mesh, set.key).await?;
            let is_wanted = set.if_version.is_none_or(|version| version == 0);
            if current.is_some() || !is_wanted {
                return Ok(Outcome::Differs(current));
            }
            let count = transaction.prepare_cached(COUNT).await?;
            let n: i64 = transaction.query_one(&count, &[&mesh]).await?.get("n");
            if n >= limit::STATE_KEYS_MAX {
                return Ok(Outcome::Full(n.unsigned_abs()));
            }
            let put = transaction.prepare_cached(PUT).await?;
            let values: [&(dyn ToSql + Sync); 9] =
                [&mesh, &set.key, &set.value, session, &name, &ttl_s, &floor, member, &audited];
            transaction.query_one(&put, &values).await?
        }
    };
    transaction.commit().await?;
    Ok(Outcome::Done(made(mesh, set.key, author, name, Some(set.value), &row)))
}

/// Changes a key that is there; no row where it is not, or has another version.
async fn update(db: &impl GenericClient, values: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>> {
    let update = db.prepare_cached(UPDATE).await?;
    Ok(db.query_opt(&update, values).await?)
}

/// Removes a key of `mesh`, if it has this version.
pub async fn remove(
    db: &impl GenericClient,
    mesh: i64,
    author: &Author<'_>,
    key: &str,
    if_version: Option<u64>,
) -> Result<Outcome> {
    let Some(name) = name_of(db, author).await? else { return Ok(Outcome::Moved) };
    let remove = db.prepare_cached(REMOVE).await?;
    let wanted = if_version.map(signed);
    let audited = Event::StateDeleted { key }.payload();
    let values: [&(dyn ToSql + Sync); 7] =
        [&mesh, &key, &author.session, &name, &wanted, &author.member, &audited];
    let row = db.query_opt(&remove, &values).await?;
    if let Some(row) = row {
        return Ok(Outcome::Done(made(mesh, key, author, name, None, &row)));
    }
    Ok(match get(db, mesh, key).await? {
        Some(current) if if_version.is_some() => Outcome::Differs(Some(current)),
        // Without a version only what was not there is not removed.
        _ => Outcome::Absent,
    })
}

async fn name_of(db: &impl GenericClient, author: &Author<'_>) -> Result<Option<String>> {
    let named = db.prepare_cached(AUTHOR).await?;
    let values: [&(dyn ToSql + Sync); 4] =
        [&author.session, &author.attach_no, &author.member, &author.name];
    Ok(db.query_opt(&named, &values).await?.map(|row| row.get("name")))
}

fn made(
    mesh: i64,
    key: &str,
    author: &Author<'_>,
    updated_by: String,
    value: Option<&str>,
    row: &Row,
) -> Change {
    Change {
        subject: Subject::state(mesh, key),
        key: key.to_owned(),
        version: row.get("version"),
        xid: row.get("xid"),
        writer: author.session,
        updated_by,
        value: value.map(str::to_owned),
    }
}

/// What a key of `mesh` holds, if it is there.
pub async fn get(db: &impl GenericClient, mesh: i64, key: &str) -> Result<Option<Entry>> {
    let get = db.prepare_cached(GET).await?;
    Ok(db.query_opt(&get, &[&mesh, &key]).await?.as_ref().map(entry))
}

/// The keys of `mesh` that begin with `prefix` and come after `after`, as many as fit a frame, and
/// whether there are more.
pub async fn list(
    db: &impl GenericClient,
    mesh: i64,
    prefix: &str,
    after: &str,
) -> Result<(Vec<Entry>, bool)> {
    let list = db.prepare_cached(LIST).await?;
    let bytes_max = i64::try_from(limit::LIST_BYTES_MAX).expect("a small constant");
    let rows = db.query(&list, &[&mesh, &after, &prefix, &bytes_max]).await?;
    let entries: Vec<Entry> = rows.iter().map(entry).collect();
    let last = entries.last().map_or(after, |entry| entry.key.as_str());
    let more = db.prepare_cached(MORE).await?;
    let rest = db.query_opt(&more, &[&mesh, &last, &prefix]).await?;
    Ok((entries, rest.is_some()))
}

/// Every key of `mesh`, in their order.
pub async fn keys(db: &impl GenericClient, mesh: i64) -> Result<Vec<String>> {
    let keys = db.prepare_cached(KEYS).await?;
    Ok(db.query(&keys, &[&mesh]).await?.iter().map(|row| row.get("key")).collect())
}

fn entry(row: &Row) -> Entry {
    Entry {
        key: row.get("key"),
        value: json(row.get("value")),
        updated_by: row.get("updated_by"),
        updated_at: iso(row.get("updated_at")),
        version: Some(row.get::<_, i64>("version").unsigned_abs()),
        expires_at: row.get::<_, Option<Timestamp>>("expires_at").map(iso),
    }
}

/// A stored value. What is not JSON was put there by somebody else, and counts as `null`.
fn json(text: String) -> Box<RawValue> {
    RawValue::from_string(text).unwrap_or_else(|_| skein_wire::state::null())
}

fn signed(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}
