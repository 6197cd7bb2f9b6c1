//! Messages of API keys: sealed both ways, stored once, kept in order, waiting until received.

use serde_json::{Value, json};
use skein_crypto::{Keypair, direct::Pairs};

use super::Key;
use crate::harness::{OURS, Peer, TestMesh};

/// A message sealed for somebody by this key.
fn sealed(from: &Keypair, to: &Keypair, id: &str, text: &str) -> Value {
    let body = Pairs::new(&from.secret).seal(&to.public, text).unwrap();
    json!({"id": id, "target": to.public.hex(), "priority": "now", "nonce": body.nonce,
           "ciphertext": body.ciphertext})
}

fn opened(by: &Keypair, from: &Keypair, message: &Value) -> String {
    let text = |field: &str| message[field].as_str().unwrap();
    Pairs::new(&by.secret).open(&from.public, text("nonce"), text("ciphertext")).unwrap()
}

#[tokio::test]
async fn a_key_and_a_peer_write_to_each_other_sealed() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.peer("ann", 1).await;
    let key = Key::make(&mesh, "robot", &["messages:send", "messages:read"]).await;

    let message = sealed(&key.keys, &ann.session, "m1", "hello ann");
    let sent = key.get(&mesh, 201, "POST", "/messages", message.clone()).await;
    assert_eq!(json!([sent["recipients"], sent["online"]]), json!([1, 1]));
    let push = ann.push().await;
    assert_eq!(push["senderPubkey"], key.keys.public.hex());
    assert_eq!((&push["messageId"], push.get("subtype")), (&sent["messageId"], None));
    assert_eq!(opened(&ann.session, &key.keys, &push), "hello ann");

    let again = key.get(&mesh, 201, "POST", "/messages", message.clone()).await;
    assert_eq!(again["messageId"], sent["messageId"], "the same id is the same message");
    let mut other = message.clone();
    other["priority"] = json!("low");
    let reused = key.ask(&mesh, 1, "POST", "/messages", &other.to_string()).await;
    assert_eq!(reused.refusal(), (409, "id_reused".to_owned()));
    assert_eq!(ann.rest().await, Vec::<Value>::new());

    assert_eq!(
        key.get(&mesh, 200, "GET", "/messages/waiting", Value::Null).await["messages"],
        json!([])
    );
    let answer = Pairs::new(&ann.session.secret).seal(&key.keys.public, "hello robot").unwrap();
    ann.send(&json!({"type": "send", "id": "a1", "targetSpec": key.keys.public.hex(),
                     "priority": "next", "nonce": answer.nonce, "ciphertext": answer.ciphertext}))
        .await;
    let ack = ann.find(|f| f["id"] == "a1").await;
    assert_eq!((&ack["type"], &ack["online"]), (&json!("ack"), &json!(0)));
    let waiting = key.get(&mesh, 200, "GET", "/messages/waiting", Value::Null).await;
    let message = &waiting["messages"][0];
    assert_eq!(opened(&key.keys, &ann.session, message), "hello robot");
    assert_eq!(
        (&message["messageId"], &message["direction"]),
        (&ack["messageId"], &json!("received"))
    );
    assert_eq!(message["senderPubkey"], ann.key());

    let ids = json!({"messageIds": [message["messageId"], "unknown"]});
    let settled = key.get(&mesh, 200, "POST", "/messages/received", ids.clone()).await;
    assert_eq!(settled, json!({"settled": 1}));
    assert_eq!(key.get(&mesh, 200, "POST", "/messages/received", ids).await["settled"], 0);
    assert_eq!(
        key.get(&mesh, 200, "GET", "/messages/waiting", Value::Null).await["messages"],
        json!([])
    );
    let status = ann.call(json!({"type": "message_status", "messageId": ack["messageId"]})).await;
    assert_eq!(status["delivered"], json!(true), "{status}");
    let history = key.get(&mesh, 200, "GET", "/messages", Value::Null).await;
    let ways: Vec<_> =
        history["messages"].as_array().unwrap().iter().map(|m| &m["direction"]).collect();
    assert_eq!((json!(ways), history.get("next")), (json!(["received", "sent"]), None));
    let stranger = Key::make(&mesh, "other", &["messages:read"]).await;
    for path in ["/messages", "/messages/waiting"] {
        let seen = stranger.get(&mesh, 200, "GET", path, Value::Null).await;
        assert_eq!(seen, json!({"messages": []}), "a key sees its own only");
    }
}

