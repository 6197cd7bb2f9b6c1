//! What an edge owes the 0.8.9 client: every line of wire-protocol 12.1 about hello, messaging,
//! presence, groups, join and health, each by its number.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value, json};
use skein_crypto::{
    Keypair,
    invite::{Role, reference, token_hash},
};
use skein_wire::Message;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::{
    harness::{Member, OLD, Peer, SOON, TestMesh, WHILE, hello_frame, pass},
    web::{As, ask},
};

/// Messages of item 7 that these capabilities have, each as it should be.
fn unanswered() -> Vec<Value> {
    vec![
        json!({"type": "set_status", "status": "working"}),
        json!({"type": "set_summary", "summary": "x"}),
        json!({"type": "set_stats", "stats": {"messagesIn": 1}}),
        json!({"type": "join_group", "name": "dev", "role": "r"}),
        json!({"type": "leave_group", "name": "dev"}),
        json!({"type": "publish", "stream": "s", "data": 1}),
        json!({"type": "unsubscribe", "stream": "s"}),
        json!({"type": "peer_file_response", "requesterPubkey": "k", "filePath": "a"}),
        json!({"type": "peer_dir_response", "requesterPubkey": "k", "dirPath": "a"}),
    ]
}

/// Frames that fail, or are no messages; the contract has no word for any of them.
fn failing() -> Vec<String> {
    let long = "x".repeat(20_000);
    let deep =
        format!(r#"{{"type":"set_stats","stats":{}1{}}}"#, r#"{"a":"#.repeat(200), "}".repeat(200));
    let mut frames: Vec<String> = [
        json!({"type": "set_status", "status": "busy"}),
        json!({"type": "set_status"}),
        json!({"type": "set_summary", "summary": 7}),
        json!({"type": "set_summary", "summary": long}),
        json!({"type": "set_stats", "stats": 7}),
        json!({"type": "set_stats", "stats": {"x": long}}),
        json!({"type": "join_group", "name": "a//b"}),
        json!({"type": "join_group", "name": "dev", "role": long}),
        json!({"type": "join_group"}),
        json!({"type": "leave_group", "name": ""}),
        json!({"type": "publish", "stream": long, "data": 1}),
        json!({"type": "publish", "stream": "s"}),
        json!({"type": "unsubscribe", "stream": ""}),
        json!({"type": "peer_file_response", "filePath": "a"}),
        json!({"type": "peer_dir_response", "requesterPubkey": "k", "dirPath": 7}),
        json!({"type": "set_visible", "visible": "yes"}),
        json!({"type": "set_profile", "bio": long}),
        json!({"type": "set_profile", "bio": 7}),
        json!({"type": "received", "messageIds": 7}),
        json!({"type": "received", "messageIds": vec!["x"; 2000]}),
        json!({"type": "message_status"}),
        json!({"type": "send", "id": "c", "targetSpec": "*", "priority": "urgent", "nonce": "",
               "ciphertext": ""}),
        json!({"type": "send", "id": "c", "priority": "now", "nonce": "", "ciphertext": ""}),
        json!({"type": "no_such_type"}),
        json!({"type": "ping"}),
        json!({"type": 7}),
        json!({}),
        json!(null),
        json!([1]),
    ]
    .iter()
    .map(Value::to_string)
    .collect();
    frames.extend([
        deep,
        String::new(),
        "{".to_owned(),
        r#"{"type":"list_peers","a":"\u0000"}"#.to_owned(),
    ]);
    frames
}

#[tokio::test]
async fn line_1_join_with_the_nine_field_payload() {
    let mesh = TestMesh::start(1).await;
    let port = mesh.edges[0].port;
    let payload = reference::Payload {
        v: 1,
        mesh_id: mesh.id.clone(),
        mesh_slug: "test".to_owned(),
        broker_url: format!("ws://127.0.0.1:{port}/ws"),
        expires_at: jiff::Timestamp::now().as_second() + 3600,
        mesh_root_key: "cm9vdA".to_owned(),
        role: Role::Member,
        owner_pubkey: String::new(),
        signature: String::new(),
    }
    .signed(&mesh.owner.secret);
    assert_eq!(json!(payload).as_object().unwrap().len(), 9);
    let expires_at = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string();
    let invite = json!({"tokenHash": token_hash(&payload.encode()), "role": "member", "uses": 1,
                        "expiresAt": expires_at});
    let invites = format!("/v1/meshes/{}/invites", mesh.id);
    let owner = As::Key(&mesh.owner.secret);
    assert_eq!(ask(port, owner, "POST", &invites, &invite.to_string()).await.status, 201);

    let keys = Keypair::generate();
    let body = json!({"invite_token": payload.encode(), "invite_payload": payload,
                      "peer_pubkey": keys.public.hex(), "display_name": "host-1"});
    let answer = ask(port, As::Nobody, "POST", "/join", &body.to_string()).await;

    assert_eq!((answer.status, &answer.json()["ok"]), (200, &json!(true)));
    let id = answer.json()["memberId"].as_str().unwrap().to_owned();
    let member = Member { mesh_id: mesh.id.clone(), id, keys, name: "ann".to_owned() };
    Peer::connect(&mesh.edges[0], &member, Keypair::generate(), OLD).await;
}

#[tokio::test]
async fn line_2_hello_is_acknowledged_within_5_s_before_queued_pushes() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    let (key, member, session) = (bob.key(), bob.member.clone(), bob.session.clone());
    bob.close().await;
    ann.message(&key, "next", "queued").await;

    let mut frame = hello_frame(&member, &session, OLD);
    frame["unknown"] = json!({"groups": 7});
    assert!(frame.get("groups").is_none());
    let mut bob = Peer::open(&mesh.edges[0], &member, session).await;
    let said = Instant::now();
    bob.send(&frame).await;

    let ack = bob.next().await;
    assert!(said.elapsed() < Duration::from_secs(5));
    assert_eq!((&ack["type"], &ack["services"]), (&json!("hello_ack"), &json!([])));
    assert_eq!(bob.next().await["ciphertext"], "queued");
}

