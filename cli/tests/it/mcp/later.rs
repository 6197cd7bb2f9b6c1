//! What comes later, through an agent's tools: reminders, the simulation clock, watches.

use serde_json::{Value, json};

use super::host::Host;
use crate::place::{Place, json as printed};

async fn attached(home: &std::path::Path, args: &[&str]) -> Host {
    let mut host = Host::start(home, args).await;
    host.line(|line| line["meta"]["kind"] == "welcome").await;
    host
}

/// The id in brackets of what a tool said.
fn id(said: &str) -> String {
    said.split(['(', ')']).nth(1).unwrap().to_owned()
}

fn has(line: &Value, text: &str) -> bool {
    line["content"].as_str().unwrap().contains(text)
}

#[tokio::test]
async fn q33_an_agent_reminds_itself_and_a_peer_and_ends_what_is_not_needed() {
    let place = Place::with_worker(2).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");
    let (mut ann, mut bob) = tokio::join!(attached(&owner, &[]), attached(&bob, &[]));

    let own = json!({"message": "look at the build", "in_seconds": 1});
    let said = ann.say("schedule_reminder", own).await;
    assert!(said.contains("for you, sealed.\n- in 1 s  "), "{said}");
    let at = jiff::Timestamp::now().as_millisecond() + 1000;
    let peer = json!({"message": "review it", "deliver_at": at, "to": "bob"});
    let said = ann.say("schedule_reminder", peer).await;
    assert!(said.contains("for \"bob\", sealed."), "{said}");
    let line = ann.line(|line| has(line, "\nlook at the build\n")).await;
    assert_eq!(
        (&line["meta"]["kind"], &line["meta"]["subtype"]),
        (&json!("direct"), &json!("reminder"))
    );
    assert!(has(&line, "Reminder from the peer \"owner\""), "{line}");
    let line = bob.line(|line| has(line, "\nreview it\n")).await;
    assert_eq!(line["meta"]["from_name"], "owner");

    let daily = json!({"message": "stand-up", "cron": "0 9 * * *", "tz": "UTC", "to": "*"});
    let said = ann.say("schedule_reminder", daily).await;
    assert!(
        said.contains("not sealed: the server can read it. At 0 9 * * * in UTC.\n- in"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 4, "three times: {said}");
    let later = json!({"message": "tea", "in_seconds": 3600});
    let id_of_tea = id(&ann.say("schedule_reminder", later).await);
    let listed = ann.say("list_scheduled", json!({})).await;
    assert!(
        listed.starts_with("2 scheduled:\n- ") && listed.contains("for you: \"tea\", in 1 h  "),
        "{listed}"
    );
    assert!(listed.contains("for *: \"stand-up\"") && listed.contains("sent 0 times"), "{listed}");
    let shown = printed(&owner, &["schedule", "list"]);
    assert_eq!(
        shown["schedules"][0]["message"], "tea",
        "any session of the member reads it: {shown}"
    );
    let plain = json!({"message": "for all to read", "in_seconds": 3600, "plain": true});
    let said = ann.say("schedule_reminder", plain).await;
    assert!(said.contains("for you, not sealed"), "{said}");
    let listed = ann.say("list_scheduled", json!({})).await;
    assert!(listed.contains("for you: \"for all to read\""), "{listed}");
    ann.say("cancel_scheduled", json!({"id": id(&said)})).await;
    let cancelled = ann.say("cancel_scheduled", json!({"id": &id_of_tea[..12]})).await;
    assert_eq!(cancelled, format!("Cancelled: {id_of_tea}"));
    let (text, is_error) = ann.call("cancel_scheduled", json!({"id": id_of_tea})).await;
    assert!(is_error && text.contains("no such schedule"), "{text}");

    for (wrong, words) in [
        (json!({"message": "x"}), "says when"),
        (json!({"message": "x", "in_seconds": 5, "cron": "* * * * *"}), "says when"),
        (json!({"message": "x", "deliver_at": 1000}), "is past"),
        (json!({"message": "x", "cron": "0 0 31 2 *"}), "is no schedule"),
        (json!({"message": "x", "in_seconds": 5, "to": "nobody"}), "nobody has this name"),
        (json!({"message": "x", "in_seconds": 5, "to": "ab".repeat(32)}), "no member's key"),
        (json!({"message": "x", "in_seconds": 5, "sim": true}), "mesh_set_clock"),
    ] {
        let (text, is_error) = ann.call("schedule_reminder", wrong).await;
        assert!(is_error && text.contains(words), "{text}");
    }
}

#[tokio::test]
async fn a_reminder_for_a_session_that_is_gone_comes_to_another_of_its_member() {
    let place = Place::with_worker(1).await;
    let owner = place.owner();
    let ann = attached(&owner, &[]).await;
    ann.say("schedule_reminder", json!({"message": "the oven", "in_seconds": 5})).await;
    ann.leave().await;

    // Another inbox of the same member: the sealed body opens there too.
    let inbox = printed(&owner, &["inbox", "--wait", "20"]);
    let inbox = match inbox.as_array().unwrap().is_empty() {
        true => {
            let look = || {
                let all = printed(&owner, &["inbox"]);
                (!all.as_array().unwrap().is_empty()).then_some(all)
            };
            crate::place::wait("it comes", look).await
        }
        false => inbox,
    };
    assert_eq!((&inbox[0]["text"], &inbox[0]["kind"]), (&json!("the oven"), &json!("direct")));
}

#[tokio::test]
async fn an_agent_runs_the_clock_and_hears_its_ticks() {
    let place = Place::with_worker(1).await;
    let owner = place.owner();
    let mut ann = attached(&owner, &[]).await;

    assert_eq!(ann.say("mesh_clock", json!({})).await, "The simulation clock was not started.");
    let (text, is_error) = ann.call("mesh_pause_clock", json!({})).await;
    assert!(is_error && text.contains("no_clock"), "{text}");
    let (text, is_error) = ann.call("mesh_set_clock", json!({"speed": 101})).await;
    assert!(is_error && text.contains("from 1 to 100"), "{text}");
    let said = ann.say("mesh_set_clock", json!({"speed": 100})).await;
    assert!(
        said.starts_with("Clock running: tick 0 | sim time: ") && said.contains("x100"),
        "{said}"
    );
    let soon = json!({"message": "a minute passed", "in_seconds": 60, "sim": true});
    ann.say("schedule_reminder", soon).await;
    let tick = ann.line(|line| line["meta"]["event"] == "tick").await;
    assert!(has(&tick, "[heartbeat] tick 1 | sim time: "), "{tick}");
    ann.line(|line| has(line, "\na minute passed\n")).await;

    let said = ann.say("mesh_pause_clock", json!({})).await;
    assert!(said.starts_with("Clock paused: tick "), "{said}");
    assert!(ann.say("mesh_clock", json!({})).await.starts_with("Clock paused: tick "));
    assert!(ann.say("mesh_resume_clock", json!({})).await.starts_with("Clock running: tick "));
}

#[tokio::test]
async fn an_agent_watches_pages_is_told_of_changes_and_ends_the_watches() {
    let place = Place::with_worker(1).await;
    let owner = place.owner();
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", place.ports[0]);
    let (inbox, push) = (["--message-mode", "inbox"], []);
    let (mut ann, mut other) = tokio::join!(attached(&owner, &push), attached(&owner, &inbox));

    let flip = json!({
        "url": url("/test/flip"), "mode": "json", "extract": "value", "interval": 5,
        "label": "the coin", "headers": {"Authorization": "Bearer hidden"},
    });
    let said = ann.say("mesh_watch", flip).await;
    assert!(
        said.starts_with(&format!("Watching {} (json, every 5 s): ", url("/test/flip"))),
        "{said}"
    );
    let page = json!({"url": url("/test/html"), "interval": 5});
    assert!(ann.say("mesh_watch", page).await.contains("(hash, every 5 s)"));
    let health = json!({"url": url("/health"), "extract": "status", "interval": 5});
    assert!(
        ann.say("mesh_watch", health).await.contains("(json, every 5 s)"),
        "implied by extract"
    );
    let (text, is_error) = ann.call("mesh_watch", json!({"url": "http://10.0.0.1/"})).await;
    assert!(is_error && text.contains("url_refused"), "{text}");
    let (text, is_error) =
        ann.call("mesh_watch", json!({"url": url("/"), "notify_on": "sometimes"})).await;
    assert!(is_error && text.contains("match:<value>"), "{text}");

    let line = ann.line(|line| line["meta"]["event"] == "watch_triggered").await;
    assert!(has(&line, "[WATCH] ") && has(&line, ": ") && has(&line, " → "), "{line}");
    assert_eq!(line["meta"]["kind"], "system");
    // Every session of the member is told, and it waits for those that read when they like.
    other.line(|line| has(line, "[WATCH] ")).await;
    let checked = other.say("check_messages", json!({})).await;
    assert!(checked.contains("\n\n[demo] (") && checked.contains("): [WATCH] "), "{checked}");
    let listed = ann.say("mesh_watches", json!({})).await;
    assert!(listed.starts_with("3 watch(es):\n- ") && !listed.contains("hidden"), "{listed}");
    assert_eq!(listed.matches(": last value ").count(), 3, "{listed}");
    assert!(listed.contains("\"the coin\", http://") && listed.contains(", next in "), "{listed}");
    for line in listed.lines().skip(1) {
        let id = line.trim_start_matches("- ").split(' ').next().unwrap();
        let said = ann.say("mesh_unwatch", json!({"watch_id": id})).await;
        assert!(said.ends_with("is watched no more."), "{said}");
    }
    assert_eq!(ann.say("mesh_watches", json!({})).await, "No watches.");
    let (text, is_error) = ann.call("mesh_unwatch", json!({"watch_id": "w_0"})).await;
    assert!(is_error && text.contains("watch_not_found"), "{text}");
}

#[tokio::test]
async fn what_could_not_be_delivered_is_told_to_who_made_it() {
    let place = Place::with_worker(1).await;
    let owner = place.owner();
    place.member(&owner, "bob");
    let mut ann = attached(&owner, &[]).await;
    ann.say("schedule_reminder", json!({"message": "x", "in_seconds": 6, "to": "bob"})).await;

    printed(&owner, &["member", "remove", "bob", "--yes"]);

    let line = ann.line(|line| line["meta"]["event"] == "schedule_failed").await;
    assert!(has(&line, "[SCHEDULE] ") && has(&line, " could not be delivered: "), "{line}");
    assert!(has(&line, "(unknown_target)"), "{line}");
}
