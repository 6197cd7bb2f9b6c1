//! The audit log: one chain however many write, everything in it once, and a change that shows.

mod sent;

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use skein_crypto::audit::{Chain, Link};
use skein_sql::{
    audit::{self, Actor, Entry, Note},
    duties,
};
use skein_wire::audit::Event;
use tokio_postgres::Client;

use crate::place::{Place, until};

/// Everything in the log of a mesh, oldest first.
async fn all(place: &Place, mesh: i64) -> Vec<Entry> {
    audit::after(&place.db, mesh, 0, i64::MAX).await.unwrap()
}

/// Computes the chain again from its entries; the number at which it is broken.
fn check(mesh_id: &str, entries: &[Entry]) -> Result<(), u64> {
    let mut chain = Chain::start(mesh_id);
    entries.iter().try_for_each(|entry| {
        chain.take(&Link {
            no: entry.no.unsigned_abs(),
            event_type: &entry.event_type,
            actor: &entry.actor_id,
            payload: &entry.payload,
            created_at: &entry.created_at,
            hash: &entry.hash,
        })
    })
}

/// Notes that a key was set.
async fn set(db: &Client, mesh: (i64, i64), key: &str) {
    let actor = Actor::Member(mesh.1, "ann");
    audit::add(db, mesh.0, actor, Event::state_set(key, "1")).await.unwrap();
}

/// Chains everything that was noted in a mesh.
async fn chain_all(db: &Client, mesh: i64) {
    while audit::chain_alone(db, mesh).await.unwrap() > 0 {}
}

/// A mesh with a chain of this many entries, and its number.
async fn chained(place: &Place, name: &str, n_entries: usize) -> i64 {
    let mesh = place.mesh(name).await;
    for n in 0..n_entries {
        set(&place.db, mesh, &format!("k{n}")).await;
    }
    chain_all(&place.db, mesh.0).await;
    mesh.0
}

#[tokio::test]
async fn an_entry_has_the_hash_of_the_contract() {
    let place = Place::new().await;
    let (mesh, member) = place.mesh("mesh-1").await;
    place.run("update member set id = 'member-1' where mailbox = $1", &[&member]).await;
    let at: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
    let event = Event::state_set("k", "1");
    let note = Note { mesh, actor: Actor::Member(member, "Ann"), event, at: Some(at) };

    audit::add_all(&place.db, &[note]).await.unwrap();
    chain_all(&place.db, mesh).await;

    let entry = &all(&place, mesh).await[0];
    assert_eq!(entry.hash, "8156defeef7d8221be146a12a204798cded7d41d03c5901e895a76b5c5cf8353");
    assert_eq!((entry.no, entry.actor.as_str(), entry.actor_id.as_str()), (1, "Ann", "member-1"));
}

#[tokio::test]
async fn a_note_that_is_rolled_back_is_in_no_log_and_leaves_no_gap() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    set(&place.db, mesh, "a").await;
    place.db.batch_execute("begin").await.unwrap();
    set(&place.db, mesh, "b").await;
    place.db.batch_execute("rollback").await.unwrap();
    set(&place.db, mesh, "c").await;

    chain_all(&place.db, mesh.0).await;

    let entries = all(&place, mesh.0).await;
    let numbers: Vec<i64> = entries.iter().map(|entry| entry.no).collect();
    assert_eq!(numbers, [1, 2]);
    assert!(entries[1].payload.contains("\"c\""), "{:?}", entries[1]);
}

