//! `skein peers`: who is here.

use skein_wire::presence::{ListPeers, Peer};

use super::{Context, attach};
use crate::Result;
use crate::client::names;
use crate::output::{harmless, short};

/// Nothing to choose.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs `skein peers`. The session of the command itself is left out.
pub async fn run(context: &Context, Args {}: Args) -> Result<()> {
    let membership = context.membership()?;
    let attached = attach::attach(context, &membership).await?;
    let own = attached.client.session().hex();
    let mut peers = attached.client.request(&ListPeers {}).await?.peers;
    attached.client.close().await;
    context.home.names(&membership.mesh_id).learn(names::of(&peers));
    peers.retain(|peer| peer.pubkey != own);
    let member = membership.member()?.public.hex();
    context.out.print(&peers, |out| {
        if peers.is_empty() {
            return writeln!(out, "Nobody else is here. `skein invite` lets others join.");
        }
        for peer in &peers {
            writeln!(out, "{}", line(context, peer, &member))?;
        }
        Ok(())
    })
}

fn line(context: &Context, peer: &Peer, member: &str) -> String {
    let you = if peer.member_pubkey.as_deref() == Some(member) { " (you)" } else { "" };
    let groups: String = peer.groups.iter().map(|group| format!(" @{}", group.name)).collect();
    let summary = peer.summary.as_ref().map(|summary| format!("  {summary}")).unwrap_or_default();
    let place = peer.hostname.as_deref().unwrap_or("");
    format!(
        "{}{you}  {}{}{}  {}",
        context.out.bold(&harmless(&peer.display_name)),
        peer.status.as_str(),
        harmless(&groups),
        harmless(&summary).replace('\n', " "),
        context.out.dim(&format!("{} {}", short(&peer.pubkey), harmless(place))),
    )
}
