//! `skein memory`: what the mesh keeps, found again by its words.

use clap::Subcommand;
use serde_json::json;
use skein_wire::memory::{Forget, MatchKind, Recall, Remember};

use super::{Context, attach};
use crate::Result;
use crate::output::harmless;

/// What to do with memories.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Keep a text for everybody in the mesh.
    Remember {
        /// The text.
        text: String,
        /// A word that it is to be found by as well; may be given several times.
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
    },
    /// Find what anybody remembered, by its words.
    Recall {
        /// The words; all of them must be found.
        #[arg(required = true)]
        words: Vec<String>,
    },
    /// Have a text forgotten, for everybody: your own, or any as an admin.
    Forget {
        /// Its id, as `recall` shows it.
        id: String,
    },
}

/// Runs `skein memory`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Remember { text, tags } => remember(context, text, tags).await,
        Command::Recall { words } => recall(context, words.join(" ")).await,
        Command::Forget { id } => forget(context, id).await,
    }
}

async fn remember(context: &Context, content: String, tags: Vec<String>) -> Result<()> {
    let request = Remember { content, tags: (!tags.is_empty()).then_some(tags) };
    let stored = attach::ask(context, &request).await?;
    context
        .out
        .print(&json!({"id": stored.id}), |out| writeln!(out, "Remembered as {}.", stored.id))
}

async fn recall(context: &Context, query: String) -> Result<()> {
    let memories = attach::ask(context, &Recall { query }).await?.memories;
    context.out.print(&memories, |out| {
        if memories.is_empty() {
            return writeln!(out, "Nothing was found.");
        }
        for memory in &memories {
            let why = memory.found.as_ref().and_then(|found| match found.kind {
                MatchKind::Words => None,
                MatchKind::Prefix => Some(("begins like", &found.terms)),
                MatchKind::Similar => Some(("is spelled like", &found.terms)),
            });
            let why = why.map(|(how, terms)| format!(", {how}: {}", terms.join(", ")));
            let (by, at) = (&memory.remembered_by, &memory.remembered_at);
            let about = format!("{}  by {by} at {at}{}", memory.id, why.unwrap_or_default());
            writeln!(out, "{}", context.out.dim(&harmless(&about)))?;
            writeln!(out, "{}", harmless(&memory.content))?;
        }
        Ok(())
    })
}

async fn forget(context: &Context, id: String) -> Result<()> {
    attach::ask(context, &Forget { memory_id: id.clone() }).await?;
    let shown = json!({"id": id, "forgotten": true});
    context.out.print(&shown, |out| writeln!(out, "Forgotten: {}.", harmless(&id)))
}