#[tokio::test]
async fn line_3_every_direct_reply_echoes_the_request_id_but_not_the_ack_of_a_send() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    ann.event("peer_joined").await;
    let send = json!({"type": "send", "id": "c1", "targetSpec": bob.key(), "priority": "now",
                      "nonce": "", "ciphertext": "", "_reqId": "not this"});
    ann.send(&send).await;
    let ack = ann.next().await;
    assert!(ack["type"] == "ack" && ack.get("_reqId").is_none(), "{ack}");

    for id in ["r1", "vlist_1775640600000", "", "ä \"quoted\" \\ \u{1f600}", &"x".repeat(256)] {
        for (request, reply) in [
            (json!({"type": "list_peers"}), "peers_list"),
            (
                json!({"type": "message_status", "messageId": ack["messageId"]}),
                "message_status_result",
            ),
            (json!({"type": "message_status", "messageId": "unknown"}), "error"),
            (json!({"type": "set_visible", "visible": true}), "ack"),
            (json!({"type": "set_profile", "title": "x"}), "ack"),
        ] {
            let mut request = request;
            request["_reqId"] = json!(id);
            ann.send(&request).await;
            let answer = ann.next().await;
            assert_eq!((&answer["type"], &answer["_reqId"]), (&json!(reply), &json!(id)));
        }
    }
    for bad in [json!("nobody"), json!("00".repeat(32))] {
        let mut failing = send.clone();
        failing["targetSpec"] = bad;
        ann.send(&failing).await;
        let error = ann.next().await;
        assert_eq!((&error["id"], &error["_reqId"]), (&json!("c1"), &json!("not this")), "{error}");
    }
}

#[tokio::test]
async fn line_4_a_send_is_acknowledged_with_its_id() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    ann.event("peer_joined").await;
    for target in
        [bob.key(), bob.member.keys.public.hex(), "*".into(), "@all".into(), "@none".into()]
    {
        for id in [Some("c 1"), Some(""), None] {
            let mut send = json!({"type": "send", "targetSpec": target, "priority": "low",
                                  "nonce": "", "ciphertext": ""});
            if let Some(id) = id {
                send["id"] = json!(id);
            }
            ann.send(&send).await;

            let ack = ann.next().await;

            let message_id = ack["messageId"].as_str().unwrap();
            assert!(!message_id.is_empty());
            assert_eq!(
                ack,
                json!({"type": "ack", "id": id.unwrap_or(""),
                                   "messageId": message_id, "queued": true})
            );
        }
    }
}

