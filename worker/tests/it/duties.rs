//! Workers divide the duties among themselves, whoever comes or goes.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use skein_worker::Timing;

use crate::place::{Place, Worker, until};

#[tokio::test]
async fn workers_divide_the_buckets_evenly_as_they_come_and_go() {
    let place = Place::new().await;

    let first = place.worker();
    place.shared(&[64]).await;
    let second = place.worker();
    place.shared(&[32, 32]).await;
    let third = place.worker();
    place.shared(&[22, 21, 21]).await;
    second.stop().await;
    place.shared(&[32, 32]).await;
    first.stop().await;
    place.shared(&[64]).await;
    third.stop().await;

    place.shared(&[]).await;
}

#[tokio::test]
async fn a_worker_that_stops_hands_over_at_once() {
    let place = Place::new().await;
    let first = place.worker();
    let holder = place.shared(&[64]).await[0].0;
    // Nothing but being told makes this one look.
    let mut options = place.options();
    options.timing.look = Duration::from_secs(600);
    options.timing.read_max = Duration::from_secs(3600);
    let _second = Worker::start(options);
    place.shared(&[32, 32]).await;

    first.stop().await;

    let held = place.shared(&[64]).await;
    assert_ne!(held[0].0, holder);
    let holder = i32::try_from(holder).unwrap();
    assert_ne!(place.state(holder).await, "alive");
}

#[tokio::test]
async fn a_worker_whose_connection_is_cut_loses_its_buckets_and_takes_a_share_again() {
    let place = Place::new().await;
    let (_first, _second) = (place.worker(), place.worker());
    let before = place.shared(&[32, 32]).await;
    let cut = "select pid, pg_terminate_backend(pid)
                 from pg_locks
                where locktype = 'advisory' and objid::bigint = 64 + $1::bigint
                  and classid::bigint = x'736b0001'::bigint
                  and database = (select oid from pg_database where datname = current_database())";
    let pid: i32 = place.row(cut, &[&before[0].0]).await.get(0);

    let gone = "select count(*) = 0 from pg_stat_activity where pid = $1";
    until(async || place.row(gone, &[&pid]).await.get(0)).await;

    let after = place.shared(&[32, 32]).await;
    assert_eq!(before, after, "the same nodes, as it was no death");
}

#[tokio::test]
async fn a_worker_that_was_declared_dead_starts_again_as_a_new_node() {
    let place = Place::new().await;
    let worker = place.worker();
    let old = i32::try_from(place.shared(&[64]).await[0].0).unwrap();

    place.run("update node set state = 'dead', dead_at = now() where id = $1", &[&old]).await;

    until(async || place.held().await.iter().any(|h| h.0 > i64::from(old) && h.1 == 64)).await;
    place.reaches(old, "swept").await;
    worker.stop().await;
}

#[tokio::test]
async fn an_idle_worker_does_not_poll() {
    let place = Place::new().await;
    let mut options = place.options();
    options.timing = Timing::default();
    let _worker = Worker::start(options);
    place.shared(&[64]).await;
    let asked = "select pid, query_start::text
                   from pg_stat_activity
                  where datname = current_database() and application_name like 'skein-node-%'";
    // What is done at the start.
    tokio::time::sleep(Duration::from_secs(4)).await;

    // The server's own work, as when it looks for what to vacuum, is not counted.
    let mut seen: HashSet<(i32, Option<String>)> = HashSet::new();
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(10) {
        let rows = place.db.query(asked, &[]).await.unwrap();
        seen.extend(rows.iter().map(|row| (row.get(0), row.get(1))));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    // It asks some fifteen times that can be told apart, as the watch and the sweep look every other
    // second. A duty that polls asks ten times as often.
    let n_asked = seen.len();
    assert!((8..=30).contains(&n_asked), "{n_asked} in ten seconds");
}
