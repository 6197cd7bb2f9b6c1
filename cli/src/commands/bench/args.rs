//! What `skein bench` is told.

use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;
use serde_json::Value;

use crate::bench::body::HEAD_BYTES;
use crate::bench::process::Watched;
use crate::time::parse_span;

/// What to measure, and where.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An edge, as an http(s) or ws(s) URL; peers spread over those that are named.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "SKEIN_EDGE",
        hide_env_values = true,
        default_value = "http://127.0.0.1:7900"
    )]
    pub edge: Vec<String>,
    /// The deployment's operator token, which makes meshes.
    #[arg(long, global = true, env = "SKEIN_OPERATOR_TOKEN", hide_env_values = true)]
    pub operator_token: Option<String>,
    /// A process whose CPU time and memory are reported, with its descendants'.
    #[arg(long, global = true, value_name = "NAME=PID", value_parser = Watched::parse)]
    pub process: Vec<Watched>,
    /// Threads that make the load.
    #[arg(
        long,
        global = true,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=64)
    )]
    pub threads: u16,
    /// Which kind of run.
    #[command(subcommand)]
    pub what: What,
}

/// What to measure.
#[derive(Debug, Clone, Subcommand)]
pub enum What {
    /// Sealed messages between pairs of peers, each pair across two edges.
    Direct(Direct),
    /// Multicasts of one peer to many, across the edges.
    Fanout(Fanout),
    /// Every peer of a ring sends to its neighbours, as fast as its window allows.
    Burst(Burst),
    /// Keys that some peers set and all others hear of, across the edges.
    State(State),
    /// Sockets that say nothing: memory of each, and CPU.
    Idle(Idle),
    /// Sockets that attach; with --reconnect, that lose their edge and come back.
    Hello(Hello),
}

/// Direct messages.
#[derive(Debug, Clone, Serialize, clap::Args)]
#[serde(rename_all = "camelCase")]
pub struct Direct {
    /// Pairs of peers.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = count(10_000))]
    pub pairs: u64,
    /// Sends of one peer that are not acknowledged and opened yet.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = count(1024))]
    pub window: u64,
    /// Bytes of a message, before it is sealed.
    #[arg(long, value_name = "BYTES", default_value_t = 250, value_parser = bytes())]
    pub size: u64,
    /// Messages of all peers together in a second; as fast as the windows allow, if not said.
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,
    /// How many messages each peer sends, instead of a time.
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    pub messages: Option<u64>,
    /// How long it is measured.
    #[arg(long, value_name = "S", default_value_t = 10)]
    pub seconds: u64,
    /// How long it runs before that.
    #[arg(long, value_name = "S", default_value_t = 3)]
    pub warm_up: u64,
}

/// Multicasts.
#[derive(Debug, Clone, Serialize, clap::Args)]
#[serde(rename_all = "camelCase")]
pub struct Fanout {
    /// Peers that receive.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = count(900))]
    pub peers: u64,
    /// Multicasts that are not acknowledged and opened by all yet.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = count(1024))]
    pub window: u64,
    /// Bytes of a message.
    #[arg(long, value_name = "BYTES", default_value_t = 250, value_parser = bytes())]
    pub size: u64,
    /// How many multicasts are sent, instead of a time.
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    pub messages: Option<u64>,
    /// How long it is measured.
    #[arg(long, value_name = "S", default_value_t = 10)]
    pub seconds: u64,
    /// How long it runs before that.
    #[arg(long, value_name = "S", default_value_t = 3)]
    pub warm_up: u64,
}

/// A burst.
#[derive(Debug, Clone, Serialize, clap::Args)]
#[serde(rename_all = "camelCase")]
pub struct Burst {
    /// Peers in the ring.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = count(1000))]
    pub peers: u64,
    /// Messages that each of them sends.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub messages: u64,
    /// Sends of one peer that are not acknowledged and opened yet.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = count(1024))]
    pub window: u64,
    /// Bytes of a message, before it is sealed.
    #[arg(long, value_name = "BYTES", default_value_t = 250, value_parser = bytes())]
    pub size: u64,
}

