//! What 0.8.9 is answered: to each message of the contract the one frame that it names, with the
//! `_reqId` that came, or nothing (wire-protocol 12.1, lines 3 and 7).

use serde_json::{Value, json};

use crate::{
    conformance::good_and_bad,
    harness::{Peer, TestMesh},
};

/// Every message of the contract that there is so far, and the type of its answer; empty: none. What
/// is asked about here is not there, where that matters.
const ANSWERS: &[(&str, &str)] = &[
    ("send", "ack"),
    ("message_status", "error"),
    ("set_status", ""),
    ("list_peers", "peers_list"),
    ("set_summary", ""),
    ("set_visible", "ack"),
    ("set_profile", "ack"),
    ("set_stats", ""),
    ("join_group", ""),
    ("leave_group", ""),
    ("set_state", ""),
    ("get_state", "state_result"),
    ("list_state", "state_list"),
    ("remember", "memory_stored"),
    ("recall", "memory_results"),
    ("forget", "ack"),
    ("peer_file_request", "error"),
    ("peer_file_response", ""),
    ("peer_dir_request", "error"),
    ("peer_dir_response", ""),
    ("share_context", "context_shared"),
    ("get_context", "context_results"),
    ("list_contexts", "context_list"),
    ("create_task", "task_created"),
    ("claim_task", "error"),
    ("complete_task", "error"),
    ("list_tasks", "task_list"),
    ("create_stream", "stream_created"),
    ("publish", ""),
    ("subscribe", "subscribed"),
    ("unsubscribe", ""),
    ("list_streams", "stream_list"),
    ("share_skill", "skill_ack"),
    ("get_skill", "skill_data"),
    ("list_skills", "skill_list"),
    ("remove_skill", "skill_ack"),
    ("create_webhook", "webhook_ack"),
    ("list_webhooks", "webhook_list"),
    ("delete_webhook", "webhook_ack"),
    ("mesh_info", "mesh_info_result"),
    ("audit_query", "audit_result"),
    ("audit_verify", "audit_verify_result"),
    ("schedule", "scheduled_ack"),
    ("list_scheduled", "scheduled_list"),
    ("cancel_scheduled", "cancel_scheduled_ack"),
    ("set_clock", "clock_status"),
    ("pause_clock", "clock_status"),
    ("resume_clock", "clock_status"),
    ("get_clock", "clock_status"),
    ("watch", "watch_ack"),
    ("unwatch", "watch_ack"),
    ("watch_list", "watch_list_result"),
];

/// Answers that never have the `_reqId`.
const WITHOUT_ID: [&str; 2] = ["send", "share_context"];
/// Messages that 0.8.9 says without `_reqId`, and then waits for nothing.
const UNASKED: [&str; 3] = ["claim_task", "complete_task", "forget"];

/// A message of this type that is read, and one that is not; `n` where no two may be alike.
fn frames(kind: &str, of: &Peer, n: usize) -> (Value, Value) {
    let (path, key) = if kind.contains("_dir_") { ("dirPath", "k") } else { ("filePath", "k") };
    let (mut good, bad) = match kind {
        "peer_file_request" | "peer_dir_request" => {
            (json!({"type": kind, "targetPubkey": key}), json!({"type": kind}))
        }
        "peer_file_response" | "peer_dir_response" => {
            (json!({"type": kind, "requesterPubkey": key}), json!({"type": kind}))
        }
        _ => good_and_bad(kind, of),
    };
    if kind.starts_with("peer_") {
        good[path] = json!("a");
    }
    if kind == "create_webhook" {
        good["name"] = json!(format!("w{n}"));
    }
    (good, bad)
}

#[tokio::test]
async fn line_3_and_7_each_message_has_its_one_answer_with_its_id_or_none() {
    let mesh = TestMesh::start(1).await;
    let (mut old, bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    old.event("peer_joined").await;
    let ids = ["r1", "vlist_1775640600000", "", "ä \"quoted\" \\ \u{1f600}", &"x".repeat(256)];

    for (kind, answer) in ANSWERS {
        for (n, id) in ids.iter().enumerate() {
            let (mut good, _) = frames(kind, &bob, n);
            good["_reqId"] = json!(id);
            old.send(&good).await;

            let told = old.rest().await;

            let types: Vec<&Value> = told.iter().map(|frame| &frame["type"]).collect();
            let expected: Vec<&str> = [*answer].into_iter().filter(|it| !it.is_empty()).collect();
            assert_eq!(types, expected, "{good}");
            let echoed = (!WITHOUT_ID.contains(kind)).then(|| json!(id));
            assert!(told.iter().all(|frame| frame.get("_reqId") == echoed.as_ref()), "{told:?}");
        }
    }
}

#[tokio::test]
async fn line_7_without_an_id_the_answers_are_the_same_but_for_what_nobody_waits_for() {
    let mesh = TestMesh::start(1).await;
    let (mut old, bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    old.event("peer_joined").await;

    for (kind, answer) in ANSWERS {
        let (good, _) = frames(kind, &bob, 0);
        old.send(&good).await;

        let told = old.rest().await;

        let is_silent = answer.is_empty() || UNASKED.contains(kind);
        let expected = if is_silent { vec![] } else { vec![*answer] };
        let types: Vec<&Value> = told.iter().map(|frame| &frame["type"]).collect();
        assert_eq!(types, expected, "{good}");
        assert!(told.iter().all(|frame| frame.get("_reqId").is_none()), "{told:?}");
    }
}

#[tokio::test]
async fn line_7_what_cannot_be_served_is_answered_by_its_own_error_or_by_nothing() {
    let mesh = TestMesh::start(1).await;
    let (mut old, bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    old.event("peer_joined").await;

    for (kind, answer) in ANSWERS {
        for id in [Some("r"), None] {
            let (_, mut bad) = frames(kind, &bob, 0);
            bad.as_object_mut().unwrap().remove("_reqId");
            if let Some(id) = id {
                bad["_reqId"] = json!(id);
            }
            old.send(&bad).await;

            let told = old.rest().await;

            let is_silent = answer.is_empty() || (id.is_none() && UNASKED.contains(kind));
            assert!(!is_silent || told.is_empty(), "{bad} got {told:?}");
            let is_its_own = |frame: &Value| {
                frame["type"] == "error" && frame.get("_reqId").and_then(Value::as_str) == id
            };
            assert!(told.len() < 2 && told.iter().all(is_its_own), "{bad} got {told:?}");
        }
    }
}
