//! Peer files: four frames there and back, across edges, for old clients and ours.

use serde_json::{Value, json};

use crate::harness::{OLD, OURS, Peer, TestMesh};

/// Asks a peer for a file and does not wait.
async fn ask(peer: &mut Peer, target: &str, path: &str, req_id: &str) {
    let frame = json!({"type": "peer_file_request", "targetPubkey": target, "filePath": path,
                       "_reqId": req_id});
    peer.send(&frame).await;
}

/// The next question for a file.
async fn asked(peer: &mut Peer) -> Value {
    peer.find(|f| f["type"] == "peer_file_request_forward").await
}

/// What answers this question, with this content.
fn response(asked: &Value, content: &str) -> Value {
    let mut frame = json!({"type": "peer_file_response", "content": content,
                           "requesterPubkey": asked["requesterPubkey"],
                           "filePath": asked["filePath"]});
    if asked.get("_reqId").is_some() {
        frame["_reqId"] = asked["_reqId"].clone();
    }
    frame
}

async fn answered(peer: &mut Peer, req_id: &str) -> Value {
    let req_id = json!(req_id);
    peer.find(|f| f["_reqId"] == req_id).await
}

#[tokio::test]
async fn a_file_comes_back_by_four_frames_on_one_edge_and_across_two() {
    for there in [0, 1] {
        for (asker, target) in [(OLD, OLD), (OLD, OURS), (OURS, OLD), (OURS, OURS)] {
            let mesh = TestMesh::start(2).await;
            let (ann, bob) = (mesh.member("ann").await, mesh.member("bob").await);
            let mut ann =
                Peer::connect(&mesh.edges[0], &ann, skein_crypto::Keypair::generate(), asker).await;
            let mut bob =
                Peer::connect(&mesh.edges[there], &bob, skein_crypto::Keypair::generate(), target)
                    .await;

            ask(&mut ann, &bob.key(), "src/main.rs", "pf_1").await;
            let question = asked(&mut bob).await;
            bob.send(&response(&question, "Zm4=")).await;
            let answer = answered(&mut ann, "pf_1").await;

            assert_eq!(
                question,
                json!({"type": "peer_file_request_forward", "requesterPubkey": ann.key(),
                       "filePath": "src/main.rs", "_reqId": "pf_1"})
            );
            assert_eq!(
                answer,
                json!({"type": "peer_file_response_forward", "filePath": "src/main.rs",
                       "content": "Zm4=", "_reqId": "pf_1"})
            );
            // Neither is told anything else: the answer's `_reqId` is not the answerer's.
            assert_eq!((ann.rest().await, bob.rest().await), (vec![], vec![]));
        }
    }
}

#[tokio::test]
async fn a_folder_is_listed_and_an_error_of_the_target_is_passed_on_as_it_is() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.peer("bob", 1).await);

    ann.send(&json!({"type": "peer_dir_request", "targetPubkey": bob.key(), "dirPath": "src",
                     "pattern": "*.rs", "_reqId": "pd_1"}))
        .await;
    let question = bob.find(|f| f["type"] == "peer_dir_request_forward").await;
    bob.send(&json!({"type": "peer_dir_response", "requesterPubkey": ann.key(), "dirPath": "src",
                     "entries": ["a/", "a/b.rs"], "_reqId": "pd_1"}))
        .await;
    let answer = answered(&mut ann, "pd_1").await;
    ask(&mut ann, &bob.key(), "../x", "pf_1").await;
    asked(&mut bob).await;
    bob.send(&json!({"type": "peer_file_response", "requesterPubkey": ann.key(),
                     "filePath": "../x", "error": "path traversal not allowed",
                     "_reqId": "pf_1"}))
        .await;
    let refused = answered(&mut ann, "pf_1").await;

    assert_eq!(
        question,
        json!({"type": "peer_dir_request_forward", "requesterPubkey": ann.key(), "dirPath": "src",
               "pattern": "*.rs", "_reqId": "pd_1"})
    );
    assert_eq!(
        answer,
        json!({"type": "peer_dir_response_forward", "dirPath": "src",
               "entries": ["a/", "a/b.rs"], "_reqId": "pd_1"})
    );
    assert_eq!(
        refused,
        json!({"type": "peer_file_response_forward", "filePath": "../x",
               "error": "path traversal not allowed", "_reqId": "pf_1"})
    );
}

