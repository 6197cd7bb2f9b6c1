//! Both eras of the protocol, line by line, and hosts that write nonsense.

use serde_json::{Value, json};

use super::host::{Raw, join};

/// What every request of the newest protocol carries.
fn meta(host: &str) -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": host, "version": "1"},
    })
}

fn names(listed: &Value) -> Vec<&str> {
    let tools = listed["result"]["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_channel_refuses_discover_and_then_opens_a_session_in_the_same_process() {
    let home = tempfile::tempdir().unwrap();
    let mut host = Raw::start(home.path(), &[]);

    for params in [json!({"_meta": meta("claude-code")}), json!({})] {
        let refused = host.ask(1, "server/discover", params).await;
        assert_eq!(refused["error"]["code"], -32601, "{refused}");
    }
    let opened = host.initialize().await;

    let result = &opened["result"];
    assert_eq!(result["protocolVersion"], "2025-11-25");
    assert_eq!(result["capabilities"]["experimental"], json!({"claude/channel": {}}));
    assert_eq!(result["capabilities"]["tools"], json!({}));
    assert_eq!(result["serverInfo"]["name"], "skein");
    assert!(result["instructions"].as_str().unwrap().contains("skein join"));
    let refused = host.ask(2, "server/discover", json!({"_meta": meta("claude-code")})).await;
    assert_eq!(refused["error"]["code"], -32601, "also later: {refused}");
}

#[tokio::test]
async fn a_host_without_channels_gets_the_newest_protocol() {
    let home = tempfile::tempdir().unwrap();
    let mut host = Raw::start(home.path(), &[]);
    let params = || json!({"_meta": meta("codex-mcp-client")});

    let found = host.ask(1, "server/discover", params()).await;
    let listed = host.ask(2, "tools/list", params()).await;
    let mut call = params();
    call["name"] = json!("check_messages");
    let called = host.ask(3, "tools/call", call).await;

    let versions = found["result"]["supportedVersions"].as_array().unwrap();
    assert!(versions.contains(&json!("2026-07-28")), "{found}");
    assert!(names(&listed).contains(&"send_message"));
    assert_eq!(called["result"]["resultType"], "complete", "{called}");
    assert_eq!(called["result"]["isError"], true, "no mesh is joined");
}

#[tokio::test]
async fn older_sessions_are_opened_as_they_are_asked_for_and_list_the_same_tools() {
    let home = tempfile::tempdir().unwrap();
    let mut lists = Vec::new();
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut host = Raw::start(home.path(), &[]);
        let params = json!({
            "protocolVersion": version, "capabilities": {},
            "clientInfo": {"name": "any", "version": "1"},
        });
        let opened = host.ask(1, "initialize", params).await;
        assert_eq!(opened["result"]["protocolVersion"], version);
        lists.push(host.ask(2, "tools/list", json!({})).await["result"].clone());
    }

    assert!(lists.windows(2).all(|two| two[0] == two[1]));
}

#[tokio::test]
async fn the_list_of_tools_is_there_at_once_and_stays_whatever_the_mesh_does() {
    let (bare, joined) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Nobody listens there.
    join(joined.path(), "mesh-1", "demo", "ws://127.0.0.1:9/ws");
    let mut lists = Vec::new();
    for home in [&bare, &joined] {
        let mut host = Raw::start(home.path(), &[]);
        host.initialize().await;
        lists.push(host.ask(1, "tools/list", json!({})).await["result"].clone());
        let call = json!({"name": "list_peers", "arguments": {}});
        let called = host.ask(2, "tools/call", call).await;
        assert_eq!(called["result"]["isError"], true, "{called}");
        lists.push(host.ask(3, "tools/list", json!({})).await["result"].clone());
    }

    assert!(lists.windows(2).all(|two| two[0] == two[1]));
}

#[tokio::test]
async fn nonsense_is_survived_before_and_after_a_session_is_opened() {
    let home = tempfile::tempdir().unwrap();
    let mut host = Raw::start(home.path(), &[]);
    let nonsense = [
        "",
        "not json",
        "{\"jsonrpc\":\"2.0\"",
        "[]",
        "{}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":9}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"$/unknown\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":78,\"error\":{\"code\":1,\"message\":\"x\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":79,\"method\":\"initialize\",\"params\":7}",
        "{\"jsonrpc\":\"2.0\",\"id\":80,\"method\":\"tools/call\",\"params\":{\"name\":7}}",
    ];
    for line in nonsense {
        host.line(line).await;
    }

    let params = json!({
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "claude-code", "version": "1"},
    });
    let opened = host.ask(1, "initialize", params).await;
    for line in nonsense {
        host.line(line).await;
    }
    host.line(&"x".repeat(17 * 1024 * 1024)).await;
    let listed = host.ask(2, "tools/list", json!({})).await;
    let unknown = json!({"name": "no_such_tool", "arguments": {}});
    let unknown = host.ask(3, "tools/call", unknown).await;

    assert_eq!(opened["result"]["protocolVersion"], "2025-11-25");
    assert!(names(&listed).contains(&"send_message"));
    assert_eq!(unknown["result"]["content"][0]["text"], "Unknown tool: no_such_tool");
    assert_eq!(unknown["result"]["isError"], true);
}

#[tokio::test]
async fn q30_the_first_line_and_every_other_is_of_the_protocol() {
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", "ws://127.0.0.1:9/ws");
    let mut host = Raw::start(home.path(), &["--mesh", "demo"]);

    // Whatever is read must be a message of the protocol: here the very first line.
    let opened = host.initialize().await;
    let call = json!({"name": "list_peers", "arguments": {}});
    host.ask(1, "tools/call", call).await;
    let Raw { mut child, input, mut output } = host;
    drop(input);
    let rest = output.next_line().await.unwrap();

    assert_eq!(opened["id"], 0, "{opened}");
    assert_eq!(rest, None, "and nothing at the end");
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn when_the_host_is_gone_the_program_ends_well() {
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "mesh-1", "demo", "ws://127.0.0.1:9/ws");
    let mut host = Raw::start(home.path(), &[]);
    host.initialize().await;
    let Raw { mut child, input, .. } = host;

    drop(input);
    let ended = tokio::time::timeout(crate::edge::DEADLINE, child.wait()).await;

    assert!(ended.expect("it ends").unwrap().success());
}

#[tokio::test]
async fn a_signal_ends_the_program_also_while_its_host_is_silent() {
    let home = tempfile::tempdir().unwrap();
    let mut host = Raw::start(home.path(), &[]);
    host.initialize().await;

    let pid = rustix::process::Pid::from_raw(host.child.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ended = tokio::time::timeout(crate::edge::DEADLINE, host.child.wait()).await;

    assert!(ended.expect("it ends").unwrap().success());
}
