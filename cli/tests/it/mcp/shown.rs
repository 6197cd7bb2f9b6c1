//! What the host was shown, what it was not, and that nothing is lost in between.

use serde_json::{Value, json};

use super::host::{Host, Raw, join};
use crate::edge::{Edge, Peer, push};

/// Linux pipes hold 64 KiB.
pub const LONGER_THAN_A_PIPE: usize = 256 * 1024;

/// An edge's side of a session that has said all it says at the start.
pub async fn settled(edge: &Edge) -> Peer {
    let mut peer = edge.attached().await;
    introduced(&mut peer).await;
    peer
}

/// Answers what a session asks and says after its hello.
async fn introduced(peer: &mut Peer) {
    peer.answer_list().await;
    let stats = peer.receive().await;
    assert_eq!(stats["type"], "set_stats", "{stats}");
    assert!(stats["stats"]["uptime"].is_u64(), "{stats}");
    acknowledge(peer, &stats).await;
}

async fn acknowledge(peer: &mut Peer, request: &Value) {
    let id = &request["_reqId"];
    peer.send(json!({"type": "ack", "id": id, "messageId": "", "queued": false, "_reqId": id}))
        .await;
}

pub fn content(line: &Value) -> &str {
    line["params"]["content"].as_str().unwrap()
}

pub fn is_message(message: &Value) -> bool {
    message["params"]["meta"]["kind"] == "broadcast"
}

#[tokio::test]
async fn a_kill_between_the_push_and_the_showing_loses_nothing() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    // The host has not opened its session yet, so nothing can be shown.
    let mut host = Raw::start(home.path(), &[]);
    let mut peer = settled(&edge).await;
    let session = peer.hello["sessionPubkey"].clone();
    assert_eq!(peer.hello["caps"], json!(["ack", "replies", "inbox"]));
    for id in ["m1", "m2"] {
        peer.push(id, id).await;
    }
    assert_eq!(peer.received(2).await, ["m1", "m2"], "the edge forgets them now");

    host.child.kill().await.unwrap();
    let mut host = Raw::start(home.path(), &[]);
    host.initialize().await;
    let peer = edge.greeted().await;

    assert_eq!(peer.hello["sessionPubkey"], session, "the same session comes back");
    for id in ["m1", "m2"] {
        let line = host.until(is_message).await;
        assert!(content(&line).contains(&format!("\n{id}\n")), "{line}");
    }
}

#[tokio::test]
async fn a_kill_in_the_middle_of_a_line_shows_the_message_again() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let long = "x".repeat(LONGER_THAN_A_PIPE);
    let mut host = Raw::start(home.path(), &[]);
    host.initialize().await;
    let mut peer = settled(&edge).await;
    peer.push("m1", &long).await;
    let begun = host.bytes(60).await;
    assert!(begun.contains("notifications/claude/channel"), "{begun}");

    host.child.kill().await.unwrap();
    let mut host = Raw::start(home.path(), &[]);
    host.initialize().await;

    assert!(content(&host.until(is_message).await).contains(&long));
}

#[tokio::test]
async fn a_kill_in_the_middle_of_an_answer_offers_the_message_again() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let long = "x".repeat(LONGER_THAN_A_PIPE);
    let call = || json!({"name": "check_messages", "arguments": {}});
    let mut host = Raw::start(home.path(), &["--message-mode", "off"]);
    host.initialize().await;
    let mut peer = settled(&edge).await;
    peer.push("m1", &long).await;
    peer.received(1).await;
    host.write(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call()})).await;
    let begun = host.bytes(60).await;
    assert!(begun.contains("\"id\":1"), "{begun}");

    host.child.kill().await.unwrap();
    let mut host = Raw::start(home.path(), &["--message-mode", "off"]);
    host.initialize().await;
    let offered = host.ask(1, "tools/call", call()).await;
    let after = host.ask(2, "tools/call", call()).await;

    assert!(offered["result"]["content"][0]["text"].as_str().unwrap().contains(&long));
    let after = after["result"]["content"][0]["text"].as_str().unwrap();
    assert!(after.starts_with("No new messages."), "{after}");
}

#[tokio::test]
async fn what_was_shown_is_not_shown_again_by_the_next_process() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let mut host = Raw::start(home.path(), &[]);
    host.initialize().await;
    let mut peer = settled(&edge).await;
    peer.push("m1", "first").await;
    host.until(is_message).await;
    // An answer that comes after the line: the line is noted by then.
    let call = json!({"name": "check_messages", "arguments": {}});
    let checked = host.ask(1, "tools/call", call).await;
    assert_eq!(
        checked["result"]["content"][0]["text"],
        "No new messages; 1 was pushed as a channel line (`recent` shows it)."
    );

    host.child.kill().await.unwrap();
    let mut host = Raw::start(home.path(), &[]);
    host.initialize().await;
    let mut peer = settled(&edge).await;
    peer.push("m1", "first").await;
    peer.push("m2", "second").await;

    let line = host.until(is_message).await;
    assert!(content(&line).contains("\nsecond\n"), "{line}");
}

#[tokio::test]
async fn a_host_that_has_no_channel_is_offered_everything() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let mut host = Host::named("any-host", home.path(), &[]).await;
    let mut peer = settled(&edge).await;
    for n in 0..3 {
        peer.push(&format!("m{n}"), &format!("text {n}")).await;
    }
    peer.received(3).await;

    let checked = host.say("check_messages", json!({})).await;

    assert!(checked.starts_with("3 new message(s):"), "{checked}");
    for n in 0..3 {
        assert!(checked.contains(&format!("\ntext {n}\n[end of peer text")), "{checked}");
    }
    assert_eq!(host.say("check_messages", json!({})).await, "No new messages.");
    assert!(host.heard().is_empty());
}

