//! Simulation clocks: who ticks, when the next tick is due, and what stops a clock.

use std::time::Duration;

use skein_sql::{
    audit::Actor,
    clock::{self, Ticked},
    duties::BUCKETS,
};

use crate::place::Place;

const ALL: fn() -> Vec<i32> = || (0..BUCKETS).collect();

/// A mesh with somebody in it, and its clock.
async fn mesh_with_clock(place: &Place, name: &str, speed: f64) -> i64 {
    let mesh = place.mesh(name).await;
    let session = place.session(mesh, name).await;
    place.attach(session, place.node("edge").await).await;
    clock::set(&place.db, mesh.0, Actor::System, speed).await.unwrap();
    mesh.0
}

/// Says that the next tick was due so long ago.
async fn due_ago(place: &Place, mesh: i64, ago_s: f64) {
    // It is planned from the anchor, as the next one will be.
    let set = "update clock
                  set due_at = now() - make_interval(secs => $2), anchor_tick = tick,
                      anchor_at = now() - make_interval(secs => $2::float8 + 60 / speed)
                where mesh = $1";
    place.run(set, &[&mesh, &ago_s]).await;
}

async fn tick(place: &Place) -> Ticked {
    clock::tick(&place.db, &ALL()).await.unwrap()
}

/// In how many milliseconds the next tick is due, from the last one's plan.
async fn step_ms(place: &Place, mesh: i64) -> i64 {
    let read = "select round(1000 * extract(epoch from due_at - (anchor_at + make_interval(
                           secs => (tick - anchor_tick) * 60 / speed))))::bigint
                  from clock where mesh = $1";
    place.row(read, &[&mesh]).await.get(0)
}

#[tokio::test]
async fn a_number_is_given_once_whoever_tries() {
    let place = Place::new().await;
    let mesh = mesh_with_clock(&place, "m", 100.0).await;
    let (first, second, buckets) = (place.connect().await, place.connect().await, ALL());

    for number in 1..=50 {
        due_ago(&place, mesh, 0.1).await;
        let (a, b) = tokio::join!(clock::tick(&first, &buckets), clock::tick(&second, &buckets));
        let numbers: Vec<i64> =
            a.unwrap().heads.iter().chain(&b.unwrap().heads).map(|head| head.t).collect();
        assert_eq!(numbers, [number]);
    }
    assert!(tick(&place).await.heads.is_empty(), "the next is not due");
}

#[tokio::test]
async fn a_tick_that_is_rolled_back_is_given_again() {
    let place = Place::new().await;
    let mesh = mesh_with_clock(&place, "m", 100.0).await;
    due_ago(&place, mesh, 0.1).await;

    place.db.batch_execute("begin").await.unwrap();
    let lost = tick(&place).await.heads;
    place.db.batch_execute("rollback").await.unwrap();

    assert_eq!(tick(&place).await.heads, lost);
}

#[tokio::test]
async fn ticks_are_planned_from_the_anchor_however_late_each_is() {
    let place = Place::new().await;
    let mesh = mesh_with_clock(&place, "m", 7.0).await;
    let plan = "select anchor_tick, to_json(anchor_at)::text, due_at = anchor_at + make_interval(
                       secs => (tick + 1 - anchor_tick) * 60 / speed)
                  from clock where mesh = $1";
    let planned = async || -> (i64, String, bool) {
        let row = place.row(plan, &[&mesh]).await;
        (row.get(0), row.get(1), row.get(2))
    };
    due_ago(&place, mesh, 0.0).await;
    let (anchor_tick, anchor_at, _) = planned().await;

    for number in 1..=20 {
        // Each is a little later than it was planned.
        let late = "update clock set anchor_at = anchor_at - make_interval(secs => 60 / speed),
                           due_at = due_at - make_interval(secs => 60 / speed)";
        if number > 1 {
            place.run(late, &[]).await;
        }
        let ticked = tick(&place).await;
        assert_eq!(ticked.heads[0].t, number);
        assert!(ticked.late[0] < Duration::from_secs(8), "{:?}", ticked.late);
        let (tick, _, is_planned) = planned().await;
        assert_eq!((tick, is_planned), (anchor_tick, true), "the anchor stays");
    }
    assert!(planned().await.1 < anchor_at, "it was only moved by the test");
}

