//! Webhooks of clients of 0.8.9 and ours, made on one edge and posted to on another.

use serde_json::{Value, json};

use super::client;
use crate::{
    harness::TestMesh,
    webhooks::{path, post},
};

#[tokio::test]
async fn q34_a_webhook_of_an_old_client_is_posted_to_and_shown_by_everybody() {
    let mesh = TestMesh::start(2).await;
    let (ann, cid) = (client(&mesh, "ann", 0).await, client(&mesh, "cid", 1).await);
    let mut bob = mesh.peer("bob", 1).await;

    let ack = ann.create_webhook("ci").await.unwrap();
    let (url, secret) = (ack["url"].as_str().unwrap(), ack["secret"].as_str().unwrap());
    assert!(url.ends_with(&format!("/hook/{}/{secret}", mesh.id)), "{ack}");
    let listed = cid.list_webhooks().await.unwrap();
    assert_eq!((&listed[0]["name"], &listed[0]["active"]), (&json!("ci"), &json!(true)));
    let answer = post(&mesh, 1, &path(&ack), r#"{"text": "grün 🦊"}"#).await;

    assert_eq!(answer.json(), json!({"ok": true, "delivered": 3}));
    for client in [&ann, &cid] {
        let push = client.inbound(|push| push.raw["subtype"] == "webhook").await;
        assert_eq!(push.text.as_deref(), Some(r#"{"text": "grün 🦊"}"#), "no failed decryption");
        assert_eq!((push.sender.as_str(), push.priority.as_str()), ("webhook:ci", "next"));
        assert_eq!(
            (&push.raw["event"], &push.raw["eventData"]),
            (&json!("ci"), &json!({"text": "grün 🦊"}))
        );
        assert_eq!(client.strays().await, Vec::<Value>::new());
    }
    assert_eq!(bob.push().await["eventData"]["text"], "grün 🦊");
}

#[tokio::test]
async fn q08_an_old_client_is_told_of_a_taken_name_and_takes_it_when_it_is_free() {
    let mesh = TestMesh::start(2).await;
    let (ann, mut bob) = (client(&mesh, "ann", 0).await, mesh.peer("bob", 1).await);
    let his = bob.call(json!({"type": "create_webhook", "name": "ci"})).await;

    let why = ann.create_webhook("ci").await.unwrap_err();
    assert_eq!(why, "webhook_exists: Webhook \"ci\" already exists in this mesh");
    assert_eq!(ann.create_webhook("").await.unwrap_err(), "invalid_webhook: name is required");
    let gone = ann.delete_webhook("ci").await.unwrap();
    assert_eq!((&gone["url"], &gone["secret"]), (&json!(""), &json!("")));
    assert_eq!(ann.delete_webhook("never").await.unwrap()["name"], "never");
    let hers = ann.create_webhook("ci").await.unwrap();

    assert_eq!(post(&mesh, 1, &path(&his), "{}").await.status, 401);
    assert_eq!(post(&mesh, 1, &path(&hers), "{}").await.status, 200);
    bob.push().await;
    bob.call(json!({"type": "delete_webhook", "name": "ci"})).await;
    assert_eq!(post(&mesh, 0, &path(&hers), "{}").await.status, 401);
    assert_eq!(ann.list_webhooks().await.unwrap(), Vec::<Value>::new());
    assert_eq!(ann.strays().await, Vec::<Value>::new());
}
