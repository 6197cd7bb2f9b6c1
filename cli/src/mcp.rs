//! `skein mcp`: an agent as a peer. An MCP server on standard input and output, for the life of its
//! host's session.
//!
//! ```text
//! host ◄─ stdio ─► transport ─► server ─► tools ─► targets ─► mesh ─► client ─► edge
//!   ▲                                                          │
//!   └────────── channel ◄── lines ◄── mailbox ◄── inbox on disk ◄──┘
//! ```
//!
//! It answers at once and connects in the background, to every mesh of the home, also to those that
//! are joined later. It does not end while its host is there: hosts do not start it again. Its list
//! of tools is chosen at the start and never changes. Standard output carries protocol lines only;
//! logs go to standard error.

pub mod channel;
pub mod counters;
pub mod fence;
pub mod instructions;
pub mod lines;
pub mod mailbox;
pub mod mesh;
pub mod meshes;
pub mod server;
pub mod targets;
pub mod tools;
pub mod transport;
pub mod wishes;

use std::sync::Arc;
use std::time::Duration;

use rmcp::ServiceExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tracing::{debug, error};

use self::channel::{Channel, MessageMode};
use self::instructions::Identity;
use self::meshes::Meshes;
use self::server::Server;
use self::tools::Offer;
use self::transport::{Receipts, Stdio};
use crate::Result;
use crate::home::{Home, Membership};
use crate::shared::Shared;

/// How often the counters of a session are reported.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// How this session presents itself.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The only mesh, by short name or id; every joined one when absent.
    pub mesh: Option<String>,
    /// What the host is told of messages.
    pub mode: MessageMode,
    /// Whether lines were asked for on the command line: then every host is sent them.
    pub lines_asked_for: bool,
    /// The name that others see; the member's when absent.
    pub name: Option<String>,
    /// What this agent is there for.
    pub role: Option<String>,
    /// The host's id of the session.
    pub session_id: Option<String>,
    /// Which program the host is; peers see it.
    pub channel: String,
    /// The model that the host runs.
    pub model: Option<String>,
    /// The tools that the host is offered.
    pub tools: Offer,
    /// The folder that peers may read; nothing when absent.
    pub shared: Option<Shared>,
    /// How often the counters are reported.
    pub report_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mesh: None,
            mode: MessageMode::Push,
            lines_asked_for: false,
            name: None,
            role: None,
            session_id: None,
            channel: "claude-code".into(),
            model: None,
            tools: Offer::all(),
            shared: None,
            report_every: REPORT_EVERY,
        }
    }
}

impl Settings {
    /// The name that others see in this mesh.
    pub fn name_in(&self, membership: &Membership) -> String {
        self.name.clone().unwrap_or_else(|| membership.display_name.clone())
    }
}

/// Serves a host until it is gone, or until a signal.
pub async fn serve<R, W>(home: Home, settings: Settings, read: R, write: W) -> Result<()>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let started = Instant::now();
    let channel = Arc::new(Channel::new(settings.mode, settings.lines_asked_for));
    let meshes = Meshes::start(home, settings.clone(), channel.clone());
    let receipts = Arc::<Receipts>::default();
    let server = Server {
        instructions: instructions(&meshes, &settings).await,
        meshes: meshes.clone(),
        channel: channel.clone(),
        receipts: receipts.clone(),
        offer: settings.tools.clone(),
    };
    let background =
        [tokio::spawn(meshes.clone().follow()), tokio::spawn(meshes.clone().welcome(started))];
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        () = talk(server, Stdio::new(read, write, channel, receipts)) => (),
        _ = terminated.recv() => debug!("asked to end"),
        _ = tokio::signal::ctrl_c() => debug!("asked to end"),
    }
    background.iter().for_each(tokio::task::JoinHandle::abort);
    meshes.close().await;
    Ok(())
}

/// Answers the host until it closes its end.
async fn talk<R, W>(server: Server, transport: Stdio<R, W>)
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    match server.serve(transport).await {
        Ok(running) => match running.waiting().await {
            Ok(reason) => debug!(?reason, "the host is gone"),
            Err(error) => error!(%error, "the server ended"),
        },
        Err(error) => debug!(%error, "the host left before it began"),
    }
}

async fn instructions(meshes: &Meshes, settings: &Settings) -> String {
    let mut identities = Vec::new();
    for mesh in meshes.all() {
        mesh.seated().await;
        let membership = mesh.membership().await;
        let name = settings.name_in(&membership);
        let key = mesh.key().map(|key| key.hex());
        identities.push(Identity { membership, name, key });
    }
    instructions::write(&identities, settings)
}