#[tokio::test]
async fn after_an_outage_comes_the_next_number_once_and_then_whole_steps() {
    let place = Place::new().await;
    let mesh = mesh_with_clock(&place, "m", 100.0).await;
    due_ago(&place, mesh, 600.0).await;

    let ticked = tick(&place).await;

    assert_eq!(ticked.heads.len(), 1);
    assert_eq!(ticked.heads[0].t, 1);
    assert!(ticked.late[0] >= Duration::from_secs(600), "{:?}", ticked.late);
    assert!(tick(&place).await.heads.is_empty(), "there is no burst");
    assert_eq!(step_ms(&place, mesh).await, 600);
    let next = clock::next(&place.db, &ALL()).await.unwrap().unwrap().wait;
    assert!(next <= Duration::from_millis(600), "{next:?}");
    let anchor: i64 =
        place.row("select anchor_tick from clock where mesh = $1", &[&mesh]).await.get(0);
    assert_eq!(anchor, 1);
}

#[tokio::test]
async fn a_worker_ticks_in_its_own_buckets_only_and_sleeps_until_the_first_of_them() {
    let place = Place::new().await;
    let slow = mesh_with_clock(&place, "slow", 1.0).await;
    let fast = mesh_with_clock(&place, "fast", 100.0).await;
    let bucket = |mesh: i64| vec![i32::try_from(mesh % i64::from(BUCKETS)).unwrap()];
    let next = async |buckets: &[i32]| {
        clock::next(&place.db, buckets).await.unwrap().map(|next| next.wait)
    };

    let (of_slow, of_fast) =
        (next(&bucket(slow)).await.unwrap(), next(&bucket(fast)).await.unwrap());
    assert!(of_slow > Duration::from_secs(50) && of_slow <= Duration::from_secs(60));
    assert!(of_fast <= Duration::from_millis(600));
    assert!(next(&ALL()).await.unwrap() <= of_fast);
    due_ago(&place, slow, 1.0).await;
    due_ago(&place, fast, 0.1).await;
    let ticked = clock::tick(&place.db, &bucket(slow)).await.unwrap();
    assert_eq!(ticked.heads.iter().map(|head| head.m).collect::<Vec<_>>(), [slow]);
    assert_eq!(next(&bucket(fast)).await, Some(Duration::ZERO));

    for mesh in [slow, fast] {
        clock::pause(&place.db, mesh, Actor::System).await.unwrap();
    }
    assert_eq!(next(&ALL()).await, None);
}

