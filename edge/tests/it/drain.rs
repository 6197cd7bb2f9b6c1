//! Draining: what SIGTERM does to an edge, its sockets and the mesh.

use serde_json::{Value, json};

use crate::harness::{OLD, OURS, Peer, TestMesh, hello_frame};

#[tokio::test]
async fn a_draining_edge_closes_its_sockets_and_retires_its_node() {
    let mut mesh = TestMesh::start(2).await;
    let mut mine = [mesh.peer("ann", 0).await, mesh.old_peer("bob", 0).await];
    let member = mesh.member("cid").await;
    let mut waiting = Peer::open(&mesh.edges[0], &member, mine[0].session.clone()).await;
    let node = mesh.edges[0].edge.node().id;
    let mut other = mesh.old_peer("dan", 1).await;

    mesh.edges[0].stop().await;

    for peer in &mut mine {
        let close = peer.find(|f| f.get("close").is_some()).await;
        assert_eq!(close, json!({"close": 1001, "reason": "shutting down"}));
    }
    assert_eq!(waiting.closed().await, 1001, "who has not said hello yet is told as well");
    let other_edge = mesh.edges.remove(1);
    mesh.edges[0] = other_edge;
    let state = mesh.ask(&format!("select state from node where id = {node}")).await;
    assert_ne!(state.as_deref(), Some("alive"));
    let left = mesh.ask(&format!("select count(*) from presence where node = {node}")).await;
    assert_eq!(left.as_deref(), Some("0"));
    assert_eq!(other.peers().await.len(), 3, "peers in grace are listed");
}

#[tokio::test]
async fn peers_of_a_drained_edge_go_elsewhere_without_an_event() {
    let mut mesh = TestMesh::start(2).await;
    let mut watcher = mesh.old_peer("watcher", 1).await;
    let (ann, bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    watcher.event("peer_joined").await;
    watcher.event("peer_joined").await;

    mesh.edges[0].stop().await;
    let edge = &mesh.edges[1];
    let mut ann = Peer::connect(edge, &ann.member, ann.session.clone(), OURS).await;
    let mut bob = Peer::connect(edge, &bob.member, bob.session.clone(), OLD).await;

    assert_eq!(watcher.quiet(|f| f["subtype"] == "system").await, Vec::<Value>::new());
    assert_eq!(watcher.peers().await.len(), 3);
    ann.message(&bob.key(), "next", "here as well").await;
    assert_eq!(bob.push().await["ciphertext"], json!("here as well"));
    assert_eq!(ann.welcome["edges"].as_array().map(Vec::len), Some(1), "{}", ann.welcome);
}

#[tokio::test]
async fn what_was_sent_before_the_drain_is_acknowledged_or_not_stored() {
    let mut mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    for n in 0..100 {
        ann.send(&json!({"type": "send", "id": format!("{n:032}"), "targetSpec": bob.key(),
                         "priority": "next", "nonce": "n", "ciphertext": format!("m{n}")}))
            .await;
    }
    mesh.edges[0].stop().await;

    let mut acked = Vec::new();
    loop {
        let frame = ann.next().await;
        match frame["type"].as_str() {
            Some("ack") => acked.push(frame["messageId"].clone()),
            None => break,
            _ => (),
        }
    }

    for (n, id) in acked.iter().enumerate() {
        let push = bob.push().await;
        assert_eq!((&push["messageId"], &push["ciphertext"]), (id, &json!(format!("m{n}"))));
    }
}

#[tokio::test]
async fn a_drained_edge_takes_no_hello() {
    let mut mesh = TestMesh::start(1).await;
    let member = mesh.member("ann").await;
    let session = skein_crypto::Keypair::generate();
    let mut late = Peer::open(&mesh.edges[0], &member, session.clone()).await;

    mesh.edges[0].stop().await;
    // The socket is closing; whether this still leaves or not, it must not be served.
    let hello = hello_frame(&member, &session, OLD).to_string();
    let _ = futures_util::SinkExt::send(
        &mut late.socket,
        tokio_tungstenite::tungstenite::Message::text(hello),
    )
    .await;

    assert_eq!(late.closed().await, 1001);
}
