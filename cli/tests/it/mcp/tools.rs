//! Two agents in two homes, on two edges of a real mesh, through every tool.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};
use skein::mcp::tools::Offer;

use super::host::{Host, Raw};
use crate::edge::DEADLINE;
use crate::up::{self, Up};

/// A mesh on two edges, and two homes in it that know another edge first each.
pub struct Two {
    up: Up,
    pub homes: [PathBuf; 2],
    _folder: tempfile::TempDir,
}

pub fn two() -> Two {
    let folder = up::folder();
    let (home, data) = (folder.path().join("home"), folder.path().join("data"));
    let up = Up::start(&home, &data, &["--edges", "2"]);
    let homes = ["ann", "bob"].map(|name| {
        let dir = folder.path().join(name);
        let invite = up::json(&home, &["invite"])["link"].as_str().unwrap().to_owned();
        up::json(&dir, &["join", "--name", name, &invite]);
        dir
    });
    let bob = homes[1].join(format!("meshes/{}.json", up.text("meshId")));
    let mut membership: Value = serde_json::from_slice(&fs::read(&bob).unwrap()).unwrap();
    membership["edges"].as_array_mut().unwrap().rotate_left(1);
    fs::write(&bob, membership.to_string()).unwrap();
    Two { up, homes, _folder: folder }
}

/// A host whose session is attached.
pub async fn attached(home: &Path, args: &[&str]) -> Host {
    let mut host = Host::start(home, args).await;
    host.line(|line| line["meta"]["kind"] == "welcome").await;
    host
}

