//! Stats: replaced as reported; totals take the highest value ever reported.

use serde_json::{Value, json};

use crate::harness::{OLD, TestMesh};

fn stats(stats: Value) -> Value {
    json!({"type": "set_stats", "stats": stats})
}

#[tokio::test]
async fn they_are_listed_as_reported_and_replaced_whole() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    assert!(ann.me().await.get("stats").is_none(), "nothing was reported yet");

    for reported in [
        json!({"messagesIn": 1, "uptime": 60.5, "ours": {"deep": [1, "x", null]}}),
        json!({"messagesOut": 2}),
        json!({}),
    ] {
        ann.send(&stats(reported.clone())).await;
        assert_eq!(ann.me().await["stats"], reported);
    }
}

#[tokio::test]
async fn they_are_those_of_this_attachment() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    ann.send(&stats(json!({"messagesIn": 1}))).await;
    ann.rest().await;

    let mut ann = ann.back(&mesh.edges[0], OLD).await;

    assert!(ann.me().await.get("stats").is_none());
}

#[tokio::test]
async fn q26_totals_are_the_highest_ever_reported_and_never_added() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    // The client counts on from what it was given back, and reports totals.
    for (reported, total) in [(5, 5), (7, 7), (3, 7), (7, 7)] {
        ann.send(&stats(json!({"messagesIn": reported, "errors": 1}))).await;
        ann.rest().await;
        ann = ann.back(&mesh.edges[1], OLD).await;
        let restored = json!({"messagesIn": total, "messagesOut": 0, "toolCalls": 0, "errors": 1});
        assert_eq!(ann.welcome["restoredStats"], restored);
    }
}

#[tokio::test]
async fn counters_that_are_no_numbers_count_for_nothing() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    let odd = json!({"messagesIn": "9", "messagesOut": null, "toolCalls": [9], "errors": -3});
    ann.send(&stats(odd.clone())).await;
    assert_eq!(ann.me().await["stats"], odd);
    ann.send(&stats(json!({"messagesIn": 1e300, "toolCalls": 2.5}))).await;
    ann.rest().await;

    let ann = ann.back(&mesh.edges[0], OLD).await;

    let restored = &ann.welcome["restoredStats"];
    assert_eq!((&restored["toolCalls"], &restored["errors"]), (&json!(2.5), &json!(0)));
    assert_eq!(restored["messagesIn"].as_f64(), Some(1e300));
}

#[tokio::test]
async fn stats_that_are_no_object_change_nothing() {
    let mesh = TestMesh::start(1).await;
    let (mut old, mut ours) = (mesh.old_peer("ann", 0).await, mesh.peer("bob", 0).await);
    old.event("peer_joined").await;
    for wrong in [json!(7), json!(null), json!([]), json!("x")] {
        old.send(&stats(wrong.clone())).await;
        assert_eq!(ours.call(stats(wrong.clone())).await["code"], "invalid_message", "{wrong}");
    }
    old.send(&json!({"type": "set_stats"})).await;

    assert_eq!(old.rest().await, Vec::<Value>::new());
    assert!(old.me().await.get("stats").is_none());
}
