//! `skein clock`: shown, set, stopped, and reminders that go by it.

use serde_json::json;

use crate::place::{Follower, Place, fails, json, skein, wait};

#[tokio::test]
async fn a_clock_is_set_stopped_and_resumed_and_reminders_go_by_it() {
    let place = Place::with_worker(2).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");
    let words = |args: &[&str]| {
        let output = skein(&owner, args).env("TZ", "Europe/Berlin").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(words(&["clock"]).starts_with("No clock runs."));
    assert_eq!(fails(&owner, &["clock", "pause"], 5).1["code"], "no_clock");
    assert_eq!(fails(&owner, &["clock", "set", "101"], 2).1["code"], "usage");
    // Without anybody here a clock stands still.
    let follower = Follower::start(&bob);
    wait("bob is here", || json(&owner, &["peers"]).to_string().contains("\"bob\"").then_some(()))
        .await;

    let set = json(&owner, &["clock", "set", "x100"]);
    assert_eq!((&set["speed"], &set["paused"]), (&json!(100), &json!(false)));
    json(&owner, &["remind", "--sim", "--to", "bob", "simulated tea", "in", "3m"]);
    let due = json(&owner, &["schedule", "list"]);
    let tea = wait("bob has it", || {
        let inbox = json(&bob, &["inbox", "--all"]);
        inbox.as_array().unwrap().iter().find(|one| one["text"] == "simulated tea").cloned()
    });
    assert_eq!(tea.await["subtype"], "reminder");
    assert_eq!(due["schedules"][0]["clock"], "sim");

    let paused = json(&owner, &["clock", "pause"]);
    assert!(paused["paused"] == true && paused["tick"].as_i64().unwrap() >= 3, "{paused}");
    let shown = words(&["clock", "show"]);
    assert!(shown.starts_with(&format!("Tick {} at x100, paused\n", paused["tick"])), "{shown}");
    assert!(shown.contains("  shows    ") && shown.contains(" CE"), "{shown}");
    assert_eq!(json(&owner, &["clock", "resume"])["paused"], false);
    follower.end();
}
