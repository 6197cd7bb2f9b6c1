//! Duties under fire: schedules and clocks while workers are killed and cut off, in the size of a
//! test. `SKEIN_DUTY_SECONDS=60` makes it the size that is promised; `./dev soak` repeats that.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::json;
use skein_tests::{
    duties::{Plan, Variant, run},
    fire::seed,
    peer::{Caps, Listener, Log, What},
    place::{Place, Setup},
};
use tokio::time::{sleep, timeout};

/// For test runners that run the tests of a program beside each other.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Runs in a row that may be void: without due work that is taken over, they prove nothing.
const VOID_MAX: u64 = 2;

/// Schedules that are due in the same second.
const AT_ONCE: usize = 1000;
/// The meshes that they are in, so that both workers have some.
const MESHES: usize = 8;
/// From the first of them that is made to their second.
const AHEAD_MS: i64 = 6000;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The plan that the environment asks for.
fn plan(seed: u64) -> Plan {
    match std::env::var("SKEIN_DUTY_SECONDS") {
        Ok(seconds) => {
            let seconds = seconds.parse().expect("SKEIN_DUTY_SECONDS is a number");
            Plan { seconds, ..Plan::full(Variant::Struck, seed) }
        }
        Err(_) => Plan::small(seed),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_slot_fires_once_and_no_tick_is_lost_while_workers_die() {
    let _alone = ALONE.lock().await;
    for n_void in 0.. {
        let report = run(plan(seed().wrapping_add(n_void))).await;
        assert!(report.findings.is_empty(), "{report}");
        if report.is_good() {
            return;
        }
        assert!(n_void < VOID_MAX, "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_schedules_of_one_second_are_fired_once_by_two_workers() {
    let _alone = ALONE.lock().await;
    let place = Place::start(Setup { edges: 1, workers: 2, ..Setup::default() }).await;
    let shared = "select count(*) from duty_report where kind = 'schedule' and n_buckets = 32";
    until(async || place.count(shared).await == 2).await;
    let log = Log::default();
    let mut peers = Vec::new();
    for index in 0..MESHES {
        let mesh = place.mesh(&format!("mesh-{index}"), 64 + 8 * index as i64).await;
        let who = place.enrol_in(&mesh, index, 0).await;
        peers.push(Listener::attach(who, Caps::Ours, log.clone()).await);
    }

    let due_ms = Timestamp::now().as_millisecond() + AHEAD_MS;
    let made = join_all((0..AT_ONCE).map(async |n| {
        let peer = &peers[n % MESHES];
        let to = peer.identity.session.public.hex();
        let text = format!("number {n}");
        let call = json!({"type": "schedule", "to": to, "message": text, "deliverAt": due_ms});
        peer.ask(call).await["type"] == "scheduled_ack"
    }));
    assert!(made.await.iter().all(|made| *made));

    let heard = || {
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for one in log.heard() {
            if let What::Message { text, .. } = one.what {
                *times.entry(text).or_default() += 1;
            }
        }
        times
    };
    until(async || heard().len() == AT_ONCE).await;
    // Both have reported what they did, and so would have whoever did it again.
    let worked = "select count(*) from duty_report where kind = 'schedule' and n_done > 0";
    until(async || place.count(worked).await == 2).await;
    let n_fired = "select sum(n_done)::bigint from duty_report where kind = 'schedule'";
    until(async || place.count(n_fired).await >= AT_ONCE as i64).await;
    assert_eq!(place.count(n_fired).await, AT_ONCE as i64);
    assert_eq!(heard().values().sum::<usize>(), AT_ONCE);
    let late_ms = log.heard().iter().map(|one| one.at_ms - due_ms).max().unwrap_or_default();
    println!("{AT_ONCE} schedules of one second: the last was heard {late_ms} ms after it");
    place.stop().await;
}

/// A clock ticks on while a schedule is being made, or has more due than one tick serves: then a slot
/// is served a tick, which is a minute of that clock, after its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_of_simulated_time_that_is_served_a_tick_late_is_not_missed() {
    let _alone = ALONE.lock().await;
    let place = Place::start(Setup { edges: 1, workers: 1, ..Setup::default() }).await;
    let log = Log::default();
    let peer = Listener::attach(place.enrol(0, 0).await, Caps::Ours, log.clone()).await;
    peer.ask(json!({"type": "set_clock", "speed": 100})).await;
    peer.ask(json!({"type": "pause_clock"})).await;
    let to = peer.identity.session.public.hex();
    let call = json!({
        "type": "schedule", "to": to, "message": "due", "cron": "* * * * *", "clock": "sim",
    });
    assert_eq!(peer.ask(call).await["type"], "scheduled_ack");
    let set_back = "
        update schedule
           set slot = slot - interval '1 minute', serve_at = serve_at - interval '1 minute'";
    assert_eq!(place.db().await.execute(set_back, &[]).await.unwrap(), 1);

    peer.ask(json!({"type": "resume_clock"})).await;

    let fires = "select count(*) from schedule_fire where outcome = 'fired'";
    until(async || place.count(fires).await >= 3).await;
    let others = "select count(*) from schedule_fire where outcome <> 'fired'";
    assert_eq!(place.count(others).await, 0);
    place.stop().await;
}

async fn until(mut check: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !check().await {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, looking).await.expect("it happens soon");
}
