//! Signed webhooks: what their senders signed is taken, once, and nothing else.

use jiff::Timestamp;
use serde_json::{Value, json};
use skein_crypto::webhook;

use super::{create, list, path, post, refused};
use crate::{
    harness::{SOMEBODY_WAITS, TestMesh},
    web::{Answer, send},
};

/// A signed post, so many seconds ago.
async fn post_signed(
    mesh: &TestMesh,
    edge: usize,
    ack: &Value,
    id: &str,
    age_s: i64,
    body: &str,
) -> Answer {
    let at = Timestamp::now().as_second() - age_s;
    let signature = webhook::sign(ack["secret"].as_str().unwrap(), id, at, body.as_bytes());
    post_with(mesh, edge, ack, id, &at.to_string(), &signature.unwrap(), body).await
}

async fn post_with(
    mesh: &TestMesh,
    edge: usize,
    ack: &Value,
    id: &str,
    at: &str,
    signature: &str,
    body: &str,
) -> Answer {
    let headers = [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", at.to_owned()),
        ("webhook-signature", signature.to_owned()),
    ];
    send(mesh.edges[edge].port, "POST", &path(ack), &headers, body).await
}

#[tokio::test]
async fn a_signed_webhook_takes_what_its_sender_signed_and_nothing_else() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let ack = create(&mut ann, json!({"name": "pay", "signed": true})).await;
    let secret = ack["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && !ack["url"].as_str().unwrap().contains(secret));
    let now = Timestamp::now().as_second().to_string();
    let other = webhook::sign(&webhook::generate(), "m", now.parse().unwrap(), b"{}").unwrap();
    let good = webhook::sign(secret, "m", now.parse().unwrap(), b"{}").unwrap();

    let bare = refused(&post(&mesh, 0, &path(&ack), "{}").await);
    assert_eq!(bare.0, 401);
    for (id, at, signature, body) in [
        ("m", now.as_str(), other.as_str(), "{}"),
        ("m", now.as_str(), good.as_str(), "[]"),
        ("n", now.as_str(), good.as_str(), "{}"),
        ("m", "1", good.as_str(), "{}"),
        ("m", "soon", good.as_str(), "{}"),
        ("m", now.as_str(), "", "{}"),
        ("", now.as_str(), good.as_str(), "{}"),
    ] {
        let answer = post_with(&mesh, 0, &ack, id, at, signature, body).await;
        assert_eq!(refused(&answer).0, 401, "{id} {at} {signature} {body}");
    }
    for age_s in [400, -400] {
        let answer = post_signed(&mesh, 0, &ack, "old", age_s, "{}").await;
        assert_eq!(refused(&answer), (401, "signed more than five minutes from now".to_owned()));
    }
    assert_eq!(ann.rest().await, Vec::<Value>::new());

    for (id, age_s) in [("now", 0), ("late", 280), ("early", -280)] {
        let body = json!([id]).to_string();
        assert_eq!(post_signed(&mesh, 0, &ack, id, age_s, &body).await.status, 200, "{id}");
        assert_eq!(ann.push().await["eventData"], json!([id]));
    }
    let listed = list(&mut ann).await;
    assert_eq!((&listed[0]["signed"], &listed[0]["url"]), (&json!(true), &ack["url"]));
}

#[tokio::test]
async fn a_signed_post_is_taken_once_on_whichever_edge() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.peer("ann", 0).await;
    let ack = create(&mut ann, json!({"name": "pay", "signed": true})).await;
    let twin = create(&mut ann, json!({"name": "twin", "signed": true})).await;

    let (first, second) = tokio::join!(
        post_signed(&mesh, 0, &ack, "m1", 0, "[1]"),
        post_signed(&mesh, 1, &ack, "m1", 0, "[1]"),
    );
    let third = post_signed(&mesh, 1, &ack, "m1", 10, "[1]").await;
    let of_twin = post_signed(&mesh, 1, &twin, "m1", 0, "[2]").await;

    let taken = [&first, &second].into_iter().filter(|answer| answer.status == 200).count();
    assert_eq!(taken, 1, "{first:?} {second:?}");
    assert_eq!(refused(&third), (409, "replayed".to_owned()));
    assert_eq!(of_twin.status, 200, "another webhook's ids are its own");
    assert_eq!(ann.push().await["eventData"], json!([1]));
    assert_eq!(ann.push().await["eventData"], json!([2]));
    assert_eq!(ann.rest().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_post_to_a_webhook_that_ends_at_that_moment_is_told_so() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let ack = create(&mut ann, json!({"name": "pay", "signed": true})).await;
    let db = mesh.edges[0].edge.pool.get().await.unwrap();
    db.batch_execute("begin; delete from webhook").await.unwrap();

    // It is found, and ends before the post is taken.
    let (answer, ()) = tokio::join!(post_signed(&mesh, 0, &ack, "m1", 0, "{}"), async {
        mesh.until(SOMEBODY_WAITS, "true").await;
        db.batch_execute("commit").await.unwrap();
    });

    assert_eq!(refused(&answer), (404, "not found".to_owned()));
    assert_eq!(ann.rest().await, Vec::<Value>::new());
}
