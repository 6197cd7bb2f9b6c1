//! What fires, when, and what the log says of it.

use skein_sql::{
    duties::{self, Kind},
    schedules,
};
use skein_wire::schedules::{Missed, Outcome, Overlap, State};

use super::{MOMENT, last_slots, maker, neglect, now, outcomes, place, seconds, stored};
use crate::place::until;

#[tokio::test]
async fn a_one_shot_fires_at_its_time_and_is_done() {
    let place = place().await;
    let ann = maker(&place, "ann").await;
    let _worker = place.worker();
    place.shared(&[64]).await;
    let slot = now(&place).await + jiff::SignedDuration::try_from(MOMENT).unwrap();

    let id = ann.make(&place, ann.reminder(slot)).await;
    let fires = ann.logged(&place, id, 1).await;

    let fire = &fires[0];
    assert_eq!((fires.len(), fire.outcome), (1, Outcome::Fired));
    assert_eq!(fire.slot, slot.as_millisecond());
    assert!(fire.at >= fire.slot, "never early: {fire:?}");
    let sent = stored(&place).await;
    assert_eq!(sent.len(), 1);
    assert_eq!(Some(sent[0].0.simple().to_string()), fire.message_id);
    assert_eq!(sent[0].2, Some(ann.member), "nobody is attached: it waits in the mailbox");
    let subtype = place.row("select subtype from message", &[]).await;
    assert_eq!(subtype.get::<_, Option<&str>>(0), Some("reminder"));
    let done = ann.read(&place, id).await;
    assert_eq!((done.state, done.fired_count, done.next_fire), (Some(State::Done), Some(1), None));
    let listed = schedules::list(&place.db, ann.mesh, ann.member).await.unwrap();
    assert_eq!(listed, (Vec::new(), 0));
}

#[tokio::test]
async fn what_is_for_the_creators_own_session_goes_where_that_member_is() {
    let place = place().await;
    let _worker = place.worker();
    let node = place.node("edge").await;
    let (first, second) = (place.session("first", node).await, place.session("second", node).await);
    let read = "select s.mesh, s.member, s.key from session s where s.mailbox = $1";
    let row = place.row(read, &[&first]).await;
    let ann = super::Maker { mesh: row.get(0), member: row.get(1), key: row.get(2) };
    let own = |slot| schedules::New { session: first, ..ann.reminder(slot) };
    let mut recipients = Vec::new();

    // The first is lost, then it is gone, then the other.
    let (lose, over) = ("depart_at = now() + interval '20 s'", "depart_at = now()");
    for (gone, how) in [(None, ""), (Some(first), lose), (Some(first), over), (Some(second), lose)]
    {
        if let Some(gone) = gone {
            place.run("delete from presence where session = $1", &[&gone]).await;
            place.run(&format!("update session set {how} where mailbox = $1"), &[&gone]).await;
        }
        let id = ann.make(&place, own(now(&place).await)).await;
        ann.logged(&place, id, 1).await;
        recipients.push(stored(&place).await.last().unwrap().2);
    }

    assert_eq!(recipients, [Some(first), Some(first), Some(second), Some(ann.member)]);
}

#[tokio::test]
async fn missed_slots_are_handled_as_each_schedule_asks() {
    let place = place().await;
    let ann = maker(&place, "ann").await;
    let now = now(&place).await;
    let slots = last_slots("* * * * *", now, 10);
    let mut ids = Vec::new();
    for missed in [Missed::Skip, Missed::Once, Missed::All] {
        let new = schedules::New { cron: Some("* * * * *"), missed, ..ann.reminder(slots[0]) };
        ids.push(ann.make(&place, new).await);
    }
    let _worker = place.worker();

    let skip = ann.logged(&place, ids[0], 2).await;
    let once = ann.logged(&place, ids[1], 3).await;
    let all = ann.logged(&place, ids[2], 10).await;

    // The last of the ten is not a minute old, or is at the edge of it.
    assert_eq!(outcomes(&skip)[..2], [Outcome::Missed, Outcome::Fired]);
    assert_eq!(outcomes(&once)[..3], [Outcome::Missed, Outcome::Fired, Outcome::Fired]);
    assert!(outcomes(&all).iter().all(|outcome| *outcome == Outcome::Fired));
    let fired: Vec<i64> = all.iter().rev().take(10).map(|fire| fire.slot).collect();
    assert_eq!(fired, slots.iter().map(|slot| slot.as_millisecond()).collect::<Vec<_>>());
    assert!(all.last().unwrap().lateness_ms >= 9 * 60_000, "{:?}", all.last());
}

