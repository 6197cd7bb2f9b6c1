//! Tasks: one winner each, whatever edge they ask, and the truth about it.

mod leases;
mod queue;

use serde_json::{Value, json};
use skein_wire::limit;

use crate::harness::{OURS, Peer, TestMesh};

fn create(title: &str) -> Value {
    json!({"type": "create_task", "title": title})
}

fn claim(id: &Value) -> Value {
    json!({"type": "claim_task", "taskId": id})
}

fn complete(id: &Value) -> Value {
    json!({"type": "complete_task", "taskId": id, "result": "as asked"})
}

fn get(id: &Value) -> Value {
    json!({"type": "get_task", "taskId": id})
}

/// Makes a task; returns its id.
async fn make(peer: &mut Peer, frame: Value) -> Value {
    let created = peer.call(frame).await;
    assert_eq!(created["type"], "task_created", "{created}");
    created["id"].clone()
}

/// A task as a peer of ours reads it.
async fn read(peer: &mut Peer, id: &Value) -> Value {
    peer.call(get(id)).await["task"].clone()
}

async fn list(peer: &mut Peer, filter: Value) -> Vec<Value> {
    let mut frame = json!({"type": "list_tasks"});
    for (name, value) in filter.as_object().unwrap() {
        frame[name] = value.clone();
    }
    let list = peer.call(frame).await;
    assert_eq!(list["type"], "task_list", "{list}");
    list["tasks"].as_array().unwrap().clone()
}

async fn titles(peer: &mut Peer, filter: Value) -> Vec<String> {
    let tasks = list(peer, filter).await;
    tasks.iter().map(|task| task["title"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn old_clients_share_a_task_across_edges_as_the_contract_says() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let frame = json!({"type": "create_task", "title": "index the docs", "assignee": "bob",
                       "priority": "whenever", "tags": ["docs"]});
    let id = make(&mut ann, frame).await;
    let at = list(&mut bob, json!({})).await[0]["createdAt"].clone();
    let task = |status: &str, claimed_by: Value| {
        json!({"id": id, "title": "index the docs", "assignee": "bob", "claimedBy": claimed_by,
               "status": status, "priority": "whenever", "createdBy": "ann", "tags": ["docs"],
               "createdAt": at})
    };
    assert_eq!(list(&mut bob, json!({})).await, [task("open", Value::Null)]);

    bob.send(&claim(&id)).await;
    assert_eq!(bob.rest().await, Vec::<Value>::new(), "nobody waits for an answer");
    assert_eq!(list(&mut ann, json!({})).await, [task("claimed", json!("bob"))]);
    // The same with `_reqId`.
    let done = ann.call(complete(&id)).await;

    assert_eq!(done["type"], "task_list");
    assert_eq!(done["tasks"], json!([task("done", json!("bob"))]));
    assert_eq!(done.get("task"), None);
}

#[tokio::test]
async fn tasks_are_listed_newest_first_and_filtered_by_status_and_assignee() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    let mut ids = Vec::new();
    for (title, assignee) in [("one", "bob"), ("two", ""), ("three", "bob"), ("four", "Bob")] {
        let frame = json!({"type": "create_task", "title": title, "assignee": assignee});
        ids.push(make(&mut ann, frame).await);
    }
    ann.call(claim(&ids[0])).await;
    ann.call(complete(&ids[1])).await;

    for (filter, wanted) in [
        (json!({}), vec!["four", "three", "two", "one"]),
        (json!({"status": "open"}), vec!["four", "three"]),
        (json!({"status": "claimed"}), vec!["one"]),
        (json!({"status": "done"}), vec!["two"]),
        (json!({"status": "completed"}), vec!["two"]),
        (json!({"status": "Open"}), vec![]),
        (json!({"assignee": "bob"}), vec!["three", "one"]),
        (json!({"assignee": "bob", "status": "open"}), vec!["three"]),
        (json!({"assignee": "' or true --"}), vec![]),
    ] {
        assert_eq!(titles(&mut ann, filter.clone()).await, wanted, "{filter}");
    }
    assert_eq!(list(&mut ann, json!({})).await[2]["assignee"], Value::Null, "empty is nobody");
    for n in 0..limit::TASKS_LISTED_MAX {
        make(&mut ann, create(&n.to_string())).await;
    }
    let titles = titles(&mut ann, json!({})).await;
    assert_eq!((titles.len(), titles[0].as_str()), (100, "99"));
}

#[tokio::test]
async fn a_task_goes_to_the_first_claimer_only() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    for _ in 0..20 {
        let id = make(&mut ann, create("index the docs")).await;

        let (first, second) = tokio::join!(ann.call(claim(&id)), bob.call(claim(&id)));

        let (won, lost, winner) = match first["type"] == "task_list" {
            true => (first, second, "ann"),
            false => (second, first, "bob"),
        };
        assert_eq!(won["task"]["claimedBy"], winner);
        assert_eq!(
            (&won["task"]["status"], &won["task"]["claims"]),
            (&json!("claimed"), &json!(1))
        );
        assert_eq!(lost["code"], "task_not_claimable");
        assert_eq!(lost["message"], format!("the task is claimed by {winner}"));
    }
}

