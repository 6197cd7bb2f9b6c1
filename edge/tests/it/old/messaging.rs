//! Messages between clients of 0.8.9, and between them and ours, across edges.

use serde_json::{Value, json};
use skein_crypto::{Keypair, direct::Pairs};

use super::{client, peer::Client, url};
use crate::harness::{OURS, Peer, TestMesh};

#[tokio::test]
async fn line_4_and_5_a_name_becomes_a_key_and_sealed_text_crosses_edges_both_ways() {
    let mesh = TestMesh::start(2).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, client(&mesh, "Bob", 1).await);

    let to = ann.find("bob").await.unwrap()["pubkey"].as_str().unwrap().to_owned();
    assert_eq!(to, bob.key(), "listed by its session key");
    let id = ann.send(&to, "hello mesh ✓ 🎉", "next").await.unwrap();

    let message = bob.inbound(|push| push.event.is_none()).await;
    assert_eq!(message.text.as_deref(), Some("hello mesh ✓ 🎉"));
    assert_eq!((&message.message_id, message.sender.as_str()), (&id, ann.key()));
    assert_eq!(message.priority, "next");
    bob.send(&message.sender, "and back", "now").await.unwrap();
    assert_eq!(ann.text().await, "and back");
    assert_eq!(ann.strays().await, Vec::<Value>::new());
    assert_eq!(bob.strays().await, Vec::<Value>::new());
}

#[tokio::test]
async fn line_5_old_clients_and_ours_understand_each_other() {
    let mesh = TestMesh::start(2).await;
    let (ann, mut bob) = (client(&mesh, "ann", 0).await, mesh.peer("bob", 1).await);
    let (session, member) = (bob.session.clone(), bob.member.keys.clone());
    let ann_key = skein_crypto::Public::parse(ann.key()).unwrap();
    let opened = |keys: &Keypair, push: &Value| {
        let text = |name: &str| push[name].as_str().unwrap().to_owned();
        assert_eq!(push["senderPubkey"], ann.key());
        Pairs::new(&keys.secret).open(&ann_key, &text("nonce"), &text("ciphertext")).unwrap()
    };

    ann.send(&session.public.hex(), "to your session", "next").await.unwrap();
    assert_eq!(opened(&session, &bob.push().await), "to your session");
    ann.send(&member.public.hex(), "to you", "next").await.unwrap();
    assert_eq!(opened(&member, &bob.push().await), "to you");

    let sealed = Pairs::new(&session.secret).seal(&ann_key, "to an old one").unwrap();
    let send = json!({"type": "send", "id": "0".repeat(32), "targetSpec": ann.key(),
                      "priority": "next", "nonce": sealed.nonce, "ciphertext": sealed.ciphertext});
    bob.send(&send).await;
    let message = ann.inbound(|push| push.event.is_none()).await;
    assert_eq!(message.text.as_deref(), Some("to an old one"));
    assert!(message.raw.get("targetSpec").is_none(), "no word of ours: {}", message.raw);
}

#[tokio::test]
async fn multicasts_are_readable_and_reach_every_edge_but_not_their_sender() {
    let mesh = TestMesh::start(2).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, client(&mesh, "bob", 1).await);
    let cid = client(&mesh, "cid", 0).await;
    bob.join_group("dev");
    bob.peers().await;

    for target in ["*", "@all"] {
        ann.send(target, target, "low").await.unwrap();
        for peer in [&bob, &cid] {
            assert_eq!(peer.text().await, target);
        }
    }
    ann.send("@dev", "to some", "next").await.unwrap();
    ann.send("*", "the last", "next").await.unwrap();

    assert_eq!((bob.text().await, bob.text().await), ("to some".into(), "the last".into()));
    assert_eq!(cid.text().await, "the last");
    let own = ann.quiet(|push| push.event.is_none()).await;
    assert!(own.is_empty(), "{own:?}");
}

#[tokio::test]
async fn what_a_status_holds_is_released_when_it_allows_it() {
    let mesh = TestMesh::start(2).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, client(&mesh, "bob", 1).await);
    for status in ["working", "dnd"] {
        bob.set_status(status);
        bob.peers().await;
        let held = ann.send(bob.key(), "later", "next").await.unwrap();
        ann.send(bob.key(), "last", "low").await.unwrap();
        ann.send(bob.key(), "urgent", "now").await.unwrap();

        assert_eq!(bob.text().await, "urgent");
        assert_eq!(ann.status_of(&held).await.unwrap()["recipients"][0]["status"], "held");
        bob.set_status("idle");

        assert_eq!((bob.text().await, bob.text().await), ("later".into(), "last".into()));
    }
    assert_eq!(bob.strays().await, Vec::<Value>::new());
}

