//! Hello: who may attach, in which order it is refused, and what is said to whom.

use std::time::Duration;

use serde_json::{Value, json};
use skein_crypto::{Keypair, hello};
use skein_wire::hello::SERVES;

use crate::harness::{Member, OLD, OURS, Peer, TestEdge, TestMesh, hello_frame, pass};

/// Signs the frame anew, as it stands.
fn signed(member: &Member, mut frame: Value) -> Value {
    let of = |name: &str| frame[name].as_str().unwrap_or_default().to_owned();
    let at = frame["timestamp"].as_i64().unwrap_or_default();
    let text = hello::text(&of("meshId"), &of("memberId"), &of("pubkey"), at);
    frame["signature"] = json!(member.keys.secret.sign(text.as_bytes()).hex());
    frame
}

/// A hello of a new session of this member, with these fields changed and signed.
fn hello_with(member: &Member, caps: &[&str], changes: Value) -> Value {
    let mut frame = hello_frame(member, &Keypair::generate(), caps);
    for (name, value) in changes.as_object().unwrap() {
        frame[name] = value.clone();
    }
    signed(member, frame)
}

/// Says this hello and returns the code of its refusal, whose shape is the contract's.
async fn refused(edge: &TestEdge, member: &Member, frame: &Value) -> String {
    let mut peer = Peer::open(edge, member, Keypair::generate()).await;
    peer.send(frame).await;
    let error = peer.next().await;
    assert_eq!(error["type"], "error", "{frame} was answered by {error}");
    assert_eq!(error.as_object().unwrap().len(), 3, "{error}");
    let code = error["code"].as_str().unwrap().to_owned();
    let said = match code.as_str() {
        "capacity" => "mesh at connection capacity".to_owned(),
        "unauthorized" => "pubkey not found in mesh".to_owned(),
        code => format!("hello rejected: {code}"),
    };
    assert_eq!(error["message"], json!(said));
    assert_eq!(peer.next().await, json!({"close": 1008, "reason": code}));
    code
}

#[tokio::test]
async fn a_hello_whose_clock_is_off_is_refused() {
    let mesh = TestMesh::start(1).await;
    let ann = mesh.member("ann").await;
    let now = jiff::Timestamp::now().as_millisecond();

    for at in [
        json!(now - 62_000),
        json!(now + 62_000),
        json!(now.to_string()),
        json!(null),
        json!([now]),
        json!(0),
        json!(1e300),
    ] {
        let frame = hello_with(&ann, OLD, json!({"timestamp": at}));
        assert_eq!(refused(&mesh.edges[0], &ann, &frame).await, "timestamp_skew", "{at}");
    }
    for at in [now - 55_000, now + 55_000] {
        let mut peer = Peer::open(&mesh.edges[0], &ann, Keypair::generate()).await;
        peer.send(&hello_with(&ann, OLD, json!({"timestamp": at}))).await;
        assert_eq!(peer.next().await["type"], "hello_ack");
    }
}

#[tokio::test]
async fn a_hello_with_a_field_of_the_wrong_form_is_malformed() {
    let mesh = TestMesh::start(1).await;
    let ann = mesh.member("ann").await;
    let wrong = [
        ("pubkey", vec![json!("ab"), json!(7), json!(null), json!("zz".repeat(32))]),
        ("signature", vec![json!("ab"), json!(null), json!("zz".repeat(64))]),
        ("sessionId", vec![json!(7), json!(null), json!(["s"])]),
        ("pid", vec![json!(7.5), json!("7"), json!(null), json!(1e30)]),
        ("cwd", vec![json!(7), json!(null)]),
        ("meshId", vec![json!(7)]),
        ("memberId", vec![json!(7)]),
        ("sessionPubkey", vec![json!("ab"), json!("AB".repeat(32)), json!(7)]),
        ("displayName", vec![json!(7)]),
        ("groups", vec![json!("a"), json!([{"name": "a//b"}]), json!([{"role": "x"}])]),
        ("caps", vec![json!("ack")]),
        ("sessionProof", vec![json!("x"), json!({"nonce": "n"})]),
    ];

    for (field, values) in wrong {
        for value in values {
            let mut frame = hello_with(&ann, OLD, json!({}));
            frame[field] = value;
            let code = refused(&mesh.edges[0], &ann, &frame).await;
            assert_eq!(code, "malformed", "{field}: {}", frame[field]);
        }
    }
    for field in ["pubkey", "signature", "sessionId", "pid", "cwd", "meshId", "memberId"] {
        let mut frame = hello_with(&ann, OLD, json!({}));
        frame.as_object_mut().unwrap().remove(field);
        assert_eq!(refused(&mesh.edges[0], &ann, &frame).await, "malformed", "no {field}");
    }
}

