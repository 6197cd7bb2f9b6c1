//! Webhooks: addresses at which programs outside the mesh say something into it.

use skein_wire::webhooks::{CreateWebhook, DeleteWebhook, ListWebhooks, Webhook};

use super::arguments::{Kind, MESH, required, text};
use super::{Call, Effect, Reply, Tool};
use crate::mcp::fence;

pub const TOOLS: &[Tool] = &[
    Tool {
        name: "create_webhook",
        description: "Make a webhook: a URL at which programs outside the mesh post JSON, which \
                      everybody who is here then gets. Whoever knows the URL can post.",
        parameters: &[required("name", Kind::Text, "What to call it: ci, deploys, ..."), MESH],
        effect: Effect::Acts,
        run: |call| Box::pin(create(call)),
    },
    Tool {
        name: "list_webhooks",
        description: "The webhooks of the mesh and their URLs. A URL is a secret.",
        parameters: &[MESH],
        effect: Effect::Reads,
        run: |call| Box::pin(list(call)),
    },
    Tool {
        name: "delete_webhook",
        description: "End a webhook: its URL takes nothing more. The name can be used again.",
        parameters: &[required("name", Kind::Text, "What it is called"), MESH],
        effect: Effect::Sets,
        run: |call| Box::pin(delete(call)),
    },
];

fn named(call: &Call) -> String {
    text(&call.arguments, "name").unwrap_or_default().to_owned()
}

async fn create(call: Call) -> Reply {
    let request = CreateWebhook { name: named(&call), target: None, signed: None };
    let ack = call.mesh()?.act(&request).await?;
    let (name, url) = (fence::line(&ack.name), fence::line(&ack.url));
    Ok(format!("Webhook \"{name}\" made.\nURL: {url}\nSecret: {}", fence::line(&ack.secret)))
}

async fn list(call: Call) -> Reply {
    let webhooks = call.mesh()?.ask(&ListWebhooks {}).await?.webhooks;
    if webhooks.is_empty() {
        return Ok("No webhooks.".into());
    }
    let lines: Vec<_> = webhooks.iter().map(line).collect();
    Ok(format!("{} webhook(s):\n{}", lines.len(), lines.join("\n")))
}

fn line(webhook: &Webhook) -> String {
    let signed = if webhook.signed == Some(true) { ", posts must be signed" } else { "" };
    let target = webhook.target.as_deref().map(|to| format!(", for {}", fence::line(to)));
    let (name, url) = (fence::line(&webhook.name), fence::line(&webhook.url));
    let at = fence::line(&webhook.created_at);
    format!("- {name}: {url} (since {at}{}{signed})", target.unwrap_or_default())
}

async fn delete(call: Call) -> Reply {
    let gone = call.mesh()?.act(&DeleteWebhook { name: named(&call) }).await?;
    Ok(format!("Webhook \"{}\" has ended.", fence::line(&gone.name)))
}
