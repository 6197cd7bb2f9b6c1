//! `skein remind` and `skein schedule`: what is shown, sent and refused, against a scripted edge and
//! a real mesh.

mod old;

use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use skein::home::{Home, Membership};
use skein_crypto::direct::Pairs;
use skein_crypto::{Keypair, Public};
use tokio::process::Command;
use tokio::time::timeout;

use crate::edge::{DEADLINE, Edge, Peer};
use crate::place::{Follower, Place, fails, json, run, wait};

/// A home that is a member at this edge.
fn home(dir: &Path, edge: &str) -> Keypair {
    let member = Keypair::generate();
    let membership: Membership = serde_json::from_value(json!({
        "version": 1, "meshId": "mesh-1", "slug": "demo", "memberId": "member-1",
        "memberSecret": *member.secret.hex(), "ownerPubkey": Keypair::generate().public,
        "edges": [edge], "displayName": "ann", "joinedAt": "2026-01-01T00:00:00.000Z",
    }))
    .unwrap();
    Home::at(dir).unwrap().save(&membership).unwrap();
    member
}

/// Runs `skein remind` for somebody in Berlin.
async fn remind(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
    command.arg("remind").args(args).env("SKEIN_HOME", dir).env("TZ", "Europe/Berlin");
    command.env_remove("RUST_LOG").stdin(Stdio::null()).kill_on_drop(true);
    timeout(DEADLINE, command.output()).await.expect("the program ends").unwrap()
}

