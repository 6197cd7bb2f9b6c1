//! Members of a mesh: the keys that may say hello.
//!
//! A revoked member's row stays, so that its key never comes back and its mail has an owner; only
//! [`find_by_key`] and [`find`] show it, and say so.

use openapi::members::{Grant, Role};
use skein_openapi as openapi;
use tokio_postgres::Row;

use crate::{GenericClient, Result, iso, new_id, statement::statements};

statements! {
    FIND_BY_KEY = "
        select mailbox, id, pubkey, display_name, role, revoked_at is not null as is_revoked
          from member
         where mesh = $1 and pubkey = $2";

    FIND = "
        select mailbox, id, pubkey, display_name, role, revoked_at is not null as is_revoked
          from member
         where mesh = $1 and id = $2";

    INSERT = "
        insert into member (mesh, id, pubkey, display_name, role)
        values ($1, $2, $3, $4, $5)
        on conflict (mesh, pubkey) do nothing
        returning mailbox, id, pubkey, display_name, role, false as is_revoked";

    // What is sent to an API key is sent to the key's own: nobody has the other half of its member's.
    LIST = "
        select m.id, coalesce((select k.pubkey from api_key k where k.member = m.mailbox), m.pubkey)
               as pubkey, m.display_name, m.role, m.joined_at, 
               (select max(s.seen_at) from session s where s.member = m.mailbox) as last_seen_at,
               (select count(*) from presence p where p.member = m.mailbox) as peers
          from member m
         where m.mesh = $1 and m.revoked_at is null
           and m.mailbox > coalesce((select mailbox from member where mesh = $1 and id = $2), 0)
         order by m.mailbox
         limit $3";

    READ = "
        select m.id, coalesce((select k.pubkey from api_key k where k.member = m.mailbox), m.pubkey)
               as pubkey, m.display_name, m.role, m.joined_at, 
               (select max(s.seen_at) from session s where s.member = m.mailbox) as last_seen_at,
               (select count(*) from presence p where p.member = m.mailbox) as peers
          from member m
         where m.mesh = $1 and m.id = $2 and m.revoked_at is null";

    SET_ROLE = "
        update member
           set role = $3
         where mesh = $1 and id = $2 and role <> 'owner' and revoked_at is null";

    HOLD = "
        select
          from member
         where mailbox = $1 and revoked_at is null
           for share";

    // A statement of its own: whoever holds the member now has made what the next one ends.
    WAIT = "
        select from member
         where mesh = $1 and id = $2
           for no key update";

    // Its presences end with it: what its sockets still send is skipped before they are closed. So
    // do its watches and its schedules.
    REVOKE = "
        with revoked as (
            update member
               set revoked_at = now()
             where mesh = $1 and id = $2 and role <> 'owner' and revoked_at is null
               and ($3 or role = 'member')
            returning mailbox),
        ended as (
            delete from presence p
             using revoked
             where p.member = revoked.mailbox
            returning p.session),
        unwatched as (
            delete from watch w
             using revoked
             where w.member = revoked.mailbox),
        unscheduled as (
            update schedule s
               set state = 'done', done_at = now(), run_at = null
              from revoked
             where s.member = revoked.mailbox and s.state <> 'done'),
        departing as (
            update session s
               set depart_at = case when announced = 'here' then now() end, seen_at = now()
              from ended
             where s.mailbox = ended.session)
        select mailbox from revoked";

    IS_SESSION_KEY = "
        select exists (select from session where mesh = $1 and key = $2) as is_session_key";
}

/// A member as the edges know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Where its mail goes.
    pub mailbox: i64,
    /// What the wire calls it.
    pub id: String,
    /// The key that says hello.
    pub pubkey: String,
    /// What it is called.
    pub display_name: String,
    /// What it may do.
    pub role: Role,
    /// Whether it may do nothing any more.
    pub is_revoked: bool,
}

/// The member of this key, also when it was revoked.
pub async fn find_by_key(
    db: &impl GenericClient,
    mesh: i64,
    pubkey: &str,
) -> Result<Option<Member>> {
    let find = db.prepare_cached(FIND_BY_KEY).await?;
    Ok(db.query_opt(&find, &[&mesh, &pubkey]).await?.as_ref().map(member))
}

/// The member of this id, also when it was revoked.
pub async fn find(db: &impl GenericClient, mesh: i64, id: &str) -> Result<Option<Member>> {
    let find = db.prepare_cached(FIND).await?;
    Ok(db.query_opt(&find, &[&mesh, &id]).await?.as_ref().map(member))
}

