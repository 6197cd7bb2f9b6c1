//! What was waited for long enough.

use std::time::Duration;

use skein_sql::{
    duties::BUCKETS,
    sweep::expiry::{expire, forget, lapse},
};

use crate::place::{Place, SOON};

const DAY: Duration = Duration::from_secs(86_400);
const ALL: fn() -> Vec<i32> = || (0..BUCKETS).collect();

/// The receipts of an outcome: numbers and mailboxes.
async fn receipts(place: &Place, outcome: i16) -> Vec<(i64, i64)> {
    let read = "select s, r from receipt, unnest(seqs, recipients) as t(s, r) where outcome = $1
                 order by s";
    let rows = place.db.query(read, &[&outcome]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn mail_that_nobody_collected_expires_into_a_receipt() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    let session = place.session(mesh, "ann").await;
    let old = place.deliver(mesh, session, 0).await;
    let young = place.deliver(mesh, session, 0).await;
    let age = "update delivery set at = now() - interval '31 days' where seq = $1";
    place.run(age, &[&old]).await;

    let (first, second) = (expire(&place.db, 30 * DAY).await, expire(&place.db, 30 * DAY).await);

    assert_eq!((first.unwrap(), second.unwrap()), (1, 0));
    assert_eq!(receipts(&place, 1).await, [(old, session)]);
    assert_eq!(place.row("select seq from delivery", &[]).await.get::<_, i64>(0), young);
}

#[tokio::test]
async fn two_workers_expire_each_delivery_once() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    let session = place.session(mesh, "ann").await;
    let fill = "insert into delivery (seq, recipient, mesh, at, class, bytes, xid)
                select nextval('message_seq'), $1, $2, now() - interval '31 days', 1, 1,
                       pg_current_xact_id()
                  from generate_series(1, 12000)";
    place.run(fill, &[&session, &mesh.0]).await;
    let (a, b) = (place.connect().await, place.connect().await);

    let (x, y) = tokio::join!(expire(&a, 30 * DAY), expire(&b, 30 * DAY));
    let z = expire(&place.db, 30 * DAY).await;

    assert_eq!(x.unwrap() + y.unwrap() + z.unwrap(), 12_000);
    let told = receipts(&place, 1).await;
    assert_eq!(told.len(), 12_000);
    assert!(told.windows(2).all(|pair| pair[0].0 < pair[1].0), "none is told twice");
}

#[tokio::test]
async fn a_session_that_nobody_used_is_forgotten_and_its_mail_is_dropped() {
    let place = Place::new().await;
    let (node, mesh) = (place.node("edge").await, place.mesh("m").await);
    let (old, attached, young) = (
        place.session(mesh, "old").await,
        place.session(mesh, "attached").await,
        place.session(mesh, "young").await,
    );
    place.attach(attached, node).await;
    let age = "update session set seen_at = now() - interval '31 days' where mailbox = any($1)";
    place.run(age, &[&vec![old, attached]]).await;
    let seq = place.deliver(mesh, old, 0).await;
    let kept = place.deliver(mesh, young, 0).await;

    let n_gone = forget(&place.db, &ALL(), 30 * DAY).await.unwrap();

    assert_eq!((n_gone, forget(&place.db, &ALL(), 30 * DAY).await.unwrap()), (1, 0));
    assert_eq!(receipts(&place, 2).await, [(seq, old)]);
    assert_eq!(place.row("select seq from delivery", &[]).await.get::<_, i64>(0), kept);
    let rest = place.db.query("select mailbox from session order by 1", &[]).await.unwrap();
    assert_eq!(rest.iter().map(|row| row.get::<_, i64>(0)).collect::<Vec<_>>(), [attached, young]);
}

#[tokio::test]
async fn a_hooks_working_lapses_and_the_node_is_told() {
    let place = Place::new().await;
    let (node, mesh) = (place.node("edge").await, place.mesh("m").await);
    let mut listener = place.connector.listener().await.unwrap();
    listener.listen(node).await.unwrap();
    let mut sessions = Vec::new();
    for (status, source, age) in [
        ("working", "hook", 11.0),
        ("working", "hook", 9.0),
        ("working", "manual", 11.0),
        ("dnd", "hook", 11.0),
    ] {
        let session = place.session(mesh, &format!("{status}{source}{age}")).await;
        place.attach(session, node).await;
        let set = "update session set status = $2, status_source = $3,
                          status_at = now() - make_interval(secs => 60 * $4::float8)
                    where mailbox = $1";
        place.run(set, &[&session, &status, &source, &age]).await;
        sessions.push(session);
    }
    let ten_minutes = Duration::from_secs(600);

    let lapsed = lapse(&place.db, &ALL(), ten_minutes).await.unwrap();

    assert_eq!(lapsed, [sessions[0]]);
    assert_eq!(lapse(&place.db, &ALL(), ten_minutes).await.unwrap(), [0_i64; 0]);
    let row = place
        .row("select status, status_source from session where mailbox = $1", &[&sessions[0]])
        .await;
    assert_eq!((row.get(0), row.get(1)), ("idle", "jsonl"));
    let heard = tokio::time::timeout(SOON, listener.notifications.recv()).await.unwrap().unwrap();
    let heard: serde_json::Value = serde_json::from_str(&heard.payload).unwrap();
    assert_eq!(heard, serde_json::json!({ "k": "status", "session": sessions[0] }));
}
