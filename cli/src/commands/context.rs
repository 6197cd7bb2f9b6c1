//! `skein context`: what members have learnt in their work.

use clap::Subcommand;
use serde_json::json;
use skein_wire::contexts::{GetContext, ListContexts, ShareContext};

use super::{Context, attach};
use crate::Result;
use crate::output::harmless;

/// What to do with contexts.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Share yours; it replaces what you shared before, and the peers are told.
    Share {
        /// What it is about, and what you know now.
        summary: String,
        /// A file that you read; may be given again.
        #[arg(long = "file", value_name = "PATH")]
        files: Vec<String>,
        /// Something that you found; may be given again.
        #[arg(long = "finding", value_name = "TEXT")]
        findings: Vec<String>,
        /// What it can be found by; may be given again.
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
    },
    /// Find those that have these words in the summary, or as a tag.
    Get {
        /// The words.
        query: String,
    },
    /// List those of the mesh, newest first.
    List,
}

/// Runs `skein context`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Share { summary, files, findings, tags } => {
            let share = ShareContext {
                summary,
                files_read: Some(files),
                key_findings: Some(findings),
                tags: Some(tags),
            };
            let shared = attach::ask(context, &share).await?;
            context.out.print(&json!({"id": shared.id}), |out| writeln!(out, "Shared."))
        }
        Command::Get { query } => get(context, query).await,
        Command::List => list(context).await,
    }
}

async fn get(context: &Context, query: String) -> Result<()> {
    let found = attach::ask(context, &GetContext { query }).await?.contexts;
    context.out.print(&found, |out| {
        if found.is_empty() {
            return writeln!(out, "Nothing.");
        }
        for one in &found {
            let name = context.out.bold(&harmless(&one.peer_name));
            writeln!(out, "{name}{}", tags(&one.tags))?;
            writeln!(out, "  {}", harmless(&one.summary))?;
            for (what, items) in [("read", &one.files_read), ("found", &one.key_findings)] {
                for item in items {
                    writeln!(out, "  {what}: {}", harmless(item))?;
                }
            }
        }
        Ok(())
    })
}

async fn list(context: &Context) -> Result<()> {
    let listed = attach::ask(context, &ListContexts {}).await?.contexts;
    context.out.print(&listed, |out| {
        if listed.is_empty() {
            return writeln!(out, "No contexts. `skein context share SUMMARY` shares yours.");
        }
        for one in &listed {
            let name = context.out.bold(&harmless(&one.peer_name));
            writeln!(out, "{name}  {}{}", harmless(&one.summary), tags(&one.tags))?;
        }
        Ok(())
    })
}

/// Tags behind a line, if there are any.
pub fn tags(tags: &[String]) -> String {
    match tags.is_empty() {
        true => String::new(),
        false => format!("  [{}]", harmless(&tags.join(", "))),
    }
}
