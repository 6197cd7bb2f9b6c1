//! `skein group`: join, leave, list.
//!
//! Groups belong to sessions, and a command's session ends with it. So the groups of this member
//! are kept in the home, and every program of this home that lives long is in them within a second.

use std::collections::BTreeMap;

use clap::Subcommand;
use serde_json::json;
use skein_wire::groups::Group;
use skein_wire::limit::{GROUP_BYTES_MAX, GROUPS_MAX};
use skein_wire::presence::ListPeers;

use super::{Context, attach};
use crate::output::harmless;
use crate::{Error, Result};

/// What to do with groups.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Be in a group, from now on.
    Join {
        /// Its path: `a` or `a/b`, with or without `@`.
        group: String,
        /// What you do there.
        #[arg(long)]
        role: Option<String>,
    },
    /// Be in it no longer.
    Leave {
        /// Its path.
        group: String,
    },
    /// List your groups, and those of who is here.
    List,
}

/// Runs `skein group`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Join { group, role } => join(context, &group, role),
        Command::Leave { group } => leave(context, &group),
        Command::List => list(context).await,
    }
}

fn join(context: &Context, group: &str, role: Option<String>) -> Result<()> {
    let name = path(group)?;
    let membership = context.membership()?;
    if membership.groups.len() >= GROUPS_MAX {
        return Err(Error::Usage(format!("you are in {GROUPS_MAX} groups already; leave one")));
    }
    let group = Group { name: name.clone(), role: role.filter(|role| !role.is_empty()) };
    let membership = context.home.change(&membership.mesh_id, |membership| {
        membership.groups.retain(|known| known.name != name);
        membership.groups.push(group);
    })?;
    let shown = json!({"meshId": membership.mesh_id, "groups": membership.groups});
    context.out.print(&shown, |out| writeln!(out, "You are in @{name}."))
}

fn leave(context: &Context, group: &str) -> Result<()> {
    let name = path(group)?;
    let membership = context.membership()?;
    if !membership.groups.iter().any(|known| known.name == name) {
        return Err(Error::NotFound(format!("you are not in @{name}")));
    }
    let membership = context.home.change(&membership.mesh_id, |membership| {
        membership.groups.retain(|known| known.name != name);
    })?;
    let shown = json!({"meshId": membership.mesh_id, "groups": membership.groups});
    context.out.print(&shown, |out| writeln!(out, "You are in @{name} no longer."))
}

async fn list(context: &Context) -> Result<()> {
    let membership = context.membership()?;
    let attached = attach::attach(context, &membership).await?;
    let peers = attached.client.request(&ListPeers {}).await?.peers;
    let own = attached.client.session().hex();
    attached.client.close().await;
    let mut here: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for peer in peers.iter().filter(|peer| peer.pubkey != own) {
        for group in &peer.groups {
            here.entry(&group.name).or_default().push(&peer.display_name);
        }
    }
    for group in &membership.groups {
        here.entry(&group.name).or_default();
    }
    let is_mine = |name: &str| membership.groups.iter().any(|group| group.name == name);
    let shown: Vec<_> = here
        .iter()
        .map(|(name, peers)| json!({"name": name, "mine": is_mine(name), "peers": peers}))
        .collect();
    context.out.print(&shown, |out| {
        if here.is_empty() {
            return writeln!(out, "No groups. `skein group join NAME` begins one.");
        }
        for (name, peers) in &here {
            let mine = if is_mine(name) { " (yours)" } else { "" };
            let peers = harmless(&peers.join(", "));
            writeln!(out, "@{}{mine}  {peers}", context.out.bold(&harmless(name)))?;
        }
        Ok(())
    })
}

/// A group's path as the wire has it.
fn path(group: &str) -> Result<String> {
    let path = group.strip_prefix('@').unwrap_or(group);
    let is_good = !path.is_empty()
        && path != "all"
        && path.len() <= GROUP_BYTES_MAX
        && path.split('/').all(|part| !part.is_empty())
        && !path.chars().any(|c| c.is_control() || c.is_whitespace());
    if is_good {
        return Ok(path.to_owned());
    }
    Err(Error::Usage(format!("`{group}` is no group: a path like `a` or `a/b`, without spaces")))
}