#[tokio::test]
async fn a_signature_that_does_not_fit_is_refused() {
    let mesh = TestMesh::start(1).await;
    let (ann, bob) = (mesh.member("ann").await, mesh.member("bob").await);
    let mut tampered = hello_with(&ann, OLD, json!({}));
    tampered["timestamp"] = json!(tampered["timestamp"].as_i64().unwrap() + 1);
    let by_another = signed(&bob, hello_with(&ann, OLD, json!({})));
    let mut another_proof = hello_with(&ann, OURS, json!({}));
    another_proof["sessionPubkey"] = json!(Keypair::generate().public.hex());
    let mut old_proof = hello_with(&ann, OURS, json!({}));
    old_proof["sessionProof"]["expiresAt"] = json!(1);

    for frame in [tampered, by_another, another_proof, old_proof] {
        assert_eq!(refused(&mesh.edges[0], &ann, &frame).await, "bad_signature", "{frame}");
    }
}

#[tokio::test]
async fn who_is_no_member_of_the_mesh_is_unauthorized() {
    let mesh = TestMesh::start(1).await;
    let (ann, eve) = (mesh.member("ann").await, mesh.member("eve").await);
    let (other_id, other_no) = mesh.other_mesh().await;
    let foreigner = mesh.member_of(&other_id, other_no, "foreigner").await;
    mesh.run(&format!("update member set revoked_at = now() where id = '{}'", eve.id)).await;
    let stranger = Member { keys: Keypair::generate(), ..ann.clone() };
    let abroad = json!({"meshId": other_id});
    let upper = json!({"pubkey": ann.keys.public.hex().to_uppercase()});

    for (who, frame) in [
        ("an unknown key", hello_with(&stranger, OLD, json!({}))),
        ("an upper-case key", hello_with(&ann, OLD, upper)),
        ("a revoked member", hello_with(&eve, OLD, json!({}))),
        ("another's member id", hello_with(&ann, OLD, json!({"memberId": eve.id}))),
        ("a member elsewhere", hello_with(&ann, OLD, abroad)),
        ("a member of another mesh", hello_with(&foreigner, OLD, json!({"meshId": mesh.id}))),
        ("an unknown mesh", hello_with(&ann, OLD, json!({"meshId": "nowhere"}))),
    ] {
        assert_eq!(refused(&mesh.edges[0], &ann, &frame).await, "unauthorized", "{who}");
    }
}

#[tokio::test]
async fn the_checks_come_in_the_contracts_order() {
    let mesh = TestMesh::start_with(1, &[("MAX_CONNECTIONS_PER_MESH", "1")]).await;
    let edge = &mesh.edges[0];
    let (ann, bob) = (mesh.member("ann").await, mesh.peer("bob", 0).await);
    let mut frame = hello_frame(&ann, &Keypair::generate(), OLD);
    let good = [frame["timestamp"].clone(), frame["pubkey"].clone(), frame["signature"].clone()];
    frame["timestamp"] = json!(1);
    frame["pubkey"] = json!("short");
    frame["signature"] = json!("00".repeat(64));
    frame["memberId"] = json!("nobody");

    assert_eq!(refused(edge, &ann, &frame).await, "capacity");
    bob.close().await;
    mesh.until("select count(*) from presence", "0").await;
    assert_eq!(refused(edge, &ann, &frame).await, "timestamp_skew");
    frame["timestamp"] = good[0].clone();
    assert_eq!(refused(edge, &ann, &frame).await, "malformed");
    frame["pubkey"] = good[1].clone();
    assert_eq!(refused(edge, &ann, &frame).await, "bad_signature");
    assert_eq!(refused(edge, &ann, &signed(&ann, frame)).await, "unauthorized");
}

