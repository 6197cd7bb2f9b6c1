//! Groups: joining and leaving, listed, kept, and heard at once.

use serde_json::{Value, json};

use crate::harness::{OLD, TestMesh};

fn join(name: &str, role: Option<&str>) -> Value {
    match role {
        Some(role) => json!({"type": "join_group", "name": name, "role": role}),
        None => json!({"type": "join_group", "name": name}),
    }
}

#[tokio::test]
async fn a_group_is_joined_changed_and_left() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;

    for (frame, groups) in [
        (join("dev", None), json!([{"name": "dev"}])),
        (join("dev", Some("lead")), json!([{"name": "dev", "role": "lead"}])),
        (join("@dev", Some("")), json!([{"name": "dev"}])),
        (join("ops", None), json!([{"name": "dev"}, {"name": "ops"}])),
        (
            json!({"type": "leave_group", "name": "nowhere"}),
            json!([{"name": "dev"}, {"name": "ops"}]),
        ),
        (json!({"type": "leave_group", "name": "@dev"}), json!([{"name": "ops"}])),
    ] {
        ann.send(&frame).await;
        assert_eq!(ann.me().await["groups"], groups, "{frame}");
    }
}

#[tokio::test]
async fn groups_that_are_joined_in_one_breath_are_all_kept() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    let names = ["a", "b/c", "O'Brien; drop table mesh", "Köln", "x y"];

    for name in names {
        ann.send(&join(name, None)).await;
    }
    let ann = ann.back(&mesh.edges[1], OLD).await;

    let groups: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
    assert_eq!(ann.welcome["restoredGroups"], json!(groups));
}

#[tokio::test]
async fn a_group_hears_at_once_and_no_longer_than_it_is_joined() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let group = "O'Brien; drop table mesh";
    bob.send(&join(group, None)).await;
    bob.rest().await;

    ann.message(&format!("@{group}"), "next", "in").await;
    assert_eq!(bob.push().await["ciphertext"], json!("in"));
    bob.send(&json!({"type": "leave_group", "name": group})).await;
    bob.rest().await;
    let ack = ann.message(&format!("@{group}"), "next", "out").await;

    assert_eq!(ack["recipients"], json!(0));
    assert_eq!(bob.quiet(|f| f["ciphertext"] == "out").await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_name_that_is_no_path_joins_nothing() {
    let mesh = TestMesh::start(1).await;
    let (mut old, mut ours) = (mesh.old_peer("ann", 0).await, mesh.peer("bob", 0).await);
    old.event("peer_joined").await;

    for name in ["", "@", "@@a", "/", "a/", "/a", "a//b", "a\nb"] {
        old.send(&join(name, None)).await;
        let error = ours.call(join(name, None)).await;
        assert_eq!(error["code"], "invalid_message", "{name:?}");
        let error = ours.call(json!({"type": "leave_group", "name": name})).await;
        assert_eq!(error["code"], "invalid_message", "{name:?}");
    }

    assert_eq!(old.rest().await, Vec::<Value>::new(), "no word to an old client");
    assert_eq!((&old.me().await["groups"], &ours.me().await["groups"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn joining_and_leaving_is_told_to_nobody() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    ann.event("peer_joined").await;

    bob.send(&join("dev", None)).await;
    bob.send(&json!({"type": "leave_group", "name": "dev"})).await;
    assert_eq!(bob.rest().await, Vec::<Value>::new());

    assert_eq!(ann.quiet(|_| true).await, Vec::<Value>::new());
}
