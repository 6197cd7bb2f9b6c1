//! `skein webhook`: made, listed, tried and ended; what is posted is in inboxes.

use serde_json::{Value, json};

use crate::place::{Follower, Place, fails, json, run, wait};

/// The messages of a webhook in a home's inbox.
fn given(home: &std::path::Path, name: &str) -> Vec<Value> {
    let inbox = json(home, &["inbox", "--all"]);
    let of_it = |message: &&Value| message["event"] == name && message["subtype"] == "webhook";
    inbox.as_array().unwrap().iter().filter(of_it).cloned().collect()
}

#[tokio::test]
async fn a_webhook_is_made_tried_and_removed() {
    let place = Place::start(2).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");
    let follower = Follower::start(&bob);
    wait("bob is here", || json(&owner, &["peers"]).to_string().contains("\"bob\"").then_some(()))
        .await;

    let made = json(&owner, &["webhook", "create", "ci"]);
    let url = made["url"].as_str().unwrap();
    assert!(url.ends_with(made["secret"].as_str().unwrap()), "{made}");
    let listed = json(&bob, &["webhook", "list"]);
    assert_eq!(json!([listed[0]["name"], listed[0]["url"]]), json!(["ci", url]));
    assert_eq!(fails(&owner, &["webhook", "create", "ci"], 5).1["code"], "webhook_exists");

    let taken = json(&owner, &["webhook", "test", "ci", r#"{"build": 12}"#]);
    assert_eq!(json!([taken["ok"], taken["delivered"]]), json!([true, 1]));
    let message = wait("bob has it", || given(&bob, "ci").pop()).await;
    assert_eq!(message["eventData"], json!({"build": 12}));
    assert_eq!(message["senderPubkey"], "webhook:ci");
    follower.end();

    assert_eq!(json(&owner, &["webhook", "rm", "ci"]), json!({"name": "ci", "removed": true}));
    assert_eq!(json(&owner, &["webhook", "list"]), json!([]));
    assert_eq!(fails(&owner, &["webhook", "rm", "ci"], 3).1["code"], "not_found");
    assert_eq!(fails(&owner, &["webhook", "test", "ci"], 3).1["code"], "not_found");
    assert_eq!(fails(&owner, &["webhook", "test", "ci", "7"], 2).1["code"], "usage");
}

#[tokio::test]
async fn a_signed_webhook_for_a_member_waits_until_that_is_here() {
    let place = Place::start(1).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");

    let made = json(&owner, &["webhook", "create", "pay", "--to", "bob", "--signed"]);
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && !made["url"].as_str().unwrap().contains(secret));
    let listed = run(&owner, &["webhook", "list"]);
    assert!(!String::from_utf8_lossy(&listed.stdout).contains(secret), "shown once");
    assert_eq!(fails(&owner, &["webhook", "test", "pay"], 2).1["code"], "usage");
    let other = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    fails(&owner, &["webhook", "test", "pay", "--secret", other], 5);

    let taken = json(&owner, &["webhook", "test", "pay", "[1]", "--secret", secret]);
    assert_eq!(taken["delivered"], 0, "{taken}");
    let follower = Follower::start(&bob);
    let message = wait("bob has it", || given(&bob, "pay").pop()).await;
    follower.end();

    assert_eq!(message["eventData"], json!([1]));
    assert_eq!(message["messageId"], taken["messageId"]);
}