#[tokio::test]
async fn line_5_peers_are_addressed_by_session_key_and_both_keys_are_targets() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.peer("bob", 1).await);

    let listed = ann.peers().await;
    let keys: Vec<&Value> = listed.iter().map(|peer| &peer["pubkey"]).collect();
    assert_eq!(keys, [&json!(ann.key()), &json!(bob.key())]);

    for target in [bob.key(), bob.member.keys.public.hex()] {
        let ack = ann.message(&target, "next", &target).await;
        assert_eq!(ack["type"], "ack", "{ack}");
        let push = bob.push().await;
        assert_eq!(
            (&push["ciphertext"], &push["senderPubkey"]),
            (&json!(target), &json!(ann.key()))
        );
    }
}

#[tokio::test]
async fn line_6_system_events_come_from_system_with_an_empty_body_and_a_name() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    let mut bob = mesh.old_peer("bob", 0).await;
    bob.call(json!({"type": "set_visible", "visible": false})).await;
    bob.call(json!({"type": "set_visible", "visible": true})).await;
    let (key, member, session) = (bob.key(), bob.member.clone(), bob.session.clone());
    bob.close().await;
    mesh.until("select announced from session where display_name = 'bob'", "gone").await;
    Peer::connect(&mesh.edges[0], &member, session, OLD).await.close().await;

    for name in
        ["peer_joined", "peer_hidden", "peer_visible", "peer_left", "peer_returned", "peer_left"]
    {
        let event = ann.find(|f| f["eventData"]["pubkey"] == key.as_str()).await;
        assert_eq!((&event["event"], &event["eventData"]["name"]), (&json!(name), &json!("bob")));
        assert_eq!(
            (&event["senderPubkey"], &event["subtype"]),
            (&json!("system"), &json!("system"))
        );
        assert_eq!((&event["nonce"], &event["ciphertext"]), (&json!(""), &json!("")));
    }
}

#[tokio::test]
async fn line_7_what_has_no_reply_gets_none_whether_it_succeeds_or_fails() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;

    for frame in unanswered() {
        for req_id in [None, Some("r")] {
            let mut frame = frame.clone();
            if let Some(id) = req_id {
                frame["_reqId"] = json!(id);
            }
            ann.send(&frame).await;
            assert_eq!(ann.rest().await, Vec::<Value>::new(), "{frame}");
        }
    }
    for frame in failing() {
        ann.text(frame.clone()).await;
        assert_eq!(ann.rest().await, Vec::<Value>::new(), "{frame}");
    }
}

#[tokio::test]
async fn line_7_a_pending_request_gets_its_own_answer_while_others_fail() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;

    // Written at once: the request is pending while what surrounds it fails.
    let frames = failing();
    for (n, frame) in frames.iter().enumerate() {
        ann.text(frame.clone()).await;
        ann.send(&json!({"type": "list_peers", "_reqId": format!("r{n}")})).await;
        ann.text(frame.clone()).await;
    }

    for n in 0..frames.len() {
        let answer = ann.next().await;
        assert_eq!(
            (&answer["type"], &answer["_reqId"]),
            (&json!("peers_list"), &json!(format!("r{n}")))
        );
    }
    assert_eq!(ann.rest().await, Vec::<Value>::new());
}

