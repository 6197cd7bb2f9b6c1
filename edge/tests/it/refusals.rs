//! Refusals that need more than a wrong frame: a session that has moved on, room that is used up, a
//! race. The others are with their capabilities; `promises` says where each one is.

use serde_json::{Value, json};
use skein_wire::limit;

use crate::harness::TestMesh;

#[tokio::test]
async fn what_is_said_over_an_attachment_that_was_replaced_is_refused_and_changes_nothing() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 0).await);
    let mut bob = mesh.peer("bob", 1).await;
    bob.call(json!({"type": "set_state", "key": "k", "value": "the truth"})).await;
    for peer in [&mut ann, &mut old] {
        peer.find(|f| f["type"] == "state_change").await;
    }
    let before = bob.peers().await;
    // As when both said hello elsewhere, and this edge has not heard of it yet.
    for table in ["session", "presence"] {
        let of = "(select mailbox from session where display_name in ('ann', 'old'))";
        let key = if table == "session" { "mailbox" } else { "session" };
        let moved = format!("update {table} set attach_no = attach_no + 1 where {key} in {of}");
        mesh.run(&moved).await;
    }

    for frame in [
        json!({"type": "set_state", "key": "k", "value": "a lie"}),
        json!({"type": "set_state", "key": "new", "value": "a lie", "ifVersion": 0}),
        json!({"type": "delete_state", "key": "k"}),
        json!({"type": "share_context", "summary": "a lie"}),
        json!({"type": "set_status", "status": "dnd"}),
        json!({"type": "set_summary", "summary": "a lie"}),
        json!({"type": "set_visible", "visible": false}),
        json!({"type": "set_profile", "title": "a lie"}),
        json!({"type": "set_stats", "stats": {"messagesIn": 1}}),
        json!({"type": "join_group", "name": "dev"}),
    ] {
        let refused = ann.call(frame.clone()).await;
        assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("superseded")));
        old.send(&frame).await;
        assert_eq!(old.rest().await, Vec::<Value>::new(), "no stray error: {frame}");
    }

    assert_eq!(bob.peers().await, before);
    let kept = bob.call(json!({"type": "get_state", "key": "k"})).await;
    assert_eq!((&kept["value"], &kept["version"]), (&json!("the truth"), &json!(1)));
    assert_eq!(bob.call(json!({"type": "list_contexts"})).await["contexts"], json!([]));
    assert_eq!(bob.quiet(|f| f["type"] == "state_change").await, Vec::<Value>::new());
}

#[tokio::test]
async fn who_follows_as_much_as_it_may_watches_no_tasks_until_there_is_room() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    for n in 0..limit::TOPICS_PER_SESSION_MAX {
        ann.call(json!({"type": "subscribe", "stream": n.to_string()})).await;
    }
    let watch = json!({"type": "watch_tasks", "watch": true});

    assert_eq!(ann.call(watch.clone()).await["code"], "limit");
    ann.call(json!({"type": "create_task", "title": "unseen"})).await;
    ann.call(json!({"type": "unsubscribe", "stream": "0"})).await;
    assert_eq!(ann.call(watch).await["type"], "ack");
    ann.call(json!({"type": "create_task", "title": "seen"})).await;

    let told = ann.find(|f| f["type"] == "task_change").await;
    assert_eq!(told["task"]["title"], "seen");
}

#[tokio::test]
async fn data_that_is_too_large_to_be_given_on_is_refused_and_the_largest_arrives() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 0).await);
    let mut bob = mesh.peer("bob", 1).await;
    bob.call(json!({"type": "subscribe", "stream": "s"})).await;
    // A frame of so many bytes; what listeners are sent names its publisher, and is longer.
    let publish = |n_bytes: usize| {
        let empty = json!({"type": "publish", "stream": "s", "data": "", "_reqId": "p"});
        let data = "x".repeat(n_bytes - empty.to_string().len());
        json!({"type": "publish", "stream": "s", "data": data, "_reqId": "p"})
    };
    let answered = |f: &Value| f["_reqId"] == "p";

    ann.send(&publish(limit::FRAME_BYTES_MAX)).await;
    assert_eq!(ann.find(answered).await["code"], "too_large");
    old.send(&publish(limit::FRAME_BYTES_MAX)).await;
    assert_eq!(old.rest().await, Vec::<Value>::new(), "no stray error");
    ann.send(&publish(limit::FRAME_BYTES_MAX - 32)).await;

    assert_eq!(ann.find(answered).await["type"], "ack");
    let heard = bob.find(|f| f["type"] == "stream_data").await;
    assert!(heard["data"].as_str().unwrap().len() > limit::FRAME_BYTES_MAX - 150);
}

