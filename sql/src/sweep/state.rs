//! Keys of the state whose time is over, and removed ones that everybody has heard of.

use std::time::Duration;

use super::secs;
use crate::{GenericClient, Result, statement::statements};

/// Rows that one step takes.
const STEP_MAX: i64 = 1000;

statements! {
    // What another holds is being changed, and so not over.
    EXPIRE = "
        with over as (
            select mesh, key
              from state
             where expires_at <= clock_timestamp()
             order by expires_at
             limit $1
               for update skip locked)
        update state s
           set value = null, version = s.version + 1, writer = 0, expires_at = null,
               updated_at = clock_timestamp(), xid = pg_current_xact_id()
          from over
         where s.mesh = over.mesh and s.key = over.key";

    // First the meshes, as whoever begins a key does: then nobody begins it anew meanwhile.
    MESHES = "
        select no
          from mesh
         where no in (select mesh from state
                       where value is null and updated_at < now() - make_interval(secs => $1))
         order by no
         limit 64
           for no key update skip locked";

    FORGET = "
        with gone as (
            delete from state
             where ctid in (select ctid from state
                             where mesh = any($1) and value is null
                               and updated_at < now() - make_interval(secs => $2)
                             limit $3)
            returning mesh, version),
        highest as (
            select mesh, max(version) as version, count(*) as n from gone group by mesh),
        kept as (
            update mesh m
               set state_floor = greatest(m.state_floor, highest.version)
              from highest
             where m.no = highest.mesh)
        select coalesce(sum(n), 0)::bigint as n from highest";
}

/// Removes keys whose time is over, as their changes are told; returns how many.
pub async fn expire(db: &impl GenericClient) -> Result<u64> {
    let expire = db.prepare_cached(EXPIRE).await?;
    let mut n_expired = 0;
    loop {
        let n = db.execute(&expire, &[&STEP_MAX]).await?;
        n_expired += n;
        if n < STEP_MAX.unsigned_abs() {
            return Ok(n_expired);
        }
    }
}

/// Forgets keys that were removed `age` ago, and remembers how high their versions were. Returns how
/// many. Runs a transaction of its own.
pub async fn forget(db: &impl GenericClient, age: Duration) -> Result<i64> {
    db.batch_execute("begin").await?;
    let forgotten = step(db, age).await;
    db.batch_execute(if forgotten.is_ok() { "commit" } else { "rollback" }).await?;
    forgotten
}

async fn step(db: &impl GenericClient, age: Duration) -> Result<i64> {
    let meshes = db.prepare_cached(MESHES).await?;
    let meshes = db.query(&meshes, &[&secs(age)]).await?;
    let meshes: Vec<i64> = meshes.iter().map(|row| row.get("no")).collect();
    if meshes.is_empty() {
        return Ok(0);
    }
    let forget = db.prepare_cached(FORGET).await?;
    Ok(db.query_one(&forget, &[&meshes, &secs(age), &STEP_MAX]).await?.get("n"))
}