/// Enters a member, unless its key is in the mesh already, be it revoked.
pub async fn insert(
    db: &impl GenericClient,
    mesh: i64,
    pubkey: &str,
    display_name: &str,
    role: Role,
) -> Result<Option<Member>> {
    let insert = db.prepare_cached(INSERT).await?;
    let id = new_id();
    let row = db.query_opt(&insert, &[&mesh, &id, &pubkey, &display_name, &role.as_str()]).await?;
    Ok(row.as_ref().map(member))
}

/// At most `limit` members that were not revoked, in the order in which they joined; those behind
/// the member `after`, if that is given.
pub async fn list(
    db: &impl GenericClient,
    mesh: i64,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<openapi::members::Member>> {
    let list = db.prepare_cached(LIST).await?;
    Ok(db.query(&list, &[&mesh, &after, &limit]).await?.iter().map(object).collect())
}

/// What REST says of the member of this id, unless it was revoked.
pub async fn read(
    db: &impl GenericClient,
    mesh: i64,
    id: &str,
) -> Result<Option<openapi::members::Member>> {
    let read = db.prepare_cached(READ).await?;
    Ok(db.query_opt(&read, &[&mesh, &id]).await?.as_ref().map(object))
}

/// Gives a member another role and returns true; returns false for owners and for whom there is
/// not.
pub async fn set_role(db: &impl GenericClient, mesh: i64, id: &str, role: Grant) -> Result<bool> {
    let set_role = db.prepare_cached(SET_ROLE).await?;
    Ok(db.execute(&set_role, &[&mesh, &id, &Role::from(role).as_str()]).await? == 1)
}

/// Holds a member until the caller's transaction ends, so that whoever revokes it finds what is made
/// for it meanwhile; false when it is none any more.
pub async fn hold(db: &impl GenericClient, mailbox: i64) -> Result<bool> {
    let hold = db.prepare_cached(HOLD).await?;
    Ok(db.query_opt(&hold, &[&mailbox]).await?.is_some())
}

/// Takes everything from a member or an admin, in the caller's transaction, and returns its mailbox,
/// so that its sockets can be closed; none for owners and for whom there is not.
pub async fn revoke(db: &impl GenericClient, mesh: i64, id: &str) -> Result<Option<i64>> {
    revoke_if(db, mesh, id, true).await
}

/// As [`revoke`], but leaves admins alone: what an admin may do.
pub async fn revoke_plain(db: &impl GenericClient, mesh: i64, id: &str) -> Result<Option<i64>> {
    revoke_if(db, mesh, id, false).await
}

async fn revoke_if(
    db: &impl GenericClient,
    mesh: i64,
    id: &str,
    admins_too: bool,
) -> Result<Option<i64>> {
    let wait = db.prepare_cached(WAIT).await?;
    db.execute(&wait, &[&mesh, &id]).await?;
    let revoke = db.prepare_cached(REVOKE).await?;
    let row = db.query_opt(&revoke, &[&mesh, &id, &admins_too]).await?;
    Ok(row.map(|row| row.get("mailbox")))
}

/// Whether the key is a session's in this mesh. Such a key may not become a member's: mail to it
/// would have two owners. (Asked of a key that is no member's, so that the session is another's.)
pub async fn is_session_key_of_other(
    db: &impl GenericClient,
    mesh: i64,
    pubkey: &str,
) -> Result<bool> {
    let is_session_key = db.prepare_cached(IS_SESSION_KEY).await?;
    Ok(db.query_one(&is_session_key, &[&mesh, &pubkey]).await?.get("is_session_key"))
}

fn member(row: &Row) -> Member {
    Member {
        mailbox: row.get("mailbox"),
        id: row.get("id"),
        pubkey: row.get("pubkey"),
        display_name: row.get("display_name"),
        role: role(row),
        is_revoked: row.get("is_revoked"),
    }
}

fn object(row: &Row) -> openapi::members::Member {
    openapi::members::Member {
        id: row.get("id"),
        pubkey: row.get("pubkey"),
        display_name: row.get("display_name"),
        role: role(row),
        peers: row.get("peers"),
        joined_at: iso(row.get("joined_at")),
        last_seen_at: row.get::<_, Option<_>>("last_seen_at").map(iso),
    }
}

fn role(row: &Row) -> Role {
    Role::parse(row.get("role")).expect("the table admits no other word")
}
