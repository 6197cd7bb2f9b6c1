//! The table of tools, held still in `table.json`; `UPDATE=1` writes it anew.

use std::fs;
use std::path::Path;

use serde_json::Value;
use skein::mcp::tools;

#[test]
fn every_tool_is_described_as_it_was() {
    let texts = serde_json::to_string_pretty(&tools::list()).unwrap() + "\n";

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mcp/table.json");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &texts).unwrap();
    }
    let held = fs::read_to_string(&file).unwrap_or_default();
    assert!(held == texts, "tools differ from table.json; UPDATE=1 cargo test rewrites it");
}

#[test]
fn names_are_unique_and_descriptions_are_short() {
    let tools = tools::list();
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