#[tokio::test]
async fn a_member_key_asks_the_member_s_first_socket_and_an_unknown_key_nobody() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.peer("ann", 0).await;
    let bob = mesh.member("bob").await;
    let key = bob.keys.public.hex();
    let first = skein_crypto::Keypair::generate();
    let mut first = Peer::connect(&mesh.edges[1], &bob, first, OLD).await;
    let second = skein_crypto::Keypair::generate();
    let mut second = Peer::connect(&mesh.edges[0], &bob, second, OLD).await;

    ask(&mut ann, &key, "a", "1").await;
    let question = asked(&mut first).await;
    ask(&mut ann, &"0".repeat(64), "a", "2").await;
    let unknown = answered(&mut ann, "2").await;

    assert_eq!(question["_reqId"], "1");
    assert_eq!(second.rest().await, Vec::<Value>::new());
    assert_eq!(
        unknown,
        json!({"type": "error", "code": "peer_not_found", "message": "target peer not connected",
               "_reqId": "2"})
    );
}

#[tokio::test]
async fn a_peer_that_has_left_or_is_of_another_mesh_is_not_found() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    let bob = mesh.old_peer("bob", 1).await;
    let (other, no) = mesh.other_mesh().await;
    let eve = mesh.member_of(&other, no, "eve").await;
    let mut eve =
        Peer::connect(&mesh.edges[1], &eve, skein_crypto::Keypair::generate(), OURS).await;
    let gone = bob.key();
    bob.close().await;
    ann.event("peer_left").await;

    for (n, key) in [(1, gone), (2, eve.key()), (3, eve.member.keys.public.hex())] {
        let req_id = n.to_string();
        ask(&mut ann, &key, "a", &req_id).await;
        assert_eq!(answered(&mut ann, &req_id).await["code"], "peer_not_found", "{n}");
    }

    assert_eq!(eve.rest().await, Vec::<Value>::new());
}

#[tokio::test]
async fn equal_req_ids_of_two_askers_do_not_meet() {
    let mesh = TestMesh::start(3).await;
    let (mut ann, mut eve) = (mesh.old_peer("ann", 0).await, mesh.old_peer("eve", 1).await);
    let mut bob = mesh.old_peer("bob", 2).await;

    ask(&mut ann, &bob.key(), "for-ann", "same").await;
    let of_ann = asked(&mut bob).await;
    ask(&mut eve, &bob.key(), "for-eve", "same").await;
    let of_eve = asked(&mut bob).await;
    // In the other order, and each twice: the second answer answers nothing.
    for _ in 0..2 {
        bob.send(&response(&of_eve, "ZQ==")).await;
        bob.send(&response(&of_ann, "YQ==")).await;
    }

    assert_eq!(answered(&mut eve, "same").await["content"], "ZQ==");
    assert_eq!(answered(&mut ann, "same").await["content"], "YQ==");
    assert_eq!(ann.quiet(|f| f["_reqId"] == "same").await, Vec::<Value>::new());
    assert_eq!(eve.quiet(|f| f["_reqId"] == "same").await, Vec::<Value>::new());
}

#[tokio::test]
async fn q01_a_file_of_a_mebibyte_comes_back() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let content = "QUFB".repeat(1_048_576 / 3);

    ask(&mut ann, &bob.key(), "a", "1").await;
    let question = asked(&mut bob).await;
    bob.send(&response(&question, &content)).await;

    assert_eq!(answered(&mut ann, "1").await["content"], content);
}

#[tokio::test]
async fn an_answer_is_taken_from_nobody_but_the_peer_that_was_asked() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let (mut near, mut far) = (mesh.peer("near", 0).await, mesh.peer("far", 1).await);
    // Of another mesh, with the very key of the session that is asked.
    let (other, no) = mesh.other_mesh().await;
    let eve = mesh.member_of(&other, no, "eve").await;
    let mut eve = Peer::connect(&mesh.edges[1], &eve, bob.session.clone(), OURS).await;

    ask(&mut ann, &bob.key(), "a", "1").await;
    let question = asked(&mut bob).await;
    for liar in [&mut near, &mut far, &mut eve] {
        liar.send(&response(&question, "bGll")).await;
        assert_eq!(liar.rest().await, Vec::<Value>::new());
    }
    bob.send(&response(&question, "dHJ1ZQ==")).await;

    assert_eq!(answered(&mut ann, "1").await["content"], "dHJ1ZQ==");
}