fn words(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn printed(output: &Output) -> Value {
    serde_json::from_str(&words(output)).unwrap()
}

/// Takes a schedule, and says that it was made.
async fn taken(peer: &mut Peer) -> Value {
    let call = peer.receive().await;
    assert_eq!(call["type"], "schedule", "{call}");
    peer.send(json!({
        "type": "scheduled_ack", "scheduledId": "0123456789abcdef", "deliverAt": 7,
        "_reqId": call["_reqId"],
    }))
    .await;
    call
}

/// Answers `list_peers` with a session of a member.
async fn with_bob(peer: &mut Peer, session: &Public, member: &Public) {
    let asked = peer.receive().await;
    assert_eq!(asked["type"], "list_peers", "{asked}");
    let bob = json!({
        "pubkey": session, "memberPubkey": member, "displayName": "Bob", "status": "idle",
        "summary": null, "groups": [], "sessionId": "s", "connectedAt": "2026-01-01T00:00:00.000Z",
        "cwd": "/",
    });
    peer.send(json!({"type": "peers_list", "peers": [bob], "_reqId": asked["_reqId"]})).await;
}

#[tokio::test]
async fn what_is_for_a_person_is_sealed_from_member_key_to_member_key() {
    let edge = Edge::start().await;
    let dir = tempfile::tempdir().unwrap();
    let ann = home(dir.path(), &edge.url);
    let [bob, session] = [(); 2].map(|()| Keypair::generate());
    let serve = async {
        let mut calls = Vec::new();
        for is_own in [true, false, false] {
            let mut peer = edge.attached().await;
            if !is_own {
                with_bob(&mut peer, &session.public, &bob.public).await;
            }
            calls.push(taken(&mut peer).await);
        }
        calls
    };
    let key = session.public.hex();
    let runs = async {
        let own = remind(dir.path(), &["the milk", "in", "20m"]).await;
        let named = remind(dir.path(), &["--to", "bob", "--in", "1h", "call", "me"]).await;
        let keyed = remind(dir.path(), &["call me", "--json", "--to", &key, "--in", "1h"]).await;
        [own, named, keyed]
    };

    let ([own, named, keyed], calls) = tokio::join!(runs, serve);

    let opened = |reader: &Keypair, call: &Value| {
        assert!(call.get("message").is_none() && call["subtype"] == "reminder", "{call}");
        let text = |field: &str| call[field].as_str().unwrap();
        let pairs = Pairs::new(&reader.secret);
        pairs.open(&ann.public, text("nonce"), text("ciphertext")).unwrap()
    };
    assert_eq!(opened(&ann, &calls[0]), "the milk");
    assert_eq!(calls[0]["to"], json!(ann.public));
    for call in &calls[1..] {
        assert_eq!(opened(&bob, call), "call me");
        assert_eq!((&call["to"], &call["sealedTo"]), (&json!(bob.public), &json!(bob.public)));
    }
    assert_eq!((&calls[1]["toName"], calls[2].get("toName")), (&json!("bob"), None));
    assert!(
        words(&own).starts_with("For you, sealed: only you can read it:\n  the milk\n  in 20 min")
    );
    assert!(words(&own).ends_with("Scheduled.  0123456789abcdef\n"), "{}", words(&own));
    assert!(
        words(&named).starts_with("For bob, sealed: only they and you can read it:\n  call me")
    );
    let shown = printed(&keyed);
    assert_eq!(
        (&shown["scheduledId"], &shown["sealed"]),
        (&json!("0123456789abcdef"), &json!(true))
    );
    assert_eq!((&shown["deliverAt"], &shown["cron"]), (&json!(7), &Value::Null));
}

#[tokio::test]
async fn what_is_for_several_or_plain_goes_as_it_is_and_that_is_said() {
    let edge = Edge::start().await;
    let dir = tempfile::tempdir().unwrap();
    let ann = home(dir.path(), &edge.url);
    let serve = async {
        let mut group = edge.attached().await;
        group.answer_list().await;
        let group = taken(&mut group).await;
        [group, taken(&mut edge.attached().await).await]
    };
    let more = ["--missed", "all", "--overlap", "skip", "--jitter", "2m", "--priority", "low"];
    let cron = ["--cron", "0 9 * * mon-fri", "--to", "@team"];
    let group = ["stand-up", "--tz", "America/New_York"];
    let runs = async {
        let group = remind(dir.path(), &[&group[..], &cron, &more].concat()).await;
        [group, remind(dir.path(), &["--plain", "--at", "2099-12-24 18:00", "tree"]).await]
    };

    let ([group, own], calls) = tokio::join!(runs, serve);

    assert_eq!((&calls[0]["message"], &calls[0]["to"]), (&json!("stand-up"), &json!("@team")));
    assert!(calls[0].get("ciphertext").is_none() && calls[0]["deliverAt"] == 0, "{}", calls[0]);
    assert_eq!(calls[0]["cron"], "0 9 * * mon-fri");
    assert_eq!(calls[0]["tz"], "America/New_York");
    let said = |field: &str| calls[0][field].clone();
    assert_eq!(
        [said("missed"), said("overlap"), said("jitterSeconds"), said("priority")],
        [json!("all"), json!("skip"), json!(120), json!("low")]
    );
    let group = words(&group);
    assert!(group.contains("For @team, not sealed: the server can read it:"), "{group}");
    assert!(group.contains("At 0 9 * * mon-fri in America/New_York:\n  in "), "{group}");
    let times: Vec<_> = group.lines().filter(|line| line.starts_with("  in ")).collect();
    assert_eq!(times.len(), 3, "{group}");
    // Nine in New York, as a clock in Berlin shows it.
    assert!(times.iter().all(|time| time.contains(" 15:00 CE") || time.contains(" 14:00 CE")));
    assert_eq!((&calls[1]["message"], &calls[1]["to"]), (&json!("tree"), &json!(ann.public)));
    assert_eq!(calls[1]["deliverAt"], json!(4_101_814_800_000_i64), "18:00 in Berlin");
    assert!(words(&own).contains("Thu 24 Dec 2099 18:00 CET"), "{}", words(&own));
}

#[tokio::test]
async fn a_dry_run_shows_the_times_and_makes_nothing() {
    let edge = Edge::start().await;
    let dir = tempfile::tempdir().unwrap();
    home(dir.path(), &edge.url);
    let serve = async {
        let first = edge.attached().await;
        (first, edge.attached().await)
    };
    let runs = async {
        let gap = remind(dir.path(), &["--dry-run", "oil", "--at", "2099-03-29 02:30"]).await;
        let cron = ["--dry-run", "--json", "--cron", "30 2 * * *", "in 20m"];
        [gap, remind(dir.path(), &cron).await]
    };

    let ([gap, cron], _peers) = tokio::join!(runs, serve);

    let gap = words(&gap);
    assert!(gap.contains("Note: there is no 02:30 on 2099-03-29 in Europe/Berlin"), "{gap}");
    assert!(gap.contains("03:30 CEST") && gap.ends_with("Nothing was made.\n"), "{gap}");
    let cron = printed(&cron);
    assert_eq!((&cron["scheduledId"], &cron["dryRun"]), (&Value::Null, &json!(true)));
    assert_eq!((cron["next"].as_array().unwrap().len(), &cron["tz"]), (3, &json!("Europe/Berlin")));
}

#[tokio::test]
async fn q40_what_cannot_be_is_refused_before_anything_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    home(dir.path(), "ws://127.0.0.1:1/ws");
    for (args, wanted) in [
        (&["tea"][..], "when?"),
        (&["tea", "today", "0:00"], "is past"),
        (&["tea", "--at", "soon"], "not a time that is understood"),
        (&["tea", "--at", "tomorrow"], "at what time?"),
        (&["tea", "--in", "5 parsecs"], "is not like 90s"),
        (&["tea", "--cron", "0 0 30 2 *"], "`0 0 30 2 *` is no schedule"),
        (&["tea", "--cron", "0 9 * *"], "fields"),
        (&["tea", "--in", "5m", "--tz", "Mars/Olympus"], "no time zone `Mars/Olympus`"),
        (&["tea", "--in", "5m", "--at", "9:00"], "cannot be used with"),
        (&["--in", "5m", " "], "no text"),
        (&["--in", "5m"], "required"),
    ] {
        let output = remind(dir.path(), args).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(wanted), "{args:?}: {said}");
    }
}