#[tokio::test]
async fn of_a_long_outage_a_hundred_slots_are_made_up_for_and_the_log_keeps_a_hundred() {
    let place = place().await;
    let ann = maker(&place, "ann").await;
    let now = now(&place).await;
    let new = schedules::New {
        cron: Some("* * * * *"),
        missed: Missed::All,
        ..ann.reminder(now - seconds(86_400))
    };
    let id = ann.make(&place, new).await;
    let _worker = place.worker();

    until(async || ann.read(&place, id).await.next_fire > Some(now.as_millisecond())).await;

    let fires = ann.fires(&place, id).await;
    assert_eq!(fires.len(), 100);
    assert!(fires.iter().all(|fire| fire.outcome == Outcome::Fired), "what was left out is older");
    let n = stored(&place).await.len();
    assert!((100..=102).contains(&n), "{n} messages");
}

#[tokio::test]
async fn while_the_last_message_is_unread_a_slot_is_skipped_where_that_was_asked_for() {
    let place = place().await;
    let ann = maker(&place, "ann").await;
    let slots = last_slots("* * * * *", now(&place).await, 3);
    let asked = |overlap| schedules::New {
        cron: Some("* * * * *"),
        missed: Missed::All,
        overlap,
        ..ann.reminder(slots[0])
    };
    let (skip, allow) = (asked(Overlap::Skip), asked(Overlap::Allow));
    let (skip, allow) = (ann.make(&place, skip).await, ann.make(&place, allow).await);
    let _worker = place.worker();

    let skipped = ann.logged(&place, skip, 3).await;
    let allowed = ann.logged(&place, allow, 3).await;
    place.run("delete from delivery", &[]).await;
    neglect(&place, skip, slots[2]).await;
    skein_sql::duties::wake(&place.db, skein_sql::duties::Kind::Schedule).await.unwrap();
    let after = ann.logged(&place, skip, skipped.len() + 1).await;

    use Outcome::{Fired, Overlapped};
    assert_eq!(outcomes(&skipped)[..3], [Fired, Overlapped, Overlapped]);
    assert_eq!(outcomes(&allowed)[..3], [Fired, Fired, Fired]);
    assert_eq!(outcomes(&after)[skipped.len()], Fired, "it was read: {after:?}");
}

#[tokio::test]
async fn a_fire_that_reaches_nobody_is_in_the_log_with_its_reason() {
    let place = place().await;
    let (ann, bob) = (maker(&place, "ann").await, maker(&place, "bob").await);
    let slot = now(&place).await;
    // Somebody of another mesh, and one whose mailbox is full.
    let stranger = schedules::New { target: &bob.key, ..ann.reminder(slot) };
    let full = "insert into delivery (seq, recipient, mesh, class, bytes, at, xid)
                select -n, $1, $2, 0, 1, now(), pg_current_xact_id()
                  from generate_series(1, 10000) n";
    place.run(full, &[&bob.member, &bob.mesh]).await;
    let stranger = ann.make(&place, stranger).await;
    let own = bob.make(&place, bob.reminder(slot)).await;
    let _worker = place.worker();

    let (stranger, own) = (ann.logged(&place, stranger, 1).await, bob.logged(&place, own, 1).await);

    assert_eq!((stranger[0].outcome, own[0].outcome), (Outcome::Failed, Outcome::Failed));
    assert!(stranger[0].detail.as_ref().unwrap().starts_with("unknown_target: "));
    assert!(own[0].detail.as_ref().unwrap().starts_with("mailbox_full: "));
    assert!(stored(&place).await.is_empty());
}

