//! `skein watch`: added, tried, listed, told of, ended.

use serde_json::{Value, json};
use skein::client::Incoming;
use skein::client::message::Message;

use crate::edge::{self, Edge, settled};
use crate::place::{Follower, Place, fails, json, skein, wait};

#[tokio::test]
async fn a_watch_tells_of_a_change_as_mail_and_lists_what_it_saw() {
    let place = Place::with_worker(1).await;
    let owner = place.owner();
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", place.ports[0]);
    let (page, flip, health) = (url("/test/html"), url("/test/flip"), url("/health"));
    let tried = json(&owner, &["watch", "test", &flip, "--extract", "value"]);
    assert_eq!(tried["status"], 200);
    assert!(["heads", "tails"].contains(&tried["value"].as_str().unwrap()), "{tried}");
    let (seen, error) = fails(&owner, &["watch", "test", "http://127.0.0.1:1/"], 1);
    assert!(error["code"] == "unwell" && seen["status"] == 0, "{error} {seen}");

    let follower = Follower::start(&owner);
    let added = ["--every", "5s", "--label", "the page", "--header", "X-Key: hidden"];
    let made = json(&owner, &[&["watch", "add", &page][..], &added].concat());
    assert_eq!((&made["mode"], &made["interval"]), (&json!("hash"), &json!(5)));
    let id = made["watchId"].as_str().unwrap();
    json(&owner, &["watch", "add", &health, "--mode", "status", "--on", "not_match:200"]);
    let is_it = |one: &&Value| one["event"] == "watch_triggered";
    let told = wait("the change is told", || {
        json(&owner, &["inbox", "--all"]).as_array().unwrap().iter().find(is_it).cloned()
    });
    let told = told.await;
    follower.end();

    let data = &told["eventData"];
    assert_eq!((&data["watchId"], &data["label"]), (&json!(id), &json!("the page")));
    let line = format!("[WATCH] the page: {} → ", data["oldValue"].as_str().unwrap());
    let inbox = skein(&owner, &["inbox", "--all"]).output().unwrap();
    let inbox = String::from_utf8(inbox.stdout).unwrap();
    assert!(inbox.contains(&line), "{inbox}");
    let begins = &id[..id.len() - 4];
    let listed = json(&owner, &["watch", "list"]);
    assert_eq!(listed["watches"].as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains("hidden"), "{listed}");
    let shown = skein(&owner, &["watch", "show", begins]).env("TZ", "Europe/Berlin").output();
    let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
    assert!(shown.starts_with(&format!("the page  ok  {id}\n")), "{shown}");
    for row in ["\n  look     hash of http", "\n  value    ", " ago  ", " CE", "\n  next     in "] {
        assert!(shown.contains(row), "{row}: {shown}");
    }
    assert!(shown.contains("\n  headers  X-Key (values are never shown)\n"), "{shown}");

    assert_eq!(json(&owner, &["watch", "rm", begins])["removed"], true);
    assert_eq!(json(&owner, &["watch", "list"])["watches"][0]["lastValue"], "200");
    assert_eq!(fails(&owner, &["watch", "rm", id], 5).1["code"], "watch_not_found");
    assert_eq!(fails(&owner, &["watch", "show", "zz"], 3).1["code"], "not_found");
}

#[tokio::test]
async fn an_admin_ends_the_watch_of_another_by_its_whole_id() {
    let place = Place::start(1).await;
    let owner = place.owner();
    let (ann, bob) = (place.member(&owner, "ann"), place.member(&owner, "bob"));
    let made = json(&ann, &["watch", "add", "https://example.org/", "--label", "page"]);
    let id = made["watchId"].as_str().unwrap();

    let (_, error) = fails(&owner, &["watch", "rm", &id[..6]], 3);
    assert_eq!(error["code"], "not_found");
    assert!(error["hint"].as_str().unwrap().contains("an admin ends another's by its whole id"));
    let (_, error) = fails(&bob, &["watch", "rm", id], 5);
    assert_eq!(error["code"], "forbidden", "{error}");
    let audit = json(&owner, &["audit", "list", "--event", "watch_created"]);
    assert!(audit.to_string().contains(id), "that is where an admin finds it: {audit}");

    assert_eq!(json(&owner, &["watch", "rm", id])["removed"], true);
    assert_eq!(json(&ann, &["watch", "list"])["watches"], json!([]));
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused_with_the_reason() {
    let place = Place::start(1).await;
    let owner = place.owner();
    for (args, exit, code) in [
        (&["watch", "add", "http://127.0.0.1/"][..], 5, "url_refused"),
        (&["watch", "add", "http://169.254.169.254/"], 5, "url_refused"),
        (&["watch", "add", "ftp://example.org/"], 5, "invalid_url"),
        (&["watch", "add", "https://example.org/", "--on", "sometimes"], 2, "usage"),
        (&["watch", "add", "https://example.org/", "--header", "nothing"], 2, "usage"),
        (&["watch", "add", "https://example.org/", "--every", "soon"], 2, "usage"),
    ] {
        let (_, error) = fails(&owner, args, exit);
        assert_eq!(error["code"], code, "{args:?}: {error}");
    }
}

#[tokio::test]
async fn what_a_watch_tells_is_settled_like_a_message_and_comes_once() {
    let edge = Edge::start().await;
    let (client, mut pushes, mut peer) = edge::attached(&edge, edge::config(&[&edge])).await;
    let event = |id: &str, event: &str| {
        json!({
            "type": "push", "messageId": id, "meshId": "mesh-1", "senderPubkey": "system",
            "priority": "now", "nonce": "", "ciphertext": "AAAA", "subtype": "system",
            "event": event, "eventData": {"label": "a"}, "createdAt": "2026-01-01T00:00:00.000Z",
        })
    };

    for (id, name) in
        [("1", "watch_triggered"), ("1", "watch_triggered"), ("2", "watch_failing"), ("3", "tick")]
    {
        peer.send(event(id, name)).await;
    }
    let said = settled(&client, &mut peer).await;

    let ids = said.iter().flat_map(|frame| frame["messageIds"].as_array().unwrap());
    assert_eq!(ids.collect::<Vec<_>>(), ["1", "1", "2"], "a tick is settled by nobody");
    let mut came: Vec<Message> = Vec::new();
    let mut n_events = 0;
    while let Some(incoming) = pushes.try_next() {
        match incoming {
            Incoming::Message(message) => came.push(*message),
            Incoming::Event(_) => n_events += 1,
            _ => (),
        }
    }
    let events: Vec<_> = came.iter().map(|one| one.as_event().unwrap().event).collect();
    assert_eq!((events, n_events), (vec!["watch_triggered".into(), "watch_failing".into()], 1));
    assert!(came.iter().all(|one| one.text.is_none() && one.problem.is_none()));
}
