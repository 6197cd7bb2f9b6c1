//! Tasks and streams, between clients of 0.8.9 and ours, across edges, both ways.

use serde_json::{Value, json};

use super::{client, peer::Client, url};
use crate::harness::TestMesh;

/// The tasks as (title, status, who claimed), newest first.
async fn tasks(client: &Client, status: Option<&str>) -> Vec<(String, String, Value)> {
    let tasks = client.list_tasks(status).await.unwrap();
    let text = |task: &Value, name: &str| task[name].as_str().unwrap().to_owned();
    tasks
        .iter()
        .map(|task| (text(task, "title"), text(task, "status"), task["claimedBy"].clone()))
        .collect()
}

fn is(title: &str, status: &str, claimed_by: Value) -> (String, String, Value) {
    (title.to_owned(), status.to_owned(), claimed_by)
}

#[tokio::test]
async fn q41_a_task_of_either_is_claimed_and_completed_by_the_other() {
    let mesh = TestMesh::start(2).await;
    let (ann, mut bob) = (client(&mesh, "ann", 0).await, mesh.peer("bob", 1).await);
    let hers = ann.create_task("hers", Some("bob")).await.unwrap();
    let his = bob.call(json!({"type": "create_task", "title": "his"})).await["id"].clone();
    let his = his.as_str().unwrap();

    ann.claim_task(his);
    assert_eq!(
        tasks(&ann, None).await,
        [is("his", "claimed", json!("ann")), is("hers", "open", Value::Null)]
    );
    let claimed = bob.call(json!({"type": "claim_task", "taskId": hers})).await;
    assert_eq!(claimed["task"]["claimedBy"], "bob");
    let lost = bob.call(json!({"type": "claim_task", "taskId": his})).await;
    assert_eq!(lost["message"], "the task is claimed by ann");
    ann.complete_task(his, "as asked");
    let done = json!({"type": "complete_task", "taskId": hers, "result": "x"});
    bob.call(done).await;

    let both = [is("his", "done", json!("ann")), is("hers", "done", json!("bob"))];
    // What its own tool offers for `done`, and what is stored.
    for status in [None, Some("completed"), Some("done")] {
        assert_eq!(tasks(&ann, status).await, both, "{status:?}");
    }
    let read = bob.call(json!({"type": "get_task", "taskId": his})).await;
    assert_eq!(read["task"]["result"], "as asked");
    let listed = ann.list_tasks(None).await.unwrap();
    let fields: Vec<&String> = listed[0].as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        [
            "assignee",
            "claimedBy",
            "createdAt",
            "createdBy",
            "id",
            "priority",
            "status",
            "tags",
            "title"
        ]
    );
    assert_eq!(ann.strays().await, Vec::<Value>::new());
}

#[tokio::test]
async fn q06_claims_and_completions_that_come_to_nothing_fail_nothing_that_waits() {
    let mesh = TestMesh::start(2).await;
    let (ann, mut bob) = (client(&mesh, "ann", 0).await, mesh.peer("bob", 1).await);
    let task = ann.create_task("x", None).await.unwrap();
    bob.call(json!({"type": "claim_task", "taskId": task})).await;

    for round in 0..10 {
        ann.claim_task(&task);
        ann.complete_task("nothing", "x");
        ann.forget("nothing");
        let (listed, streams, found) =
            tokio::join!(ann.list_tasks(Some("claimed")), ann.list_streams(), async {
                ann.claim_task("nothing");
                ann.recall("x").await
            });
        assert_eq!(listed.unwrap().len(), 1, "round {round}");
        assert_eq!((streams.unwrap().len(), found.unwrap().len()), (0, 0));
    }

    assert_eq!(ann.errors(), Vec::<Value>::new());
    assert_eq!(ann.strays().await, Vec::<Value>::new());
}

#[tokio::test]
async fn data_of_either_is_a_line_for_the_other_in_its_order_and_none_for_its_publisher() {
    let mesh = TestMesh::start(2).await;
    let (ann, mut bob) = (client(&mesh, "ann", 0).await, mesh.peer("bob", 1).await);
    let cid = client(&mesh, "cid", 1).await;
    assert_eq!(ann.create_stream("ci").await, ann.create_stream("ci").await, "one id");
    for peer in [&ann, &cid] {
        peer.subscribe("ci");
        peer.peers().await;
    }
    bob.call(json!({"type": "subscribe", "stream": "ci"})).await;
    assert_eq!(cid.list_streams().await.unwrap()[0]["subscriberCount"], 3);

    for n in 0..20 {
        ann.publish("ci", json!({"n": n}));
    }
    for n in 0..20 {
        assert_eq!(bob.find(|f| f["type"] == "stream_data").await["data"]["n"], n);
        let line = cid.line("[stream:").await;
        assert_eq!(line.text, format!(r#"[stream:ci] from ann: {{"n":{n}}}"#));
        let contract = json!({"type": "stream_data", "stream": "ci", "data": {"n": n},
                              "publishedBy": "ann"});
        assert_eq!(line.raw, contract, "no word of ours");
    }
    assert_eq!(ann.quiet_lines().await, Vec::<String>::new());
    bob.call(json!({"type": "publish", "stream": "ci", "data": "done"})).await;
    for peer in [&ann, &cid] {
        assert_eq!(peer.line("[stream:").await.text, r#"[stream:ci] from bob: "done""#);
        assert_eq!(peer.strays().await, Vec::<Value>::new());
    }
    cid.unsubscribe("ci");
    cid.publish("unheard of", json!(null));
    assert_eq!(cid.list_streams().await.unwrap()[0]["subscriberCount"], 2);
    bob.call(json!({"type": "publish", "stream": "ci", "data": "more"})).await;
    assert_eq!(ann.line("[stream:").await.text, r#"[stream:ci] from bob: "more""#);
    assert_eq!(cid.quiet_lines().await, Vec::<String>::new());
    assert_eq!(cid.strays().await, Vec::<Value>::new());
}

#[tokio::test]
async fn q37_after_a_reconnect_it_listens_to_nothing_until_its_user_subscribes_again() {
    let mesh = TestMesh::start(2).await;
    let (ann, mut bob) = (client(&mesh, "ann", 0).await, mesh.peer("bob", 1).await);
    ann.create_stream("ci").await.unwrap();
    ann.subscribe("ci");
    ann.peers().await;

    ann.lose().await;
    ann.lead_to(&url(&mesh, 1));
    ann.hurry().await;

    assert_eq!(ann.list_streams().await.unwrap()[0]["subscriberCount"], 0);
    bob.call(json!({"type": "publish", "stream": "ci", "data": "unheard"})).await;
    assert_eq!(ann.quiet_lines().await, Vec::<String>::new());
    // State needs no subscription.
    bob.call(json!({"type": "set_state", "key": "k", "value": 1})).await;
    assert_eq!(ann.line("[state]").await.text, "[state] k = 1 (set by bob)");
    ann.subscribe("ci");
    ann.peers().await;
    bob.call(json!({"type": "publish", "stream": "ci", "data": "heard"})).await;
    assert_eq!(ann.line("[stream:").await.text, r#"[stream:ci] from bob: "heard""#);
    assert_eq!(ann.strays().await, Vec::<Value>::new());
}