#[tokio::test]
async fn a_host_for_which_lines_are_asked_for_is_pushed_to_whatever_its_name() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let mut host = Host::named("any-host", home.path(), &["--message-mode", "push"]).await;
    let mut peer = settled(&edge).await;

    peer.push("m1", "first").await;

    let line = host.line(|line| line["meta"]["kind"] == "broadcast").await;
    assert!(line["content"].as_str().unwrap().contains("\nfirst\n"), "{line}");
}

#[tokio::test]
async fn mail_behind_and_between_many_pings_is_found() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let host = Host::start(home.path(), &["--message-mode", "off"]).await;
    let mut peer = settled(&edge).await;
    let own = peer.hello["sessionPubkey"].clone();
    for text in ["first", "second"] {
        for n in 0..300 {
            let mut ping = push(&format!("before-{text}-{n}"), &format!("__ping__ {n}"));
            ping["senderPubkey"] = own.clone();
            peer.send(ping).await;
        }
        peer.push(text, text).await;
    }
    peer.received(602).await;

    let checked = host.say("check_messages", json!({})).await;

    assert!(checked.starts_with("2 new message(s):"), "{checked}");
    assert!(checked.contains("\nfirst\n") && checked.contains("\nsecond\n"), "{checked}");
    assert!(!checked.contains("__ping__") && !checked.contains("More messages"), "{checked}");
    assert_eq!(host.say("check_messages", json!({})).await, "No new messages.");
}

#[tokio::test]
async fn long_mail_comes_in_pages_and_completely() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let host = Host::start(home.path(), &["--message-mode", "off"]).await;
    let mut peer = settled(&edge).await;
    for n in 0..30 {
        peer.push(&format!("m{n}"), &format!("{n}:{}", "x".repeat(4000))).await;
    }
    peer.received(30).await;

    let mut seen = Vec::new();
    loop {
        let page = host.say("check_messages", json!({})).await;
        assert!(page.len() < 64 * 1024);
        let bodies = page.lines().filter_map(|line| line.split_once(":xxx"));
        seen.extend(bodies.map(|(n, _)| n.parse::<usize>().unwrap()));
        if !page.contains("call check_messages again") {
            break;
        }
    }

    assert_eq!(seen, (0..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn two_agents_of_one_home_are_two_sessions_and_each_is_shown_its_own() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let mut first = Raw::start(home.path(), &[]);
    first.initialize().await;
    let mut first_peer = settled(&edge).await;
    let mut second = Raw::start(home.path(), &[]);
    second.initialize().await;
    let mut second_peer = settled(&edge).await;
    assert_ne!(first_peer.hello["sessionPubkey"], second_peer.hello["sessionPubkey"]);

    first_peer.push("only", "for the first").await;
    for peer in [&mut first_peer, &mut second_peer] {
        peer.push("both", "for both").await;
    }

    assert!(content(&first.until(is_message).await).contains("for the first"));
    assert!(content(&first.until(is_message).await).contains("for both"));
    assert!(content(&second.until(is_message).await).contains("for both"));
}

#[tokio::test]
async fn a_bad_frame_of_the_edge_is_survived_and_an_event_is_never_opened() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let mut host = Raw::start(home.path(), &[]);
    host.initialize().await;
    let mut peer = settled(&edge).await;

    peer.send(json!({"type": "push"})).await;
    peer.send(json!({"type": "nobody_knows"})).await;
    peer.send(json!([1, 2])).await;
    peer.send(json!({
        "type": "push", "subtype": "system", "event": "peer_joined", "messageId": "e",
        "meshId": "mesh-1", "senderPubkey": "system", "priority": "low", "nonce": "AAAA",
        "ciphertext": "AAAA", "createdAt": "2026-01-01T00:00:00.000Z",
        "eventData": {"name": "bob", "pubkey": "cd".repeat(32), "groups": []},
    }))
    .await;
    peer.send(json!({"type": "state_change", "key": "k", "value": [1], "updatedBy": "bob"})).await;
    peer.send(json!({"type": "stream_data", "stream": "s", "data": 7, "publishedBy": "bob"})).await;
    let mut sealed = push("m1", "x");
    sealed["nonce"] = json!("AAAA");
    sealed.as_object_mut().unwrap().remove("targetSpec");
    peer.send(sealed).await;
    peer.push("m2", "fine").await;

    let line = host.until(|line| line["params"]["meta"]["kind"] == "system").await;
    assert_eq!(content(&line), "[system] Peer \"bob\" joined the mesh");
    let line = host.until(|line| line["params"]["meta"]["kind"] == "state_change").await;
    assert_eq!(content(&line), "[state] k = [1] (set by bob)");
    let line = host.until(|line| line["params"]["meta"]["kind"] == "stream_data").await;
    assert_eq!(content(&line), "[stream:s] from bob: 7");
    let line = host.until(|line| line["params"]["meta"]["kind"] == "direct").await;
    assert!(
        content(&line).contains("abababababab…") && content(&line).contains("decrypted"),
        "{line}"
    );
    assert!(content(&host.until(is_message).await).contains("\nfine\n"));
}
