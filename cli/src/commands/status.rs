//! `skein status`: everything at a glance; or what this member is doing.
//!
//! A glance goes to every mesh of the home at once, and to every edge of each: who we are there,
//! whether it can be reached and how fast, who is here, what waits to be read. It takes no longer
//! than the slowest edge that answers, and five seconds where one does not.
//!
//! A status belongs to a session, and a command's session ends with it. So what is said here is
//! kept in the home, and every program of this home that lives long takes it over within a second.

mod glance;

use std::io::{self, Write};

use clap::ValueEnum;
use futures_util::future::join_all;
use serde_json::json;
use skein_wire::Status;

use self::glance::{Edge, Glance};
use super::Context;
use crate::output::{Output, harmless};
use crate::{Error, Result};

/// What the long help ends with.
const HELP: &str = "\
Ends with 4 when a mesh cannot be reached. With --json, for each mesh: {meshId, slug, displayName,
  owner, connected, edge, tookMs, problem, edges: [{url, version, database, tookMs, problem}],
  peers, sessions, unread, status, summary, groups}; what could not be asked is null";

/// What to say, if anything.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub struct Args {
    /// What you are doing; left out, everything is shown at a glance.
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

/// Runs `skein status`. Ends with 4 when a mesh cannot be reached.
pub async fn run(context: &Context, args: Args) -> Result<()> {
    if let Some(doing) = args.doing {
        return set(context, doing.into());
    }
    let memberships = context.memberships()?;
    if memberships.is_empty() {
        return Err(Error::NoMesh);
    }
    let looks = memberships.iter().map(|membership| glance::at(context, membership));
    let shown = join_all(looks).await.into_iter().collect::<Result<Vec<Glance>>>()?;
    context.out.print(&shown, |out| {
        for one in &shown {
            words(one, &context.out, out)?;
        }
        Ok(())
    })?;
    match shown.iter().find(|one| !one.connected) {
        None => Ok(()),
        Some(one) => {
            let problem = one.problem.as_deref().unwrap_or("no edge answered");
            Err(Error::NotConnected(format!("{}: {problem}", one.slug)))
        }
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

fn words(one: &Glance, how: &Output, out: &mut dyn Write) -> io::Result<()> {
    let owner = if one.owner { ", its owner" } else { "" };
    let name = harmless(&one.display_name);
    writeln!(out, "{}  as {name}{owner}", how.bold(&harmless(&one.slug)))?;
    match (&one.edge, &one.problem) {
        (Some(edge), _) => writeln!(out, "  connected  {edge} in {} ms", one.took_ms)?,
        (None, Some(problem)) => writeln!(out, "  connected  no: {}", harmless(problem))?,
        (None, None) => writeln!(out, "  connected  no")?,
    }
    let is_told = |edge: &&Edge| Some(&edge.url) != one.edge.as_ref() || edge.problem.is_some();
    for edge in one.edges.iter().filter(is_told) {
        let how_it_is = match &edge.problem {
            None => format!("answers in {:.1} ms", edge.took_ms.unwrap_or_default()),
            Some(problem) => format!("no: {problem}"),
        };
        writeln!(out, "  edge       {}  {}", edge.url, harmless(&how_it_is))?;
    }
    if let Some(peers) = one.peers {
        let yours = match one.sessions {
            Some(0) | None => String::new(),
            Some(1) => ", one more session is yours".into(),
            Some(count) => format!(", {count} more sessions are yours"),
        };
        let others =
            if peers == 1 { "1 other is here".into() } else { format!("{peers} others are here") };
        writeln!(out, "  peers      {others}{yours}")?;
    }
    match one.unread {
        0 => writeln!(out, "  inbox      nothing new")?,
        count => writeln!(out, "  inbox      {count} not read: `skein inbox`")?,
    }
    let groups: Vec<_> = one.groups.iter().map(|group| format!("@{}", group.name)).collect();
    if !groups.is_empty() {
        writeln!(out, "  groups     {}", harmless(&groups.join(" ")))?;
    }
    if let Some(status) = one.status {
        writeln!(out, "  status     {}", status.as_str())?;
    }
    if let Some(summary) = one.summary.as_ref().filter(|summary| !summary.is_empty()) {
        writeln!(out, "  summary    {}", harmless(summary).replace('\n', " "))?;
    }
    Ok(())
}
