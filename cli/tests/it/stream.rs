//! Streams: commands and tools, across edges, and still heard after a reconnect.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

use serde_json::{Value, json};
use skein::client::{Client, Incoming, State};
use skein_wire::streams::{ListStreams, Publish};

use crate::edge::{DEADLINE, until};
use crate::mcp::host::Host;
use crate::place::{Place, json, skein, wait};

/// Waits until so many listen to a stream.
async fn listening(home: &Path, stream: &str, n: u64) {
    let of_it = |one: &Value| one["name"] == stream && one["subscriberCount"] == n;
    let look =
        || json(home, &["stream", "list"]).as_array().unwrap().iter().any(of_it).then_some(());
    wait("they listen", look).await;
}

/// A command that listens.
struct Listener(Child, BufReader<ChildStdout>);

impl Listener {
    fn start(home: &Path, args: &[&str]) -> Self {
        let mut command = skein(home, args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self(child, out)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

#[tokio::test]
async fn what_is_published_on_one_edge_is_printed_by_who_listens_on_another() {
    let place = Place::start(2).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");
    json(&bob, &["config", "set", "edges", &place.url(1)]);

    let made = json(&owner, &["stream", "create", "builds"]);
    assert_eq!(json(&bob, &["stream", "create", "builds"])["id"], made["id"]);
    let mut listener =
        Listener::start(&bob, &["stream", "subscribe", "builds", "--json", "--count", "4"]);
    listening(&owner, "builds", 1).await;
    let listed = json(&owner, &["stream", "list"]);
    assert_eq!(listed[0]["createdBy"], "owner");

    let published = json(&owner, &["stream", "publish", "builds", r#"{"n": 1}"#]);
    assert_eq!(published, json!({"stream": "builds", "published": 1}));
    json(&owner, &["stream", "publish", "builds", "no json"]);
    let mut piped = skein(&owner, &["stream", "publish", "builds"]);
    let mut piped = piped.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(b"[2]\nline two\n").unwrap();
    assert!(piped.wait().unwrap().success());

    for data in [json!({"n": 1}), json!("no json"), json!([2]), json!("line two")] {
        let heard: Value = serde_json::from_str(&listener.line()).unwrap();
        assert_eq!(heard, json!({"stream": "builds", "publishedBy": "owner", "data": data}));
    }
    assert!(listener.0.wait().unwrap().success(), "it ends after four");
    listening(&owner, "builds", 0).await;
}

#[tokio::test]
async fn agents_create_listen_publish_and_list() {
    let place = Place::start(2).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");
    json(&bob, &["config", "set", "edges", &place.url(1)]);
    let (ann, mut bob) = (Host::start(&owner, &[]).await, Host::start(&bob, &[]).await);

    assert_eq!(ann.say("list_streams", json!({})).await, "No streams.");
    let made = ann.say("create_stream", json!({"name": "builds"})).await;
    assert!(made.starts_with("Stream \"builds\" ("), "{made}");
    let listening = bob.say("subscribe", json!({"stream": "builds"})).await;
    assert_eq!(listening, "Listening to \"builds\"");
    let published = ann.say("publish", json!({"stream": "builds", "data": {"n": 1}})).await;
    assert_eq!(published, "Published to \"builds\"");

    let line = bob.line(|line| line["meta"]["kind"] == "stream_data").await;
    assert!(line["content"].as_str().unwrap().contains(r#"{"n":1}"#), "{line}");
    let listed = ann.say("list_streams", json!({})).await;
    assert!(listed.contains("\"builds\"") && listed.ends_with("by owner, 1 listening"), "{listed}");
}

#[tokio::test]
async fn a_subscription_is_there_again_after_a_reconnect_until_it_is_ended() {
    let mut place = Place::start(2).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");
    let config = |home: &Path, edges: Vec<String>| {
        let home = skein::home::Home::at(home).unwrap();
        let membership = home.membership(None).unwrap();
        skein::client::Config::new(
            edges,
            &membership.mesh_id,
            &membership.member_id,
            membership.member().unwrap(),
            skein_crypto::Keypair::generate(),
        )
    };
    let (urls, last) = (vec![place.url(0), place.url(1)], vec![place.url(1)]);
    let (ann, _ann) = Client::connect(config(&owner, last), DEADLINE).await.unwrap();
    let (bob, mut heard) = Client::connect(config(&bob, urls), DEADLINE).await.unwrap();
    bob.subscribe("s").await.unwrap();
    bob.subscribe("t").await.unwrap();
    bob.unsubscribe("t").await.unwrap();

    place.kill(0);
    let second = place.url(1);
    let there =
        async { bob.watch().wait_for(|s| *s == State::Connected(second.clone())).await.map(drop) };
    tokio::time::timeout(2 * DEADLINE, there).await.expect("it is back").unwrap();
    // Its subscription is the first thing that it says there, so it is before its next question.
    bob.request(&ListStreams {}).await.unwrap();
    for stream in ["t", "s"] {
        let data = serde_json::value::to_raw_value(stream).unwrap();
        ann.tell(&Publish { stream: stream.to_owned(), data }).await.unwrap();
    }

    let is_data = |i: &Incoming| matches!(i, Incoming::Frame { kind, .. } if kind == "stream_data");
    let Incoming::Frame { text, .. } = until(&mut heard, is_data).await else { panic!("a frame") };
    assert!(text.contains(r#""stream":"s""#), "{text}");
    bob.close().await;
    ann.close().await;
}