#[tokio::test]
async fn a_replayed_hello_is_refused_on_every_edge() {
    let mesh = TestMesh::start(2).await;
    let ann = mesh.member("ann").await;
    for caps in [OLD, OURS] {
        let session = Keypair::generate();
        let frame = hello_frame(&ann, &session, caps);
        let mut first = Peer::open(&mesh.edges[0], &ann, session).await;
        first.send(&frame).await;
        assert_eq!(first.next().await["type"], "hello_ack");

        for edge in &mesh.edges {
            assert_eq!(refused(edge, &ann, &frame).await, "replayed");
        }
        assert_eq!(first.me().await["displayName"], "ann", "the first socket stays");
    }
}

#[tokio::test]
async fn a_heard_signature_is_good_for_no_other_session_key() {
    let mesh = TestMesh::start(2).await;
    let ann = mesh.member("ann").await;
    for caps in [OLD, OURS] {
        let mut heard = hello_frame(&ann, &Keypair::generate(), caps);
        let mut first = Peer::open(&mesh.edges[0], &ann, Keypair::generate()).await;
        first.send(&heard).await;
        assert_eq!(first.next().await["type"], "hello_ack");
        heard["sessionPubkey"] = json!(Keypair::generate().public.hex());
        heard.as_object_mut().unwrap().remove("sessionProof");

        assert_eq!(refused(&mesh.edges[1], &ann, &heard).await, "replayed", "{caps:?}");
    }
}

#[tokio::test]
async fn another_members_session_key_is_refused_and_its_owner_untouched() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    let eve = mesh.member("eve").await;
    let before = bob.me().await;
    let presence =
        mesh.ask("select string_agg(p::text, ',' order by session) from presence p").await;

    for edge in &mesh.edges {
        let frame = hello_frame(&eve, &bob.session, OURS);
        assert_eq!(refused(edge, &eve, &frame).await, "unauthorized");
        let key_of_a_member = hello_frame(&eve, &ann.member.keys, OLD);
        assert_eq!(refused(edge, &eve, &key_of_a_member).await, "unauthorized");
    }

    assert_eq!(bob.me().await, before);
    let now = mesh.ask("select string_agg(p::text, ',' order by session) from presence p").await;
    assert_eq!(now, presence);
    ann.message(&bob.key(), "next", "still here").await;
    assert_eq!(bob.push().await["ciphertext"], json!("still here"));
}

#[tokio::test]
async fn a_session_key_of_an_absent_session_stays_its_members() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    let eve = mesh.member("eve").await;
    let (key, member, session) = (bob.key(), bob.member.clone(), bob.session.clone());
    bob.close().await;
    ann.message(&key, "next", "for bob").await;

    let frame = hello_frame(&eve, &session, OLD);
    assert_eq!(refused(&mesh.edges[0], &eve, &frame).await, "unauthorized");

    let mut bob = Peer::connect(&mesh.edges[0], &member, session, OLD).await;
    assert_eq!(bob.push().await["ciphertext"], json!("for bob"));
}

#[tokio::test]
async fn a_key_that_came_with_a_proof_needs_one_from_then_on() {
    let mesh = TestMesh::start(2).await;
    let bob = mesh.peer("bob", 0).await;

    let mut bare = hello_frame(&bob.member, &bob.session, OURS);
    bare.as_object_mut().unwrap().remove("sessionProof");

    assert_eq!(refused(&mesh.edges[1], &bob.member, &bare).await, "unauthorized");
    bob.back(&mesh.edges[1], OURS).await;
}

