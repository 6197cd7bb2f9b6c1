//! Messages in the log: each once, in whatever order they were numbered and committed.

use std::{collections::BTreeMap, time::Duration};

use jiff::ToSpan;
use serde_json::Value;
use skein_sql::{
    Settings,
    audit::{self, sent::Step},
    partitions,
};
use tokio_postgres::Client;

use super::{all, chain_all, check};
use crate::place::{Place, until};

/// As the writer does it: the transaction's id first, then the number.
async fn begin(db: &Client) -> i64 {
    db.batch_execute("begin").await.unwrap();
    db.query_one("select pg_current_xact_id()::text", &[]).await.unwrap();
    db.query_one("select nextval('message_seq')", &[]).await.unwrap().get(0)
}

async fn store(db: &Client, mesh: i64, sender: i64, seq: i64, target: &str) {
    let insert = "insert into message (seq, mesh, message_id, sender, sender_key, target, priority,
                                       nonce, ciphertext, kind, at, xid)
                  values ($1, $2, gen_random_uuid(), $3, 'k', $4, 1, 'n', 'body', 1, now(),
                          pg_current_xact_id())";
    db.execute(insert, &[&seq, &mesh, &sender, &target]).await.unwrap();
}

async fn send(db: &Client, mesh: i64, sender: i64, target: &str) {
    let seq = begin(db).await;
    store(db, mesh, sender, seq, target).await;
    db.batch_execute("commit").await.unwrap();
}

/// Steps until nothing more is found. Transactions of other tests on the same server may be open,
/// which holds a cut back.
async fn look(db: &Client) {
    while audit::sent::step_alone(db, Duration::ZERO).await.unwrap() != Step::Nothing {}
}

/// Looks until everything that was stored is in the intake or the log, and then some more.
async fn look_well(place: &Place, mesh: i64) {
    let seen = "select (select last_value from message_seq) <= low_seq from audit_place";
    send(&place.db, mesh, 1, "the last").await;
    until(async || {
        look(&place.db).await;
        place.row(seen, &[]).await.get(0)
    })
    .await;
}

/// How many messages to each target the log has.
async fn counted(place: &Place, mesh: i64) -> BTreeMap<String, i64> {
    chain_all(&place.db, mesh).await;
    let mut counted = BTreeMap::new();
    for entry in all(place, mesh).await.iter().filter(|e| e.event_type == "message_sent") {
        let payload: Value = serde_json::from_str(&entry.payload).unwrap();
        let target = payload["targetSpec"].as_str().unwrap().to_owned();
        *counted.entry(target).or_default() += payload["count"].as_i64().unwrap_or(1);
    }
    counted
}

