//! State under fire: whatever is lost on the way, everybody ends with the last value.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};
use skein_tests::{
    peer::{Caps, Raw},
    place::{Place, Setup},
};
use tokio::{task::JoinSet, time::Instant};

const WRITERS: usize = 20;
const PEERS: usize = 100;
const KEYS: usize = 5;
const ROUNDS: usize = 40;
/// Looks come every two seconds; this is many of them.
const SETTLED_WITHIN: Duration = Duration::from_secs(20);

type View = HashMap<String, Value>;

async fn crowd(place: &Place) -> Vec<Raw> {
    let mut crowd = Vec::new();
    for index in 0..PEERS {
        let caps = if index % 2 == 0 { Caps::Ours } else { Caps::Old };
        crowd.push(Raw::attach(&place.enrol(index, index).await, caps).await);
    }
    crowd
}

/// Sets keys in one breath, and waits until the edge has made all of it.
async fn write(mut peer: Raw, writer: usize) -> (Raw, View) {
    let mut view = View::new();
    for round in 0..ROUNDS {
        let key = format!("k{}", (writer + round) % KEYS);
        let value = json!(format!("{writer}/{round}"));
        peer.send(&json!({"type": "set_state", "key": key, "value": value})).await;
        view.insert(key, value);
    }
    peer.sync().await;
    (peer, view)
}

/// Reads until the peer believes the truth.
async fn settle(peer: &mut Raw, mut view: View, truth: &View, until: Instant) {
    while view != *truth {
        assert!(Instant::now() < until, "{} believes {view:?}, not {truth:?}", peer.identity.name);
        let change = peer.find("a change of state", |f| f["type"] == "state_change").await;
        let key = change["key"].as_str().expect("a key is a text").to_owned();
        view.insert(key, change["value"].clone());
    }
}

/// Twenty of a crowd write the same keys at once; everybody ends with what was written last.
async fn storm(mut crowd: Vec<Raw>, meanwhile: impl Future<Output = ()>) {
    let mut listeners = crowd.split_off(WRITERS);
    let mut writing = JoinSet::new();
    for (writer, peer) in crowd.into_iter().enumerate() {
        writing.spawn(write(peer, writer));
    }
    let (written, ()) = tokio::join!(writing.join_all(), meanwhile);

    listeners[0].send(&json!({"type": "list_state", "_reqId": "all"})).await;
    let list = listeners[0].find("the list", |frame| frame["type"] == "state_list").await;
    let entries = list["entries"].as_array().expect("a list has entries").iter();
    let key = |entry: &Value| entry["key"].as_str().expect("a key is a text").to_owned();
    let truth: View = entries.map(|entry| (key(entry), entry["value"].clone())).collect();
    assert_eq!(truth.len(), KEYS);
    let until = Instant::now() + SETTLED_WITHIN;
    let mut settling = JoinSet::new();
    let everybody = listeners.into_iter().map(|peer| (peer, View::new())).chain(written);
    for (mut peer, view) in everybody {
        let truth = truth.clone();
        settling.spawn(async move { settle(&mut peer, view, &truth, until).await });
    }
    settling.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_notification_swallowed_a_crowd_ends_with_the_same() {
    let place = Place::start(Setup { workers: 0, ..Setup::default() }).await;
    let crowd = crowd(&place).await;
    place.proxy.deafen();

    storm(crowd, async {}).await;

    assert!(place.proxy.swallowed() > 0, "there was something to lose");
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_listeners_cut_again_and_again_a_crowd_ends_with_the_same() {
    let place = Place::start(Setup { workers: 0, ..Setup::default() }).await;
    let crowd = crowd(&place).await;

    let cutting = async {
        let mut n_cut = 0;
        while n_cut < 6 {
            n_cut += usize::from(place.proxy.cut_listener());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    storm(crowd, cutting).await;

    place.stop().await;
}
