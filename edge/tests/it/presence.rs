//! Presence: who is listed, and what the others are told of comings and goings.

use std::time::Duration;

use serde_json::{Value, json};
use skein_crypto::Keypair;

use crate::{
    harness::{OLD, OURS, Peer, TestMesh, pass},
    web::{As, ask},
};

fn is_event(frame: &Value) -> bool {
    frame["subtype"] == "system"
}

/// Whether a frame is an event about this session. Others may come late to who came meanwhile.
fn is_about(key: &str) -> impl Fn(&Value) -> bool {
    move |frame| is_event(frame) && frame["eventData"]["pubkey"] == key
}

/// The names of events that came, in order.
fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_list_has_everybody_on_every_edge_longest_attached_first() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.old_peer("ann", 1).await;
    let (_bob, mut cid) = (mesh.peer("bob", 0).await, mesh.peer("cid", 1).await);

    let listed = cid.peers().await;

    let names: Vec<&str> = listed.iter().map(|p| p["displayName"].as_str().unwrap()).collect();
    assert_eq!(names, ["ann", "bob", "cid"]);
    let connected: Vec<&str> = listed.iter().map(|p| p["connectedAt"].as_str().unwrap()).collect();
    assert!(connected.is_sorted() && connected.iter().all(|at| at.len() == 24), "{connected:?}");
    assert_eq!(ann.peers().await.len(), 3);
}

#[tokio::test]
async fn a_listed_peer_has_exactly_the_contracts_fields() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    let me = ann.me().await;

    assert_eq!(
        me,
        json!({
            "pubkey": ann.key(), "displayName": "ann", "status": "idle", "summary": null,
            "groups": [], "sessionId": "s-1", "connectedAt": me["connectedAt"], "cwd": "/w",
            "hostname": "host", "peerType": "ai", "channel": "claude-code", "visible": true,
        })
    );
}

#[tokio::test]
async fn what_the_hello_left_out_is_left_out_of_the_list() {
    let mesh = TestMesh::start(1).await;
    let (member, session) = (mesh.member("ann").await, Keypair::generate());
    let mut frame = crate::harness::hello_frame(&member, &session, OLD);
    for field in ["hostname", "peerType", "channel", "displayName"] {
        frame.as_object_mut().unwrap().remove(field);
    }
    frame["model"] = json!("m-1");
    let mut ann = Peer::open(&mesh.edges[0], &member, session).await;
    ann.send(&frame).await;
    assert_eq!(ann.next().await["type"], "hello_ack");

    let me = ann.me().await;

    assert_eq!((&me["model"], &me["displayName"]), (&json!("m-1"), &json!("ann")));
    assert_eq!(me.as_object().unwrap().len(), 10, "{me}");
}

#[tokio::test]
async fn those_of_ours_are_told_which_sessions_belong_together() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;

    assert_eq!(ann.me().await["memberPubkey"], json!(ann.member.keys.public.hex()));
}

#[tokio::test]
async fn a_hidden_peer_is_listed_for_its_own_member_only() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let sibling = bob.member.clone();
    let mut sibling = Peer::connect(&mesh.edges[0], &sibling, Keypair::generate(), OLD).await;

    bob.call(json!({"type": "set_visible", "visible": false})).await;

    assert_eq!(ann.peers().await.len(), 2);
    let seen = sibling.peers().await;
    let hidden = seen.iter().find(|p| p["pubkey"] == json!(bob.key())).unwrap();
    assert_eq!(hidden["visible"], json!(false));
    assert_eq!(bob.me().await["visible"], json!(false));
    ann.message("*", "now", "hidden ones are skipped").await;
    sibling.push().await;
    assert_eq!(bob.quiet(|f| f["nonce"] == "n").await, Vec::<Value>::new());
    ann.message(&bob.key(), "next", "direct").await;
    assert_eq!(bob.push().await["ciphertext"], json!("direct"), "its key still reaches it");
}

#[tokio::test]
async fn hiding_and_showing_is_told_to_the_others_on_every_edge_once() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.peer("bob", 1).await);
    let mut cid = mesh.old_peer("cid", 1).await;
    for peer in [&mut ann, &mut bob] {
        peer.find(is_about(&cid.key())).await;
    }

    for visible in [false, false, true, true] {
        let ack = cid.call(json!({"type": "set_visible", "visible": visible})).await;
        assert_eq!((&ack["type"], &ack["queued"]), (&json!("ack"), &json!(false)));
    }

    let data = json!({"name": "cid", "pubkey": cid.key()});
    for peer in [&mut ann, &mut bob] {
        assert_eq!(peer.event("peer_hidden").await["eventData"], data);
        assert_eq!(peer.event("peer_visible").await["eventData"], data);
        assert_eq!(peer.quiet(is_about(&cid.key())).await, Vec::<Value>::new());
    }
    let key = cid.key();
    assert_eq!(cid.quiet(is_about(&key)).await, Vec::<Value>::new(), "not to itself");
}

