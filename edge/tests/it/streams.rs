//! Streams: heard by those who listen, on every edge, and by nobody else.

use serde_json::{Value, json};

use crate::harness::{OLD, OURS, Peer, TestMesh};

async fn publish(peer: &mut Peer, stream: &str, data: Value) {
    peer.send(&json!({"type": "publish", "stream": stream, "data": data})).await;
}

async fn subscribe(peer: &mut Peer, stream: &str) {
    let reply = peer.call(json!({"type": "subscribe", "stream": stream})).await;
    assert_eq!((&reply["type"], &reply["stream"]), (&json!("subscribed"), &json!(stream)));
}

async fn data(peer: &mut Peer) -> Value {
    peer.find(|f| f["type"] == "stream_data").await
}

async fn counts(peer: &mut Peer) -> Vec<(String, u64)> {
    let list = peer.call(json!({"type": "list_streams"})).await;
    assert_eq!(list["type"], "stream_list", "{list}");
    let streams = list["streams"].as_array().unwrap().iter();
    streams
        .map(|s| (s["name"].as_str().unwrap().into(), s["subscriberCount"].as_u64().unwrap()))
        .collect()
}

#[tokio::test]
async fn q27_data_has_its_publishers_enrolment_name_and_reaches_all_who_listen_but_him() {
    let mesh = TestMesh::start(2).await;
    let mut called = mesh.member("host-4711").await;
    called.name = "Ann".to_owned();
    let mut ann =
        Peer::connect(&mesh.edges[0], &called, skein_crypto::Keypair::generate(), OLD).await;
    assert_eq!(ann.me().await["displayName"], "Ann");
    let mut bob = mesh.old_peer("bob", 0).await;
    let (mut cal, mut dan) = (mesh.peer("cal", 1).await, mesh.peer("dan", 1).await);
    for peer in [&mut ann, &mut bob, &mut cal] {
        subscribe(peer, "builds").await;
    }
    subscribe(&mut dan, "other").await;

    let any = json!({"b": 1, "a": [null, 1.50, "x"], "big": 12345678901234567890u64});
    publish(&mut ann, "builds", any.clone()).await;

    for peer in [&mut bob, &mut cal] {
        assert_eq!(
            data(peer).await,
            json!({"type": "stream_data", "stream": "builds", "data": any,
                   "publishedBy": "host-4711"})
        );
    }
    for peer in [&mut ann, &mut dan] {
        assert_eq!(peer.quiet(|f| f["type"] == "stream_data").await, Vec::<Value>::new());
    }
}

#[tokio::test]
async fn what_is_published_is_passed_on_to_the_letter() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    subscribe(&mut bob, "s").await;

    for data in ["null", "1.10", "1e400", "\"\\u00e9\"", r#"{"z":1,"a":2,"z":3}"#, "[ 1,  2 ]"] {
        ann.text(format!(r#"{{"type":"publish","stream":"s","data":{data}}}"#)).await;
        let heard = loop {
            use futures_util::StreamExt;
            let frame = bob.socket.next().await.unwrap().unwrap().into_text().unwrap();
            if frame.contains("stream_data") {
                break frame;
            }
        };
        assert!(heard.contains(&format!(r#""data":{data},"#)), "{heard}");
    }
}

#[tokio::test]
async fn the_data_of_one_publisher_comes_in_its_order_small_or_large() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let mut near = mesh.peer("near", 0).await;
    subscribe(&mut bob, "s").await;
    subscribe(&mut near, "s").await;
    let n_published = 300;

    for n in 0..n_published {
        let text = "x".repeat(if n % 7 == 0 { 20_000 } else { n });
        publish(&mut ann, "s", json!([n / 2, text])).await;
    }

    for peer in [&mut bob, &mut near] {
        for n in 0..n_published {
            let heard = data(peer).await["data"].clone();
            assert_eq!(heard[0], json!(n / 2), "the {n}th");
        }
    }
}

#[tokio::test]
async fn the_same_data_twice_comes_twice() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    subscribe(&mut bob, "s").await;

    // Each fills a notification; PostgreSQL takes two equal ones of one transaction for one.
    let again = json!("again".repeat(1000));
    for _ in 0..50 {
        publish(&mut ann, "s", again.clone()).await;
    }

    for _ in 0..50 {
        assert_eq!(data(&mut bob).await["data"], again);
    }
}

#[tokio::test]
async fn a_stream_is_created_once_and_listed_with_its_true_count() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.peer("bob", 1).await);

    let first = ann.call(json!({"type": "create_stream", "name": "builds"})).await;
    let again = bob.call(json!({"type": "create_stream", "name": "builds"})).await;
    bob.call(json!({"type": "create_stream", "name": "second"})).await;
    subscribe(&mut ann, "builds").await;
    subscribe(&mut ann, "builds").await;
    subscribe(&mut bob, "builds").await;
    subscribe(&mut bob, "never created").await;

    assert_eq!((&first["type"], &first["name"]), (&json!("stream_created"), &json!("builds")));
    assert!(!first["id"].as_str().unwrap().is_empty());
    assert_eq!(first["id"], again["id"]);
    let list = ann.call(json!({"type": "list_streams"})).await;
    let builds = &list["streams"][0];
    assert_eq!(builds["id"], first["id"]);
    assert_eq!((&builds["createdBy"], &builds["subscriberCount"]), (&json!("ann"), &json!(2)));
    assert!(builds["createdAt"].as_str().unwrap().ends_with('Z'), "{builds}");
    assert_eq!(counts(&mut bob).await, [("builds".into(), 2), ("second".into(), 0)]);
}

