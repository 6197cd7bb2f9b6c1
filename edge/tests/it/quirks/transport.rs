//! Q1 to Q6: frames, the path, hello, and what one connection's frames do to each other.

use std::time::Duration;

use serde_json::{Value, json};
use skein_crypto::Keypair;
use tokio_tungstenite::connect_async;

use crate::{
    harness::{OLD, Peer, TestMesh, hello_frame, pass},
    old::{client, url},
};

#[tokio::test]
async fn q01_frames_of_2_mib_pass_both_ways() {
    const LARGE: usize = 2 * 1024 * 1024;
    let mesh = TestMesh::start(2).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, client(&mesh, "bob", 1).await);
    let large = format!("update session set summary = repeat('x', {LARGE})");
    mesh.run(&format!("{large} where display_name = 'bob'")).await;

    let listed = ann.peers_with(json!({"ignored": "x".repeat(LARGE)})).await.unwrap();

    let summary =
        listed.iter().find(|peer| peer["pubkey"] == bob.key()).unwrap()["summary"].clone();
    assert_eq!(summary.as_str().unwrap().len(), LARGE);
}

#[tokio::test]
async fn q02_the_socket_is_at_ws_and_nowhere_else() {
    let mesh = TestMesh::start(1).await;
    let here = url(&mesh, 0);

    assert!(connect_async(here.as_str()).await.is_ok());
    for target in ["/", "?x=1", "/ws", "x"] {
        assert!(connect_async(format!("{here}{target}")).await.is_err(), "{here}{target}");
    }
    assert!(connect_async(here.strip_suffix("ws").unwrap()).await.is_err());
}

#[tokio::test]
async fn q03_who_says_no_hello_is_closed_after_ten_seconds() {
    let mesh = TestMesh::start(1).await;
    let (member, session) = (mesh.member("ann").await, Keypair::generate());
    let mut silent = Peer::open(&mesh.edges[0], &member, session).await;
    silent.send(&json!({"type": "list_peers"})).await;
    assert_eq!(silent.next().await["code"], "no_hello");

    // A probe of `claudemesh status` lives for four.
    pass(Duration::from_secs(9)).await;
    silent.send(&json!({"type": "list_peers"})).await;
    assert_eq!(silent.next().await["code"], "no_hello");
    pass(Duration::from_secs(1)).await;

    assert_eq!(silent.next().await, json!({"close": 1008, "reason": "no hello"}));
    assert_eq!(client(&mesh, "bob", 0).await.me().await["displayName"], "bob");
}

#[tokio::test]
async fn q04_pipelined_sends_arrive_in_their_order() {
    let mesh = TestMesh::start(2).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, client(&mesh, "bob", 1).await);

    for round in 0..2 {
        let text = |n: usize| format!("{round}/{n}");
        let sends: Vec<_> = (0..100).map(|n| ann.begin(bob.key(), &text(n), "next")).collect();
        for send in sends {
            send.await.unwrap();
        }
        for n in 0..100 {
            assert_eq!(bob.text().await, text(n));
        }
    }
}

#[tokio::test]
async fn q05_a_bad_hello_is_answered_and_closed() {
    let mesh = TestMesh::start(1).await;
    let (member, session) = (mesh.member("ann").await, Keypair::generate());
    for (field, bad) in [("pid", json!("7")), ("cwd", Value::Null), ("sessionId", json!(7))] {
        let mut frame = hello_frame(&member, &session, OLD);
        frame[field] = bad;
        let mut peer = Peer::open(&mesh.edges[0], &member, session.clone()).await;
        peer.send(&frame).await;

        let error = json!({"type": "error", "code": "malformed",
                           "message": "hello rejected: malformed"});
        assert_eq!(peer.next().await, error, "{field}");
        assert_eq!(peer.next().await, json!({"close": 1008, "reason": "malformed"}));
    }

    // What the client says, with a field of the future, is none.
    let mut frame = hello_frame(&member, &session, OLD);
    frame["future"] = json!({"pid": "7"});
    let mut peer = Peer::open(&mesh.edges[0], &member, session).await;
    peer.send(&frame).await;
    assert_eq!(peer.next().await["type"], "hello_ack");
}

