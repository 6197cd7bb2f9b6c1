//! What a mesh shares, over REST: state, tasks, webhooks, nodes. The rules are the socket's; here
//! it is shown that both sides see the same.

use serde_json::{Value, json};

use crate::{
    api_keys::{ALL, Key},
    harness::TestMesh,
    web::{As, ask},
};

#[tokio::test]
async fn state_is_the_same_over_rest_and_over_sockets() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.peer("ann", 1).await;
    let key = Key::make(&mesh, "robot", &ALL).await;

    let set = json!({"value": {"b": 1, "a": [null, "x"]}});
    assert_eq!(key.get(&mesh, 200, "PUT", "/state/dir%2Fkey", set).await, json!({"version": 1}));
    let change = ann.find(|f| f["type"] == "state_change").await;
    assert_eq!((&change["key"], &change["updatedBy"]), (&json!("dir/key"), &json!("robot")));
    assert_eq!(change["value"], json!({"b": 1, "a": [null, "x"]}));
    let entry = key.get(&mesh, 200, "GET", "/state/dir%2Fkey", Value::Null).await;
    assert_eq!((&entry["value"], &entry["version"]), (&change["value"], &json!(1)));
    ann.call(json!({"type": "set_state", "key": "other", "value": null})).await;
    let list = key.get(&mesh, 200, "GET", "/state", Value::Null).await;
    let keys: Vec<_> = list["entries"].as_array().unwrap().iter().map(|e| &e["key"]).collect();
    assert_eq!((json!(keys), list.get("next")), (json!(["dir/key", "other"]), None));
    let list = key.get(&mesh, 200, "GET", "/state?prefix=o", Value::Null).await;
    assert_eq!(list["entries"][0]["value"], Value::Null);

    let wrong = json!({"value": 2, "ifVersion": 7}).to_string();
    let answer = key.ask(&mesh, 0, "PUT", "/state/dir%2Fkey", &wrong).await;
    assert_eq!(answer.refusal(), (409, "version_mismatch".to_owned()));
    key.get(&mesh, 200, "PUT", "/state/dir%2Fkey", json!({"value": 2, "ifVersion": 1})).await;
    let answer = key.ask(&mesh, 0, "DELETE", "/state/dir%2Fkey?ifVersion=1", "").await;
    assert_eq!(answer.refusal(), (409, "version_mismatch".to_owned()));
    key.get(&mesh, 204, "DELETE", "/state/dir%2Fkey?ifVersion=2", Value::Null).await;
    for method in ["GET", "DELETE"] {
        let answer = key.ask(&mesh, 0, method, "/state/dir%2Fkey", "").await;
        assert_eq!(answer.refusal(), (404, "not_found".to_owned()), "{method}");
    }
}

#[tokio::test]
async fn members_use_the_state_signed_and_others_do_not() {
    let mesh = TestMesh::start(1).await;
    let ann = mesh.member("ann").await;
    let (port, path) = (mesh.edges[0].port, format!("/v1/meshes/{}/state/k", mesh.id));
    let (who, body) = (As::Key(&ann.keys.secret), json!({"value": 1}).to_string());

    assert_eq!(ask(port, who, "PUT", &path, &body).await.status, 200);

    let entry = ask(port, who, "GET", &path, "").await.json();
    assert_eq!((&entry["value"], &entry["updatedBy"]), (&json!(1), &json!("ann")));
    let operator = ask(port, As::Operator, "GET", &path, "").await;
    assert_eq!(operator.refusal(), (403, "forbidden".to_owned()));
    let nul = ask(port, who, "PUT", &path, r#"{"value": "a\u0000"}"#).await;
    assert_eq!(nul.refusal(), (400, "invalid_request".to_owned()));
}

#[tokio::test]
async fn tasks_are_made_claimed_renewed_and_done_over_rest() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.peer("ann", 1).await;
    let (robot, other) =
        (Key::make(&mesh, "robot", &ALL).await, Key::make(&mesh, "other", &ALL).await);

    let new = json!({"title": "index", "priority": "high", "tags": ["docs"]});
    let id = robot.get(&mesh, 201, "POST", "/tasks", new).await["id"].clone();
    let path = format!("/tasks/{}", id.as_str().unwrap());
    let listed = ann.call(json!({"type": "list_tasks"})).await;
    assert_eq!(
        (&listed["tasks"][0]["id"], &listed["tasks"][0]["createdBy"]),
        (&id, &json!("robot"))
    );
    let none = robot.get(&mesh, 200, "POST", "/tasks/next", json!({"tags": ["none"]})).await;
    assert_eq!(none.get("task"), None, "{none}");
    let next = json!({"tags": ["docs"], "leaseSeconds": 60});
    let claimed = robot.get(&mesh, 200, "POST", "/tasks/next", next).await["task"].clone();
    assert_eq!((&claimed["id"], &claimed["claimedBy"]), (&id, &json!("robot")));
    assert!(claimed["leasedUntil"].is_string());

    let answer = other.ask(&mesh, 1, "POST", &format!("{path}/claim"), "{}").await;
    assert_eq!(answer.refusal(), (409, "task_not_claimable".to_owned()));
    let renew = json!({"leaseSeconds": 90});
    let answer = other.ask(&mesh, 1, "POST", &format!("{path}/renew"), &renew.to_string()).await;
    assert_eq!(answer.refusal(), (409, "task_not_held".to_owned()));
    robot.get(&mesh, 200, "POST", &format!("{path}/renew"), renew).await;
    let done = json!({"result": "ok", "ifHeld": true});
    let answer = other.ask(&mesh, 1, "POST", &format!("{path}/complete"), &done.to_string()).await;
    assert_eq!(answer.refusal(), (409, "task_not_held".to_owned()));
    let task = robot.get(&mesh, 200, "POST", &format!("{path}/complete"), done).await;
    assert_eq!((&task["status"], &task["result"]), (&json!("done"), &json!("ok")));
    assert_eq!(robot.get(&mesh, 200, "GET", &path, Value::Null).await["completedBy"], "robot");
    let tasks = robot.get(&mesh, 200, "GET", "/tasks?status=open", Value::Null).await;
    assert_eq!(tasks, json!({"tasks": []}));
    let unknown = robot.ask(&mesh, 0, "GET", "/tasks/unknown", "").await;
    assert_eq!(unknown.refusal(), (404, "task_not_found".to_owned()));
}