#[tokio::test]
async fn ours_are_told_why_a_claim_failed_and_old_clients_only_if_they_asked() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 0).await);
    let done = make(&mut ann, create("done")).await;
    ann.call(complete(&done)).await;
    let waiting = json!({"type": "create_task", "title": "waits", "dependsOn": [json!("x")]});
    assert_eq!(ann.call(waiting).await["code"], "task_not_found");
    let unknown = json!("no-such-task");

    for (frame, code, why) in [
        (claim(&done), "task_not_claimable", "the task is done"),
        (claim(&unknown), "task_not_claimable", "this mesh has no such task"),
        (complete(&unknown), "task_not_found", "task not found in this mesh"),
        (get(&unknown), "task_not_found", "task not found in this mesh"),
        (json!({"type": "claim_task"}), "invalid_message", ""),
    ] {
        let refused = ann.call(frame.clone()).await;
        assert_eq!(refused["code"], code, "{frame}");
        assert!(why.is_empty() || refused["message"] == why, "{refused}");
        old.send(&frame).await;
    }
    let told = old.rest().await;
    // Only `get_task`, which is ours, is always answered.
    assert!(told.iter().all(|frame| frame["code"] == "task_not_found"), "{told:?}");
    assert_eq!(told.len(), 1);
    let refused = old.call(claim(&unknown)).await;
    assert_eq!(
        (&refused["code"], &refused["message"]),
        (&json!("task_not_claimable"), &json!("task is not open or does not exist"))
    );
    assert_eq!(old.call(complete(&unknown)).await["code"], "task_not_found");
}

#[tokio::test]
async fn anybody_completes_a_task_in_any_state_and_ours_read_the_result() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let id = make(&mut ann, create("index the docs")).await;

    let done = bob.call(complete(&id)).await["task"].clone();
    assert_eq!((&done["status"], &done["result"]), (&json!("done"), &json!("as asked")));
    assert_eq!(done["completedBy"], "bob");
    let again = json!({"type": "complete_task", "taskId": id, "result": "better"});
    ann.call(again).await;

    let task = read(&mut bob, &id).await;
    assert_eq!((&task["result"], &task["completedBy"]), (&json!("better"), &json!("ann")));
    assert_eq!(list(&mut ann, json!({})).await[0].get("result"), None, "lists have no results");
}

#[tokio::test]
async fn a_task_waits_until_all_that_it_depends_on_is_done() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let first = make(&mut ann, create("first")).await;
    let second = make(&mut bob, create("second")).await;
    let depends = |title: &str, on: &[&Value]| {
        let mut frame = create(title);
        frame["dependsOn"] = json!(on);
        frame
    };
    let third = make(&mut ann, depends("third", &[&first, &second, &first])).await;
    let last = make(&mut bob, depends("last", &[&third])).await;
    assert_eq!(read(&mut ann, &third).await["waitsFor"], 2);

    let refused = ann.call(claim(&third)).await;
    assert_eq!(refused["message"], "the task waits for 2 others to be done");
    ann.call(complete(&first)).await;
    bob.call(complete(&first)).await;
    assert_eq!(read(&mut bob, &third).await["waitsFor"], 1, "done is done once");
    bob.call(complete(&second)).await;
    assert_eq!(ann.call(claim(&last)).await["code"], "task_not_claimable");
    assert_eq!(bob.call(claim(&third)).await["task"]["status"], "claimed");
    bob.call(complete(&third)).await;
    assert_eq!(ann.call(claim(&last)).await["task"]["status"], "claimed");

    let mut wanted = vec![first.as_str().unwrap(), second.as_str().unwrap()];
    wanted.sort_unstable();
    assert_eq!(read(&mut ann, &third).await["dependsOn"], json!(wanted));
    let after = make(&mut ann, depends("after", &[&first])).await;
    assert_eq!(read(&mut ann, &after).await["waitsFor"], 0);
}

#[tokio::test]
async fn what_is_completed_while_others_come_to_wait_for_it_is_waited_for_by_none() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    for _ in 0..20 {
        let first = make(&mut ann, create("first")).await;
        let then = json!({"type": "create_task", "title": "then", "dependsOn": [first]});

        let (_, then) = tokio::join!(ann.call(complete(&first)), make(&mut bob, then));

        assert_eq!(read(&mut ann, &then).await["waitsFor"], 0);
    }
}

