//! Buckets that change hands while a check is under way.

use std::process::Stdio;

use skein_sql::Settings;
use tokio::process::{Child, Command};

use super::{again, checked, make, mesh, new, told, worker};
use crate::{
    place::{Place, SOON, until},
    web::{Answer, Web},
};

/// A worker's process, stopped where it has seen something and has not written it.
fn process(place: &Place, fail: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skein-worker"));
    command.env_clear().env("DATABASE_URL", &place.url).env("SKEIN_FETCH_ALLOW", "127.0.0.0/8");
    command.env("SKEIN_FAIL", format!("watch.write={fail}")).stderr(Stdio::null());
    command.kill_on_drop(true).spawn().unwrap()
}

#[tokio::test]
async fn what_a_killed_worker_saw_and_did_not_write_is_seen_and_told_by_the_next() {
    let (place, web) = (Place::new().await, Web::start().await);
    let mesh = mesh(&place, 1).await;
    let mut first = process(&place, "kill@2");
    make(&place, mesh, new(mesh.1, &web.url("/page"))).await;
    checked(&place, 1).await;

    web.answer("/page", Answer::ok("changed"));
    again(&place).await;
    tokio::time::timeout(SOON, first.wait()).await.unwrap().unwrap();
    assert!(told(&place).await.is_empty());
    let _second = worker(&place);
    checked(&place, 2).await;
    again(&place).await;
    checked(&place, 3).await;

    assert_eq!(web.hits("/page").len(), 4, "twice for the second check");
    assert_eq!(told(&place).await.len(), 1);
}

#[tokio::test]
async fn a_worker_that_lost_its_connection_writes_nothing_of_what_it_saw() {
    let (place, web) = (Place::new().await, Web::start().await);
    let mesh = mesh(&place, 1).await;
    let gate = std::env::temp_dir().join(format!("skein-watch-{}", std::process::id()));
    let hit = gate.with_extension("hit");
    std::fs::write(&gate, "").unwrap();
    let _first = process(&place, &format!("file:{}@2", gate.display()));
    make(&place, mesh, new(mesh.1, &web.url("/page"))).await;
    checked(&place, 1).await;
    web.answer("/page", Answer::ok("changed"));
    again(&place).await;
    until(async || hit.exists()).await;

    let cut = "select count(pg_terminate_backend(pid))
                 from pg_locks
                where locktype = 'advisory' and objid >= 64
                  and classid::bigint = x'736b0005'::bigint
                  and database = (select oid from pg_database where datname = current_database())";
    assert_eq!(place.row(cut, &[]).await.get::<_, i64>(0), 1);
    let _second = worker(&place);
    checked(&place, 2).await;
    std::fs::remove_file(&gate).unwrap();
    // Whoever has it now has it alone; the first has noticed that its connection is gone.
    let shared = "select count(distinct pid) = 2
                    from pg_locks
                   where locktype = 'advisory' and objid >= 64
                     and classid::bigint = x'736b0005'::bigint
                     and database = (select oid from pg_database
                                      where datname = current_database())";
    until(async || place.row(shared, &[]).await.get(0)).await;
    again(&place).await;
    checked(&place, 3).await;

    assert_eq!(told(&place).await.len(), 1);
    std::fs::remove_file(&hit).unwrap();
}

#[tokio::test]
async fn a_check_that_was_written_by_another_meanwhile_is_not_told_again() {
    let (place, web) = (Place::new().await, Web::start().await);
    let mesh = mesh(&place, 1).await;
    let _worker = worker(&place);
    make(&place, mesh, new(mesh.1, &web.url("/page"))).await;
    checked(&place, 1).await;

    web.answer("/page", Answer::ok("changed"));
    web.hold();
    again(&place).await;
    web.asked("/page", 2).await;
    // What another saw that had the bucket meanwhile; it has told it.
    let other = "update watch set check_no = check_no + 1, value = 'x', hash = repeat('0', 16),
                                  next_at = now() + interval '1 h'";
    place.run(other, &[]).await;
    web.release();
    let n_done = "select coalesce(sum(n_done), 0)::bigint >= 2
                    from duty_report where kind = 'watch'";
    until(async || place.row(n_done, &[]).await.get(0)).await;

    assert!(told(&place).await.is_empty());
    let check_no = place.row("select check_no from watch", &[]).await;
    assert_eq!(check_no.get::<_, i64>(0), 2);
}

/// The buckets of the watch duty that somebody holds, and by how many.
async fn holders(place: &Place) -> Vec<i64> {
    let read = "select count(*)
                  from pg_locks
                 where locktype = 'advisory' and objid < 64
                   and classid::bigint = x'736b0005'::bigint
                   and database = (select oid from pg_database where datname = current_database())
                 group by pid";
    place.db.query(read, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn what_was_seen_of_a_bucket_that_was_given_away_is_left_to_who_has_it() {
    let (place, web) = (Place::new().await, Web::start().await);
    // Of two workers the second gets the upper half of the buckets.
    let (theirs, ours) = (mesh(&place, 40).await, mesh(&place, 1).await);
    let _first = worker(&place);
    for mesh in [theirs, ours] {
        make(&place, mesh, new(mesh.1, &web.url(&format!("/{}", mesh.0)))).await;
    }
    checked(&place, 1).await;
    // The second sees nothing else while this is held back; the first's answer is the older one.
    web.answer("/40", Answer::ok("old"));
    web.hold();
    again(&place).await;
    web.asked("/40", 2).await;
    let second = worker(&place);
    until(async || holders(&place).await == [32, 32]).await;
    web.asked("/40", 3).await;
    // Whoever wrote would be noticed by the number: the second, which has the bucket, is stopped.
    let locked = place.connector.connect(Settings::Ordinary).await.unwrap();
    locked.batch_execute("begin").await.unwrap();
    locked.execute("select from watch where mesh = 40 for update", &[]).await.unwrap();
    web.release();
    // The first has put its answer away once it has written what was seen at the same time.
    let read = "select check_no >= 2 from watch where mesh = 1";
    until(async || place.row(read, &[]).await.get(0)).await;
    let waits = "select count(*) from pg_stat_activity
                  where wait_event_type = 'Lock' and datname = current_database()";
    until(async || place.row(waits, &[]).await.get::<_, i64>(0) >= 1).await;
    assert_eq!(place.row(waits, &[]).await.get::<_, i64>(0), 1, "only who has the bucket writes");
    locked.batch_execute("rollback").await.unwrap();
    let read = "select check_no >= 2 from watch where mesh = 40";
    until(async || place.row(read, &[]).await.get(0)).await;

    assert_eq!(told(&place).await.len(), 1);
    second.stop().await;
}
