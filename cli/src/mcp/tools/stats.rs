//! Stats: what every session reports about itself.

use serde_json::{Map, Value};
use skein_wire::presence::Peer;

use super::{Call, Effect, Reply, Tool};
use crate::mcp::fence;

pub const TOOLS: &[Tool] = &[Tool {
    name: "mesh_stats",
    description: "Counters of every peer: messages in and out, tool calls, uptime, errors.",
    parameters: &[],
    effect: Effect::Reads,
    run: |call| Box::pin(table(call)),
}];

async fn table(call: Call) -> Reply {
    call.everywhere(|mesh| async move {
        let client = mesh.client().await?;
        // Our own line is to be of now. A server that does not take it shows an older one.
        let _ = client.tell(&mesh.counters.report()).await;
        let peers = mesh.peers().await?;
        let rows: Vec<_> = peers.iter().map(row).collect();
        let head = "| peer | in | out | tool calls | uptime (min) | errors |";
        Ok(format!("{}\n{head}\n|---|---|---|---|---|---|\n{}", mesh.slug, rows.join("\n")))
    })
    .await
}

fn row(peer: &Peer) -> String {
    let name = fence::name(&peer.display_name).replace('|', "/");
    let Some(stats) = &peer.stats else {
        return format!("| {name} | - | - | - | - | - |");
    };
    let number = |field| number(stats, field);
    format!(
        "| {name} | {} | {} | {} | {} | {} |",
        number("messagesIn"),
        number("messagesOut"),
        number("toolCalls"),
        number("uptime") / 60,
        number("errors"),
    )
}

fn number(stats: &Map<String, Value>, field: &str) -> u64 {
    stats.get(field).and_then(Value::as_f64).map_or(0, |number| number.max(0.0) as u64)
}
