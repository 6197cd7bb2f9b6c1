//! `skein inbox`: what arrived, each once.
//!
//! A program that reads the inbox lives as long as it takes to read it, so it also takes the mail
//! of the member. What other commands of this home received meanwhile is shown as well: there is
//! one inbox a mesh and home.
//!
//! An agent's session has an inbox of its own beside it (`agents`). Mail of agents that cannot
//! come back is shown here; what waits for one that can is its own to read, and is only counted.

mod agents;
mod printer;

use std::path::Path;
use std::time::{Duration, SystemTime};

use skein_wire::groups::{Group, JoinGroup, LeaveGroup};
use skein_wire::presence::{SetStatus, SetSummary};
use skein_wire::schedules::FAILED;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::agents::Agents;
use self::printer::{Mail, Printer};
use super::Context;
use super::attach::{self, Attached, PATIENCE};
use crate::client::inbox::Shown;
use crate::client::{Client, Closed, Incoming};
use crate::home::{Home, Lifetime, Membership};
use crate::mcp::lines;
use crate::output::harmless;
use crate::{Result, time};

/// How often a follower looks for what other programs of this home did.
const LOOK: Duration = Duration::from_millis(500);
/// When nothing more comes for this long, what waited has been read.
const QUIET: Duration = Duration::from_millis(300);

/// How to read.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Stay, and show what arrives; with --json one line a message.
    #[arg(long, short)]
    follow: bool,
    /// Show everything that is kept, also what was shown before and what agents of this home were
    /// sent, and do not connect.
    #[arg(long, conflicts_with = "follow")]
    all: bool,
    /// With --follow, also show who comes and goes.
    #[arg(long, requires = "follow")]
    events: bool,
    /// Seconds to wait for what waits at the server.
    #[arg(long, default_value_t = 2, value_name = "SECONDS", conflicts_with = "follow")]
    wait: u64,
}

/// Runs `skein inbox`.
pub async fn run(context: &Context, args: Args) -> Result<()> {
    let membership = context.membership()?;
    let shown = Shown::open(&context.home.inbox(&membership.mesh_id))?;
    let names = context.home.names(&membership.mesh_id);
    let printer = Printer { out: context.out, names, is_list: !args.follow };
    let agents = Agents::of(&context.home, &membership.mesh_id);
    if args.all {
        return all(&shown, agents, &printer);
    }
    let attached = attach::start(context, &membership, Lifetime::Long)?;
    if args.follow {
        let first_groups = membership.groups.clone();
        let events = args.events;
        let follower = Follower { context, membership, shown, printer, events, first_groups };
        return follower.run(attached).await;
    }
    once(attached, &membership, shown, agents, printer, Duration::from_secs(args.wait)).await
}

/// Shows what is kept, in the order of its arrival.
fn all(shown: &Shown, agents: Agents, printer: &Printer) -> Result<()> {
    let mut all: Vec<Mail> = shown.all()?.into_iter().map(Mail::of_person).collect();
    let (others, problems) = agents.all(&all);
    all.extend(others);
    all.sort_by(|a, b| a.message.received_at.cmp(&b.message.received_at));
    printer.begin()?;
    for (number, mail) in all.iter().enumerate() {
        printer.message(mail, number)?;
    }
    printer.end(all.len())?;
    agents::told(problems)
}

/// Reads what waits, shows it, and ends.
async fn once(
    mut attached: Attached,
    membership: &Membership,
    mut shown: Shown,
    agents: Agents,
    mut printer: Printer,
    wait: Duration,
) -> Result<()> {
    let connected = attached.client.ready(PATIENCE.min(wait.max(QUIET))).await;
    if connected.is_ok() {
        printer.learn(&attached.client).await;
        let quiet = async {
            // Ends when nothing came for a while: what waited was read, and is on disk.
            while timeout(QUIET, attached.pushes.next()).await.is_ok_and(|next| next.is_some()) {}
        };
        // A mesh that never rests is cut off; the rest waits for the next time.
        let _ = timeout(wait, quiet).await;
    }
    attached.client.close().await;
    let waiting = shown.pending(None, usize::MAX)?;
    let waiting: Vec<_> = waiting.into_iter().map(|(_, message)| message).collect();
    printer.learn_from(&waiting, membership).await;
    printer.begin()?;
    let mut count = 0;
    shown.rest(|message| {
        printer.message(&Mail::of_person(message.clone()), count)?;
        count += 1;
        Ok(())
    })?;
    let known = if agents.have_gone() { shown.all()? } else { Vec::new() };
    let problems = agents.gone(&known, |mail| {
        printer.message(mail, count)?;
        count += 1;
        Ok(())
    });
    printer.end(count)?;
    if let Some(waiting) = agents.waiting().filter(|_| !printer.out.json) {
        eprintln!("{}", harmless(&waiting));
    }
    // What is on disk was shown all the same.
    connected.and(agents::told(problems))
}

