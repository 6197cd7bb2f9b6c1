//! Every recorded frame is read and written back as it was.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use skein_wire::{Message, encode, hello, messaging, presence, push};

use crate::golden::{self, Sender, rewrite};

/// The fields without which a frame is none; a `type` is always one.
///
/// Some more may be absent, and are then written as something: see [`filled_in`].
const REQUIRED: &[(&str, &[&str])] = &[
    ("ack", &["id", "messageId", "queued"]),
    ("audit_query", &[]),
    ("audit_result", &["entries", "total"]),
    ("audit_verify", &[]),
    ("audit_verify_result", &["valid", "entries"]),
    ("create_webhook", &[]),
    ("delete_webhook", &[]),
    ("error", &["code", "message"]),
    (
        "hello",
        &["meshId", "memberId", "pubkey", "sessionId", "pid", "cwd", "timestamp", "signature"],
    ),
    ("hello_ack", &["presenceId", "memberDisplayName"]),
    ("join_group", &["name"]),
    ("leave_group", &["name"]),
    ("list_peers", &[]),
    ("list_webhooks", &[]),
    ("message_status", &["messageId"]),
    ("message_status_result", &["messageId", "targetSpec", "delivered", "recipients"]),
    ("peers_list", &["peers"]),
    (
        "push",
        &["messageId", "meshId", "senderPubkey", "priority", "nonce", "ciphertext", "createdAt"],
    ),
    ("received", &["messageIds"]),
    ("send", &["targetSpec", "priority", "nonce", "ciphertext"]),
    ("set_profile", &[]),
    ("set_stats", &["stats"]),
    ("set_status", &["status"]),
    ("set_summary", &[]),
    ("set_visible", &["visible"]),
    ("context_list", &["contexts"]),
    ("context_results", &["contexts"]),
    ("context_shared", &["id"]),
    ("delete_state", &["key"]),
    ("get_context", &["query"]),
    ("get_skill", &["name"]),
    ("get_state", &["key"]),
    ("list_contexts", &[]),
    ("list_skills", &[]),
    ("list_state", &[]),
    ("remove_skill", &["name"]),
    ("set_state", &["key", "value"]),
    ("share_context", &["summary"]),
    ("share_skill", &["name", "description", "instructions"]),
    ("skill_ack", &["name", "action"]),
    ("skill_data", &[]),
    ("skill_list", &["skills"]),
    ("state_change", &["key", "value", "updatedBy"]),
    ("state_list", &["entries"]),
    ("state_result", &["key", "value", "updatedBy", "updatedAt"]),
    ("mesh_info", &[]),
    (
        "mesh_info_result",
        &[
            "mesh",
            "peers",
            "groups",
            "stateKeys",
            "memoryCount",
            "fileCount",
            "tasks",
            "streams",
            "tables",
            "collections",
            "yourName",
            "yourGroups",
        ],
    ),
    ("set_clock", &[]),
    ("pause_clock", &[]),
    ("resume_clock", &[]),
    ("get_clock", &[]),
    ("clock_status", &["speed", "paused", "tick", "simTime", "startedAt"]),
    ("remember", &["content"]),
    ("memory_stored", &["id"]),
    ("recall", &["query"]),
    ("memory_results", &["memories"]),
    ("forget", &["memoryId"]),
    ("create_task", &["title"]),
    ("task_created", &["id"]),
    ("claim_task", &["taskId"]),
    ("complete_task", &["taskId"]),
    ("list_tasks", &[]),
    ("task_list", &["tasks"]),
    ("claim_next", &[]),
    ("renew_task", &["taskId", "leaseSeconds"]),
    ("get_task", &["taskId"]),
    ("task_result", &[]),
    ("watch_tasks", &["watch"]),
    ("task_change", &["change", "task"]),
    ("watch", &["url"]),
    ("unwatch", &["watchId"]),
    ("watch_list", &[]),
    ("watch_test", &["url"]),
    ("watch_ack", &["watchId", "url", "mode", "interval"]),
    ("watch_list_result", &["watches"]),
    ("watch_test_result", &["url", "finalUrl", "status", "value", "hash", "bytes", "ms"]),
    ("schedule", &["to"]),
    ("scheduled_ack", &["scheduledId", "deliverAt"]),
    ("list_scheduled", &[]),
    ("scheduled_list", &["messages"]),
    ("cancel_scheduled", &["scheduledId"]),
    ("cancel_scheduled_ack", &["scheduledId", "ok"]),
    ("get_scheduled", &["scheduledId"]),
    ("pause_scheduled", &["scheduledId"]),
    ("resume_scheduled", &["scheduledId"]),
    ("run_scheduled", &["scheduledId"]),
    ("scheduled_detail", &["schedule", "fires"]),
    ("webhook_ack", &["name", "url", "secret"]),
    ("webhook_list", &["webhooks"]),
    ("create_stream", &["name"]),
    ("list_streams", &[]),
    ("peer_dir_request", &["targetPubkey", "dirPath"]),
    ("peer_dir_request_forward", &["requesterPubkey", "dirPath"]),
    ("peer_dir_response", &["requesterPubkey", "dirPath"]),
    ("peer_dir_response_forward", &["dirPath"]),
    ("peer_file_request", &["targetPubkey", "filePath"]),
    ("peer_file_request_forward", &["requesterPubkey", "filePath"]),
    ("peer_file_response", &["requesterPubkey", "filePath"]),
    ("peer_file_response_forward", &["filePath"]),
    ("publish", &["stream", "data"]),
    ("stream_created", &["id", "name"]),
    ("stream_data", &["stream", "data", "publishedBy"]),
    ("stream_list", &["streams"]),
    ("subscribe", &["stream"]),
    ("subscribed", &["stream"]),
    ("unsubscribe", &["stream"]),
];

