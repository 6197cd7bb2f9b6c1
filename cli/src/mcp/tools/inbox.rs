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
    // Of calls at the same time, each gets what the one before it did not.
    let turn = call.meshes.channel().reading().await;
    let meshes = call.meshes.all();
    let mut pages: Vec<String> = Vec::new();
    let mut problems = Vec::new();
    let mut bytes = 0;
    let mut waits = false;
    let mut shown = Vec::new();
    for mesh in &meshes {
        let (seat, unread) = match unread(mesh).await {
            Ok(read) => read,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let mut last = None;
        for (mark, message) in unread {
            let text = listed(mesh, &message).await;
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
        return with(nothing_new(&meshes), problems);
    }
    // They count as shown when the host has this answer, not before.
    call.receipts.leave(&call.id, move || {
        tokio::spawn(async move {
            for (seat, mark) in shown {
                note(&seat, mark).await;
            }
            drop(turn);
        });
    });
    let more = if waits { "\n\nMore messages wait: call check_messages again." } else { "" };
    let text = format!("{} new message(s):\n\n{}{more}", pages.len(), pages.join("\n\n"));
    Ok(followed(text, &problems))
}

/// What a mesh has that was not shown, and whose it is.
async fn unread(mesh: &Mesh) -> Result<(Arc<Seat>, Vec<(Mark, Message)>), String> {
    let seat = seat(mesh).await?;
    let unread = mesh.unread(&seat, CHECKED_MAX + 1).await;
    let unread = unread.map_err(|error| unreadable(mesh, &error))?;
    Ok((seat, unread))
}

async fn seat(mesh: &Mesh) -> Result<Arc<Seat>, String> {
    mesh.seated().await;
    mesh.seat().map_err(|problem| format!("✗ [{}] {problem}", mesh.slug))
}

fn unreadable(mesh: &Mesh, error: &std::io::Error) -> String {
    format!("✗ [{}] the inbox cannot be read: {error}", mesh.slug)
}

/// There is nothing, as far as can be known here.
fn nothing_new(meshes: &[Arc<Mesh>]) -> String {
    let pushes: u64 = meshes.iter().map(|mesh| mesh.counters.pushes()).sum();
    let mut text = match pushes {
        0 => "No new messages.".to_owned(),
        1 => "No new messages; 1 was pushed as a channel line (`recent` shows it).".into(),
        _ => {
            format!("No new messages; {pushes} were pushed as channel lines (`recent` shows them).")
        }
    };
    for mesh in meshes.iter().filter(|mesh| !mesh.is_connected()) {
        text += &format!(" {} is not connected: what waits there is not here yet.", mesh.slug);
    }
    text
}

/// `text`, unless there are problems and nothing else to tell.
fn with(text: String, problems: Vec<String>) -> Reply {
    if problems.is_empty() { Ok(text) } else { Err(problems.join("\n")) }
}

/// `text` and then the problems: what can be read is not held back by what cannot.
fn followed(mut text: String, problems: &[String]) -> String {
    for problem in problems {
        text += &format!("\n\n{problem}");
    }
    text
}

async fn note(seat: &Arc<Seat>, mark: Mark) {
    if let Err(error) = seat.mailbox.lock().await.shown(mark) {
        tracing::error!(?error, "what was shown cannot be noted, and will be shown again");
    }
}

async fn recent(call: &Call, most: usize) -> Reply {
    let meshes = call.meshes.all();
    let bytes_max = CHECKED_BYTES_MAX / meshes.len().max(1);
    let mut pages = Vec::new();
    let mut problems = Vec::new();
    for mesh in &meshes {
        match last(mesh, most.min(CHECKED_MAX), bytes_max).await {
            Ok(texts) => pages.extend(texts),
            Err(problem) => problems.push(problem),
        }
    }
    match pages.is_empty() {
        true => with("No messages are kept.".into(), problems),
        false => Ok(followed(pages.join("\n\n"), &problems)),
    }
}

/// The last messages of a mesh, oldest first: as many of the newest as fit, and always one.
async fn last(mesh: &Mesh, most: usize, bytes_max: usize) -> Result<Vec<String>, String> {
    let seat = seat(mesh).await?;
    let recent = mesh.recent(&seat, most).await.map_err(|error| unreadable(mesh, &error))?;
    let count = recent.len();
    let mut bytes = 0;
    let mut texts = Vec::new();
    for message in recent.iter().rev() {
        let text = listed(mesh, message).await;
        bytes += text.len();
        if bytes > bytes_max && !texts.is_empty() {
            let left = count - texts.len();
            texts.push(format!("[{}] {left} older one(s) do not fit here.", mesh.slug));
            break;
        }
        texts.push(text);
    }
    texts.reverse();
    Ok(texts)
}

async fn listed(mesh: &Mesh, message: &Message) -> String {
    let name = mesh.name_from(message).await;
    lines::listed(mesh.place(), message, &name, &fence::mark())
}
