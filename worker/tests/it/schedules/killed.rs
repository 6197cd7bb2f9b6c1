//! Workers that share, stop and are killed: every slot fires once.

use std::{collections::HashSet, process::Stdio};

use skein_sql::{
    duties::{self, Kind},
    schedules::New,
};
use tokio::process::{Child, Command};
use uuid::Uuid;

use super::{last_slots, maker, now, place, seconds, stored};
use crate::place::{Place, SOON, until};

/// Schedules of a run, in meshes of many buckets.
const SCHEDULES: usize = 300;
const MESHES: usize = 10;

fn spawn(place: &Place, fail: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skein-worker"));
    command.env_clear().env("DATABASE_URL", &place.url).env("SKEIN_FAIL", fail);
    command.stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

async fn ended(child: &mut Child) {
    tokio::time::timeout(SOON, child.wait()).await.expect("it is killed soon").unwrap();
}

/// Every worker looks, also one whose wake-up was lost.
async fn all_fired(place: &Place) {
    let left = "select count(*) = 0 from schedule where state = 'active'";
    until(async || {
        duties::wake(&place.db, Kind::Schedule).await.unwrap();
        place.row(left, &[]).await.get(0)
    })
    .await;
}

async fn distinct(place: &Place) -> (usize, usize) {
    let sent = stored(place).await;
    let ids: HashSet<Uuid> = sent.iter().map(|sent| sent.0).collect();
    (sent.len(), ids.len())
}

#[tokio::test]
async fn a_worker_killed_before_its_commit_has_fired_nothing_and_the_next_fires_once() {
    let place = place().await;
    let ann = maker(&place, "ann").await;
    let id = ann.make(&place, ann.reminder(now(&place).await)).await;
    let mut first = spawn(&place, "schedule.before_commit=kill");
    ended(&mut first).await;
    assert!(stored(&place).await.is_empty());

    let _second = spawn(&place, "");
    ann.logged(&place, id, 1).await;

    assert_eq!(distinct(&place).await, (1, 1));
}

#[tokio::test]
async fn a_worker_killed_after_its_commit_has_fired_and_nobody_fires_again() {
    let place = place().await;
    let ann = maker(&place, "ann").await;
    let slots = last_slots("* * * * *", now(&place).await, 1);
    let new = New { cron: Some("* * * * *"), ..ann.reminder(slots[0]) };
    let id = ann.make(&place, new).await;
    let mut first = spawn(&place, "schedule.committed=kill");
    ended(&mut first).await;
    let (n_before, _) = distinct(&place).await;

    // The second has looked when it has fired something newer.
    let _second = spawn(&place, "");
    let marker = ann.make(&place, ann.reminder(now(&place).await)).await;
    ann.logged(&place, marker, 1).await;

    assert_eq!(n_before, 1);
    let fires = ann.fires(&place, id).await;
    let slots: HashSet<i64> = fires.iter().map(|fire| fire.slot).collect();
    assert_eq!(slots.len(), fires.len(), "each slot once: {fires:?}");
    let (n, n_ids) = distinct(&place).await;
    assert_eq!((n, n), (n_ids, fires.len() + 1));
}

#[tokio::test]
async fn workers_that_share_and_are_killed_fire_every_slot_once() {
    let place = place().await;
    let mut made = Vec::new();
    let first_slot = now(&place).await + seconds(1);
    for n in 0..MESHES {
        let maker = maker(&place, &format!("m{n}")).await;
        for _ in 0..SCHEDULES / MESHES {
            made.push(maker.make(&place, maker.reminder(first_slot)).await);
        }
    }

    let mut doomed = [
        spawn(&place, "schedule.before_commit=kill@1"),
        spawn(&place, "schedule.committed=kill@1"),
    ];
    let _survivors = [spawn(&place, ""), spawn(&place, "")];
    all_fired(&place).await;
    for child in &mut doomed {
        // One that had nothing to fire was not killed.
        child.start_kill().ok();
    }

    assert_eq!(distinct(&place).await, (made.len(), made.len()));
    let logged = "select count(*) = count(distinct schedule) and count(*) = $1::bigint
                    from schedule_fire where outcome = 'fired'";
    let n = i64::try_from(made.len()).unwrap();
    assert!(place.row(logged, &[&n]).await.get::<_, bool>(0));
}
