//! The table of tools, held still in `table.json`; `UPDATE=1` writes it anew.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use skein::mcp::tools::{self, CORE, Offer};

use super::host::{Host, program};

/// JSON has about four bytes a token for the models of today, and never fewer than two and a half;
/// so counted, the true number is lower.
const BYTES_PER_TOKEN: f64 = 2.5;

#[test]
fn every_tool_is_described_as_it_was() {
    let texts = serde_json::to_string_pretty(&tools::list(&Offer::all())).unwrap() + "\n";

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mcp/table.json");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &texts).unwrap();
    }
    let held = fs::read_to_string(&file).unwrap_or_default();
    assert!(held == texts, "tools differ from table.json; UPDATE=1 cargo test rewrites it");
}

#[test]
fn names_are_unique_and_descriptions_are_short() {
    let tools = tools::list(&Offer::all());
    let mut names: Vec<_> = tools.iter().map(|tool| tool.name.clone()).collect();
    names.sort_unstable();
    names.dedup();

    assert_eq!(names.len(), tools.len());
    for tool in &tools {
        assert!(tool.description.as_ref().unwrap().len() <= 200, "{}", tool.name);
        for (name, property) in tool.input_schema["properties"].as_object().unwrap() {
            let words = property.get("description").and_then(Value::as_str);
            assert!(words.is_some_and(|words| !words.is_empty()), "{}: {name}", tool.name);
        }
    }
}

#[test]
fn core_is_at_most_eight_tools_of_under_2000_tokens() {
    let core = tools::list(&Offer::core());

    let names: Vec<_> = core.iter().map(|tool| tool.name.as_ref()).collect();
    assert_eq!(names, CORE, "each of them is a tool, in the order of the table");
    let listed = json!({"tools": core}).to_string();
    let tokens = listed.len() as f64 / BYTES_PER_TOKEN;
    assert!(names.len() <= 8 && tokens < 2000.0, "{tokens} tokens");
}

#[tokio::test]
async fn a_host_is_offered_what_was_asked_for_and_can_call_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let host = Host::start(home.path(), &["--tools", "mesh_stats,check_messages"]).await;

    assert_eq!(host.tools().await, ["check_messages", "mesh_stats"]);
    let instructions = host.instructions();
    assert!(instructions.contains("check_messages"), "{instructions}");
    assert!(!instructions.contains("send_message"), "{instructions}");
    let (text, is_error) = host.call("send_message", json!({"to": "*", "message": "x"})).await;
    assert_eq!((text.as_str(), is_error), ("Unknown tool: send_message", true));
    let (text, _) = host.call("mesh_stats", json!({})).await;
    assert!(text.contains("no mesh is joined"), "it is there: {text}");
}

#[tokio::test]
async fn what_is_no_tool_is_refused_at_the_start_and_so_is_mail_that_nobody_could_read() {
    let home = tempfile::tempdir().unwrap();
    for (args, wanted) in [
        (&["--tools", "core,fly"][..], "there is no tool fly"),
        (&["--tools", ""], "there is no tool"),
        (&["--tools", "send_message", "--message-mode", "inbox"], "could never be read"),
    ] {
        let output = program(home.path(), args).output().await.unwrap();

        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {words}");
        assert!(words.contains(wanted), "{words}");
    }
}
