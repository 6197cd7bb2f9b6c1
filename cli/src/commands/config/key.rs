//! The settings that there are: what each does, what it may be, and where it is kept.

use clap::ValueEnum;
use skein_wire::limit::DISPLAY_NAME_CHARS_MAX;

use crate::client::backoff::EDGES_MAX;
use crate::commands::Context;
use crate::home::Settings;
use crate::mcp::channel::MessageMode;
use crate::probe::route::Place;
use crate::rest::ws_of;
use crate::{Error, Result};

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Key {
    /// What others call you.
    Name,
    /// The mesh that is meant when none is named.
    Mesh,
    /// Where a mesh is reached.
    Edges,
    /// What an agent's host is told of messages.
    MessageMode,
}

impl Key {
    /// Every setting.
    pub const ALL: [Self; 4] = [Self::Name, Self::Mesh, Self::Edges, Self::MessageMode];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Mesh => "mesh",
            Self::Edges => "edges",
            Self::MessageMode => "message-mode",
        }
    }

    /// What it does.
    pub fn about(self) -> &'static str {
        match self {
            Self::Name => {
                "what others call you in meshes joined from now on; with --mesh, in that one"
            }
            Self::Mesh => "the mesh that is meant when several are joined and --mesh names none",
            Self::Edges => {
                "the socket URLs of a mesh, in the order in which they are tried; unset, what the \
                 mesh says of them is taken over"
            }
            Self::MessageMode => "what `skein mcp` tells its host of messages: push, inbox or off",
        }
    }
}

/// Chooses a value.
pub fn set(context: &Context, key: Key, value: &str) -> Result<()> {
    match key {
        Key::Name => {
            let name = name(value)?;
            if context.mesh.is_some() {
                let mesh_id = context.membership()?.mesh_id;
                context.home.change(&mesh_id, |one| one.display_name = name)?;
            } else {
                context.home.change_settings(|settings| settings.name = Some(name))?;
            }
        }
        Key::Mesh => {
            of_home(context, key)?;
            let known = context.home.membership(Some(value)).map_err(|error| match error {
                Error::NotFound(_) => Error::Usage(format!(
                    "no mesh `{value}` is joined in this home; it may be {}",
                    slugs(context)
                )),
                other => other,
            })?;
            // The id where the short name is not unique: it was found, so this is.
            let chosen = if known.slug == value { known.slug } else { known.mesh_id };
            context.home.change_settings(|settings| settings.mesh = Some(chosen))?;
        }
        Key::Edges => {
            let edges = edges(value)?;
            let mesh_id = context.membership()?.mesh_id;
            context.home.change(&mesh_id, |one| {
                one.edges = edges;
                one.edges_chosen = true;
            })?;
        }
        Key::MessageMode => {
            of_home(context, key)?;
            let mode = parse_mode(value)?.as_str().to_owned();
            context.home.change_settings(|settings| settings.message_mode = Some(mode))?;
        }
    }
    Ok(())
}

/// The message mode that was chosen, if one was.
pub fn message_mode(settings: &Settings) -> Result<Option<MessageMode>> {
    settings.message_mode.as_deref().map(parse_mode).transpose()
}

fn parse_mode(value: &str) -> Result<MessageMode> {
    MessageMode::from_str(value, false).map_err(|_| {
        let all: Vec<_> = MessageMode::value_variants().iter().map(|one| one.as_str()).collect();
        Error::Usage(format!("`{value}` is no message mode; it may be {}", all.join(", ")))
    })
}

/// Takes a choice back.
pub fn unset(context: &Context, key: Key) -> Result<()> {
    match key {
        Key::Name if context.mesh.is_some() => {
            let name = context.default_name()?;
            let mesh_id = context.membership()?.mesh_id;
            context.home.change(&mesh_id, |one| one.display_name = name)?;
        }
        Key::Name => {
            context.home.change_settings(|settings| settings.name = None)?;
        }
        Key::Mesh => {
            of_home(context, key)?;
            context.home.change_settings(|settings| settings.mesh = None)?;
        }
        Key::MessageMode => {
            of_home(context, key)?;
            context.home.change_settings(|settings| settings.message_mode = None)?;
        }
        // They stay, as a mesh without an edge cannot be reached, and are learned from here on.
        Key::Edges => {
            let mesh_id = context.membership()?.mesh_id;
            context.home.change(&mesh_id, |one| one.edges_chosen = false)?;
        }
    }
    Ok(())
}

fn of_home(context: &Context, key: Key) -> Result<()> {
    match &context.mesh {
        None => Ok(()),
        Some(_) => {
            let words =
                format!("{} is a setting of the whole home; leave --mesh out", key.as_str());
            Err(Error::Usage(words))
        }
    }
}

fn slugs(context: &Context) -> String {
    let all = context.home.memberships().unwrap_or_default();
    let all: Vec<_> = all.into_iter().map(|one| one.slug).collect();
    if all.is_empty() { "none, as none is joined".into() } else { all.join(", ") }
}

fn name(value: &str) -> Result<String> {
    let name = value.trim();
    let count = name.chars().count();
    if count == 0 || count > DISPLAY_NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(Error::Usage(format!(
            "a name has 1 to {DISPLAY_NAME_CHARS_MAX} characters, and no control characters"
        )));
    }
    Ok(name.to_owned())
}

/// Reads URLs of sockets, or of the HTTP side, each once.
fn edges(value: &str) -> Result<Vec<String>> {
    let mut edges: Vec<String> = Vec::new();
    for text in value.split([',', ' ', '\n']).filter(|text| !text.is_empty()) {
        let edge = ws_of(text).filter(|edge| Place::of(edge).is_ok()).ok_or_else(|| {
            Error::Usage(format!(
                "`{text}` is no edge: ws://HOST[:PORT]/ws or wss://HOST[:PORT]/ws"
            ))
        })?;
        if !edges.contains(&edge) {
            edges.push(edge);
        }
    }
    if edges.is_empty() || edges.len() > EDGES_MAX {
        return Err(Error::Usage(format!("name 1 to {EDGES_MAX} edges, separated by commas")));
    }
    Ok(edges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_read_in_either_form_and_each_once() {
        let read = edges("ws://a:1/ws,http://a:1, wss://b/ws").unwrap();
        assert_eq!(read, ["ws://a:1/ws", "wss://b/ws"]);
        for bad in ["", ",", "a:1", "ftp://a", "ws://:1/ws"] {
            assert!(matches!(edges(bad), Err(Error::Usage(_))), "{bad}");
        }
    }

    #[test]
    fn a_name_is_trimmed_and_bounded() {
        assert_eq!(name("  Ann ").unwrap(), "Ann");
        assert!(name(&"x".repeat(DISPLAY_NAME_CHARS_MAX)).is_ok());
        for bad in ["", "  ", "a\x1b[2J", &"x".repeat(DISPLAY_NAME_CHARS_MAX + 1)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }
}
