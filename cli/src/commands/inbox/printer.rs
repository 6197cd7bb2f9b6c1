//! How messages are shown.

use std::io::{self, Write};

use serde::Serialize;
use skein_crypto::Public;
use skein_wire::presence::ListPeers;
use skein_wire::schedules::REMINDER;

use crate::Result;
use crate::client::message::{Event, Kind, Message};
use crate::client::{Client, names};
use crate::commands::mesh;
use crate::home::{Membership, Names};
use crate::mcp::lines;
use crate::output::{Output, harmless, short};
use crate::time;

/// A message, and whose it is.
#[derive(Serialize)]
pub struct Mail {
    /// The message.
    #[serde(flatten)]
    pub message: Message,
    /// The key of the agent's session that it was sent to; absent for the person's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<Public>,
}

impl Mail {
    /// A message of the person's.
    pub fn of_person(message: Message) -> Self {
        Self { message, agent: None }
    }
}

/// Writes messages, for people or for programs.
pub struct Printer {
    /// How to print.
    pub out: Output,
    /// What senders are called.
    pub names: Names,
    /// One JSON array, instead of one value a line.
    pub is_list: bool,
}

impl Printer {
    /// Before the first message.
    pub fn begin(&self) -> Result<()> {
        if self.out.json && self.is_list {
            write!(io::stdout(), "[")?;
        }
        Ok(())
    }

    /// After the last message.
    pub fn end(&self, count: usize) -> Result<()> {
        if self.out.json && self.is_list {
            writeln!(io::stdout(), "]")?;
        } else if count == 0 && self.is_list {
            writeln!(io::stdout(), "Nothing new.")?;
        }
        Ok(())
    }

    /// One message; `number` is its place in the list.
    pub fn message(&self, mail: &Mail, number: usize) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.out.json {
            if self.is_list && number > 0 {
                write!(out, ",")?;
            }
            serde_json::to_writer(&mut out, mail)?;
            if !self.is_list {
                writeln!(out)?;
            }
        } else {
            self.words(&mut out, mail)?;
        }
        // An error here must be known while the message can still count as not shown.
        out.flush()
    }

    fn words(&self, out: &mut dyn Write, Mail { message, agent }: &Mail) -> io::Result<()> {
        if let Some(event) = message.as_event() {
            let at = self.out.dim(&harmless(&message.created_at));
            return writeln!(out, "{}  {at}", lines::words(&event, time::now_ms()));
        }
        let is_reminder = message.subtype.as_deref() == Some(REMINDER);
        let key = message.sender_pubkey.as_str();
        let name = self.names.get(key).unwrap_or_else(|| short(key));
        let to = match (message.kind, &message.target) {
            (Kind::Direct, _) => match agent {
                Some(key) => format!(" to an agent of yours ({})", short(&key.hex())),
                None => String::new(),
            },
            (Kind::Multicast, Some(target)) => format!(" to {target}"),
            (Kind::Multicast, None) if is_reminder => " (not sealed)".into(),
            (Kind::Multicast, None) => " to several".into(),
        };
        let reminder = if is_reminder { "[REMINDER] " } else { "" };
        let id = self.out.dim(short(&message.message_id));
        writeln!(
            out,
            "{reminder}{}{}  {}  {id}",
            self.out.bold(&harmless(name)),
            harmless(&to),
            self.out.dim(&message.created_at),
        )?;
        if message.conflict {
            writeln!(out, "  (conflict: another text came under this id before)")?;
        }
        match (&message.text, &message.event_data, &message.problem) {
            (Some(text), ..) => writeln!(out, "  {}", harmless(text).replace('\n', "\n  ")),
            (None, Some(data), _) => writeln!(out, "  {}", harmless(&data.to_string())),
            (None, None, Some(problem)) => writeln!(out, "  (not shown: {})", harmless(problem)),
            (None, None, None) => writeln!(out, "  (empty)"),
        }
    }

    /// Who came or went.
    pub fn event(&self, event: &Event) -> Result<()> {
        let mut out = io::stdout().lock();
        if self.out.json {
            serde_json::to_writer(&mut out, event).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            let name = event.event_data.get("name").and_then(|name| name.as_str());
            let words = match name {
                Some(name) => format!("{} {}", harmless(&event.event), harmless(name)),
                None => lines::words(event, time::now_ms()),
            };
            writeln!(out, "{}", self.out.dim(&words))?;
        }
        Ok(out.flush()?)
    }

    /// Learns the names of who is here; keys are shown for the others.
    pub async fn learn(&mut self, client: &Client) {
        let Ok(list) = client.request(&ListPeers {}).await else { return };
        self.names.learn(names::of(&list.peers));
    }

    /// Learns the names of those who are away, if these are reminders of somebody unknown: they come
    /// from members' keys.
    pub async fn learn_from(&mut self, messages: &[Message], membership: &Membership) {
        let is_unknown = |message: &Message| {
            let is_reminder = message.subtype.as_deref() == Some(REMINDER);
            is_reminder && self.names.get(&message.sender_pubkey).is_none()
        };
        if messages.iter().any(is_unknown) {
            self.names.learn_new(mesh::names(membership).await);
        }
    }

    /// Learns a name from who came.
    pub fn heard(&mut self, event: &Event) {
        let text = |field| event.event_data.get(field).and_then(|value| value.as_str());
        if let (Some(key), Some(name)) = (text("pubkey"), text("name")) {
            self.names.learn([(key.to_owned(), name.to_owned())]);
        }
    }
}
