//! Who is told of a tick, when, and in which order; and whose going stops the clock.

use std::time::Duration;

use serde_json::{Value, json};
use skein_crypto::Keypair;
use skein_wire::limit;

use super::{say, set, tick, tick_and_tell};
use crate::harness::{OURS, Peer, TestMesh, pass};

/// The next tick: its number.
async fn next(peer: &mut Peer) -> i64 {
    peer.event("tick").await["eventData"]["tick"].as_i64().unwrap()
}

/// Expects ticks of exactly these numbers next.
async fn expect(peer: &mut Peer, numbers: impl IntoIterator<Item = i64>) {
    for number in numbers {
        assert_eq!(next(peer).await, number, "{}", peer.member.name);
    }
}

/// As if every notification had been lost: nobody is there to hear it.
async fn deafen(mesh: &TestMesh) {
    mesh.run("select pg_terminate_backend(pid) from pg_stat_activity where query like 'listen %'")
        .await;
}

#[tokio::test]
async fn a_tick_is_an_event_for_everybody_on_every_edge_whatever_they_do() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 1).await);
    let (mut hidden, mut busy) = (mesh.peer("hidden", 1).await, mesh.peer("busy", 0).await);
    hidden.call(json!({"type": "set_visible", "visible": false})).await;
    busy.call(json!({"type": "set_status", "status": "dnd"})).await;
    let begun = ann.call(set(2.5)).await;

    tick_and_tell(&mesh).await;

    let base: jiff::Timestamp = begun["simTime"].as_str().unwrap().parse().unwrap();
    let minute = skein_sql::iso(base + jiff::SignedDuration::from_secs(60));
    for peer in [&mut ann, &mut old, &mut hidden, &mut busy] {
        let push = peer.event("tick").await;
        let fixed = json!({"type": "push", "meshId": mesh.id, "senderPubkey": "system",
                           "priority": "low", "nonce": "", "ciphertext": "", "subtype": "system",
                           "event": "tick",
                           "eventData": {"tick": 1, "simTime": minute, "speed": 2.5}});
        let mut rest = push.clone();
        let fields = rest.as_object_mut().unwrap();
        for field in ["messageId", "createdAt"] {
            assert!(fields.remove(field).is_some_and(|value| value.is_string()), "{push}");
        }
        assert_eq!(rest, fixed);
    }
}

#[tokio::test]
async fn two_edges_tell_the_same_numbers_in_order_more_than_fifty_a_second() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 1).await);
    ann.call(set(100)).await;

    for number in 1..=80 {
        assert_eq!(tick_and_tell(&mesh).await[0].t, number);
    }

    for peer in [&mut ann, &mut old] {
        expect(peer, 1..=80).await;
    }
}

#[tokio::test]
async fn numbers_that_were_not_announced_come_before_the_one_that_was_and_older_ones_never() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 1).await);
    ann.call(set(100)).await;

    let lost = tick(&mesh).await;
    tick(&mesh).await;
    tick_and_tell(&mesh).await;
    // A worker that was held up between the commit and its word.
    let db = mesh.edges[0].edge.pool.get().await.unwrap();
    skein_sql::clock::announce(&db, &lost).await.unwrap();
    tick_and_tell(&mesh).await;

    for peer in [&mut ann, &mut old] {
        expect(peer, 1..=4).await;
        assert_eq!(peer.quiet(|f| f["event"] == "tick").await, Vec::<Value>::new());
    }
}

#[tokio::test]
async fn with_every_notification_lost_looks_find_each_tick() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 1).await);
    ann.call(set(100)).await;
    tick_and_tell(&mesh).await;
    expect(&mut ann, [1]).await;

    deafen(&mesh).await;
    for _ in 0..5 {
        tick(&mesh).await;
    }

    expect(&mut ann, 2..=6).await;
    expect(&mut old, 1..=6).await;
}

#[tokio::test]
async fn a_clock_that_nobody_here_heard_of_is_found() {
    let mesh = TestMesh::start(2).await;
    let mut old = mesh.old_peer("old", 1).await;
    // Nothing says that it is there.
    mesh.run(&format!(
        "insert into clock (mesh, speed, sim_base, started_at, anchor_at, due_at)
         values ({}, 100, now(), now(), now(), now())",
        mesh.no
    ))
    .await;
    tick(&mesh).await;
    tick(&mesh).await;

    pass(Duration::from_secs(11)).await;

    expect(&mut old, 1..=2).await;
}

