//! URL watches in a whole deployment: the reference's own checks, and changes that are told once
//! each while the workers that look are killed.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use std::time::Duration;

use serde_json::{Value, json};
use skein_sql::duties::{self, Kind};
use skein_tests::{
    peer::{Caps, Raw},
    place::{Place, Setup},
};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;

/// How long anything that must happen may take.
const SOON: Duration = Duration::from_secs(60);
/// Watches of the second test; how often a worker dies, and how long that goes on.
const WATCHES: usize = 4;
const KILL_EVERY: Duration = Duration::from_secs(1);
const FOR: Duration = Duration::from_secs(8);

async fn place(workers: usize) -> Place {
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let environment = vec![set("SKEIN_FETCH_ALLOW", "127.0.0.0/8"), set("SKEIN_TEST_TARGETS", "1")];
    Place::start(Setup { edges: 2, workers, environment, ..Setup::default() }).await
}

/// Has every watch be looked at now.
async fn again(db: &Client) {
    db.execute("update watch set next_at = now()", &[]).await.unwrap();
    duties::wake(db, Kind::Watch).await.unwrap();
}

async fn until(db: &Client, query: &str) {
    let asking = async {
        while !db.query_one(query, &[]).await.unwrap().get::<_, bool>(0) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, asking).await.unwrap_or_else(|_| panic!("not in time: {query}"));
}

async fn call(peer: &mut Raw, mut frame: Value) -> Value {
    let id = format!("{:?}", Instant::now());
    frame["_reqId"] = json!(id);
    peer.send(&frame).await;
    peer.find("an answer", |answer| answer["_reqId"] == id.as_str()).await
}

