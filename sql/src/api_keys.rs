//! API keys of a mesh, and which messages each sent and received.
//!
//! A key is a member of its own, whose member key nobody has, with one session that no socket ever
//! attaches: its public key is what messages are sent to, and its mailbox is where they wait. A
//! session that was not used for long is forgotten as every other; the next use makes it again.

use jiff::Timestamp;
use openapi::{
    api_keys::{ApiKey, Capability, NewApiKey},
    members::Role,
};
use skein_openapi as openapi;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{GenericClient, Result, iso, members, new_id, settle, statement::statements};

statements! {
    IS_KNOWN = "
        select exists (select from member where mesh = $1 and pubkey = $2)
            or exists (select from session where mesh = $1 and key = $2) as is_known";

    SESSION = "
        insert into session (mesh, member, key, proved, display_name, session_id, pid, cwd)
        values ($1, $2, $3, true, $4, '', 0, '')
            on conflict (mesh, key) do nothing";

    CREATE = "
        insert into api_key (id, mesh, name, secret_hash, pubkey, member, capabilities, created_by,
                             expires_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, now() + make_interval(days => $9))
            on conflict do nothing
        returning id, name, pubkey, capabilities, created_by, created_at, expires_at, revoked_at,
                  used_at";

    LIST = "
        select id, name, pubkey, capabilities, created_by, created_at, expires_at, revoked_at,
               used_at
          from api_key
         where mesh = $1 and ($2::text is null or id < $2)
         order by id desc
         limit $3";

    REVOKE = "
        with revoked as (
            update api_key
               set revoked_at = now()
             where mesh = $1 and id = $2 and revoked_at is null
            returning member),
        gone as (
            update member m
               set revoked_at = now()
              from revoked
             where m.mailbox = revoked.member and m.revoked_at is null)
        select member from revoked";

    FIND = "
        select k.id, k.mesh, k.name, k.pubkey, k.member, k.capabilities, s.mailbox as session,
               k.used_at > now() - interval '1 minute' as is_in_use
          from api_key k
          join member o on o.mailbox = k.member and o.revoked_at is null
          left join session s on s.mesh = k.mesh and s.key = k.pubkey and s.member = k.member
         where k.secret_hash = $1 and k.revoked_at is null
           and (k.expires_at is null or k.expires_at > now())";

    USE = "
        with used as (
            update api_key
               set used_at = now()
             where id = $5 and mesh = $1)
        insert into session (mesh, member, key, proved, display_name, session_id, pid, cwd)
        values ($1, $2, $3, true, $4, '', 0, '')
            on conflict (mesh, key) do update
           set seen_at = now()
         where session.member = excluded.member
        returning mailbox";

    NOTE = "
        insert into api_message (key, seq, mesh, at, is_sent)
        select $1, seq, $2, at, $5
          from unnest($3::bigint[], $4::timestamptz[]) as t(seq, at)
            on conflict do nothing";

    WAITING = "
        select seq, at
          from delivery
         where recipient = $1 and mesh = $2
         order by seq
         limit $3";

    // Settled and sent, and what waits; newest first. Of one that a key sent to itself the sent one
    // comes first.
    HISTORY = "
        select seq, at, is_sent
          from ((select seq, at, is_sent
                   from api_message
                  where key = $1 and mesh = $3
                    and (seq, is_sent::integer) < ($4, $5)
                  order by seq desc, is_sent desc
                  limit $6)
                union all
                (select seq, at, false
                   from delivery
                  where recipient = $2 and mesh = $3 and (seq, 0) < ($4, $5)
                  order by seq desc
                  limit $6)) m
         order by seq desc, is_sent desc
         limit $6";

    NAMED = "
        select m.seq, m.at
          from (select seq, at
                  from message
                 where message_id = any($3) and mesh = $2
                union all
                select seq, at
                  from message_held
                 where message_id = any($3) and mesh = $2) m
          join delivery d on d.seq = m.seq and d.recipient = $1";

    SWEEP = "
        delete from api_message
         where at < now() - make_interval(days => $1)";
}

/// A key that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub id: String,
    /// The number of its mesh.
    pub mesh: i64,
    /// What it is called.
    pub name: String,
    /// What messages to it are sent to.
    pub pubkey: String,
    /// The mailbox of its member.
    pub member: i64,
    /// The mailbox of its session.
    pub session: i64,
    /// What it may do.
    pub capabilities: Vec<Capability>,
}

/// Makes a key in the caller's transaction; `None` when somebody in the mesh has its public key, or
/// had it.
pub async fn create(
    db: &impl GenericClient,
    mesh: i64,
    new: &NewApiKey,
    secret_hash: &[u8; 32],
    member_key: &str,
    created_by: &str,
) -> Result<Option<ApiKey>> {
    let is_known = db.prepare_cached(IS_KNOWN).await?;
    if db.query_one(&is_known, &[&mesh, &new.pubkey]).await?.get("is_known") {
        return Ok(None);
    }
    let made = members::insert(db, mesh, member_key, &new.name, Role::Member).await?;
    let member = made.expect("the member key is random").mailbox;
    let session = db.prepare_cached(SESSION).await?;
    if db.execute(&session, &[&mesh, &member, &new.pubkey, &new.name]).await? == 0 {
        return Ok(None);
    }
    let create = db.prepare_cached(CREATE).await?;
    let words: Vec<&str> = new.capabilities.iter().map(|one| one.as_str()).collect();
    let (id, hash) = (new_id(), &secret_hash[..]);
    let row = db
        .query_opt(
            &create,
            &[&id, &mesh, &new.name, &hash, &new.pubkey, &member, &words, &created_by, &new.days],
        )
        .await?;
    Ok(row.as_ref().map(object))
}

