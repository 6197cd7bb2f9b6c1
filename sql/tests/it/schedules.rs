//! Schedules: what a member has of them, and what is kept of those that were paused or are its no
//! more. Fires are tested with the workers that make them.

use jiff::{SignedDuration, Timestamp};
use skein_openapi::members::Role;
use skein_sql::{
    members,
    schedules::{self, Created, New},
};
use skein_wire::{
    Priority, limit,
    schedules::{Clock, Missed, Outcome, Overlap, State},
};
use uuid::Uuid;

use crate::place::{Place, until};

/// A reminder to everybody.
fn new(member: i64, slot: Timestamp) -> New<'static> {
    New {
        id: Uuid::new_v4(),
        member,
        session: member,
        session_key: "k",
        target: "*",
        to_name: None,
        nonce: "",
        body: "aGk=",
        sealed_to: None,
        subtype: None,
        priority: Priority::Now,
        cron: None,
        tz: None,
        clock: Clock::Real,
        missed: Missed::Skip,
        overlap: Overlap::Allow,
        jitter_s: 0,
        slot,
    }
}

async fn create(place: &Place, mesh: i64, new: &New<'_>) -> Created {
    schedules::create(&place.db, mesh, new).await.unwrap()
}

async fn in_an_hour(place: &Place) -> Timestamp {
    schedules::now(&place.db).await.unwrap() + SignedDuration::from_hours(1)
}

#[tokio::test]
async fn a_list_holds_the_next_that_fit_an_answer_and_says_how_many_there_are() {
    let place = Place::new().await;
    let (mesh, member) = place.mesh("m").await;
    let slot = in_an_hour(&place).await;
    let body = "A".repeat(1_000_000);
    let mut ids = Vec::new();
    // The last to be made is the next to fire.
    for later in (0..5).rev() {
        let slot = slot + SignedDuration::from_mins(later);
        let new = New { body: &body, ..new(member, slot) };
        assert_eq!(create(&place, mesh, &new).await, Created::Made);
        ids.insert(0, new.id.to_string());
    }

    let (listed, n_all) = schedules::list(&place.db, mesh, member).await.unwrap();

    let listed: Vec<String> = listed.into_iter().map(|scheduled| scheduled.id).collect();
    assert_eq!((listed, n_all), (ids[..3].to_vec(), 5));
    assert_eq!(schedules::list(&place.db, mesh, member + 1).await.unwrap(), (Vec::new(), 0));
}

#[tokio::test]
async fn a_member_and_a_mesh_have_no_more_text_in_schedules_than_they_may() {
    let place = Place::new().await;
    let (mesh, member) = place.mesh("m").await;
    let bob = members::insert(&place.db, mesh, &"1".repeat(64), "bob", Role::Member).await.unwrap();
    let bob = bob.unwrap().mailbox;
    let slot = in_an_hour(&place).await;
    let one = i64::try_from(limit::CIPHERTEXT_BYTES_MAX).unwrap();
    // So many of these letters take no room here.
    place.run("alter table schedule alter column body set storage extended", &[]).await;
    let fill = "
        insert into schedule (id, mesh, member, session, session_key, target, nonce, body, priority,
                              clock, missed, overlap, jitter_s, slot, serve_at)
        select gen_random_uuid(), $1, $2, $2, 'k', '*', '', repeat('A', $4), 0, 'real', 'skip',
               'allow', 0, now(), now()
          from generate_series(1, $3::bigint)";
    let length = i32::try_from(one).unwrap();
    let body = "A".repeat(limit::CIPHERTEXT_BYTES_MAX);
    let large = |member| New { body: &body, ..new(member, slot) };
    let small = |member| New { body: "A", ..new(member, slot) };

    let n = limit::SCHEDULE_BYTES_PER_MEMBER_MAX / one - 1;
    place.run(fill, &[&mesh, &member, &n, &length]).await;
    assert_eq!(create(&place, mesh, &large(member)).await, Created::Made);
    assert_eq!(create(&place, mesh, &small(member)).await, Created::MemberBytes);

    let n = (limit::SCHEDULE_BYTES_PER_MESH_MAX - limit::SCHEDULE_BYTES_PER_MEMBER_MAX) / one - 1;
    let cat = members::insert(&place.db, mesh, &"2".repeat(64), "cat", Role::Member).await.unwrap();
    place.run(fill, &[&mesh, &cat.unwrap().mailbox, &n, &length]).await;
    assert_eq!(create(&place, mesh, &large(bob)).await, Created::Made);
    assert_eq!(create(&place, mesh, &small(bob)).await, Created::MeshBytes);

    place
        .run("update schedule set state = 'done', done_at = now() where member = $1", &[&member])
        .await;
    assert_eq!(
        create(&place, mesh, &small(member)).await,
        Created::Made,
        "what is done is not held"
    );
}