#[tokio::test]
async fn ticks_that_make_a_schedule_due_are_made_one_at_a_time_the_longest_due_first() {
    let place = Place::new().await;
    let mut meshes = Vec::new();
    for (n, name) in ["plain", "soon", "late", "latest"].into_iter().enumerate() {
        let mesh = mesh_with_clock(&place, name, 100.0).await;
        due_ago(&place, mesh, 0.1 * n as f64).await;
        meshes.push(mesh);
    }
    // Due with the first tick, but that of the first mesh with the second.
    let schedule = "
        insert into schedule (id, mesh, member, session, session_key, target, nonce, body, priority,
                              clock, missed, overlap, jitter_s, slot, serve_at)
        select gen_random_uuid(), c.mesh, m.mailbox, m.mailbox, m.pubkey, '*', '', '', 0, 'sim',
               'once', 'allow', 0, t.at, t.at
          from clock c
          join member m on m.mesh = c.mesh
          cross join lateral (
               select c.sim_base + make_interval(mins => case when c.mesh = $1 then 2 else 1 end)
                          as at) t";
    place.run(schedule, &[&meshes[0]]).await;
    let next = async || {
        let next = clock::next(&place.db, &ALL()).await.unwrap().unwrap();
        (next.wait, next.is_plain, next.is_scheduled)
    };
    let ticks =
        |ticked: Ticked| ticked.heads.iter().map(|head| (head.m, head.t)).collect::<Vec<_>>();

    assert_eq!(next().await, (Duration::ZERO, true, true));
    assert_eq!(ticks(tick(&place).await), [(meshes[0], 1)]);
    assert_eq!(next().await, (Duration::ZERO, false, true));
    for mesh in [meshes[3], meshes[2], meshes[1]] {
        let ticked = clock::tick_scheduled(&place.db, &ALL()).await.unwrap();
        assert_eq!(ticks(ticked), [(mesh, 1)]);
    }
    assert!(clock::tick_scheduled(&place.db, &ALL()).await.unwrap().heads.is_empty());
    due_ago(&place, meshes[0], 0.0).await;
    assert!(tick(&place).await.heads.is_empty(), "its second makes one due");
    assert_eq!(clock::tick_scheduled(&place.db, &ALL()).await.unwrap().heads[0].t, 2);
}

#[tokio::test]
async fn a_clock_stops_where_nobody_is_and_goes_on_while_somebody_may_come_back() {
    let place = Place::new().await;
    let mesh = mesh_with_clock(&place, "m", 100.0).await;
    let other = mesh_with_clock(&place, "other", 100.0).await;
    let paused = async |mesh: i64| clock::get(&place.db, mesh).await.unwrap().unwrap().paused;

    place
        .run("update session set depart_at = now() + interval '20 s' where mesh = $1", &[&mesh])
        .await;
    place.run("delete from presence where mesh = $1", &[&mesh]).await;
    assert!(clock::pause_empty(&place.db, &[mesh, other]).await.unwrap().is_empty());
    due_ago(&place, mesh, 0.1).await;
    assert_eq!(tick(&place).await.heads.len(), 1, "it is away no longer than the grace");
    place.run("update session set depart_at = now() where mesh = $1", &[&mesh]).await;
    due_ago(&place, mesh, 0.1).await;
    let stopped = tick(&place).await;
    assert_eq!((stopped.heads.len(), stopped.paused), (0, vec![mesh]));
    assert!(paused(mesh).await && !paused(other).await);

    place.run("delete from presence where mesh = $1", &[&other]).await;
    place.run("update session set announced = 'gone', depart_at = null", &[]).await;
    assert_eq!(clock::pause_empty(&place.db, &[mesh, other]).await.unwrap(), [other]);
    assert!(clock::pause_empty(&place.db, &[mesh, other]).await.unwrap().is_empty());
    let noted = "select count(*) from audit_intake
                  where event_type = 'clock_paused' and actor_id = 'system'
                    and payload = '{\"byItself\":true}'";
    assert_eq!(place.count(noted).await, 2);
}

#[tokio::test]
async fn a_clock_shows_a_minute_for_every_tick_and_ends_with_time_itself() {
    let place = Place::new().await;
    let mesh = mesh_with_clock(&place, "m", 100.0).await;
    let set = "update clock set tick = $2, sim_base = '2026-04-08T09:30:00.1234Z' where mesh = $1";
    let shown = async |tick: i64| {
        place.run(set, &[&mesh, &tick]).await;
        clock::get(&place.db, mesh).await.unwrap().unwrap().sim_time
    };

    assert_eq!(shown(0).await, "2026-04-08T09:30:00.123Z");
    assert_eq!(shown(7).await, "2026-04-08T09:37:00.123Z");
    assert_eq!(shown(1_048_576).await, "2028-04-05T13:46:00.123Z");
    assert!(shown(i64::MAX).await.starts_with("9999-12-"));
    let head = clock::heads(&place.db, &[mesh]).await.unwrap()[0];
    assert_eq!(head.tick(1).sim_time, "2026-04-08T09:31:00.123Z");
}
