//! `skein config`: what a person chose, and what can be chosen.
//!
//! A setting belongs to the home (`config.json`) or to one mesh (its membership). Each is read by a
//! program; what nothing reads is not here. Programs that run take a new value at their next start.

pub mod key;

use clap::Subcommand;
use serde::Serialize;

pub use self::key::Key;
use super::Context;
use crate::mcp::channel::MessageMode;
use crate::output::harmless;
use crate::{Error, Result};

/// What the long help ends with: every setting.
fn help() -> String {
    let mut text = "Settings:\n".to_owned();
    for key in Key::ALL {
        text += &format!("  {:12}  {}\n", key.as_str(), key.about());
    }
    text + "With --json a setting is {key, value, isSet, meshId, about}; `list` prints all of them"
}

/// What to do with settings.
#[derive(Debug, Subcommand)]
#[command(after_long_help = help())]
pub enum Command {
    /// Print the value of a setting.
    Get {
        /// Which.
        #[arg(value_enum)]
        key: Key,
    },
    /// Choose a value.
    Set {
        /// Which.
        #[arg(value_enum)]
        key: Key,
        /// Its value; several edges are separated by commas.
        value: String,
    },
    /// Take a choice back, so that the default holds again.
    Unset {
        /// Which.
        #[arg(value_enum)]
        key: Key,
    },
    /// List every setting with its value and what it does.
    List,
    /// Print where the settings of this home are.
    Path,
}

/// A setting as it is now.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Setting {
    /// Its name.
    key: &'static str,
    /// Its value; `null` when there is none.
    value: Option<Value>,
    /// Whether somebody chose it: else it is the default.
    is_set: bool,
    /// The mesh it is of; `null` for those of the home.
    mesh_id: Option<String>,
    /// What it does.
    about: &'static str,
}

/// A value.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Value {
    One(String),
    Several(Vec<String>),
}

impl Value {
    fn words(&self) -> String {
        match self {
            Self::One(text) => text.clone(),
            Self::Several(all) => all.join(","),
        }
    }
}

/// Runs `skein config`.
pub fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Get { key } => {
            let setting = read(context, key)?;
            if setting.value.is_none() {
                return Err(Error::NotFound(format!("{} is not set", setting.key)));
            }
            say(context, &setting)
        }
        Command::Set { key, value } => {
            key::set(context, key, &value)?;
            say(context, &read(context, key)?)
        }
        Command::Unset { key } => {
            key::unset(context, key)?;
            let setting = read(context, key)?;
            context.out.print(&setting, |out| match &setting.value {
                Some(value) => writeln!(out, "{}", harmless(&value.words())),
                None => writeln!(out, "{} is not set", setting.key),
            })
        }
        Command::List => list(context),
        Command::Path => {
            let path = context.home.settings_file();
            let shown = serde_json::json!({"path": path});
            context.out.print(&shown, |out| writeln!(out, "{}", path.display()))
        }
    }
}

fn say(context: &Context, setting: &Setting) -> Result<()> {
    context.out.print(setting, |out| {
        let words = setting.value.as_ref().map(Value::words).unwrap_or_default();
        writeln!(out, "{}", harmless(&words))
    })
}

fn list(context: &Context) -> Result<()> {
    let mut all = Vec::new();
    for key in Key::ALL {
        match read(context, key) {
            Ok(setting) => all.push(setting),
            // Which mesh is meant is not clear, or there is none: then it has no value.
            Err(Error::NoMesh | Error::WhichMesh(_)) => all.push(Setting {
                key: key.as_str(),
                value: None,
                is_set: false,
                mesh_id: None,
                about: key.about(),
            }),
            Err(error) => return Err(error),
        }
    }
    context.out.print(&all, |out| {
        for one in &all {
            let value = one.value.as_ref().map_or("(none)".into(), Value::words);
            let from = if one.is_set { "" } else { "  (default)" };
            let key = context.out.bold(&format!("{:12}", one.key));
            writeln!(out, "{key}  {}{}", harmless(&value), context.out.dim(from))?;
            writeln!(out, "              {}", one.about)?;
        }
        Ok(())
    })
}

/// A setting as it is now, in the home or in the mesh that is meant.
fn read(context: &Context, key: Key) -> Result<Setting> {
    let settings = context.home.settings()?;
    let (value, is_set, mesh_id) = match key {
        Key::Name => match &context.mesh {
            Some(_) => {
                let membership = context.membership()?;
                (Some(Value::One(membership.display_name)), true, Some(membership.mesh_id))
            }
            None => (Some(Value::One(context.default_name()?)), settings.name.is_some(), None),
        },
        Key::Mesh => (settings.mesh.clone().map(Value::One), settings.mesh.is_some(), None),
        Key::MessageMode => {
            let chosen = key::message_mode(&settings)?;
            let mode = chosen.unwrap_or(MessageMode::Push).as_str().to_owned();
            (Some(Value::One(mode)), chosen.is_some(), None)
        }
        Key::Edges => {
            let membership = context.membership()?;
            let is_set = membership.edges_chosen;
            (Some(Value::Several(membership.edges)), is_set, Some(membership.mesh_id))
        }
    };
    Ok(Setting { key: key.as_str(), value, is_set, mesh_id, about: key.about() })
}