#[tokio::test]
async fn without_a_req_id_each_question_has_its_answer() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);

    for path in ["a", "b"] {
        ann.send(&json!({"type": "peer_file_request", "targetPubkey": bob.key(),
                         "filePath": path}))
            .await;
    }
    for path in ["a", "b"] {
        let question = asked(&mut bob).await;
        assert_eq!(question["filePath"], path, "in their order");
        assert_eq!(question.get("_reqId"), None);
        bob.send(&response(&question, "eA==")).await;
    }

    for path in ["a", "b"] {
        let answer = ann.find(|f| f["type"] == "peer_file_response_forward").await;
        assert_eq!((&answer["filePath"], answer.get("_reqId")), (&json!(path), None));
    }
}

#[tokio::test]
async fn a_peer_that_goes_away_fails_what_it_was_asked_by_name() {
    for there in [0, 1] {
        let mesh = TestMesh::start(2).await;
        let (mut old, mut ours) = (mesh.old_peer("old", 0).await, mesh.peer("ours", 0).await);
        let mut bob = mesh.peer("bob", there).await;
        for asker in [&mut old, &mut ours] {
            ask(asker, &bob.key(), "a", "1").await;
            asked(&mut bob).await;
        }

        bob.vanish();

        let (of_old, of_ours) = (answered(&mut old, "1").await, answered(&mut ours, "1").await);
        assert_eq!((&of_ours["type"], &of_ours["code"]), (&json!("error"), &json!("peer_gone")));
        // An old client would take a stray `error` for another's: the answer itself says why.
        assert_eq!(of_old["type"], "peer_file_response_forward");
        assert!(of_old["error"].as_str().unwrap().starts_with("peer_gone: "), "{of_old}");
    }
}

#[tokio::test]
async fn a_newer_socket_of_the_peer_is_not_asked_what_the_older_was() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    ask(&mut ann, &bob.key(), "a", "1").await;
    asked(&mut bob).await;

    let mut again = Peer::connect(&mesh.edges[1], &bob.member, bob.session.clone(), OURS).await;

    assert_eq!(answered(&mut ann, "1").await["code"], "peer_gone");
    ask(&mut ann, &again.key(), "b", "2").await;
    let question = asked(&mut again).await;
    again.send(&response(&question, "Yg==")).await;
    assert_eq!(answered(&mut ann, "2").await["content"], "Yg==");
}