/// A message of this type that succeeds, and one that fails.
pub fn good_and_bad(kind: &str, of: &Peer) -> (Value, Value) {
    let (mut good, mut bad) = match kind {
        "send" => (
            json!({"id": "0".repeat(32), "targetSpec": of.key(), "priority": "now", "nonce": "",
                   "ciphertext": ""}),
            json!({"id": "1".repeat(32), "targetSpec": of.key(), "priority": "soon", "nonce": "",
                   "ciphertext": ""}),
        ),
        "message_status" => (json!({"messageId": ""}), json!({"messageId": 7})),
        "received" => (json!({"messageIds": ["x"]}), json!({})),
        "set_status" => (json!({"status": "idle"}), json!({"status": "?"})),
        "list_peers" => (json!({}), json!({"_reqId": "bad", "type": "list_peer"})),
        "set_summary" => (json!({"summary": "x"}), json!({"summary": 7})),
        "set_visible" => (json!({"visible": true}), json!({})),
        "set_profile" => (json!({"title": "x"}), json!({"title": 7})),
        "join_group" | "leave_group" => (json!({"name": "dev"}), json!({"name": "/"})),
        "set_stats" => (json!({"stats": {}}), json!({"stats": []})),
        "create_stream" => (json!({"name": "s"}), json!({"name": ""})),
        "publish" => (json!({"stream": "s", "data": 1}), json!({"stream": "s"})),
        "subscribe" | "unsubscribe" => (json!({"stream": "s"}), json!({"stream": ""})),
        "set_state" => (json!({"key": "k", "value": 1}), json!({"value": 1})),
        "get_state" | "delete_state" => (json!({"key": "k"}), json!({})),
        "list_state" => (json!({}), json!({"prefix": 7})),
        "share_context" => (json!({"summary": "x"}), json!({})),
        "get_context" | "recall" => (json!({"query": "x"}), json!({})),
        "share_skill" => {
            (json!({"name": "x", "description": "x", "instructions": "x"}), json!({"name": "x"}))
        }
        "get_skill" | "remove_skill" => (json!({"name": "x"}), json!({})),
        "remember" => (json!({"content": "x"}), json!({})),
        "forget" => (json!({"memoryId": "x"}), json!({})),
        "create_task" => (json!({"title": "x"}), json!({})),
        "claim_task" | "complete_task" | "get_task" => (json!({"taskId": "x"}), json!({})),
        "renew_task" => (json!({"taskId": "x", "leaseSeconds": 60}), json!({})),
        "watch_tasks" => (json!({"watch": true}), json!({"watch": 7})),
        "schedule" => (
            json!({"to": of.key(), "message": "x", "deliverAt": 0}),
            json!({"message": "x", "deliverAt": 0}),
        ),
        "cancel_scheduled" | "get_scheduled" | "pause_scheduled" | "resume_scheduled"
        | "run_scheduled" => (json!({"scheduledId": "x"}), json!({})),
        "watch" => (json!({"url": "https://a.example/"}), json!({"url": 7})),
        "unwatch" => (json!({"watchId": "x"}), json!({})),
        "watch_test" => (json!({"url": "http://127.0.0.1/"}), json!({})),
        "set_clock" => (json!({"speed": 10}), json!({"type": "set_clok", "speed": 10})),
        "create_webhook" | "delete_webhook" => (json!({"name": "w"}), json!({"name": 7})),
        // Whatever is asked of these can be answered.
        "list_streams" | "list_contexts" | "list_skills" | "list_tasks" | "claim_next"
        | "mesh_info" | "list_webhooks" | "watch_list" | "list_scheduled" | "audit_query"
        | "audit_verify" | "pause_clock" | "resume_clock" | "get_clock" => {
            (json!({}), json!({"type": "no_such_type"}))
        }
        _ => panic!("`{kind}` needs a case here"),
    };
    for frame in [&mut good, &mut bad] {
        if frame.get("type").is_none() {
            frame["type"] = json!(kind);
        }
    }
    (good, bad)
}

#[tokio::test]
async fn peers_with_the_replies_cap_get_one_answer_to_every_message() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    let is_about = |frame: &Value, id: &str| frame["_reqId"] == id || frame["id"] == id;

    // Questions to peers are answered by those, and their answers by nobody: see `peer_files`.
    for kind in Message::types().filter(|kind| !kind.starts_with("peer_")) {
        let (good, bad) = good_and_bad(kind, &bob);
        for (id, frame, is_good) in [("good", good, true), ("bad", bad, false)] {
            let mut frame = frame;
            frame["_reqId"] = json!(id);
            ann.send(&frame).await;
            let send_id = frame["id"].as_str().unwrap_or(id).to_owned();
            let answer = ann.find(|f| is_about(f, &send_id)).await;
            let is_unknown = matches!(
                kind,
                "message_status"
                    | "forget"
                    | "claim_task"
                    | "complete_task"
                    | "get_task"
                    | "renew_task"
                    | "get_scheduled"
                    | "pause_scheduled"
                    | "resume_scheduled"
                    | "run_scheduled"
                    | "unwatch"
                    | "watch_test"
            );
            let expects_error = !is_good || is_unknown;
            assert_eq!(answer["type"] == "error", expects_error, "{frame} got {answer}");
            let more = ann.rest().await;
            assert!(!more.iter().any(|f| is_about(f, &send_id)), "{frame} got {more:?}");
        }
    }
}

#[tokio::test]
async fn line_8_set_visible_and_set_profile_get_an_ack() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    for frame in [
        json!({"type": "set_visible", "visible": true, "_reqId": "r"}),
        json!({"type": "set_profile", "title": "x", "_reqId": "r"}),
    ] {
        ann.send(&frame).await;
        assert_eq!(
            ann.next().await,
            json!({"type": "ack", "id": "r", "messageId": "",
                                            "queued": false, "_reqId": "r"})
        );
    }
}

