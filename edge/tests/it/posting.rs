//! Posts: few at once, none keeps a connection for good, and what becomes of those that wait.

use std::time::Duration;

use futures_util::poll;
use serde_json::json;
use skein_crypto::Keypair;
use skein_edge::{
    node::Node,
    posting::{self, Beside, Error, Post, Posted},
    writer::Target,
};
use skein_wire::{Code, Priority, limit};
use uuid::Uuid;

use crate::{
    api_keys::Key,
    harness::{OURS, Peer, SOMEBODY_WAITS, SOON, TestMesh, pass},
    webhooks::{create, path, post},
};

/// A post for this key or multicast.
async fn posted(mesh: &TestMesh, node: &Node, target: &Target) -> Result<Posted, Error> {
    let post = Post {
        mesh: mesh.no,
        sender: 0,
        sender_key: "webhook:test",
        target,
        priority: Priority::Next,
        nonce: "",
        ciphertext: "W10=",
        message_id: Uuid::new_v4(),
        body_hash: None,
        beside: Beside::Nothing,
    };
    posting::post(node, &post).await
}

/// How many connections of the node are in this state.
async fn n_backends(mesh: &TestMesh, state: &str) -> i64 {
    let name = skein_sql::nodes::application_name(mesh.edges[0].edge.node().id);
    let count = format!(
        "select count(*) from pg_stat_activity
          where application_name = '{name}' and datname = current_database() and {state}"
    );
    mesh.ask(&count).await.unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_post_that_is_given_up_in_the_middle_leaves_no_transaction_open() {
    let mesh = TestMesh::start(1).await;
    let bob = mesh.peer("bob", 0).await;
    let (node, target) = (mesh.edges[0].edge.node(), Target::Key(bob.key()));
    let db = mesh.edges[0].edge.pool.get().await.unwrap();
    db.batch_execute("begin; lock table delivery in share mode").await.unwrap();

    // Whoever asked goes while its post waits in the database, in its transaction.
    let mut asking = Box::pin(posted(&mesh, &node, &target));
    let waits = "wait_event_type = 'Lock' and query like '%insert into delivery%'";
    while n_backends(&mesh, waits).await == 0 {
        assert!(poll!(&mut asking).is_pending());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(asking);
    db.batch_execute("commit").await.unwrap();

    // Those that wait for the lock no more are at rest or gone, and none of them is in a transaction.
    while n_backends(&mesh, "state = 'active'").await > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(n_backends(&mesh, "state like 'idle in transaction%'").await, 0);
    assert_eq!(node.posts.available_permits(), limit::POSTS_AT_ONCE_MAX);
    assert!(posted(&mesh, &node, &target).await.is_ok());
}

#[tokio::test]
async fn a_refused_post_hands_its_connection_back() {
    let mesh = TestMesh::start(1).await;
    let _bob = mesh.peer("bob", 0).await;
    let node = mesh.edges[0].edge.node();
    let nobody = Target::Key("ab".repeat(32));
    let refused = async || {
        let outcome = posted(&mesh, &node, &nobody).await;
        assert!(matches!(outcome, Err(Error::Refused(Code::UnknownTarget))), "{outcome:?}");
        node.pool.status().size
    };

    let n_connections = refused().await;
    for _ in 0..5 {
        assert_eq!(refused().await, n_connections);
    }

    assert!(n_connections > 0);
    assert_eq!(n_backends(&mesh, "state like 'idle in transaction%'").await, 0);
}

#[tokio::test]
async fn a_post_waits_for_its_turn_and_not_for_ever() {
    let mesh = TestMesh::start(1).await;
    let mut bob = mesh.peer("bob", 0).await;
    let key = Key::make(&mesh, "robot", &["messages:send"]).await;
    let ack = create(&mut bob, json!({"name": "ci"})).await;
    let node = mesh.edges[0].edge.node();
    let all = u32::try_from(limit::POSTS_AT_ONCE_MAX).unwrap();
    let busy = node.posts.clone().acquire_many_owned(all).await.unwrap();
    let message = json!({"id": "1", "target": bob.key(), "nonce": "n", "ciphertext": "c"});
    let (message, hook) = (message.to_string(), path(&ack));
    let late = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            pass(limit::POST_PATIENCE / 4).await;
        }
    };

    let (by_key, by_webhook) = tokio::select! {
        refused = async { tokio::join!(
            key.ask(&mesh, 0, "POST", "/messages", &message),
            post(&mesh, 0, &hook, "[1]"),
        ) } => refused,
        () = late => unreachable!("it goes on"),
    };

    assert_eq!(by_key.refusal(), (503, "unavailable".to_owned()));
    assert!(by_key.json()["hint"].as_str().unwrap().contains("same `id`"), "{by_key:?}");
    assert_eq!(by_webhook.status, 503, "{by_webhook:?}");
    assert_eq!(by_webhook.json(), json!({"ok": false, "error": posting::BUSY}));
    assert_eq!(mesh.ask("select count(*) from message").await.as_deref(), Some("0"));
    drop(busy);
    assert_eq!(key.ask(&mesh, 0, "POST", "/messages", &message).await.status, 201);
    assert_eq!(post(&mesh, 0, &hook, "[1]").await.status, 200);
}

#[tokio::test]
async fn a_post_keeps_its_place_until_it_was_told() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let (member, node) = (bob.member.clone(), mesh.edges[0].edge.node());
    bob.close().await;
    // Mail of bob's that nobody can offer now: the teller waits when he comes.
    ann.message(&member.keys.public.hex(), "next", "hi").await;
    let db = mesh.edges[0].edge.pool.get().await.unwrap();
    db.batch_execute("begin; select from delivery for update").await.unwrap();
    let _bob = Peer::connect(&mesh.edges[0], &member, Keypair::generate(), OURS).await;
    mesh.until(SOMEBODY_WAITS, "true").await;

    let target = Target::Multicast("*".to_owned());
    for _ in 0..limit::POSTS_AT_ONCE_MAX {
        posted(&mesh, &node, &target).await.unwrap();
    }
    assert_eq!(node.posts.available_permits(), 0, "they are stored, and not told");

    db.batch_execute("commit").await.unwrap();
    let told = async {
        while node.posts.available_permits() < limit::POSTS_AT_ONCE_MAX {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, told).await.expect("they are told");
    for _ in 0..limit::POSTS_AT_ONCE_MAX {
        assert_eq!(ann.push().await["event"], "test");
    }
}
