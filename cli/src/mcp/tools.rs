//! The tools: a table, one file a capability.
//!
//! A tool is a name, what it is for, its parameters and a function. Names and parameters are those
//! of the reference; arguments are checked against the table before the function sees them. What a
//! tool returns is text for a model: `Err` is text too, marked as an error.

pub mod arguments;
mod clock;
mod contexts;
mod groups;
mod inbox;
mod memory;
mod mesh_info;
mod messaging;
mod offer;
mod peer_files;
mod ping;
mod presence;
mod profile;
mod schedules;
mod skills;
mod state;
mod stats;
mod streams;
mod tasks;
mod watches;
mod webhooks;

use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::join_all;
use rmcp::model::{RequestId, ToolAnnotations};
use serde_json::{Map, Value};

use self::arguments::{Parameter, schema};
pub use self::offer::{CORE, Offer};
use super::mesh::Mesh;
use super::meshes::Meshes;
use super::transport::Receipts;

/// What a tool says.
pub type Reply = Result<String, String>;

/// The future of a reply.
type Replying = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// What calling a tool does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// It only looks.
    Reads,
    /// It changes what this session is; twice is as good as once.
    Sets,
    /// Others notice, each time.
    Acts,
}

/// A tool.
struct Tool {
    /// As in the reference.
    name: &'static str,
    /// What it is for, for a model.
    description: &'static str,
    /// What it takes.
    parameters: &'static [Parameter],
    /// What calling it does.
    effect: Effect,
    /// Does it.
    run: fn(Call) -> Replying,
}

/// Every tool, in the order that hosts list them in.
const CAPABILITIES: &[&[Tool]] = &[
    messaging::TOOLS,
    inbox::TOOLS,
    presence::TOOLS,
    profile::TOOLS,
    groups::TOOLS,
    ping::TOOLS,
    stats::TOOLS,
    state::TOOLS,
    contexts::TOOLS,
    skills::TOOLS,
    streams::TOOLS,
    peer_files::TOOLS,
    memory::TOOLS,
    mesh_info::TOOLS,
    tasks::TOOLS,
    webhooks::TOOLS,
    schedules::TOOLS,
    clock::TOOLS,
    watches::TOOLS,
];

/// A call on its way through a tool.
pub struct Call {
    /// The meshes to work on.
    pub meshes: Arc<Meshes>,
    /// Where to leave word for when the answer has been written.
    pub receipts: Arc<Receipts>,
    /// The request.
    pub id: RequestId,
    /// What was given.
    pub arguments: Map<String, Value>,
}

impl Call {
    /// The one mesh that is meant: the named one, the only one, or the person's default. A guess
    /// among several would read, or change, what somebody else shares.
    pub fn mesh(&self) -> Result<Arc<Mesh>, String> {
        self.meshes.meant(arguments::text(&self.arguments, "mesh_slug"))
    }

    /// Does the same in every mesh at once, and puts together what comes of it.
    async fn everywhere<F>(&self, work: impl Fn(Arc<Mesh>) -> F) -> Reply
    where
        F: Future<Output = Reply>,
    {
        let meshes = self.meshes.all();
        let working = meshes.iter().map(|mesh| work(mesh.clone()));
        together(&meshes, join_all(working).await)
    }
}

/// The tools that are offered, as the protocol lists them.
pub fn list(offer: &Offer) -> Vec<rmcp::model::Tool> {
    offer.tools().map(described).collect()
}

/// Calls the tool of this name, if it is offered.
pub async fn call(offer: &Offer, name: &str, mut call: Call) -> Reply {
    let meshes = call.meshes.all();
    meshes.iter().for_each(|mesh| mesh.counters.called());
    let reply = async {
        let tool = offer.tools().find(|tool| tool.name == name);
        let tool = tool.ok_or_else(|| format!("Unknown tool: {name}"))?;
        arguments::check(tool.name, tool.parameters, &mut call.arguments)?;
        if meshes.is_empty() {
            return Err(format!("{name}: {}", call.meshes.why_none()));
        }
        // What is told line by line names its subjects itself.
        let is_list = |problem: &str| problem.starts_with(['✗', '[', '#']);
        (tool.run)(call).await.map_err(|problem| match is_list(&problem) {
            true => problem,
            false => format!("{name}: {problem}"),
        })
    };
    let reply = reply.await;
    if reply.is_err() {
        meshes.iter().for_each(|mesh| mesh.counters.failed());
    }
    reply
}

fn every() -> impl Iterator<Item = &'static Tool> {
    CAPABILITIES.iter().copied().flatten()
}

fn described(tool: &'static Tool) -> rmcp::model::Tool {
    let annotations = ToolAnnotations::new()
        .read_only(tool.effect == Effect::Reads)
        .destructive(false)
        .idempotent(tool.effect != Effect::Acts)
        .open_world(tool.effect == Effect::Acts);
    rmcp::model::Tool::new(tool.name, tool.description, schema(tool.parameters))
        .with_annotations(annotations)
}

/// One text of what came of the same work in several meshes: an error only if all failed.
fn together(meshes: &[Arc<Mesh>], replies: Vec<Reply>) -> Reply {
    if replies.len() == 1 {
        return replies.into_iter().next().expect("there is one");
    }
    let is_error = replies.iter().all(Result::is_err);
    let lines = meshes.iter().zip(replies).map(|(mesh, reply)| {
        let text = reply.unwrap_or_else(|problem| format!("✗ {problem}"));
        format!("[{}] {text}", mesh.slug)
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    if is_error { Err(text) } else { Ok(text) }
}
