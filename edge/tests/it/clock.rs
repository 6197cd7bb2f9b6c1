//! The simulation clock: set, paused, resumed and read; and its ticks, which come to every session of
//! the mesh, each number once and in order. What a worker does when a tick is due is done here at
//! once; `worker/tests` has the workers.

mod ticks;

use serde_json::{Value, json};
use skein_crypto::Keypair;
use skein_sql::clock::{self, Head};

use crate::harness::{OURS, Peer, TestMesh};

fn set(speed: impl Into<Value>) -> Value {
    json!({"type": "set_clock", "speed": speed.into()})
}

fn say(kind: &str) -> Value {
    json!({"type": kind})
}

/// Lets every clock that goes tick, as a worker does when that is due; nobody is told.
async fn tick(mesh: &TestMesh) -> Vec<Head> {
    let db = mesh.edges[0].edge.pool.get().await.unwrap();
    db.batch_execute("update clock set due_at = now()").await.unwrap();
    let every: Vec<i32> = (0..skein_sql::duties::BUCKETS).collect();
    clock::tick(&db, &every).await.unwrap().heads
}

/// The same, and everybody is told.
async fn tick_and_tell(mesh: &TestMesh) -> Vec<Head> {
    let heads = tick(mesh).await;
    let db = mesh.edges[0].edge.pool.get().await.unwrap();
    clock::announce(&db, &heads).await.unwrap();
    heads
}

fn status(answer: &Value) -> (&Value, &Value, &Value) {
    assert_eq!(answer["type"], "clock_status", "{answer}");
    (&answer["speed"], &answer["paused"], &answer["tick"])
}

fn time(answer: &Value, field: &str) -> jiff::Timestamp {
    let text = answer[field].as_str().unwrap();
    assert!(text.len() == 24 && text.ends_with('Z'), "{text}");
    text.parse().unwrap()
}

#[tokio::test]
async fn without_a_clock_there_is_nothing_to_pause_and_reading_says_so() {
    let mesh = TestMesh::start(1).await;
    let peers = [mesh.peer("ann", 0).await, mesh.old_peer("old", 0).await];

    for mut peer in peers {
        for kind in ["pause_clock", "resume_clock"] {
            let refused = peer.call(say(kind)).await;
            let words = (&refused["type"], &refused["code"], &refused["message"]);
            let expected = ("error", "no_clock", "No clock running for this mesh");
            assert_eq!(words, (&json!(expected.0), &json!(expected.1), &json!(expected.2)));
        }
        let before = jiff::Timestamp::now();
        let none = peer.call(say("get_clock")).await;
        assert_eq!(status(&none), (&json!(0), &json!(true), &json!(0)));
        assert_eq!(none["simTime"], none["startedAt"]);
        let off = time(&none, "simTime").duration_since(before).abs();
        assert!(off < jiff::SignedDuration::from_secs(10), "{none}");
    }
}

#[tokio::test]
async fn a_clock_is_everybodys_on_every_edge() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 1).await);

    let begun = old.call(set(10)).await;
    assert_eq!(status(&begun), (&json!(10), &json!(false), &json!(0)));
    assert_eq!(begun["simTime"], begun["startedAt"], "it starts at now");
    tick(&mesh).await;
    let paused = ann.call(say("pause_clock")).await;
    assert_eq!(status(&paused), (&json!(10), &json!(true), &json!(1)));
    assert_eq!(
        time(&paused, "simTime").duration_since(time(&begun, "simTime")),
        jiff::SignedDuration::from_secs(60)
    );
    assert!(tick(&mesh).await.is_empty(), "it stands still");

    let read = old.call(say("get_clock")).await;
    let again = old.call(say("pause_clock")).await;
    for answer in [&read, &again] {
        assert_eq!(status(answer), status(&paused));
        assert_eq!(answer["startedAt"], begun["startedAt"]);
    }
    let faster = ann.call(set(2.5)).await;
    assert_eq!(status(&faster), (&json!(2.5), &json!(true), &json!(1)), "it stays paused");
    let resumed = ann.call(say("resume_clock")).await;
    assert_eq!(status(&resumed), (&json!(2.5), &json!(false), &json!(1)));
    assert_eq!(status(&old.call(say("resume_clock")).await), status(&resumed));
    assert_eq!(tick(&mesh).await[0].t, 2, "the numbers go on");
}

