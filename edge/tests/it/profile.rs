//! Profile: merged field by field, acknowledged, listed and kept.

use serde_json::{Value, json};

use crate::harness::{OLD, TestMesh};

#[tokio::test]
async fn fields_that_are_given_change_and_the_others_stay() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    assert!(ann.me().await.get("profile").is_none(), "nothing was said yet");

    for (change, profile) in [
        (json!({"avatar": "A", "title": "tester"}), json!({"avatar": "A", "title": "tester"})),
        (
            json!({"title": "lead", "capabilities": ["rust"]}),
            json!({"avatar": "A", "title": "lead", "capabilities": ["rust"]}),
        ),
        (
            json!({"bio": "long", "title": null}),
            json!({"avatar": "A", "title": "lead", "bio": "long", "capabilities": ["rust"]}),
        ),
        (
            json!({"avatar": "", "capabilities": [], "unknown": 1}),
            json!({"avatar": "", "title": "lead", "bio": "long", "capabilities": []}),
        ),
    ] {
        let mut frame = change.clone();
        frame["type"] = json!("set_profile");
        ann.call(frame).await;
        assert_eq!(ann.me().await["profile"], profile, "{change}");
    }
}

#[tokio::test]
async fn the_answer_is_an_ack_of_nothing() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    let ack = |id: &str| json!({"type": "ack", "id": id, "messageId": "", "queued": false});

    ann.send(&json!({"type": "set_profile", "title": "x"})).await;
    assert_eq!(ann.next().await, ack(""));
    ann.send(&json!({"type": "set_profile", "title": "x", "_reqId": "r 1"})).await;
    let mut with_id = ack("r 1");
    with_id["_reqId"] = json!("r 1");
    assert_eq!(ann.next().await, with_id);
}

#[tokio::test]
async fn it_is_kept_for_the_session_and_told_to_nobody() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    ann.event("peer_joined").await;
    bob.call(json!({"type": "set_profile", "title": "tester"})).await;
    assert_eq!(ann.quiet(|_| true).await, Vec::<Value>::new());

    let mut bob = bob.back(&mesh.edges[0], OLD).await;

    assert_eq!(bob.me().await["profile"], json!({"title": "tester"}));
}

#[tokio::test]
async fn a_wrong_field_changes_nothing() {
    let mesh = TestMesh::start(1).await;
    let (mut old, mut ours) = (mesh.old_peer("ann", 0).await, mesh.peer("bob", 0).await);
    old.event("peer_joined").await;

    for wrong in [json!({"title": 7}), json!({"capabilities": "all"}), json!({"bio": ["x"]})] {
        let mut frame = wrong.clone();
        frame["type"] = json!("set_profile");
        frame["avatar"] = json!("A");
        old.send(&frame).await;
        assert_eq!(ours.call(frame).await["code"], "invalid_message", "{wrong}");
    }

    assert_eq!(old.rest().await, Vec::<Value>::new());
    assert!(old.me().await.get("profile").is_none());
}
