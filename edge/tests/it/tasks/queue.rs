//! The next task: one winner each, none passed over, the most urgent first.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{complete, create, make};
use crate::harness::{Peer, SOON, TestMesh};

fn next() -> Value {
    json!({"type": "claim_next"})
}

async fn title_of_next(peer: &mut Peer, frame: Value) -> Value {
    let result = peer.call(frame).await;
    assert_eq!(result["type"], "task_result", "{result}");
    result["task"]["title"].clone()
}

#[tokio::test]
async fn the_next_task_is_the_most_urgent_and_of_those_the_oldest() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    for (title, priority) in [
        ("low", "low"),
        ("odd", "whenever"),
        ("normal", "normal"),
        ("urgent 1", "urgent"),
        ("high", "high"),
        ("urgent 2", "urgent"),
    ] {
        make(&mut ann, json!({"type": "create_task", "title": title, "priority": priority})).await;
    }

    for title in ["urgent 1", "urgent 2", "high", "odd", "normal", "low"] {
        assert_eq!(title_of_next(&mut ann, next()).await, title);
    }
    assert_eq!(ann.call(next()).await["task"], Value::Null);
}

#[tokio::test]
async fn a_claimer_gets_what_is_for_it_or_for_anybody_and_has_the_tags() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    bob.call(json!({"type": "join_group", "name": "dev/backend"})).await;
    let names = ["bob".to_owned(), bob.key(), bob.member.keys.public.hex(), "@dev".into()];
    for name in &names {
        make(&mut ann, json!({"type": "create_task", "title": name, "assignee": name})).await;
    }
    for name in ["ann", "Bob", "@ops", "@dev/backend/x"] {
        make(&mut ann, json!({"type": "create_task", "title": "not bob's", "assignee": name}))
            .await;
    }
    let tagged = |tags: Value| json!({"type": "create_task", "title": "tagged", "tags": tags});
    make(&mut ann, tagged(json!(["rust", "docs"]))).await;

    let wants = |tags: Value| json!({"type": "claim_next", "tags": tags});
    assert_eq!(title_of_next(&mut bob, wants(json!(["rust", "tests"]))).await, Value::Null);
    assert_eq!(title_of_next(&mut bob, wants(json!(["docs", "rust"]))).await, "tagged");
    for name in names {
        assert_eq!(title_of_next(&mut bob, next()).await, json!(name));
    }
    assert_eq!(title_of_next(&mut bob, next()).await, Value::Null);
    assert_eq!(title_of_next(&mut ann, next()).await, "not bob's");
    assert_eq!(title_of_next(&mut ann, next()).await, Value::Null);
}

#[tokio::test]
async fn fifty_claimers_on_two_edges_share_the_tasks_exactly() {
    const TASKS: usize = 300;
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.peer("ann", 0).await;
    for n in 0..TASKS {
        make(&mut ann, create(&n.to_string())).await;
    }
    let mut claimers = Vec::new();
    for n in 0..50 {
        claimers.push(mesh.peer(&format!("p{n}"), n % 2).await);
    }

    let working = claimers.into_iter().map(|mut peer| {
        tokio::spawn(async move {
            let mut won = Vec::new();
            loop {
                let task = peer.call(next()).await["task"].clone();
                if task.is_null() {
                    return won;
                }
                peer.call(complete(&task["id"])).await;
                won.push(task["title"].as_str().unwrap().to_owned());
            }
        })
    });
    let mut winners: BTreeMap<String, usize> = BTreeMap::new();
    for won in working.collect::<Vec<_>>() {
        won.await.unwrap().into_iter().for_each(|title| *winners.entry(title).or_default() += 1);
    }

    assert_eq!(winners.len(), TASKS);
    assert!(winners.values().all(|n| *n == 1), "{winners:?}");
    assert_eq!(
        mesh.ask("select count(*) from task where status = 'done' and claims = 1").await,
        Some(TASKS.to_string())
    );
}

#[tokio::test]
async fn a_task_that_another_lets_go_in_the_last_moment_is_not_passed_over() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    make(&mut ann, create("the only one")).await;
    // A claim that is under way, and comes to nothing.
    let mut db = mesh.edges[0].edge.pool.get().await.unwrap();
    let holding = db.transaction().await.unwrap();
    holding.execute("select from task for update", &[]).await.unwrap();

    ann.send(&json!({"type": "claim_next", "_reqId": "next"})).await;
    let early = ann.quiet(|f| f["_reqId"] == "next").await;
    holding.rollback().await.unwrap();

    assert_eq!(early, Vec::<Value>::new(), "it is not said that there is none");
    let result = tokio::time::timeout(SOON, ann.find(|f| f["_reqId"] == "next")).await.unwrap();
    assert_eq!(result["task"]["title"], "the only one");
}

#[tokio::test]
async fn a_claimer_passes_over_what_is_just_being_claimed_and_takes_another() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    make(&mut ann, create("first")).await;
    make(&mut ann, create("second")).await;
    let mut db = mesh.edges[0].edge.pool.get().await.unwrap();
    let holding = db.transaction().await.unwrap();
    holding.execute("select from task where title = 'first' for update", &[]).await.unwrap();

    assert_eq!(title_of_next(&mut ann, next()).await, "second");

    // What stays held is neither given away nor said not to be there.
    let refused = ann.call(next()).await;
    assert_eq!(refused["code"], "unavailable", "{refused}");
    holding.rollback().await.unwrap();
    assert_eq!(title_of_next(&mut ann, next()).await, "first");
}
