//! Abuse: whatever a socket does, it gets the stated answer, costs bounded memory, and leaves the
//! others alone.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use skein_crypto::Keypair;
use skein_wire::limit;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{OLD, OURS, Peer, SOON, TestMesh, WHILE, hello_frame, pass};

/// A request of exactly this many bytes.
fn padded(n_bytes: usize) -> String {
    let empty = json!({"type": "list_peers", "_reqId": "padded", "x": ""}).to_string();
    json!({"type": "list_peers", "_reqId": "padded", "x": "x".repeat(n_bytes - empty.len())})
        .to_string()
}

/// Asserts that this peer is served as if nothing had been.
async fn is_well(peer: &mut Peer) {
    let key = peer.key();
    assert_eq!(peer.message(&key, "now", "to myself").await["type"], "ack");
    assert_eq!(peer.push().await["ciphertext"], "to myself");
}

#[tokio::test]
async fn a_frame_of_the_limit_is_served_and_one_above_it_closes_the_socket() {
    let mesh = TestMesh::start(1).await;
    let mut bob = mesh.old_peer("bob", 0).await;
    let max = limit::FRAME_BYTES_MAX;
    bob.text(padded(max)).await;
    assert_eq!(bob.find(|f| f["_reqId"] == "padded").await["type"], "peers_list");

    for (n_bytes, is_binary) in
        [(max + 1, false), (max + 1, true), (2 * max + 1, true), (9 * 1024 * 1024, false)]
    {
        let mut eve = mesh.old_peer("eve", 0).await;
        let text = padded(n_bytes);
        let frame = if is_binary { Message::binary(text) } else { Message::text(text) };
        // The edge need not read it to the end.
        let _ = timeout(SOON, eve.socket.send(frame)).await.expect("the edge does not hang");
        assert_eq!(eve.closed().await, 1009, "{n_bytes} bytes, binary: {is_binary}");
    }
    is_well(&mut bob).await;
}

#[tokio::test]
async fn a_frame_over_the_limit_closes_the_socket_before_its_hello_too() {
    let mesh = TestMesh::start(1).await;
    let member = mesh.member("eve").await;
    let mut eve = Peer::open(&mesh.edges[0], &member, Keypair::generate()).await;

    eve.text(padded(limit::FRAME_BYTES_MAX + 1)).await;

    assert_eq!(eve.closed().await, 1009);
}

