//! Messaging: stored before it is acknowledged, pushed once, settled when received.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::harness::{OURS, Peer, TestMesh};

#[tokio::test]
async fn a_direct_message_crosses_edges() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);

    let ack = ann.message(&bob.key(), "next", "hello").await;

    assert_eq!(
        (&ack["queued"], &ack["recipients"], &ack["online"]),
        (&json!(true), &json!(1), &json!(1))
    );
    let push = bob.push().await;
    assert_eq!(push["messageId"], ack["messageId"]);
    assert_eq!(push["senderPubkey"], json!(ann.key()));
    assert_eq!(
        (&push["ciphertext"], &push["nonce"], &push["priority"]),
        (&json!("hello"), &json!("n"), &json!("next"))
    );
    assert_eq!(push["meshId"], json!(mesh.id));
}

#[tokio::test]
async fn messages_wait_for_a_session_that_is_away_and_come_in_order() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let (key, member, session) = (bob.key(), bob.member.clone(), bob.session.clone());
    bob.close().await;
    for n in 0..300 {
        ann.message(&key, "next", &format!("m{n}")).await;
    }

    let mut bob = Peer::connect(&mesh.edges[0], &member, session, OURS).await;

    for n in 0..300 {
        assert_eq!(bob.push().await["ciphertext"], json!(format!("m{n}")));
    }
}

#[tokio::test]
async fn a_multicast_reaches_everybody_else_on_every_edge() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let mut cid = mesh.peer("cid", 0).await;

    let ack = ann.message("*", "low", "all").await;

    assert_eq!((&ack["recipients"], &ack["online"]), (&json!(2), &json!(2)));
    assert_eq!(bob.push().await["ciphertext"], json!("all"));
    assert_eq!(cid.push().await["ciphertext"], json!("all"));
    assert!(ann.quiet(|f| f["ciphertext"] == "all").await.is_empty(), "not to its sender");
}

#[tokio::test]
async fn a_session_of_ours_gets_the_multicasts_that_it_missed() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let (member, session) = (bob.member.clone(), bob.session.clone());
    ann.message("*", "next", "before").await;
    let mut bob = bob;
    assert_eq!(bob.push().await["ciphertext"], json!("before"));
    bob.close().await;
    ann.message("*", "next", "one").await;
    ann.message("*", "next", "two").await;

    let mut bob = Peer::connect(&mesh.edges[0], &member, session, OURS).await;

    assert_eq!(bob.find(|f| f["ciphertext"] == "one").await["targetSpec"], json!("*"));
    assert_eq!(bob.find(|f| f["ciphertext"] == "two").await["type"], json!("push"));
}

#[tokio::test]
async fn a_repeat_of_ours_is_acked_with_the_same_id_and_stored_once() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let id = "0123456789abcdef0123456789abcdef";

    let first = ann.message_with_id(id, &bob.key(), "next", "once").await;
    let again = ann.message_with_id(id, &bob.key(), "next", "once").await;
    let other = ann.message_with_id(id, &bob.key(), "next", "another").await;

    assert_eq!(first["messageId"], again["messageId"]);
    assert_eq!(other["code"], json!("id_reused"));
    assert_eq!(bob.push().await["ciphertext"], json!("once"));
    assert!(bob.quiet(|f| f["type"] == "push" && f["nonce"] == "n").await.is_empty());
}

#[tokio::test]
async fn an_old_client_may_use_the_same_id_for_different_messages() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 0).await);

    let first = ann.message_with_id("c1", &bob.key(), "next", "one").await;
    let second = ann.message_with_id("c1", &bob.key(), "next", "two").await;

    assert_ne!(first["messageId"], second["messageId"]);
    assert_eq!(bob.push().await["ciphertext"], json!("one"));
    assert_eq!(bob.push().await["ciphertext"], json!("two"));
}

#[tokio::test]
async fn an_unknown_key_a_name_and_a_bad_form_are_refused_with_the_sends_id() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;

    for target in ["00".repeat(32).as_str(), "bob", "#general", "tag:x", "@", &"AB".repeat(32)] {
        let error = ann.message_with_id("c9", target, "next", "x").await;
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!("error"), &json!("unknown_target")),
            "{target}"
        );
    }
}

#[tokio::test]
async fn an_old_clients_pushes_are_settled_by_its_pongs() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 0).await);

    let ack = ann.message(&bob.key(), "next", "x").await;
    bob.push().await;
    // Reading on answers the barrier's ping.
    bob.quiet(|_| false).await;

    let status = ann.call(json!({"type": "message_status", "messageId": ack["messageId"]})).await;
    assert_eq!(status["delivered"], json!(true), "{status}");
    assert_eq!(status["recipients"][0]["status"], json!("delivered"));
    assert_eq!(status["recipients"][0]["state"], json!("received"));
}

