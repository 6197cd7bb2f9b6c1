//! Events of the relay: whom they reach on which edge, in which order, and what they never follow.

use serde_json::{Value, json};
use skein_crypto::Keypair;
use skein_edge::relay::Event;

use crate::harness::{OURS, Peer, TestMesh};

/// A frame that no client knows.
fn frame(n: usize, n_bytes: usize) -> String {
    json!({"type": "test_event", "n": n, "text": "x".repeat(n_bytes)}).to_string()
}

fn is_event(frame: &Value) -> bool {
    frame["type"] == "test_event"
}

async fn push(mesh: &TestMesh, edge: usize, event: Event) {
    mesh.edges[edge].edge.node().relay.event(event).await;
}

/// The number of the next event.
async fn next(peer: &mut Peer) -> Value {
    peer.find(is_event).await["n"].clone()
}

#[tokio::test]
async fn an_event_reaches_everybody_of_its_mesh_but_whom_it_leaves_out() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    let (mut cal, mut dan) = (mesh.peer("cal", 1).await, mesh.old_peer("dan", 1).await);
    let (other, no) = mesh.other_mesh().await;
    let eve = mesh.member_of(&other, no, "eve").await;
    let mut eve = Peer::connect(&mesh.edges[1], &eve, Keypair::generate(), OURS).await;
    let mailbox = async |peer: &Peer| -> i64 {
        let query = format!("select mailbox from session where key = '{}'", peer.key());
        mesh.ask(&query).await.unwrap().parse().unwrap()
    };
    let member = format!("select mailbox from member where pubkey = '{}'", cal.member.keys.public);
    let member: i64 = mesh.ask(&member).await.unwrap().parse().unwrap();
    let to = |n: usize| Event::to_mesh(mesh.no, frame(n, 1));

    push(&mesh, 0, to(1)).await;
    push(&mesh, 0, to(2).but(mailbox(&ann).await)).await;
    push(&mesh, 0, to(3).but(mailbox(&cal).await)).await;
    push(&mesh, 0, to(4).with_replies()).await;
    push(&mesh, 0, to(5).of_member(member)).await;
    push(&mesh, 0, to(6)).await;

    for (peer, wanted) in [
        (&mut ann, vec![1, 3, 4, 6]),
        (&mut bob, vec![1, 2, 3, 6]),
        (&mut cal, vec![1, 2, 4, 5, 6]),
        (&mut dan, vec![1, 2, 3, 6]),
    ] {
        for n in wanted {
            assert_eq!(next(peer).await, n, "{}", peer.member.name);
        }
    }
    assert_eq!(eve.quiet(is_event).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_topic_reaches_who_follows_it_until_they_do_no_more() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    // A stream is such a topic.
    bob.call(json!({"type": "subscribe", "stream": "s"})).await;
    let to = |n: usize| Event::to_mesh(mesh.no, frame(n, 1));

    push(&mesh, 0, to(1).following("stream:s")).await;
    push(&mesh, 0, to(2).following("stream:other")).await;
    push(&mesh, 0, to(3)).await;
    assert_eq!((next(&mut bob).await, next(&mut bob).await), (json!(1), json!(3)));
    bob.call(json!({"type": "unsubscribe", "stream": "s"})).await;
    push(&mesh, 0, to(4).following("stream:s")).await;
    push(&mesh, 0, to(5)).await;

    assert_eq!(next(&mut bob).await, 5);
    assert_eq!((next(&mut ann).await, next(&mut ann).await), (json!(3), json!(5)));
}

#[tokio::test]
async fn the_newest_is_never_followed_by_something_older_whichever_edge_it_comes_from() {
    let mesh = TestMesh::start(3).await;
    let mut ann = mesh.peer("ann", 1).await;
    let _bob = mesh.peer("bob", 2).await;
    let version = |n: usize| Event::to_mesh(mesh.no, frame(n, 1)).newest("k", n as i64);

    push(&mesh, 0, version(5)).await;
    assert_eq!(next(&mut ann).await, 5);
    // Of the same edge, of another, and of her own.
    push(&mesh, 0, version(4)).await;
    push(&mesh, 2, version(3)).await;
    push(&mesh, 1, version(5)).await;
    push(&mesh, 0, Event::to_mesh(mesh.no, frame(1, 1)).newest("other", 1)).await;
    assert_eq!(next(&mut ann).await, 1);
    push(&mesh, 2, version(6)).await;
    assert_eq!(next(&mut ann).await, 6);

    assert_eq!(ann.quiet(is_event).await, Vec::<Value>::new());
}

#[tokio::test]
async fn events_of_one_edge_keep_their_order_whatever_their_size() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let n_events = 200;

    for n in 0..n_events {
        let n_bytes = [1, 9000, 300, 100_000, 7700][n % 5];
        push(&mesh, 0, Event::to_mesh(mesh.no, frame(n, n_bytes))).await;
    }

    for peer in [&mut ann, &mut bob] {
        for n in 0..n_events {
            assert_eq!(next(peer).await, n);
        }
    }
}

#[tokio::test]
async fn only_edges_that_have_somebody_of_the_mesh_are_told() {
    let mesh = TestMesh::start(3).await;
    let (_ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let (other, no) = mesh.other_mesh().await;
    let eve = mesh.member_of(&other, no, "eve").await;
    let _eve = Peer::connect(&mesh.edges[2], &eve, Keypair::generate(), OURS).await;

    for n in 0..3 {
        push(&mesh, 0, Event::to_mesh(mesh.no, frame(n, 20_000))).await;
        assert_eq!(next(&mut bob).await, n);
    }

    // One row each, for the one other edge.
    let rows = "select last_value from pg_sequences where sequencename = 'relay_frame_id_seq'";
    assert_eq!(mesh.ask(rows).await.as_deref(), Some("3"));
    mesh.until("select count(*) from relay_frame", "0").await;
}

#[tokio::test]
async fn a_frame_that_no_socket_may_be_sent_is_dropped_and_nothing_with_it() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let max = skein_wire::limit::FRAME_BYTES_MAX;

    push(&mesh, 0, Event::to_mesh(mesh.no, frame(1, max))).await;
    push(&mesh, 0, Event::to_mesh(mesh.no, frame(2, 1))).await;

    assert_eq!((next(&mut ann).await, next(&mut bob).await), (json!(2), json!(2)));
}
