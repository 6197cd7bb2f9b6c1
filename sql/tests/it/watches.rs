//! Watches: due by bucket, written once for each check, told once, at slots of their own.

mod crowd;

use std::time::Duration;

use serde_json::{Value, json};
use skein_sql::{
    members,
    watches::{self, Check, Created, Due, Failed, New, Seen},
};
use skein_wire::{
    limit,
    push::Kept,
    watches::{Health, Mode},
};

use crate::place::Place;

const ALL: [i32; 64] = {
    let mut buckets = [0; 64];
    let mut i = 0;
    while i < 64 {
        buckets[i] = i as i32;
        i += 1;
    }
    buckets
};

fn new(member: i64) -> New<'static> {
    New {
        member,
        url: "https://status.example/",
        mode: Mode::Hash,
        extract: None,
        interval_s: 60,
        notify_on: "change",
        headers: None,
        header_names: &[],
        label: Some("status"),
        group: None,
    }
}

async fn create(place: &Place, mesh: (i64, i64), new: New<'_>) -> String {
    place.run("begin", &[]).await;
    let created = watches::create(&place.db, mesh.0, new).await.unwrap();
    place.run("commit", &[]).await;
    match created {
        Created::Made(id) => id,
        full => panic!("{full:?}"),
    }
}

async fn due(place: &Place) -> Vec<Due> {
    watches::due(&place.db, &ALL, Duration::from_secs(1), 1000, &[]).await.unwrap()
}

/// Has everything be due again.
async fn again(place: &Place) {
    place.run("update watch set next_at = now()", &[]).await;
}

fn saw(due: &Due, text: &str) -> Check {
    let hash = format!("{:016x}", text.bytes().fold(0u64, |h, b| h * 131 + u64::from(b)));
    let value = Some((text.to_owned(), hash));
    let (etag, last_modified) = (Some(format!("\"{text}\"")), None);
    let seen = Seen { status: 200, value, etag, last_modified };
    Check { due: due.clone(), outcome: Ok(seen) }
}

fn failed(due: &Due) -> Check {
    let failed = Failed { why: Some("HTTP 503".into()), status: Some(503), is_ours: false };
    Check { due: due.clone(), outcome: Err(failed) }
}

/// Writes what the only watch saw; how many messages were stored for it.
async fn see(place: &Place, text: &str) -> usize {
    let due = due(place).await;
    watches::record(&place.db, &[saw(&due[0], text)]).await.unwrap().len()
}

/// What was stored, in order: recipient (or target) and event.
async fn stored(place: &Place) -> Vec<(String, Kept)> {
    let read = "select coalesce(d.recipient::text, m.target) as whom, m.ciphertext
                  from message m
                  left join delivery d on d.seq = m.seq
                 where m.sender_key = 'system' and m.subtype = 'system' and m.priority = 0
                 order by m.seq";
    let rows = place.db.query(read, &[]).await.unwrap();
    rows.iter().map(|row| (row.get("whom"), Kept::read(row.get("ciphertext")).unwrap())).collect()
}

fn events(stored: &[(String, Kept)]) -> Vec<&str> {
    stored.iter().map(|(_, kept)| kept.event.as_str()).collect()
}

#[tokio::test]
async fn a_change_is_told_once_and_the_first_value_to_nobody() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    let id = create(&place, mesh, new(mesh.1)).await;

    assert_eq!(see(&place, "a").await, 0, "the baseline");
    assert!(due(&place).await.is_empty(), "it is looked at again later");
    again(&place).await;
    assert_eq!(see(&place, "a").await, 0, "the same");
    again(&place).await;
    let found = due(&place).await;
    let twice = [saw(&found[0], "b"), saw(&found[0], "c")];
    assert_eq!(watches::record(&place.db, &twice[..1]).await.unwrap().len(), 1);
    assert!(watches::record(&place.db, &twice[1..]).await.unwrap().is_empty(), "by another");

    let stored = stored(&place).await;
    assert_eq!(events(&stored), ["watch_triggered"]);
    assert_eq!(stored[0].0, mesh.1.to_string(), "nobody is here: it waits for the member");
    let data = json!({"watchId": id, "url": "https://status.example/", "label": "status",
                      "createdBy": "m", "mode": "hash", "oldValue": "a", "newValue": "b"});
    assert_eq!(stored[0].1.event_data, data);
    let listed = watches::list(&place.db, mesh.0, mesh.1).await.unwrap();
    assert_eq!((listed[0].last_value.as_str(), listed[0].last_status), ("b", Some(200)));
}