#[tokio::test]
async fn how_a_message_ended_is_not_made_up_once_its_receipt_is_gone() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let ack = ann.message(&bob.key(), "next", "x").await;
    bob.push().await;
    mesh.until("select count(*) from receipt", "1").await;

    mesh.run("truncate receipt").await;

    let status = ann.call(json!({"type": "message_status", "messageId": ack["messageId"]})).await;
    assert_eq!(status["code"], json!("not_found"), "{status}");
}

#[tokio::test]
async fn the_status_of_a_multicast_tells_which_sessions_have_it() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let mut carl = mesh.peer("carl", 1).await;

    let ack = ann.message("*", "next", "x").await;
    // Reading says `received`; carl does not read.
    bob.push().await;
    let _dora = mesh.peer("dora", 0).await;

    let ask = json!({"type": "message_status", "messageId": ack["messageId"]});
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let status = ann.call(ask.clone()).await;
        let states: HashMap<&str, &str> = status["recipients"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| (r["name"].as_str().unwrap(), r["state"].as_str().unwrap()))
            .collect();
        assert_eq!(status["delivered"], json!(true));
        assert_eq!((states["carl"], states["dora"]), ("stored", "stored"), "{status}");
        // Places are written with a look.
        if states["bob"] == "received" {
            break;
        }
        assert!(Instant::now() < deadline, "{status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(carl.push().await["messageId"], ack["messageId"]);
}

#[tokio::test]
async fn member_mail_goes_to_one_inbox_session_and_waits_for_one() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.peer("ann", 0).await;
    let member = mesh.member("bob").await;
    let key = member.keys.public.hex();
    let ack = ann.message(&key, "next", "waits").await;
    assert_eq!(ack["online"], json!(0));
    let one_shot = skein_crypto::Keypair::generate();
    let mut one_shot = Peer::connect(&mesh.edges[0], &member, one_shot, &["ack", "replies"]).await;
    assert!(one_shot.quiet(|f| f["ciphertext"] == "waits").await.is_empty());

    let session = skein_crypto::Keypair::generate();
    let mut inbox = Peer::connect(&mesh.edges[1], &member, session, OURS).await;

    assert_eq!(inbox.push().await["ciphertext"], json!("waits"));
    ann.message(&key, "next", "live").await;
    assert_eq!(inbox.push().await["ciphertext"], json!("live"));
}

#[tokio::test]
async fn what_is_held_is_released_when_the_status_allows_it() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    bob.send(&json!({"type": "set_status", "status": "dnd"})).await;
    bob.call(json!({"type": "list_peers"})).await;

    ann.message(&bob.key(), "next", "later").await;
    ann.message(&bob.key(), "now", "urgent").await;

    assert_eq!(bob.push().await["ciphertext"], json!("urgent"));
    assert!(bob.quiet(|f| f["ciphertext"] == "later").await.is_empty());
    bob.send(&json!({"type": "set_status", "status": "idle"})).await;
    assert_eq!(bob.push().await["ciphertext"], json!("later"));
}

#[tokio::test]
async fn a_session_that_moves_is_sent_again_what_its_old_socket_took() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    bob.acks = false;
    ann.message(&bob.key(), "next", "kept").await;
    let first = bob.push().await;

    let mut moved = Peer::connect(&mesh.edges[1], &bob.member, bob.session.clone(), OURS).await;

    assert_eq!(moved.push().await["messageId"], first["messageId"]);
    assert_eq!(bob.closed().await, 4409);
}

#[tokio::test]
async fn subgroups_hear_what_is_said_to_their_parent() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    bob.send(&json!({"type": "join_group", "name": "dev/backend"})).await;
    bob.call(json!({"type": "list_peers"})).await;

    ann.message("@dev", "next", "up").await;
    ann.message("@dev/backend", "next", "down").await;
    ann.message("@dev/frontend", "next", "aside").await;

    assert_eq!(bob.push().await["ciphertext"], json!("up"));
    assert_eq!(bob.push().await["ciphertext"], json!("down"));
    assert!(bob.quiet(|f| f["ciphertext"] == "aside").await.is_empty());
}

#[tokio::test]
async fn an_old_client_gets_no_word_of_ours() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 0).await);

    let ack = ann.message(&bob.key(), "next", "x").await;

    assert_eq!(ack.as_object().unwrap().len(), 4, "{ack}");
}
