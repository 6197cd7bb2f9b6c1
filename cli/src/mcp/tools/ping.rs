//! Ping: how long the way through the mesh takes, without disturbing anybody.
//!
//! A message of the session to itself goes the whole way of a message to a peer: sealed, stored,
//! acknowledged, pushed, opened, written to disk.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use skein_wire::{Priority, Status};
use tokio::time::timeout;

use super::arguments::{Kind, optional, texts};
use super::{Call, Effect, Reply, Tool};
use crate::mcp::mesh::Mesh;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub const TOOLS: &[Tool] = &[Tool {
    name: "ping_mesh",
    description: "Check the way through the mesh: the connection, and for each priority how long \
                  a message to yourself takes to be stored and to arrive. Nobody else notices.",
    parameters: &[optional(
        "priorities",
        Kind::Words(&["now", "next", "low"]),
        "Which priorities; all by default",
    )],
    effect: Effect::Reads,
    run: |call| Box::pin(ping(call)),
}];

async fn ping(call: Call) -> Reply {
    let words = texts(&call.arguments, "priorities").filter(|words| !words.is_empty());
    let words = words.unwrap_or_else(|| ["now", "next", "low"].map(str::to_owned).to_vec());
    let mut priorities: Vec<Priority> = Vec::new();
    for priority in words.iter().filter_map(|word| Priority::parse(word)) {
        if !priorities.contains(&priority) {
            priorities.push(priority);
        }
    }
    call.everywhere(|mesh| {
        let priorities = priorities.clone();
        async move { measure(&mesh, &priorities).await }
    })
    .await
}

async fn measure(mesh: &Arc<Mesh>, priorities: &[Priority]) -> Reply {
    let client = mesh.client().await?;
    let own = client.session().hex();
    let asked = Instant::now();
    let peers = mesh.peers().await?;
    let status = peers.iter().find(|peer| peer.pubkey == own).map(|peer| peer.status);
    let edge = client.edge().unwrap_or_else(|| "an edge".into());
    let mut text = format!(
        "{}: connected to {edge}; {} peer(s) online, listed in {}",
        mesh.slug,
        peers.len(),
        ms(asked.elapsed()),
    );
    for &priority in priorities {
        let (ping, arrival) = mesh.pings().start();
        let sent = Instant::now();
        let ack = client.send(&own, priority, &ping).within(PATIENCE).await;
        let stored = sent.elapsed();
        let word = priority.as_str();
        let _ = match ack {
            Err(error) => write!(text, "\n- {word}: not stored: {error}"),
            Ok(_) => match timeout(PATIENCE, arrival).await {
                Ok(Ok(at)) => {
                    let arrived = at.duration_since(sent);
                    write!(text, "\n- {word}: stored in {}, arrived in {}", ms(stored), ms(arrived))
                }
                _ if priority != Priority::Now && status != Some(Status::Idle) => {
                    write!(text, "\n- {word}: stored in {}, held while you are busy", ms(stored))
                }
                _ => {
                    let waited = PATIENCE.as_secs();
                    write!(text, "\n- {word}: stored in {}, not here after {waited} s", ms(stored))
                }
            },
        };
    }
    Ok(text)
}

fn ms(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}