/// What a home's inbox has with this text.
fn came(home: &Path, text: &str) -> Vec<Value> {
    let inbox = json(home, &["inbox", "--all"]);
    let is_it = |message: &&Value| message["text"] == text;
    inbox.as_array().unwrap().iter().filter(is_it).cloned().collect()
}

fn member_key(home: &Path) -> String {
    json(home, &["whoami"])[0]["memberPubkey"].as_str().unwrap().to_owned()
}

fn said(home: &Path, args: &[&str]) -> String {
    let output = crate::place::skein(home, args).env("TZ", "Europe/Berlin").output().unwrap();
    words(&output)
}

#[tokio::test]
async fn a_reminder_comes_sealed_to_any_session_of_whom_it_is_for() {
    let place = Place::with_worker(2).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");
    let follower = Follower::start(&bob);
    wait("bob is here", || json(&owner, &["peers"]).to_string().contains("\"bob\"").then_some(()))
        .await;

    json(&owner, &["remind", "--to", "bob", "--in", "1s", "tea", "is ready"]);
    json(&bob, &["remind", "my own", "in", "1s"]);
    json(&owner, &["remind", "to all", "in", "1s", "--to", "*"]);
    let tea = wait("bob has it", || came(&bob, "tea is ready").pop()).await;
    let own = wait("bob has his own", || came(&bob, "my own").pop()).await;
    let all = wait("bob has that to all", || came(&bob, "to all").pop()).await;
    follower.end();

    assert_eq!((&tea["kind"], &tea["subtype"]), (&json!("direct"), &json!("reminder")));
    assert_eq!(tea["senderPubkey"], member_key(&owner));
    assert_eq!((&own["kind"], &own["senderPubkey"]), (&json!("direct"), &json!(member_key(&bob))));
    assert_eq!((&all["kind"], &all["target"]), (&json!("multicast"), &json!("*")));
    let shown = said(&bob, &["inbox", "--all"]);
    assert!(shown.contains("[REMINDER] owner  "), "{shown}");
    assert_eq!(came(&bob, "tea is ready").len(), 1);
    assert_eq!(json(&owner, &["schedule", "list"])["schedules"], json!([]), "they are done");
}

