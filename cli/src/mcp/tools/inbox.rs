//! The inbox: what arrived and the host was not shown.

use std::sync::Arc;

use super::arguments::{Kind, count, optional};
use super::{Call, Effect, Reply, Tool};
use crate::client::inbox::Mark;
use crate::client::message::Message;
use crate::mcp::mesh::{Mesh, Seat};
use crate::mcp::{fence, lines};

/// Text that one `check_messages` returns, unless its first message is longer: hosts cut results.
const CHECKED_BYTES_MAX: usize = 48 * 1024;
/// Messages that one `check_messages` returns.
const CHECKED_MAX: usize = 100;

pub const TOOLS: &[Tool] = &[Tool {
    name: "check_messages",
    description: "Read messages that you were not shown yet, in every mesh. They then count as \
                  read, as those do that were pushed to you as <channel> lines.",
    parameters: &[optional(
        "recent",
        Kind::Count,
        "Instead, show this many of the last messages again, read or not",
    )],
    effect: Effect::Sets,
    run: |call| Box::pin(check(call)),
}];

async fn check(call: Call) -> Reply {
    if let Some(most) = count(&call.arguments, "recent") {
        return recent(&call, most).await;
    }
    let mut pages: Vec<String> = Vec::new();
    let mut bytes = 0;
    let mut waits = false;
    let mut shown = Vec::new();
    for mesh in call.meshes.all() {
        let Ok(seat) = mesh.seat() else { continue };
        let unread = mesh.unread(&seat, CHECKED_MAX + 1).await;
        let unread = unread.map_err(|error| format!("the inbox cannot be read: {error}"))?;
        let mut last = None;
        for (mark, message) in unread {
            let text = listed(&mesh, &message).await;
            let is_full = bytes + text.len() > CHECKED_BYTES_MAX || pages.len() == CHECKED_MAX;
            if is_full && !pages.is_empty() {
                waits = true;
                break;
            }
            bytes += text.len();
            pages.push(text);
            last = Some(mark);
        }
        if let Some(mark) = last {
            shown.push((seat, mark));
        }
    }
    if pages.is_empty() {
        let pushes: u64 = call.meshes.all().iter().map(|mesh| mesh.counters.pushes()).sum();
        return Ok(match pushes {
            0 => "No new messages.".into(),
            1 => "No new messages; 1 was pushed as a channel line (`recent` shows it).".into(),
            _ => format!(
                "No new messages; {pushes} were pushed as channel lines (`recent` shows them)."
            ),
        });
    }
    // They count as shown when the host has this answer, not before.
    call.receipts.leave(call.id, move || {
        tokio::spawn(async move {
            for (seat, mark) in shown {
                note(&seat, mark).await;
            }
        });
    });
    let more = if waits { "\n\nMore messages wait: call check_messages again." } else { "" };
    Ok(format!("{} new message(s):\n\n{}{more}", pages.len(), pages.join("\n\n")))
}

async fn note(seat: &Arc<Seat>, mark: Mark) {
    if let Err(error) = seat.mailbox.lock().await.shown(mark) {
        tracing::error!(?error, "what was shown cannot be noted, and will be shown again");
    }
}

async fn recent(call: &Call, most: usize) -> Reply {
    let mut pages = Vec::new();
    for mesh in call.meshes.all() {
        let Ok(seat) = mesh.seat() else { continue };
        let recent = mesh.recent(&seat, most.min(CHECKED_MAX)).await;
        for message in recent.map_err(|error| format!("the inbox cannot be read: {error}"))? {
            pages.push(listed(&mesh, &message).await);
        }
    }
    match pages.is_empty() {
        true => Ok("No messages are kept.".into()),
        false => Ok(pages.join("\n\n")),
    }
}

async fn listed(mesh: &Mesh, message: &Message) -> String {
    let name = mesh.name_of(&message.sender_pubkey).await;
    lines::listed(mesh.place(), message, &name, &fence::mark())
}