/// How many entries the writers write: `SKEIN_AUDIT_ENTRIES`, or few enough for every day.
fn n_entries() -> usize {
    std::env::var("SKEIN_AUDIT_ENTRIES").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn four_writers_at_once_make_one_chain_though_one_is_killed_again_and_again() {
    const WRITERS: usize = 4;
    let place = Arc::new(Place::new().await);
    let mesh = place.mesh("m").await;
    let each = n_entries() / WRITERS;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let place = place.clone();
        writers.spawn(async move {
            let mut db = place.connect().await;
            let mut committed = Vec::new();
            for n in 0..each {
                let key = format!("{writer}-{n}");
                let actor = Actor::Member(mesh.1, "ann");
                audit::add(&db, mesh.0, actor, Event::state_set(&key, "1")).await.unwrap();
                committed.push(key);
                // Everybody chains as well, and the first dies in the middle of it.
                if n % 7 != 0 {
                    continue;
                }
                if writer == 0 && n % 70 == 0 {
                    db.batch_execute("begin").await.unwrap();
                    audit::chain(&db, mesh.0).await.unwrap();
                    let pid: i32 =
                        db.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
                    place.run("select pg_terminate_backend($1)", &[&pid]).await;
                    db = place.connect().await;
                } else {
                    audit::chain_alone(&db, mesh.0).await.unwrap();
                }
            }
            committed
        });
    }
    let committed: BTreeSet<String> = writers.join_all().await.into_iter().flatten().collect();

    chain_all(&place.db, mesh.0).await;

    let entries = all(&place, mesh.0).await;
    assert_eq!(check("m", &entries), Ok(()));
    assert_eq!(entries.len(), each * WRITERS, "dense, and nothing twice");
    let chained: BTreeSet<String> = entries
        .iter()
        .map(|entry| {
            let payload: serde_json::Value = serde_json::from_str(&entry.payload).unwrap();
            payload["key"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(chained, committed);
    let (no, hash) = audit::end(&place.db, mesh.0).await.unwrap();
    assert_eq!((no, &hash), (entries.last().unwrap().no, &entries.last().unwrap().hash));
}

#[tokio::test]
async fn whoever_comes_second_waits_and_goes_on_where_the_first_ended() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    set(&place.db, mesh, "begin").await;
    chain_all(&place.db, mesh.0).await;
    set(&place.db, mesh, "a").await;
    let (first, second) = (place.connect().await, place.connect().await);
    first.batch_execute("begin").await.unwrap();
    assert_eq!(audit::chain(&first, mesh.0).await.unwrap(), 1);
    set(&place.db, mesh, "b").await;

    let waiting = tokio::spawn(async move { audit::chain_alone(&second, mesh.0).await });
    let is_waiting = "select count(*) > 0 from pg_stat_activity
                       where wait_event_type = 'Lock' and datname = current_database()";
    until(async || place.row(is_waiting, &[]).await.get(0)).await;
    first.batch_execute("commit").await.unwrap();

    assert_eq!(waiting.await.unwrap().unwrap(), 1);
    let entries = all(&place, mesh.0).await;
    assert_eq!((entries.len(), check("m", &entries)), (3, Ok(())));
}

#[tokio::test]
async fn an_entry_that_was_changed_deleted_or_swapped_is_found_with_its_number() {
    let place = Place::new().await;
    let changes = [
        ("payload", "update audit set payload = '{}' where no = 4"),
        ("type", "update audit set event_type = 'peer_left' where no = 4"),
        ("actor", "update audit set actor_id = 'mallory' where no = 4"),
        ("time", "update audit set created_at = created_at + interval '1 ms' where no = 4"),
        ("hash", "update audit set hash = repeat('0', 64) where no = 4"),
        ("deleted", "delete from audit where no = 4"),
        (
            "closed",
            "delete from audit where no = 4; update audit set no = no - 1 where no between 5 and 9",
        ),
        (
            "swapped",
            "update audit set no = 99 where no = 4; update audit set no = 4 where no = 6;
             update audit set no = 6 where no = 99",
        ),
    ];
    let mesh = chained(&place, "m", 9).await;
    assert_eq!(check("m", &all(&place, mesh).await), Ok(()));

    for (what, change) in changes {
        let text = format!("begin; alter table audit disable trigger user; {change}");
        place.db.batch_execute(&text).await.unwrap();
        let checked = check("m", &all(&place, mesh).await);
        place.db.batch_execute("rollback").await.unwrap();
        assert_eq!(checked, Err(4), "{what}");
    }
    assert_eq!(check("m", &all(&place, mesh).await), Ok(()));
    assert_eq!(check("another", &all(&place, mesh).await), Err(1), "a mesh's chain is its own");
}

#[tokio::test]
async fn the_database_refuses_every_change_of_an_entry_and_every_step_back() {
    let place = Place::new().await;
    let mesh = chained(&place, "m", 3).await;
    let before = all(&place, mesh).await;

    for refused in [
        "update audit set payload = payload where no = 2",
        "delete from audit where no = 3",
        "truncate audit cascade",
        "update audit_head set no = 2",
        "update audit_head set mesh = 7, no = 9",
        "delete from audit_head",
        "truncate audit_head",
    ] {
        let error = place.db.batch_execute(refused).await.unwrap_err();
        let words = error.as_db_error().unwrap().message().to_owned();
        assert_eq!(words, "the audit log is only appended to", "{refused}");
    }
    let number = "insert into audit (mesh, no, event_type, actor_id, actor, payload, created_at,
                                     hash)
                  select mesh, no, 'forged', 'x', 'x', '{}', now(), hash from audit where no = 2";
    place.db.execute(number, &[]).await.expect_err("no number is given twice");

    assert_eq!(all(&place, mesh).await, before);
}

#[tokio::test]
async fn entries_are_read_by_page_by_event_and_in_their_own_mesh_only() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    let other = chained(&place, "other", 4).await;
    for n in 0..6 {
        set(&place.db, mesh, &format!("k{n}")).await;
        audit::add(&place.db, mesh.0, Actor::Operator, Event::PeerLeft {}).await.unwrap();
    }
    chain_all(&place.db, mesh.0).await;
    let numbers = |entries: Vec<Entry>| -> Vec<i64> { entries.iter().map(|e| e.no).collect() };
    let db = &place.db;

    let newest = audit::newest(db, mesh.0, i64::MAX, 0, 3).await.unwrap();
    let further = audit::newest(db, mesh.0, i64::MAX, 3, 3).await.unwrap();
    let before = audit::newest(db, mesh.0, 3, 0, 9).await.unwrap();
    let beyond = audit::newest(db, mesh.0, i64::MAX, 99, 3).await.unwrap();
    let left = audit::newest_of_type(db, mesh.0, "peer_left", 12, 1, 2).await.unwrap();
    let after = audit::after(db, mesh.0, 9, 2).await.unwrap();

    assert_eq!(numbers(newest), [12, 11, 10]);
    assert_eq!(numbers(further), [9, 8, 7]);
    assert_eq!(numbers(before), [2, 1]);
    assert_eq!(numbers(beyond), Vec::<i64>::new());
    assert_eq!(numbers(left), [8, 6]);
    assert_eq!(numbers(after), [10, 11]);
    assert_eq!(audit::total(db, mesh.0, None).await.unwrap(), 12);
    assert_eq!(audit::total(db, mesh.0, Some("peer_left")).await.unwrap(), 6);
    assert_eq!(audit::total(db, mesh.0, Some("nothing")).await.unwrap(), 0);
    assert_eq!(audit::total(db, other, None).await.unwrap(), 4);
    assert_eq!(check("other", &all(&place, other).await), Ok(()));
    assert_eq!(audit::end(db, 99).await.unwrap().0, 0, "of a mesh without entries");
}

#[tokio::test]
async fn meshes_with_notes_are_found_by_bucket() {
    let place = Place::new().await;
    let (one, other) = (place.mesh("one").await, place.mesh("other").await);
    let bucket = |mesh: i64| i32::try_from(mesh % i64::from(duties::BUCKETS)).unwrap();
    set(&place.db, one, "a").await;
    set(&place.db, one, "b").await;

    let found = audit::waiting(&place.db, &[bucket(one.0), bucket(other.0)]).await.unwrap();
    let elsewhere = audit::waiting(&place.db, &[bucket(other.0)]).await.unwrap();
    chain_all(&place.db, one.0).await;
    let done = audit::waiting(&place.db, &[bucket(one.0)]).await.unwrap();

    assert_eq!((found, elsewhere, done), (vec![one.0], vec![], vec![]));
}