#[tokio::test]
async fn a_schedule_is_listed_held_sent_now_and_ended_by_how_its_id_begins() {
    let place = Place::with_worker(1).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");
    assert_eq!(
        said(&owner, &["remind", "list"]),
        "No schedules. `skein remind TEXT in 20m` makes one.\n"
    );
    let cron = ["remind", "stand-up\nof all", "--to", "bob", "--cron", "0 9 * * *"];
    let made = json(&owner, &[&cron[..], &["--tz", "Europe/Berlin"]].concat());
    let id = made["scheduledId"].as_str().unwrap();
    let year = jiff::Zoned::now().year() + 1;
    let at = format!("{year}-12-24 18:00");
    json(&owner, &["remind", "--plain", "the milk", "--at", &at, "--tz", "UTC"]);

    let listed = json(&owner, &["remind", "list"]);
    assert_eq!(listed["more"], 0);
    let listed = &listed["schedules"];
    assert_eq!(
        (&listed[0]["message"], &listed[0]["sealed"]),
        (&json!("stand-up\nof all"), &json!(true))
    );
    assert!(listed[0].get("ciphertext").is_none(), "it is opened here: {listed}");
    assert_eq!(
        (&listed[1]["message"], &listed[1]["to"]),
        (&json!("the milk"), &json!(member_key(&owner)))
    );
    let words = said(&owner, &["schedule", "list"]);
    assert!(words.starts_with(&format!("stand-up  for bob  {id}\n  in ")), "{words}");
    assert!(
        words.contains(" 09:00 CE") && words.contains("at 0 9 * * * in Europe/Berlin"),
        "{words}"
    );
    assert!(
        words.contains("the milk  for you") && words.contains(&format!("24 Dec {year} 19:00 CET")),
        "{words}"
    );
    assert_eq!(
        json(&bob, &["schedule", "list"]),
        json!({"schedules": [], "more": 0}),
        "it is its creator's"
    );

    let begins = &id[..id.len() - 4];
    assert_eq!(json(&owner, &["schedule", "pause", begins])["schedule"]["state"], "paused");
    assert!(said(&owner, &["schedule", "show", begins]).contains("\n  paused\n"));
    assert_eq!(json(&owner, &["schedule", "resume", begins])["schedule"]["state"], "active");
    json(&owner, &["schedule", "run", begins]);
    let fire = wait("it is sent", || {
        let shown = json(&owner, &["schedule", "show", id]);
        shown["fires"].as_array().unwrap().first().cloned()
    });
    let fire = fire.await;
    assert_eq!(fire["outcome"], "fired");
    let shown = said(&owner, &["schedule", "show", id]);
    assert!(shown.contains("sent on time") && shown.contains("body     sealed"), "{shown}");
    let inbox = json(&bob, &["inbox", "--wait", "20"]);
    assert_eq!(
        (&inbox[0]["text"], &inbox[0]["messageId"]),
        (&json!("stand-up\nof all"), &fire["messageId"])
    );

    let gone = json(&owner, &["remind", "cancel", begins]);
    assert_eq!(gone, json!({"scheduledId": id, "cancelled": true}));
    assert_eq!(fails(&owner, &["schedule", "cancel", id], 3).1["code"], "not_found");
    assert_eq!(fails(&owner, &["schedule", "show", "zz"], 3).1["code"], "not_found");
    assert_eq!(fails(&bob, &["schedule", "pause", id], 5).1["code"], "schedule_not_found");
    assert!(run(&owner, &["schedule", "list"]).status.success());
}

#[tokio::test]
async fn whom_nothing_can_be_sealed_to_is_said() {
    let place = Place::with_worker(1).await;
    let owner = place.owner();
    let nobody = "ab".repeat(32);

    assert_eq!(
        fails(&owner, &["remind", "x", "in", "1h", "--to", "nobody"], 3).1["code"],
        "not_found"
    );
    let (_, error) = fails(&owner, &["remind", "x", "in", "1h", "--to", &nobody], 3);
    assert!(error["message"].as_str().unwrap().contains("--plain"), "{error}");
    let (_, error) = fails(&owner, &["remind", "x", "in", "1h", "--sim"], 3);
    assert!(error["message"].as_str().unwrap().contains("skein clock set"), "{error}");
}
