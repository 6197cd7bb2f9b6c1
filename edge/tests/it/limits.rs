//! Limits: one below is served, one above is refused in the stated way.

use serde_json::{Value, json};
use skein_crypto::Keypair;
use skein_wire::limit;

use crate::harness::{OLD, OURS, Peer, TestEdge, TestMesh, hello_frame};

/// A send with these fields instead of the plain ones.
fn send_with(to: &str, fields: Value) -> Value {
    let mut frame = json!({"type": "send", "id": uuid::Uuid::new_v4().simple().to_string(),
                           "targetSpec": to, "priority": "next", "nonce": "", "ciphertext": ""});
    for (name, value) in fields.as_object().unwrap() {
        frame[name] = value.clone();
    }
    frame
}

/// What answers a send: `ack`, or the code of the `error` with its id.
async fn answer(peer: &mut Peer, frame: Value) -> String {
    peer.send(&frame).await;
    let answer = peer.find(|f| f["id"] == frame["id"]).await;
    match answer["type"].as_str() {
        Some("error") => answer["code"].as_str().unwrap().to_owned(),
        _ => answer["type"].as_str().unwrap().to_owned(),
    }
}

/// What answers a request: `ack`, or the code of the `error`.
async fn change(peer: &mut Peer, frame: Value) -> String {
    let answer = peer.call(frame).await;
    let field = if answer["type"] == "error" { "code" } else { "type" };
    answer[field].as_str().unwrap().to_owned()
}

fn x(n_bytes: usize) -> String {
    "x".repeat(n_bytes)
}

#[tokio::test]
async fn a_sends_texts() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 0).await);
    let (to, cases) = (
        old.key(),
        [
            ("ciphertext", limit::CIPHERTEXT_BYTES_MAX),
            ("nonce", limit::NONCE_BYTES_MAX),
            ("id", limit::ID_BYTES_MAX),
        ],
    );

    for (field, max) in cases {
        assert_eq!(
            answer(&mut ann, send_with(&to, json!({field: x(max)}))).await,
            "ack",
            "{field}"
        );
        let push = old.push().await;
        assert!(field == "id" || push[field].as_str().is_some_and(|text| text.len() == max));
        for peer in [&mut ann, &mut old] {
            let above = send_with(&to, json!({field: x(max + 1)}));
            assert_eq!(answer(peer, above).await, "too_large", "{field}");
        }
    }
}

#[tokio::test]
async fn a_target() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    let group = x(limit::TARGET_BYTES_MAX - 1);

    assert_eq!(answer(&mut ann, send_with(&format!("@{group}"), json!({}))).await, "ack");
    let above = send_with(&format!("@{group}x"), json!({}));
    assert_eq!(answer(&mut ann, above).await, "unknown_target");
    assert_eq!(answer(&mut ann, send_with(&x(1_000_000), json!({}))).await, "unknown_target");
}

#[tokio::test]
async fn a_request_id() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 0).await);
    let id = x(limit::ID_BYTES_MAX);
    ann.send(&json!({"type": "list_peers", "_reqId": id})).await;
    assert_eq!(ann.find(|f| f["_reqId"] == id.as_str()).await["type"], "peers_list");

    let above = json!({"type": "list_peers", "_reqId": format!("{id}x")});
    ann.send(&above).await;
    let error = ann.find(|f| f["type"] == "error").await;
    assert!(error["code"] == "too_large" && error.get("_reqId").is_none(), "{error}");
    old.send(&above).await;
    assert_eq!(old.rest().await, Vec::<Value>::new());
}

#[tokio::test]
async fn the_ids_of_one_received() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let received = |n: usize| json!({"type": "received", "messageIds": vec!["x"; n]});

    assert_eq!(change(&mut ann, received(limit::RECEIVED_IDS_MAX)).await, "ack");
    assert_eq!(change(&mut ann, received(limit::RECEIVED_IDS_MAX + 1)).await, "too_large");
}

