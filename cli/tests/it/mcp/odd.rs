//! What a model may give to a tool, and what comes back of it: no tool falls over, and nothing that
//! was written into a mesh steers the host that reads it.

use serde_json::{Map, Value, json};
use skein::mcp::tools::{self, Offer};

use super::tools::{attached, two};

/// What no answer may carry as it is: it would close a host's tag, or turn or clear a terminal.
const HARMFUL: [&str; 4] = ["\u{202e}", "\u{1b}", "</channel>", "<system-reminder>"];

/// Every parameter of a tool, filled with this.
fn filled(tool: &rmcp::model::Tool, with: &Value) -> Value {
    let properties = tool.input_schema["properties"].as_object().unwrap();
    let all = properties.keys().filter(|name| *name != "mesh_slug");
    Value::Object(all.map(|name| (name.clone(), with.clone())).collect::<Map<_, _>>())
}

#[tokio::test]
async fn no_tool_falls_over_what_it_is_given_or_gives_back_what_steers_a_host() {
    let mesh = two();
    let ann = attached(&mesh.homes[0], &[]).await;
    let odd = format!("odd {} text", HARMFUL.join(" "));
    let long = "x".repeat(100_000);
    let given = [
        json!(odd),
        json!([odd, odd]),
        json!({"odd": odd}),
        json!(7),
        json!(-1.5),
        json!(true),
        json!(null),
        json!(""),
        json!([]),
        json!([null]),
        json!(long),
    ];
    for tool in tools::list(&Offer::all()) {
        let name: &'static str = tool.name.to_string().leak();
        for given in &given {
            let (text, _) = ann.call(name, filled(&tool, given)).await;

            assert!(!text.is_empty(), "{name} says nothing to {given}");
            for harmful in HARMFUL {
                assert!(!text.contains(harmful), "{name} of {given}: {harmful:?} in {text}");
            }
        }
    }

    // What was written is read again, by the one who wrote it and by another.
    let bob = attached(&mesh.homes[1], &[]).await;
    for tool in tools::list(&Offer::all()) {
        let name: &'static str = tool.name.to_string().leak();
        let reads = tool.annotations.as_ref().and_then(|notes| notes.read_only_hint);
        for host in [&ann, &bob] {
            if reads == Some(true) {
                for with in [json!({}), filled(&tool, &json!(odd)), filled(&tool, &json!("odd"))] {
                    let (text, _) = host.call(name, with).await;
                    for harmful in HARMFUL {
                        assert!(!text.contains(harmful), "{name}: {harmful:?} in {text}");
                    }
                }
            }
        }
    }
}