/// Fields that may be absent when read and are always there when written, and as what.
fn filled_in() -> [(&'static str, &'static str, Value); 8] {
    [
        ("set_clock", "speed", json!(1)),
        ("task_result", "task", Value::Null),
        ("create_webhook", "name", json!("")),
        ("delete_webhook", "name", json!("")),
        ("hello_ack", "services", json!([])),
        ("message_status_result", "deliveredAt", Value::Null),
        ("set_summary", "summary", json!("")),
        ("skill_data", "skill", Value::Null),
    ]
}

/// What is sent as `push` without being asked by a peer's message, by the reference or by us.
const EVENTS: &[&str] = &[
    "peer_joined",
    "peer_returned",
    "peer_left",
    "peer_visible",
    "peer_hidden",
    "tick",
    "watch_triggered",
    // Ours.
    "watch_failing",
    "watch_recovered",
    "mcp_registered",
    "mcp_unregistered",
    "mcp_restored",
    "mcp_deployed",
    "mcp_undeployed",
    "mcp_scope_changed",
];

fn value(frame: &str) -> Value {
    serde_json::from_str(frame).unwrap()
}

#[test]
fn every_frame_is_written_back_as_it_was() {
    for (_, from, label, frame) in golden::frames() {
        let written = rewrite(from, &frame.to_string()).unwrap_or_else(|e| panic!("{label}: {e}"));

        assert_eq!(value(&written), frame, "{label}");
    }
}

#[test]
fn every_type_has_a_minimal_and_a_full_frame_of_its_own_type() {
    let ours: BTreeSet<&str> = Message::types().chain([hello::TYPE]).collect();
    let all = golden::all();

    for golden in &all {
        for name in ["minimal", "full"] {
            assert!(golden.frames.contains_key(name), "{}.json has no `{name}`", golden.kind);
        }
        for (name, frame) in &golden.frames {
            assert_eq!(frame["type"], *golden.kind, "{}.json, `{name}`", golden.kind);
        }
        let from = if ours.contains(&*golden.kind) { Sender::Peer } else { Sender::Edge };
        assert_eq!(golden.from, from, "{}.json", golden.kind);
    }
    let recorded: BTreeSet<&str> = all.iter().map(|golden| &*golden.kind).collect();
    let missing: Vec<_> = ours.difference(&recorded).collect();
    assert!(missing.is_empty(), "no golden frames of {missing:?}");
    let listed: BTreeSet<&str> = REQUIRED.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(recorded, listed, "the files and the table of required fields name the same types");
}

#[test]
fn every_system_event_has_a_frame() {
    let push = golden::all().into_iter().find(|golden| golden.kind == "push").unwrap();
    let mut unseen: BTreeSet<&str> = EVENTS.iter().copied().collect();

    for (name, frame) in &push.frames {
        if frame["subtype"] != push::SYSTEM {
            continue;
        }
        let event = frame["event"].as_str().unwrap();
        unseen.remove(event);
        assert!(EVENTS.contains(&event), "{name}: the contract has no event `{event}`");
        assert_eq!(frame["senderPubkey"], push::SYSTEM, "{name}");
        assert_eq!((&frame["nonce"], &frame["ciphertext"]), (&json!(""), &json!("")), "{name}");
        assert!(frame["eventData"].is_object(), "{name}");
        if event.starts_with("peer_") {
            assert!(frame["eventData"]["name"].is_string(), "{name}: clients read `name`");
        }
    }

    assert!(unseen.is_empty(), "no frames of {unseen:?}");
}

#[test]
fn exactly_the_required_fields_are_required_and_absent_ones_stay_absent() {
    for golden in golden::all() {
        let (_, required) = REQUIRED.iter().find(|(kind, _)| *kind == golden.kind).unwrap();
        for (name, frame) in &golden.frames {
            for field in frame.as_object().unwrap().keys().filter(|field| *field != "type") {
                let label = format!("{}/{name} without {field}", golden.kind);
                let mut without = frame.clone();
                without.as_object_mut().unwrap().remove(field);

                let written = rewrite(golden.from, &without.to_string());

                if required.contains(&&**field) {
                    let error = written.expect_err(&label);
                    assert!(
                        error.contains(&format!("missing field `{field}`")),
                        "{label}: {error}"
                    );
                    continue;
                }
                let written = value(&written.unwrap_or_else(|e| panic!("{label}: {e}")));
                for (kind, field, filled) in filled_in() {
                    if kind == golden.kind && without.get(field).is_none() {
                        without[field] = filled;
                    }
                }
                assert_eq!(written, without, "{label}");
            }
        }
    }
}

