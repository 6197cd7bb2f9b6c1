//! `skein task`: a piece of work from its making to its result, between two homes on two edges.

use serde_json::{Value, json};

use crate::place::{Place, fails, json, skein};

fn id(made: &Value) -> &str {
    made["id"].as_str().unwrap()
}

#[tokio::test]
async fn a_task_is_made_claimed_renewed_and_completed() {
    let place = Place::start(2).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");

    let first = json(&owner, &["task", "create", "parse", "--priority", "high", "--tag", "rust"]);
    let second = json(&owner, &["task", "create", "test", "--after", id(&first), "--for", "bob"]);
    let third = json(&owner, &["task", "create", "not for bob", "--for", "ann"]);

    assert_eq!(fails(&bob, &["task", "claim", id(&second)], 5).1["code"], "task_not_claimable");
    let next = json(&bob, &["task", "next", "--tag", "rust", "--lease", "600"]);
    assert_eq!((&next["id"], &next["claimedBy"]), (&first["id"], &json!("bob")));
    assert_eq!(fails(&bob, &["task", "next"], 3).1["code"], "not_found");
    let renewed = json(&bob, &["task", "renew", id(&first), "--lease", "3600"]);
    assert!(renewed["leasedUntil"].as_str() > next["leasedUntil"].as_str(), "{renewed}");
    assert_eq!(fails(&owner, &["task", "renew", id(&first)], 5).1["code"], "task_not_held");
    json(&bob, &["task", "complete", id(&first), "--result", "it parses"]);

    let claimed = json(&bob, &["task", "claim", id(&second)]);
    assert_eq!(claimed["status"], "claimed");
    let shown = skein(&owner, &["task", "show", id(&first)]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("it parses") && shown.contains("done by    bob"), "{shown}");
    let open = json(&owner, &["task", "list", "--status", "open"]);
    assert_eq!(open.as_array().unwrap().len(), 1);
    assert_eq!(open[0]["id"], third["id"]);
    let all = String::from_utf8(skein(&bob, &["task", "list"]).output().unwrap().stdout).unwrap();
    assert_eq!(all.lines().count(), 3, "{all}");
    assert_eq!(fails(&bob, &["task", "show", "no-such-id"], 5).1["code"], "task_not_found");
}
