//! `skein doctor`: every hop from this home to a message that came back, and the first that is
//! broken, with its fix.
//!
//! The hops of a home: its configuration and, for each mesh, its keys. The hops of an edge: DNS,
//! TCP, TLS, its answer over HTTP, clocks, its database, the upgrade to a WebSocket. Then those of
//! the mesh, over the edges that work: a hello, and a sealed message to ourselves, through one edge
//! and from one edge to another. After a broken hop the later ones of its way are skipped. An edge
//! that is broken while another works is a warning: the mesh works without it.
//!
//! The hello is said with a session key that exists for this alone, so nothing that waits for
//! somebody is touched, and the message reaches no inbox.

mod chain;
mod local;
mod report;
mod way;

use futures_util::future::join_all;

use self::chain::Chain;
use self::report::Report;
use self::way::Reached;
use super::Context;
use crate::home::Membership;
use crate::{Error, Result};

/// What the long help ends with.
const HELP: &str = "\
Hops: configuration, keys; for each edge dns, connect, tls, edge, clock, database, websocket; then
hello, delivery. Each is ok, warning, broken or skipped. Ends with 1 when one is broken.
With --json: {healthy, broken: {hop, mesh, edge, detail, fix} or null,
  hops: [{hop, mesh, edge, state, tookMs, detail, fix}]}";

/// Nothing to choose.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub struct Args {}

/// Runs `skein doctor`; ends with 1 when a hop is broken.
pub async fn run(context: &Context, Args {}: Args) -> Result<()> {
    let report = examine(context).await;
    context.out.print(&report, |out| report.words(&context.out, out))?;
    match report.broken {
        None => Ok(()),
        Some(broken) => Err(Error::Unwell { what: broken.sentence(), fix: broken.fix }),
    }
}

async fn examine(context: &Context) -> Report {
    let mut chain = Chain::new(None, None);
    let memberships = local::configuration(context, &mut chain);
    let mut chains = vec![chain];
    // One mesh after the other: they may share edges, and times are to mean something.
    for membership in memberships {
        mesh(context, &membership, &mut chains).await;
    }
    Report::of(chains)
}

async fn mesh(context: &Context, membership: &Membership, chains: &mut Vec<Chain>) {
    let slug = Some(membership.slug.as_str());
    let mut keys = Chain::new(slug, None);
    local::keys(context, membership, &mut keys);
    let is_whole = !keys.is_broken();
    chains.push(keys);
    let mut ways = if is_whole {
        join_all(membership.edges.iter().map(|edge| way::to(slug, edge))).await
    } else {
        Vec::new()
    };
    if ways.iter().any(|way| way.reached.is_some()) {
        ways.iter_mut().for_each(|way| way.chain.soften());
    }
    let reached: Vec<Reached> = ways.iter_mut().filter_map(|way| way.reached.take()).collect();
    let mut talk = Chain::new(slug, reached.first().map(|reached| reached.url.as_str()));
    let found = way::talk(membership, reached, &mut talk).await;
    // What the hello found out belongs to the hop that is broken.
    if let Some((url, found)) = found
        && let Some(way) = ways.iter_mut().find(|way| way.url == url)
    {
        way.chain.amend(found.hop, found.fault);
    }
    chains.extend(ways.into_iter().map(|way| way.chain));
    chains.push(talk);
}