#[tokio::test]
async fn a_schedule_that_the_database_refuses_holds_up_no_other() {
    let place = place().await;
    let ann = maker(&place, "ann").await;
    let poison = "alter table message add constraint poison check (ciphertext <> 'cG9pc29u')";
    place.db.batch_execute(poison).await.unwrap();
    let slot = now(&place).await;
    let bad = ann.make(&place, schedules::New { body: "cG9pc29u", ..ann.reminder(slot) }).await;
    let mut good = Vec::new();
    for _ in 0..3 {
        good.push(ann.make(&place, ann.reminder(slot)).await);
    }
    let _worker = place.worker();

    for id in good {
        assert_eq!(outcomes(&ann.logged(&place, id, 1).await), [Outcome::Fired]);
    }

    let refused = ann.logged(&place, bad, 1).await;
    assert_eq!(outcomes(&refused), [Outcome::Failed]);
    assert!(refused[0].detail.as_ref().unwrap().starts_with("internal: "), "{refused:?}");
    assert_eq!(ann.read(&place, bad).await.state, Some(State::Done));
    assert_eq!(stored(&place).await.len(), 3);
}

/// Has the database fail when it stores the message `poison`, under the code that `failing` holds.
const POISON: &str = "
    create table failing (code text not null);
    insert into failing values ('40001');
    create function fail() returns trigger language plpgsql as $$
    begin
        raise exception using errcode = (select code from failing);
    end $$;
    create trigger fail before insert on message
        for each row when (new.ciphertext = 'cG9pc29u') execute function fail();";

#[tokio::test]
async fn a_failure_of_one_schedule_alone_of_whatever_kind_holds_up_no_other() {
    let place = place().await;
    let ann = maker(&place, "ann").await;
    place.db.batch_execute(POISON).await.unwrap();
    let _worker = place.worker();

    // A statement that is too large, a row that cannot be read.
    for (n, code) in ["54000", "XX001"].into_iter().enumerate() {
        place.run("update failing set code = $1", &[&code]).await;
        let slot = now(&place).await;
        let cron = Some("* * * * *");
        let bad = schedules::New { body: "cG9pc29u", cron, ..ann.reminder(slot) };
        let (bad, once) =
            (ann.make(&place, bad.clone()).await, schedules::New { cron: None, ..bad });
        let once = schedules::New { id: uuid::Uuid::new_v4(), ..once };
        let once = ann.make(&place, once).await;
        let good = ann.make(&place, ann.reminder(slot)).await;

        assert_eq!(outcomes(&ann.logged(&place, good, 1).await), [Outcome::Fired], "{code}");

        for id in [bad, once] {
            let failed = ann.logged(&place, id, 1).await;
            assert_eq!(failed[0].outcome, Outcome::Failed, "{code}");
            assert!(failed[0].detail.as_ref().unwrap().starts_with("internal: "), "{failed:?}");
        }
        let (bad, once) = (ann.read(&place, bad).await, ann.read(&place, once).await);
        assert_eq!((bad.state, once.state), (Some(State::Active), Some(State::Done)), "{code}");
        assert!(bad.next_fire > Some(slot.as_millisecond()), "it goes on: {bad:?}");
        assert_eq!(stored(&place).await.len(), n + 1);
    }
}

#[tokio::test]
async fn what_took_too_long_is_put_aside_and_fires_later() {
    let place = place().await;
    let ann = maker(&place, "ann").await;
    place.db.batch_execute(POISON).await.unwrap();
    place.run("update failing set code = '57014'", &[]).await;
    let slot = now(&place).await;
    let slow = ann.make(&place, schedules::New { body: "cG9pc29u", ..ann.reminder(slot) }).await;
    let good = ann.make(&place, ann.reminder(slot)).await;
    let _worker = place.worker();

    assert_eq!(outcomes(&ann.logged(&place, good, 1).await), [Outcome::Fired]);
    let aside = "select count(*) = 1 from schedule
                  where id = $1 and state = 'active' and serve_at > now() + interval '10 s'";
    until(async || place.row(aside, &[&slow]).await.get(0)).await;
    let before = ann.fires(&place, slow).await;
    place.db.batch_execute("drop trigger fail on message").await.unwrap();
    place.run("update schedule set serve_at = now() where id = $1", &[&slow]).await;
    duties::wake(&place.db, Kind::Schedule).await.unwrap();

    assert!(before.is_empty(), "{before:?}");
    let fires = ann.logged(&place, slow, 1).await;
    assert_eq!(outcomes(&fires), [Outcome::Fired]);
    assert_eq!(fires[0].slot, slot.as_millisecond(), "its slot is what it was");
}