/// At most `limit` keys, newest first; those behind the key `after`, if that is given.
pub async fn list(
    db: &impl GenericClient,
    mesh: i64,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<ApiKey>> {
    let list = db.prepare_cached(LIST).await?;
    Ok(db.query(&list, &[&mesh, &after, &limit]).await?.iter().map(object).collect())
}

/// Revokes a key and its member, and returns true; returns false when there is none, or it was
/// revoked before.
pub async fn revoke(db: &impl GenericClient, mesh: i64, id: &str) -> Result<bool> {
    let revoke = db.prepare_cached(REVOKE).await?;
    Ok(db.query_opt(&revoke, &[&mesh, &id]).await?.is_some())
}

/// The key of this secret, unless it was revoked or has expired. That it was used is noted once a
/// minute.
pub async fn find(db: &impl GenericClient, secret_hash: &[u8; 32]) -> Result<Option<Key>> {
    let find = db.prepare_cached(FIND).await?;
    let Some(row) = db.query_opt(&find, &[&&secret_hash[..]]).await? else { return Ok(None) };
    let words: Vec<&str> = row.get("capabilities");
    let mut key = Key {
        id: row.get("id"),
        mesh: row.get("mesh"),
        name: row.get("name"),
        pubkey: row.get("pubkey"),
        member: row.get("member"),
        session: row.get::<_, Option<i64>>("session").unwrap_or(0),
        capabilities: words.into_iter().filter_map(Capability::parse).collect(),
    };
    if key.session == 0 || row.get::<_, Option<bool>>("is_in_use") != Some(true) {
        let used = db.prepare_cached(USE).await?;
        let noted =
            db.query_opt(&used, &[&key.mesh, &key.member, &key.pubkey, &key.name, &key.id]).await?;
        let Some(row) = noted else { return Ok(None) };
        key.session = row.get("mailbox");
    }
    Ok(Some(key))
}

/// Notes that a key sent, or received, these messages.
pub async fn note(
    db: &impl GenericClient,
    mesh: i64,
    key: &str,
    messages: &[(i64, Timestamp)],
    is_sent: bool,
) -> Result<()> {
    let note = db.prepare_cached(NOTE).await?;
    let (seqs, ats): (Vec<i64>, Vec<Timestamp>) = messages.iter().copied().unzip();
    db.execute(&note, &[&key, &mesh, &seqs, &ats, &is_sent]).await?;
    Ok(())
}

/// The messages that wait for a key, oldest first, at most `limit`.
pub async fn waiting(
    db: &impl GenericClient,
    key: &Key,
    limit: i64,
) -> Result<Vec<(i64, Timestamp)>> {
    let waiting = db.prepare_cached(WAITING).await?;
    let rows = db.query(&waiting, &[&key.session, &key.mesh, &limit]).await?;
    Ok(rows.iter().map(|row| (row.get("seq"), row.get("at"))).collect())
}

/// What a key sent and received, newest first, at most `limit`: number, time, whether it was sent.
/// Those behind `before`, the number of a message and whether it was sent.
pub async fn history(
    db: &impl GenericClient,
    key: &Key,
    before: Option<(i64, bool)>,
    limit: i64,
) -> Result<Vec<(i64, Timestamp, bool)>> {
    let (seq, is_sent) = before.unwrap_or((i64::MAX, false));
    let history = db.prepare_cached(HISTORY).await?;
    let rows = db
        .query(&history, &[&key.id, &key.session, &key.mesh, &seq, &i32::from(is_sent), &limit])
        .await?;
    Ok(rows.iter().map(|row| (row.get("seq"), row.get("at"), row.get("is_sent"))).collect())
}

/// Settles the messages of these ids that wait for a key, and returns how many those are. In the
/// caller's transaction: what is settled is in the history.
pub async fn settle(db: &impl GenericClient, key: &Key, ids: &[Uuid]) -> Result<usize> {
    let named = db.prepare_cached(NAMED).await?;
    let rows = db.query(&named, &[&key.session, &key.mesh, &ids]).await?;
    let found: Vec<(i64, Timestamp)> =
        rows.iter().map(|row| (row.get("seq"), row.get("at"))).collect();
    note(db, key.mesh, &key.id, &found, false).await?;
    let rows: Vec<(i64, i64)> = found.iter().map(|(seq, _)| (*seq, key.session)).collect();
    settle::settle(db, &rows).await?;
    Ok(found.len())
}

/// Forgets the history of more than so many days ago, whose messages are gone.
pub async fn sweep(db: &impl GenericClient, days: i32) -> Result<u64> {
    let sweep = db.prepare_cached(SWEEP).await?;
    Ok(db.execute(&sweep, &[&days]).await?)
}

fn object(row: &Row) -> ApiKey {
    let words: Vec<&str> = row.get("capabilities");
    let at = |name| row.get::<_, Option<Timestamp>>(name).map(iso);
    ApiKey {
        id: row.get("id"),
        name: row.get("name"),
        pubkey: row.get("pubkey"),
        capabilities: words.into_iter().filter_map(Capability::parse).collect(),
        created_by: row.get("created_by"),
        created_at: iso(row.get("created_at")),
        used_at: at("used_at"),
        expires_at: at("expires_at"),
        revoked_at: at("revoked_at"),
    }
}