#[tokio::test]
async fn a_newcomer_is_told_to_the_others_and_not_to_itself() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.peer("bob", 1).await);
    ann.event("peer_joined").await;
    let (member, session) = (mesh.member("cid").await, Keypair::generate());
    let mut frame = crate::harness::hello_frame(&member, &session, OLD);
    frame["groups"] = json!([{"name": "dev"}]);
    let mut cid = Peer::open(&mesh.edges[0], &member, session).await;
    cid.send(&frame).await;
    cid.next().await;

    let data = json!({"name": "cid", "pubkey": cid.key(), "groups": [{"name": "dev"}]});
    for peer in [&mut ann, &mut bob] {
        assert_eq!(peer.find(is_about(&cid.key())).await["eventData"], data);
        assert_eq!(peer.quiet(is_about(&cid.key())).await, Vec::<Value>::new());
    }
    let key = cid.key();
    assert_eq!(cid.quiet(is_about(&key)).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_clean_close_is_told_at_once_and_once() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let cid = mesh.peer("cid", 1).await;
    let key = cid.key();
    cid.close().await;

    for peer in [&mut ann, &mut bob] {
        let left = peer.event("peer_left").await;
        assert_eq!(left["eventData"], json!({"name": "cid", "pubkey": key}));
        assert!(!peer.peers().await.iter().any(|p| p["pubkey"] == json!(key)));
        assert_eq!(peer.quiet(|f| f["event"] == "peer_left").await, Vec::<Value>::new());
    }
}

#[tokio::test]
async fn a_lost_socket_is_told_after_the_grace_and_listed_until_then() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    ann.event("peer_joined").await;
    let key = bob.key();
    bob.vanish();
    mesh.until("select count(*) from presence", "1").await;

    assert_eq!(ann.quiet(is_event).await, Vec::<Value>::new());
    assert_eq!(ann.peers().await.len(), 2, "a peer in grace is listed");
    let left_s = "select round(extract(epoch from depart_at - now()))::int between 15 and 20
                    from session where depart_at is not null";
    assert_eq!(mesh.ask(left_s).await.as_deref(), Some("true"));
    // The database's clock does not jump with ours.
    mesh.run("update session set depart_at = now() where depart_at is not null").await;
    pass(Duration::from_secs(21)).await;

    assert_eq!(ann.event("peer_left").await["eventData"]["pubkey"], json!(key));
    assert_eq!(ann.peers().await.len(), 1);
    assert_eq!(ann.quiet(is_event).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_peer_that_is_back_within_the_grace_causes_no_event() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    ann.event("peer_joined").await;
    let (member, session) = (bob.member.clone(), bob.session.clone());
    bob.vanish();
    mesh.until("select count(*) from presence", "1").await;

    let mut bob = Peer::connect(&mesh.edges[1], &member, session, OLD).await;
    pass(Duration::from_secs(21)).await;

    assert_eq!(ann.quiet(is_event).await, Vec::<Value>::new());
    ann.message(&bob.key(), "next", "there you are").await;
    assert_eq!(bob.push().await["ciphertext"], json!("there you are"));
    assert_eq!(ann.peers().await.len(), 2);
}

#[tokio::test]
async fn an_event_is_pushed_in_the_contracts_shape() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    let bob = mesh.old_peer("bob", 0).await;

    let event = ann.event("peer_joined").await;

    let id = event["messageId"].as_str().unwrap();
    assert!(uuid::Uuid::try_parse(id).is_ok_and(|id| id.get_version_num() == 4), "{id}");
    let at = event["createdAt"].as_str().unwrap();
    assert!(at.len() == 24 && at.ends_with('Z'), "{at}");
    assert_eq!(
        event,
        json!({
            "type": "push", "subtype": "system", "event": "peer_joined", "messageId": id,
            "meshId": mesh.id, "senderPubkey": "system", "priority": "low", "nonce": "",
            "ciphertext": "", "createdAt": at,
            "eventData": {"name": "bob", "pubkey": bob.key(), "groups": []},
        })
    );
}

#[tokio::test]
async fn events_are_sent_whatever_the_status_and_visibility() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    ann.send(&json!({"type": "set_status", "status": "dnd"})).await;
    ann.call(json!({"type": "set_visible", "visible": false})).await;

    mesh.old_peer("bob", 0).await;

    ann.event("peer_joined").await;
}

#[tokio::test]
async fn events_beyond_fifty_a_second_are_dropped_and_the_list_is_the_truth() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    ann.event("peer_joined").await;
    for n in 0..400 {
        bob.send(&json!({"type": "set_visible", "visible": n % 2 == 1})).await;
    }
    bob.rest().await;
    bob.call(json!({"type": "set_visible", "visible": false})).await;

    let came = ann.quiet(is_event).await;

    assert!((1..400).contains(&came.len()), "{} events came", came.len());
    assert_eq!(ann.peers().await.len(), 1, "hidden in the end");
}