#[tokio::test]
async fn line_3_the_status_of_a_message_is_told_across_edges() {
    let mesh = TestMesh::start(2).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, client(&mesh, "bob", 1).await);
    let id = ann.send(bob.key(), "x", "next").await.unwrap();
    bob.text().await;
    mesh.until("select count(*) from delivery", "0").await;

    // Anybody of the mesh may ask.
    let status = bob.status_of(&id).await.unwrap();

    assert_eq!((&status["delivered"], &status["targetSpec"]), (&json!(true), &json!(bob.key())));
    let recipient = json!({"name": "bob", "pubkey": bob.key(), "status": "delivered"});
    assert_eq!(status["recipients"], json!([recipient]));
    let unknown = ann.status_of("nothing").await;
    assert_eq!(unknown.unwrap_err(), "not_found: message not found");
    assert_eq!(ann.strays().await, Vec::<Value>::new());
}

#[tokio::test]
async fn line_3_a_multicast_is_delivered_to_everybody_who_can_be_seen() {
    let mesh = TestMesh::start(2).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, client(&mesh, "bob", 1).await);
    let hidden = client(&mesh, "cid", 1).await;
    hidden.set_visible(false);
    hidden.peers().await;
    bob.join_group("dev");
    bob.peers().await;
    let recipient = |of: &Client| {
        let name = if of.key() == ann.key() { "ann" } else { "bob" };
        json!({"name": name, "pubkey": of.key(), "status": "delivered"})
    };

    for (target, recipients) in [
        ("*", vec![recipient(&ann), recipient(&bob)]),
        ("@all", vec![recipient(&ann), recipient(&bob)]),
        ("@dev", vec![recipient(&bob)]),
        ("@nobody", vec![]),
    ] {
        let id = ann.send(target, "x", "next").await.unwrap();
        let status = ann.status_of(&id).await.unwrap();
        assert_eq!((&status["delivered"], &status["targetSpec"]), (&json!(true), &json!(target)));
        assert_eq!(status["recipients"], json!(recipients), "{target}");
        assert!(status["deliveredAt"].as_str().is_some_and(|at| at.len() == 24), "{status}");
    }
}

#[tokio::test]
async fn more_than_a_window_that_waited_comes_in_order_and_is_settled_by_pongs() {
    let mesh = TestMesh::start(2).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, client(&mesh, "bob", 1).await);
    bob.lose().await;
    for hundred in 0..4 {
        let sends: Vec<_> = (0..100)
            .map(|n| ann.begin(bob.key(), &format!("m{}", 100 * hundred + n), "next"))
            .collect();
        for send in sends {
            send.await.unwrap();
        }
    }

    bob.lead_to(&url(&mesh, 0));
    bob.hurry().await;

    for n in 0..400 {
        assert_eq!(bob.text().await, format!("m{n}"));
    }
    mesh.until("select count(*) from delivery", "0").await;
    mesh.until("select coalesce(sum(cardinality(seqs)), 0) from receipt where outcome = 0", "400")
        .await;
    assert_eq!(bob.strays().await, Vec::<Value>::new());
}

#[tokio::test]
async fn line_3_requests_with_the_same_id_are_each_answered() {
    let mesh = TestMesh::start(1).await;
    let ann = client(&mesh, "ann", 0).await;
    // Some of its ids are only as unique as the millisecond.
    let id = "vlist_1775640600000";

    let (first, second) =
        tokio::join!(ann.peers_with(json!({"_reqId": id})), ann.peers_with(json!({"_reqId": id})));

    assert_eq!((first.unwrap().len(), second.unwrap().len()), (1, 1));
    assert_eq!(ann.strays().await, Vec::<Value>::new());
}

#[tokio::test]
async fn its_sends_wait_while_it_is_away_and_those_beyond_its_queue_fail_by_themselves() {
    let mesh = TestMesh::start(2).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, client(&mesh, "bob", 1).await);
    ann.lose().await;

    let sends: Vec<_> = (0..101).map(|n| ann.begin(bob.key(), &format!("m{n}"), "next")).collect();
    assert_eq!(ann.waiting(), (100, 100));
    ann.lead_to(&url(&mesh, 1));
    ann.hurry().await;

    let mut answers = Vec::new();
    for send in sends {
        answers.push(send.await);
    }
    assert_eq!(answers.pop().unwrap().unwrap_err(), "outbound queue full");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    for n in 0..100 {
        assert_eq!(bob.text().await, format!("m{n}"));
    }
}

#[tokio::test]
async fn line_14_a_client_of_ours_in_the_mesh_disturbs_no_old_one() {
    let mesh = TestMesh::start(2).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, mesh.peer("bob", 1).await);
    let bob = bob.back(&mesh.edges[0], OURS).await;
    let mut cid = Peer::connect(&mesh.edges[1], &bob.member, Keypair::generate(), OURS).await;
    cid.call(json!({"type": "set_profile", "title": "x"})).await;
    cid.message("*", "next", "aGVsbG8=").await;

    assert_eq!(ann.text().await, "hello");
    let listed = ann.peers().await;
    assert!(listed.iter().all(|peer| peer.get("memberPubkey").is_none()), "{listed:?}");
    assert_eq!(ann.strays().await, Vec::<Value>::new());
}
