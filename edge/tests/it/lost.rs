//! Connections to the database that are lost under a request over HTTP: whoever asked is told that
//! it may ask again, and nothing of it is there.

use serde_json::json;
use skein_edge::posting;
use skein_wire::limit;

use crate::{
    api_keys::Key,
    harness::{SOMEBODY_WAITS, TestMesh},
    web::Answer,
    webhooks::{create, path, post},
};

/// Ends whoever waits for a lock in this database.
const END_WHO_WAITS: &str = "select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and wait_event_type = 'Lock'";

/// Asks while nobody may write to a table, and ends the connection that waits for it.
async fn cut(mesh: &TestMesh, table: &str, asking: impl Future<Output = Answer>) -> Answer {
    let db = mesh.edges[0].edge.pool.get().await.unwrap();
    db.batch_execute(&format!("begin; lock table {table}")).await.unwrap();
    let end = async {
        mesh.until(SOMEBODY_WAITS, "true").await;
        mesh.run(END_WHO_WAITS).await;
    };
    let (answer, ()) = tokio::join!(asking, end);
    db.batch_execute("commit").await.unwrap();
    answer
}

/// That it may be asked again, and when.
fn is_again(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    let seconds = limit::RETRY_AFTER_SECONDS.to_string();
    assert_eq!(answer.header("retry-after"), Some(seconds.as_str()), "{answer:?}");
}

#[tokio::test]
async fn a_post_to_a_webhook_is_answered_503_and_not_stored() {
    let mesh = TestMesh::start(1).await;
    let mut bob = mesh.peer("bob", 0).await;
    let call = json!({"name": "ci", "target": bob.key()});
    let hook = path(&create(&mut bob, call).await);

    // Found no more, begun no more, and in the middle of its commit.
    for table in ["webhook", "session", "delivery"] {
        let answer = cut(&mesh, table, post(&mesh, 0, &hook, "[1]")).await;

        is_again(&answer);
        assert_eq!(answer.json(), json!({"ok": false, "error": posting::LOST}), "{table}");
    }
    assert_eq!(mesh.ask("select count(*) from message").await.as_deref(), Some("0"));
    assert_eq!(post(&mesh, 0, &hook, "[2]").await.status, 200);
    assert_eq!(bob.push().await["eventData"], json!([2]));
}

#[tokio::test]
async fn a_message_is_answered_503_and_stored_once_when_it_is_sent_again() {
    let mesh = TestMesh::start(1).await;
    let mut bob = mesh.peer("bob", 0).await;
    let key = Key::make(&mesh, "robot", &["messages:send"]).await;
    let message = json!({"id": "1", "target": bob.key(), "nonce": "n", "ciphertext": "c"});
    let message = message.to_string();
    let send = || key.ask(&mesh, 0, "POST", "/messages", &message);

    let answer = cut(&mesh, "delivery", send()).await;

    is_again(&answer);
    assert_eq!(answer.refusal().1, "unavailable");
    let body = answer.json();
    assert_eq!(body["message"], posting::LOST);
    assert!(body["hint"].as_str().unwrap().contains("same `id`"), "{body}");
    assert_eq!(mesh.ask("select count(*) from message").await.as_deref(), Some("0"));
    assert_eq!(send().await.status, 201);
    assert_eq!(bob.push().await["ciphertext"], "c");
}

#[tokio::test]
async fn what_else_is_stored_over_rest_is_answered_503_and_not_stored() {
    let mesh = TestMesh::start(1).await;
    let can = ["state:write", "tasks:write", "webhooks"];
    let key = Key::make(&mesh, "robot", &can).await;
    let value = json!({"value": 1}).to_string();
    let task = json!({"title": "t"}).to_string();
    let hook = json!({"name": "h"}).to_string();

    for (table, method, rest, body) in [
        ("state", "PUT", "/state/k", &value),
        ("task", "POST", "/tasks", &task),
        ("webhook", "POST", "/webhooks", &hook),
        ("api_key", "PUT", "/state/k", &value),
    ] {
        let answer = cut(&mesh, table, key.ask(&mesh, 0, method, rest, body)).await;

        is_again(&answer);
        assert_eq!(answer.refusal().1, "unavailable", "{table}");
        if table != "api_key" {
            let count = format!("select count(*) from {table}");
            assert_eq!(mesh.ask(&count).await.as_deref(), Some("0"), "{table}");
        }
        let answer = key.ask(&mesh, 0, method, rest, body).await;
        assert!([200, 201].contains(&answer.status), "{table}: {answer:?}");
    }
}
