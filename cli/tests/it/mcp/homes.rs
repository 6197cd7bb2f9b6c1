//! What other programs do in the home of a running agent: leave, join again, choose, break files;
//! and what servers do not confirm.

use std::fs;
use std::path::Path;

use serde_json::json;
use skein::home::Home;

use super::host::{Host, Raw, join, program};
use super::meshes::until;
use crate::edge::{DEADLINE, Edge};

/// Calls until the text has this.
async fn eventually(host: &Host, wanted: &str) -> String {
    let calling = async {
        loop {
            let (text, _) = host.call("list_peers", json!({})).await;
            if text.contains(wanted) {
                return text;
            }
        }
    };
    tokio::time::timeout(DEADLINE, calling).await.unwrap_or_else(|_| panic!("never: {wanted}"))
}

fn forget(home: &Path, mesh_id: &str) {
    Home::at(home).unwrap().forget(mesh_id).unwrap();
}

#[tokio::test]
async fn the_mesh_that_was_named_is_let_go_when_it_is_left_and_taken_when_it_is_joined() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    join(home.path(), "mesh-2", "other", "ws://127.0.0.1:9/ws");
    let host = Host::start(home.path(), &["--mesh", "demo"]).await;
    let mut peer = edge.attached().await;
    until(&mut peer, "set_stats").await;

    forget(home.path(), "mesh-1");
    eventually(&host, "no mesh `demo` is joined in this home").await;
    join(home.path(), "mesh-1", "demo", &edge.url);

    edge.attached().await;
}

#[tokio::test]
async fn who_leaves_and_joins_again_at_once_is_the_new_member() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let _host = Host::start(home.path(), &[]).await;
    let mut peer = edge.attached().await;
    until(&mut peer, "set_stats").await;

    forget(home.path(), "mesh-1");
    join(home.path(), "mesh-1", "demo", &edge.url);
    let again = edge.attached().await;

    let member = Home::at(home.path()).unwrap().membership(None).unwrap().member().unwrap();
    assert_eq!(again.hello["pubkey"], member.public.hex());
    assert_ne!(again.hello["pubkey"], peer.hello["pubkey"]);
}

#[tokio::test]
async fn a_membership_that_cannot_be_read_hides_no_other_and_ends_nothing() {
    let (first, second) = (Edge::start().await, Edge::start().await);
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "one", &first.url);
    let broken = home.path().join("meshes/mesh-0.json");
    fs::write(&broken, "not json").unwrap();
    let host = Host::start(home.path(), &[]).await;
    let mut at_first = first.attached().await;
    until(&mut at_first, "set_stats").await;

    fs::copy(home.path().join("meshes/mesh-1.json"), &broken).unwrap();
    let membership = fs::read_to_string(&broken).unwrap();
    fs::write(home.path().join("meshes/mesh-1.json"), "not json either").unwrap();
    let other = membership.replace("mesh-1", "mesh-0").replace(&first.url, &second.url);
    fs::write(&broken, other).unwrap();
    let mut at_second = second.attached().await;
    until(&mut at_second, "set_stats").await;

    // It is still there: nobody knows that it was left.
    let calling = host.call("list_peers", json!({"mesh_slug": "mesh-1"}));
    let ((text, is_error), _) = tokio::join!(calling, until(&mut at_first, "list_peers"));
    assert!(!is_error && text.contains("## one"), "{text}");
}

#[tokio::test]
async fn edges_that_were_chosen_stay_whatever_a_running_agent_learns() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let _host = Host::start(home.path(), &[]).await;
    let mut peer = edge.attached().await;
    until(&mut peer, "set_stats").await;
    let config = |args: &[&str]| crate::up::json(home.path(), args);

    config(&["config", "set", "edges", "ws://127.0.0.1:9/ws"]);
    drop(peer);
    let mut peer = edge.greeted().await;
    peer.acknowledge(&[&edge.url, "ws://127.0.0.1:10/ws"]).await;
    until(&mut peer, "set_stats").await;

    let set = config(&["config", "get", "edges"]);
    assert_eq!(json!([set["value"], set["isSet"]]), json!([["ws://127.0.0.1:9/ws"], true]));
    config(&["config", "unset", "edges"]);
    drop(peer);
    let mut peer = edge.greeted().await;
    peer.acknowledge(&[&edge.url, "ws://127.0.0.1:10/ws"]).await;
    until(&mut peer, "set_stats").await;
    let learned = config(&["config", "get", "edges"]);
    assert_eq!(learned["isSet"], false);
    assert_eq!(learned["value"][0], edge.url, "{learned}");
}

#[tokio::test]
async fn an_agent_comes_back_as_the_session_of_its_folder() {
    let edge = Edge::start().await;
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", &edge.url);
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let start = |folder: &tempfile::TempDir| {
        let mut command = program(home.path(), &[]);
        command.current_dir(folder.path());
        Raw::of(command)
    };
    let mut sessions = Vec::new();
    for folder in [&folders[0], &folders[1], &folders[0], &folders[1]] {
        let mut host = start(folder);
        let peer = edge.attached().await;
        sessions.push(peer.hello["sessionPubkey"].clone());
        host.child.kill().await.unwrap();
    }

    assert_ne!(sessions[0], sessions[1], "mail for one project is not shown in another");
    assert_eq!(sessions[..2], sessions[2..]);
}

#[tokio::test]
async fn what_the_server_leaves_open_is_not_called_done() {
    let (ours, old) = (Edge::start().await, Edge::start().await);
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-n", "new", &ours.url);
    join(home.path(), "mesh-o", "old", &old.url);
    let host = Host::start(home.path(), &[]).await;
    let (mut at_new, mut at_old) = tokio::join!(ours.attached(), old.attached());
    until(&mut at_new, "set_stats").await;
    // One of the old kind confirms nothing.
    at_old.answer_list().await;

    let (text, is_error) = host.call("join_group", json!({"name": "team"})).await;

    assert!(!is_error, "one of two: {text}");
    assert!(text.contains("[new] ✗ no answer within 5 s: it may have been taken"), "{text}");
    let unconfirmed = "[old] Joined @team (said; this server does not confirm it)";
    assert!(text.contains(unconfirmed), "{text}");
}
