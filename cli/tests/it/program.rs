//! The program itself, as a child process, against a scripted edge: exit codes, shapes of JSON, and
//! what is shown once.

use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use skein::client::inbox::Inbox;
use skein::client::message::Message;
use skein::home::{Home, Lifetime, Membership};
use skein_crypto::Keypair;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::edge::{DEADLINE, Edge};

/// A home that is a member at this edge.
fn home(dir: &Path, edge: &str) {
    let member = Keypair::generate();
    let membership: Membership = serde_json::from_value(json!({
        "version": 1, "meshId": "mesh-1", "slug": "demo", "memberId": "member-1",
        "memberSecret": *member.secret.hex(), "ownerPubkey": Keypair::generate().public,
        "edges": [edge], "displayName": "ann", "joinedAt": "2026-01-01T00:00:00.000Z",
    }))
    .unwrap();
    Home::at(dir).unwrap().save(&membership).unwrap();
}

fn skein(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
    command.args(args).env("SKEIN_HOME", dir).env_remove("RUST_LOG").kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn run(dir: &Path, args: &[&str]) -> Output {
    let output = skein(dir, args).output();
    timeout(DEADLINE, output).await.expect("the program ends").unwrap()
}

fn stdout(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> Value {
    let line = timeout(DEADLINE, lines.next_line()).await.expect("a line comes");
    serde_json::from_str(&line.unwrap().unwrap()).unwrap()
}

fn follow(dir: &Path) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = skein(dir, &["inbox", "--follow", "--json"]).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

#[tokio::test]
async fn what_goes_wrong_has_a_code_a_sentence_and_a_next_step() {
    let dir = tempfile::tempdir().unwrap();

    let usage = run(dir.path(), &["send", "ann"]).await;
    let no_mesh = run(dir.path(), &["peers", "--json"]).await;
    let bad_link = run(dir.path(), &["join", "https://a.example/join/abc#def"]).await;

    assert_eq!(usage.status.code(), Some(2));
    assert_eq!(no_mesh.status.code(), Some(3));
    let said: Value = serde_json::from_slice(&no_mesh.stderr).unwrap();
    assert_eq!(said["error"]["code"], "no_mesh");
    assert!(said["error"]["hint"].as_str().unwrap().contains("skein join"));
    assert_eq!(bad_link.status.code(), Some(1));
    let words = String::from_utf8(bad_link.stderr).unwrap();
    assert!(words.contains("invite link is malformed") && words.contains("copy the link again"));
}

#[tokio::test]
async fn a_refused_member_ends_with_five_and_an_edge_that_is_not_there_with_four() {
    let edge = Edge::start().await;
    let dir = tempfile::tempdir().unwrap();
    home(dir.path(), &edge.url);
    let serve = async {
        let mut peer = edge.greeted().await;
        peer.send(json!({"type": "error", "code": "unauthorized", "message": "who?"})).await;
    };
    let args = ["peers", "--json"];
    let (refused, ()) = tokio::join!(run(dir.path(), &args), serve);
    drop(edge);
    let absent = run(dir.path(), &args).await;

    assert_eq!(refused.status.code(), Some(5));
    let said: Value = serde_json::from_slice(&refused.stderr).unwrap();
    assert_eq!(said["error"]["code"], "unauthorized");
    assert_eq!(absent.status.code(), Some(4));
}

#[tokio::test]
async fn a_text_to_several_is_sent_to_each_once_and_reported_in_one_shape() {
    let edge = Edge::start().await;
    let dir = tempfile::tempdir().unwrap();
    home(dir.path(), &edge.url);
    let serve = async {
        let mut peer = edge.attached().await;
        let mut targets = Vec::new();
        for _ in 0..2 {
            let send = peer.receive().await;
            targets.push(send["targetSpec"].clone());
            peer.ack(&send).await;
        }
        targets
    };

    let args = ["send", "*", "@team", "--json", "*", "--priority", "now", "hello"];
    let (sent, targets) = tokio::join!(run(dir.path(), &args), serve);

    assert!(sent.status.success(), "{sent:?}");
    assert_eq!(targets, ["*", "@team"]);
    let shown = stdout(&sent);
    assert_eq!(shown[1]["to"], "@team");
    assert_eq!(shown[1]["target"], "@team");
    assert!(shown[1]["messageId"].as_str().unwrap().starts_with("m-"));
    assert_eq!(shown.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_was_sent_is_told_also_when_another_target_is_refused() {
    let edge = Edge::start().await;
    let dir = tempfile::tempdir().unwrap();
    home(dir.path(), &edge.url);
    let serve = async || {
        let mut peer = edge.attached().await;
        let refused = peer.receive().await;
        let stored = peer.receive().await;
        peer.send(json!({
            "type": "error", "code": "mailbox_full", "message": "full", "id": refused["id"],
        }))
        .await;
        peer.ack(&stored).await;
    };

    let args = ["send", "@team", "*", "hello"];
    let (words, ()) = tokio::join!(run(dir.path(), &args), serve());
    let args = ["send", "@team", "*", "hello", "--json"];
    let (sent, ()) = tokio::join!(run(dir.path(), &args), serve());

    assert_eq!([words.status.code(), sent.status.code()], [Some(5), Some(5)]);
    let said = String::from_utf8(words.stdout).unwrap();
    assert!(said.contains("Not stored for @team: refused: full"), "{said}");
    assert!(said.contains("Stored for *  m-"), "{said}");
    let shown = stdout(&sent);
    assert_eq!(shown[0]["error"], json!({"code": "mailbox_full", "message": "refused: full"}));
    assert!(shown[1]["messageId"].as_str().unwrap().starts_with("m-"), "{shown}");
    let error: Value = serde_json::from_slice(&sent.stderr).unwrap();
    assert_eq!(error["error"]["code"], "mailbox_full");
}

#[tokio::test]
async fn q43_the_edge_that_was_chosen_is_the_one_that_is_used() {
    let (first, chosen) = (Edge::start().await, Edge::start().await);
    let dir = tempfile::tempdir().unwrap();
    home(dir.path(), &first.url);
    assert!(run(dir.path(), &["config", "set", "edges", &chosen.url]).await.status.success());
    // What it names besides does not take the place of what was chosen.
    let serve = async || {
        let mut peer = chosen.greeted().await;
        peer.acknowledge(&[&first.url, &chosen.url]).await;
        peer.answer_list().await;
    };

    for _ in 0..2 {
        let (listed, ()) = tokio::join!(run(dir.path(), &["peers", "--json"]), serve());
        assert!(listed.status.success(), "{listed:?}");
    }
}

#[tokio::test]
async fn a_name_that_two_members_have_is_refused_with_the_candidates() {
    let edge = Edge::start().await;
    let dir = tempfile::tempdir().unwrap();
    home(dir.path(), &edge.url);
    let peer_named = |key: &str| {
        json!({
            "pubkey": key.repeat(64), "memberPubkey": key.repeat(64), "displayName": "Bob",
            "status": "idle", "summary": null, "groups": [], "sessionId": "s",
            "connectedAt": "2026-01-01T00:00:00.000Z", "cwd": "/w",
        })
    };
    let serve = async {
        let mut peer = edge.attached().await;
        let asked = peer.receive().await;
        let peers = [peer_named("a"), peer_named("b")];
        peer.send(json!({"type": "peers_list", "peers": peers, "_reqId": asked["_reqId"]})).await;
        peer
    };

    let (refused, _peer) = tokio::join!(run(dir.path(), &["send", "bob", "x"]), serve);

    assert_eq!(refused.status.code(), Some(3));
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(words.contains(&"a".repeat(64)) && words.contains(&"b".repeat(64)), "{words}");
}

#[tokio::test]
async fn a_follower_that_is_killed_and_started_again_is_the_same_session_and_repeats_nothing() {
    let edge = Edge::start().await;
    let dir = tempfile::tempdir().unwrap();
    home(dir.path(), &edge.url);
    let (mut child, mut lines) = follow(dir.path());
    let mut peer = edge.greeted().await;
    let session = peer.hello["sessionPubkey"].clone();
    assert_eq!(peer.hello["caps"], json!(["ack", "replies", "inbox"]));
    peer.acknowledge(&[]).await;
    peer.answer_list().await;
    for id in ["m1", "m2"] {
        peer.push(id, id).await;
        assert_eq!(line(&mut lines).await["messageId"], id);
    }
    assert_eq!(peer.received(2).await, ["m1", "m2"]);

    child.kill().await.unwrap();
    let (_child, mut lines) = follow(dir.path());
    let mut peer = edge.greeted().await;
    assert_eq!(peer.hello["sessionPubkey"], session);
    peer.acknowledge(&[]).await;
    peer.answer_list().await;
    for id in ["m1", "m2", "m3"] {
        peer.push(id, id).await;
    }

    assert_eq!(peer.received(3).await, ["m1", "m2", "m3"]);
    assert_eq!(line(&mut lines).await["messageId"], "m3");
}

#[tokio::test]
async fn what_was_shown_once_is_shown_again_only_when_all_is_asked_for() {
    let edge = Edge::start().await;
    let dir = tempfile::tempdir().unwrap();
    home(dir.path(), &edge.url);
    let serve = async {
        let mut peer = edge.attached().await;
        peer.answer_list().await;
        peer.push("m1", "hello").await;
        peer.received(1).await;
        peer
    };

    let (first, peer) = tokio::join!(run(dir.path(), &["inbox", "--json"]), serve);
    drop(peer);
    let serve = async {
        let mut peer = edge.attached().await;
        peer.answer_list().await;
        peer
    };
    let (second, _peer) = tokio::join!(run(dir.path(), &["inbox", "--json"]), serve);
    let all = run(dir.path(), &["inbox", "--all", "--json"]).await;

    assert_eq!(stdout(&first)[0]["text"], "hello");
    assert_eq!(stdout(&second), json!([]));
    assert_eq!(stdout(&all)[0]["messageId"], "m1");
}

#[tokio::test]
async fn mail_of_agents_that_are_gone_is_the_persons_and_of_those_that_may_return_is_counted() {
    let edge = Edge::start().await;
    let dir = tempfile::tempdir().unwrap();
    home(dir.path(), &edge.url);
    let files = Home::at(dir.path()).unwrap();
    let gone = Keypair::generate().public;
    let may_return = files.session("mesh-1", Lifetime::Agent).unwrap().keys.public;
    for (key, id) in [(&gone, "for-gone"), (&may_return, "for-other")] {
        let mut inbox = Inbox::open(&files.agent_inbox("mesh-1", key)).unwrap();
        inbox.append(vec![message(id)]).unwrap();
    }
    let broken = files.agent_inbox("mesh-1", &Keypair::generate().public);
    std::fs::create_dir_all(broken.join("00000001.log")).unwrap();
    let serve = async || {
        let mut peer = edge.attached().await;
        peer.answer_list().await;
        peer
    };

    let all = run(dir.path(), &["inbox", "--all", "--json"]).await;
    let (first, peer) = tokio::join!(run(dir.path(), &["inbox", "--json"]), serve());
    drop(peer);
    let (second, _peer) = tokio::join!(run(dir.path(), &["inbox"]), serve());

    let mut ids: Vec<_> = stdout(&all).as_array().unwrap().iter().map(summary).collect();
    ids.sort();
    assert_eq!(ids, [("for-gone".into(), gone.hex()), ("for-other".into(), may_return.hex())]);
    let shown: Vec<_> = stdout(&first).as_array().unwrap().iter().map(summary).collect();
    assert_eq!(shown, [("for-gone".to_owned(), gone.hex())]);
    for output in [&all, &first] {
        assert_eq!(output.status.code(), Some(1), "the broken one is told");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(words.contains(broken.to_str().unwrap()), "{words}");
    }
    assert!(String::from_utf8_lossy(&second.stdout).contains("Nothing new."));
    let words = String::from_utf8_lossy(&second.stderr);
    assert!(words.contains("1 more wait for agents") && words.contains("--all"), "{words}");
}

fn summary(mail: &Value) -> (String, String) {
    let text = |field: &str| mail[field].as_str().unwrap().to_owned();
    (text("messageId"), text("agent"))
}

fn message(id: &str) -> Message {
    serde_json::from_value(json!({
        "messageId": id, "meshId": "mesh-1", "senderPubkey": "ab".repeat(32), "priority": "next",
        "createdAt": "2026-01-01T00:00:00.000Z", "receivedAt": "2026-01-01T00:00:01.000Z",
        "kind": "direct", "text": "hello", "bodyHash": id,
    }))
    .unwrap()
}

#[tokio::test]
async fn q30_standard_output_is_what_was_asked_for_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    home(dir.path(), "ws://127.0.0.1:9/ws");
    for args in [
        &["whoami"][..],
        &["mesh", "list"],
        &["config", "list"],
        &["config", "path"],
        &["config", "set", "name", "Ann"],
        &["group", "join", "team"],
        &["summary", "the parser"],
        &["status", "working"],
        &["inbox", "--all"],
        &["leave", "demo"],
    ] {
        let output = run(dir.path(), &[args, &["--json"]].concat()).await;

        assert!(output.status.success(), "{args:?}: {output:?}");
        let value: Result<Value, _> = serde_json::from_slice(&output.stdout);
        assert!(value.is_ok(), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
        assert!(output.stdout.ends_with(b"\n") && output.stderr.is_empty(), "{output:?}");
    }
}

#[tokio::test]
async fn a_follower_takes_over_what_other_programs_of_its_home_say() {
    let edge = Edge::start().await;
    let dir = tempfile::tempdir().unwrap();
    home(dir.path(), &edge.url);
    let (_child, _lines) = follow(dir.path());
    let mut peer = edge.attached().await;
    peer.answer_list().await;

    let joined = run(dir.path(), &["group", "join", "@team", "--role", "dev"]).await;

    assert!(joined.status.success());
    let frame = peer.receive().await;
    assert_eq!(
        json!([frame["type"], frame["name"], frame["role"]]),
        json!(["join_group", "team", "dev"])
    );
}