#[test]
fn null_is_written_only_where_the_contract_says_null() {
    fn nulls(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Null => drop(found.insert(path.to_owned())),
            Value::Array(items) => items.iter().for_each(|item| nulls(item, path, found)),
            Value::Object(fields) => {
                fields.iter().for_each(|(key, item)| nulls(item, &format!("{path}.{key}"), found))
            }
            _ => (),
        }
    }
    // What a peer or a hook posted is passed on as it came.
    let verbatim = [".value", ".stats.", ".eventData.", ".data"];
    let mut found = BTreeSet::new();

    for (kind, from, _, frame) in golden::frames() {
        nulls(&value(&rewrite(from, &frame.to_string()).unwrap()), &kind, &mut found);
    }

    found.retain(|path| verbatim.iter().all(|part| !path.contains(part)));
    let expected =
        ["message_status_result.deliveredAt", "peers_list.peers.summary", "skill_data.skill"];
    let tasks = ["task_list.tasks", "task_list.task", "task_result.task", "task_change.task"];
    let is_of_task = |path: &String| tasks.iter().any(|task| path.starts_with(task));
    let (of_tasks, found): (BTreeSet<_>, BTreeSet<_>) = found.into_iter().partition(is_of_task);
    assert!(of_tasks.iter().all(|path| {
        let field = path.rsplit('.').next().unwrap();
        ["task", "assignee", "claimedBy", "createdBy"].contains(&field)
    }));
    assert_eq!(found, expected.map(String::from).into());
}

#[test]
fn unknown_fields_are_ignored() {
    let extra = json!({
        "aFieldOfTomorrow": {"nested": [1, null, {"deep": true}]}, "seq": 7, "x-y": null, "": "",
    });
    for (_, from, label, frame) in golden::frames() {
        let mut more = frame.clone();
        more.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());

        let written = rewrite(from, &more.to_string()).unwrap_or_else(|e| panic!("{label}: {e}"));

        assert_eq!(value(&written), frame, "{label}");
    }
}

#[test]
fn the_order_of_fields_is_irrelevant() {
    for (_, from, label, frame) in golden::frames() {
        let fields = frame.as_object().unwrap();
        let mut parts: Vec<String> =
            fields.iter().map(|(key, value)| format!("{}:{value}", json!(key))).collect();
        for _ in 0..parts.len() {
            parts.rotate_left(1);
            let mut reversed = parts.clone();
            reversed.reverse();
            for shuffled in [&parts, &reversed] {
                let shuffled = format!("{{ {} }}", shuffled.join(" ,\n"));

                let written = rewrite(from, &shuffled).unwrap_or_else(|e| panic!("{label}: {e}"));

                assert_eq!(value(&written), frame, "{label}: {shuffled}");
            }
        }
    }
}

#[test]
fn extensions_are_absent_unless_given() {
    let ack = messaging::Ack::of_request(None);
    let nobody = presence::PeersList { peers: Vec::new() };

    let (ack, nobody) = (encode(&ack, None), encode(&nobody, Some("r1")));

    let expected = json!({"type": "ack", "id": "", "messageId": "", "queued": false});
    assert_eq!(value(&ack), expected);
    assert_eq!(value(&nobody), json!({"type": "peers_list", "peers": [], "_reqId": "r1"}));
}

#[test]
fn whole_counters_are_written_without_a_fraction() {
    let ack = r#"{"type":"hello_ack","presenceId":"P","memberDisplayName":"Ann","services":[],
        "restoredStats":{"messagesIn":1.0,"messagesOut":2.5,"toolCalls":1e3,"errors":-0.0}}"#;

    let written = rewrite(Sender::Edge, ack).unwrap();

    let counters = r#"{"messagesIn":1,"messagesOut":2.5,"toolCalls":1000,"errors":0}"#;
    assert!(written.contains(counters), "{written}");
}

#[test]
fn the_head_of_a_hello_is_read_whatever_the_rest_is() {
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    for (frame, mesh, timestamp) in [
        (r#"{"type":"hello"}"#, None, None),
        (r#"{"meshId":"M","timestamp":1.5e3,"pid":"x"}"#, Some("M"), Some(1500.0)),
        (r#"{"meshId":7,"timestamp":"1700000000000"}"#, None, None),
        (r#"{"meshId":null,"timestamp":null}"#, None, None),
        (r#"{"meshId":"M","timestamp":1e400}"#, Some("M"), None),
        (r#"{"meshId":"M","timestamp":-7,"cwd":1e400}"#, Some("M"), Some(-7.0)),
        (&format!(r#"{{"meshId":{deep},"timestamp":{deep}}}"#), None, None),
        (r#"{"meshId":{"a":[]},"timestamp":[1]}"#, None, None),
    ] {
        let head: hello::Head = serde_json::from_str(frame).unwrap();

        assert_eq!((head.mesh_id.as_deref(), head.timestamp), (mesh, timestamp), "{frame}");
    }
}