#[tokio::test]
async fn a_message_is_one_entry_and_equal_ones_share_one_with_a_count() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    let ann = place.session(mesh, "ann").await;
    // All in one transaction, so that they are found at once, and within a minute.
    place.db.batch_execute("begin").await.unwrap();
    place.row("select pg_current_xact_id()::text", &[]).await;
    for (sender, target) in
        [(ann, "*"), (ann, "@dev"), (ann, "@dev"), (ann, "@dev"), (999_999, "*")]
    {
        let seq: i64 = place.row("select nextval('message_seq')", &[]).await.get(0);
        store(&place.db, mesh.0, sender, seq, target).await;
    }
    place.db.batch_execute("commit").await.unwrap();

    look_well(&place, mesh.0).await;
    chain_all(&place.db, mesh.0).await;

    let entries = all(&place, mesh.0).await;
    let mut said: Vec<(&str, &str, &str)> = entries
        .iter()
        .map(|e| (e.actor_id.as_str(), e.actor.as_str(), e.payload.as_str()))
        .filter(|said| !said.2.contains("the last"))
        .collect();
    said.sort_unstable();
    let count = r#"{"targetSpec":"@dev","priority":"next","count":3}"#;
    assert_eq!(
        said,
        [
            ("m", "ann", r#"{"targetSpec":"*","priority":"next"}"#),
            ("m", "ann", count),
            ("system", "system", r#"{"targetSpec":"*","priority":"next"}"#),
        ]
    );
    assert_eq!(check("m", &entries), Ok(()));
}

#[tokio::test]
async fn a_message_that_is_numbered_first_and_committed_last_is_found_and_no_other_twice() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    let slow = place.connect().await;
    let first = begin(&slow).await;
    store(&slow, mesh.0, 1, first, "first").await;
    for _ in 0..3 {
        send(&place.db, mesh.0, 1, "later").await;
        // However often it is looked for while the first is open.
        look(&place.db).await;
    }

    slow.batch_execute("commit").await.unwrap();
    for _ in 0..3 {
        look_well(&place, mesh.0).await;
    }

    let expected = [("first".to_owned(), 1), ("later".to_owned(), 3), ("the last".to_owned(), 3)];
    assert_eq!(counted(&place, mesh.0).await, BTreeMap::from(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_store_and_look_at_once_though_some_are_cut_off_count_every_message_once() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    let mut storing = tokio::task::JoinSet::new();
    for writer in 0..4_i64 {
        let (slow, quick) = (place.connect().await, place.connect().await);
        storing.spawn(async move {
            for n in 0..60 {
                let seq = begin(&slow).await;
                for _ in 0..n % 5 {
                    send(&quick, mesh.0, writer, &format!("quick {writer}")).await;
                }
                store(&slow, mesh.0, writer, seq, &format!("slow {writer}")).await;
                let end = if n % 6 == 5 { "rollback" } else { "commit" };
                slow.batch_execute(end).await.unwrap();
            }
        });
    }
    let mut looking = tokio::task::JoinSet::new();
    for looker in 0..2 {
        let connector = place.connector.clone();
        looking.spawn(async move {
            let mut n_steps = 0_u32;
            loop {
                let db = connector.connect(Settings::Ordinary).await.unwrap();
                for _ in 0..10 {
                    if looker == 0 && n_steps % 8 == 3 {
                        // Cut off before it commits.
                        db.batch_execute("begin").await.unwrap();
                        audit::sent::step(&db, Duration::ZERO).await.unwrap();
                        n_steps += 1;
                        break;
                    }
                    audit::sent::step_alone(&db, Duration::ZERO).await.unwrap();
                    n_steps += 1;
                }
            }
        });
    }
    while let Some(stored) = storing.join_next().await {
        stored.unwrap();
    }
    looking.shutdown().await;
    look_well(&place, mesh.0).await;

    let counted = counted(&place, mesh.0).await;

    let stored = "select target, count(*) from message group by target";
    let stored = place.db.query(stored, &[]).await.unwrap();
    let stored: BTreeMap<String, i64> = stored.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(counted, stored);
    assert_eq!(check("m", &all(&place, mesh.0).await), Ok(()));
}

#[tokio::test]
async fn a_look_that_finds_nothing_new_writes_nothing() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    look_well(&place, mesh.0).await;
    let version = "select xmin::text from audit_place";
    let before: String = place.row(version, &[]).await.get(0);

    for _ in 0..3 {
        look(&place.db).await;
    }
    send(&place.db, mesh.0, 1, "*").await;
    let paused = audit::sent::step_alone(&place.db, Duration::from_secs(60)).await.unwrap();

    assert_eq!(paused, Step::Nothing, "it was looked a moment ago");
    assert_eq!(place.row(version, &[]).await.get::<_, String>(0), before);
}

#[tokio::test]
async fn a_day_whose_messages_are_not_audited_stays() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    let old = partitions::today(&place.db).await.unwrap() - 4.days();
    partitions::ensure(&place.db, old).await.unwrap();
    let name = format!("message_{}", old.strftime("%Y%m%d"));
    // Nothing looked since then.
    place.run("update audit_place set since = now() - interval '5 days'", &[]).await;
    send(&place.db, mesh.0, 1, "*").await;
    let upkeep = place.connector.connect(Settings::Maintenance).await.unwrap();

    let kept = partitions::drop_old(&upkeep).await.unwrap();
    look_well(&place, mesh.0).await;
    let dropped = partitions::drop_old(&upkeep).await.unwrap();

    assert!(!kept.tables.contains(&name), "{kept:?}");
    assert!(dropped.tables.contains(&name), "{dropped:?}");
}

#[tokio::test]
async fn a_cut_that_is_not_worked_off_holds_its_days_though_nothing_came_after_it() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    look_well(&place, mesh.0).await;
    // As after a long rest without workers: the cut is made, and its last step is missing.
    let unfinished = "update audit_place set seq_at = seq_end - 1, since = now() - interval '5 d'";
    place.run(unfinished, &[]).await;
    let is_held = "select $1::timestamptz < now() - interval '4 d'";
    let is_held = async || {
        let until = audit::sent::until(&place.db).await.unwrap();
        place.row(is_held, &[&until]).await.get::<_, bool>(0)
    };

    assert!(is_held().await);
    look(&place.db).await;
    assert!(!is_held().await);
}
