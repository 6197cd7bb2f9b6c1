//! Leases: who holds a task, for how long, and what happens when the holder is gone. What a worker
//! does now and then is done here at once.

use serde_json::{Value, json};
use skein_crypto::Keypair;
use skein_sql::tasks::{announce, lapse};

use super::{claim, create, make, read};
use crate::harness::{OURS, Peer, TestMesh};

/// Does what a worker does; returns the titles of what it opened again.
async fn sweep(mesh: &TestMesh) -> Vec<String> {
    let db = mesh.edges[0].edge.pool.get().await.unwrap();
    let every: Vec<i32> = (0..skein_sql::duties::BUCKETS).collect();
    let lapsed = lapse(&db, &every).await.unwrap();
    let mut titles = Vec::new();
    announce(&db, &lapsed).await.unwrap();
    for one in lapsed {
        assert_eq!(one.mesh, mesh.no);
        let row = db.query_one("select title from task where id = $1", &[&one.id]).await.unwrap();
        titles.push(row.get("title"));
    }
    titles
}

fn leased(id: &Value, seconds: u32) -> Value {
    json!({"type": "claim_task", "taskId": id, "leaseSeconds": seconds})
}

fn renew(id: &Value, seconds: u32) -> Value {
    json!({"type": "renew_task", "taskId": id, "leaseSeconds": seconds})
}

fn complete_held(id: &Value, result: &str) -> Value {
    json!({"type": "complete_task", "taskId": id, "result": result, "ifHeld": true})
}

/// Lets every lease end.
const END: &str = "update task set leased_until = now() - interval '1 s'
                    where leased_until is not null";

#[tokio::test]
async fn a_lease_that_is_not_renewed_ends_and_another_claims_the_task() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let id = make(&mut ann, create("index")).await;
    let task = ann.call(leased(&id, 60)).await["task"].clone();
    assert_eq!((&task["claimedSession"], &task["claims"]), (&json!(ann.key()), &json!(1)));
    assert!(task["leasedUntil"].as_str() > task["claimedAt"].as_str(), "{task}");
    assert!(sweep(&mesh).await.is_empty());

    mesh.run(END).await;
    assert_eq!(sweep(&mesh).await, ["index"]);

    let open = read(&mut ann, &id).await;
    assert_eq!((&open["status"], &open["claimedBy"]), (&json!("open"), &Value::Null));
    assert_eq!(ann.call(renew(&id, 60)).await["code"], "task_not_held");
    assert_eq!(ann.call(complete_held(&id, "late")).await["code"], "task_not_held");
    assert_eq!(bob.call(leased(&id, 60)).await["task"]["claims"], 2);
    assert_eq!(ann.call(complete_held(&id, "late")).await["code"], "task_not_held");
    assert_eq!(bob.call(complete_held(&id, "mine")).await["task"]["result"], "mine");
}

#[tokio::test]
async fn a_lease_is_held_for_as_long_as_it_is_renewed() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let id = make(&mut ann, create("index")).await;
    ann.call(leased(&id, 60)).await;
    mesh.run(END).await;

    let task = ann.call(renew(&id, 60)).await["task"].clone();

    assert_eq!(task["status"], "claimed");
    assert!(sweep(&mesh).await.is_empty(), "it ends a minute from now");
    assert_eq!(bob.call(renew(&id, 60)).await["code"], "task_not_held");
    let other = Peer::connect(&mesh.edges[0], &ann.member, Keypair::generate(), OURS);
    let refused = other.await.call(renew(&id, 60)).await;
    assert_eq!(refused["code"], "task_not_held", "the session holds it, not its member");
    assert_eq!(ann.call(renew(&json!("x"), 60)).await["code"], "task_not_found");
    assert_eq!(ann.call(renew(&id, 0)).await["code"], "invalid_message");
}

#[tokio::test]
async fn a_renewal_is_seen_on_another_edge_and_holds_the_task_there() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let id = make(&mut ann, create("index")).await;
    ann.call(leased(&id, 60)).await;
    let before = read(&mut bob, &id).await["leasedUntil"].clone();
    mesh.run(END).await;

    let renewed = ann.call(renew(&id, 600)).await["task"]["leasedUntil"].clone();

    let seen = read(&mut bob, &id).await;
    assert_eq!(seen["leasedUntil"], renewed);
    assert!(renewed.as_str() > before.as_str(), "{renewed} {before}");
    assert!(sweep(&mesh).await.is_empty());
    assert_eq!(bob.call(leased(&id, 60)).await["code"], "task_not_claimable");
}

