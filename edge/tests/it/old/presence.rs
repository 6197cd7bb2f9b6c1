//! Presence, profile and stats of 0.8.9 clients, seen across edges.

use std::time::Duration;

use serde_json::{Value, json};

use super::{client, member, peer::Client};
use crate::harness::{TestMesh, pass};

#[tokio::test]
async fn line_5_a_listed_peer_has_the_contracts_fields_on_every_edge() {
    let mesh = TestMesh::start(2).await;
    let ann = client(&mesh, "ann", 0).await;
    let mut config = member(&mesh, "bob", 1).await;
    config.session_id = Some("6f1c2d9e-0000-4000-8000-000000000000".to_owned());
    let bob = Client::open(&config).await;

    let seen = ann.find("bob").await.unwrap();

    assert_eq!(
        seen,
        json!({
            "pubkey": bob.key(), "displayName": "bob", "status": "idle", "summary": null,
            "groups": [], "sessionId": config.session_id, "connectedAt": seen["connectedAt"],
            "cwd": "/work/project", "hostname": "host", "peerType": "ai",
            "channel": "claude-code", "visible": true,
        })
    );
    assert_eq!(bob.me().await, seen);
}

#[tokio::test]
async fn line_7_and_8_what_it_says_of_itself_is_seen_elsewhere_and_answered_by_nothing_that_harms()
{
    let mesh = TestMesh::start(2).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, client(&mesh, "bob", 1).await);

    bob.set_status("working");
    bob.set_summary("the spine");
    bob.set_profile(json!({"avatar": "🦉", "title": "tester", "capabilities": ["rust"]}));
    bob.set_profile(json!({"bio": "long"}));
    bob.join_group("dev");
    bob.report();
    bob.set_visible(true);
    assert_eq!(bob.strays().await, Vec::<Value>::new());

    let seen = ann.find("bob").await.unwrap();
    assert_eq!((&seen["status"], &seen["summary"]), (&json!("working"), &json!("the spine")));
    let profile = json!({"avatar": "🦉", "title": "tester", "bio": "long",
                         "capabilities": ["rust"]});
    assert_eq!((&seen["profile"], &seen["groups"]), (&profile, &json!([{"name": "dev"}])));
    let stats = json!({"messagesIn": 0, "messagesOut": 0, "toolCalls": 0, "uptime": 60,
                       "errors": 0});
    assert_eq!(seen["stats"], stats);
}

#[tokio::test]
async fn line_6_comings_and_goings_are_told_across_edges_in_lines_with_names() {
    let mesh = TestMesh::start(2).await;
    let (ann, config) = (client(&mesh, "ann", 0).await, member(&mesh, "bob", 1).await);
    let bob = Client::open(&config).await;
    let key = bob.key().to_owned();
    bob.set_visible(false);
    bob.set_visible(true);
    bob.set_summary("the spine");
    bob.peers().await;
    bob.close().await;

    let joined = ann.event("peer_joined", &key).await;
    assert_eq!(joined.text.as_deref(), Some("[system] Peer \"bob\" joined the mesh"));
    for event in ["peer_hidden", "peer_visible", "peer_left"] {
        let push = ann.event(event, &key).await;
        assert_eq!(push.raw["eventData"], json!({"name": "bob", "pubkey": key}));
    }
    // A new process has a new key, and is greeted as one who was here before.
    let bob = Client::open(&config).await;
    let returned = ann.event("peer_returned", bob.key()).await;
    let line = returned.text.unwrap();
    assert!(line.contains("\"bob\"") && line.ends_with("in []: the spine"), "{line}");
    for part in ["nonce", "ciphertext"] {
        assert_eq!(returned.raw[part], "");
    }
    assert_eq!((returned.sender.as_str(), &returned.raw["subtype"]), ("system", &json!("system")));
}

#[tokio::test]
async fn who_hides_is_seen_by_its_own_member_and_reached_by_its_key() {
    let mesh = TestMesh::start(2).await;
    let (ann, config) = (client(&mesh, "ann", 0).await, member(&mesh, "bob", 1).await);
    let (bob, sibling) = (Client::open(&config).await, Client::open(&config).await);

    bob.set_visible(false);
    assert_eq!(bob.me().await["visible"], false);

    let seen: Vec<Value> = ann.peers().await.iter().map(|peer| peer["pubkey"].clone()).collect();
    assert_eq!(seen, [json!(ann.key()), json!(sibling.key())]);
    assert_eq!(sibling.peers().await.len(), 3);
    ann.send("*", "to those who are seen", "next").await.unwrap();
    assert_eq!(sibling.text().await, "to those who are seen");
    ann.send(bob.key(), "to you", "next").await.unwrap();
    assert_eq!(bob.text().await, "to you");
}

#[tokio::test]
async fn it_reports_its_counters_every_minute() {
    let mesh = TestMesh::start(2).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, client(&mesh, "bob", 1).await);
    bob.send(ann.key(), "one", "next").await.unwrap();
    ann.text().await;
    assert!(ann.find("bob").await.unwrap().get("stats").is_none());

    pass(Duration::from_secs(60)).await;
    mesh.until("select count(*) from session where stats is not null", "2").await;

    let stats = ann.find("bob").await.unwrap()["stats"].clone();
    assert_eq!((&stats["messagesOut"], &stats["messagesIn"]), (&json!(1), &json!(0)));
    assert_eq!(ann.me().await["stats"]["messagesIn"], 1);
    assert_eq!(bob.strays().await, Vec::<Value>::new());
}
