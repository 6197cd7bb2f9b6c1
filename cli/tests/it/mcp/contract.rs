//! The tools of the reference (wire-protocol 8.2): whoever knows them finds ours under the same
//! names with the same parameters. What is ours beyond them is optional.

use serde_json::Value;
use skein::mcp::tools::{self, Offer};

/// Each tool with its parameters: `*` is required; `s` text, `S` texts, `t` text or texts, `w` one
/// of some words, `W` several of them, `b` yes or no, `n` number, `o` object, `O` objects, `a`
/// anything.
const TOOLS: &[(&str, &str)] = &[
    ("send_message", "to*:t message*:s priority:w"),
    ("list_peers", "mesh_slug:s"),
    ("message_status", "id*:s"),
    ("check_messages", ""),
    ("set_summary", "summary*:s"),
    ("set_status", "status*:w"),
    ("set_visible", "visible*:b"),
    ("set_profile", "avatar:s title:s bio:s capabilities:S"),
    ("join_group", "name*:s role:s"),
    ("leave_group", "name*:s"),
    ("set_state", "key*:s value*:a"),
    ("get_state", "key*:s"),
    ("list_state", ""),
    ("remember", "content*:s tags:S"),
    ("recall", "query*:s"),
    ("forget", "id*:s"),
    ("share_file", "path*:s name:s tags:S to:s"),
    ("get_file", "id*:s save_to*:s"),
    ("list_files", "query:s from:s"),
    ("file_status", "id*:s"),
    ("delete_file", "id*:s"),
    ("grant_file_access", "fileId*:s to*:s"),
    ("vector_store", "collection*:s text*:s metadata:o"),
    ("vector_search", "collection*:s query*:s limit:n"),
    ("vector_delete", "collection*:s id*:s"),
    ("list_collections", ""),
    ("graph_query", "cypher*:s"),
    ("graph_execute", "cypher*:s"),
    ("mesh_query", "sql*:s"),
    ("mesh_execute", "sql*:s"),
    ("mesh_schema", ""),
    ("create_stream", "name*:s"),
    ("publish", "stream*:s data*:a"),
    ("subscribe", "stream*:s"),
    ("list_streams", ""),
    ("share_context", "summary*:s files_read:S key_findings:S tags:S"),
    ("get_context", "query*:s"),
    ("list_contexts", ""),
    ("create_task", "title*:s assignee:s priority:w tags:S"),
    ("claim_task", "id*:s"),
    ("complete_task", "id*:s result:s"),
    ("list_tasks", "status:w assignee:s"),
    ("schedule_reminder", "message*:s deliver_at:n in_seconds:n cron:s to:s"),
    ("list_scheduled", ""),
    ("cancel_scheduled", "id*:s"),
    ("mesh_info", ""),
    ("mesh_stats", ""),
    ("mesh_mcp_register", "server_name*:s description*:s tools*:O persistent:b"),
    ("mesh_mcp_list", ""),
    ("mesh_tool_call", "server_name*:s tool_name*:s args:o"),
    ("mesh_mcp_remove", "server_name*:s"),
    ("mesh_set_clock", "speed*:n"),
    ("mesh_pause_clock", ""),
    ("mesh_resume_clock", ""),
    ("mesh_clock", ""),
    ("share_skill", "name*:s description*:s instructions*:s tags:S"),
    ("get_skill", "name*:s"),
    ("list_skills", "query:s"),
    ("remove_skill", "name*:s"),
    ("ping_mesh", "priorities:W"),
    ("read_peer_file", "peer*:s path*:s"),
    ("list_peer_files", "peer*:s path:s pattern:s"),
    ("create_webhook", "name*:s"),
    ("list_webhooks", ""),
    ("delete_webhook", "name*:s"),
    (
        "mesh_mcp_deploy",
        "server_name*:s file_id:s git_url:s git_branch:s npx_package:s env:o runtime:w memory_mb:n \
         network_allow:S scope:a",
    ),
    ("mesh_mcp_undeploy", "server_name*:s"),
    ("mesh_mcp_update", "server_name*:s"),
    ("mesh_mcp_logs", "server_name*:s lines:n"),
    ("mesh_mcp_scope", "server_name*:s scope:a"),
    ("mesh_mcp_schema", "server_name*:s tool_name:s"),
    ("mesh_mcp_catalog", ""),
    ("mesh_skill_deploy", "file_id:s git_url:s git_branch:s"),
    ("vault_set", "key*:s value*:s type:w mount_path:s description:s"),
    ("vault_list", ""),
    ("vault_delete", "key*:s"),
    ("mesh_watch", "url*:s mode:w extract:s interval:n notify_on:s headers:o label:s"),
    ("mesh_unwatch", "watch_id*:s"),
    ("mesh_watches", ""),
];

/// What a schema lets through.
fn kind(schema: &Value) -> &'static str {
    let kind = |schema: &Value| match (schema["type"].as_str(), schema["enum"].is_array()) {
        (Some("string"), false) => "s",
        (Some("string"), true) => "w",
        (Some("boolean"), _) => "b",
        (Some("integer" | "number"), _) => "n",
        (Some("object"), _) => "o",
        (None, _) => "a",
        (Some(_), _) => "?",
    };
    if schema["anyOf"].is_array() {
        return "t";
    }
    if schema["type"] != "array" {
        return kind(schema);
    }
    match kind(&schema["items"]) {
        "s" => "S",
        "w" => "W",
        "o" => "O",
        _ => "?",
    }
}

#[test]
fn every_tool_has_the_references_name_and_parameters() {
    assert_eq!(TOOLS.len(), 79);
    for tool in tools::list(&Offer::all()) {
        let known = TOOLS.iter().find(|(name, _)| *name == tool.name);
        let (_, wanted) = known.unwrap_or_else(|| panic!("{} is no tool of theirs", tool.name));
        let properties = tool.input_schema["properties"].as_object().unwrap();
        let required = tool.input_schema.get("required").and_then(Value::as_array);
        let is_required =
            |name: &str| required.is_some_and(|all| all.iter().any(|one| one == name));
        let mut theirs = Vec::new();
        for parameter in wanted.split_whitespace() {
            let (name, wanted) = parameter.split_once(':').unwrap();
            let (name, must) = name.strip_suffix('*').map_or((name, false), |name| (name, true));
            let schema = properties.get(name);
            let schema = schema.unwrap_or_else(|| panic!("{} takes no {name}", tool.name));
            assert_eq!(kind(schema), wanted, "{}: {name} is {schema}", tool.name);
            assert_eq!(is_required(name), must, "{}: {name}", tool.name);
            theirs.push(name);
        }
        for name in properties.keys().filter(|name| !theirs.contains(&name.as_str())) {
            assert!(!is_required(name), "{}: {name} is ours, and must be optional", tool.name);
        }
    }
}

#[test]
fn what_a_model_is_offered_together_stays_bearable() {
    let all = tools::list(&Offer::all());

    for tool in &all {
        let bytes = serde_json::to_vec(tool).unwrap().len();
        assert!(bytes <= 1200, "{} takes {bytes} bytes", tool.name);
    }
}
