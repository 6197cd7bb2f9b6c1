//! Runs of peers that set keys: how long until everybody else has heard it.
//!
//! Each writer has a key of its own, so that no change stands in for another, and writes when it is
//! due, whatever became of the one before. A run in which somebody did not hear the last value of
//! a key is no figure but an error.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, SplitSink, SplitStream, StreamExt, TryStreamExt};
use futures_util::{SinkExt, TryFutureExt};
use serde::Deserialize;
use serde_json::{json, value::to_raw_value};
use skein_wire::encode;
use skein_wire::state::SetState;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_tungstenite::tungstenite::Message;

use super::deployment::{Deployment, Member};
use super::process::{Sample, Watched};
use super::report::{Figures, Latency};
use super::socket::{self, Socket};
use super::talk::Talked;
use crate::{Error, Result};

/// Sockets that attach at once.
const ATTACH_AT_ONCE: usize = 16;
/// How long the last change may take.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);
/// From the last hello to the first change: those who came are announced meanwhile.
const SETTLE: Duration = Duration::from_secs(1);

/// How peers write.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// Peers that write; all others only listen.
    pub writers: usize,
    /// Changes of all together in a second.
    pub rate: f64,
    /// Bytes of filling in each value.
    pub bytes: usize,
    /// Not measured.
    pub warm_up: Duration,
    /// Measured.
    pub measured: Duration,
}

impl Manner {
    /// Changes of one writer in the whole run.
    fn each(&self) -> u64 {
        let seconds = (self.warm_up + self.measured).as_secs_f64();
        ((self.rate * seconds / self.writers as f64).round() as u64).max(1)
    }

    /// When a change is due, from the start on.
    fn due(&self, writer: usize, number: u64) -> Duration {
        let turn = number as f64 * self.writers as f64 + writer as f64;
        Duration::from_secs_f64(turn / self.rate)
    }
}

/// What a key holds.
#[derive(Debug, Deserialize)]
struct Held {
    /// Which change of its writer.
    n: u64,
    /// When it was due, in microseconds from the start on.
    due_us: u64,
}

/// A change, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Change {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    key: String,
    value: Option<Held>,
}

fn key(writer: usize) -> String {
    format!("bench/{writer}")
}

/// Runs peers of one mesh over the edges.
pub async fn run(
    deployment: &Deployment,
    members: Vec<Member>,
    manner: Manner,
    watched: &[Watched],
) -> Result<Talked> {
    let edges = Arc::new(deployment.edges.clone());
    let sockets: Vec<Socket> = stream::iter(members.into_iter().enumerate())
        .map(|(index, member)| {
            let edges = edges.clone();
            async move { socket::attach(&member, &edges[index % edges.len()]).await }
        })
        .buffered(ATTACH_AT_ONCE)
        .try_collect()
        .map_err(Error::NotConnected)
        .await?;
    let start = Instant::now() + SETTLE;
    let before = Sample::take(watched)?;
    let (mut writing, mut hearing) = (JoinSet::new(), JoinSet::new());
    for (index, socket) in sockets.into_iter().enumerate() {
        let (out, frames) = socket.split();
        if index < manner.writers {
            writing.spawn(write(out, index, manner, start));
        }
        hearing.spawn(hear(frames, index, manner, start));
    }
    // Until everybody has heard: a socket that closes is told to the others.
    let mut open = Vec::new();
    while let Some(written) = writing.join_next().await {
        open.push(written.expect("writing does not panic").map_err(Error::NotConnected)?);
    }
    let mut latencies_us = Vec::new();
    while let Some(heard) = hearing.join_next().await {
        latencies_us.extend(heard.expect("hearing does not panic").map_err(Error::Local)?);
    }
    drop(open);
    let after = Sample::take(watched)?;
    let seconds = manner.measured.as_secs_f64();
    let mut figures = Figures::new("changes heard", latencies_us.len() as u64, seconds).rated();
    latencies_us.sort_unstable();
    let p95 = latencies_us.get(latencies_us.len() * 95 / 100).copied().unwrap_or(u32::MAX);
    figures.more = BTreeMap::from([("p95Ms".into(), f64::from(p95) / 1e3)]);
    figures.latency_ms = Latency::of(latencies_us);
    Ok(Talked { figures, before, after })
}

async fn write(
    mut out: SplitSink<Socket, Message>,
    writer: usize,
    manner: Manner,
    start: Instant,
) -> std::result::Result<SplitSink<Socket, Message>, String> {
    let filling = "x".repeat(manner.bytes);
    for n in 0..manner.each() {
        let due = manner.due(writer, n);
        sleep_until(start + due).await;
        let due_us = u64::try_from(due.as_micros()).unwrap_or(u64::MAX);
        let value = json!({"n": n, "due_us": due_us, "filling": filling});
        let value = to_raw_value(&value).map_err(|error| error.to_string())?;
        let set = SetState { key: key(writer), value, if_version: None, ttl_seconds: None };
        out.send(Message::text(encode(&set, None))).await.map_err(|error| error.to_string())?;
    }
    // The socket stays open for those who listen to it.
    Ok(out)
}

/// How long each change took that was due while the run was measured, in microseconds.
async fn hear(
    mut frames: SplitStream<Socket>,
    index: usize,
    manner: Manner,
    start: Instant,
) -> std::result::Result<Vec<u32>, String> {
    let last = manner.each() - 1;
    let mut waited: HashMap<String, Option<u64>> =
        (0..manner.writers).filter(|writer| *writer != index).map(|w| (key(w), None)).collect();
    let until = start + manner.warm_up + manner.measured + DRAIN_WITHIN;
    let mut latencies_us = Vec::new();
    while waited.values().any(|heard| *heard != Some(last)) {
        let frame = timeout_at(until, frames.next()).await;
        let frame = frame.map_err(|_| format!("peer {index} did not hear the last of a key"))?;
        let text = match frame.ok_or("a socket was closed")?.map_err(|error| error.to_string())? {
            Message::Text(text) => text,
            Message::Close(close) => return Err(format!("a socket was closed: {close:?}")),
            _ => continue,
        };
        let Ok(Change { kind, key, value: Some(held) }) = serde_json::from_str(&text) else {
            continue;
        };
        let Some(heard) = waited.get_mut(&key).filter(|_| kind == "state_change") else { continue };
        if heard.is_some_and(|before| before >= held.n) {
            return Err(format!("{key} went back to {}", held.n));
        }
        *heard = Some(held.n);
        let due = Duration::from_micros(held.due_us);
        if due >= manner.warm_up {
            let took = start.elapsed().saturating_sub(due);
            latencies_us.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        }
    }
    Ok(latencies_us)
}