#[tokio::test]
async fn a_status_is_listed_and_one_that_is_none_changes_nothing() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut ours) = (mesh.old_peer("ann", 0).await, mesh.peer("bob", 0).await);
    for status in ["working", "dnd", "idle", "dnd"] {
        ann.send(&json!({"type": "set_status", "status": status})).await;
        assert_eq!(ann.me().await["status"], json!(status));
    }

    for wrong in [json!("busy"), json!("Idle"), json!(7), json!(null), json!({"idle": null})] {
        ann.send(&json!({"type": "set_status", "status": wrong})).await;
        let error = ours.call(json!({"type": "set_status", "status": wrong})).await;
        assert_eq!(error["code"], "invalid_message", "{wrong}");
    }
    assert_eq!(ann.rest().await, Vec::<Value>::new());
    assert_eq!(ann.me().await["status"], "dnd");
}

#[tokio::test]
async fn a_status_hook_on_one_edge_releases_what_another_holds() {
    let mesh = TestMesh::start_with(2, &[("SKEIN_LEGACY", "hooks")]).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    mesh.run("update session set cwd = '/elsewhere' where display_name = 'ann'").await;
    bob.send(&json!({"type": "set_status", "status": "working"})).await;
    bob.rest().await;
    ann.message(&bob.key(), "next", "held").await;
    assert_eq!(bob.quiet(|f| f["ciphertext"] == "held").await, Vec::<Value>::new());

    let hook = json!({"cwd": "/w", "pid": 7, "status": "idle"}).to_string();
    let answer = ask(mesh.edges[0].port, As::Nobody, "POST", "/hook/set-status", &hook).await;

    assert_eq!(answer.json()["presence_id"], bob.welcome["presenceId"]);
    assert_eq!(bob.push().await["ciphertext"], json!("held"));
    assert_eq!(bob.me().await["status"], "idle");
}

#[tokio::test]
async fn a_status_hook_on_one_edge_holds_what_another_would_push() {
    let mesh = TestMesh::start_with(2, &[("SKEIN_LEGACY", "hooks")]).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    mesh.run("update session set cwd = '/elsewhere' where display_name = 'ann'").await;
    let hook = json!({"cwd": "/w", "pid": 7, "status": "dnd"}).to_string();
    ask(mesh.edges[0].port, As::Nobody, "POST", "/hook/set-status", &hook).await;
    assert_eq!(bob.me().await["status"], "dnd");

    // The word travels by itself; the urgent message is pushed in any case.
    let mut held = false;
    for n in 0..20 {
        ann.message(&bob.key(), "next", &format!("next {n}")).await;
        ann.message(&bob.key(), "now", &format!("now {n}")).await;
        bob.find(|f| f["ciphertext"] == json!(format!("now {n}"))).await;
        let next = bob.quiet(|f| f["ciphertext"] == json!(format!("next {n}"))).await;
        held = next.is_empty();
        if held {
            break;
        }
    }

    assert!(held, "the hook's dnd holds what is not urgent");
}

#[tokio::test]
async fn a_summary_is_listed_and_kept() {
    let mesh = TestMesh::start(2).await;
    let mut bob = mesh.old_peer("bob", 0).await;
    bob.send(&json!({"type": "set_summary", "summary": "writing tests"})).await;
    assert_eq!(bob.me().await["summary"], "writing tests");

    let mut bob = bob.back(&mesh.edges[1], OLD).await;
    assert_eq!(bob.me().await["summary"], "writing tests");
    bob.send(&json!({"type": "set_summary"})).await;
    assert_eq!(bob.me().await["summary"], "", "a missing one counts as empty");

    let bob = bob.back(&mesh.edges[0], OLD).await;
    assert!(bob.welcome.get("lastSummary").is_none(), "{}", bob.welcome);
}

#[tokio::test]
async fn a_replaced_socket_changes_nothing_any_more() {
    let mesh = TestMesh::start(2).await;
    let mut old = mesh.peer("bob", 0).await;
    let (member, session) = (old.member.clone(), old.session.clone());
    let mut new = Peer::connect(&mesh.edges[1], &member, session, OURS).await;

    // What the older socket still says before it is closed must not count.
    let said = json!({"type": "set_summary", "summary": "stale"}).to_string();
    let _ = futures_util::SinkExt::send(
        &mut old.socket,
        tokio_tungstenite::tungstenite::Message::text(said),
    )
    .await;

    assert_eq!(old.closed().await, 4409);
    assert_eq!(new.me().await["summary"], json!(null));
    assert_eq!(names(&new.quiet(is_event).await), Vec::<&str>::new());
}