/// What fails, or means nothing, and has no reply of its own.
fn failing() -> Vec<Value> {
    let long = "x".repeat(20_000);
    vec![
        json!({"type": "set_status", "status": "busy"}),
        json!({"type": "set_summary", "summary": long}),
        json!({"type": "set_stats", "stats": [1]}),
        json!({"type": "join_group", "name": "a//b"}),
        json!({"type": "leave_group"}),
        json!({"type": "set_visible", "visible": "yes"}),
        json!({"type": "set_profile", "bio": 7}),
        json!({"type": "send", "id": "c", "targetSpec": "*", "priority": "soon", "nonce": "",
               "ciphertext": ""}),
        json!({"type": "claim_task", "taskId": "nothing"}),
        json!({"type": "complete_task", "taskId": "nothing"}),
        json!({"type": "mesh_execute", "sql": "select nothing"}),
        json!({"type": "delete_file", "fileId": "nothing"}),
        json!({"type": "forget", "memoryId": "nothing"}),
        json!({"type": "vector_delete", "collection": "nothing", "id": "nothing"}),
        json!({"type": "no_such_type"}),
        json!([1]),
    ]
}

#[tokio::test]
async fn q06_a_stray_error_is_never_sent_and_what_is_pending_gets_its_own_answer() {
    let mesh = TestMesh::start(1).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, client(&mesh, "bob", 0).await);
    let id = ann.send(bob.key(), "x", "next").await.unwrap();

    for frame in failing() {
        ann.tell(&frame);
        let (list, status) = tokio::join!(ann.peers_with(json!({})), async {
            ann.tell(&frame);
            ann.status_of(&id).await
        });
        assert_eq!(list.unwrap().len(), 2, "{frame}");
        assert_eq!(status.unwrap()["messageId"], id.as_str(), "{frame}");
    }

    assert_eq!(ann.errors(), Vec::<Value>::new());
    assert_eq!(ann.strays().await, Vec::<Value>::new());
}

#[tokio::test]
async fn q06_a_failing_send_fails_itself_and_nothing_else() {
    let mesh = TestMesh::start(1).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, client(&mesh, "bob", 0).await);

    let (good, bad) = (ann.begin(bob.key(), "x", "next"), ann.begin("#general", "x", "next"));
    let also = ann.begin(bob.key(), "y", "next");
    let (good, bad, also, list) = tokio::join!(good, bad, also, ann.peers());

    assert!(good.is_ok() && also.is_ok(), "{good:?} {also:?}");
    assert!(bad.unwrap_err().starts_with("unknown_target: "));
    assert_eq!(list.len(), 2);
    assert_eq!(ann.strays().await, Vec::<Value>::new());
}

#[tokio::test]
async fn q06_a_failure_of_ours_is_no_word_for_an_old_client() {
    let mesh = TestMesh::start(1).await;
    let (mut old, mut ours) = (mesh.old_peer("ann", 0).await, mesh.peer("bob", 0).await);
    let id = old.message(&ours.key(), "next", "x").await["messageId"].clone();
    mesh.run("alter table session rename column hostname to elsewhere").await;

    old.send(&json!({"type": "list_peers", "_reqId": "fails"})).await;
    let answer = old.call(json!({"type": "message_status", "messageId": id})).await;

    assert_eq!(answer["messageId"], id, "the next question has its own answer");
    assert!(old.quiet(|frame| frame["_reqId"] == "fails").await.is_empty());
    let told = ours.call(json!({"type": "list_peers"})).await;
    assert_eq!((&told["type"], &told["code"]), (&json!("error"), &json!("internal")));
}
