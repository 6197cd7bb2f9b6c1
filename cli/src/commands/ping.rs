//! `skein ping`: whether the mesh can be reached, how fast, and whether a peer is here.
//!
//! Three things are measured over one session: the hello, the way to the edge and back (a WebSocket
//! ping), and the way on to the database (a question that reads one row and finds none, less the
//! way to the edge). A peer is looked up among those who are here, and sent nothing: what reached
//! it would be in its inbox. So what is said of a peer is what the mesh knows: a session that was
//! lost without a word is listed until its edge has noticed, up to 75 seconds.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use serde::Serialize;
use skein_wire::presence::{ListPeers, Peer};

use super::{Context, attach, send};
use crate::client::names::{self, Unresolved};
use crate::home::{Lifetime, Membership};
use crate::output::{harmless, short};
use crate::probe::talk::{NoSession, Session};
use crate::{Error, Result};

/// What the long help ends with.
const HELP: &str = "\
A peer is looked up and sent nothing. Ends with 3 when it is not here, 4 when no edge is reached.
With --json, times in milliseconds: {meshId, slug, edge, helloMs, edgeMs: {min, median, max},
  databaseMs: {min, median, max}, peers, peer: {name, pubkey, here,
  sessions: [{pubkey, displayName, status, hostname, connectedAt}]}}";

/// How often to ask, and after whom.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub struct Args {
    /// Somebody to look for: a name or a key.
    peer: Option<String>,
    /// How many round trips are measured.
    #[arg(
        long,
        short,
        default_value_t = 5,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=1000)
    )]
    count: u16,
}

/// What was measured. Times are in milliseconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    mesh_id: String,
    slug: String,
    edge: String,
    hello_ms: f64,
    edge_ms: Spread,
    database_ms: Spread,
    peers: usize,
    /// Whom was asked for; absent when nobody was.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<Seen>,
}

/// Several times, in short.
#[derive(Debug, Clone, Copy, Serialize)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

/// A peer that was looked for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    /// As it was asked for.
    name: String,
    /// The key that a message would go to.
    pubkey: String,
    /// Whether a session of it is attached.
    here: bool,
    /// Its sessions, longest attached first.
    sessions: Vec<At>,
}

/// A session of a peer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct At {
    pubkey: String,
    display_name: String,
    status: String,
    hostname: Option<String>,
    connected_at: String,
}

/// Runs `skein ping`. Ends with 3 when the peer is not here, and with 4 when no edge is.
pub async fn run(context: &Context, args: Args) -> Result<()> {
    let membership = context.membership()?;
    let own = context.home.session(&membership.mesh_id, Lifetime::Short)?;
    let config = attach::config(context, &membership, &own)?;
    let since = Instant::now();
    let (edge, mut session) = attached(&membership, &config).await?;
    let hello_ms = ms(since.elapsed());
    let (mut edges, mut databases) = (Vec::new(), Vec::new());
    for _ in 0..args.count {
        let there = session.ping().await.map_err(Error::NotConnected)?;
        let asked = session.query().await.map_err(Error::NotConnected)?;
        edges.push(there);
        databases.push(asked.saturating_sub(there));
    }
    let listed = session.ask(&ListPeers {}).await.map_err(Error::NotConnected)??;
    session.close().await;
    let own = own.keys.public;
    let peer = match args.peer {
        Some(name) => Some(look(&membership, &listed.peers, &own, name).await?),
        None => None,
    };
    let measured = Measured {
        mesh_id: membership.mesh_id,
        slug: membership.slug,
        edge,
        hello_ms,
        edge_ms: Spread::of(edges),
        database_ms: Spread::of(databases),
        peers: listed.peers.iter().filter(|peer| peer.pubkey != own.hex()).count(),
        peer,
    };
    context.out.print(&measured, |out| words(context, &measured, out))?;
    match measured.peer {
        Some(Seen { here: false, name, .. }) => {
            Err(Error::NotHere(format!("{name} is not here now")))
        }
        _ => Ok(()),
    }
}

/// The first edge that takes us; what the last one said, when none does.
async fn attached(
    membership: &Membership,
    config: &crate::client::Config,
) -> Result<(String, Session)> {
    let mut problem = Error::NotConnected("no edge is known".into());
    for edge in &membership.edges {
        problem = match Session::attach(edge, config).await {
            Ok(session) => return Ok((edge.clone(), session)),
            Err(NoSession::Refused(refusal)) => refusal.into(),
            Err(NoSession::Lost { what, .. }) => Error::NotConnected(format!("{edge}: {what}")),
        };
    }
    Err(problem)
}

/// Looks for a peer among those who are here, then among those who joined.
async fn look(
    membership: &Membership,
    peers: &[Peer],
    own: &skein_crypto::Public,
    name: String,
) -> Result<Seen> {
    let key = match names::literal(&name) {
        Some(key) if key == "*" || key.starts_with('@') => {
            return Err(Error::Usage(format!("`{name}` is many; name one peer")));
        }
        Some(key) => key,
        None => match names::resolve(&name, peers, own) {
            Ok(key) => key,
            Err(Unresolved::Ambiguous(candidates)) => {
                return Err(Error::Ambiguous { what: format!("`{name}`"), candidates });
            }
            Err(Unresolved::Unknown) => send::away(membership, &name).await?,
        },
    };
    let is_it = |peer: &&Peer| peer.pubkey == key || peer.member_pubkey.as_ref() == Some(&key);
    let found = peers.iter().filter(|peer| peer.pubkey != own.hex()).filter(is_it);
    let sessions: Vec<At> = found
        .map(|peer| At {
            pubkey: peer.pubkey.clone(),
            display_name: peer.display_name.clone(),
            status: peer.status.as_str().to_owned(),
            hostname: peer.hostname.clone(),
            connected_at: peer.connected_at.clone(),
        })
        .collect();
    Ok(Seen { name, here: !sessions.is_empty(), pubkey: key, sessions })
}

fn words(context: &Context, measured: &Measured, out: &mut dyn Write) -> io::Result<()> {
    let slug = context.out.bold(&harmless(&measured.slug));
    writeln!(out, "{slug} at {}, hello in {:.1} ms", measured.edge, measured.hello_ms)?;
    for (what, spread) in [("edge", measured.edge_ms), ("database", measured.database_ms)] {
        let Spread { min, median, max } = spread;
        let range = context.out.dim(&format!("({min:.2} to {max:.2})"));
        writeln!(out, "  {what:9} {median:.2} ms  {range}")?;
    }
    let Some(peer) = &measured.peer else {
        return writeln!(out, "  peers     {} here", measured.peers);
    };
    let name = harmless(&peer.name);
    if !peer.here {
        return writeln!(out, "  {name:9} not here");
    }
    for at in &peer.sessions {
        let host = at.hostname.as_deref().map(|host| format!(" at {host}")).unwrap_or_default();
        let key = context.out.dim(short(&at.pubkey));
        let since = &at.connected_at;
        writeln!(out, "  {name:9} here, {}{}, since {since}  {key}", at.status, harmless(&host))?;
    }
    Ok(())
}

impl Spread {
    /// Of at least one time.
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |index: usize| times.get(index).copied().map_or(0.0, ms);
        Self { min: at(0), median: at(times.len() / 2), max: at(times.len().saturating_sub(1)) }
    }
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}