#[tokio::test]
async fn a_lease_ends_when_its_session_is_gone_and_not_while_it_may_come_back() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let (bob_member, bob_session) = (bob.member.clone(), bob.session.clone());
    let key = bob.key();
    let mut bob = bob;
    let id = make(&mut ann, create("index")).await;
    bob.call(leased(&id, 600)).await;

    bob.vanish();
    mesh.until(&format!("select depart_at is not null from session where key = '{key}'"), "true")
        .await;
    assert!(sweep(&mesh).await.is_empty(), "the grace is not over");
    let mut bob = Peer::connect(&mesh.edges[0], &bob_member, bob_session, OURS).await;
    assert!(sweep(&mesh).await.is_empty());
    assert_eq!(bob.call(renew(&id, 600)).await["task"]["status"], "claimed");

    bob.close().await;
    ann.event("peer_left").await;
    assert_eq!(sweep(&mesh).await, ["index"]);
    assert_eq!(read(&mut ann, &id).await["status"], "open");
}

#[tokio::test]
async fn a_lease_of_a_member_outlives_its_session_and_is_held_from_any_other() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let id = make(&mut ann, create("index")).await;
    let frame =
        json!({"type": "claim_task", "taskId": id, "leaseSeconds": 600, "holder": "member"});
    let task = bob.call(frame).await["task"].clone();
    assert_eq!(task.get("claimedSession"), None, "{task}");
    let member = bob.member.clone();

    bob.close().await;
    ann.event("peer_left").await;

    assert!(sweep(&mesh).await.is_empty());
    let mut other = Peer::connect(&mesh.edges[0], &member, Keypair::generate(), OURS).await;
    assert_eq!(other.call(renew(&id, 600)).await["task"]["status"], "claimed");
    assert_eq!(ann.call(complete_held(&id, "x")).await["code"], "task_not_held");
    assert_eq!(other.call(complete_held(&id, "x")).await["task"]["status"], "done");
    mesh.run("update task set status = 'open', completed_at = null, claimed_by = null").await;
    other.call(json!({"type": "claim_next", "leaseSeconds": 1, "holder": "member"})).await;
    mesh.run(END).await;
    assert_eq!(sweep(&mesh).await, ["index"], "it ends by time all the same");
}

#[tokio::test]
async fn a_claim_of_an_old_client_has_no_lease_and_stays() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 0).await);
    let id = make(&mut ann, create("index")).await;
    old.call(claim(&id)).await;
    old.close().await;
    ann.event("peer_left").await;

    assert!(sweep(&mesh).await.is_empty());
    let task = read(&mut ann, &id).await;
    assert_eq!((&task["claimedBy"], task.get("leasedUntil")), (&json!("old"), None));
}

#[tokio::test]
async fn a_completion_that_is_repeated_changes_nothing() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let id = make(&mut ann, create("index")).await;
    ann.call(leased(&id, 60)).await;

    assert_eq!(ann.call(complete_held(&id, "first")).await["task"]["result"], "first");
    assert_eq!(ann.call(complete_held(&id, "again")).await["task"]["result"], "first");
    assert_eq!(bob.call(complete_held(&id, "bob's")).await["code"], "task_not_held");
}

#[tokio::test]
async fn those_who_watch_are_told_that_a_lease_has_ended_on_every_edge_and_every_time() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let id = make(&mut ann, create("index")).await;
    for peer in [&mut ann, &mut bob] {
        peer.call(json!({"type": "watch_tasks", "watch": true})).await;
    }
    for _ in 0..2 {
        bob.call(leased(&id, 60)).await;
        mesh.run(END).await;

        sweep(&mesh).await;

        for peer in [&mut ann, &mut bob] {
            let told = peer.find(|f| f["type"] == "task_change" && f["change"] == "lapsed").await;
            assert_eq!((&told["task"]["id"], &told["task"]["status"]), (&id, &json!("open")));
        }
    }
}
