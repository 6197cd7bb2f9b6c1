//! `skein skill`: instructions that peers share under a name.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;
use skein_wire::skills::{GetSkill, ListSkills, RemoveSkill, ShareSkill};

use super::{Context, attach, context::tags};
use crate::output::harmless;
use crate::{Error, Result};

/// What to do with skills.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Share one; sharing again replaces your own.
    Share {
        /// Its name.
        name: String,
        /// What it is for, in a sentence.
        #[arg(long, default_value = "")]
        description: String,
        /// The file with the instructions; `-` is standard input.
        file: PathBuf,
        /// What it can be found by; may be given again.
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
    },
    /// Print one's instructions.
    Get {
        /// Its name.
        name: String,
    },
    /// List those of the mesh.
    List {
        /// Only those that have this in the name, the description or a tag.
        query: Option<String>,
    },
    /// Remove one of yours; admins may remove any.
    Rm {
        /// Its name.
        name: String,
    },
}

/// Runs `skein skill`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Share { name, description, file, tags } => {
            let instructions = read(&file)?;
            let share = ShareSkill { name, description, instructions, tags: Some(tags) };
            let ack = attach::ask(context, &share).await?;
            let shown = json!({"name": ack.name, "action": ack.action});
            context.out.print(&shown, |out| writeln!(out, "Shared {}.", harmless(&ack.name)))
        }
        Command::Get { name } => get(context, name).await,
        Command::List { query } => list(context, query).await,
        Command::Rm { name } => remove(context, name).await,
    }
}

fn read(file: &Path) -> Result<String> {
    if file != Path::new("-") {
        return std::fs::read_to_string(file).map_err(Error::at(file));
    }
    let mut text = String::new();
    std::io::stdin().lock().read_to_string(&mut text)?;
    Ok(text)
}

async fn get(context: &Context, name: String) -> Result<()> {
    let unknown = format!("there is no skill `{}`", harmless(&name));
    let skill = attach::ask(context, &GetSkill { name }).await?.skill;
    let skill = skill.ok_or(Error::NotFound(unknown))?;
    context.out.print(&skill, |out| {
        let (name, author) = (context.out.bold(&harmless(&skill.name)), harmless(&skill.author));
        writeln!(out, "{name}  by {author}{}", tags(&skill.tags))?;
        if !skill.description.is_empty() {
            writeln!(out, "{}", harmless(&skill.description))?;
        }
        writeln!(out, "\n{}", harmless(skill.instructions.trim_end()))
    })
}

async fn list(context: &Context, query: Option<String>) -> Result<()> {
    let skills = attach::ask(context, &ListSkills { query }).await?.skills;
    context.out.print(&skills, |out| {
        if skills.is_empty() {
            return writeln!(out, "No skills. `skein skill share NAME FILE` shares one.");
        }
        for skill in &skills {
            let name = context.out.bold(&harmless(&skill.name));
            let (what, author) = (harmless(&skill.description), harmless(&skill.author));
            writeln!(out, "{name}  {what}{}  by {author}", tags(&skill.tags))?;
        }
        Ok(())
    })
}

async fn remove(context: &Context, name: String) -> Result<()> {
    let unknown = format!("there is no skill `{}`", harmless(&name));
    let ack = attach::ask(context, &RemoveSkill { name }).await?;
    if ack.action != "removed" {
        return Err(Error::NotFound(unknown));
    }
    let shown = json!({"name": ack.name, "action": ack.action});
    context.out.print(&shown, |out| writeln!(out, "Removed {}.", harmless(&ack.name)))
}