/// Changes of state.
#[derive(Debug, Clone, Serialize, clap::Args)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Peers of the mesh.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = count(900))]
    pub peers: u64,
    /// Peers that set keys, each its own.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = count(900))]
    pub writers: u64,
    /// Changes of all together in a second.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = count(100_000))]
    pub rate: u64,
    /// Bytes of filling in each value.
    #[arg(long, value_name = "BYTES", default_value_t = 200, value_parser = count(200_000))]
    pub size: u64,
    /// How long it is measured.
    #[arg(long, value_name = "S", default_value_t = 10)]
    pub seconds: u64,
    /// How long it runs before that.
    #[arg(long, value_name = "S", default_value_t = 3)]
    pub warm_up: u64,
}

/// Idle sockets.
#[derive(Debug, Clone, Serialize, clap::Args)]
#[serde(rename_all = "camelCase")]
pub struct Idle {
    /// Sockets in all.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = count(50_000))]
    pub sockets: u64,
    /// Members of a mesh.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = count(1000))]
    pub mesh_size: u64,
    /// Sockets that attach at once.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = count(4096))]
    pub at_once: u64,
    /// From the last hello until they are measured.
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = parse_span)]
    #[serde(serialize_with = "seconds")]
    pub settle: Duration,
    /// How long they are measured.
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = parse_span)]
    #[serde(serialize_with = "seconds")]
    pub hold: Duration,
}

/// Sockets that attach.
#[derive(Debug, Clone, Serialize, clap::Args)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// Sockets in all.
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = count(50_000))]
    pub sockets: u64,
    /// Members of a mesh.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = count(1000))]
    pub mesh_size: u64,
    /// Sockets that attach at once.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = count(4096))]
    pub at_once: u64,
    /// All attach to the first edge, lose it, and come back at the others.
    #[arg(long)]
    pub reconnect: bool,
    /// The process of the first edge, to be killed; without it every socket is dropped.
    #[arg(long, value_name = "PID", requires = "reconnect")]
    pub kill: Option<u32>,
    /// Messages that each session has not settled when it loses its edge.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5,
        value_parser = count(200),
        requires = "reconnect"
    )]
    pub unsettled: u64,
}

/// Between one and this.
fn count(most: u64) -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=most)
}

fn bytes() -> clap::builder::RangedU64ValueParser {
    /// A sealed message in base64 is a third longer than this, and may have 1 MiB.
    const MOST: u64 = 700_000;
    clap::value_parser!(u64).range(HEAD_BYTES as u64..=MOST)
}

fn seconds<S: serde::Serializer>(span: &Duration, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.serialize_u64(span.as_secs())
}

impl What {
    /// What the report calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Direct(_) => "direct",
            Self::Fanout(_) => "fanout",
            Self::Burst(_) => "burst",
            Self::State(_) => "state",
            Self::Idle(_) => "idle",
            Self::Hello(run) if run.reconnect => "reconnect",
            Self::Hello(_) => "hello",
        }
    }

    /// What was asked for, without what this run does not go by.
    pub fn settings(&self) -> Value {
        let settings = match self {
            Self::Direct(run) => serde_json::to_value(run),
            Self::Fanout(run) => serde_json::to_value(run),
            Self::Burst(run) => serde_json::to_value(run),
            Self::State(run) => serde_json::to_value(run),
            Self::Idle(run) => serde_json::to_value(run),
            Self::Hello(run) => serde_json::to_value(run),
        };
        let mut settings = settings.expect("settings are JSON");
        let fields = settings.as_object_mut().expect("settings are a struct");
        fields.retain(|_, value| !value.is_null());
        let idle: &[&str] = match self {
            Self::Direct(Direct { messages: Some(_), .. })
            | Self::Fanout(Fanout { messages: Some(_), .. }) => &["seconds", "warmUp"],
            Self::Hello(Hello { reconnect: false, .. }) => &["reconnect", "unsettled"],
            _ => &[],
        };
        fields.retain(|name, _| !idle.contains(&name.as_str()));
        settings
    }
}
