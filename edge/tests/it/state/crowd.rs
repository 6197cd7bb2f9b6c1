//! Many who write the same keys at once, and many who hear it: all end with the same.

use std::collections::HashMap;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Peer, TestMesh};

const WRITERS: usize = 20;
/// With the writers, a hundred.
const LISTENERS: usize = 80;
const KEYS: usize = 5;
const ROUNDS: usize = 30;

/// What a peer believes that the keys hold: what it set or heard last of each.
pub type View = HashMap<String, Value>;

/// Reads until the peer believes the truth, and a while longer, in which it must not be led away
/// from it for good.
pub async fn settle(peer: &mut Peer, mut view: View, truth: &View) {
    let mut versions: HashMap<String, u64> = HashMap::new();
    let mut hear = |view: &mut View, frame: Value| {
        let key = frame["key"].as_str().unwrap().to_owned();
        if let Some(version) = frame["version"].as_u64() {
            let before = versions.insert(key.clone(), version);
            assert!(before < Some(version), "{key} goes back from {before:?} to {version}");
        }
        view.insert(key, frame["value"].clone());
    };
    loop {
        while view != *truth {
            let frame = peer.find(|f| f["type"] == "state_change").await;
            hear(&mut view, frame);
        }
        let late = peer.quiet(|f| f["type"] == "state_change").await;
        late.into_iter().for_each(|frame| hear(&mut view, frame));
        if view == *truth {
            return;
        }
    }
}

/// What every key holds.
pub async fn truth(peer: &mut Peer) -> View {
    let list = peer.call(json!({"type": "list_state"})).await;
    let entries = list["entries"].as_array().unwrap().iter();
    let key = |entry: &Value| entry["key"].as_str().unwrap().to_owned();
    entries.map(|entry| (key(entry), entry["value"].clone())).collect()
}

fn key(n: usize) -> String {
    format!("k{}", n % KEYS)
}

/// Sets keys in one breath, and says what each key was set to last.
async fn write(peer: &mut Peer, writer: usize) -> View {
    let mut last = View::new();
    for round in 0..ROUNDS {
        let (key, value) = (key(round + writer), json!(format!("{writer}/{round}")));
        peer.send(&json!({"type": "set_state", "key": key, "value": value})).await;
        last.insert(key, value);
    }
    // Its answer comes after the last of them is made.
    peer.call(json!({"type": "get_state", "key": "nowhere"})).await;
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_writers_on_two_edges_leave_a_hundred_peers_with_the_same() {
    let mesh = TestMesh::start(2).await;
    let mut writers = Vec::new();
    for n in 0..WRITERS + LISTENERS {
        let name = format!("peer{n}");
        writers.push(match n % 3 {
            0 => mesh.old_peer(&name, n % 2).await,
            _ => mesh.peer(&name, n % 2).await,
        });
    }
    let mut listeners = writers.split_off(WRITERS);

    let written = writers.iter_mut().enumerate().map(|(n, peer)| write(peer, n));
    let written = join_all(written).await;

    let truth = truth(&mut listeners[0]).await;
    assert_eq!(truth.len(), KEYS);
    let listening = listeners.iter_mut().map(|peer| settle(peer, View::new(), &truth));
    let writing = writers.iter_mut().zip(written);
    let writing = writing.map(|(peer, own)| settle(peer, own, &truth));
    tokio::join!(join_all(listening), join_all(writing));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_compare_and_set_on_two_edges_one_wins_each_version() {
    const ROUNDS: u64 = 10;
    let mesh = TestMesh::start(2).await;
    let mut peers = Vec::new();
    for n in 0..10 {
        peers.push(mesh.peer(&format!("peer{n}"), n % 2).await);
    }

    for version in 0..ROUNDS {
        let cas = json!({"type": "set_state", "key": "k", "value": version, "ifVersion": version});
        let answers = join_all(peers.iter_mut().map(|peer| peer.call(cas.clone()))).await;

        let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a["type"] == "ack");
        assert_eq!(won.len(), 1, "{answers:?}");
        for refused in lost {
            assert_eq!(refused["code"], "version_mismatch");
            assert_eq!(refused["current"]["version"], json!(version + 1));
        }
    }
}

#[tokio::test]
async fn a_socket_that_does_not_read_is_given_the_last_values_when_it_does() {
    const LARGE: usize = 200 * 1024;
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut slow) = (mesh.peer("ann", 0).await, mesh.old_peer("slow", 0).await);

    // Far more than a socket and its outbox hold.
    for round in 0..400 {
        let value = format!("{round}{}", "x".repeat(LARGE));
        let set = json!({"type": "set_state", "key": format!("k{}", round % 7), "value": value});
        assert_eq!(ann.call(set).await["type"], "ack");
    }
    ann.call(json!({"type": "set_state", "key": "end", "value": 1})).await;

    let mut view: HashMap<String, String> = HashMap::new();
    while view.len() < 8 || view.iter().any(|(k, v)| k != "end" && !is_last(v)) {
        let frame = slow.find(|f| f["type"] == "state_change").await;
        let value = frame["value"].as_str().unwrap_or_default().to_owned();
        view.insert(frame["key"].as_str().unwrap().to_owned(), value);
    }
}

/// Whether a value is of the last round of its key.
fn is_last(value: &str) -> bool {
    let round: usize = value.trim_end_matches('x').parse().unwrap();
    round >= 393
}
