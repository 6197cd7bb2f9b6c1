//! Every mesh of a home, what a session wants to be in each, and meshes that come and go.

use std::time::Duration;

use serde_json::{Value, json};
use skein::home::Home;
use skein::mcp::{self, Settings};

use super::host::{Host, join};
use crate::edge::{Edge, Peer};

/// Answers requests until one is of this type; returns it, acknowledged.
pub async fn until(peer: &mut Peer, kind: &str) -> Value {
    loop {
        let frame = peer.receive().await;
        let id = &frame["_reqId"];
        match frame["type"].as_str().unwrap() {
            "send" => peer.ack(&frame).await,
            "list_peers" => {
                let peers = [bob()];
                peer.send(json!({"type": "peers_list", "peers": peers, "_reqId": id})).await;
            }
            _ => {
                let mut ack = json!({"type": "ack", "messageId": "", "queued": false});
                ack["id"] = id.clone();
                ack["_reqId"] = id.clone();
                peer.send(ack).await;
            }
        }
        if frame["type"] == kind {
            return frame;
        }
    }
}

fn bob() -> Value {
    json!({
        "pubkey": skein_crypto::Keypair::generate().public.hex(), "displayName": "Bob",
        "status": "idle", "summary": null, "groups": [], "sessionId": "s",
        "connectedAt": "2026-01-01T00:00:00.000Z", "cwd": "/w",
    })
}

#[tokio::test]
async fn every_joined_mesh_is_attached_and_a_slug_says_which_is_meant() {
    let (work, play) = (Edge::start().await, Edge::start().await);
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-w", "work", &work.url);
    join(home.path(), "mesh-p", "play", &play.url);
    let host = Host::start(home.path(), &["--name", "ada", "--role", "tester"]).await;
    let (mut at_work, mut at_play) = tokio::join!(work.attached(), play.attached());
    assert_eq!(at_work.hello["displayName"], "ada");
    let instructions = host.instructions();
    for wanted in ["mesh work", "mesh play", "\"ada\"", "tester"] {
        assert!(instructions.contains(wanted), "{instructions}");
    }
    let key = at_work.hello["sessionPubkey"].as_str().unwrap();
    assert!(instructions.contains(key), "{instructions}");
    let serving = async {
        tokio::join!(until(&mut at_work, "set_stats"), until(&mut at_play, "set_stats"));
    };
    serving.await;

    let (sent, frame) = tokio::join!(
        host.call("send_message", json!({"to": "play:*", "message": "hi"})),
        until(&mut at_play, "send"),
    );
    assert!(sent.0.starts_with("✓ play:* → m-") && !sent.1, "{sent:?}");
    assert_eq!(frame["targetSpec"], "*");

    let (text, is_error) = host.call("send_message", json!({"to": "*", "message": "hi"})).await;
    assert!(is_error && text.contains("play:* or work:*"), "{text}");
    let asking = host.call("send_message", json!({"to": "bob", "message": "hi"}));
    let answering = async {
        tokio::join!(until(&mut at_work, "list_peers"), until(&mut at_play, "list_peers"));
    };
    let ((text, is_error), ()) = tokio::join!(asking, answering);
    assert!(is_error && text.contains("several meshes (play, work)"), "{text}");

    let setting = host.call("set_summary", json!({"summary": "s"}));
    let answering = async {
        tokio::join!(until(&mut at_work, "set_summary"), until(&mut at_play, "set_summary"))
    };
    let ((text, is_error), _) = tokio::join!(setting, answering);
    assert_eq!((text.as_str(), is_error), ("[play] Summary set: s\n[work] Summary set: s", false));
}

#[tokio::test]
async fn groups_are_joined_again_where_the_edge_has_forgotten_them() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let host = Host::start(home.path(), &[]).await;
    let mut peer = edge.attached().await;
    until(&mut peer, "set_stats").await;
    let joining = host.call("join_group", json!({"name": "team", "role": "lead"}));
    let (joined, _) = tokio::join!(joining, until(&mut peer, "join_group"));
    assert_eq!(joined, ("Joined @team as lead".to_owned(), false));

    drop(peer);
    let mut peer = edge.greeted().await;
    assert!(peer.hello.get("groups").is_none(), "what the edge has comes back by itself");
    peer.acknowledge(&[]).await;

    let again = until(&mut peer, "join_group").await;
    assert_eq!(json!([again["name"], again["role"]]), json!(["team", "lead"]));
}

