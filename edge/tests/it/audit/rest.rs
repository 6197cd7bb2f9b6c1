//! The log over REST, and what is done over REST in it.

use serde_json::{Value, json};

use super::fill;
use crate::{
    harness::{Member, TestMesh},
    web::{As, ask},
};

/// Reads the log over REST.
async fn read(mesh: &TestMesh, query: &str) -> Value {
    let target = format!("/v1/meshes/{}/audit{query}", mesh.id);
    let answer = ask(mesh.edges[0].port, As::Operator, "GET", &target, "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn numbers(said: &Value) -> Vec<i64> {
    said["entries"].as_array().unwrap().iter().map(|e| e["no"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn the_log_is_read_over_rest_page_by_page_both_ways() {
    let mesh = TestMesh::start(1).await;
    fill(&mesh, 9).await;

    let newest = read(&mesh, "?limit=4").await;
    let older = read(&mesh, "?limit=4&before=6").await;
    let oldest = read(&mesh, "?limit=4&before=2").await;
    let first = read(&mesh, "?limit=5&after=0").await;
    let rest = read(&mesh, "?limit=5&after=5").await;
    let of_type = read(&mesh, "?limit=3&eventType=state_set").await;
    let none = read(&mesh, "?eventType=peer_left").await;

    assert_eq!((numbers(&newest), &newest["next"]), (vec![9, 8, 7, 6], &json!(6)));
    assert_eq!((numbers(&older), &older["next"]), (vec![5, 4, 3, 2], &json!(2)));
    assert_eq!((numbers(&oldest), oldest.get("next")), (vec![1], None));
    assert_eq!((numbers(&first), &first["next"]), (vec![1, 2, 3, 4, 5], &json!(5)));
    assert_eq!((numbers(&rest), rest.get("next")), (vec![6, 7, 8, 9], None));
    assert_eq!((numbers(&of_type), &of_type["total"]), (vec![9, 8, 7], &json!(9)));
    assert_eq!((numbers(&none), &none["total"]), (vec![], &json!(0)));
    let payload = first["entries"][0]["payload"].as_str().unwrap();
    assert_eq!(payload, r#"{"key" : "k", "value" : 1}"#, "the text that was hashed");
    for wrong in
        ["?after=0&before=3", "?after=0&eventType=x", "?limit=0", "?limit=1001", "?after=-1"]
    {
        let target = format!("/v1/meshes/{}/audit{wrong}", mesh.id);
        let answer = ask(mesh.edges[0].port, As::Operator, "GET", &target, "").await;
        assert_eq!(answer.refusal(), (400, "invalid_request".to_owned()), "{wrong}");
    }
}

#[tokio::test]
async fn what_is_done_over_rest_is_in_the_log_with_who_did_it_and_no_secret() {
    let mesh = TestMesh::start(1).await;
    let (port, owner) = (mesh.edges[0].port, As::Key(&mesh.owner.secret));
    let bob: Member = mesh.member("bob").await;
    let path = |rest: &str| format!("/v1/meshes/{}{rest}", mesh.id);
    let hash = "ab".repeat(32);
    let expires_at = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string();
    let new = json!({"tokenHash": hash, "role": "member", "uses": 2, "expiresAt": expires_at});
    let invite = ask(port, owner, "POST", &path("/invites"), &new.to_string()).await.json();
    let invite = invite["id"].as_str().unwrap().to_owned();
    let at = path(&format!("/members/{}", bob.id));
    ask(port, owner, "PATCH", &at, &json!({"role": "admin"}).to_string()).await;
    let plain = json!({"tokenHash": "cd".repeat(32), "role": "member", "uses": 1,
                       "expiresAt": expires_at});
    let bobs = As::Key(&bob.keys.secret);
    ask(port, bobs, "POST", &path("/invites"), &plain.to_string()).await;
    ask(port, As::Operator, "DELETE", &path(&format!("/invites/{invite}")), "").await;
    // Refused, so nothing is said of it.
    ask(port, bobs, "PATCH", &at, &json!({"role": "member"}).to_string()).await;
    ask(port, owner, "DELETE", &at, "").await;
    // Asked again: it was done before.
    ask(port, owner, "DELETE", &at, "").await;

    let log = read(&mesh, "?after=0").await;

    let said: Vec<Value> = log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| {
            let payload: Value = serde_json::from_str(e["payload"].as_str().unwrap()).unwrap();
            let about = payload["inviteId"].as_str().or(payload["memberId"].as_str()).unwrap();
            let about = if about == invite {
                "invite"
            } else if about == bob.id {
                "bob"
            } else {
                "?"
            };
            json!([e["eventType"], e["actorId"], about])
        })
        .collect();
    assert_eq!(
        said,
        [
            json!(["invite_created", "owner", "invite"]),
            json!(["role_changed", "owner", "bob"]),
            json!(["invite_created", bob.id, "?"]),
            json!(["invite_revoked", "operator", "invite"]),
            json!(["member_revoked", "owner", "bob"]),
        ]
    );
    assert!(!log.to_string().contains(&hash), "the hash of a token is nobody's business either");
}