#[tokio::test]
async fn what_is_waited_for_is_told_when_it_comes_or_goes() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    for (on, told) in [("match:b", [0, 1, 0, 0, 1]), ("not_match:b", [0, 0, 0, 1, 0])] {
        place.run("delete from watch", &[]).await;
        create(&place, mesh, New { notify_on: on, ..new(mesh.1) }).await;
        let mut n_told = Vec::new();
        for text in ["a", "b", "b", "c", "b"] {
            again(&place).await;
            n_told.push(see(&place, text).await);
        }
        assert_eq!(n_told, told, "{on}");
    }
}

#[tokio::test]
async fn five_failures_are_told_once_and_so_is_the_end_of_them() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    create(&place, mesh, new(mesh.1)).await;
    see(&place, "a").await;
    let mut waits = Vec::new();
    for _ in 0..8 {
        again(&place).await;
        let due = due(&place).await;
        watches::record(&place.db, &[failed(&due[0])]).await.unwrap();
        let wait = "select extract(epoch from next_at - now())::float8 from watch";
        waits.push(place.row(wait, &[]).await.get::<_, f64>(0));
    }
    let listed = watches::list(&place.db, mesh.0, mesh.1).await.unwrap().remove(0);
    assert_eq!((listed.status, listed.failures), (Some(Health::Failing), Some(8)));
    assert_eq!(listed.last_error.as_deref(), Some("HTTP 503"));
    assert_eq!((listed.last_value.as_str(), listed.last_status), ("a", Some(503)));
    for (n, wait) in waits.iter().enumerate() {
        let period = (60.0 * 2f64.powi(n as i32 + 1)).min(3600.0);
        assert!((period / 2.0 - 1.0..=period * 1.5 + 1.0).contains(wait), "{n}: {wait}");
    }
    for text in ["a", "a", "b"] {
        again(&place).await;
        see(&place, text).await;
    }

    let stored = stored(&place).await;
    assert_eq!(events(&stored), ["watch_failing", "watch_recovered", "watch_triggered"]);
    assert_eq!(stored[0].1.event_data["failures"], 5);
    assert_eq!(stored[0].1.event_data["error"], "HTTP 503");
    assert_eq!(stored[1].1.event_data["failures"], 8);
    assert_eq!(stored[1].1.event_data.get("error"), None::<&Value>);
    let listed = watches::list(&place.db, mesh.0, mesh.1).await.unwrap().remove(0);
    assert_eq!((listed.status, listed.last_error), (Some(Health::Ok), None));
}

#[tokio::test]
async fn a_check_that_we_did_not_make_is_no_failure_and_made_again_soon() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    create(&place, mesh, New { interval_s: 3600, ..new(mesh.1) }).await;
    see(&place, "a").await;
    let before = watches::list(&place.db, mesh.0, mesh.1).await.unwrap().remove(0);
    let busy = async |why: Option<&str>| {
        again(&place).await;
        let due = due(&place).await;
        let failed = Failed { why: why.map(str::to_owned), status: None, is_ours: true };
        let check = Check { due: due[0].clone(), outcome: Err(failed) };
        watches::record(&place.db, &[check]).await.unwrap();
        watches::list(&place.db, mesh.0, mesh.1).await.unwrap().remove(0)
    };

    let quiet = busy(None).await;
    let wait = "select extract(epoch from next_at - now())::float8 from watch";
    let wait = place.row(wait, &[]).await.get::<_, f64>(0);
    let mut said = busy(Some("busy")).await;
    for _ in 0..6 {
        said = busy(Some("busy")).await;
    }

    assert!((2.0..=8.0).contains(&wait), "{wait}");
    assert_eq!((quiet.last_error, quiet.last_status), (None, Some(200)), "as it was");
    assert_eq!(quiet.last_check, before.last_check, "it was not looked at");
    assert_eq!((said.failures, said.last_error.as_deref()), (Some(0), Some("busy")));
    assert_eq!((said.status, said.last_value), (Some(Health::Ok), before.last_value));
    assert!(stored(&place).await.is_empty());
}