#[tokio::test]
async fn groups_that_the_edge_gives_back_are_not_joined_again() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let _host = Host::start(home.path(), &[]).await;
    let mut peer = edge.greeted().await;
    peer.send(json!({
        "type": "hello_ack", "presenceId": "P", "memberDisplayName": "ann", "services": [],
        "restored": true, "restoredGroups": [{"name": "team"}],
        "restoredStats": {"messagesIn": 5, "messagesOut": 6, "toolCalls": 7, "errors": 8},
    }))
    .await;

    peer.answer_list().await;
    let stats = peer.receive().await;

    assert_eq!(stats["type"], "set_stats", "nothing else was said: {stats}");
    let stats = &stats["stats"];
    assert_eq!(
        json!([stats["messagesIn"], stats["messagesOut"], stats["toolCalls"], stats["errors"]]),
        json!([5, 6, 7, 8])
    );
}

#[tokio::test]
async fn a_mesh_that_is_joined_later_is_attached_and_one_that_is_left_is_let_go() {
    let (first, second) = (Edge::start().await, Edge::start().await);
    let home = tempfile::tempdir().unwrap();
    let host = Host::start(home.path(), &[]).await;
    let (text, is_error) = host.call("list_peers", json!({})).await;
    assert!(is_error && text.contains("skein join"), "{text}");

    join(home.path(), "mesh-1", "one", &first.url);
    let _first_peer = first.attached().await;
    join(home.path(), "mesh-2", "two", &second.url);
    let mut second_peer = second.attached().await;
    until(&mut second_peer, "set_stats").await;
    Home::at(home.path()).unwrap().forget("mesh-1").unwrap();

    let listing = async {
        loop {
            let (text, _) = host.call("list_peers", json!({"mesh_slug": "one"})).await;
            if text.contains("joined: two") {
                return;
            }
        }
    };
    tokio::time::timeout(crate::edge::DEADLINE, listing).await.expect("it is let go");
}

#[tokio::test]
async fn without_a_connection_nothing_is_sent_and_it_is_said() {
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", "ws://127.0.0.1:9/ws");
    let host = Host::start(home.path(), &[]).await;

    let (text, is_error) = host.call("send_message", json!({"to": "*", "message": "x"})).await;

    assert!(is_error && text.starts_with("✗ *: not connected"), "{text}");
    assert!(text.contains("nothing was sent"), "{text}");
}

#[tokio::test]
async fn what_other_programs_of_the_home_say_is_taken_over() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let _host = Host::start(home.path(), &[]).await;
    let mut peer = edge.attached().await;
    until(&mut peer, "set_stats").await;

    let files = Home::at(home.path()).unwrap();
    let group = serde_json::from_value(json!({"name": "team", "role": "dev"})).unwrap();
    files
        .change("mesh-1", |membership| {
            membership.groups.push(group);
            membership.summary = Some("the parser".into());
        })
        .unwrap();

    let joined = until(&mut peer, "join_group").await;
    assert_eq!(json!([joined["name"], joined["role"]]), json!(["team", "dev"]));
    assert_eq!(until(&mut peer, "set_summary").await["summary"], "the parser");
}

#[tokio::test]
async fn counters_are_reported_again_and_again() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let settings = Settings { report_every: Duration::from_millis(20), ..Settings::default() };
    let (host, program) = tokio::io::duplex(4096);
    let (read, write) = tokio::io::split(program);
    let serving = mcp::serve(Home::at(home.path()).unwrap(), settings, read, write);
    let serving = tokio::spawn(serving);
    let mut peer = edge.attached().await;

    for _ in 0..3 {
        until(&mut peer, "set_stats").await;
    }

    drop(host);
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_refused_member_is_told_why_and_the_program_goes_on() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let host = Host::start(home.path(), &[]).await;
    let mut peer = edge.greeted().await;
    peer.send(json!({"type": "error", "code": "unauthorized", "message": "who?"})).await;

    let (text, is_error) = host.call("list_peers", json!({})).await;

    assert!(is_error && text.contains("refused: who?"), "{text}");
    let checked = host.say("check_messages", json!({})).await;
    assert!(checked.contains("demo is not connected"), "{checked}");
}

#[tokio::test]
async fn a_session_whose_key_somebody_else_uses_comes_back_with_another() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let host = Host::start(home.path(), &[]).await;
    let mut peer = edge.attached().await;
    let session = peer.hello["sessionPubkey"].clone();
    until(&mut peer, "set_stats").await;
    let joining = host.call("join_group", json!({"name": "team"}));
    tokio::join!(joining, until(&mut peer, "join_group"));

    peer.close(4409).await;
    let mut peer = edge.attached().await;

    assert_ne!(peer.hello["sessionPubkey"], session);
    assert_eq!(until(&mut peer, "join_group").await["name"], "team");
}
