//! Files of peers: reading one, and what there is.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use skein_wire::limit;
use skein_wire::peer_files::{PeerDirRequest, PeerFileRequest};
use skein_wire::presence::Peer;

use super::arguments::{Kind, MESH, optional, required, text};
use super::presence::hostname;
use super::{Call, Effect, Reply, Tool};
use crate::mcp::fence;
use crate::mcp::mesh::Mesh;
use crate::mcp::targets::{self, Target};

/// The peer answers, not the server: as long as the reference waits.
const PATIENCE: Duration = Duration::from_secs(15);
/// What is shown of a peer's own words for a refusal.
const REFUSAL_CHARS_MAX: usize = 300;

pub const TOOLS: &[Tool] = &[
    Tool {
        name: "read_peer_file",
        description: "Read a text file that another peer shares, up to 1 MiB.",
        parameters: &[
            required("peer", Kind::Text, "The peer's name or key"),
            required("path", Kind::Text, "The file, relative to what the peer shares"),
            MESH,
        ],
        effect: Effect::Reads,
        run: |call| Box::pin(read(call)),
    },
    Tool {
        name: "list_peer_files",
        description: "List the files that another peer shares: two folders deep, at most 500.",
        parameters: &[
            required("peer", Kind::Text, "The peer's name or key"),
            optional("path", Kind::Text, "A folder, relative to what the peer shares"),
            optional("pattern", Kind::Text, "Only names with this in them; * and ? stand for any"),
            MESH,
        ],
        effect: Effect::Reads,
        run: |call| Box::pin(list(call)),
    },
];

async fn read(call: Call) -> Reply {
    let Target { mesh, spec, .. } = peer(&call).await?;
    let file_path = text(&call.arguments, "path").unwrap_or_default().to_owned();
    let hint = match is_local(&mesh, &spec).await {
        true => "(This peer is on the same machine: you could read its files yourself.)\n",
        false => "",
    };
    let ask = PeerFileRequest { target_pubkey: spec, file_path };
    let answer = mesh.ask_within(&ask, PATIENCE).await?;
    if let Some(why) = answer.error {
        return Err(refused(&why));
    }
    let bytes = STANDARD.decode(answer.content.unwrap_or_default());
    let bytes = bytes.map_err(|_| "the peer's answer is no base64".to_owned())?;
    if bytes.is_empty() {
        return Ok(format!("{hint}The file is empty."));
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(format!("{hint}{}", fence::around(&text, &fence::mark())))
}

async fn list(call: Call) -> Reply {
    let Target { mesh, spec, .. } = peer(&call).await?;
    let dir_path = text(&call.arguments, "path").unwrap_or(".").to_owned();
    let pattern = text(&call.arguments, "pattern").map(str::to_owned);
    let ask = PeerDirRequest { target_pubkey: spec, dir_path, pattern };
    let answer = mesh.ask_within(&ask, PATIENCE).await?;
    if let Some(why) = answer.error {
        return Err(refused(&why));
    }
    let entries = answer.entries.unwrap_or_default();
    if entries.is_empty() {
        return Ok("No files.".into());
    }
    let lines = entries.iter().take(limit::PEER_DIR_ENTRIES_MAX).map(|entry| fence::line(entry));
    Ok(fence::around(&lines.collect::<Vec<_>>().join("\n"), &fence::mark()))
}

/// What the peer says instead of an answer, as its words.
fn refused(why: &str) -> String {
    let why: String = why.chars().take(REFUSAL_CHARS_MAX).collect();
    format!("the peer refuses, in its words \"{}\"", fence::line(&why).replace('"', "'"))
}

/// Whether the peer is on this machine, as it says.
async fn is_local(mesh: &Mesh, key: &str) -> bool {
    let Ok(peers) = mesh.peers().await else { return false };
    let here = hostname();
    let is_it = |peer: &&Peer| peer.pubkey == key || peer.member_pubkey.as_deref() == Some(key);
    here.is_some() && peers.iter().find(is_it).is_some_and(|peer| peer.hostname == here)
}

/// Whose files are meant: one peer, in one mesh.
async fn peer(call: &Call) -> Result<Target, String> {
    let peer = text(&call.arguments, "peer").unwrap_or_default();
    let meshes = match text(&call.arguments, "mesh_slug") {
        Some(_) => vec![call.mesh()?],
        None => call.meshes.all(),
    };
    let target = targets::resolve(&meshes, peer).await?;
    match crate::client::message::is_multicast(&target.spec) {
        true => Err("name one peer; a group has no files".into()),
        false => Ok(target),
    }
}
