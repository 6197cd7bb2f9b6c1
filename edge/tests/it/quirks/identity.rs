//! Q23 to Q29 and Q41: who somebody is, what others are told of it, and what is kept.

use std::time::Duration;

use serde_json::{Value, json};
use skein_crypto::Keypair;

use crate::{
    harness::{OLD, Peer, TestMesh, pass},
    old::{
        client, member,
        peer::{Client, Config},
        url,
    },
};

#[tokio::test]
async fn q23_a_hello_is_good_for_its_own_member_id() {
    let mesh = TestMesh::start(1).await;
    let (ann, bob) = (member(&mesh, "ann", 0).await, member(&mesh, "bob", 0).await);

    let borrowed = Client::start(&Config { member_id: bob.member_id, ..ann.clone() });

    assert_eq!(borrowed.closes(0).await, [(1008, "unauthorized".to_owned())]);
    let own = Client::open(&ann).await;
    assert_eq!(own.me().await["displayName"], "ann");
}

#[tokio::test]
async fn q24_a_member_that_was_here_before_returns_even_as_another_session() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    bob.send(&json!({"type": "set_summary", "summary": "tests"})).await;
    bob.rest().await;
    let member = bob.member.clone();
    bob.close().await;
    ann.event("peer_left").await;

    let session = Keypair::generate();
    let bob = Peer::connect(&mesh.edges[1], &member, session, OLD).await;

    let event = ann.event("peer_returned").await;
    assert_eq!(
        event["eventData"],
        json!({
            "name": "bob", "pubkey": bob.key(), "groups": [], "summary": "tests",
            "lastSeenAt": bob.welcome["lastSeenAt"],
        })
    );
}

#[tokio::test]
async fn q25_events_carry_name() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    let bob = mesh.old_peer("bob", 0).await;
    assert_eq!(ann.event("peer_joined").await["eventData"]["name"], "bob");
    bob.close().await;
    assert_eq!(ann.event("peer_left").await["eventData"]["name"], "bob");
}

#[tokio::test]
async fn q27_events_and_lists_have_the_sessions_name() {
    let mesh = TestMesh::start(2).await;
    let watcher = client(&mesh, "watcher", 0).await;
    let enrolled = member(&mesh, "host-4711", 1).await;
    let named = Config { display_name: Some("Ann".to_owned()), ..enrolled.clone() };
    let unnamed = Config { display_name: None, ..enrolled };

    for (config, name) in [(named, "Ann"), (unnamed, "host-4711")] {
        let client = Client::open(&config).await;
        assert_eq!(client.opened().await["memberDisplayName"], name);
        let told = watcher.inbound(|push| push.raw["eventData"]["pubkey"] == client.key()).await;
        assert_eq!(told.raw["eventData"]["name"], name);
        assert_eq!(watcher.find(name).await.unwrap()["pubkey"], client.key());
        let id = watcher.send(client.key(), "x", "next").await.unwrap();
        client.text().await;
        let status = watcher.status_of(&id).await.unwrap();
        assert_eq!(status["recipients"][0]["name"], name);
        let key = client.key().to_owned();
        client.close().await;
        assert_eq!(watcher.event("peer_left", &key).await.raw["eventData"]["name"], name);
    }
}

#[tokio::test]
async fn q28_sessions_of_a_member_keep_their_own_state() {
    let mesh = TestMesh::start(2).await;
    let (ann, config) = (client(&mesh, "ann", 0).await, member(&mesh, "bob", 0).await);
    let one = Client::open(&config).await;
    one.join_group("dev");
    one.set_visible(false);
    one.set_summary("one");
    one.peers().await;
    let other = Client::open(&Config { broker_url: url(&mesh, 1), ..config }).await;
    let me = other.me().await;
    assert_eq!((&me["groups"], &me["visible"]), (&json!([]), &json!(true)), "nothing leaks");
    other.join_group("ops");
    other.set_summary("other");
    other.peers().await;

    // Both lose their connection, and each gets back what was its own.
    one.lose().await;
    other.lose().await;
    mesh.until("select count(*) from presence", "1").await;
    for (client, group, summary) in [(&one, "dev", "one"), (&other, "ops", "other")] {
        let welcome = client.hurry().await;
        assert_eq!(welcome["restoredGroups"], json!([{"name": group}]));
        assert_eq!(welcome["lastSummary"], summary);
    }
    assert_eq!(ann.find("bob").await.unwrap()["pubkey"], other.key(), "one is hidden still");
}

#[tokio::test]
async fn q29_a_silent_socket_is_closed_and_its_session_is_listed_when_it_is_back() {
    let mesh = TestMesh::start(2).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, client(&mesh, "bob", 1).await);
    bob.stop();
    for n in 1..=2 {
        pass(Duration::from_secs(30)).await;
        ann.pinged(n).await;
        ann.peers().await;
    }
    pass(Duration::from_secs(16)).await;
    mesh.until("select count(*) from presence", "1").await;

    // Nothing is pushed where nobody reads: it waits.
    let id = ann.send(bob.key(), "are you there?", "now").await.unwrap();
    let status = ann.status_of(&id).await.unwrap();
    assert_eq!(status["recipients"][0]["status"], "disconnected");
    bob.lose().await;
    bob.hurry().await;

    assert_eq!(bob.text().await, "are you there?");
    assert_eq!(ann.find("bob").await.unwrap()["pubkey"], bob.key());
    ann.send("*", "all", "next").await.unwrap();
    assert_eq!(bob.text().await, "all");
}

#[tokio::test]
async fn q41_what_has_no_confirmation_is_done_all_the_same() {
    let mesh = TestMesh::start(2).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, client(&mesh, "bob", 1).await);

    // The client reports success as soon as these are written; what it asks next comes after them.
    bob.join_group("dev");
    bob.join_group("ops");
    bob.tell(&json!({"type": "leave_group", "name": "dev"}));
    bob.set_summary("done");
    bob.set_status("dnd");
    let sent = bob.begin(ann.key(), "after all that", "next");

    let me = bob.me().await;
    assert_eq!((&me["groups"], &me["summary"]), (&json!([{"name": "ops"}]), &json!("done")));
    assert_eq!(me["status"], "dnd");
    sent.await.unwrap();
    assert_eq!(ann.text().await, "after all that");
    assert_eq!(bob.strays().await, Vec::<Value>::new());
}
