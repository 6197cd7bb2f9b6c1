//! Nonces of signed requests and signatures of hellos: each is good once, on whichever edge.
//!
//! They are remembered for [`limit::HELLO_MEMORY`], twice the skew that a clock may have: what is
//! older is refused for its timestamp.

use skein_wire::limit;

use crate::{GenericClient, Result, statement::statements};

statements! {
    TAKE = "
        insert into nonce_seen (nonce)
        values ($1)
        on conflict do nothing";

    // In order, so that two batches with the same nonces wait for each other and do not deadlock.
    TAKE_ALL = "
        insert into nonce_seen (nonce)
        select distinct given.nonce from unnest($1::bytea[]) as given (nonce) order by given.nonce
        on conflict do nothing
        returning nonce";

    SWEEP = "
        delete from nonce_seen
         where nonce in (select nonce
                           from nonce_seen
                          where at < now() - make_interval(secs => $1)
                          order by at
                          limit $2
                            for update skip locked)";
}

/// Nonces forgotten by one statement, so that none runs long.
const SWEEP_MAX: i64 = 10_000;

/// Remembers a nonce and returns true, or returns false when it was seen before.
pub async fn take(db: &impl GenericClient, nonce: &[u8]) -> Result<bool> {
    let take = db.prepare_cached(TAKE).await?;
    Ok(db.execute(&take, &[&nonce]).await? == 1)
}

/// The same for many at once, each with its answer. Of equal ones in one batch the first is new.
pub async fn take_all(db: &impl GenericClient, nonces: &[Vec<u8>]) -> Result<Vec<bool>> {
    if nonces.is_empty() {
        return Ok(Vec::new());
    }
    let take_all = db.prepare_cached(TAKE_ALL).await?;
    let rows = db.query(&take_all, &[&nonces]).await?;
    let mut new: std::collections::HashSet<&[u8]> = rows.iter().map(|row| row.get(0)).collect();
    Ok(nonces.iter().map(|nonce| new.remove(nonce.as_slice())).collect())
}

/// Forgets what is older than the memory, and returns how many that were.
pub async fn sweep(db: &impl GenericClient) -> Result<u64> {
    let sweep = db.prepare_cached(SWEEP).await?;
    let age = limit::HELLO_MEMORY.as_secs_f64();
    let mut n_swept = 0;
    loop {
        let n = db.execute(&sweep, &[&age, &SWEEP_MAX]).await?;
        n_swept += n;
        if n < SWEEP_MAX.unsigned_abs() {
            return Ok(n_swept);
        }
    }
}