#[tokio::test]
async fn frames_before_the_hello_are_answered_and_the_socket_stays() {
    let mesh = TestMesh::start(1).await;
    let ann = mesh.member("ann").await;
    let session = Keypair::generate();
    let mut peer = Peer::open(&mesh.edges[0], &ann, session.clone()).await;

    for kind in ["list_peers", "send", "no_such_type", "hello_ack"] {
        peer.send(&json!({"type": kind, "_reqId": "r"})).await;
        let no_hello = json!({"type": "error", "code": "no_hello",
                              "message": "must send hello first"});
        assert_eq!(peer.next().await, no_hello);
    }
    for ignored in
        ["", "nonsense", "null", "[]", r#"{"type":7}"#, r#"{"type":"hello","a":"\u0000"}"#]
    {
        peer.text(ignored.to_owned()).await;
    }
    peer.send(&hello_frame(&ann, &session, OLD)).await;
    assert_eq!(peer.next().await["type"], "hello_ack", "what is no message got no answer");
}

#[tokio::test]
async fn a_socket_without_a_hello_is_closed_after_ten_seconds() {
    let mesh = TestMesh::start(1).await;
    let ann = mesh.member("ann").await;
    let mut peer = Peer::open(&mesh.edges[0], &ann, Keypair::generate()).await;
    peer.send(&json!({"type": "list_peers"})).await;
    assert_eq!(peer.next().await["code"], "no_hello");

    pass(Duration::from_secs(9)).await;
    peer.send(&json!({"type": "list_peers"})).await;
    assert_eq!(peer.next().await["code"], "no_hello", "frames are no hello, but not too late");
    pass(Duration::from_secs(1)).await;

    assert_eq!(peer.next().await, json!({"close": 1008, "reason": "no hello"}));
}

#[tokio::test]
async fn a_second_hello_on_a_socket_changes_nothing() {
    let mesh = TestMesh::start(1).await;
    for caps in [OLD, OURS] {
        let member = mesh.member("ann").await;
        let mut ann = Peer::connect(&mesh.edges[0], &member, Keypair::generate(), caps).await;
        let before = ann.peers().await;
        let again = hello_with(&member, caps, json!({"displayName": "eve", "_reqId": "again"}));

        ann.send(&again).await;

        if caps == OURS {
            let error = ann.find(|f| f["_reqId"] == "again").await;
            assert_eq!(error["code"], "invalid_message");
        }
        assert_eq!(ann.rest().await, Vec::<Value>::new());
        assert_eq!(ann.peers().await, before);
        ann.close().await;
        mesh.until("select count(*) from presence", "0").await;
    }
}

#[tokio::test]
async fn a_newer_socket_of_the_same_session_closes_the_older() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    ann.event("peer_joined").await;
    for edge in [0, 1] {
        let (member, session) = (bob.member.clone(), bob.session.clone());
        let newer = Peer::connect(&mesh.edges[edge], &member, session, OLD).await;
        assert_eq!(bob.closed().await, 4409);
        assert_ne!(newer.welcome["presenceId"], bob.welcome["presenceId"]);
        bob = newer;
    }

    assert_eq!(ann.peers().await.len(), 2);
    assert_eq!(ann.quiet(|f| f["subtype"] == "system").await, Vec::<Value>::new());
    assert_eq!(bob.me().await["displayName"], "bob");
}