#[tokio::test]
async fn every_attached_session_is_told_and_the_mailbox_when_none_of_them_stays() {
    let place = Place::new().await;
    let (mesh, node) = (place.mesh("m").await, place.node("edge").await);
    create(&place, mesh, New { group: Some("dev"), ..new(mesh.1) }).await;
    see(&place, "a").await;
    let inbox = place.session(mesh, "inbox").await;
    let old = place.session(mesh, "old").await;
    let command = place.session(mesh, "command").await;
    let grouped = place.session(mesh, "grouped").await;
    for session in [inbox, command] {
        place.run("update session set proved = true where mailbox = $1", &[&session]).await;
    }
    place
        .run(
            r#"update session set groups = '[{"name": "dev/web"}]' where mailbox = $1"#,
            &[&grouped],
        )
        .await;
    for (session, text) in [(command, "b"), (old, "c"), (inbox, "d"), (grouped, "e")] {
        place.attach(session, node).await;
        place.run("update presence set inbox = true where session = $1", &[&inbox]).await;
        again(&place).await;
        see(&place, text).await;
    }

    let whom = |text: &str, stored: &[(String, Kept)]| -> Vec<String> {
        let of = stored.iter().filter(|(_, kept)| kept.event_data["newValue"] == text);
        of.map(|(whom, _)| whom.clone()).collect()
    };
    let stored = stored(&place).await;
    let name = |mailbox: i64| mailbox.to_string();
    let mut here = whom("d", &stored);
    here.sort();
    let mut expected = vec![name(command), name(old), name(inbox), "@dev".to_owned()];
    expected.sort();
    assert_eq!(whom("b", &stored), [name(command), name(mesh.1), "@dev".to_owned()]);
    assert_eq!(whom("c", &stored).len(), 3, "an old client's session stays");
    assert_eq!(here, expected);
    assert!(!whom("e", &stored).contains(&name(grouped)), "it hears the group");
    let told = "select count(distinct node) from delivery d where recipient <> $1";
    assert_eq!(place.row(told, &[&mesh.1]).await.get::<_, i64>(0), 1, "each at its node");
}

#[tokio::test]
async fn a_mailbox_that_is_full_takes_no_more() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    create(&place, mesh, new(mesh.1)).await;
    see(&place, "a").await;
    let fill = "insert into delivery (seq, recipient, mesh, node, at, class, bytes, xid)
                select nextval('message_seq'), $2, $1, 0, now(), 1, 1, pg_current_xact_id()
                  from generate_series(1, $3::bigint)";
    place.run(fill, &[&mesh.0, &mesh.1, &limit::MAILBOX_MESSAGES_MAX]).await;
    again(&place).await;

    assert_eq!(see(&place, "b").await, 0);

    let listed = watches::list(&place.db, mesh.0, mesh.1).await.unwrap();
    assert_eq!(listed[0].last_value, "b", "it is seen all the same");
}

#[tokio::test]
async fn slots_are_spread_by_the_id_and_a_late_check_makes_the_next_no_later() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    let id = create(&place, mesh, new(mesh.1)).await;
    let slot = "select extract(epoch from next_at)::float8 / 60 as slot, phase,
                       extract(epoch from next_at - now())::float8 as wait_s
                  from watch";
    for late_s in [0.0, 0.4, 20.0, 300.0] {
        let back = "update watch set next_at = now() - make_interval(secs => $1)";
        place.run(back, &[&late_s]).await;
        see(&place, "a").await;

        let row = place.row(slot, &[]).await;
        let (slot, phase, wait): (f64, f64, f64) = (row.get(0), row.get(1), row.get(2));
        assert!((slot.fract() - phase).abs() < 1e-6, "{slot} {phase}");
        assert!((29.0..=91.0).contains(&wait), "{wait}");
    }
    let number = u32::from_str_radix(&id[2..], 16).unwrap();
    let phase: f64 = place.row("select phase from watch", &[]).await.get(0);
    assert_eq!(phase, f64::from(number) / 2f64.powi(32));
}