/// `skein inbox --follow`.
struct Follower<'a> {
    context: &'a Context,
    membership: Membership,
    shown: Shown,
    printer: Printer,
    events: bool,
    /// The groups that every hello of this process names.
    first_groups: Vec<Group>,
}

impl Follower<'_> {
    async fn run(mut self, mut attached: Attached) -> Result<()> {
        let file = self.context.home.membership_file(&self.membership.mesh_id);
        let mut written = modified(&file);
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut terminated = signal(SignalKind::terminate())?;
        loop {
            self.show()?;
            tokio::select! {
                incoming = attached.pushes.next() => match incoming {
                    Some(incoming) => self.incoming(incoming, &attached.client).await?,
                    None => return Err(Closed::Ours.into()),
                },
                _ = look.tick() => {
                    let now = modified(&file);
                    if now != written {
                        written = now;
                        self.changed(&attached.client).await;
                    }
                }
                interrupted = tokio::signal::ctrl_c() => {
                    interrupted?;
                    break;
                }
                _ = terminated.recv() => break,
            }
        }
        attached.client.close().await;
        self.show()
    }

    fn show(&mut self) -> Result<()> {
        let printer = &mut self.printer;
        self.shown.rest(|message| printer.message(&Mail::of_person(message.clone()), 0))?;
        Ok(())
    }

    async fn incoming(&mut self, incoming: Incoming, client: &Client) -> Result<()> {
        match incoming {
            Incoming::Message(message) => {
                self.printer.learn_from(&[*message], &self.membership).await;
            }
            Incoming::Frame { .. } => (),
            Incoming::Event(event) => {
                self.printer.heard(&event);
                if self.events {
                    self.printer.event(&event)?;
                } else if event.event == FAILED {
                    self.say(&lines::words(&event, time::now_ms()));
                }
            }
            Incoming::Connected { edge, ack } => {
                self.say(&format!("connected to {edge}"));
                if let Some(left_out) = ack.left_out.filter(|&count| count > 0) {
                    self.say(&format!("{left_out} older messages to groups are not kept any more"));
                }
                self.printer.learn(client).await;
                attach::learn_edges(self.context, &self.membership, client)?;
                // The hello named the groups of the start, or the server restored older ones.
                let groups = ack.restored_groups.unwrap_or_else(|| self.first_groups.clone());
                self.apply(client, &Membership { groups, ..self.membership.clone() }).await;
            }
            Incoming::Disconnected { reason, .. } => self.say(&format!("disconnected: {reason}")),
            Incoming::Closed(closed) => return Err(closed.into()),
        }
        Ok(())
    }

    /// Another program of this home changed what this member wants to be.
    async fn changed(&mut self, client: &Client) {
        let mesh_id = self.membership.mesh_id.clone();
        let Ok(now) = reread(&self.context.home, &mesh_id) else { return };
        let before = std::mem::replace(&mut self.membership, now);
        self.apply(client, &before).await;
    }

    /// Tells the mesh what differs from `before`; what cannot be told now is told after the next
    /// connect.
    async fn apply(&self, client: &Client, before: &Membership) {
        let now = &self.membership;
        for group in now.groups.iter().filter(|group| !before.groups.contains(group)) {
            let join = JoinGroup { name: group.name.clone(), role: group.role.clone() };
            let _ = client.tell(&join).await;
        }
        for group in &before.groups {
            if !now.groups.iter().any(|kept| kept.name == group.name) {
                let _ = client.tell(&LeaveGroup { name: group.name.clone() }).await;
            }
        }
        if let Some(status) = now.status {
            let _ = client.tell(&SetStatus { status }).await;
        }
        if let Some(summary) = now.summary.clone() {
            let _ = client.tell(&SetSummary { summary }).await;
        }
    }

    /// What is not a message goes to standard error: standard output is for messages.
    fn say(&self, what: &str) {
        if !self.printer.out.json {
            eprintln!("{}", harmless(what));
        }
    }
}

fn reread(home: &Home, mesh_id: &str) -> Result<Membership> {
    Membership::read(&home.membership_file(mesh_id))
}

fn modified(file: &Path) -> Option<SystemTime> {
    file.metadata().and_then(|meta| meta.modified()).ok()
}