#[tokio::test]
async fn what_is_no_message_is_refused_to_those_of_ours_and_ignored_from_others() {
    let mesh = TestMesh::start(1).await;
    let (mut old, mut ours) = (mesh.old_peer("old", 0).await, mesh.peer("ours", 0).await);
    old.event("peer_joined").await;
    let deep = "[".repeat(100_000);
    let deep_stats = format!(
        r#"{{"type":"set_stats","stats":{}1{}}}"#,
        r#"{"a":"#.repeat(5000),
        "}".repeat(5000)
    );
    for (frame, code) in [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("nonsense", "invalid_json"),
        ("null", "invalid_json"),
        ("[]", "invalid_json"),
        (r#"["list_peers"]"#, "invalid_json"),
        (r#""list_peers""#, "invalid_json"),
        (r#"{"type":"list_peers"} {}"#, "invalid_json"),
        (r#"{"type":"set_summary","summary":"\u0000"}"#, "invalid_json"),
        (r#"{"type":"set_summary","summary":"\ud800"}"#, "invalid_json"),
        (r#"{"type":"set_summary","summary":"a","\u0000":1}"#, "invalid_json"),
        (deep.as_str(), "invalid_json"),
        ("{}", "invalid_message"),
        (r#"{"type":7}"#, "invalid_message"),
        (r#"{"type":null}"#, "invalid_message"),
        (r#"{"type":"no_such_type"}"#, "unknown_type"),
        (r#"{"type":"LIST_PEERS"}"#, "unknown_type"),
        (r#"{"type":"set_status","status":{"idle":null}}"#, "invalid_message"),
        (r#"{"type":"set_summary","summary":["x"]}"#, "invalid_message"),
        (r#"{"type":"set_visible","visible":"true"}"#, "invalid_message"),
        (
            r#"{"type":"send","id":"c","targetSpec":"*","priority":1,"nonce":"","ciphertext":""}"#,
            "invalid_message",
        ),
        (r#"{"type":"set_stats","stats":{"a":1e999}}"#, "invalid_message"),
        (deep_stats.as_str(), "invalid_message"),
    ] {
        let shown = &frame[..frame.len().min(60)];
        old.text(frame.to_owned()).await;
        ours.text(frame.to_owned()).await;
        let error = ours.find(|f| f["type"] == "error").await;
        assert_eq!(error["code"], code, "{shown} got {error}");
        assert!(
            error["message"].as_str().is_some_and(|m| !m.is_empty() && m.len() < 300),
            "{error}"
        );
        assert_eq!(old.rest().await, Vec::<Value>::new(), "{shown}");
    }
    is_well(&mut old).await;
    is_well(&mut ours).await;
}

#[tokio::test]
async fn nesting_in_a_field_that_nobody_reads_is_harmless() {
    let mesh = TestMesh::start(1).await;
    let mut eve = mesh.old_peer("eve", 0).await;
    let (open, close) = ("[".repeat(200_000), "]".repeat(200_000));

    eve.text(format!(r#"{{"type":"list_peers","_reqId":"deep","x":{open}{close}}}"#)).await;

    assert_eq!(eve.find(|f| f["_reqId"] == "deep").await["type"], "peers_list");
}

#[tokio::test]
async fn binary_frames_are_read_as_text_and_those_that_are_none_are_no_messages() {
    let mesh = TestMesh::start(1).await;
    let (mut old, mut ours) = (mesh.old_peer("old", 0).await, mesh.peer("ours", 0).await);
    old.event("peer_joined").await;
    for peer in [&mut old, &mut ours] {
        let frame = json!({"type": "list_peers", "_reqId": "binary"}).to_string();
        peer.socket.send(Message::binary(frame)).await.unwrap();
        assert_eq!(peer.find(|f| f["_reqId"] == "binary").await["type"], "peers_list");
        let not_utf8 = b"{\"type\":\"list_peers\",\"x\":\"\xff\xfe\"}".to_vec();
        peer.socket.send(Message::binary(not_utf8)).await.unwrap();
    }

    assert_eq!(ours.find(|f| f["type"] == "error").await["code"], "invalid_json");
    assert_eq!(old.rest().await, Vec::<Value>::new());
    is_well(&mut old).await;
}

#[tokio::test]
async fn a_hello_as_a_binary_frame_is_accepted() {
    let mesh = TestMesh::start(1).await;
    let (member, session) = (mesh.member("ann").await, Keypair::generate());
    let frame = hello_frame(&member, &session, OLD);
    let mut ann = Peer::open(&mesh.edges[0], &member, session).await;

    ann.socket.send(Message::binary(frame.to_string())).await.unwrap();

    assert_eq!(ann.next().await["type"], "hello_ack");
}

#[tokio::test]
async fn text_frames_that_are_no_utf8_end_their_socket_only() {
    let mesh = TestMesh::start(1).await;
    let mut bob = mesh.old_peer("bob", 0).await;
    let mut socket = raw(&mesh).await;
    // A masked text frame of two bytes, with the mask 0.
    socket.write_all(&[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe]).await.unwrap();

    let ended =
        timeout(SOON, async { while socket.read(&mut [0; 64]).await.is_ok_and(|n| n > 0) {} });

    ended.await.expect("the edge ends it");
    is_well(&mut bob).await;
}

#[tokio::test]
async fn frames_that_break_the_protocol_end_their_socket_only() {
    let mesh = TestMesh::start(1).await;
    let mut bob = mesh.old_peer("bob", 0).await;
    let long_ping = [&[0x89, 0xfe, 0, 126, 0, 0, 0, 0][..], &[0; 126]].concat();
    for garbage in [
        &[0xff; 32][..],
        &long_ping,
        // Not masked; a continuation of nothing; a length of 2^63.
        &[0x81, 0x02, b'{', b'}'],
        &[0x80, 0x80, 0, 0, 0, 0],
        &[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
    ] {
        let mut socket = raw(&mesh).await;
        socket.write_all(garbage).await.unwrap();
        let ended =
            timeout(SOON, async { while socket.read(&mut [0; 64]).await.is_ok_and(|n| n > 0) {} });
        ended.await.unwrap_or_else(|_| panic!("the edge ends it: {garbage:x?}"));
    }
    is_well(&mut bob).await;
}

#[tokio::test]
async fn a_hello_that_never_ends_has_ten_seconds() {
    let mesh = TestMesh::start(1).await;
    let mut socket = raw(&mesh).await;
    // A masked text frame of 1000 bytes, of which a few come.
    socket.write_all(&[0x81, 0xfe, 0x03, 0xe8, 0, 0, 0, 0]).await.unwrap();
    socket.write_all(br#"{"type":"hello","#).await.unwrap();

    pass(Duration::from_secs(9)).await;
    assert!(timeout(WHILE, socket.read_u8()).await.is_err(), "it is not late yet");
    pass(Duration::from_secs(1)).await;

    // A close frame of 1008.
    let mut close = [0; 4];
    timeout(SOON, socket.read_exact(&mut close)).await.expect("it is closed").unwrap();
    assert_eq!((close[0], u16::from_be_bytes([close[2], close[3]])), (0x88, 1008));
}

/// A socket that was upgraded, and speaks bytes.
async fn raw(mesh: &TestMesh) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", mesh.edges[0].port)).await.unwrap();
    let ask = "GET /ws HTTP/1.1\r\nHost: edge\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
               Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(ask.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    socket
}

#[tokio::test]
async fn a_silent_socket_is_closed_after_75_s_and_its_departure_has_the_grace() {
    let mesh = TestMesh::start(1).await;
    let (mut bob, mut eve) = (mesh.old_peer("bob", 0).await, mesh.old_peer("eve", 0).await);
    bob.event("peer_joined").await;
    // Bob answers each ping by reading on; Eve reads nothing.
    for _ in 0..2 {
        pass(Duration::from_secs(37)).await;
        assert_eq!(bob.quiet(|_| true).await, Vec::<Value>::new());
    }
    pass(Duration::from_secs(2)).await;

    let close = eve.find(|f| f.get("close").is_some()).await;
    assert_eq!(close, json!({"close": 1001, "reason": "silent"}));
    is_well(&mut bob).await;
    assert_eq!(bob.quiet(|f| f["event"] == "peer_left").await, Vec::<Value>::new());
}

#[tokio::test]
async fn who_asks_and_does_not_read_is_closed_before_the_answers_fill_the_memory() {
    let mesh = TestMesh::start(1).await;
    let (mut bob, mut eve) = (mesh.old_peer("bob", 0).await, mesh.old_peer("eve", 0).await);
    const ANSWER: usize = 1024 * 1024;
    const QUESTIONS: usize = 100;
    mesh.run(&format!(
        "update session set summary = repeat('x', {ANSWER}) where display_name = 'eve'"
    ))
    .await;
    for n in 0..QUESTIONS {
        let question = json!({"type": "list_peers", "_reqId": format!("q{n}")}).to_string();
        eve.socket.feed(Message::text(question)).await.unwrap();
    }
    eve.socket.flush().await.unwrap();
    mesh.until("select count(*) from presence", "1").await;

    let mut n_answers = 0;
    let code = timeout(SOON, async {
        loop {
            match eve.socket.next().await {
                Some(Ok(Message::Close(close))) => return close.map(|c| u16::from(c.code)),
                Some(Ok(Message::Text(_))) => n_answers += 1,
                Some(Ok(_)) => (),
                Some(Err(_)) | None => return None,
            }
        }
    });

    // It began to read within a second, so the word still reached it.
    assert_eq!(code.await.expect("it ends"), Some(1013));
    let bound = limit::UNWRITTEN_BYTES_MAX / ANSWER + 16;
    assert!(n_answers < bound, "{n_answers} answers were kept for it");
    mesh.run("update session set summary = ''").await;
    is_well(&mut bob).await;
}

#[tokio::test]
async fn who_does_not_read_holds_nobody_up_and_misses_nothing() {
    const N: usize = 24;
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let mut slow = mesh.peer("slow", 1).await;
    let mut slow_old = mesh.old_peer("slow old", 1).await;
    let body = "x".repeat(limit::CIPHERTEXT_BYTES_MAX - 4);

    for n in 0..N {
        let ack = ann.message("*", "next", &format!("{n:04}{body}")).await;
        assert_eq!(ack["type"], "ack", "{ack}");
        let push = bob.push().await;
        assert_eq!(push["ciphertext"].as_str().unwrap()[..4], format!("{n:04}"));
    }

    for n in 0..N {
        for peer in [&mut slow, &mut slow_old] {
            let push = peer.push().await;
            assert_eq!(push["ciphertext"].as_str().unwrap()[..4], format!("{n:04}"));
        }
    }
}

#[tokio::test]
async fn a_window_that_does_not_move_for_a_minute_closes_the_socket_and_loses_nothing() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    bob.acks = false;
    ann.message(&bob.key(), "next", "unsaid").await;
    let first = bob.push().await;

    pass(Duration::from_secs(59)).await;
    bob.rest().await;
    ann.rest().await;
    pass(Duration::from_secs(2)).await;

    assert_eq!(bob.next().await, json!({"close": 1013, "reason": "nothing was acknowledged"}));
    let (member, session) = (bob.member.clone(), bob.session.clone());
    let mut bob =
        timeout(SOON, Peer::connect(&mesh.edges[0], &member, session, OURS)).await.unwrap();
    assert_eq!(bob.push().await["messageId"], first["messageId"]);
}
