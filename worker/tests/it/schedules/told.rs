//! What is told after a fire: each node once, under the worker's own counter.

use serde_json::{Value, json};
use skein_sql::{Listener, schedules::New};

use super::{Maker, now, place};
use crate::place::{Place, SOON};

/// A session at a node that listens, and its member as a maker of schedules.
async fn attached(place: &Place) -> (Listener, i32, i64, Maker) {
    let node = place.node("edge").await;
    let session = place.session("ann", node).await;
    let read = "select s.mesh, s.member, s.key from session s where s.mailbox = $1";
    let row = place.row(read, &[&session]).await;
    let ann = Maker { mesh: row.get(0), member: row.get(1), key: row.get(2) };
    let listener = place.connector.listener().await.unwrap();
    listener.listen(node).await.unwrap();
    (listener, node, session, ann)
}

/// The next note of this kind.
async fn heard(listener: &mut Listener, kind: &str) -> Value {
    let hearing = async {
        loop {
            let heard = listener.notifications.recv().await.expect("the listener lives");
            let note: Value = serde_json::from_str(&heard.payload).unwrap();
            if note["k"] == kind {
                return note;
            }
        }
    };
    tokio::time::timeout(SOON, hearing).await.expect("a note comes soon")
}

#[tokio::test]
async fn a_node_is_told_of_its_sessions_messages_in_one_counted_series() {
    let place = place().await;
    let (mut listener, _, session, ann) = attached(&place).await;
    let _worker = place.worker();
    let mut counters = Vec::new();

    for target in [ann.key.as_str(), "*"] {
        let new = New { session, target, ..ann.reminder(now(&place).await) };
        ann.make(&place, new).await;
        let note = heard(&mut listener, "rows").await;

        let (told, logged) = (&note["d"][0], &note["l"][0]);
        if target == "*" {
            assert_eq!((&logged["t"], &logged["m"]), (&"*".into(), &ann.mesh.into()), "{note}");
        } else {
            assert_eq!((&told["r"], &told["o"]), (&session.into(), &session.into()), "{note}");
        }
        assert!(told.get("b").is_none() && logged.get("b").is_none(), "no body: {note}");
        counters.push((note["w"].as_i64().unwrap(), note["c"].as_u64().unwrap()));
    }

    assert_eq!(counters[0].0, counters[1].0, "the worker is the writer");
    assert_eq!((counters[0].1, counters[1].1), (1, 2));
}

#[tokio::test]
async fn a_creator_is_told_of_what_could_not_be_delivered_wherever_it_is() {
    let place = place().await;
    let (mut listener, _, session, ann) = attached(&place).await;
    let _worker = place.worker();
    let nobody = "5".repeat(64);

    let new = New { session, target: &nobody, ..ann.reminder(now(&place).await) };
    let id = ann.make(&place, new).await;
    let note = heard(&mut listener, "relay").await;

    let event = &note["l"][0]["event"];
    assert_eq!(event[0]["member"], ann.member);
    let frame: Value = serde_json::from_str(event[1]["here"].as_str().unwrap()).unwrap();
    assert_eq!((&frame["event"], &frame["subtype"]), (&"schedule_failed".into(), &"system".into()));
    assert_eq!(frame["eventData"]["scheduledId"], id.to_string());
    assert_eq!(frame["eventData"]["code"], "unknown_target");
}

#[tokio::test]
async fn a_creator_is_told_once_of_what_fails_at_one_moment() {
    let place = place().await;
    let (mut listener, _, session, ann) = attached(&place).await;
    let nobody = "5".repeat(64);
    let slot = now(&place).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        let new = New { session, target: &nobody, ..ann.reminder(slot) };
        ids.push(ann.make(&place, new).await);
    }

    let _worker = place.worker();
    for id in ids {
        ann.logged(&place, id, 1).await;
    }
    // What is told after all of that.
    ann.make(&place, New { session, ..ann.reminder(now(&place).await) }).await;
    let mut words = Vec::new();
    while words.len() < 2 {
        let heard = tokio::time::timeout(SOON, listener.notifications.recv()).await.unwrap();
        let note: Value = serde_json::from_str(&heard.unwrap().payload).unwrap();
        match note["k"].as_str() {
            Some("relay") => words.push((note["w"].clone(), note["c"].clone())),
            // And of another moment.
            Some("rows") => {
                let new = New { session, target: &nobody, ..ann.reminder(now(&place).await) };
                ann.make(&place, new).await;
            }
            _ => (),
        }
    }

    // Relays take what a writer counts upwards.
    let writer = "select id from node where kind = 'worker' and state = 'alive'";
    let writer: i32 = place.row(writer, &[]).await.get(0);
    assert_eq!(words, [(json!(writer), json!(1)), (json!(writer), json!(2))]);
}
