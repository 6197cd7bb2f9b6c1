//! `skein state`: values under keys that the mesh shares.

use std::io::Read;

use clap::Subcommand;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use skein_wire::Refusal;
use skein_wire::state::{DeleteState, Entry, GetState, ListState, SetState};

use super::{Context, attach};
use crate::client::RequestError;
use crate::output::harmless;
use crate::{Error, Result};

/// What to do with the shared state.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print what a key holds.
    Get {
        /// The key.
        key: String,
    },
    /// Set a key; the peers are told.
    Set {
        /// The key.
        key: String,
        /// JSON, or text as it stands; `-` reads it from standard input.
        value: String,
        /// Take it as text, even if it looks like JSON.
        #[arg(long)]
        text: bool,
        /// Only if the key has this version; 0: only if there is no such key.
        #[arg(long, value_name = "VERSION")]
        if_version: Option<u64>,
        /// After so many seconds the key is gone.
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
        ttl: Option<u64>,
    },
    /// List the keys, with what they hold.
    List {
        /// Only keys that begin so.
        prefix: Option<String>,
    },
    /// Remove a key; the peers are told.
    Rm {
        /// The key.
        key: String,
        /// Only if the key has this version.
        #[arg(long, value_name = "VERSION")]
        if_version: Option<u64>,
    },
}

/// Runs `skein state`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Get { key } => get(context, key).await,
        Command::Set { key, value, text, if_version, ttl } => {
            let value = read(value, text)?;
            set(context, SetState { key, value, if_version, ttl_seconds: ttl }).await
        }
        Command::List { prefix } => list(context, prefix).await,
        Command::Rm { key, if_version } => remove(context, DeleteState { key, if_version }).await,
    }
}

/// The value that is meant: JSON as it stands, anything else as text.
fn read(value: String, is_text: bool) -> Result<Box<RawValue>> {
    let value = match value.as_str() {
        "-" => {
            let mut read = String::new();
            std::io::stdin().lock().read_to_string(&mut read)?;
            read
        }
        _ => value,
    };
    let as_text =
        |value: &str| to_raw_value(value).map_err(|error| Error::Usage(error.to_string()));
    if is_text {
        return as_text(&value);
    }
    match RawValue::from_string(value.trim().to_owned()) {
        Ok(json) => Ok(json),
        Err(_) => as_text(&value),
    }
}

async fn get(context: &Context, key: String) -> Result<()> {
    let shown_key = harmless(&key);
    let found = attach::ask(context, &GetState { key }).await?;
    if found.key.is_empty() {
        return Err(Error::NotFound(format!("there is no key `{shown_key}`")));
    }
    // For people and scripts nothing but the value.
    let entry = Entry::from(found);
    context.out.print(&entry, |out| writeln!(out, "{}", words(&entry.value)))
}

/// A value for people: a text is easier to read without its quotes.
fn words(value: &RawValue) -> String {
    match serde_json::from_str(value.get()) {
        Ok(Value::String(text)) => harmless(&text),
        _ => harmless(value.get()),
    }
}

async fn set(context: &Context, set: SetState) -> Result<()> {
    let attached = attach::attach(context, &context.membership()?).await?;
    let made = attached.client.request(&set).await;
    attached.client.close().await;
    let version = made.map_err(refused)?.version;
    let shown = json!({"key": set.key, "version": version});
    context.out.print(&shown, |out| writeln!(out, "Set {}.", harmless(&set.key)))
}

async fn remove(context: &Context, remove: DeleteState) -> Result<()> {
    let attached = attach::attach(context, &context.membership()?).await?;
    let made = attached.client.request(&remove).await;
    attached.client.close().await;
    let version = made.map_err(refused)?.version;
    let shown = json!({"key": remove.key, "version": version});
    context.out.print(&shown, |out| writeln!(out, "Removed {}.", harmless(&remove.key)))
}

/// A change that was not made; one for another version names what the key holds.
fn refused(error: RequestError) -> Error {
    match error {
        RequestError::Refused(Refusal { code, message, current: Some(current), .. }) => {
            let hint = match current.version {
                Some(0) | None => "--if-version 0 sets a key that is not there".to_owned(),
                Some(version) => format!(
                    "{} holds {}, set by {}; --if-version {version} changes that",
                    current.key,
                    words(&current.value),
                    current.updated_by
                ),
            };
            Error::Refused { code, message, hint: Some(hint) }
        }
        RequestError::Refused(refusal) if refusal.code == "not_found" => {
            Error::NotFound(refusal.message)
        }
        error => error.into(),
    }
}

async fn list(context: &Context, prefix: Option<String>) -> Result<()> {
    let attached = attach::attach(context, &context.membership()?).await?;
    let mut entries: Vec<Entry> = Vec::new();
    let listed = loop {
        let after = entries.last().map(|entry| entry.key.clone());
        let call = ListState { prefix: prefix.clone(), after };
        let page = match attached.client.request(&call).await {
            Ok(page) => page,
            Err(error) => break Err(error),
        };
        let is_whole = page.more != Some(true) || page.entries.is_empty();
        entries.extend(page.entries);
        if is_whole {
            break Ok(());
        }
    };
    attached.client.close().await;
    listed?;
    context.out.print(&entries, |out| {
        if entries.is_empty() {
            return writeln!(out, "No keys. `skein state set KEY VALUE` sets one.");
        }
        for entry in &entries {
            let key = context.out.bold(&harmless(&entry.key));
            let by = context.out.dim(&format!("({})", harmless(&entry.updated_by)));
            writeln!(out, "{key} = {} {by}", harmless(entry.value.get()))?;
        }
        Ok(())
    })
}