#[tokio::test]
async fn a_failure_that_may_pass_is_tried_again_until_it_has() {
    let place = place().await;
    let ann = maker(&place, "ann").await;
    place.db.batch_execute(POISON).await.unwrap();
    // Each attempt takes a number, also one that comes to nothing.
    place.db.batch_execute("create sequence attempt").await.unwrap();
    let count = "
        create or replace function fail() returns trigger language plpgsql as $$
        begin
            perform nextval('attempt');
            raise exception using errcode = (select code from failing);
        end $$;";
    place.db.batch_execute(count).await.unwrap();
    let slot = now(&place).await;
    let id = ann.make(&place, schedules::New { body: "cG9pc29u", ..ann.reminder(slot) }).await;
    let _worker = place.worker();

    for code in ["40001", "53100", "57P05", "0A000"] {
        place.run("update failing set code = $1", &[&code]).await;
        let at: i64 = place.row("select last_value from attempt", &[]).await.get(0);
        let tried = "select last_value >= $1 from attempt";
        until(async || place.row(tried, &[&(at + 1)]).await.get(0)).await;
    }
    let before = ann.fires(&place, id).await;
    place.db.batch_execute("drop trigger fail on message").await.unwrap();

    assert!(before.is_empty(), "{before:?}");
    assert_eq!(outcomes(&ann.logged(&place, id, 1).await), [Outcome::Fired]);
}

#[tokio::test]
async fn the_schedules_of_a_member_that_was_revoked_are_done_at_their_next_slot() {
    let place = place().await;
    let ann = maker(&place, "ann").await;
    let slot = now(&place).await;
    let new = schedules::New { cron: Some("* * * * *"), target: "*", ..ann.reminder(slot) };
    let id = ann.make(&place, new).await;
    // As a program of before does that ends no schedules.
    place.run("update member set revoked_at = now()", &[]).await;
    let _worker = place.worker();

    let fires = ann.logged(&place, id, 1).await;

    assert_eq!(outcomes(&fires), [Outcome::Failed]);
    assert_eq!(ann.read(&place, id).await.state, Some(State::Done));
    assert!(stored(&place).await.is_empty());
}

#[tokio::test]
async fn one_that_is_paused_fires_only_when_asked_to_and_goes_on_when_resumed() {
    let place = place().await;
    let ann = maker(&place, "ann").await;
    let _worker = place.worker();
    let soon = now(&place).await + seconds(3600);
    let id = ann.make(&place, ann.reminder(soon)).await;
    let (mesh, member) = (ann.mesh, ann.member);

    assert!(schedules::pause(&place.db, mesh, member, id).await.unwrap());
    neglect(&place, id, now(&place).await).await;
    assert!(schedules::run(&place.db, mesh, member, id).await.unwrap());
    skein_sql::duties::wake(&place.db, skein_sql::duties::Kind::Schedule).await.unwrap();
    let ran = ann.logged(&place, id, 1).await;
    let paused = ann.read(&place, id).await;
    let at = now(&place).await;
    place.db.batch_execute("begin").await.unwrap();
    assert!(schedules::resume(&place.db, mesh, member, id, at).await.unwrap());
    place.db.batch_execute("commit").await.unwrap();
    skein_sql::duties::wake(&place.db, skein_sql::duties::Kind::Schedule).await.unwrap();
    let resumed = ann.logged(&place, id, 2).await;

    assert_eq!((ran.len(), paused.state), (1, Some(State::Paused)));
    assert_eq!(outcomes(&resumed), [Outcome::Fired, Outcome::Fired]);
    assert_eq!(ann.read(&place, id).await.state, Some(State::Done));
    let ids: Vec<_> = stored(&place).await.into_iter().map(|sent| sent.0).collect();
    assert_ne!(ids[0], ids[1], "asked for, and its slot: two messages");
}
