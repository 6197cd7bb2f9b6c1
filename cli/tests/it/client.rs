//! The client against a scripted edge: what it repeats, what it settles, where it goes.

use std::collections::HashSet;

use serde_json::json;
use skein::client::{Client, Closed, Incoming, Keep, RequestError, SendError, State};
use skein_crypto::direct::Pairs;
use skein_crypto::{Keypair, Public, hello, plain};
use skein_wire::hello::Caps;
use skein_wire::limit::{OUTBOUND_MAX, PUSHES_MAX};
use skein_wire::presence::{ListPeers, SetSummary};
use skein_wire::{Code, Priority};
use tokio::time::timeout;

use crate::edge::{DEADLINE, Edge, attached, config, push, settled, text, until};

#[tokio::test]
async fn a_hello_is_signed_and_proves_its_session() {
    let edge = Edge::start().await;
    let config = config(&[&edge]);
    let (member, session) = (config.member.public, config.session.public);
    let (_client, _pushes) = Client::start(config);

    let said = edge.greeted().await.hello;

    let text = |field: &str| said[field].as_str().unwrap();
    let timestamp = said["timestamp"].as_i64().unwrap();
    assert_eq!(
        hello::verify("mesh-1", "member-1", text("pubkey"), timestamp, text("signature")),
        Ok(member)
    );
    assert_eq!(said["caps"], json!(["ack", "replies"]));
    let proof: skein_crypto::proof::SessionProof =
        serde_json::from_value(said["sessionProof"].clone()).unwrap();
    assert_eq!(proof.verify(&member, "mesh-1", &session, timestamp), Ok(()));
    assert!(text("client").starts_with("skein/"));
}

#[tokio::test]
async fn unacked_sends_are_repeated_on_another_edge_under_their_ids_in_order() {
    let (first, second) = (Edge::start().await, Edge::start().await);
    let (client, _pushes, mut peer) = attached(&first, config(&[&first, &second])).await;
    let sends = ["1", "2", "3"].map(|text| client.send("*", Priority::Now, text));
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(peer.receive().await);
    }
    peer.ack(&seen[1]).await;
    let [one, two, three] = sends;
    assert!(timeout(DEADLINE, two).await.unwrap().is_ok());

    drop(peer);
    let mut peer = second.attached().await;
    let four = client.send("*", Priority::Now, "4");

    let mut again = Vec::new();
    for _ in 0..3 {
        let frame = peer.receive().await;
        peer.ack(&frame).await;
        again.push(frame);
    }
    assert_eq!(again[0], seen[0]);
    assert_eq!(again[1], seen[2]);
    assert_eq!(again[2]["ciphertext"], plain::encode("4"));
    for send in [one, three, four] {
        assert!(timeout(DEADLINE, send).await.unwrap().is_ok());
    }
    let ids: HashSet<_> = seen.iter().chain([&again[2]]).map(|f| f["id"].to_string()).collect();
    assert_eq!(ids.len(), 4);
    assert_eq!(client.unacked(), 0);
}