#[tokio::test]
async fn line_9_the_status_hook_is_unauthenticated() {
    let mesh = TestMesh::start_with(2, &[("SKEIN_LEGACY", "hooks")]).await;
    let mut ann = mesh.old_peer("ann", 1).await;

    let hook = json!({"cwd": "/w", "pid": 99, "status": "working", "session_id": ""}).to_string();
    let answer = ask(mesh.edges[0].port, As::Nobody, "POST", "/hook/set-status", &hook).await;

    assert_eq!(answer.json(), json!({"ok": true, "presence_id": ann.welcome["presenceId"]}));
    assert_eq!(ann.me().await["status"], "working");
}

#[tokio::test]
async fn line_10_frames_of_2_mib_pass_both_ways() {
    const LARGE: usize = 2 * 1024 * 1024;
    let mesh = TestMesh::start(1).await;
    let (mut ann, _bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 0).await);

    let large = json!({"type": "list_peers", "ignored": "x".repeat(LARGE)});
    assert_eq!(ann.call(large).await["type"], "peers_list");

    mesh.run(&format!(
        "update session set summary = repeat('x', {LARGE}) where display_name = 'bob'"
    ))
    .await;
    let listed = ann.peers().await;
    assert!(listed.iter().any(|p| p["summary"].as_str().is_some_and(|s| s.len() == LARGE)));
}

#[tokio::test]
async fn line_11_the_edge_pings_every_30_s_and_a_pong_keeps_the_socket() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;

    pass(Duration::from_secs(25)).await;
    assert!(timeout(WHILE, ann.socket.next()).await.is_err(), "no ping yet");
    for _ in 0..5 {
        pass(Duration::from_secs(30)).await;
        // Reading on answers it.
        let ping = timeout(SOON, ann.socket.next()).await.expect("a ping comes in time");
        assert!(matches!(ping, Some(Ok(Frame::Ping(_)))), "{ping:?}");
        assert_eq!(ann.quiet(|_| true).await, Vec::<Value>::new());
    }

    assert_eq!(ann.me().await["displayName"], "ann");
}

#[tokio::test]
async fn line_12_a_refused_hello_closes_with_1008_and_a_shutdown_with_1001() {
    let mut mesh = TestMesh::start_with(1, &[("MAX_CONNECTIONS_PER_MESH", "1")]).await;
    let (ann, mut bob) = (mesh.member("ann").await, mesh.old_peer("bob", 0).await);
    let (elsewhere, no) = mesh.other_mesh().await;
    let cid = mesh.member_of(&elsewhere, no, "cid").await;
    let full = hello_frame(&ann, &Keypair::generate(), OLD);
    let good = hello_frame(&cid, &Keypair::generate(), OLD);
    let (mut late, mut unsigned, mut garbled, mut unknown) =
        (good.clone(), good.clone(), good.clone(), good.clone());
    late["timestamp"] = json!("now");
    garbled["signature"] = json!("?");
    unsigned["signature"] = full["signature"].clone();
    let stranger = Member { keys: Keypair::generate(), ..cid.clone() };
    unknown.clone_from(&hello_frame(&stranger, &Keypair::generate(), OLD));

    for (frame, code) in [
        (full, "capacity"),
        (late, "timestamp_skew"),
        (garbled, "malformed"),
        (unsigned, "bad_signature"),
        (unknown, "unauthorized"),
    ] {
        let mut peer = Peer::open(&mesh.edges[0], &cid, Keypair::generate()).await;
        peer.send(&frame).await;
        assert_eq!(peer.next().await["code"], code);
        assert_eq!(peer.next().await, json!({"close": 1008, "reason": code}));
    }
    mesh.edges[0].stop().await;
    assert_eq!(bob.next().await, json!({"close": 1001, "reason": "shutting down"}));
}

#[tokio::test]
async fn line_14_replies_come_long_before_the_client_gives_up() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let at = Instant::now();

    let ack = ann.message(&bob.key(), "now", "x").await;
    ann.call(json!({"type": "message_status", "messageId": ack["messageId"]})).await;
    ann.peers().await;

    assert!(at.elapsed() < Duration::from_secs(5), "{:?}", at.elapsed());
}

#[tokio::test]
async fn health_answers_without_credentials() {
    let mesh = TestMesh::start(1).await;

    let health = ask(mesh.edges[0].port, As::Nobody, "GET", "/health", "").await;

    assert_eq!((health.status, &health.json()["status"]), (200, &json!("ok")));
}