#[tokio::test]
async fn webhooks_are_made_listed_and_ended_over_rest() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let key = Key::make(&mesh, "robot", &ALL).await;

    let made = key.get(&mesh, 201, "POST", "/webhooks", json!({"name": "c/i"})).await;
    let path = made["url"].as_str().unwrap().split_once("/hook/").unwrap().1;
    let posted = ask(mesh.edges[0].port, As::Nobody, "POST", &format!("/hook/{path}"), "[1]").await;
    assert_eq!(posted.json(), json!({"ok": true, "delivered": 1}));
    assert_eq!(ann.push().await["eventData"], json!([1]));
    let listed = key.get(&mesh, 200, "GET", "/webhooks", Value::Null).await;
    assert_eq!(listed["webhooks"][0]["url"], made["url"]);
    let again = key.ask(&mesh, 0, "POST", "/webhooks", &json!({"name": "c/i"}).to_string()).await;
    assert_eq!(again.refusal(), (409, "webhook_exists".to_owned()));
    let nobody = json!({"name": "x", "target": "ab".repeat(32)}).to_string();
    let answer = key.ask(&mesh, 0, "POST", "/webhooks", &nobody).await;
    assert_eq!(answer.refusal(), (404, "unknown_target".to_owned()));

    key.get(&mesh, 204, "DELETE", "/webhooks/c%2Fi", Value::Null).await;
    let answer = key.ask(&mesh, 0, "DELETE", "/webhooks/c%2Fi", "").await;
    assert_eq!(answer.refusal(), (404, "not_found".to_owned()), "it ended nothing");
    let listed = key.get(&mesh, 200, "GET", "/webhooks", Value::Null).await;
    assert_eq!(listed, json!({"webhooks": []}));
}

#[tokio::test]
async fn the_operator_sees_the_nodes() {
    let mesh = TestMesh::start(2).await;
    let _ann = mesh.peer("ann", 1).await;
    let owner = As::Key(&mesh.owner.secret);

    let nodes = ask(mesh.edges[0].port, As::Operator, "GET", "/v1/nodes", "").await.json();

    let nodes = nodes["nodes"].as_array().unwrap();
    let shown: Vec<_> = nodes.iter().map(|n| json!([n["kind"], n["state"], n["peers"]])).collect();
    assert_eq!(shown, [json!(["edge", "alive", 0]), json!(["edge", "alive", 1])]);
    let url = format!("ws://127.0.0.1:{}/ws", mesh.edges[0].port);
    assert_eq!(nodes[0]["url"], url.as_str());
    for (who, refusal) in [(As::Nobody, (401, "unauthorized")), (owner, (403, "forbidden"))] {
        let answer = ask(mesh.edges[0].port, who, "GET", "/v1/nodes", "").await;
        assert_eq!(answer.refusal(), (refusal.0, refusal.1.to_owned()));
    }
}

#[tokio::test]
async fn a_method_that_a_route_does_not_take_is_405() {
    let mesh = TestMesh::start(1).await;
    for (method, path) in [("PUT", "/v1/meshes"), ("TRACE", "/v1/meshes"), ("PATCH", "/v1/nodes")] {
        let answer = ask(mesh.edges[0].port, As::Operator, method, path, "").await;
        assert_eq!(answer.refusal(), (405, "method_not_allowed".to_owned()), "{method} {path}");
        let allowed = if path == "/v1/nodes" { "GET" } else { "POST" };
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
    }
}

#[tokio::test]
async fn the_operator_sees_the_workers_their_shares_and_how_late_they_are() {
    let mesh = TestMesh::start(1).await;
    mesh.run(
        "insert into node (kind, region) values ('worker', 'attic'), ('worker', 'cellar');
         insert into duty_report (node, kind, n_buckets, n_done, late_ms_max, late_ms_p99, at)
         select id, 'schedule', 64, 1200, 40, 12, now() from node where region = 'attic'",
    )
    .await;
    let owner = As::Key(&mesh.owner.secret);
    let port = mesh.edges[0].port;

    let workers = ask(port, As::Operator, "GET", "/v1/workers", "").await.json();

    let (attic, cellar) = (&workers["workers"][0], &workers["workers"][1]);
    assert_eq!((&attic["region"], &attic["state"]), (&json!("attic"), &json!("alive")));
    let mut duty = attic["duties"][0].clone();
    assert!(duty["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{duty}");
    duty["at"] = json!(0);
    let said = json!({"kind": "schedule", "buckets": 64, "done": 1200, "lateMsMax": 40,
                      "lateMsP99": 12, "at": 0});
    assert_eq!((&duty, &cellar["duties"]), (&said, &json!([])));
    for (who, refusal) in [(As::Nobody, (401, "unauthorized")), (owner, (403, "forbidden"))] {
        let answer = ask(port, who, "GET", "/v1/workers", "").await;
        assert_eq!(answer.refusal(), (refusal.0, refusal.1.to_owned()));
    }
}