#[tokio::test]
async fn the_acknowledgement_is_exactly_the_contracts() {
    let mesh = TestMesh::start(2).await;
    let old = mesh.old_peer("bob", 0).await.welcome;
    let ours = mesh.peer("ann", 0).await.welcome;

    let presence = old["presenceId"].clone();
    assert!(presence.as_str().is_some_and(|id| !id.is_empty()));
    assert_eq!(
        old,
        json!({"type": "hello_ack", "presenceId": presence,
                           "memberDisplayName": "bob", "services": []})
    );
    let edges: Vec<String> =
        mesh.edges.iter().map(|e| format!("ws://127.0.0.1:{}/ws", e.port)).collect();
    let mut told: Vec<String> = serde_json::from_value(ours["edges"].clone()).unwrap();
    told.sort();
    let mut expected = edges;
    expected.sort();
    assert_eq!(told, expected, "ours is told where else the mesh is");
    assert_eq!(ours["serves"], json!(SERVES), "and what a server of the old kind ignores");
    assert_eq!(ours.as_object().unwrap().len(), 6, "{ours}");
}

#[tokio::test]
async fn a_returning_session_is_told_what_was_restored() {
    let mesh = TestMesh::start(2).await;
    let mut bob = mesh.old_peer("bob", 0).await;
    let presence = bob.welcome["presenceId"].clone();
    for frame in [
        json!({"type": "join_group", "name": "dev", "role": "lead"}),
        json!({"type": "set_summary", "summary": "the spine"}),
        json!({"type": "set_stats", "stats": {"messagesIn": 3, "messagesOut": 4, "uptime": 60}}),
    ] {
        bob.send(&frame).await;
    }
    bob.rest().await;

    let bob = bob.back(&mesh.edges[1], OLD).await;

    let seen_at = bob.welcome["lastSeenAt"].as_str().unwrap();
    assert!(seen_at.ends_with('Z') && seen_at.len() == 24, "{seen_at}");
    assert_ne!(bob.welcome["presenceId"], presence);
    assert_eq!(
        bob.welcome,
        json!({
            "type": "hello_ack", "presenceId": bob.welcome["presenceId"],
            "memberDisplayName": "bob", "restored": true, "lastSummary": "the spine",
            "lastSeenAt": seen_at, "restoredGroups": [{"name": "dev", "role": "lead"}],
            "restoredStats": {"messagesIn": 3, "messagesOut": 4, "toolCalls": 0, "errors": 0},
            "services": [],
        })
    );
}

#[tokio::test]
async fn what_was_never_said_is_not_restored() {
    let mesh = TestMesh::start(1).await;
    let bob = mesh.old_peer("bob", 0).await.back(&mesh.edges[0], OLD).await;

    assert_eq!(bob.welcome["restored"], json!(true));
    assert_eq!(bob.welcome.as_object().unwrap().len(), 6, "{}", bob.welcome);
}

#[tokio::test]
async fn a_new_session_key_restores_the_members_latest() {
    let mesh = TestMesh::start(2).await;
    let mut bob = mesh.old_peer("bob", 0).await;
    bob.call(json!({"type": "set_profile", "title": "tester"})).await;
    bob.send(&json!({"type": "join_group", "name": "dev"})).await;
    bob.send(&json!({"type": "set_summary", "summary": "tests"})).await;
    bob.rest().await;
    let member = bob.member.clone();
    bob.close().await;
    mesh.until("select count(*) from presence", "0").await;

    let mut next = Peer::connect(&mesh.edges[1], &member, Keypair::generate(), OLD).await;

    assert_eq!(next.welcome["restoredGroups"], json!([{"name": "dev"}]));
    assert_eq!(next.welcome["lastSummary"], "tests");
    let me = next.me().await;
    assert_eq!((&me["groups"], &me["summary"]), (&json!([{"name": "dev"}]), &json!("tests")));
    assert_eq!(me["profile"], json!({"title": "tester"}));
}

