//! Reading mail: by several calls at once, by calls that are taken back, from inboxes that cannot
//! be read; and what comes before anybody reads.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::host::{Host, Raw, join};
use super::shown::{LONGER_THAN_A_PIPE, content, is_message, settled};
use crate::edge::{Edge, Peer};

/// Asks for mail without waiting for the answer.
async fn begin(host: &mut Raw, id: i64) {
    let params = json!({"name": "check_messages", "arguments": {}});
    host.write(json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})).await;
}

fn text(answer: &Value) -> String {
    answer["result"]["content"][0]["text"].as_str().unwrap().to_owned()
}

/// The folder of the inbox of this session.
fn inbox(home: &Path, mesh_id: &str, peer: &Peer) -> std::path::PathBuf {
    home.join("inbox").join(mesh_id).join(peer.hello["sessionPubkey"].as_str().unwrap())
}

#[tokio::test]
async fn of_calls_at_the_same_time_each_gets_what_the_others_did_not() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let mut host = Raw::start(home.path(), &["--message-mode", "off"]);
    host.initialize().await;
    let mut peer = settled(&edge).await;
    // Each is a page of its own.
    let long = "x".repeat(40 * 1024);
    for n in 0..3 {
        peer.push(&format!("m{n}"), &format!("text {n} {long}")).await;
    }
    peer.received(3).await;

    for id in 1..=5 {
        begin(&mut host, id).await;
    }
    let mut pages = Vec::new();
    for _ in 1..=5 {
        pages.push(text(&host.until(|message| message["id"].is_i64()).await));
    }

    for n in 0..3 {
        let body = format!("text {n} ");
        let with = pages.iter().filter(|page| page.contains(&body)).count();
        assert_eq!(with, 1, "message {n} was given {with} times");
    }
    assert_eq!(pages.iter().filter(|page| page.as_str() == "No new messages.").count(), 2);
}

#[tokio::test]
async fn a_call_that_is_taken_back_neither_takes_messages_nor_holds_up_the_next() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let mut host = Raw::start(home.path(), &["--message-mode", "off"]);
    host.initialize().await;
    let mut peer = settled(&edge).await;
    peer.push("m1", &"x".repeat(LONGER_THAN_A_PIPE)).await;
    peer.push("m2", "second").await;
    peer.received(2).await;

    // The first answer does not fit the pipe, so the second call waits when it is taken back.
    begin(&mut host, 1).await;
    let begun = host.bytes(60).await;
    assert!(begun.contains("\"id\":1"), "{begun}");
    begin(&mut host, 2).await;
    let params = json!({"requestId": 2});
    let back = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
    host.write(back).await;
    begin(&mut host, 3).await;

    let rest = host.rest_of_line().await;
    let mut given = usize::from(rest.contains("\nsecond\n"));
    loop {
        let answer = host.until(|message| message["id"].is_i64()).await;
        given += usize::from(text(&answer).contains("\nsecond\n"));
        if answer["id"] == 3 {
            break;
        }
    }
    assert_eq!(given, 1);
}

#[tokio::test]
async fn an_inbox_that_cannot_be_read_is_told_and_hides_no_other() {
    let (broken, well) = (Edge::start().await, Edge::start().await);
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-b", "broken", &broken.url);
    join(home.path(), "mesh-w", "well", &well.url);
    let host = Host::start(home.path(), &["--message-mode", "off"]).await;
    let (mut at_broken, mut at_well) = tokio::join!(settled(&broken), settled(&well));
    for peer in [&mut at_broken, &mut at_well] {
        peer.push("m1", "hello").await;
        peer.received(1).await;
    }
    let log = inbox(home.path(), "mesh-b", &at_broken).join("00000001.log");
    fs::remove_file(&log).unwrap();
    fs::create_dir(&log).unwrap();

    let again = host.say("check_messages", json!({"recent": 5})).await;
    let checked = host.say("check_messages", json!({})).await;
    let (after, is_error) = host.call("check_messages", json!({})).await;

    for text in [&again, &checked] {
        assert!(text.contains("\nhello\n"), "{text}");
        assert!(text.contains("✗ [broken] the inbox cannot be read"), "{text}");
    }
    assert!(is_error && after.contains("✗ [broken]"), "nobody knows that nothing is new: {after}");
}

#[tokio::test]
async fn what_is_shown_again_fits_what_a_host_shows() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let host = Host::start(home.path(), &["--message-mode", "off"]).await;
    let mut peer = settled(&edge).await;
    for n in 0..30 {
        peer.push(&format!("m{n}"), &format!("{n}:{}", "x".repeat(4000))).await;
    }
    peer.received(30).await;

    let recent = host.say("check_messages", json!({"recent": 30})).await;

    assert!(recent.len() < 64 * 1024, "{} bytes", recent.len());
    let shown: Vec<usize> = recent
        .lines()
        .filter_map(|line| line.split_once(":xxx"))
        .map(|(n, _)| n.parse().unwrap())
        .collect();
    let left = 30 - shown.len();
    assert_eq!(shown, (left..30).collect::<Vec<_>>(), "the newest, in order");
    assert!(recent.starts_with(&format!("[demo] {left} older one(s)")), "{recent}");
}

#[tokio::test]
async fn mail_of_a_session_that_somebody_else_goes_on_with_is_shown_by_the_next() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let host = Host::start(home.path(), &["--message-mode", "off"]).await;
    let mut peer = settled(&edge).await;
    peer.push("m1", "before").await;
    peer.received(1).await;

    peer.close(4409).await;
    let mut peer = settled(&edge).await;
    peer.push("m2", "after").await;
    peer.received(1).await;

    let checked = host.say("check_messages", json!({})).await;
    assert!(checked.contains("\nbefore\n") && checked.contains("\nafter\n"), "{checked}");
    assert_eq!(host.say("check_messages", json!({})).await, "No new messages.");
}

#[tokio::test]
async fn that_nothing_is_new_is_not_said_of_a_mesh_that_is_away() {
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", "ws://127.0.0.1:9/ws");
    let host = Host::start(home.path(), &[]).await;

    let checked = host.say("check_messages", json!({})).await;

    assert_eq!(
        checked,
        "No new messages. demo is not connected: what waits there is not here yet."
    );
}

#[tokio::test]
async fn q36_what_arrives_before_the_host_listens_is_shown_when_it_does() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let mut host = Raw::start(home.path(), &[]);
    let mut peer = settled(&edge).await;
    for n in 0..3 {
        peer.push(&format!("m{n}"), &format!("early {n}")).await;
    }
    peer.received(3).await;

    host.initialize().await;

    for n in 0..3 {
        let line = host.until(is_message).await;
        assert!(content(&line).contains(&format!("\nearly {n}\n")), "{line}");
    }
}