#[tokio::test]
async fn only_what_is_due_in_the_asked_buckets_is_found_the_most_overdue_first() {
    let place = Place::new().await;
    let (first, second) = (place.mesh("first").await, place.mesh("second").await);
    let bucket = |mesh: (i64, i64)| i32::try_from(mesh.0 % 64).unwrap();
    let early = create(&place, first, new(first.1)).await;
    let late = create(&place, first, new(first.1)).await;
    create(&place, second, new(second.1)).await;
    place.run("update watch set next_at = now() - interval '9 s' where id = $1", &[&early]).await;
    let ids = async |buckets: &[i32], n: i64| -> Vec<String> {
        let ahead = Duration::from_secs(1);
        let due = watches::due(&place.db, buckets, ahead, n, &[]).await.unwrap();
        due.into_iter().map(|due| due.id).collect()
    };

    assert_eq!(ids(&[bucket(first)], 9).await, [early.clone(), late.clone()]);
    assert_eq!(ids(&ALL, 1).await, [early.as_str()]);
    assert_eq!(ids(&ALL, 9).await.len(), 3);
    assert!(ids(&[], 9).await.is_empty());
    place.run("update watch set next_at = now() + interval '30 s' where id = $1", &[&late]).await;
    assert_eq!(ids(&[bucket(first)], 9).await, [early]);
    let ahead = Duration::from_secs(1);
    let next = watches::next_in(&place.db, &ALL, ahead).await.unwrap().unwrap();
    assert!((28.0..=30.0).contains(&next.as_secs_f64()), "{next:?}");
    assert_eq!(watches::next_in(&place.db, &[bucket(second)], ahead).await.unwrap(), None);
}

#[tokio::test]
async fn a_watch_is_of_its_mesh_and_its_member() {
    let place = Place::new().await;
    let (ours, theirs) = (place.mesh("ours").await, place.mesh("theirs").await);
    let id = create(&place, ours, new(ours.1)).await;
    let key = "1".repeat(64);
    let role = skein_openapi::members::Role::Member;
    let bob = members::insert(&place.db, ours.0, &key, "bob", role).await.unwrap().unwrap();

    assert!(watches::list(&place.db, theirs.0, ours.1).await.unwrap().is_empty());
    assert!(watches::list(&place.db, ours.0, bob.mailbox).await.unwrap().is_empty());
    assert_eq!(watches::read(&place.db, theirs.0, &id).await.unwrap(), None);
    assert!(!watches::delete(&place.db, theirs.0, &id, theirs.1).await.unwrap());
    assert!(!watches::delete(&place.db, ours.0, &id, theirs.1).await.unwrap(), "owner elsewhere");
    assert!(!watches::delete(&place.db, ours.0, &id, bob.mailbox).await.unwrap());
    let bobs = create(&place, ours, new(bob.mailbox)).await;
    assert!(watches::delete(&place.db, ours.0, &bobs, ours.1).await.unwrap(), "the owner may");

    create(&place, ours, new(bob.mailbox)).await;
    members::revoke(&place.db, ours.0, &bob.id).await.unwrap().unwrap();
    let left: i64 = place.count("select count(*) from watch").await;
    assert_eq!(left, 1, "a revoked member's are ended");
}

#[tokio::test]
async fn a_member_and_a_mesh_have_no_more_than_they_may() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    let fill = "insert into watch (mesh, id, member, url, mode, interval_s, notify_on, phase)
                select $1, 'w_' || lpad(to_hex(n), 8, '0'), $2, 'u', 'hash', 60, 'change', 0
                  from generate_series($3::bigint, $4::bigint) n";
    let (a, b) = (1i64, limit::WATCHES_PER_MEMBER_MAX - 1);
    place.run(fill, &[&mesh.0, &mesh.1, &a, &b]).await;

    create(&place, mesh, new(mesh.1)).await;
    let more = watches::create(&place.db, mesh.0, new(mesh.1)).await.unwrap();
    assert_eq!(more, Created::MemberFull);

    let role = skein_openapi::members::Role::Member;
    let bob = members::insert(&place.db, mesh.0, &"1".repeat(64), "bob", role).await.unwrap();
    let bob = bob.unwrap().mailbox;
    let (a, b) = (1000i64, 1000 + limit::WATCHES_MAX - limit::WATCHES_PER_MEMBER_MAX - 2);
    place.run(fill, &[&mesh.0, &mesh.1, &a, &b]).await;
    create(&place, mesh, new(bob)).await;
    let more = watches::create(&place.db, mesh.0, new(bob)).await.unwrap();
    assert_eq!(more, Created::MeshFull);
}