#[tokio::test]
async fn a_speed_is_held_between_one_and_a_hundred() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 0).await);

    for (given, speed) in [
        (json!(100), json!(100)),
        (json!(101), json!(100)),
        (json!(1e300), json!(100)),
        (json!(0.99), json!(1)),
        (json!(-5), json!(1)),
        (json!(99.5), json!(99.5)),
        (json!("fast"), json!(1)),
        (json!(null), json!(1)),
    ] {
        for peer in [&mut ann, &mut old] {
            assert_eq!(peer.call(set(given.clone())).await["speed"], speed, "{given}");
        }
    }
    assert_eq!(old.call(say("set_clock")).await["speed"], 1);
}

#[tokio::test]
async fn a_new_speed_and_a_resumption_begin_a_whole_step() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let due_in = "select round(extract(epoch from due_at - anchor_at), 3) from clock";
    let planned = "select (anchor_tick = tick) and due_at > now() from clock";

    for (frame, step_s) in
        [(set(1), "60.000"), (set(100), "0.600"), (say("pause_clock"), "0.600"), (set(7), "8.571")]
    {
        ann.call(frame.clone()).await;
        assert_eq!(mesh.ask(due_in).await.as_deref(), Some(step_s), "{frame}");
    }
    mesh.run("update clock set due_at = now() - interval '1 hour', anchor_at = '2026-01-01'").await;
    ann.call(say("resume_clock")).await;
    assert_eq!(mesh.ask(due_in).await.as_deref(), Some("8.571"));
    assert_eq!(mesh.ask(planned).await.as_deref(), Some("true"));
}

#[tokio::test]
async fn a_clock_of_another_mesh_is_another_clock() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.peer("ann", 0).await;
    let (other, no) = mesh.other_mesh().await;
    let eve = mesh.member_of(&other, no, "eve").await;
    let mut eve = Peer::connect(&mesh.edges[1], &eve, Keypair::generate(), OURS).await;
    ann.call(set(10)).await;

    assert_eq!(eve.call(say("pause_clock")).await["code"], "no_clock");
    assert_eq!(eve.call(say("get_clock")).await["speed"], 0);
    eve.call(set(50)).await;
    eve.call(say("pause_clock")).await;

    assert_eq!(status(&ann.call(say("get_clock")).await), (&json!(10), &json!(false), &json!(0)));
    assert!(tick_and_tell(&mesh).await.iter().all(|head| head.m == mesh.no));
    assert_eq!(ann.event("tick").await["eventData"]["tick"], 1);
    assert_eq!(eve.quiet(|f| f["event"] == "tick").await, Vec::<Value>::new());
}

#[tokio::test]
async fn what_was_done_to_a_clock_is_audited() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    for frame in [
        set(10),
        say("pause_clock"),
        // Nothing changes by these.
        say("pause_clock"),
        say("get_clock"),
        set(2.5),
        say("resume_clock"),
        say("resume_clock"),
    ] {
        ann.call(frame).await;
    }

    let mut log = ann.call(json!({"type": "audit_query"})).await["entries"].take();
    let entries = log.as_array_mut().unwrap();
    entries.retain(|entry| entry["eventType"].as_str().unwrap().starts_with("clock_"));

    let said: Vec<_> = entries.iter().map(|e| (&e["eventType"], &e["payload"])).collect();
    let expected = [
        (json!("clock_resumed"), json!({})),
        (json!("clock_set"), json!({"speed": 2.5})),
        (json!("clock_paused"), json!({})),
        (json!("clock_set"), json!({"speed": 10})),
    ];
    assert_eq!(said, expected.iter().map(|e| (&e.0, &e.1)).collect::<Vec<_>>());
    assert!(entries.iter().all(|entry| entry["actor"] == "ann"), "{entries:?}");
}
