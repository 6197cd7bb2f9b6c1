//! Q6, Q27 and Q41 of memory and tasks.

use serde_json::{Value, json};
use skein_crypto::Keypair;

use crate::harness::{OLD, Peer, TestMesh, hello_frame};

/// An old client whose session is called otherwise than its member.
async fn renamed(mesh: &TestMesh) -> Peer {
    let member = mesh.member("host-42").await;
    let session = Keypair::generate();
    let mut hello = hello_frame(&member, &session, OLD);
    hello["displayName"] = json!("Ann");
    let mut peer = Peer::open(&mesh.edges[0], &member, session).await;
    peer.send(&hello).await;
    assert_eq!(peer.next().await["type"], "hello_ack");
    peer
}

#[tokio::test]
async fn q06_claims_completions_and_forgetting_without_an_id_are_never_answered() {
    let mesh = TestMesh::start(1).await;
    let mut old = mesh.old_peer("ann", 0).await;
    let task = old.call(json!({"type": "create_task", "title": "x"})).await["id"].clone();
    let memory = old.call(json!({"type": "remember", "content": "x"})).await["id"].clone();

    for frame in [
        json!({"type": "claim_task", "taskId": task}),
        json!({"type": "claim_task", "taskId": task}),
        json!({"type": "claim_task", "taskId": "nothing"}),
        json!({"type": "complete_task", "taskId": task, "result": "x"}),
        json!({"type": "complete_task", "taskId": task, "result": "x".repeat(65_537)}),
        json!({"type": "complete_task", "taskId": "nothing"}),
        json!({"type": "forget", "memoryId": memory}),
        json!({"type": "forget", "memoryId": "nothing"}),
    ] {
        old.send(&frame).await;
        assert_eq!(old.rest().await, Vec::<Value>::new(), "{frame}");
    }

    let tasks = old.call(json!({"type": "list_tasks"})).await["tasks"].clone();
    assert_eq!(tasks[0]["status"], "done", "what could be done was done");
}

#[tokio::test]
async fn q27_memories_and_tasks_have_the_enrolment_name() {
    let mesh = TestMesh::start(1).await;
    let mut ann = renamed(&mesh).await;
    assert_eq!(ann.me().await["displayName"], "Ann");

    ann.call(json!({"type": "remember", "content": "parser"})).await;
    let task = ann.call(json!({"type": "create_task", "title": "x"})).await["id"].clone();
    ann.call(json!({"type": "claim_task", "taskId": task})).await;

    let found = ann.call(json!({"type": "recall", "query": "parser"})).await;
    assert_eq!(found["memories"][0]["rememberedBy"], "host-42");
    let tasks = ann.call(json!({"type": "list_tasks"})).await["tasks"].clone();
    assert_eq!(
        (&tasks[0]["createdBy"], &tasks[0]["claimedBy"]),
        (&json!("host-42"), &json!("host-42"))
    );
}

#[tokio::test]
async fn q41_a_task_is_claimed_and_completed_without_confirmation() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let task = ann.call(json!({"type": "create_task", "title": "x"})).await["id"].clone();
    for (frame, status) in [
        (json!({"type": "claim_task", "taskId": task}), "claimed"),
        (json!({"type": "complete_task", "taskId": task}), "done"),
    ] {
        bob.send(&frame).await;

        assert_eq!(bob.rest().await, Vec::<Value>::new());
        let tasks = ann.call(json!({"type": "list_tasks"})).await["tasks"].clone();
        assert_eq!((&tasks[0]["status"], &tasks[0]["claimedBy"]), (&json!(status), &json!("bob")));
    }
}
