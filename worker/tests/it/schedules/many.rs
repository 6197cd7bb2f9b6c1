//! Many that are due in one second.

use std::time::Instant;

use skein_sql::duties::{self, Kind};

use super::{maker, now, place, seconds};
use crate::place::until;

/// Due in the same second: `SKEIN_SCHEDULES`, or a thousand. A member has 2,000 at most.
fn n_schedules() -> i64 {
    std::env::var("SKEIN_SCHEDULES").ok().and_then(|n| n.parse().ok()).unwrap_or(1000)
}

#[tokio::test]
async fn what_is_due_in_the_same_second_is_stored_once_by_two_workers() {
    const MESHES: i64 = 20;
    let place = place().await;
    let n = n_schedules() / MESHES * MESHES;
    let slot = now(&place).await + seconds(4);
    let many = "
        insert into schedule (id, mesh, member, session, session_key, target, nonce, body, priority,
                              clock, missed, overlap, jitter_s, slot, serve_at)
        select gen_random_uuid(), $1, $2, $2, $3, $3, '', 'aGk=', 0, 'real', 'once', 'allow', 0,
               $4, $4
          from generate_series(1, $5::bigint)";
    for mesh in 0..MESHES {
        let maker = maker(&place, &format!("m{mesh}")).await;
        let each = n / MESHES;
        place.run(many, &[&maker.mesh, &maker.member, &maker.key, &slot, &each]).await;
    }
    let _workers = [place.worker(), place.worker()];
    duties::wake(&place.db, Kind::Schedule).await.unwrap();

    let due = "select now() >= $1";
    until(async || place.row(due, &[&slot]).await.get(0)).await;
    let since = Instant::now();
    let left = "select count(*) = 0 from schedule where state = 'active'";
    until(async || place.row(left, &[]).await.get(0)).await;

    println!("{n} schedules of one second were stored within {:?} of it", since.elapsed());
    let stored = "select count(*), count(distinct message_id) from message";
    let stored = place.row(stored, &[]).await;
    assert_eq!((stored.get::<_, i64>(0), stored.get::<_, i64>(1)), (n, n));
    let delivered = place.row("select count(*) from delivery", &[]).await;
    assert_eq!(delivered.get::<_, i64>(0), n);
}
