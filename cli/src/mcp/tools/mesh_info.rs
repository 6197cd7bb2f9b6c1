//! The overview of a mesh.

use skein_wire::mesh_info::MeshInfo;

use super::arguments::MESH;
use super::{Call, Effect, Reply, Tool};
use crate::mcp::fence;

pub const TOOLS: &[Tool] = &[Tool {
    name: "mesh_info",
    description: "What the mesh has: how many peers, their groups, state keys, memories, files, \
                  tasks, streams; and who you are in it.",
    parameters: &[MESH],
    effect: Effect::Reads,
    run: |call| Box::pin(overview(call)),
}];

async fn overview(call: Call) -> Reply {
    let mesh = call.mesh()?;
    let info = mesh.ask(&MeshInfo {}).await?;
    let own: Vec<String> =
        info.your_groups.iter().map(|group| format!("@{}", group.name)).collect();
    let tasks = info.tasks;
    let lines = [
        format!("Mesh {} ({})", mesh.slug, fence::line(&info.mesh)),
        format!("You: \"{}\"{}", fence::name(&info.your_name), list(" in ", &own)),
        format!("Peers: {}{}", info.peers, list(", groups ", &info.groups)),
        format!("State: {} keys{}", info.state_keys.len(), list(": ", &info.state_keys)),
        format!("Memories: {}, files: {}", info.memory_count, info.file_count),
        format!("Tasks: {} open, {} claimed, {} done", tasks.open, tasks.claimed, tasks.done),
        format!("Streams: {}{}", info.streams.len(), list(": ", &info.streams)),
        format!("Tables: {}{}", info.tables.len(), list(": ", &info.tables)),
    ];
    Ok(lines.join("\n"))
}

/// Names of peers in a row, behind these words; nothing where there are none.
fn list(before: &str, names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("{before}{}", fence::line(&names.join(", "))),
    }
}
