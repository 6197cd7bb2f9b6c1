//! What peers notice when something is away for a while: nothing, or exactly what is true.

use std::time::Duration;

use skein::client::{Client, Config};
use skein_tests::{
    gate::Gate,
    peer::{Caps, Identity, Raw},
    place::{Place, Setup},
};
use skein_wire::{Priority, limit};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

/// The grace, and room for a slow machine.
const PAST_GRACE: Duration = Duration::from_secs(limit::GRACE.as_secs() + 4);
/// When a node that stands still is dead, fenced and swept at the latest.
const PAST_DEATH: Duration = Duration::from_secs(limit::BEAT_STILL_MAX.as_secs() + 10);

async fn place(edges: usize, workers: usize) -> Place {
    Place::start(Setup { edges, workers, ..Setup::default() }).await
}

const DEAD: &str = "select count(*) from node where state <> 'alive'";

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_moves_within_the_grace_is_neither_announced_gone_nor_back() {
    let place = place(2, 1).await;
    let mut observer = Raw::attach(&place.enrol(0, 1).await, Caps::Ours).await;
    let mut moving = place.enrol(1, 0).await;
    let first = Raw::attach(&moving, Caps::Ours).await;
    let joined = observer.events_within(Duration::from_secs(1)).await;

    drop(first);
    sleep(Duration::from_secs(2)).await;
    moving.edges.rotate_left(1);
    let moved = Raw::attach(&moving, Caps::Ours).await;

    assert_eq!(joined, [("peer_joined".to_owned(), moved.key())]);
    assert_eq!(observer.events_within(PAST_GRACE).await, []);
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_meets_the_end_of_the_grace_wins() {
    let gate = Gate::shut();
    let fail = vec![(0, gate.at("depart.before"))];
    let place = Place::start(Setup { edges: 2, workers: 0, fail, ..Setup::default() }).await;
    let mut observer = Raw::attach(&place.enrol(0, 1).await, Caps::Ours).await;
    let moving = place.enrol(1, 0).await;
    let first = Raw::attach(&moving, Caps::Ours).await;
    let joined = observer.events_within(Duration::from_secs(1)).await;

    drop(first);
    sleep(limit::GRACE).await;
    gate.hit().await;
    let _moved = Raw::attach_to(&place.edges[1].url(), &moving, Caps::Ours).await;
    gate.let_go();

    assert_eq!(joined.len(), 1);
    assert_eq!(observer.events_within(Duration::from_secs(3)).await, []);
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_peers_of_a_killed_edge_are_announced_gone_once() {
    let mut place = Place::start(Setup { edges: 2, workers: 2, ..Setup::default() }).await;
    let mut observer = Raw::attach(&place.enrol(0, 1).await, Caps::Ours).await;
    let mut gone = Vec::new();
    for index in 1..=10 {
        gone.push(Raw::attach(&place.enrol(index, 0).await, Caps::Ours).await);
    }
    let mut keys: Vec<String> = gone.iter().map(Raw::key).collect();
    keys.sort_unstable();
    let joined = observer.events_within(Duration::from_secs(1)).await;

    place.edges[0].kill().await;
    let mut events = observer.events_within(PAST_DEATH + PAST_GRACE).await;
    events.sort_unstable();

    assert_eq!(joined.len(), keys.len());
    let expected: Vec<_> = keys.into_iter().map(|key| ("peer_left".to_owned(), key)).collect();
    assert_eq!(events, expected);
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_between_dead_and_fenced_is_followed_by_the_next() {
    let mut place = place(2, 0).await;
    let mut observer = Raw::attach(&place.enrol(0, 1).await, Caps::Ours).await;
    let mut gone = Raw::attach(&place.enrol(1, 0).await, Caps::Ours).await;
    gone.sync().await;
    let joined = observer.events_within(Duration::from_secs(1)).await;
    place.start_worker(0, Some("worker.dead_not_fenced=kill"));

    place.edges[0].kill().await;
    let worker = place.workers[0].as_mut().unwrap();
    let died = worker.ended_within(PAST_DEATH).await;
    place.start_worker(0, None);

    assert!(died.is_some(), "the first worker died at its point");
    assert_eq!(joined.len(), 1);
    let events = observer.events_within(Duration::from_secs(10) + PAST_GRACE).await;
    assert_eq!(events, [("peer_left".to_owned(), gone.key())]);
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_for_thirty_seconds_closes_and_announces_nothing() {
    let mut place = place(2, 2).await;
    let mut ann = Raw::attach(&place.enrol(0, 0).await, Caps::Ours).await;
    let mut bob = Raw::attach(&place.enrol(1, 1).await, Caps::Ours).await;
    let joined = ann.events_within(Duration::from_secs(1)).await;

    place.server.kill().await;
    ann.say("1", &bob.key(), "hi").await;
    sleep(Duration::from_secs(30)).await;
    place.server.resume().await.unwrap();

    assert_eq!(joined.len(), 1);
    ann.outcome("1").await.expect("it is stored once the database is back");
    assert_eq!(bob.message().await.0, "hi");
    assert_eq!(ann.events_within(PAST_DEATH).await, [], "no event, no end of the socket");
    assert!(ann.is_open().await && bob.is_open().await);
    assert_eq!(place.count(DEAD).await, 0);
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_paused_declares_nobody_dead() {
    let mut place = place(2, 1).await;
    let mut ann = Raw::attach(&place.enrol(0, 0).await, Caps::Ours).await;
    ann.sync().await;
    let worker = place.workers[0].as_mut().unwrap();

    worker.signal(rustix::process::Signal::STOP);
    sleep(Duration::from_secs(40)).await;
    worker.signal(rustix::process::Signal::CONT);

    assert_eq!(ann.events_within(Duration::from_secs(8)).await, []);
    assert!(ann.is_open().await);
    assert_eq!(place.count(DEAD).await, 0);
    place.stop().await;
}

/// A thousand in a release build; fewer where everything is slower.
const CROWD: usize = if cfg!(debug_assertions) { 200 } else { 1000 };
/// Unsettled messages of each.
const MAIL: usize = 50;
/// How long they may take from the moment the edge died.
const BACK_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_whose_edge_was_killed_is_back_and_drained_within_ten_seconds() {
    let environment = vec![("MAX_CONNECTIONS_PER_MESH".to_owned(), "2000".to_owned())];
    let setup = Setup { edges: 2, workers: 1, environment, ..Setup::default() };
    let mut place = Place::start(setup).await;
    let sender = place.enrol(CROWD, 1).await;
    let mut crowd = Vec::new();
    for index in 0..CROWD {
        crowd.push(Raw::attach(&place.enrol(index, 0).await, Caps::Ours).await);
    }
    write_to_all(&sender, crowd.iter().map(Raw::key).collect()).await;
    // Everybody was sent everything and has confirmed nothing.
    for peer in &mut crowd {
        peer.texts(MAIL).await;
    }
    let n_unsettled = place.count("select count(*) from delivery").await;

    place.edges[0].kill().await;
    let died = Instant::now();
    let mut back = JoinSet::new();
    let edge = place.edges[1].url();
    for peer in crowd {
        let edge = edge.clone();
        back.spawn(async move { come_back(&edge, &peer.identity).await });
    }
    while let Some(came) = back.join_next().await {
        came.unwrap();
    }
    while place.count("select count(*) from delivery").await > 0 {
        assert!(died.elapsed() < BACK_WITHIN, "not everything is settled in time");
    }

    assert_eq!(n_unsettled, (CROWD * MAIL) as i64);
    assert!(died.elapsed() < BACK_WITHIN, "{:?}", died.elapsed());
    assert!(!place.server_log().contains("deadlock"), "{}", place.server_log());
    println!("{CROWD} peers were back and drained after {:?}", died.elapsed());
    place.stop().await;
}

/// Sends so many messages to each of these keys.
async fn write_to_all(sender: &Identity, keys: Vec<String>) {
    let who = sender.clone();
    let config = Config::new(who.edges, &who.mesh_id, &who.member_id, who.member, who.session);
    let connected = Client::connect(config, BACK_WITHIN).await;
    let (client, _pushes) = connected.expect("the edge takes it in");
    for some in keys.chunks(20) {
        let mut sendings = Vec::new();
        for key in some {
            sendings.extend((0..MAIL).map(|n| client.send(key, Priority::Next, &n.to_string())));
        }
        for sending in sendings {
            sending.await.expect("the message is stored");
        }
    }
    client.close().await;
}

async fn come_back(edge: &str, identity: &Identity) {
    let mut peer = Raw::attach_to(edge, identity, Caps::Ours).await;
    for _ in 0..MAIL {
        let (_, id) = peer.message().await;
        peer.received(&[&id]).await;
    }
    // Over when the edge has read all of it.
    peer.sync().await;
}
