//! The edge: holds the sockets of a mesh's peers and serves REST. It keeps nothing that matters: any
//! peer can be on any edge, and any edge may die.
//!
//! A message's way: [`socket`] reads it, [`writer`] stores a batch, [`teller`] says where it is for,
//! the recipient's [`intake`] pushes it, and [`settler`] forgets it once it was received. The rules
//! are in the delivery protocol; each module names its part.

pub mod acceptor;
pub mod audit;
pub mod config;
pub mod handlers;
pub mod hello;
pub mod http;
pub mod intake;
pub mod log;
pub mod logging;
pub mod mailboxes;
pub mod measure;
pub mod node;
pub mod note;
pub mod posting;
pub mod push;
pub mod relay;
pub mod session;
pub mod settler;
pub mod signals;
pub mod socket;
mod states;
pub mod teller;
mod ticks;
pub mod watches;
pub mod webhooks;
pub mod writer;

use std::{
    num::NonZeroU32,
    sync::{Arc, RwLock},
    time::Duration,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use metrics_exporter_prometheus::PrometheusHandle;
use skein_sql::{Connector, Error, Pool, Settings, direct, migrate, nodes, partitions, sessions};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

pub use config::Config;
use node::Node;
use note::Note;
use teller::Tell;
use watches::Watches;
use webhooks::Webhooks;

/// Connections for requests over HTTP.
const HTTP_POOL_MAX: usize = 4;
/// How long sockets may take to close when the edge stops.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries to enter a node.
const START_AGAIN: Duration = Duration::from_secs(1);

/// A running edge.
#[derive(Debug)]
pub struct Edge {
    /// Its settings.
    pub config: Config,
    /// Connections for requests over HTTP.
    pub pool: Pool,
    /// How fast each API key asks.
    pub api_key_rates: DefaultKeyedRateLimiter<String>,
    /// What `/metrics` prints.
    pub metrics: PrometheusHandle,
    connector: Connector,
    node: RwLock<Arc<Node>>,
}

/// What a status hook says.
#[derive(Debug, Clone)]
pub struct HookInput {
    /// The session's working directory.
    pub cwd: String,
    /// Its process id.
    pub pid: Option<i64>,
    /// `idle`, `working` or `dnd`.
    pub status: String,
    /// The host program's id of the session.
    pub session_id: Option<String>,
}

/// What a status hook found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookOutcome {
    /// An attached session, by the id of its presence.
    Matched(String),
    /// None yet.
    Pending,
}

impl Edge {
    /// Brings the database to this program's schema and enters a node.
    ///
    /// # Errors
    /// When the database cannot be reached, is newer, or is behind a transaction pooler.
    pub async fn start(config: Config, metrics: PrometheusHandle) -> Result<Arc<Self>, Error> {
        let connector = Connector::new(config.database_url.expose())?;
        direct::require(&connector).await?;
        migrate::run(&connector).await?;
        let upkeep = connector.connect(Settings::Maintenance).await?;
        partitions::ensure_ahead(&upkeep, 7).await?;
        let node = Self::enter(&connector, &config).await?;
        Ok(Arc::new(Self {
            pool: connector.pool(Settings::Ordinary, HTTP_POOL_MAX)?,
            api_key_rates: RateLimiter::keyed(Quota::per_minute(
                NonZeroU32::new(config.api_key_requests_per_minute).unwrap_or(NonZeroU32::MIN),
            )),
            metrics,
            connector,
            node: RwLock::new(node),
            config,
        }))
    }

    async fn enter(connector: &Connector, config: &Config) -> Result<Arc<Node>, Error> {
        let url = config.public_url.as_deref();
        let (watches, webhooks) = (Watches::of(config), Webhooks::of(config));
        Node::start(connector, &config.region, url, config.peers_max, watches, webhooks).await
    }

    /// The node that serves now.
    pub fn node(&self) -> Arc<Node> {
        self.node.read().expect("nothing panics while it changes the node").clone()
    }

    /// Keeps a node alive until `stop`, then drains it: one that was declared dead closes its
    /// sockets (1012) and is followed by another, under a new id.
    pub async fn run(&self, stop: &CancellationToken) {
        loop {
            let node = self.node();
            tokio::select! {
                () = stop.cancelled() => return node.drain(DRAIN_PATIENCE).await,
                () = node.dead.cancelled() => (),
            }
            node.close(1012, "starting again", DRAIN_PATIENCE).await;
            node.end_work();
            let next = loop {
                match Self::enter(&self.connector, &self.config).await {
                    Ok(next) => break next,
                    Err(error) => warn!(%error, "cannot start again yet"),
                }
                tokio::select! {
                    () = tokio::time::sleep(START_AGAIN) => (),
                    () = stop.cancelled() => return,
                }
            };
            *self.node.write().expect("nothing panics while it changes the node") = next;
        }
    }

    /// Whether the database answered lately.
    pub fn database_up(&self) -> bool {
        self.node().database_up()
    }

    /// Closes the sockets of a member that was revoked, on every edge.
    pub async fn close_member(&self, member: i64) {
        let alive = async {
            let db = self.pool.get().await?;
            nodes::alive_edges(&db).await
        };
        match alive.await {
            Ok(nodes) => self.node().tell(Tell::To(nodes, Note::Close { member })),
            // Every edge compares its sockets with the members that may be here.
            Err(error) => {
                error!(error = error.brief(), "a revoked member's sockets close within ten seconds")
            }
        }
    }

    /// Applies a status hook.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hook_status(&self, input: HookInput) -> Result<HookOutcome, Error> {
        let db = self.pool.get().await?;
        let (pid, session_id) = (input.pid.unwrap_or(0), input.session_id.unwrap_or_default());
        let hooked = sessions::hook(&db, &input.cwd, pid, &session_id, &input.status).await?;
        Ok(match hooked {
            Some(hooked) => {
                let note = Note::Status { session: hooked.mailbox };
                self.node().tell(Tell::To(vec![hooked.node], note));
                HookOutcome::Matched(hooked.presence_id)
            }
            None => HookOutcome::Pending,
        })
    }
}
