//! What is told of a watch, and to whom.

use serde_json::{Value, json};
use skein_crypto::Keypair;

use super::{see, watch};
use crate::harness::{OLD, OURS, Peer, TestMesh};

fn step(push: &Value) -> (&Value, &Value) {
    (&push["eventData"]["oldValue"], &push["eventData"]["newValue"])
}

#[tokio::test]
async fn every_session_of_the_member_is_told_on_any_edge_in_the_contracts_form() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.peer("ann", 0).await;
    let member = ann.member.clone();
    let mut old = Peer::connect(&mesh.edges[1], &member, Keypair::generate(), OLD).await;
    let mut bob = mesh.peer("bob", 1).await;
    let call = json!({"url": "https://a.example/", "label": "site"});
    let id = watch(&mut old, call).await["watchId"].clone();

    see(&mesh, "one").await;
    see(&mesh, "two").await;

    for peer in [&mut ann, &mut old] {
        let push = peer.event("watch_triggered").await;
        let expected = json!({
            "type": "push", "messageId": push["messageId"], "meshId": mesh.id,
            "senderPubkey": "system", "priority": "now", "nonce": "", "ciphertext": "",
            "createdAt": push["createdAt"], "subtype": "system", "event": "watch_triggered",
            "eventData": {"watchId": id, "url": "https://a.example/", "label": "site",
                          "createdBy": "ann", "mode": "hash", "oldValue": "one", "newValue": "two"},
        });
        assert_eq!(push, expected);
    }
    // An old client's pings are answered while it reads.
    assert_eq!(old.quiet(|f| f["event"] == "watch_triggered").await, Vec::<Value>::new());
    mesh.until("select count(*) from delivery", "0").await;
    assert_eq!(bob.quiet(|f| f["event"] == "watch_triggered").await, Vec::<Value>::new());
}

#[tokio::test]
async fn who_was_away_or_comes_back_on_another_edge_is_told_once() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.peer("ann", 0).await;
    watch(&mut ann, json!({"url": "https://a.example/"})).await;
    see(&mesh, "one").await;
    let (member, session) = (ann.member.clone(), ann.session.clone());
    ann.close().await;
    mesh.until("select count(*) from presence", "0").await;

    see(&mesh, "two").await;
    let mut ann = Peer::connect(&mesh.edges[1], &member, session, OURS).await;
    let first = ann.event("watch_triggered").await;
    see(&mesh, "three").await;
    let second = ann.event("watch_triggered").await;

    assert_eq!(step(&first), (&json!("one"), &json!("two")));
    assert_eq!(step(&second), (&json!("two"), &json!("three")));
    mesh.until("select count(*) from delivery", "0").await;
    let mut ann = ann.back(&mesh.edges[0], OURS).await;
    assert_eq!(ann.quiet(|f| f["event"] == "watch_triggered").await, Vec::<Value>::new());
}

#[tokio::test]
async fn q37_after_a_reconnect_a_watch_goes_on_without_being_made_again() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    watch(&mut ann, json!({"url": "https://a.example/"})).await;
    see(&mesh, "one").await;

    let mut ann = ann.back(&mesh.edges[1], OLD).await;
    see(&mesh, "two").await;

    let push = ann.event("watch_triggered").await;
    assert_eq!(step(&push), (&json!("one"), &json!("two")));
}

#[tokio::test]
async fn what_is_not_acknowledged_is_told_again() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    ann.acks = false;
    watch(&mut ann, json!({"url": "https://a.example/"})).await;
    see(&mesh, "one").await;
    see(&mesh, "two").await;
    let first = ann.event("watch_triggered").await;

    let mut ann = ann.back(&mesh.edges[0], OURS).await;
    let again = ann.event("watch_triggered").await;

    assert_eq!(first["messageId"], again["messageId"]);
    mesh.until("select count(*) from delivery", "0").await;
}

#[tokio::test]
async fn a_group_is_told_too_and_a_member_of_it_once() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let mut eve = mesh.peer("eve", 1).await;
    for peer in [&mut ann, &mut bob] {
        peer.send(&json!({"type": "join_group", "name": "dev/web"})).await;
        peer.peers().await;
    }
    watch(&mut ann, json!({"url": "https://a.example/", "group": "@dev"})).await;
    see(&mesh, "one").await;
    see(&mesh, "two").await;

    for peer in [&mut ann, &mut bob] {
        let push = peer.event("watch_triggered").await;
        assert_eq!(step(&push), (&json!("one"), &json!("two")));
        assert_eq!((&push["subtype"], &push["ciphertext"]), (&json!("system"), &json!("")));
        assert_eq!(peer.quiet(|f| f["event"] == "watch_triggered").await, Vec::<Value>::new());
    }
    assert_eq!(eve.quiet(|f| f["event"] == "watch_triggered").await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_revoked_members_watches_are_over() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    watch(&mut ann, json!({"url": "https://a.example/"})).await;

    let db = mesh.edges[0].edge.pool.get().await.unwrap();
    skein_sql::members::revoke(&db, mesh.no, &ann.member.id).await.unwrap().unwrap();

    assert_eq!(mesh.ask("select count(*) from watch").await.as_deref(), Some("0"));
}
