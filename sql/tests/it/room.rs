//! What a mesh may have so many of: of two who take the last place at once, one gets it.

use std::time::Duration;

use skein_sql::{
    skills::{self, Outcome},
    streams,
    tasks::{self, Creation, NewTask},
    webhooks::{self, Created, New},
};
use skein_wire::{limit, skills::ShareSkill};
use tokio::time::{sleep, timeout};

use crate::place::{Place, SOON};

fn task(depends_on: &[String]) -> NewTask<'_> {
    NewTask { title: "t", assignee: None, priority: "normal", tags: &[], depends_on }
}

/// Waits until somebody waits for a lock.
async fn somebody_waits(place: &Place) {
    let waits = "select count(*) from pg_stat_activity
                  where datname = current_database() and wait_event_type = 'Lock'";
    let waiting = async {
        while place.count(waits).await == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, waiting).await.expect("the second waits for the first");
}

#[tokio::test]
async fn of_two_who_make_the_last_stream_one_does() {
    let place = Place::new().await;
    let (mesh, member) = place.mesh("m").await;
    let (mut first, mut second) = (place.connect().await, place.connect().await);
    let (first, second) = (first.transaction().await.unwrap(), second.transaction().await.unwrap());

    let made = streams::create(&first, mesh, "a", member, 1).await.unwrap();
    let (refused, ()) = tokio::join!(streams::create(&second, mesh, "b", member, 1), async {
        somebody_waits(&place).await;
        first.commit().await.unwrap();
    });

    assert!(made.is_some());
    assert_eq!(refused.unwrap(), None);
}

#[tokio::test]
async fn of_two_who_share_the_last_skill_one_does() {
    let place = Place::new().await;
    let (mesh, member) = place.mesh("m").await;
    let insert = "insert into skill (mesh, name, description, instructions, author)
                  select $1, 's' || n, '', '', $2 from generate_series(2, $3) as n";
    let n = i32::try_from(limit::SKILLS_MAX).unwrap();
    place.run(insert, &[&mesh, &member, &n]).await;
    let (mut first, mut second) = (place.connect().await, place.connect().await);
    let (first, second) = (first.transaction().await.unwrap(), second.transaction().await.unwrap());
    let skill = |name: &str| ShareSkill {
        name: name.to_owned(),
        description: String::new(),
        instructions: String::new(),
        tags: None,
    };
    let (a, b) = (skill("a"), skill("b"));

    let shared = skills::share(&first, mesh, member, &a).await.unwrap();
    let (refused, ()) = tokio::join!(skills::share(&second, mesh, member, &b), async {
        somebody_waits(&place).await;
        first.commit().await.unwrap();
    });

    assert_eq!(shared, Outcome::Done);
    assert_eq!(refused.unwrap(), Outcome::Full(limit::SKILLS_MAX.unsigned_abs()));
}

#[tokio::test]
async fn of_two_who_make_the_last_webhook_one_does() {
    let place = Place::new().await;
    let (mesh, member) = place.mesh("m").await;
    let insert = "insert into webhook (id, mesh, name, token_hash, sealed, signed, created_by)
                  select 'i' || n, $1, 'n' || n, sha256(n::text::bytea), 'x', false, $2
                    from generate_series(2, $3) as n";
    let n = i32::try_from(limit::WEBHOOKS_MAX).unwrap();
    place.run(insert, &[&mesh, &member, &n]).await;
    let (mut first, mut second) = (place.connect().await, place.connect().await);
    let (first, second) = (first.transaction().await.unwrap(), second.transaction().await.unwrap());
    let new = |name, token_hash| New {
        id: name,
        name,
        token_hash,
        sealed: "sealed",
        signed: false,
        target: None,
        created_by: member,
    };

    let made = webhooks::create(&first, mesh, new("a", &[1; 32])).await.unwrap();
    let (refused, ()) = tokio::join!(webhooks::create(&second, mesh, new("b", &[2; 32])), async {
        somebody_waits(&place).await;
        first.commit().await.unwrap();
    });

    assert!(matches!(made, Created::Made(_)));
    assert_eq!(refused.unwrap(), Created::Full);
}

#[tokio::test]
async fn of_two_who_make_the_last_task_one_does_and_a_done_one_goes_for_one_only() {
    let place = Place::new().await;
    let (mesh, member) = place.mesh("m").await;
    let made = async |db: &tokio_postgres::Transaction<'_>| {
        tasks::create(db, mesh, member, &task(&[])).await.unwrap()
    };
    let (mut first, mut second) = (place.connect().await, place.connect().await);
    {
        let first = first.transaction().await.unwrap();
        made(&first).await;
        first.commit().await.unwrap();
    }
    place.run("update task set status = 'done', completed_at = now()", &[]).await;
    place.run("update task_count set n = $1", &[&limit::TASKS_MAX]).await;
    let (first, second) = (first.transaction().await.unwrap(), second.transaction().await.unwrap());

    let one = made(&first).await;
    let (two, ()) = tokio::join!(made(&second), async {
        somebody_waits(&place).await;
        first.commit().await.unwrap();
    });

    assert!(matches!(one, Creation::Made(_)));
    assert_eq!(two, Creation::Full, "the done one has gone for the first");
}

#[tokio::test]
async fn a_task_never_takes_the_place_of_one_that_it_depends_on() {
    let place = Place::new().await;
    let (mesh, member) = place.mesh("m").await;
    let create = async |depends_on: &[String]| {
        tasks::create(&place.db, mesh, member, &task(depends_on)).await.unwrap()
    };
    let Creation::Made(oldest) = create(&[]).await else { panic!("there is room") };
    let Creation::Made(younger) = create(&[]).await else { panic!("there is room") };
    place.run("update task set status = 'done', completed_at = now()", &[]).await;
    place.run("update task_count set n = $1", &[&limit::TASKS_MAX]).await;

    let depends_on = [oldest.clone()];
    assert!(matches!(create(&depends_on).await, Creation::Made(_)));

    let done = "select id from task where status = 'done'";
    assert_eq!(place.row(done, &[]).await.get::<_, String>("id"), oldest, "not {younger}");
    assert_eq!(create(&depends_on).await, Creation::Full, "nothing else is done");
}
