//! Invites: what lets a key become a member. Only the hash of the token is here.
//!
//! A use is taken by one statement whose `where` holds every condition, so that the last use of an
//! invite is never taken twice; [`find_by_token`] only finds the words for a refusal.

use openapi::{
    invites::{Invite, NewInvite},
    members::{Grant, Role},
};
use skein_openapi as openapi;
use tokio_postgres::Row;

use crate::{GenericClient, Result, iso, new_id, statement::statements};

statements! {
    REGISTER = "
        insert into invite (mesh, id, token_hash, role, max_uses, created_by, expires_at)
        values ($1, $2, $3, $4, $5, $6, $7)
        on conflict (token_hash) do nothing
        returning id, role, max_uses, used_count, created_by, created_at, expires_at, revoked_at";

    LIST = "
        select id, role, max_uses, used_count, created_by, created_at, expires_at, revoked_at
          from invite
         where mesh = $1 and ($2::text is null or id < $2)
         order by id desc
         limit $3";

    REVOKE = "
        update invite
           set revoked_at = coalesce(revoked_at, now())
         where mesh = $1 and id = $2 and ($3 or role = 'member')";

    FIND = "
        select id, role, max_uses, used_count, created_by, created_at, expires_at, revoked_at
          from invite
         where mesh = $1 and id = $2";

    FIND_BY_TOKEN = "
        select id, mesh, role, revoked_at is not null as is_revoked,
               expires_at <= now() as is_expired
          from invite
         where token_hash = $1";

    TAKE = "
        update invite
           set used_count = used_count + 1
         where mesh = $1 and id = $2 and used_count < max_uses
           and revoked_at is null and expires_at > now()";
}

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// For [`take`].
    pub id: String,
    /// The mesh that it lets into.
    pub mesh: i64,
    /// The role that it gives.
    pub role: Grant,
    /// Whether it was revoked.
    pub is_revoked: bool,
    /// Whether its time is over.
    pub is_expired: bool,
}

/// Enters an invite; none when the token is known already.
pub async fn register(
    db: &impl GenericClient,
    mesh: i64,
    new: &NewInvite,
    token_hash: &[u8; 32],
    expires_at: jiff::Timestamp,
    created_by: &str,
) -> Result<Option<Invite>> {
    let register = db.prepare_cached(REGISTER).await?;
    let (id, role) = (new_id(), Role::from(new.role).as_str());
    let hash = token_hash.as_slice();
    let row = db
        .query_opt(&register, &[&mesh, &id, &hash, &role, &new.uses, &created_by, &expires_at])
        .await?;
    Ok(row.as_ref().map(invite))
}

/// At most `limit` invites, newest first; those older than `before`, if that is given.
pub async fn list(
    db: &impl GenericClient,
    mesh: i64,
    before: Option<&str>,
    limit: i64,
) -> Result<Vec<Invite>> {
    let list = db.prepare_cached(LIST).await?;
    Ok(db.query(&list, &[&mesh, &before, &limit]).await?.iter().map(invite).collect())
}

/// The invite of this id.
pub async fn find(db: &impl GenericClient, mesh: i64, id: &str) -> Result<Option<Invite>> {
    let find = db.prepare_cached(FIND).await?;
    Ok(db.query_opt(&find, &[&mesh, &id]).await?.as_ref().map(invite))
}

/// Ends an invite, now or before; false when the mesh has none of this id.
pub async fn revoke(db: &impl GenericClient, mesh: i64, id: &str) -> Result<bool> {
    revoke_if(db, mesh, id, true).await
}

/// As [`revoke`], but leaves alone what makes admins: what an admin may do.
pub async fn revoke_plain(db: &impl GenericClient, mesh: i64, id: &str) -> Result<bool> {
    revoke_if(db, mesh, id, false).await
}

async fn revoke_if(db: &impl GenericClient, mesh: i64, id: &str, admins_too: bool) -> Result<bool> {
    let revoke = db.prepare_cached(REVOKE).await?;
    Ok(db.execute(&revoke, &[&mesh, &id, &admins_too]).await? == 1)
}

/// What is known of the token with this hash, in whichever mesh: the joiner is in none yet, and the
/// token is the proof. The caller compares the mesh.
pub async fn find_by_token(
    db: &impl GenericClient,
    token_hash: &[u8; 32],
) -> Result<Option<Standing>> {
    let find = db.prepare_cached(FIND_BY_TOKEN).await?;
    let row = db.query_opt(&find, &[&token_hash.as_slice()]).await?;
    Ok(row.map(|row| Standing {
        id: row.get("id"),
        mesh: row.get("mesh"),
        role: grant(&row),
        is_revoked: row.get("is_revoked"),
        is_expired: row.get("is_expired"),
    }))
}

/// Takes one use and returns true, or returns false when none is left or the invite has ended.
pub async fn take(db: &impl GenericClient, mesh: i64, id: &str) -> Result<bool> {
    let take = db.prepare_cached(TAKE).await?;
    Ok(db.execute(&take, &[&mesh, &id]).await? == 1)
}

fn invite(row: &Row) -> Invite {
    Invite {
        id: row.get("id"),
        role: grant(row),
        uses: row.get("max_uses"),
        used: row.get("used_count"),
        created_by: row.get("created_by"),
        created_at: iso(row.get("created_at")),
        expires_at: iso(row.get("expires_at")),
        revoked_at: row.get::<_, Option<_>>("revoked_at").map(iso),
    }
}

fn grant(row: &Row) -> Grant {
    let role = Role::parse(row.get("role")).expect("the table admits no other word");
    Grant::try_from(role).expect("the table admits no invite for owners")
}