#[tokio::test]
async fn a_member_that_is_revoked_has_no_schedules_any_more_and_makes_none() {
    let place = Place::new().await;
    let (mesh, owner) = place.mesh("m").await;
    let bob = members::insert(&place.db, mesh, &"1".repeat(64), "bob", Role::Member).await.unwrap();
    let bob = bob.unwrap();
    let slot = in_an_hour(&place).await;
    let sim = New { clock: Clock::Sim, ..new(bob.mailbox, slot) };
    let (active, paused) = (new(bob.mailbox, slot), new(bob.mailbox, slot));
    for new in [&active, &paused, &sim, &new(owner, slot)] {
        assert_eq!(create(&place, mesh, new).await, Created::Made);
    }
    assert!(schedules::pause(&place.db, mesh, bob.mailbox, paused.id).await.unwrap());
    assert!(schedules::run(&place.db, mesh, bob.mailbox, paused.id).await.unwrap());
    // One that is just being made, on another connection.
    let other = place.connect().await;
    other.batch_execute("begin").await.unwrap();
    let made = schedules::create(&other, mesh, &new(bob.mailbox, slot)).await.unwrap();
    assert_eq!(made, Created::Made);

    let revoking = members::revoke(&place.db, mesh, &bob.id);
    let committing = async {
        let watcher = place.connect().await;
        let waits = "select count(*) = 1 from pg_stat_activity
                      where datname = current_database() and wait_event_type = 'Lock'";
        until(async || watcher.query_one(waits, &[]).await.unwrap().get(0)).await;
        other.batch_execute("commit").await.unwrap();
    };
    let (revoked, ()) = tokio::join!(revoking, committing);

    assert_eq!(revoked.unwrap(), Some(bob.mailbox));
    let left = "select count(*) from schedule where state <> 'done' or run_at is not null";
    assert_eq!(place.count(left).await, 1, "the owner's");
    assert_eq!(create(&place, mesh, &new(bob.mailbox, slot)).await, Created::NoMember);
}

#[tokio::test]
async fn slots_that_pass_while_a_schedule_is_paused_are_one_entry_of_its_log() {
    let place = Place::new().await;
    let (mesh, member) = place.mesh("m").await;
    let now = in_an_hour(&place).await;
    let hour = now.as_second() / 3600 * 3600;
    let at = |hours: i64| Timestamp::from_second(hour + 3600 * hours).unwrap();
    let hourly = New { cron: Some("0 * * * *"), ..new(member, at(-5)) };
    create(&place, mesh, &hourly).await;
    let id = hourly.id;
    let resumed = async |now: Timestamp| {
        assert!(schedules::pause(&place.db, mesh, member, id).await.unwrap());
        place.db.batch_execute("begin").await.unwrap();
        assert!(schedules::resume(&place.db, mesh, member, id, now).await.unwrap());
        place.db.batch_execute("commit").await.unwrap();
        schedules::fires(&place.db, mesh, member, id).await.unwrap()
    };
    place.run("update schedule set n_logged = 100", &[]).await;
    let old = "insert into schedule_fire (schedule, mesh, n, slot, at, late_ms, outcome)
               select $1, $2, n, now(), now(), 0, 'fired' from generate_series(1, 100) n";
    place.run(old, &[&id, &mesh]).await;

    let fires = resumed(now).await;
    let again = resumed(now).await;

    let (missed, schedule) =
        (&fires[0], schedules::read(&place.db, mesh, member, id).await.unwrap());
    assert_eq!((missed.outcome, missed.slot), (Outcome::Missed, at(0).as_millisecond()));
    assert_eq!(missed.detail, Some(format!("since {}", skein_sql::iso(at(-5)))));
    assert_eq!(missed.lateness_ms, now.as_millisecond() - at(0).as_millisecond());
    assert_eq!(fires.len(), 100, "the log keeps a hundred");
    let kept: i64 = place.count("select count(*) from schedule_fire").await;
    assert_eq!((again, kept), (fires, 100), "nothing passed");
    let schedule = schedule.unwrap();
    assert_eq!(
        (schedule.state, schedule.next_fire),
        (Some(State::Active), Some(at(1).as_millisecond()))
    );
}

#[tokio::test]
async fn what_is_logged_of_an_error_quotes_no_row() {
    let place = Place::new().await;
    let (mesh, member) = place.mesh("m").await;
    let slot = in_an_hour(&place).await;
    let poison = "alter table schedule add constraint poison check (body <> 'c2VjcmV0')";
    place.db.batch_execute(poison).await.unwrap();
    let new = New { body: "c2VjcmV0", ..new(member, slot) };

    let error = schedules::create(&place.db, mesh, &new).await.unwrap_err();

    assert!(format!("{error:?}").contains("c2VjcmV0"), "the server's detail quotes it");
    let said = "23514: new row for relation \"schedule\" violates check constraint \"poison\"";
    assert_eq!(error.brief(), said);
}