#[tokio::test]
async fn a_skill_that_is_removed_while_another_asks_for_its_name_is_not_the_others_unawares() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let share = json!({"type": "share_skill", "name": "deploy", "description": "",
                       "instructions": ""});
    ann.call(share.clone()).await;
    // It goes between the two looks at it: the statement has ended when such a trigger runs.
    mesh.run(
        "create function remove_it() returns trigger language plpgsql as
         $$ begin delete from skill where name = 'deploy'; return null; end $$;
         create trigger remove_it after insert on skill
            for each statement execute function remove_it()",
    )
    .await;

    let refused = bob.call(share.clone()).await;
    mesh.run("drop trigger remove_it on skill; delete from skill").await;

    assert_eq!(refused["code"], "forbidden", "{refused}");
    assert_eq!(bob.call(share).await["action"], "shared", "asking again takes it");
}

#[tokio::test]
async fn a_question_to_a_peer_with_a_wrong_field_is_refused_and_an_answer_with_one_is_nothing() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 0).await);
    ann.event("peer_joined").await;

    for (kind, path) in [("file", "filePath"), ("dir", "dirPath")] {
        for (asked, given) in [
            (json!({"targetPubkey": old.key()}), json!({"requesterPubkey": old.key()})),
            (json!({}), json!({})),
        ] {
            let (mut asked, mut given) = (asked, given);
            let has_key = asked.get("targetPubkey").is_some();
            // Without its path, or without its key.
            if !has_key {
                asked[path] = json!("a");
                given[path] = json!("a");
            }
            asked["type"] = json!(format!("peer_{kind}_request"));
            given["type"] = json!(format!("peer_{kind}_response"));
            let refused = ann.call(asked.clone()).await;
            assert_eq!(refused["code"], "invalid_message", "{asked}");
            let field = if has_key { path } else { "targetPubkey" };
            assert!(refused["message"].as_str().unwrap().contains(field), "{refused}");
            for peer in [&mut ann, &mut old] {
                peer.send(&given).await;
                assert_eq!(peer.rest().await, Vec::<Value>::new(), "{given}");
            }
            old.send(&asked).await;
            assert_eq!(old.rest().await, Vec::<Value>::new(), "{asked}");
        }
    }
}

#[tokio::test]
async fn questions_for_folders_end_as_those_for_files_do() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 0).await);
    let (bob, mut cid) = (mesh.peer("bob", 1).await, mesh.peer("cid", 1).await);
    let ask = |key: &str, id: &str| json!({"type": "peer_dir_request", "targetPubkey": key, "dirPath": "src", "_reqId": id});
    let forward = |f: &Value| f["type"] == "peer_dir_request_forward";
    let answer = |id: &'static str| move |f: &Value| f["_reqId"] == id;

    ann.send(&ask(&"0".repeat(64), "nobody")).await;
    assert_eq!(ann.find(answer("nobody")).await["code"], "peer_not_found");

    let mut bob = bob;
    for peer in [&mut ann, &mut old] {
        peer.send(&ask(&bob.key(), "gone")).await;
        bob.find(forward).await;
    }
    bob.vanish();
    assert_eq!(ann.find(answer("gone")).await["code"], "peer_gone");
    let of_old = old.find(answer("gone")).await;
    assert_eq!(
        (&of_old["type"], &of_old["dirPath"]),
        (&json!("peer_dir_response_forward"), &json!("src"))
    );
    assert!(of_old["error"].as_str().unwrap().starts_with("peer_gone: "), "{of_old}");

    for _ in 0..limit::RELAY_CALLS_PER_SESSION_MAX {
        ann.send(&ask(&cid.key(), "late")).await;
        cid.find(forward).await;
    }
    ann.send(&ask(&cid.key(), "one more")).await;
    assert_eq!(ann.find(answer("one more")).await["code"], "too_many_calls");
    crate::harness::pass(limit::PEER_FILE_PATIENCE).await;
    for _ in 0..limit::RELAY_CALLS_PER_SESSION_MAX {
        assert_eq!(ann.find(answer("late")).await["code"], "timeout");
    }
}

#[tokio::test]
async fn checks_that_are_tried_have_their_room_and_end_with_their_edge() {
    let mut mesh = TestMesh::start_with(2, &[("SKEIN_FETCH_ALLOW", "127.0.0.0/8")]).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    // It takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let test = |n: usize| json!({"type": "watch_test", "url": url, "_reqId": n.to_string()});
    let max = limit::WATCH_TESTS_AT_ONCE_PER_MEMBER_MAX;

    for n in 0..=max {
        ann.send(&test(n)).await;
    }
    let refused = ann.find(|f| f["type"] == "error").await;
    assert_eq!(
        (&refused["code"], &refused["_reqId"]),
        (&json!("too_many_calls"), &json!(max.to_string()))
    );
    // Another edge has room of its own.
    bob.send(&test(0)).await;
    bob.peers().await;
    mesh.edges[0].stop().await;

    for _ in 0..max {
        assert_eq!(ann.find(|f| f["type"] == "error").await["code"], "unavailable");
    }
    let of_bob = bob.find(|f| f["_reqId"] == "0").await;
    assert_eq!(of_bob["type"], "watch_test_result", "{of_bob}");
}