#[tokio::test]
async fn a_hidden_session_hides_no_other_session_of_its_member() {
    let mesh = TestMesh::start(1).await;
    let edge = &mesh.edges[0];
    let mut hidden = mesh.old_peer("bob", 0).await;
    hidden.call(json!({"type": "set_visible", "visible": false})).await;
    let member = hidden.member.clone();
    let live = Peer::connect(edge, &member, Keypair::generate(), OLD).await;
    hidden.close().await;
    mesh.until("select count(*) from presence", "1").await;

    let mut second = Peer::connect(edge, &member, Keypair::generate(), OLD).await;
    assert_eq!(second.me().await["visible"], json!(true), "another session is live");

    second.call(json!({"type": "set_visible", "visible": false})).await;
    let mut second = second.back(edge, OLD).await;
    assert_eq!(second.me().await["visible"], json!(false), "it was hidden itself");
    live.close().await;
    second.close().await;
    mesh.until("select count(*) from presence", "0").await;
    let mut third = Peer::connect(edge, &member, Keypair::generate(), OLD).await;
    assert_eq!(third.me().await["visible"], json!(false), "the member's latest was hidden");
}

#[tokio::test]
async fn groups_of_the_hello_replace_the_restored_ones() {
    let mesh = TestMesh::start(1).await;
    let mut bob = mesh.old_peer("bob", 0).await;
    bob.send(&json!({"type": "join_group", "name": "old"})).await;
    bob.rest().await;
    let (member, session) = (bob.member.clone(), bob.session.clone());
    bob.close().await;

    let mut frame = hello_frame(&member, &session, OLD);
    frame["groups"] = json!([{"name": "new", "role": "r"}]);
    let mut bob = Peer::open(&mesh.edges[0], &member, session).await;
    bob.send(&frame).await;

    let welcome = bob.next().await;
    assert!(welcome.get("restoredGroups").is_none(), "{welcome}");
    assert_eq!(bob.me().await["groups"], frame["groups"]);
}

#[tokio::test]
async fn a_name_that_is_too_long_is_cut_and_none_is_the_members() {
    let mesh = TestMesh::start(1).await;
    let bob = mesh.member("bob").await;
    let long = "é".repeat(200);

    for (name, expected) in [
        (json!(long), "é".repeat(128)),
        (json!(""), "bob".to_owned()),
        (json!("  "), "bob".to_owned()),
        (json!(null), "bob".to_owned()),
        (json!(" Ann "), "Ann".to_owned()),
    ] {
        let session = Keypair::generate();
        let mut frame = hello_frame(&bob, &session, OLD);
        frame["displayName"] = name;
        let mut peer = Peer::open(&mesh.edges[0], &bob, session).await;
        peer.send(&frame).await;
        assert_eq!(peer.next().await["memberDisplayName"], json!(expected));
        assert_eq!(peer.me().await["displayName"], json!(expected));
    }
}

#[tokio::test]
async fn the_acknowledgement_comes_before_what_waited_and_frames_after_it_are_served() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    let (key, member, session) = (bob.key(), bob.member.clone(), bob.session.clone());
    bob.close().await;
    for n in 0..20 {
        ann.message(&key, "next", &format!("m{n}")).await;
    }

    let mut bob = Peer::open(&mesh.edges[1], &member, session.clone()).await;
    bob.send(&hello_frame(&member, &session, OLD)).await;
    bob.send(&json!({"type": "list_peers", "_reqId": "at once"})).await;

    assert_eq!(bob.next().await["type"], "hello_ack");
    assert_eq!(bob.find(|f| f["_reqId"] == "at once").await["type"], "peers_list");
    for n in 0..20 {
        assert_eq!(bob.push().await["ciphertext"], json!(format!("m{n}")));
    }
}

#[tokio::test]
async fn a_session_without_a_key_is_addressed_by_its_members() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, member) = (mesh.peer("ann", 0).await, mesh.member("bob").await);
    let mut frame = hello_frame(&member, &member.keys, OLD);
    frame.as_object_mut().unwrap().remove("sessionPubkey");
    let mut bob = Peer::open(&mesh.edges[1], &member, member.keys.clone()).await;
    bob.send(&frame).await;
    assert_eq!(bob.next().await["type"], "hello_ack");

    ann.message(&member.keys.public.hex(), "next", "to the member").await;

    assert_eq!(bob.push().await["ciphertext"], json!("to the member"));
    assert_eq!(bob.me().await["pubkey"], json!(member.keys.public.hex()));
}
