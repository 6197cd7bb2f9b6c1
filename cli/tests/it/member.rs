//! `skein member`: who joined, what they may do, and how a membership ends.

use std::io::Read;

use serde_json::json;

use crate::place::{Follower, Place, fails, json, wait};

#[tokio::test]
async fn a_member_is_listed_raised_and_removed() {
    let place = Place::start(1).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");

    let listed = json(&owner, &["member", "list"]);
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|one| &one["displayName"]).collect();
    assert_eq!(names, ["owner", "bob"]);
    assert_eq!(json!([listed[0]["role"], listed[1]["role"]]), json!(["owner", "member"]));

    assert_eq!(json(&owner, &["member", "role", "BOB", "admin"])["role"], "admin");
    assert_eq!(json(&bob, &["member", "list"])[1]["role"], "admin");
    assert_eq!(fails(&bob, &["member", "role", "owner", "member"], 5).1["code"], "forbidden");
    assert_eq!(fails(&owner, &["member", "role", "eve", "admin"], 3).1["code"], "not_found");

    let key = listed[1]["pubkey"].as_str().unwrap();
    let asked = fails(&owner, &["member", "remove", &key[..8]], 2).1;
    assert!(asked["message"].as_str().unwrap().contains("bob"), "{asked}");
    assert!(asked["message"].as_str().unwrap().contains("--yes"), "{asked}");
    assert_eq!(json(&owner, &["member", "list"]).as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn whoever_is_removed_is_shown_out_and_not_let_in_again() {
    let place = Place::start(1).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");
    let mut follower = Follower::start(&bob);
    wait("bob is here", || json(&owner, &["peers"]).to_string().contains("\"bob\"").then_some(()))
        .await;

    let removed = json(&owner, &["member", "remove", "bob", "--yes"]);

    assert_eq!(json!([removed["displayName"], removed["removed"]]), json!(["bob", true]));
    let ended = wait("its program ends", || follower.0.try_wait().unwrap()).await;
    assert_eq!(ended.code(), Some(5));
    let mut said = String::new();
    follower.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("unauthorized") && said.contains("new invite"), "{said}");
    assert_eq!(fails(&bob, &["peers"], 5).1["code"], "unauthorized");
    assert_eq!(json(&owner, &["member", "list"]).as_array().unwrap().len(), 1);
}