/// Asks until the answer has what is waited for.
async fn eventually(host: &Host, tool: &'static str, arguments: Value, wanted: &[&str]) -> String {
    let asking = async {
        loop {
            let text = host.call(tool, arguments.clone()).await.0;
            if wanted.iter().all(|wanted| text.contains(wanted)) {
                return text;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, asking).await.unwrap_or_else(|_| panic!("{tool}: {wanted:?}"))
}

fn id_of(line: &str) -> String {
    line.split("→ ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
}

fn is_from(line: &Value, name: &str) -> bool {
    line["meta"]["from_name"] == name
}

#[tokio::test]
async fn two_agents_go_through_every_tool_on_two_edges() {
    let mesh = two();
    let [ann_home, bob_home] = &mesh.homes;
    let (mut ann, mut bob) = tokio::join!(attached(ann_home, &[]), attached(bob_home, &[]));
    let listed = ann.tools().await;
    assert_eq!(listed, Offer::all().names());
    assert_eq!(bob.tools().await, listed);

    // Who is here.
    let peers = eventually(
        &ann,
        "list_peers",
        json!({}),
        &["[local] [idle] \"ann\" (you)", "[local] [idle] \"bob\""],
    );
    let peers = peers.await;
    assert!(peers.starts_with("## ") && peers.contains("ai/claude-code"), "{peers}");
    let (text, is_error) = ann.call("list_peers", json!({"mesh_slug": "nowhere"})).await;
    assert!(is_error && text.contains("nowhere is not joined"), "{text}");

    // What a session says of itself.
    assert_eq!(
        bob.say("set_summary", json!({"summary": "the parser"})).await,
        "Summary set: the parser"
    );
    bob.say("set_profile", json!({"title": "Reviewer", "avatar": "🦉"})).await;
    assert_eq!(
        bob.say("join_group", json!({"name": "@team/core", "role": "lead"})).await,
        "Joined @team/core as lead"
    );
    let peers = eventually(
        &ann,
        "list_peers",
        json!({}),
        &[
            "- [local] [idle] \"bob\", title \"Reviewer\", avatar \"🦉\" @team/core (lead)",
            "works on: the parser",
        ],
    );
    peers.await;

    // To a name, in part; to a group from above; to a key; each once.
    let sent = ann.say("send_message", json!({"to": ["bo", "BOB"], "message": "one"})).await;
    assert_eq!(sent.lines().count(), 1, "{sent}");
    assert!(
        sent.starts_with("✓ bo (\"bob\", key ") && sent.ends_with("(stored; online)"),
        "{sent}"
    );
    let line = bob.line(|line| is_from(line, "ann")).await;
    assert!(line["content"].as_str().unwrap().contains("\none\n[end of peer text"), "{line}");
    assert_eq!(line["meta"]["kind"], "direct");
    let key = line["meta"]["from_id"].as_str().unwrap().to_owned();
    let status = eventually(&ann, "message_status", json!({"id": id_of(&sent)}), &["delivered at"]);
    assert!(status.await.contains("delivered"));

    let sent = ann.say("send_message", json!({"to": "@team", "message": "two"})).await;
    assert!(sent.ends_with("(stored; 1 of 1 online)"), "{sent}");
    let line = bob.line(|line| is_from(line, "ann")).await;
    assert!(line["content"].as_str().unwrap().contains("to @team."), "{line}");
    let sent =
        bob.say("send_message", json!({"to": [key], "message": "three", "priority": "now"})).await;
    assert!(sent.ends_with("(stored; online)"), "{sent}");
    let line = ann.line(|line| is_from(line, "bob")).await;
    assert_eq!(line["meta"]["priority"], "now");

    // What cannot be sent is said, each with its reason.
    let (refused, is_error) = ann
        .call("send_message", json!({"to": ["nobody", "#x", "00".repeat(32)], "message": "x"}))
        .await;
    assert!(
        is_error && refused.lines().filter(|line| line.starts_with("✗ ")).count() == 3,
        "{refused}"
    );
    assert!(refused.contains("nobody has this name"), "{refused}");
    let (text, is_error) = ann.call("send_message", json!({"message": "x"})).await;
    assert_eq!((text.as_str(), is_error), ("send_message: `to` required", true));
    let (text, is_error) = ann.call("message_status", json!({"id": "00"})).await;
    assert!(is_error && text.contains("not found"), "{text}");

    // A busy peer is not interrupted; when it is idle again, what was held comes.
    bob.say("set_status", json!({"status": "dnd"})).await;
    let sent = ann.say("send_message", json!({"to": "bob", "message": "held"})).await;
    let held = eventually(&ann, "message_status", json!({"id": id_of(&sent)}), &["held"]).await;
    assert!(held.contains("not delivered yet"), "{held}");
    bob.say("set_status", json!({"status": "idle"})).await;
    let line = bob.line(|line| is_from(line, "ann")).await;
    assert!(line["content"].as_str().unwrap().contains("\nheld\n"), "{line}");

    // What was pushed is not offered again, but can be read again.
    assert_eq!(
        bob.say("check_messages", json!({})).await,
        "No new messages; 3 were pushed as channel lines (`recent` shows them)."
    );
    let recent = bob.say("check_messages", json!({"recent": 1})).await;
    assert!(recent.contains("from \"ann\"") && recent.contains("held"), "{recent}");

    // Who hides is not listed; who leaves a group is not reached.
    bob.say("set_visible", json!({"visible": false})).await;
    ann.line(|line| line["meta"]["event"] == "peer_hidden").await;
    assert!(!ann.say("list_peers", json!({})).await.contains("bob"));
    bob.say("set_visible", json!({"visible": true})).await;
    ann.line(|line| line["meta"]["event"] == "peer_visible").await;
    assert_eq!(bob.say("leave_group", json!({"name": "team/core"})).await, "Left @team/core");
    let sent = ann.say("send_message", json!({"to": "@team", "message": "four"})).await;
    assert!(sent.ends_with("(stored; nobody else is there now)"), "{sent}");

    // The way, and what it counted.
    let ping = ann.say("ping_mesh", json!({"priorities": ["now", "next"]})).await;
    assert_eq!(ping.matches(", arrived in ").count(), 2, "{ping}");
    assert!(ann.heard().iter().all(|line| !line.to_string().contains("__ping__")));
    let stats = ann.say("mesh_stats", json!({})).await;
    let own = stats.lines().find(|line| line.starts_with("| ann |")).unwrap();
    assert!(!own.contains("| 0 | 0 |") && stats.contains("| bob |"), "{stats}");

    // One who leaves is away, and is sent to all the same.
    bob.leave().await;
    let line = ann.line(|line| line["meta"]["event"] == "peer_left").await;
    assert_eq!(line["content"], "[system] Peer \"bob\" left the mesh");
    // Also while another's name begins like that of the one who is meant.
    let bobby = attached(ann_home, &["--name", "bobby"]).await;
    eventually(&ann, "list_peers", json!({}), &["\"bobby\""]).await;
    let sent = ann.say("send_message", json!({"to": "bob", "message": "later"})).await;
    assert!(sent.ends_with("(stored; offline, gets it on return)"), "{sent}");
    let mut bob = attached(bob_home, &[]).await;
    let line = bob.line(|line| is_from(line, "ann")).await;
    assert!(line["content"].as_str().unwrap().contains("\nlater\n"), "{line}");
    bobby.leave().await;
    drop(mesh.up);
}

#[tokio::test]
async fn a_push_reaches_an_idle_host_and_modes_hold_it_back_for_check_messages() {
    let mesh = two();
    let [ann_home, bob_home] = &mesh.homes;
    let mut ann = attached(ann_home, &[]).await;
    let mut bob = Raw::start(bob_home, &[]);
    bob.initialize().await;
    let is_line = |message: &Value| message["method"] == "notifications/claude/channel";
    bob.until(|message| message["params"]["meta"]["kind"] == "welcome").await;

    let mut took = Vec::new();
    for n in 0..20 {
        let text = format!("push {n}");
        let since = Instant::now();
        let sending = ann.say("send_message", json!({"to": "bob", "message": text}));
        let reading = async {
            let line = bob.until(is_line).await;
            (line, since.elapsed())
        };
        let (_, (line, elapsed)) = tokio::join!(sending, reading);
        assert!(line["params"]["content"].as_str().unwrap().contains(&text), "{line}");
        took.push(elapsed);
    }
    took.sort();
    eprintln!("tool call to the other host's pipe: median {:?}, most {:?}", took[10], took[19]);
    bob.child.kill().await.unwrap();

    ann.say("send_message", json!({"to": "bob", "message": "waits", "priority": "now"})).await;
    let mut bob = attached(bob_home, &["--message-mode", "inbox"]).await;
    let line = bob.line(|line| line["meta"]["kind"] == "inbox_notification").await;
    let content = line["content"].as_str().unwrap();
    assert!(content.starts_with("[inbox] ") && content.contains("check_messages"), "{line}");
    assert!(!content.contains("waits"), "{line}");
    bob.leave().await;
    let mut bob = attached(bob_home, &["--message-mode", "off"]).await;
    let checked = eventually(&bob, "check_messages", json!({}), &["waits"]).await;
    assert!(checked.contains("from \"ann\"") && checked.contains("(now, 20"), "{checked}");
    assert_eq!(bob.say("check_messages", json!({})).await, "No new messages.");
    assert!(bob.heard().is_empty());
    ann.heard();
}

/// The number of the text that a line carries, if it is a message.
fn number(line: &Value) -> Option<usize> {
    let content = line["params"]["content"].as_str()?;
    content.lines().find_map(|line| line.strip_prefix("number "))?.parse().ok()
}

/// Reads until this many numbers were seen.
async fn read(bob: &mut Raw, seen: &mut BTreeSet<usize>, until: usize) {
    while seen.len() < until {
        seen.extend(number(&bob.until(|message| number(message).is_some()).await));
    }
}

#[tokio::test]
async fn an_agent_that_is_killed_again_and_again_is_shown_every_message() {
    const ROUNDS: usize = 4;
    const EACH: usize = 12;
    let mesh = two();
    let [ann_home, bob_home] = &mesh.homes;
    let ann = attached(ann_home, &[]).await;
    attached(bob_home, &[]).await.leave().await;
    let mut seen = BTreeSet::new();

    for round in 0..ROUNDS {
        let mut bob = Raw::start(bob_home, &[]);
        bob.initialize().await;
        let sending = async {
            for number in round * EACH..(round + 1) * EACH {
                // A pipe holds four of them: the others wait behind it.
                let message = format!("number {number}\n{}", "x".repeat(15 * 1024));
                let sent = ann.say("send_message", json!({"to": "bob", "message": message})).await;
                assert!(sent.starts_with("✓ "), "{sent}");
            }
        };
        // Killed in the middle: of arriving, of showing, of noting what was shown.
        let some = round * EACH + 2;
        tokio::join!(sending, read(&mut bob, &mut seen, some));
        bob.child.kill().await.unwrap();
        // What stands in the host's pipe has reached it; the last line may be torn.
        while let Ok(Some(line)) = bob.output.next_line().await {
            seen.extend(serde_json::from_str(&line).ok().as_ref().and_then(number));
        }
    }
    let mut bob = Raw::start(bob_home, &[]);
    bob.initialize().await;

    read(&mut bob, &mut seen, ROUNDS * EACH).await;
}
