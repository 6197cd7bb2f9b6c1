//! Webhooks of a mesh, and which signed posts were taken.
//!
//! An address is found by the hash of its last part, so that whoever reads the table can post to
//! none. A webhook that ends is deleted, and its name is free again.

use jiff::Timestamp;
use skein_wire::limit;
use tokio_postgres::Row;

use crate::{GenericClient, Result, meshes, new_id, statement::statements};

statements! {
    CREATE = "
        insert into webhook (id, mesh, name, token_hash, sealed, signed, target, created_by)
        select $1, $2, $3, $4, $5, $6, $7, $8
         where (select count(*) from webhook where mesh = $2) < $9
        on conflict (mesh, name) do nothing
        returning id, name, sealed, signed, target, created_at";

    LIST = "
        select id, name, sealed, signed, target, created_at
          from webhook
         where mesh = $1
         order by created_at, id";

    READ = "
        select id, name, sealed, signed, target, created_at
          from webhook
         where mesh = $1 and name = $2";

    DELETE = "
        delete from webhook
         where mesh = $1 and name = $2";

    FIND = "
        select w.id, w.name, w.sealed, w.signed, w.target, w.created_at, m.no as mesh
          from mesh m
          join webhook w on w.mesh = m.no
         where m.id = $1 and m.archived_at is null and w.token_hash = $2";

    // Locked: it may be ending at this moment, and then it is not there.
    TAKE = "
        with here as (
            select id
              from webhook
             where mesh = $1 and id = $2
               for key share),
        taken as (
            insert into webhook_seen (webhook, mesh, id_hash)
            select id, $1, $3
              from here
            on conflict do nothing
            returning webhook)
        select exists (select from here) as is_here, exists (select from taken) as is_taken";

    SWEEP = "
        delete from webhook_seen
         where at < now() - make_interval(secs => $1)";

    KNOWS = "
        select exists (select from session s
                         join member o on o.mailbox = s.member and o.revoked_at is null
                        where s.mesh = $1 and s.key = $2)
            or exists (select from member
                        where mesh = $1 and pubkey = $2 and revoked_at is null) as is_known";

    HERE = "
        select count(*) as n
          from presence
         where mesh = $1";
}

/// A webhook as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id; the last part of a signed one's address.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Its secret, sealed with the deployment key.
    pub sealed: String,
    /// Whether each post must be signed.
    pub signed: bool,
    /// Whom posts are for; `None`: everybody who is attached.
    pub target: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A webhook to be made.
#[derive(Debug, Clone, Copy)]
pub struct New<'a> {
    /// Its id: see [`id`].
    pub id: &'a str,
    /// What it is to be called.
    pub name: &'a str,
    /// SHA-256 of the last part of its address.
    pub token_hash: &'a [u8; 32],
    /// See [`Webhook::sealed`].
    pub sealed: &'a str,
    /// See [`Webhook::signed`].
    pub signed: bool,
    /// See [`Webhook::target`].
    pub target: Option<&'a str>,
    /// The mailbox of the member that makes it.
    pub created_by: i64,
}

/// What became of a webhook to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// It is there.
    Made(Webhook),
    /// Another has the name.
    Taken,
    /// The mesh has as many as it may.
    Full,
}

/// What became of a signed post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was taken.
    Now,
    /// It was taken before.
    Before,
    /// Its webhook has ended.
    Ended,
}

/// An id for a new webhook.
pub fn id() -> String {
    new_id()
}

/// Makes a webhook, inside the caller's transaction, unless the mesh has one of this name or has
/// too many.
pub async fn create(db: &impl GenericClient, mesh: i64, new: New<'_>) -> Result<Created> {
    meshes::hold(db, mesh).await?;
    let create = db.prepare_cached(CREATE).await?;
    let New { id, name, token_hash, sealed, signed, target, created_by } = new;
    let token_hash = &token_hash[..];
    let most = i64::try_from(limit::WEBHOOKS_MAX).expect("a small constant");
    let made = db
        .query_opt(
            &create,
            &[&id, &mesh, &name, &token_hash, &sealed, &signed, &target, &created_by, &most],
        )
        .await?;
    Ok(match made {
        Some(row) => Created::Made(webhook(&row)),
        None if read(db, mesh, name).await?.is_some() => Created::Taken,
        None => Created::Full,
    })
}

/// The webhooks of a mesh, oldest first.
pub async fn list(db: &impl GenericClient, mesh: i64) -> Result<Vec<Webhook>> {
    let list = db.prepare_cached(LIST).await?;
    Ok(db.query(&list, &[&mesh]).await?.iter().map(webhook).collect())
}

/// The webhook of this name.
pub async fn read(db: &impl GenericClient, mesh: i64, name: &str) -> Result<Option<Webhook>> {
    let read = db.prepare_cached(READ).await?;
    Ok(db.query_opt(&read, &[&mesh, &name]).await?.as_ref().map(webhook))
}

/// Ends a webhook and returns true, or returns false when there is none of this name.
pub async fn delete(db: &impl GenericClient, mesh: i64, name: &str) -> Result<bool> {
    let delete = db.prepare_cached(DELETE).await?;
    Ok(db.execute(&delete, &[&mesh, &name]).await? == 1)
}

/// The webhook at an address: the number of its mesh, and itself.
pub async fn find(
    db: &impl GenericClient,
    mesh_id: &str,
    token_hash: &[u8; 32],
) -> Result<Option<(i64, Webhook)>> {
    let find = db.prepare_cached(FIND).await?;
    let row = db.query_opt(&find, &[&mesh_id, &&token_hash[..]]).await?;
    Ok(row.map(|row| (row.get("mesh"), webhook(&row))))
}

/// Takes a signed post of this id, once, while its webhook is there.
pub async fn take(
    db: &impl GenericClient,
    mesh: i64,
    webhook: &str,
    id_hash: &[u8; 32],
) -> Result<Taken> {
    let take = db.prepare_cached(TAKE).await?;
    let row = db.query_one(&take, &[&mesh, &webhook, &&id_hash[..]]).await?;
    Ok(match (row.get("is_here"), row.get("is_taken")) {
        (_, true) => Taken::Now,
        (true, false) => Taken::Before,
        (false, false) => Taken::Ended,
    })
}

/// Forgets which posts were taken longer ago than they are remembered; returns how many.
pub async fn sweep(db: &impl GenericClient) -> Result<u64> {
    let sweep = db.prepare_cached(SWEEP).await?;
    Ok(db.execute(&sweep, &[&limit::WEBHOOK_MEMORY.as_secs_f64()]).await?)
}

/// Whether a key is a session's or a member's in this mesh.
pub async fn knows(db: &impl GenericClient, mesh: i64, key: &str) -> Result<bool> {
    let knows = db.prepare_cached(KNOWS).await?;
    Ok(db.query_one(&knows, &[&mesh, &key]).await?.get("is_known"))
}

/// How many sessions of a mesh are attached, seen or not.
pub async fn here(db: &impl GenericClient, mesh: i64) -> Result<i64> {
    let here = db.prepare_cached(HERE).await?;
    Ok(db.query_one(&here, &[&mesh]).await?.get("n"))
}

fn webhook(row: &Row) -> Webhook {
    Webhook {
        id: row.get("id"),
        name: row.get("name"),
        sealed: row.get("sealed"),
        signed: row.get("signed"),
        target: row.get("target"),
        created_at: row.get("created_at"),
    }
}
