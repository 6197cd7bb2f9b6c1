//! The tools of webhooks.

use serde_json::json;

use super::host::Host;
use crate::place::{Place, json as printed};

#[tokio::test]
async fn an_agent_makes_lists_and_ends_webhooks_and_hears_what_is_posted() {
    let place = Place::start(1).await;
    let owner = place.owner();
    let mut host = Host::start(&owner, &[]).await;
    host.line(|line| line["meta"]["kind"] == "welcome").await;

    let made = host.say("create_webhook", json!({"name": "ci"})).await;
    assert!(made.contains("URL: http://127.0.0.1:") && made.contains("Secret: "), "{made}");
    let (again, is_error) = host.call("create_webhook", json!({"name": "ci"})).await;
    assert!(is_error && again.contains("already exists"), "{again}");
    let listed = host.say("list_webhooks", json!({})).await;
    assert!(listed.starts_with("1 webhook(s):\n- ci: http://127.0.0.1:"), "{listed}");

    printed(&owner, &["webhook", "test", "ci", r#"{"build": 12}"#]);
    let line = host.line(|line| line["meta"]["subtype"] == "webhook").await;
    let content = line["content"].as_str().unwrap();
    assert!(content.contains("webhook") && content.contains(r#"{"build": 12}"#), "{line}");

    let gone = host.say("delete_webhook", json!({"name": "ci"})).await;
    assert_eq!(gone, "Webhook \"ci\" has ended.");
    assert_eq!(host.say("list_webhooks", json!({})).await, "No webhooks.");
}