#[tokio::test]
async fn a_task_of_another_mesh_is_no_task_to_wait_for_or_to_claim() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let (other, no) = mesh.other_mesh().await;
    let eve = mesh.member_of(&other, no, "eve").await;
    let mut eve =
        Peer::connect(&mesh.edges[0], &eve, skein_crypto::Keypair::generate(), OURS).await;
    let id = make(&mut ann, create("the truth")).await;

    let waits = json!({"type": "create_task", "title": "x", "dependsOn": [id]});
    assert_eq!(eve.call(waits).await["code"], "task_not_found");
    assert_eq!(eve.call(claim(&id)).await["message"], "this mesh has no such task");
    assert_eq!(eve.call(get(&id)).await["code"], "task_not_found");
    assert_eq!(eve.call(complete(&id)).await["code"], "task_not_found");
    assert_eq!(eve.call(json!({"type": "claim_next"})).await["task"], Value::Null);

    assert_eq!(read(&mut ann, &id).await["status"], "open");
}

#[tokio::test]
async fn those_who_watch_are_told_what_happens_and_nobody_else() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let (mut cat, mut old) = (mesh.peer("cat", 1).await, mesh.old_peer("old", 1).await);
    for peer in [&mut ann, &mut bob] {
        assert_eq!(peer.call(json!({"type": "watch_tasks", "watch": true})).await["type"], "ack");
    }

    let id = make(&mut ann, create("index the docs")).await;
    bob.call(claim(&id)).await;
    cat.call(complete(&id)).await;

    for peer in [&mut ann, &mut bob] {
        for change in ["created", "claimed", "completed"] {
            let told = peer.find(|f| f["type"] == "task_change" && f["change"] == change).await;
            assert_eq!(told["task"]["id"], id);
            assert_eq!(told["task"].get("result"), None);
        }
    }
    bob.call(json!({"type": "watch_tasks", "watch": false})).await;
    make(&mut ann, create("another")).await;
    ann.find(|f| f["type"] == "task_change").await;
    for peer in [&mut bob, &mut cat, &mut old] {
        assert_eq!(peer.quiet(|f| f["type"] == "task_change").await, Vec::<Value>::new());
    }
}

#[tokio::test]
async fn what_a_task_is_made_of_and_how_many_there_are_have_limits() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let x = |n: usize| "x".repeat(n);
    let with = |name: &str, value: Value| {
        let mut frame = create("title");
        frame[name] = value;
        frame
    };
    let id = make(&mut ann, create("title")).await;
    let result = |n: usize| json!({"type": "complete_task", "taskId": id, "result": x(n)});
    let leased = |s: u64| json!({"type": "claim_next", "leaseSeconds": s});

    for (below, above, code) in [
        (
            with("title", json!(x(limit::TASK_TITLE_BYTES_MAX))),
            with("title", json!(x(limit::TASK_TITLE_BYTES_MAX + 1))),
            "too_large",
        ),
        (
            with("assignee", json!(x(limit::TASK_ASSIGNEE_BYTES_MAX))),
            with("assignee", json!(x(limit::TASK_ASSIGNEE_BYTES_MAX + 1))),
            "too_large",
        ),
        (
            with("priority", json!(x(limit::TASK_PRIORITY_BYTES_MAX))),
            with("priority", json!(x(limit::TASK_PRIORITY_BYTES_MAX + 1))),
            "too_large",
        ),
        (
            with("tags", json!(vec![x(limit::TAG_BYTES_MAX); limit::TAGS_MAX])),
            with("tags", json!(vec![x(1); limit::TAGS_MAX + 1])),
            "too_large",
        ),
        (
            with("dependsOn", json!(vec![&id; limit::TASK_DEPENDENCIES_MAX])),
            with("dependsOn", json!(vec![&id; limit::TASK_DEPENDENCIES_MAX + 1])),
            "too_large",
        ),
        (
            leased(limit::LEASE_MAX.as_secs()),
            leased(limit::LEASE_MAX.as_secs() + 1),
            "invalid_message",
        ),
        (leased(1), leased(0), "invalid_message"),
        (
            result(limit::TASK_RESULT_BYTES_MAX),
            result(limit::TASK_RESULT_BYTES_MAX + 1),
            "too_large",
        ),
    ] {
        assert_eq!(ann.call(above).await["code"], code);
        let answer = ann.call(below).await;
        assert_ne!(answer["type"], "error", "{answer}");
    }

    let max = limit::TASKS_MAX;
    mesh.run(&format!("update task_count set n = {max} - 1")).await;
    make(&mut ann, create("the last")).await;
    make(&mut ann, create("in place of the one that is done")).await;
    assert_eq!(ann.call(get(&id)).await["code"], "task_not_found");
    assert_eq!(ann.call(create("one more")).await["code"], "tasks_full");
    assert_eq!(mesh.ask("select n from task_count").await, Some(max.to_string()));
}