#[tokio::test]
async fn questions_that_nobody_answers_end_at_their_deadline_and_are_forgotten() {
    let mesh = TestMesh::start(2).await;
    let (mut near, mut far) = (mesh.peer("near", 1).await, mesh.old_peer("far", 0).await);
    let mut bob = mesh.old_peer("bob", 1).await;
    ask(&mut near, &bob.key(), "a", "1").await;
    ask(&mut far, &bob.key(), "a", "1").await;
    let questions = [asked(&mut bob).await, asked(&mut bob).await];

    crate::harness::pass(skein_wire::limit::PEER_FILE_PATIENCE).await;

    assert_eq!(answered(&mut near, "1").await["code"], "timeout");
    let late = answered(&mut far, "1").await;
    assert!(late["error"].as_str().unwrap().starts_with("timeout: "), "{late}");
    for question in &questions {
        bob.send(&response(question, "eA==")).await;
    }
    assert_eq!(near.quiet(|f| f["_reqId"] == "1").await, Vec::<Value>::new());
    assert_eq!(far.quiet(|f| f["_reqId"] == "1").await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_session_has_so_many_open_questions_and_no_more() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let max = skein_wire::limit::RELAY_CALLS_PER_SESSION_MAX;

    for n in 0..=max {
        ask(&mut ann, &bob.key(), "a", &n.to_string()).await;
    }

    assert_eq!(answered(&mut ann, &max.to_string()).await["code"], "too_many_calls");
    for _ in 0..max {
        let question = asked(&mut bob).await;
        bob.send(&response(&question, "eA==")).await;
    }
    for n in 0..max {
        assert_eq!(answered(&mut ann, &n.to_string()).await["content"], "eA==");
    }
    ask(&mut ann, &bob.key(), "a", "again").await;
    let question = asked(&mut bob).await;
    bob.send(&response(&question, "eA==")).await;
    assert_eq!(answered(&mut ann, "again").await["content"], "eA==");
}

#[tokio::test]
async fn a_peer_is_asked_so_much_at_once_and_no_more() {
    let mesh = TestMesh::start(2).await;
    let mut bob = mesh.peer("bob", 1).await;
    let (of_peer, of_session) = (
        skein_wire::limit::RELAY_ASKED_PER_SESSION_MAX,
        skein_wire::limit::RELAY_CALLS_PER_SESSION_MAX,
    );
    for n in 0..of_peer / of_session {
        let mut ann = mesh.peer(&format!("ann{n}"), n % 2).await;
        for n in 0..of_session {
            ask(&mut ann, &bob.key(), "a", &n.to_string()).await;
        }
        for _ in 0..of_session {
            asked(&mut bob).await;
        }
        // Its socket stays open until the end of the test.
        std::mem::forget(ann);
    }

    for edge in [0, 1] {
        let mut late = mesh.peer("late", edge).await;
        ask(&mut late, &bob.key(), "a", "1").await;
        assert_eq!(answered(&mut late, "1").await["code"], "too_many_calls");
    }
}

#[tokio::test]
async fn a_path_has_its_limit() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let max = skein_wire::limit::PATH_BYTES_MAX;

    ask(&mut ann, &bob.key(), &"p".repeat(max), "1").await;
    assert_eq!(asked(&mut bob).await["filePath"], "p".repeat(max));
    ask(&mut ann, &bob.key(), &"p".repeat(max + 1), "2").await;
    assert_eq!(answered(&mut ann, "2").await["code"], "too_large");
    let pattern = skein_wire::limit::PEER_PATTERN_BYTES_MAX;
    for (field, max, n) in [("dirPath", max, "3"), ("pattern", pattern, "4")] {
        let mut frame = json!({"type": "peer_dir_request", "targetPubkey": bob.key(),
                               "dirPath": "", "_reqId": n});
        frame[field] = json!("p".repeat(max + 1));
        ann.send(&frame).await;
        assert_eq!(answered(&mut ann, n).await["code"], "too_large");
    }
}

#[tokio::test]
async fn answers_up_to_the_frame_limit_cross_edges_and_leave_no_row() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let whole = skein_wire::limit::FRAME_BYTES_MAX;

    for (n, n_bytes) in [1, 5000, 7700, 8000, 100_000, 1_400_000, whole - 512].iter().enumerate() {
        let req_id = n.to_string();
        ask(&mut ann, &bob.key(), "a", &req_id).await;
        let question = asked(&mut bob).await;
        // Quotes are twice as long inside a notification.
        let content = "\"x".repeat(n_bytes / 3);
        bob.send(&response(&question, &content)).await;
        assert_eq!(answered(&mut ann, &req_id).await["content"], content);
    }

    mesh.until("select count(*) from relay_frame", "0").await;
}

#[tokio::test]
async fn answers_keep_their_order_where_small_and_large_ones_mix() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let n_questions = 40;

    for n in 0..n_questions {
        let path = if n % 3 == 0 { "p".repeat(4000) } else { n.to_string() };
        ask(&mut ann, &bob.key(), &path, &n.to_string()).await;
    }
    for n in 0..n_questions {
        let question = asked(&mut bob).await;
        assert_eq!(question["_reqId"], n.to_string(), "questions come in their order");
        let n_bytes = if n % 2 == 0 { 200_000 } else { 10 };
        bob.send(&response(&question, &"x".repeat(n_bytes))).await;
    }

    for n in 0..n_questions {
        let answer = ann.find(|f| f["type"] == "peer_file_response_forward").await;
        assert_eq!(answer["_reqId"], n.to_string());
    }
}

#[tokio::test]
async fn an_asker_that_reads_slowly_is_given_everything_and_is_not_closed() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    // Together more than a socket may leave unread before it is closed.
    let n_questions = 20;
    let content = "x".repeat(1_400_000);

    for n in 0..n_questions {
        ask(&mut ann, &bob.key(), "a", &n.to_string()).await;
    }
    for _ in 0..n_questions {
        let question = asked(&mut bob).await;
        bob.send(&response(&question, &content)).await;
    }
    // All of it has crossed before the first is read.
    bob.rest().await;
    mesh.until("select count(*) from relay_frame", "0").await;

    for n in 0..n_questions {
        let answer = answered(&mut ann, &n.to_string()).await;
        assert_eq!(answer["content"].as_str().unwrap().len(), content.len());
    }
}