#[tokio::test]
async fn q37_a_subscription_ends_with_its_socket_and_by_unsubscribing() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let mut cal = mesh.peer("cal", 1).await;
    ann.call(json!({"type": "create_stream", "name": "s"})).await;
    for peer in [&mut bob, &mut cal] {
        subscribe(peer, "s").await;
    }
    assert_eq!(counts(&mut ann).await, [("s".into(), 2)]);

    bob.send(&json!({"type": "unsubscribe", "stream": "s"})).await;
    assert_eq!(bob.rest().await, Vec::<Value>::new(), "no word to an old client");
    let mut cal = cal.back(&mesh.edges[1], OURS).await;
    assert_eq!(counts(&mut ann).await, [("s".into(), 0)]);
    publish(&mut ann, "s", json!(1)).await;
    ann.call(json!({"type": "list_streams"})).await;

    for peer in [&mut bob, &mut cal] {
        assert_eq!(peer.quiet(|f| f["type"] == "stream_data").await, Vec::<Value>::new());
    }
    subscribe(&mut cal, "s").await;
    assert_eq!(counts(&mut ann).await, [("s".into(), 1)]);
    publish(&mut ann, "s", json!(2)).await;
    assert_eq!(data(&mut cal).await["data"], 2);
}

#[tokio::test]
async fn a_newer_socket_of_a_session_has_no_subscription_of_the_older() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    ann.call(json!({"type": "create_stream", "name": "s"})).await;
    subscribe(&mut bob, "s").await;

    let mut again = Peer::connect(&mesh.edges[1], &bob.member, bob.session.clone(), OLD).await;

    assert_eq!(counts(&mut ann).await, [("s".into(), 0)]);
    publish(&mut ann, "s", json!(1)).await;
    assert_eq!(again.quiet(|f| f["type"] == "stream_data").await, Vec::<Value>::new());
}

#[tokio::test]
async fn streams_of_two_meshes_are_two() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.peer("ann", 0).await;
    let (other, no) = mesh.other_mesh().await;
    let eve = mesh.member_of(&other, no, "eve").await;
    let mut eve =
        Peer::connect(&mesh.edges[1], &eve, skein_crypto::Keypair::generate(), OURS).await;
    ann.call(json!({"type": "create_stream", "name": "s"})).await;
    subscribe(&mut eve, "s").await;
    subscribe(&mut ann, "s").await;

    publish(&mut ann, "s", json!("ann's")).await;
    publish(&mut eve, "s", json!("eve's")).await;

    assert_eq!(eve.call(json!({"type": "list_streams"})).await["streams"], json!([]));
    assert_eq!(counts(&mut ann).await, [("s".into(), 1)]);
    for peer in [&mut ann, &mut eve] {
        assert_eq!(peer.quiet(|f| f["type"] == "stream_data").await, Vec::<Value>::new());
    }
}

#[tokio::test]
async fn names_counts_and_data_have_their_limits() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 0).await);
    let max = skein_wire::limit::STREAM_NAME_BYTES_MAX;
    let (longest, long) = ("n".repeat(max), "n".repeat(max + 1));

    for kind in ["subscribe", "publish", "unsubscribe", "create_stream"] {
        for (name, code) in [(&long, "too_large"), (&String::new(), "invalid_message")] {
            let frame = json!({"type": kind, "stream": name, "name": name, "data": 1});
            assert_eq!(ann.call(frame).await["code"], code, "{kind}");
        }
        let frame = json!({"type": kind, "stream": longest, "name": longest, "data": 1});
        assert_ne!(ann.call(frame).await["type"], "error", "{kind}");
    }
    assert_eq!(
        ann.call(json!({"type": "publish", "stream": "s"})).await["code"],
        "invalid_message"
    );
    old.send(&json!({"type": "publish", "stream": long, "data": 1})).await;
    old.send(&json!({"type": "unsubscribe", "stream": long})).await;
    assert_eq!(old.rest().await, Vec::<Value>::new(), "no word to an old client");

    for n in 0..skein_wire::limit::TOPICS_PER_SESSION_MAX {
        subscribe(&mut ann, &n.to_string()).await;
    }
    let refused = ann.call(json!({"type": "subscribe", "stream": "one more"})).await;
    assert_eq!(refused["code"], "limit");
    ann.call(json!({"type": "unsubscribe", "stream": "0"})).await;
    subscribe(&mut ann, "one more").await;
}

#[tokio::test]
async fn a_mesh_has_so_many_streams_and_no_more() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let max = skein_wire::limit::STREAMS_MAX;
    mesh.run(&format!(
        "insert into stream (id, mesh, name, created_by)
         select 'id' || n, {}, 'n' || n, 'x' from generate_series(2, {max}) as n",
        mesh.no
    ))
    .await;

    let last = ann.call(json!({"type": "create_stream", "name": "last"})).await;
    let refused = ann.call(json!({"type": "create_stream", "name": "one more"})).await;
    let known = ann.call(json!({"type": "create_stream", "name": "last"})).await;

    assert_eq!(last["type"], "stream_created");
    assert_eq!(refused["code"], "limit");
    assert_eq!(known["id"], last["id"]);
}

#[tokio::test]
async fn whoever_asks_for_an_answer_to_publishing_gets_one() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    subscribe(&mut bob, "s").await;

    let ack = ann.call(json!({"type": "publish", "stream": "s", "data": 1})).await;

    assert_eq!(ack["type"], "ack");
    assert_eq!(data(&mut bob).await["data"], 1);
}