#[tokio::test]
async fn a_key_sends_to_groups_and_to_who_is_away_and_is_told_what_cannot_be() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, bob) = (mesh.peer("ann", 1).await, mesh.peer("bob", 0).await);
    let key = Key::make(&mesh, "robot", &["messages:send"]).await;
    ann.call(json!({"type": "join_group", "name": "dev/web"})).await;
    let to = |target: &str, id: &str| json!({"id": id, "target": target, "nonce": "", "ciphertext": "aGk="});

    for (target, n) in [("@dev", 1), ("*", 2), ("@nobody", 0)] {
        let sent = key.get(&mesh, 201, "POST", "/messages", to(target, target)).await;
        assert_eq!(json!([sent["recipients"], sent["online"]]), json!([n, n]), "{target}");
    }
    assert_eq!(ann.push().await["targetSpec"], "@dev");
    assert_eq!(ann.push().await["targetSpec"], "*");
    let (member, session) = (bob.member.clone(), bob.session.clone());
    bob.close().await;
    let sent = key.get(&mesh, 201, "POST", "/messages", to(&session.public.hex(), "b")).await;
    assert_eq!(json!([sent["recipients"], sent["online"]]), json!([1, 0]));
    let mut bob = Peer::connect(&mesh.edges[1], &member, session, OURS).await;
    bob.find(|push| push["messageId"] == sent["messageId"]).await;

    for (message, refusal) in [
        (to(&"ab".repeat(32), "c"), (404, "unknown_target")),
        (to("bob", "c"), (404, "unknown_target")),
        (to("@", "c"), (404, "unknown_target")),
        (to("*", ""), (400, "invalid_request")),
        (to("*", &"i".repeat(129)), (400, "invalid_request")),
    ] {
        let answer = key.ask(&mesh, 0, "POST", "/messages", &message.to_string()).await;
        assert_eq!(answer.refusal(), (refusal.0, refusal.1.to_owned()), "{message}");
    }
}

#[tokio::test]
async fn the_history_goes_on_where_it_ended_and_skips_nothing() {
    let mesh = TestMesh::start(1).await;
    let key = Key::make(&mesh, "robot", &["messages:send", "messages:read"]).await;
    let own = key.keys.public.hex();
    let mut ids = Vec::new();
    for n in 0..60 {
        let message =
            json!({"id": n.to_string(), "target": own, "nonce": "", "ciphertext": "aGk="});
        let sent = key.get(&mesh, 201, "POST", "/messages", message).await;
        ids.insert(0, sent["messageId"].clone());
    }

    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = key.get(&mesh, 200, "GET", &format!("/messages{after}"), Value::Null).await;
        seen.extend(page["messages"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        after = format!("?after={next}");
    }

    // To itself: each was sent, and waits.
    let wanted: Vec<_> = ids.iter().flat_map(|id| [(id, "sent"), (id, "received")]).collect();
    let seen: Vec<_> =
        seen.iter().map(|m| (&m["messageId"], m["direction"].as_str().unwrap())).collect();
    assert_eq!(seen, wanted);
}

#[tokio::test]
async fn what_a_key_sends_one_after_the_other_arrives_so_through_two_edges() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.old_peer("ann", 1).await;
    let key = Key::make(&mesh, "robot", &["messages:send"]).await;

    for n in 0..40_usize {
        for (kind, target) in [("direct", ann.key()), ("all", "*".to_owned())] {
            let message = json!({"id": format!("{kind}{n}"), "target": target, "nonce": kind,
                                 "ciphertext": n.to_string()});
            let answer = key.ask(&mesh, n % 2, "POST", "/messages", &message.to_string()).await;
            assert_eq!(answer.status, 201, "{answer:?}");
        }
    }

    let (mut direct, mut all) = (Vec::new(), Vec::new());
    while direct.len() < 40 || all.len() < 40 {
        let push = ann.push().await;
        let n: usize = push["ciphertext"].as_str().unwrap().parse().unwrap();
        if push["nonce"] == "all" { all.push(n) } else { direct.push(n) }
    }
    let wanted: Vec<usize> = (0..40).collect();
    assert_eq!((direct, all), (wanted.clone(), wanted));
}

#[tokio::test]
async fn a_key_that_was_long_quiet_has_its_address_back_when_it_is_used() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let key = Key::make(&mesh, "robot", &["messages:read"]).await;
    mesh.run("delete from session where display_name = 'robot'").await;
    let refused = ann.message(&key.keys.public.hex(), "next", "x").await;
    assert_eq!(refused["code"], "unknown_target");

    key.get(&mesh, 200, "GET", "/messages/waiting", Value::Null).await;

    assert_eq!(ann.message(&key.keys.public.hex(), "next", "x").await["type"], "ack");
    let waiting = key.get(&mesh, 200, "GET", "/messages/waiting", Value::Null).await;
    assert_eq!(waiting["messages"][0]["ciphertext"], "x");
}
