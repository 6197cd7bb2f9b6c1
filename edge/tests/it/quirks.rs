//! Quirks of the reference that are kept (wire-protocol 11, marked K), each by its number.

use serde_json::{Value, json};
use skein_crypto::Keypair;

use crate::harness::{OLD, OURS, Peer, TestMesh};

#[tokio::test]
async fn q14_messages_are_routed_by_both_keys() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.peer("bob", 1).await);
    let member_key = bob.member.keys.public.hex();

    ann.message(&bob.key(), "next", "to the session").await;
    ann.message(&member_key, "next", "to the member").await;

    assert_eq!(bob.push().await["ciphertext"], "to the session");
    assert_eq!(bob.push().await["ciphertext"], "to the member");
}

#[tokio::test]
async fn q15_what_was_sent_to_an_old_session_key_waits_for_that_key_and_member_mail_survives() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    let (member, session) = (bob.member.clone(), bob.session.clone());
    bob.close().await;
    ann.message(&session.public.hex(), "next", "to the old session").await;
    ann.message(&member.keys.public.hex(), "next", "to the member").await;

    let mut new = Peer::connect(&mesh.edges[0], &member, Keypair::generate(), OURS).await;

    assert_eq!(new.push().await["ciphertext"], "to the member");
    assert_eq!(new.quiet(|f| f["nonce"] == "n").await, Vec::<Value>::new());
    let mut old = Peer::connect(&mesh.edges[0], &member, session, OLD).await;
    assert_eq!(old.welcome["type"], "hello_ack");
    assert_eq!(old.push().await["ciphertext"], "to the old session");
}

#[tokio::test]
async fn q16_multicasts_ignore_status_and_priority() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    bob.send(&json!({"type": "join_group", "name": "dev"})).await;

    for status in ["working", "dnd", "idle"] {
        bob.send(&json!({"type": "set_status", "status": status})).await;
        bob.rest().await;
        for (target, priority) in [("*", "low"), ("@all", "next"), ("@dev", "low")] {
            let body = format!("{status} {target}");
            ann.message(target, priority, &body).await;
            let push = bob.push().await;
            assert_eq!((&push["ciphertext"], &push["priority"]), (&json!(body), &json!(priority)));
        }
    }
}

#[tokio::test]
async fn q16_an_old_client_never_gets_a_multicast_of_its_absence() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    let (member, session) = (bob.member.clone(), bob.session.clone());
    bob.close().await;
    mesh.until("select count(*) from presence", "1").await;
    ann.message("*", "now", "missed").await;

    let mut bob = Peer::connect(&mesh.edges[0], &member, session, OLD).await;
    ann.message("*", "now", "heard").await;

    assert_eq!(bob.push().await["ciphertext"], "heard");
}

#[tokio::test]
async fn low_is_pushed_as_next_is() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    ann.message(&bob.key(), "low", "at once").await;
    assert_eq!(bob.push().await["ciphertext"], "at once");

    bob.send(&json!({"type": "set_status", "status": "working"})).await;
    bob.rest().await;
    for priority in ["low", "next"] {
        ann.message(&bob.key(), priority, priority).await;
    }
    assert_eq!(bob.quiet(|f| f["nonce"] == "n").await, Vec::<Value>::new());
    bob.send(&json!({"type": "set_status", "status": "idle"})).await;

    for priority in ["low", "next"] {
        assert_eq!(bob.push().await["priority"], priority, "in the order they were sent");
    }
}

#[tokio::test]
async fn all_is_everybody_but_the_sender_its_other_sessions_included() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let member = ann.member.clone();
    let mut sibling = Peer::connect(&mesh.edges[1], &member, Keypair::generate(), OLD).await;

    for target in ["*", "@all"] {
        ann.message(target, "next", target).await;
        for peer in [&mut bob, &mut sibling] {
            assert_eq!(peer.push().await["ciphertext"], target);
        }
    }

    assert_eq!(ann.quiet(|f| f["nonce"] == "n").await, Vec::<Value>::new());
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
async fn message_status_keeps_the_contracts_words() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    bob.send(&json!({"type": "set_status", "status": "dnd"})).await;
    bob.rest().await;
    let (key, member, session) = (bob.key(), bob.member.clone(), bob.session.clone());
    let id = ann.message(&key, "next", "x").await["messageId"].clone();
    let ask = json!({"type": "message_status", "messageId": id, "_reqId": "r"});
    let status = |word: &str, at: &Value| {
        json!({"type": "message_status_result", "messageId": id, "targetSpec": key,
               "delivered": word == "delivered", "deliveredAt": at, "_reqId": "r",
               "recipients": [{"name": "bob", "pubkey": key, "status": word}]})
    };

    ann.send(&ask).await;
    assert_eq!(ann.find(|f| f["_reqId"] == "r").await, status("held", &json!(null)));
    bob.close().await;
    mesh.until("select count(*) from presence", "1").await;
    ann.send(&ask).await;
    assert_eq!(ann.find(|f| f["_reqId"] == "r").await, status("disconnected", &json!(null)));
    let mut bob = Peer::connect(&mesh.edges[0], &member, session, OLD).await;
    bob.push().await;
    // Reading on answers the ping that settles it.
    bob.quiet(|_| false).await;
    mesh.until("select count(*) from delivery", "0").await;
    ann.send(&ask).await;
    let answer = ann.find(|f| f["_reqId"] == "r").await;
    assert_eq!(answer, status("delivered", &answer["deliveredAt"]));
    assert!(answer["deliveredAt"].as_str().is_some_and(|at| at.len() == 24), "{answer}");
}
