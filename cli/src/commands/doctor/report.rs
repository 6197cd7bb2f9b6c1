//! What `doctor` found: hops in their order, each with its state and the time it took.

use std::io::{self, Write};

use serde::Serialize;

use super::chain::Chain;
use crate::output::{Output, harmless};

/// A hop, in the order in which they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Name {
    /// The home and its files.
    Configuration,
    /// The keys of a membership.
    Keys,
    /// From the edge's name to its addresses.
    Dns,
    /// TCP.
    Connect,
    /// TLS, where the URL wants it.
    Tls,
    /// The edge answers over HTTP.
    Edge,
    /// This machine's clock and the edge's.
    Clock,
    /// The database, as the edge sees it.
    Database,
    /// The upgrade to a WebSocket.
    Websocket,
    /// The mesh takes us.
    Hello,
    /// A message to ourselves comes back.
    Delivery,
}

impl Name {
    /// The hops of an edge.
    pub const OF_EDGE: [Self; 7] = [
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Edge,
        Self::Clock,
        Self::Database,
        Self::Websocket,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Keys => "keys",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Edge => "edge",
            Self::Clock => "clock",
            Self::Database => "database",
            Self::Websocket => "websocket",
            Self::Hello => "hello",
            Self::Delivery => "delivery",
        }
    }
}

/// How a hop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Well.
    Ok,
    /// Well enough: something is to be mended, and messages flow.
    Warning,
    /// Broken.
    Broken,
    /// Not looked at, because a hop before it is broken.
    Skipped,
}

/// A hop, looked at.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hop {
    /// Which.
    pub hop: Name,
    /// Of which mesh; `null` for those of the home.
    pub mesh: Option<String>,
    /// Over which edge; `null` where none is meant.
    pub edge: Option<String>,
    /// How it is.
    pub state: State,
    /// How long it took, in milliseconds; `null` when it was skipped.
    pub took_ms: Option<f64>,
    /// What was found; `null` when it was skipped.
    pub detail: Option<String>,
    /// What mends it; `null` when nothing is to be mended.
    pub fix: Option<String>,
}

/// The first broken hop.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Broken {
    /// Which.
    pub hop: Name,
    /// Of which mesh.
    pub mesh: Option<String>,
    /// Over which edge.
    pub edge: Option<String>,
    /// What was found.
    pub detail: String,
    /// What mends it.
    pub fix: String,
}

impl Broken {
    /// In words.
    pub fn sentence(&self) -> String {
        let mesh = self.mesh.as_ref().map(|mesh| format!("{mesh}: ")).unwrap_or_default();
        format!("{mesh}{} is broken: {}", self.hop.as_str(), self.detail)
    }
}

/// Everything that was looked at.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether no hop is broken.
    pub healthy: bool,
    /// The first that is; `null` when none is.
    pub broken: Option<Broken>,
    /// All, in order.
    pub hops: Vec<Hop>,
}

impl Report {
    /// The report of these chains.
    pub fn of(chains: Vec<Chain>) -> Self {
        let hops: Vec<Hop> = chains.into_iter().flat_map(Chain::into_hops).collect();
        let first = hops.iter().find(|hop| hop.state == State::Broken);
        let broken = first.map(|hop| Broken {
            hop: hop.hop,
            mesh: hop.mesh.clone(),
            edge: hop.edge.clone(),
            detail: hop.detail.clone().unwrap_or_default(),
            fix: hop.fix.clone().unwrap_or_default(),
        });
        Self { healthy: broken.is_none(), broken, hops }
    }

    /// Writes it for people: what is broken is explained once, at its first hop.
    pub fn words(&self, how: &Output, out: &mut dyn Write) -> io::Result<()> {
        let mut place = (&None, &None);
        for hop in &self.hops {
            if (&hop.mesh, &hop.edge) != place {
                place = (&hop.mesh, &hop.edge);
                let words = [hop.mesh.as_deref(), hop.edge.as_deref()];
                let words: Vec<_> = words.into_iter().flatten().collect();
                writeln!(out, "{}", how.bold(&harmless(&words.join("  "))))?;
            }
            let mark = match hop.state {
                State::Ok => "ok  ",
                State::Warning => "warn",
                State::Broken => "FAIL",
                State::Skipped => "skip",
            };
            let detail = harmless(hop.detail.as_deref().unwrap_or("-"));
            let took = hop.took_ms.map(|ms| format!("  {ms:.1} ms")).unwrap_or_default();
            writeln!(out, "  {mark}  {:13}  {detail}{}", hop.hop.as_str(), how.dim(&took))?;
            if let Some(fix) = hop.fix.as_ref().filter(|_| hop.state != State::Broken) {
                writeln!(out, "        {}", harmless(fix))?;
            }
        }
        if self.healthy { writeln!(out, "All is well.") } else { Ok(()) }
    }
}
