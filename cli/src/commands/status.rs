//! `skein status`: whether each mesh can be reached; or what this member is doing.
//!
//! A status belongs to a session, and a command's session ends with it. So what is said here is
//! kept in the home, and every program of this home that lives long takes it over within a second.

use std::time::Instant;

use clap::ValueEnum;
use serde_json::json;
use skein_wire::Status;

use super::{Context, attach};
use crate::client::State;
use crate::home::Membership;
use crate::{Error, Result};

/// What to say, if anything.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What you are doing; left out, the connection of each mesh is checked.
    #[arg(value_enum)]
    doing: Option<Doing>,
}

/// What a person can be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Doing {
    /// Takes everything.
    Idle,
    /// Takes only what is urgent.
    Working,
    /// Takes only what is urgent, until told otherwise.
    Dnd,
}

impl From<Doing> for Status {
    fn from(doing: Doing) -> Self {
        match doing {
            Doing::Idle => Self::Idle,
            Doing::Working => Self::Working,
            Doing::Dnd => Self::Dnd,
        }
    }
}

/// Runs `skein status`.
pub async fn run(context: &Context, args: Args) -> Result<()> {
    if let Some(doing) = args.doing {
        return set(context, doing.into());
    }
    let memberships = context.memberships()?;
    if memberships.is_empty() {
        return Err(Error::NoMesh);
    }
    let mut shown = Vec::new();
    for membership in &memberships {
        shown.push(check(context, membership).await?);
    }
    context.out.print(&shown, |out| {
        for one in &shown {
            let slug = context.out.bold(one["slug"].as_str().unwrap_or_default());
            match one["edge"].as_str() {
                Some(edge) => writeln!(out, "{slug}  connected to {edge} in {} ms", one["tookMs"])?,
                None => writeln!(out, "{slug}  not connected: {}", one["problem"])?,
            }
        }
        Ok(())
    })?;
    let is_down = |one: &&serde_json::Value| one["connected"] == false;
    match shown.iter().find(is_down) {
        None => Ok(()),
        Some(one) => Err(Error::NotConnected(one["slug"].as_str().unwrap_or_default().to_owned())),
    }
}

fn set(context: &Context, status: Status) -> Result<()> {
    let mesh_id = context.membership()?.mesh_id;
    let membership =
        context.home.change(&mesh_id, |membership| membership.status = Some(status))?;
    let shown = json!({"meshId": membership.mesh_id, "status": status});
    context
        .out
        .print(&shown, |out| writeln!(out, "You are {} in {}.", status.as_str(), membership.slug))
}

async fn check(context: &Context, membership: &Membership) -> Result<serde_json::Value> {
    let since = Instant::now();
    let attached = attach::start(context, membership, crate::home::Lifetime::Short)?;
    let ready = attached.client.ready(attach::PATIENCE).await;
    let took_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
    let state = attached.client.state();
    attach::learn_edges(context, membership, &attached.client)?;
    attached.client.close().await;
    let edge = match state {
        State::Connected(edge) => Some(edge),
        State::Connecting(_) | State::Closed(_) => None,
    };
    Ok(json!({
        "meshId": membership.mesh_id, "slug": membership.slug,
        "connected": ready.is_ok(), "edge": edge, "tookMs": took_ms,
        "problem": ready.err().map(|error| error.to_string()),
        "status": membership.status, "summary": membership.summary,
        "groups": membership.groups,
    }))
}