#[tokio::test]
async fn a_session_hears_what_comes_after_it_and_one_that_moves_hears_nothing_twice() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.peer("ann", 0).await;
    let _cat = mesh.peer("cat", 1).await;
    ann.call(set(100)).await;
    tick_and_tell(&mesh).await;
    tick(&mesh).await;
    let heads = tick(&mesh).await;
    // Her edge is told of it, and the other is not yet.
    let (node, note) = (mesh.edges[0].edge.node().id, json!({"k": "ticks", "l": heads}));
    mesh.run(&format!("select pg_notify('node_{node}', '{note}')")).await;
    expect(&mut ann, 1..=3).await;

    let mut moved = ann.back(&mesh.edges[1], OURS).await;
    let mut old = mesh.old_peer("old", 1).await;
    tick_and_tell(&mesh).await;

    for peer in [&mut moved, &mut old] {
        expect(peer, [4]).await;
    }
    // A mesh that has had nobody here for a while begins at now too.
    let mut dan = mesh.peer("dan", 0).await;
    tick_and_tell(&mesh).await;
    expect(&mut dan, [5]).await;
}

#[tokio::test]
async fn of_a_long_loss_only_the_last_is_told() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    ann.call(set(100)).await;
    let leap = |n: i64| format!("update clock set tick = tick + {n}");

    mesh.run(&leap(limit::TICKS_BEHIND_MAX - 1)).await;
    tick_and_tell(&mesh).await;
    expect(&mut ann, 1..=limit::TICKS_BEHIND_MAX).await;
    mesh.run(&leap(limit::TICKS_BEHIND_MAX)).await;
    tick_and_tell(&mesh).await;
    tick_and_tell(&mesh).await;

    let far = 2 * limit::TICKS_BEHIND_MAX + 1;
    expect(&mut ann, [far, far + 1]).await;
}

#[tokio::test]
async fn the_clock_stops_when_the_last_peer_leaves_and_stays_so() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    ann.call(set(100)).await;
    let paused = "select paused from clock";

    ann.close().await;
    mesh.until("select count(*) from presence", "1").await;
    assert_eq!(tick(&mesh).await.len(), 1, "one is here still");
    bob.close().await;
    mesh.until(paused, "true").await;

    let mut cat = mesh.peer("cat", 1).await;
    let status = cat.call(say("get_clock")).await;
    assert_eq!((&status["paused"], &status["tick"]), (&json!(true), &json!(1)));
    assert!(tick(&mesh).await.is_empty());
    let log = cat.call(json!({"type": "audit_query", "eventType": "clock_paused"})).await;
    let entry = &log["entries"][0];
    assert_eq!(
        (&entry["actor"], &entry["payload"]),
        (&json!("system"), &json!({"byItself": true}))
    );
    cat.call(say("resume_clock")).await;
    tick_and_tell(&mesh).await;
    expect(&mut cat, [2]).await;
}

#[tokio::test]
async fn a_peer_that_is_lost_stops_the_clock_when_its_grace_is_over_unless_it_is_back() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    ann.call(set(100)).await;
    let (member, session) = (ann.member.clone(), ann.session.clone());

    ann.vanish();
    mesh.until("select count(*) from presence", "0").await;
    assert_eq!(tick(&mesh).await.len(), 1, "it may come back");
    let mut ann = Peer::connect(&mesh.edges[0], &member, session, OURS).await;
    tick_and_tell(&mesh).await;
    expect(&mut ann, [2]).await;
    ann.vanish();
    mesh.until("select count(*) from presence", "0").await;
    mesh.run("update session set depart_at = now()").await;
    assert!(tick(&mesh).await.is_empty());

    let mut bob =
        Peer::connect(&mesh.edges[0], &mesh.member("bob").await, Keypair::generate(), OURS).await;
    assert_eq!(bob.call(say("get_clock")).await["paused"], true);
}