#[tokio::test]
async fn a_groups_path_and_role_and_how_many_there_are() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let join = |name: &str, role: &str| json!({"type": "join_group", "name": name, "role": role});
    let (path, role) = (x(limit::GROUP_BYTES_MAX), x(limit::ROLE_BYTES_MAX));

    assert_eq!(change(&mut ann, join(&path, &role)).await, "ack");
    assert_eq!(change(&mut ann, join(&format!("{path}x"), "")).await, "invalid_message");
    assert_eq!(change(&mut ann, join("dev", &format!("{role}x"))).await, "too_large");
    for n in 1..limit::GROUPS_MAX {
        assert_eq!(change(&mut ann, join(&format!("g{n}"), "")).await, "ack");
    }
    assert_eq!(change(&mut ann, join("one-more", "")).await, "invalid_message");
    assert_eq!(change(&mut ann, join("g1", "another role")).await, "ack", "it is in it already");
    assert_eq!(ann.me().await["groups"].as_array().unwrap().len(), limit::GROUPS_MAX);
}

#[tokio::test]
async fn what_a_session_says_of_itself() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let summary = |n: usize| json!({"type": "set_summary", "summary": x(n)});
    let bio = |n: usize| json!({"type": "set_profile", "bio": x(n - r#"{"bio":""}"#.len())});
    let stats = |n: usize| json!({"type": "set_stats", "stats": {"x": x(n - r#"{"x":""}"#.len())}});

    for (max, frame) in [
        (limit::SUMMARY_BYTES_MAX, &summary as &dyn Fn(usize) -> Value),
        (limit::PROFILE_BYTES_MAX, &bio),
        (limit::STATS_BYTES_MAX, &stats),
    ] {
        assert_eq!(change(&mut ann, frame(max + 1)).await, "too_large");
        assert_eq!(change(&mut ann, frame(max)).await, "ack");
    }

    let me = ann.me().await;
    assert_eq!(me["summary"].as_str().unwrap().len(), limit::SUMMARY_BYTES_MAX);
    assert_eq!(me["profile"].to_string().len(), limit::PROFILE_BYTES_MAX);
    assert_eq!(me["stats"].to_string().len(), limit::STATS_BYTES_MAX);
    let more = json!({"type": "set_profile", "title": "x"});
    assert_eq!(change(&mut ann, more).await, "too_large", "the whole profile counts");
}

#[tokio::test]
async fn the_texts_of_a_hello() {
    let mesh = TestMesh::start(1).await;
    let member = mesh.member("ann").await;
    let max = limit::HELLO_TEXT_BYTES_MAX;
    let group = |n: usize| json!({"name": x(n)});
    let role = |n: usize| json!([{"name": "a", "role": x(n)}]);
    let many = |n: usize| (0..n).map(|i| json!({"name": format!("g{i}")})).collect::<Value>();
    let mut cases: Vec<(&str, Value, Value)> =
        ["sessionId", "cwd", "hostname", "peerType", "channel", "model", "client"]
            .map(|field| (field, json!(x(max)), json!(x(max + 1))))
            .to_vec();
    let path = limit::GROUP_BYTES_MAX;
    cases.push(("groups", json!([group(path)]), json!([group(path + 1)])));
    cases.push(("groups", role(limit::ROLE_BYTES_MAX), role(limit::ROLE_BYTES_MAX + 1)));
    cases.push(("groups", many(limit::GROUPS_MAX), many(limit::GROUPS_MAX + 1)));

    for (field, below, above) in cases {
        for (value, answer) in [(below, "hello_ack"), (above, "error")] {
            let session = Keypair::generate();
            let mut frame = hello_frame(&member, &session, OURS);
            frame[field] = value;
            let mut peer = Peer::open(&mesh.edges[0], &member, session).await;
            peer.send(&frame).await;
            let said = peer.next().await;
            assert_eq!(said["type"], answer, "{field}");
            assert!(answer == "hello_ack" || said["code"] == "malformed", "{said}");
        }
    }
}

#[tokio::test]
async fn the_characters_of_a_name() {
    let mesh = TestMesh::start(1).await;
    let member = mesh.member("ann").await;
    let max = limit::DISPLAY_NAME_CHARS_MAX;

    for (n, kept) in [(max - 1, max - 1), (max, max), (max + 1, max)] {
        let session = Keypair::generate();
        let mut frame = hello_frame(&member, &session, OLD);
        frame["displayName"] = json!("\u{1f600}".repeat(n));
        let mut peer = Peer::open(&mesh.edges[0], &member, session).await;
        peer.send(&frame).await;
        assert_eq!(peer.next().await["memberDisplayName"], "\u{1f600}".repeat(kept));
    }
}

/// Puts this many deliveries of this size into a session's mailbox.
async fn fill(mesh: &TestMesh, key: &str, n_messages: i64, n_bytes: i64) {
    mesh.run(&format!(
        "insert into delivery (seq, recipient, mesh, node, at, class, bytes, xid)
         select nextval('message_seq'), s.mailbox, s.mesh, 0, now(), 1, {n_bytes},
                pg_current_xact_id()
           from session s, generate_series(1, {n_messages})
          where s.key = '{key}'"
    ))
    .await;
}

#[tokio::test]
async fn the_messages_of_a_mailbox() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut eve) = (mesh.peer("ann", 0).await, mesh.old_peer("eve", 1).await);
    let bob = mesh.peer("bob", 0).await;
    let key = bob.key();
    bob.close().await;
    fill(&mesh, &key, limit::MAILBOX_MESSAGES_MAX - 1, 1).await;

    assert_eq!(answer(&mut ann, send_with(&key, json!({}))).await, "ack");
    for sender in [&mut ann, &mut eve] {
        assert_eq!(answer(sender, send_with(&key, json!({}))).await, "mailbox_full");
    }
    assert_eq!(answer(&mut ann, send_with(&eve.key(), json!({}))).await, "ack", "others have room");
    mesh.run("delete from delivery where bytes = 1").await;
    // Counted again a moment later.
    let mut said = String::new();
    for _ in 0..100 {
        said = answer(&mut ann, send_with(&key, json!({}))).await;
        if said == "ack" {
            break;
        }
        ann.quiet(|_| false).await;
    }
    assert_eq!(said, "ack", "there is room again");
}

#[tokio::test]
async fn the_bytes_of_a_mailbox() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let key = bob.key();
    bob.close().await;
    fill(&mesh, &key, 1, limit::MAILBOX_BYTES_MAX - 1000).await;

    let body = |n: usize| json!({"nonce": x(100), "ciphertext": x(n - 100)});
    assert_eq!(answer(&mut ann, send_with(&key, body(1001))).await, "mailbox_full");
    assert_eq!(answer(&mut ann, send_with(&key, body(1000))).await, "ack");
    assert_eq!(answer(&mut ann, send_with(&key, json!({"ciphertext": "x"}))).await, "mailbox_full");
}

#[tokio::test]
async fn the_unread_mail_of_a_mesh() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let hold = |n: i64| format!("update mesh set held_bytes = {n} where id = '{}'", mesh.id);

    mesh.run(&hold(limit::MESH_HELD_BYTES_MAX)).await;
    assert_eq!(answer(&mut ann, send_with(&bob.key(), json!({}))).await, "ack");
    mesh.run(&hold(limit::MESH_HELD_BYTES_MAX + 1)).await;

    assert_eq!(answer(&mut bob, send_with(&ann.key(), json!({}))).await, "mesh_full");
}

#[tokio::test]
async fn the_pushes_that_wait_for_their_word() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    bob.acks = false;
    let n_more = 5;
    for n in 0..limit::WINDOW_MAX + n_more {
        ann.message(&bob.key(), "next", &n.to_string()).await;
    }

    let mut ids = Vec::new();
    for n in 0..limit::WINDOW_MAX {
        let push = bob.push().await;
        assert_eq!(push["ciphertext"], n.to_string());
        ids.push(push["messageId"].clone());
    }
    assert_eq!(bob.quiet(|f| f["nonce"] == "n").await, Vec::<Value>::new());
    bob.send(&json!({"type": "received", "messageIds": ids})).await;

    for n in limit::WINDOW_MAX..limit::WINDOW_MAX + n_more {
        assert_eq!(bob.push().await["ciphertext"], n.to_string());
    }
}

#[tokio::test]
async fn the_multicasts_that_a_returning_session_is_given() {
    let mesh = TestMesh::start(1).await;
    let (ann, bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let (member, session) = (bob.member.clone(), bob.session.clone());
    bob.close().await;
    let n = limit::CATCH_UP_MAX + 1;
    mesh.run(&format!(
        "insert into message (seq, mesh, message_id, sender, sender_key, target, priority, nonce,
                              ciphertext, kind, at, xid)
         select nextval('message_seq'), s.mesh, gen_random_uuid(), s.mailbox, s.key, '*', 1, 'n',
                i::text, 1, now(), pg_current_xact_id()
           from session s, generate_series(1, {n}) i
          where s.key = '{}'",
        ann.key()
    ))
    .await;

    let mut bob = Peer::connect(&mesh.edges[0], &member, session, OURS).await;

    assert_eq!(bob.welcome["leftOut"], json!(1));
    for i in 2..=n {
        assert_eq!(bob.push().await["ciphertext"], i.to_string(), "the oldest is left out");
    }
}

/// How a hello of a new session of this member is answered.
async fn knock(edge: &TestEdge, member: &crate::harness::Member) -> (Peer, Value) {
    let session = Keypair::generate();
    let mut peer = Peer::open(edge, member, session.clone()).await;
    peer.send(&hello_frame(member, &session, OURS)).await;
    let said = peer.next().await;
    (peer, said)
}

#[tokio::test]
async fn the_sockets_of_a_mesh() {
    let mesh = TestMesh::start_with(2, &[("MAX_CONNECTIONS_PER_MESH", "3")]).await;
    let member = mesh.member("ann").await;
    let (_first, said) = knock(&mesh.edges[0], &member).await;
    assert_eq!(said["type"], "hello_ack");
    let (second, said) = knock(&mesh.edges[1], &member).await;
    assert_eq!(said["type"], "hello_ack");
    let bob = mesh.old_peer("bob", 0).await;

    for edge in &mesh.edges {
        assert_eq!(knock(edge, &member).await.1["code"], "capacity");
    }
    // A session that moves needs no place; another mesh has its own; a place that is left is free.
    let mut bob = Peer::connect(&mesh.edges[1], &bob.member, bob.session.clone(), OLD).await;
    let (id, no) = mesh.other_mesh().await;
    let elsewhere = mesh.member_of(&id, no, "cid").await;
    assert_eq!(knock(&mesh.edges[0], &elsewhere).await.1["type"], "hello_ack");
    second.close().await;
    bob.event("peer_left").await;
    assert_eq!(knock(&mesh.edges[0], &member).await.1["type"], "hello_ack");
}

#[tokio::test]
async fn a_meshs_own_number_of_sockets_goes_before_the_deployments() {
    let mesh = TestMesh::start_with(1, &[("MAX_CONNECTIONS_PER_MESH", "1")]).await;
    let member = mesh.member("ann").await;
    mesh.run(&format!("update mesh set peers_max = 2 where id = '{}'", mesh.id)).await;
    let (_one, said) = knock(&mesh.edges[0], &member).await;
    assert_eq!(said["type"], "hello_ack");
    let (_two, said) = knock(&mesh.edges[0], &member).await;
    assert_eq!(said["type"], "hello_ack");

    assert_eq!(knock(&mesh.edges[0], &member).await.1["code"], "capacity");
}

#[tokio::test]
async fn sockets_of_a_mesh_that_come_at_once() {
    let mesh = TestMesh::start_with(1, &[("MAX_CONNECTIONS_PER_MESH", "3")]).await;
    let member = mesh.member("ann").await;
    let knocks = (0..10).map(|_| knock(&mesh.edges[0], &member));

    let answers = futures_util::future::join_all(knocks).await;

    let n_in = answers.iter().filter(|(_, said)| said["type"] == "hello_ack").count();
    assert_eq!(n_in, 3, "{:?}", answers.iter().map(|(_, said)| said).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_looked_for_has_a_limit_wherever_rows_are_compared_with_it() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let x = |n: usize| "x".repeat(n);

    for (kind, field, max, found) in [
        ("list_skills", "query", limit::RECALL_QUERY_BYTES_MAX, "skill_list"),
        ("get_context", "query", limit::RECALL_QUERY_BYTES_MAX, "context_results"),
        ("list_state", "prefix", limit::STATE_KEY_BYTES_MAX, "state_list"),
        ("list_state", "after", limit::STATE_KEY_BYTES_MAX, "state_list"),
    ] {
        let frame = |n: usize| json!({"type": kind, field: x(n)});
        assert_eq!(ann.call(frame(max)).await["type"], found, "{kind} {field}");
        assert_eq!(ann.call(frame(max + 1)).await["code"], "too_large", "{kind} {field}");
    }
}
