//! Presence: who is here, and what this session says of itself.

use skein_wire::Status;
use skein_wire::presence::{Peer, SetStatus, SetSummary, SetVisible};

use super::arguments::{Kind, flag, optional, required, text};
use super::{Call, Effect, Reply, Tool};
use crate::mcp::fence;
use crate::mcp::mesh::Mesh;
use crate::mcp::targets::KEY_CHARS_MIN;
use crate::output::short;

pub const TOOLS: &[Tool] = &[
    Tool {
        name: "list_peers",
        description: "Who is here: name, status, [local] or [remote], groups, program, key, \
                      working directory and what they work on.",
        parameters: &[optional("mesh_slug", Kind::Text, "Only this mesh")],
        effect: Effect::Reads,
        run: |call| Box::pin(list(call)),
    },
    Tool {
        name: "set_summary",
        description: "Say in a few words what you are working on; peers see it.",
        parameters: &[required("summary", Kind::AnyText, "One or two sentences")],
        effect: Effect::Sets,
        run: |call| Box::pin(set_summary(call)),
    },
    Tool {
        name: "set_status",
        description: "Say whether you may be interrupted: idle takes every message, working and \
                      dnd only `now`; the others wait until you are idle.",
        parameters: &[required("status", Kind::Word(&["idle", "working", "dnd"]), "Your status")],
        effect: Effect::Sets,
        run: |call| Box::pin(set_status(call)),
    },
    Tool {
        name: "set_visible",
        description: "Hide from the list of peers and from messages to groups, or show up again. \
                      Messages to your key still arrive.",
        parameters: &[required("visible", Kind::Flag, "Whether others see you")],
        effect: Effect::Sets,
        run: |call| Box::pin(set_visible(call)),
    },
];

async fn list(call: Call) -> Reply {
    let meshes = match text(&call.arguments, "mesh_slug") {
        Some(slug) => vec![call.meshes.meant(Some(slug))?],
        None => call.meshes.all(),
    };
    let listing = meshes.iter().map(|mesh| peers_of(mesh));
    let texts = futures_util::future::join_all(listing).await;
    let is_error = texts.iter().all(Result::is_err);
    let texts = texts.into_iter().map(|text| text.unwrap_or_else(|text| text));
    let text = texts.collect::<Vec<_>>().join("\n\n");
    if is_error { Err(text) } else { Ok(text) }
}

async fn peers_of(mesh: &Mesh) -> Reply {
    let id = short(&mesh.id);
    match mesh.peers().await {
        Ok(peers) => {
            let heading = format!("## {} (connected, mesh {id}…)", mesh.slug);
            let here = hostname();
            let own = mesh.key().map(|key| key.hex());
            let mark = fence::mark();
            let line = |peer: &Peer| line(peer, here.as_deref(), own.as_deref(), &mark);
            let lines: Vec<_> = peers.iter().map(line).collect();
            Ok(format!("{heading}\n{}", lines.join("\n")))
        }
        Err(problem) => Err(format!("## {} (mesh {id}…): {problem}", mesh.slug)),
    }
}

fn line(peer: &Peer, here: Option<&str>, own: Option<&str>, mark: &str) -> String {
    let profile = peer.profile.clone().unwrap_or_default();
    let said = |text: &Option<String>| text.as_deref().map(fence::line).filter(|t| !t.is_empty());
    // What we say comes first, and what peers chose is quoted: a name cannot pass for a tag.
    let is_local = peer.hostname.is_some() && peer.hostname.as_deref() == here;
    let mut text = String::from(if is_local { "- [local]" } else { "- [remote]" });
    if peer.visible == Some(false) {
        text += " [hidden]";
    }
    text += &format!(" [{}] \"{}\"", peer.status.as_str(), fence::name(&peer.display_name));
    if own == Some(peer.pubkey.as_str()) {
        text += " (you)";
    }
    if let Some(title) = &profile.title {
        text += &format!(", title \"{}\"", fence::name(title));
    }
    if let Some(avatar) = &profile.avatar {
        text += &format!(", avatar \"{}\"", fence::name(avatar));
    }
    for group in &peer.groups {
        text += &format!(" @{}", fence::line(&group.name));
        if let Some(role) = said(&group.role) {
            text += &format!(" ({role})");
        }
    }
    let program = [&peer.peer_type, &peer.channel, &peer.model];
    let program: Vec<_> = program.into_iter().filter_map(said).collect();
    if !program.is_empty() {
        text += &format!(" | {}", program.join("/"));
    }
    let key = peer.pubkey.get(..KEY_CHARS_MIN).unwrap_or(&peer.pubkey);
    text += &format!(" | key {key}… | {}", fence::line(&peer.cwd));
    if let Some(bio) = said(&profile.bio) {
        text += &fence::behind("\n  about:", &bio, mark);
    }
    if let Some(capabilities) = profile.capabilities.filter(|all| !all.is_empty()) {
        text += &fence::behind("\n  can:", &capabilities.join(", "), mark);
    }
    if let Some(summary) = said(&peer.summary) {
        text += &fence::behind("\n  works on:", &summary, mark);
    }
    text
}

/// This machine's name.
pub fn hostname() -> Option<String> {
    rustix::system::uname().nodename().to_str().ok().map(str::to_owned)
}

async fn set_summary(call: Call) -> Reply {
    let summary = text(&call.arguments, "summary").unwrap_or_default();
    let said = fence::line(summary);
    call.everywhere(|mesh| {
        let said = said.clone();
        async move {
            let tell = SetSummary { summary: summary.to_owned() };
            let how = mesh.wish(&tell, |wishes| wishes.summary = Some(summary.to_owned())).await?;
            Ok(format!("Summary set: {said}{how}"))
        }
    })
    .await
}

async fn set_status(call: Call) -> Reply {
    let word = text(&call.arguments, "status").unwrap_or_default();
    let status = Status::parse(word).unwrap_or_default();
    call.everywhere(|mesh| async move {
        let tell = SetStatus { status };
        let said = mesh.wish(&tell, |wishes| wishes.status = Some(status)).await?;
        Ok(format!("Status set: {}{said}", status.as_str()))
    })
    .await
}

async fn set_visible(call: Call) -> Reply {
    let visible = flag(&call.arguments, "visible").unwrap_or(true);
    call.everywhere(|mesh| async move {
        let tell = SetVisible { visible };
        let said = mesh.wish(&tell, |wishes| wishes.visible = Some(visible)).await?;
        let now = match visible {
            true => "You are visible: peers see you, and messages to groups reach you.",
            false => "You are hidden: peers do not see you; messages to your key arrive.",
        };
        Ok(format!("{now}{said}"))
    })
    .await
}
