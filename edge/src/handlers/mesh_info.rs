//! The overview of a mesh. What the caller may not see is not counted.

use std::collections::BTreeSet;

use skein_sql::{memory, presence, state, streams, tasks};
use skein_wire::mesh_info::{MeshInfo, MeshInfoResult, Request};

use super::{Context, Result};

/// What is told of the keys of the state, which could be more than fit a frame.
const KEYS_BYTES_MAX: usize = 2 * 1024 * 1024;
/// What is told of groups, for the same reason.
const GROUPS_BYTES_MAX: usize = 512 * 1024;

/// Serves one message about the whole mesh.
pub async fn handle(ctx: &Context<'_>, request: Request) -> Result<Option<String>> {
    match request {
        Request::MeshInfo(_) => overview(ctx).await,
    }
}

async fn overview(ctx: &Context<'_>) -> Result<Option<String>> {
    let (session, mesh) = (ctx.session, ctx.session.mesh);
    let db = ctx.db().await?;
    let peers = presence::list(&db, mesh, session.member).await?;
    let groups: BTreeSet<String> = peers
        .iter()
        .flat_map(|peer| &peer.groups)
        .map(|group| format!("@{}", group.name))
        .collect();
    let streams = streams::list(&db, mesh).await?;
    let info = MeshInfoResult {
        mesh: session.mesh_id.to_string(),
        peers: i64::try_from(peers.len()).unwrap_or(i64::MAX),
        groups: first(groups, GROUPS_BYTES_MAX),
        state_keys: first(state::keys(&db, mesh).await?, KEYS_BYTES_MAX),
        memory_count: memory::count(&db, mesh).await?,
        // What is not there yet has nothing.
        file_count: 0,
        tasks: tasks::counts(&db, mesh).await?,
        streams: streams.into_iter().map(|stream| stream.name).collect(),
        tables: Vec::new(),
        collections: Vec::new(),
        your_name: session.name.clone(),
        your_groups: session.live().groups.clone(),
    };
    Ok(ctx.reply::<MeshInfo>(&info))
}

/// The first of these texts, as many as come to so many bytes of JSON.
fn first(texts: impl IntoIterator<Item = String>, bytes_max: usize) -> Vec<String> {
    let mut n_bytes = 0;
    let fits = |text: &String| {
        n_bytes += serde_json::to_string(text).map_or(0, |json| json.len() + 1);
        n_bytes <= bytes_max
    };
    texts.into_iter().take_while(fits).collect()
}