#[tokio::test]
async fn without_a_connection_a_hundred_sends_wait_and_the_next_is_refused() {
    let edge = Edge::start().await;
    let (client, _pushes) = Client::start(config(&[&edge]));
    let waiting: Vec<_> =
        (0..OUTBOUND_MAX).map(|n| client.send("*", Priority::Low, &n.to_string())).collect();

    let refused = client.send("*", Priority::Low, "one more").await;

    assert_eq!(refused, Err(SendError::QueueFull));
    let mut peer = edge.attached().await;
    for n in 0..OUTBOUND_MAX {
        let frame = peer.receive().await;
        assert_eq!(frame["ciphertext"], plain::encode(&n.to_string()));
        peer.ack(&frame).await;
    }
    for send in waiting {
        assert!(timeout(DEADLINE, send).await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn a_refused_send_fails_alone_and_a_superseded_one_is_sent_again() {
    let edge = Edge::start().await;
    let (client, _pushes, mut peer) = attached(&edge, config(&[&edge])).await;
    let full = client.send("*", Priority::Now, "full");
    let moved = client.send("*", Priority::Now, "moved");
    let error = |id: &serde_json::Value, code: Code| {
        let code = code.as_str();
        json!({"type": "error", "code": code, "message": "x", "id": id})
    };

    let frame = peer.receive().await;
    peer.send(error(&frame["id"], Code::MailboxFull)).await;
    let Err(SendError::Refused(refusal)) = timeout(DEADLINE, full).await.unwrap() else {
        panic!("a full mailbox refuses");
    };
    assert_eq!(refusal.code, Code::MailboxFull.as_str());

    let frame = peer.receive().await;
    peer.send(error(&frame["id"], Code::Superseded)).await;
    let mut peer = edge.attached().await;
    assert_eq!(peer.receive().await, frame);
    peer.ack(&frame).await;
    assert!(timeout(DEADLINE, moved).await.unwrap().is_ok());
}

#[tokio::test]
async fn messages_are_received_only_when_on_disk_and_come_through_once_also_after_a_restart() {
    let edge = Edge::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&[&edge]);
    config.keep = Keep::Disk(dir.path().to_owned());
    let (client, mut pushes, mut peer) = attached(&edge, config.clone()).await;
    for id in ["m1", "m2", "m1"] {
        peer.push(id, id).await;
    }

    assert_eq!(peer.received(3).await, ["m1", "m2", "m1"]);
    assert_eq!(text(&mut pushes).await, "m1");
    assert_eq!(text(&mut pushes).await, "m2");
    client.close().await;
    let (_client, mut pushes, mut peer) = attached(&edge, config).await;
    for id in ["m1", "m2", "m3"] {
        peer.push(id, id).await;
    }

    assert_eq!(peer.received(3).await, ["m1", "m2", "m3"]);
    assert_eq!(text(&mut pushes).await, "m3");
}

#[tokio::test]
async fn nothing_is_received_while_the_disk_refuses() {
    let edge = Edge::start().await;
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("file");
    std::fs::write(&blocked, "a file is no folder").unwrap();
    let mut config = config(&[&edge]);
    config.keep = Keep::Disk(blocked.clone());
    let (client, mut pushes, mut peer) = attached(&edge, config).await;
    peer.push("m1", "m1").await;
    assert_eq!(settled(&client, &mut peer).await, [json!(null); 0]);

    drop(peer);
    std::fs::remove_file(&blocked).unwrap();
    let mut peer = edge.attached().await;
    peer.push("m1", "m1").await;

    assert_eq!(peer.received(1).await, ["m1"]);
    assert_eq!(text(&mut pushes).await, "m1");
}

#[tokio::test]
async fn a_consumer_that_is_behind_holds_received_back_until_it_catches_up() {
    let edge = Edge::start().await;
    let (client, mut pushes, mut peer) = attached(&edge, config(&[&edge])).await;
    let count = PUSHES_MAX + 10;
    for n in 0..count {
        peer.push(&format!("m{n}"), "x").await;
    }
    let said = settled(&client, &mut peer).await;
    let ids: usize = said.iter().map(|f| f["messageIds"].as_array().unwrap().len()).sum();
    assert!(ids < count, "some must be held back");

    for _ in 0..count {
        text(&mut pushes).await;
    }

    assert_eq!(peer.received(count - ids).await.len(), count - ids);
}

#[tokio::test]
async fn a_direct_message_opens_for_session_or_member_and_is_otherwise_never_text() {
    let edge = Edge::start().await;
    let config = config(&[&edge]);
    let ann = Keypair::generate();
    let seals = Pairs::new(&ann.secret);
    let frame = |id: &str, nonce: &str, ciphertext: &str| {
        let mut frame = push(id, "");
        frame["senderPubkey"] = ann.public.hex().into();
        frame["nonce"] = nonce.into();
        frame["ciphertext"] = ciphertext.into();
        frame.as_object_mut().unwrap().remove("targetSpec");
        frame
    };
    let (to_session, to_member) = (config.session.public, config.member.public);
    let (_client, mut pushes, mut peer) = attached(&edge, config).await;

    for (id, key) in [("m1", &to_session), ("m2", &to_member)] {
        let sealed = seals.seal(key, "hello").unwrap();
        peer.send(frame(id, &sealed.nonce, &sealed.ciphertext)).await;
        assert_eq!(text(&mut pushes).await, "hello");
    }
    let forged = seals.seal(&Keypair::generate().public, "x").unwrap();
    peer.send(frame("m3", &forged.nonce, &plain::encode("send me the keys"))).await;

    let message = timeout(DEADLINE, pushes.message()).await.unwrap().unwrap();
    assert_eq!(message.text, None);
    assert!(message.problem.unwrap().contains(&ann.public.hex()));
    assert!(message.sealed.is_some());
    assert_eq!(peer.received(3).await, ["m1", "m2", "m3"]);
}

#[tokio::test]
async fn a_multicast_of_an_old_client_is_read_although_it_has_a_nonce() {
    let edge = Edge::start().await;
    let (_client, mut pushes, mut peer) = attached(&edge, config(&[&edge])).await;
    let mut frame = push("m1", "hello all");
    frame["nonce"] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX".into();

    peer.send(frame).await;

    assert_eq!(text(&mut pushes).await, "hello all");
}

#[tokio::test]
async fn a_session_that_is_taken_over_stays_away() {
    let edge = Edge::start().await;
    let (client, mut pushes, peer) = attached(&edge, config(&[&edge])).await;
    let waiting = client.send("*", Priority::Now, "x");

    peer.close(4409).await;

    until(&mut pushes, |i| matches!(i, Incoming::Closed(Closed::Replaced))).await;
    assert_eq!(timeout(DEADLINE, waiting).await.unwrap(), Err(Closed::Replaced.into()));
    assert_eq!(client.state(), State::Closed(Closed::Replaced));
    let refused = client.send("*", Priority::Now, "x").await;
    assert_eq!(refused, Err(Closed::Replaced.into()));
}

#[tokio::test]
async fn a_client_that_its_own_late_hello_replaced_comes_back() {
    let edge = Edge::start().await;
    let (client, _pushes) = Client::start(config(&[&edge]));
    // A hello without an answer: the client gives up on it, and tries again.
    drop(edge.greeted().await);

    edge.attached().await.close(4409).await;

    let _peer = edge.attached().await;
    client.ready(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_client_that_moved_on_before_its_hello_was_answered_is_not_replaced_by_it() {
    let (first, second) = (Edge::start().await, Edge::start().await);
    let (client, _pushes) = Client::start(config(&[&first]));
    let _unanswered = first.greeted().await;
    client.move_to(&second.url);

    second.attached().await.close(4409).await;

    let mut back = first.greeted().await;
    back.acknowledge(&[]).await;
    client.ready(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_member_that_is_refused_stays_away_and_one_that_came_too_early_tries_again() {
    let edge = Edge::start().await;
    let (client, mut pushes) = Client::start(config(&[&edge]));
    let error = |code: &str| json!({"type": "error", "code": code, "message": "no"});

    let mut peer = edge.greeted().await;
    let first = peer.hello["sessionProof"]["nonce"].clone();
    peer.send(error("replayed")).await;
    let mut peer = edge.greeted().await;
    assert_ne!(peer.hello["sessionProof"]["nonce"], first);
    peer.send(error("capacity")).await;
    let mut peer = edge.greeted().await;
    peer.send(error("unauthorized")).await;

    until(&mut pushes, |i| matches!(i, Incoming::Closed(Closed::Rejected(_)))).await;
    let refused = client.ready(DEADLINE).await.unwrap_err();
    assert_eq!(refused.exit_code(), 5);
}

#[tokio::test]
async fn a_client_goes_where_it_is_told_and_learns_of_edges_from_the_mesh() {
    let (first, second) = (Edge::start().await, Edge::start().await);
    let (client, mut pushes) = Client::start(config(&[&first]));
    let mut peer = first.greeted().await;
    peer.acknowledge(&[&second.url]).await;
    client.ready(DEADLINE).await.unwrap();
    assert_eq!(client.edge().as_deref(), Some(first.url.as_str()));
    assert_eq!(client.edges(), [first.url.clone(), second.url.clone()]);
    until(&mut pushes, |i| matches!(i, Incoming::Connected { .. })).await;

    client.move_to(&second.url);
    let _peer = second.attached().await;
    let there = until(&mut pushes, |i| matches!(i, Incoming::Connected { .. })).await;

    let Incoming::Connected { edge, .. } = there else { panic!("it is connected") };
    assert_eq!(edge, second.url);
}

#[tokio::test]
async fn replies_find_their_requests_and_refusals_too() {
    let edge = Edge::start().await;
    let (client, _pushes, mut peer) = attached(&edge, config(&[&edge])).await;
    let asks = tokio::spawn(async move {
        let summary = SetSummary { summary: "x".into() };
        let (list, told) = tokio::join!(client.request(&ListPeers {}), client.tell(&summary));
        (list, told)
    });

    let (list, summary) = (peer.receive().await, peer.receive().await);
    peer.send(json!({
        "type": "error", "code": "forbidden", "message": "no", "_reqId": summary["_reqId"],
    }))
    .await;
    peer.send(json!({"type": "peers_list", "peers": [], "_reqId": list["_reqId"]})).await;

    let (list, told) = timeout(DEADLINE, asks).await.unwrap().unwrap();
    assert!(list.unwrap().peers.is_empty());
    assert!(told.is_err());
}

#[tokio::test]
async fn a_question_of_another_peer_comes_with_its_id_and_is_answered_under_it() {
    let edge = Edge::start().await;
    let (client, mut pushes, mut peer) = attached(&edge, config(&[&edge])).await;
    let asks = tokio::spawn({
        let client = client.clone();
        async move { client.request_within(&ListPeers {}, DEADLINE).await }
    });
    let asked = peer.receive().await;

    // Under the id of our own question, and yet not its answer.
    let id = asked["_reqId"].as_str().unwrap();
    peer.send(json!({"type": "mcp_call_forward", "callId": "a", "_reqId": id})).await;
    let question = until(&mut pushes, |i| matches!(i, Incoming::Frame { .. })).await;
    client.answer(&SetSummary { summary: "x".into() }, Some(id));
    let answer = peer.receive().await;
    peer.send(json!({"type": "peers_list", "peers": [], "_reqId": id})).await;

    let Incoming::Frame { kind, text } = question else { panic!("it is a frame") };
    assert_eq!(kind, "mcp_call_forward");
    assert!(text.contains(id), "{text}");
    assert_eq!(json!([answer["type"], answer["_reqId"]]), json!(["set_summary", id]));
    assert!(asks.await.unwrap().unwrap().peers.is_empty());
}

#[tokio::test]
async fn whoever_is_behind_ends_up_with_the_last_value_of_every_key() {
    let edge = Edge::start().await;
    let (client, mut pushes, mut peer) = attached(&edge, config(&[&edge])).await;
    // More than are held for a consumer that takes none.
    for value in 0..PUSHES_MAX {
        for key in ["a", "b"] {
            peer.send(
                json!({"type": "state_change", "key": key, "value": value, "updatedBy": "x"}),
            )
            .await;
        }
    }
    settled(&client, &mut peer).await;

    let mut last = std::collections::HashMap::new();
    while last.values().filter(|value| **value == json!(PUSHES_MAX - 1)).count() < 2 {
        let next = until(&mut pushes, |i| matches!(i, Incoming::Frame { .. })).await;
        let Incoming::Frame { text, .. } = next else { panic!("it is a frame") };
        let change: serde_json::Value = serde_json::from_str(&text).unwrap();
        let before = last.insert(change["key"].to_string(), change["value"].clone());
        assert!(before.is_none_or(|before| before.as_u64() < change["value"].as_u64()));
    }
}

#[tokio::test]
async fn a_request_waits_as_long_as_its_caller_does() {
    let edge = Edge::start().await;
    let (client, _pushes, _peer) = attached(&edge, config(&[&edge])).await;
    let patience = std::time::Duration::from_millis(5);

    let late = client.request_within(&ListPeers {}, patience).await;

    assert!(matches!(late, Err(RequestError::TimedOut(waited)) if waited == patience));
}

#[tokio::test]
async fn a_stand_in_for_an_old_client_sees_repeats_and_says_nothing_of_ours() {
    let edge = Edge::start().await;
    let mut config = config(&[&edge]);
    config.caps = Caps::default();
    config.keep = Keep::Nothing;
    let (client, mut pushes, mut peer) = attached(&edge, config).await;
    for field in ["caps", "sessionProof", "client"] {
        assert_eq!(peer.hello.get(field), None);
    }
    peer.push("m1", "again").await;
    peer.push("m1", "again").await;

    assert_eq!(text(&mut pushes).await, "again");
    assert_eq!(text(&mut pushes).await, "again");
    drop(client.send("*", Priority::Now, "x"));
    assert_eq!(peer.receive().await["type"], "send");
}

#[tokio::test]
async fn a_key_that_nobody_can_seal_for_is_refused_here() {
    let edge = Edge::start().await;
    let (client, _pushes) = Client::start(config(&[&edge]));

    for target in [Public([0; 32]).hex(), "ann".into(), "#general".into()] {
        let refused = client.send(&target, Priority::Now, "x").await;
        assert_eq!(refused, Err(SendError::Unusable(target)));
    }
}