/// The line in which clients show what was told.
fn line(push: &Value) -> String {
    let data = &push["eventData"];
    let word = |field: &str| data[field].as_str().unwrap().to_owned();
    let label = data["label"].as_str().map_or_else(|| word("url"), str::to_owned);
    format!("[WATCH] {label}: {} → {}", word("oldValue"), word("newValue"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_references_own_checks() {
    let place = place(2).await;
    let db = place.db().await;
    let identity = place.enrol(0, 0).await;
    let mut old = Raw::attach(&identity, Caps::Old).await;
    let mut ours = place.enrol(1, 1).await;
    // Another session of the same member, of our kind and on the other edge.
    (ours.member_id, ours.member) = (identity.member_id.clone(), identity.member.clone());
    let mut ours = Raw::attach(&ours, Caps::Ours).await;
    let at = format!("http://127.0.0.1:{}", place.edges[0].port);
    let mut ids = Vec::new();
    for (path, mode, extract) in [
        ("/test/flip", "json", Some("value")),
        ("/test/html", "hash", None),
        ("/health", "json", Some("$.status")),
    ] {
        let mut watch = json!({"type": "watch", "url": format!("{at}{path}"), "mode": mode,
                               "interval": 5, "label": path});
        if let Some(extract) = extract {
            watch["extract"] = json!(extract);
        }
        let ack = call(&mut old, watch).await;
        assert_eq!((&ack["type"], &ack["interval"]), (&json!("watch_ack"), &json!(5)));
        ids.push(ack["watchId"].clone());
    }

    until(&db, "select min(check_no) > 0 from watch").await;
    let told = "select count(distinct ciphertext) >= 2 from message where sender_key = 'system'
                   and convert_from(decode(ciphertext, 'base64'), 'utf8') like '%/test/flip%'";
    let flipping = timeout(SOON, async {
        while !db.query_one(told, &[]).await.unwrap().get::<_, bool>(0) {
            again(&db).await;
            sleep(Duration::from_millis(300)).await;
        }
    });
    flipping.await.expect("a coin falls on its other side");

    let listed = call(&mut ours, json!({"type": "watch_list"})).await;
    let listed = listed["watches"].as_array().unwrap();
    assert_eq!(listed.len(), 3);
    for watch in listed {
        assert!(!watch["lastValue"].as_str().unwrap().is_empty(), "{watch}");
        assert!(watch["lastCheck"].as_str().unwrap().ends_with('Z'), "{watch}");
        assert_eq!(watch["status"], "ok", "{watch}");
    }
    assert_eq!(listed[2]["lastValue"], "ok");
    for peer in [&mut old, &mut ours] {
        for label in ["/test/flip", "/test/html"] {
            let push =
                peer.find("a notification", |frame| frame["eventData"]["label"] == label).await;
            assert_eq!(
                (&push["event"], &push["subtype"]),
                (&json!("watch_triggered"), &json!("system"))
            );
            let line = line(&push);
            let (old, new) = line.split_once(": ").unwrap().1.split_once(" → ").unwrap();
            assert!(old != new && !old.is_empty() && !new.is_empty(), "{line}");
            if label == "/test/flip" {
                assert!(["heads", "tails"].contains(&old) && ["heads", "tails"].contains(&new));
            }
        }
    }

    for id in ids {
        let ended = call(&mut old, json!({"type": "unwatch", "watchId": id})).await;
        assert_eq!(ended["interval"], 0);
    }
    let listed = call(&mut old, json!({"type": "watch_list"})).await;
    assert_eq!(listed["watches"], json!([]));
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_told_once_while_workers_are_killed() {
    let mut place = place(3).await;
    let db = place.db().await;
    let identity = place.enrol(0, 0).await;
    let mut ann = Raw::attach(&identity, Caps::Ours).await;
    let pages = format!("http://127.0.0.1:{}/test/html", place.edges[1].port);
    for n in 0..WATCHES {
        let label = n.to_string();
        let watch = json!({"type": "watch", "url": pages, "interval": 3600, "label": label});
        assert_eq!(call(&mut ann, watch).await["type"], "watch_ack");
    }
    until(&db, "select min(check_no) > 0 from watch").await;

    let (began, mut killed_at, mut n_killed) = (Instant::now(), Instant::now(), 0);
    while began.elapsed() < FOR {
        again(&db).await;
        sleep(Duration::from_millis(50)).await;
        if killed_at.elapsed() > KILL_EVERY {
            let index = n_killed % 3;
            if let Some(worker) = place.workers[index].take() {
                worker.kill().await;
            }
            place.start_worker(index, None);
            (killed_at, n_killed) = (Instant::now(), n_killed + 1);
        }
    }
    let before = place.count("select min(check_no) from watch").await;
    again(&db).await;
    until(&db, &format!("select min(check_no) > {before} from watch")).await;

    // From what was received: each step begins where the one before it ended.
    let stored = "select count(*) from message where sender_key = 'system' and target = $1";
    let key = identity.member.public.hex();
    let mut last: Vec<Option<String>> = vec![None; WATCHES];
    let mut n_steps = 0;
    loop {
        // To its session, and to the member's mailbox, as this one takes no mail of its member.
        let n_stored: i64 = db.query_one(stored, &[&key]).await.unwrap().get(0);
        if n_steps == n_stored / 2 {
            break;
        }
        let push = ann.find("a step", |frame| frame["event"] == "watch_triggered").await;
        ann.received(&[push["messageId"].as_str().unwrap()]).await;
        let data = &push["eventData"];
        let of = data["label"].as_str().unwrap().parse::<usize>().unwrap();
        let (old, new) = (data["oldValue"].as_str().unwrap(), data["newValue"].as_str().unwrap());
        if let Some(last) = &last[of] {
            assert_eq!(last, old, "watch {of} after {n_steps} steps");
        }
        last[of] = Some(new.to_owned());
        n_steps += 1;
    }
    println!("{n_steps} steps of {WATCHES} watches, {n_killed} workers killed");
    // One host is asked ten times a second.
    assert!(n_killed >= 5 && n_steps >= 20, "{n_killed} killed, {n_steps} steps");
    place.stop().await;
}
