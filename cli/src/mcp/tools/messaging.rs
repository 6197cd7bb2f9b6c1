//! Messaging: sending, and what became of a message.

use std::time::Duration;

use futures_util::future::join_all;
use skein_wire::messaging::{Ack, MessageStatus, MessageStatusResult};
use skein_wire::{Code, Priority};

use super::arguments::{Kind, optional, required, text, texts};
use super::{Call, Effect, Reply, Tool};
use crate::client::message::is_multicast;
use crate::client::{RequestError, SendError};
use crate::mcp::fence;
use crate::mcp::mesh::Mesh;
use crate::mcp::targets::{self, Target};
use crate::output::short;

/// How long a send may wait for its acknowledgement.
const ACK_PATIENCE: Duration = Duration::from_secs(10);

pub const TOOLS: &[Tool] = &[
    Tool {
        name: "send_message",
        description: "Send a message to one or several peers. Says for each whether it was stored \
                      and whether the peer is here, or why it was refused.",
        parameters: &[
            required(
                "to",
                Kind::TextOrTexts,
                "Peer name, key, @group, * (all), or a list of these; `slug:target` names the mesh",
            ),
            required("message", Kind::Text, "What to say"),
            optional(
                "priority",
                Kind::Word(&["now", "next", "low"]),
                "now: at once, also to the busy; next (default): when idle; low: can wait",
            ),
        ],
        effect: Effect::Acts,
        run: |call| Box::pin(send(call)),
    },
    Tool {
        name: "message_status",
        description: "What became of a message: whether it was delivered, when, and to whom.",
        parameters: &[required("id", Kind::Text, "The id that send_message returned")],
        effect: Effect::Reads,
        run: |call| Box::pin(status(call)),
    },
];

async fn send(call: Call) -> Reply {
    let to = texts(&call.arguments, "to").unwrap_or_default();
    let message = text(&call.arguments, "message").unwrap_or_default();
    let priority = text(&call.arguments, "priority").and_then(Priority::parse);
    let priority = priority.unwrap_or(Priority::Next);
    let meshes = call.meshes.all();

    let resolving = to.iter().map(|to| targets::resolve(&meshes, to));
    let mut targets: Vec<(&str, Result<Target, String>)> = Vec::new();
    for (to, target) in to.iter().zip(join_all(resolving).await) {
        let is_known = targets.iter().any(|(name, known)| match (known, &target) {
            (Ok(a), Ok(b)) => a.mesh.id == b.mesh.id && a.spec == b.spec,
            _ => name == to,
        });
        if !is_known {
            targets.push((to, target));
        }
    }
    // Begun in this order, and acknowledged in whichever.
    let sending = targets.into_iter().map(|(to, target)| deliver(to, target, priority, message));
    let lines = join_all(sending).await;
    let text = lines.iter().map(|line| line.as_ref().unwrap_or_else(|l| l).as_str());
    let text = text.collect::<Vec<_>>().join("\n");
    if lines.iter().all(Result::is_err) { Err(text) } else { Ok(text) }
}

/// Sends to one target. The line says what is true of it.
async fn deliver(
    to: &str,
    target: Result<Target, String>,
    priority: Priority,
    text: &str,
) -> Result<String, String> {
    let to = fence::line(to);
    let Target { mesh, spec, found } = target.map_err(|problem| format!("✗ {to}: {problem}"))?;
    let to = found.map_or(to.clone(), |who| format!("{to} ({who})"));
    let refused = |problem: String| format!("✗ {to}: {problem}");
    // Nothing is queued in a process that may end: either it can be stored now, or it was not sent.
    let client = mesh.client().await.map_err(|why| refused(format!("{why}; nothing was sent")))?;
    let ack = client.send(&spec, priority, text).within(ACK_PATIENCE).await;
    match ack {
        Ok(ack) => {
            mesh.counters.sent();
            Ok(format!("✓ {to} → {} ({})", ack.message_id, stored(&spec, &ack)))
        }
        Err(SendError::TooLong) => Err(refused(format!(
            "not acknowledged within {} s; it is sent again until it is, and may be stored already",
            ACK_PATIENCE.as_secs()
        ))),
        Err(SendError::Refused(refusal)) => {
            Err(refused(format!("{} ({})", refusal.message, refusal.code)))
        }
        Err(error) => Err(refused(error.to_string())),
    }
}

/// What an acknowledgement says of the recipients.
fn stored(spec: &str, ack: &Ack) -> String {
    match (is_multicast(spec), ack.recipients, ack.online) {
        (_, None, _) | (_, _, None) => "stored".into(),
        (false, _, Some(0)) => "stored; offline, gets it on return".into(),
        (false, ..) => "stored; online".into(),
        (true, Some(0), _) => "stored; nobody else is there now".into(),
        (true, Some(all), Some(online)) => format!("stored; {online} of {all} online"),
    }
}

async fn status(call: Call) -> Reply {
    let id = text(&call.arguments, "id").unwrap_or_default();
    let asking = call.meshes.all().into_iter().map(|mesh| async move {
        let client = mesh.client().await?;
        match client.request(&MessageStatus { message_id: id.to_owned() }).await {
            Ok(status) => Ok(Some((mesh, status))),
            Err(RequestError::Refused(refusal)) if refusal.code == Code::NotFound.as_str() => {
                Ok(None)
            }
            Err(error) => Err(format!("{}: {error}", mesh.slug)),
        }
    });
    let mut problems = Vec::new();
    for answer in join_all(asking).await {
        match answer {
            Ok(Some((mesh, status))) => return Ok(told(&mesh, &status)),
            Ok(None) => (),
            Err(problem) => problems.push(problem),
        }
    }
    let id = fence::line(id);
    match problems.is_empty() {
        true => Err(format!("message {id} not found: it is unknown here, or long settled")),
        false => Err(format!(
            "message {id} not found, as far as could be asked: {}",
            problems.join("; ")
        )),
    }
}

fn told(mesh: &Mesh, status: &MessageStatusResult) -> String {
    let delivered = match (status.delivered, &status.delivered_at, &status.outcome) {
        (true, Some(at), _) => format!("delivered at {}", fence::line(at)),
        (true, None, _) => "delivered".into(),
        (false, _, Some(outcome)) => format!("ended undelivered: {}", fence::line(outcome)),
        (false, _, None) => "not delivered yet".into(),
    };
    let mut text = format!(
        "Message {} in {} to {}: {delivered}",
        fence::line(&status.message_id),
        mesh.slug,
        fence::line(&status.target_spec),
    );
    for one in &status.recipients {
        let (name, key) = (fence::name(&one.name), short(&one.pubkey));
        let state = one.state.as_ref().map(|state| format!(" ({})", fence::line(state)));
        text += &format!(
            "\n- {name} {key}…: {}{}",
            fence::line(&one.status),
            state.unwrap_or_default()
        );
    }
    text
}
