//! `skein task`: pieces of work that the peers of a mesh share.
//!
//! A command's session ends with it, so what a command claims is held by the member: a lease of it
//! ends by time only, and any session of the member can renew it.

mod watch;

use std::io::Write;

use clap::Subcommand;
use serde_json::json;
use skein_wire::tasks::{
    ClaimNext, ClaimTask, CompleteTask, CreateTask, GetTask, Holder, ListTasks, RenewTask, Task,
};

use super::{Context, attach};
use crate::output::harmless;
use crate::{Error, Result};

/// What to do with tasks.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a task.
    Create {
        /// What is to be done.
        title: String,
        /// Whom it is for: a name, a key or @group.
        #[arg(long = "for", value_name = "NAME")]
        assignee: Option<String>,
        /// urgent, high, normal or low.
        #[arg(long)]
        priority: Option<String>,
        /// A tag; may be given several times.
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
        /// A task that has to be done first; may be given several times.
        #[arg(long = "after", value_name = "ID")]
        after: Vec<String>,
    },
    /// Take a task, if it is still open.
    Claim {
        /// The task.
        id: String,
        /// Give it back by itself after so many seconds, unless it is renewed.
        #[arg(long, value_name = "SECONDS")]
        lease: Option<u32>,
    },
    /// Take the most urgent open task that is for you or anybody.
    Next {
        /// Only one with this tag; may be given several times.
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
        /// Give it back by itself after so many seconds, unless it is renewed.
        #[arg(long, value_name = "SECONDS")]
        lease: Option<u32>,
    },
    /// Hold a task for so long from now.
    Renew {
        /// The task, which you hold.
        id: String,
        /// How many seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 300)]
        lease: u32,
    },
    /// Say that a task is done.
    Complete {
        /// The task.
        id: String,
        /// What came of it.
        #[arg(long)]
        result: Option<String>,
    },
    /// List the newest tasks.
    List {
        /// Only those that are open, claimed or done.
        #[arg(long)]
        status: Option<String>,
        /// Only those for exactly this assignee.
        #[arg(long = "for", value_name = "NAME")]
        assignee: Option<String>,
    },
    /// Show a task with its result.
    Show {
        /// The task.
        id: String,
    },
    /// Print what happens to tasks, until Ctrl-C.
    Watch {
        /// End after so many.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
    },
}

/// Runs `skein task`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    let holder = Some(Holder::Member);
    match command {
        Command::Create { title, assignee, priority, tags, after } => {
            let (tags, depends_on) = (given(tags), given(after));
            let request = CreateTask { title, assignee, priority, tags, depends_on };
            let created = attach::ask(context, &request).await?;
            let shown = json!({"id": created.id});
            context.out.print(&shown, |out| writeln!(out, "Created {}.", created.id))
        }
        Command::Claim { id, lease } => {
            let request = ClaimTask { task_id: id, lease_seconds: lease, holder };
            one(context, attach::ask(context, &request).await?.task)
        }
        Command::Next { tags, lease } => {
            let request = ClaimNext { tags: given(tags), lease_seconds: lease, holder };
            one(context, attach::ask(context, &request).await?.task)
        }
        Command::Renew { id, lease } => {
            let request = RenewTask { task_id: id, lease_seconds: lease };
            one(context, attach::ask(context, &request).await?.task)
        }
        Command::Complete { id, result } => {
            let request = CompleteTask { task_id: id, result, if_held: None };
            one(context, attach::ask(context, &request).await?.task)
        }
        Command::List { status, assignee } => list(context, status, assignee).await,
        Command::Show { id } => {
            one(context, attach::ask(context, &GetTask { task_id: id }).await?.task)
        }
        Command::Watch { count } => watch::run(context, count).await,
    }
}

/// A list, unless it is empty.
fn given(list: Vec<String>) -> Option<Vec<String>> {
    (!list.is_empty()).then_some(list)
}

/// Prints one task whole.
fn one(context: &Context, task: Option<Task>) -> Result<()> {
    let Some(task) = task else {
        return Err(Error::NotFound("no task is open for you".into()));
    };
    context.out.print(&task, |out| {
        line(context, &task, out)?;
        let rows = [
            ("for", &task.assignee),
            ("made by", &task.created_by),
            ("claimed by", &task.claimed_by),
            ("until", &task.leased_until),
            ("done by", &task.completed_by),
        ];
        for (what, value) in rows {
            if let Some(value) = value {
                writeln!(out, "  {what:<10} {}", harmless(value))?;
            }
        }
        if let Some(after) = task.depends_on.as_ref().filter(|after| !after.is_empty()) {
            let n = task.waits_for.unwrap_or(0);
            writeln!(out, "  after      {} ({n} not done)", harmless(&after.join(", ")))?;
        }
        match &task.result {
            Some(result) => writeln!(out, "{}", harmless(result)),
            None => Ok(()),
        }
    })
}

async fn list(context: &Context, status: Option<String>, assignee: Option<String>) -> Result<()> {
    let tasks = attach::ask(context, &ListTasks { status, assignee }).await?.tasks;
    context.out.print(&tasks, |out| {
        if tasks.is_empty() {
            return writeln!(out, "No tasks. `skein task create TITLE` makes one.");
        }
        tasks.iter().try_for_each(|task| line(context, task, out))
    })
}

fn line(context: &Context, task: &Task, out: &mut dyn Write) -> std::io::Result<()> {
    let title = context.out.bold(&harmless(&task.title));
    let (status, priority) = (harmless(&task.status), harmless(&task.priority));
    let whom = task.claimed_by.as_ref().or(task.assignee.as_ref());
    let whom = whom.map(|name| format!(" ({})", harmless(name))).unwrap_or_default();
    writeln!(out, "{title}  {status}{whom}, {priority}  {}", context.out.dim(&task.id))
}
