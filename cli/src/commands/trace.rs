//! `skein trace`: what is known of a message, hop by hop.

use serde_json::json;
use skein_wire::Code;
use skein_wire::messaging::{MessageStatus, MessageStatusResult};

use super::{Context, attach};
use crate::client::RequestError;
use crate::client::inbox::Shown;
use crate::client::message::{Kind, Message};
use crate::output::harmless;
use crate::{Error, Result};

/// Shorter beginnings of ids are not looked up.
const PREFIX_CHARS_MIN: usize = 8;

/// Which message.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its id, as `send` and `inbox` show it; of a received one the beginning is enough.
    message: String,
}

/// Runs `skein trace`: asks the server, and looks in this home.
pub async fn run(context: &Context, args: Args) -> Result<()> {
    let membership = context.membership()?;
    let kept = Shown::open(&context.home.inbox(&membership.mesh_id))?.all()?;
    let (id, received) = find(&kept, &args.message)?;
    let attached = attach::attach(context, &membership).await?;
    let asked = attached.client.request(&MessageStatus { message_id: id.clone() }).await;
    let edge = attached.client.edge();
    attached.client.close().await;
    let status = match asked {
        Ok(status) => Some(status),
        Err(RequestError::Refused(refusal)) if refusal.code == Code::NotFound.as_str() => None,
        Err(error) => return Err(error.into()),
    };
    if status.is_none() && received.is_none() {
        return Err(Error::NotFound(format!(
            "neither the server nor this home knows message {id}"
        )));
    }
    let shown = json!({
        "messageId": id, "meshId": membership.mesh_id, "edge": edge,
        "server": status, "received": received,
    });
    context.out.print(&shown, |out| {
        writeln!(out, "Message {id}")?;
        hops(out, status.as_ref(), received)
    })
}

/// The whole id, and the message if it came here.
fn find<'a>(kept: &'a [Message], id: &str) -> Result<(String, Option<&'a Message>)> {
    let mut found: Vec<&Message> = kept.iter().filter(|one| one.message_id == id).collect();
    if found.is_empty() && id.len() >= PREFIX_CHARS_MIN {
        found = kept.iter().filter(|one| one.message_id.starts_with(id)).collect();
        found.dedup_by(|a, b| a.message_id == b.message_id);
    }
    match found.as_slice() {
        [] => Ok((id.to_owned(), None)),
        [first, rest @ ..] if rest.iter().all(|one| one.message_id == first.message_id) => {
            Ok((first.message_id.clone(), Some(first)))
        }
        several => Err(Error::Ambiguous {
            what: format!("`{id}`"),
            candidates: several.iter().map(|one| one.message_id.clone()).collect(),
        }),
    }
}

fn hops(
    out: &mut dyn std::io::Write,
    status: Option<&MessageStatusResult>,
    received: Option<&Message>,
) -> std::io::Result<()> {
    if let Some(message) = received {
        let how = match message.kind {
            Kind::Direct => "sealed for you",
            Kind::Multicast => "readable by the server",
        };
        writeln!(out, "  from      {}, {how}", message.sender_pubkey)?;
        writeln!(out, "  stored    {}", message.created_at)?;
    }
    match status {
        None => writeln!(out, "  server    has forgotten it")?,
        Some(status) => {
            writeln!(out, "  to        {}", harmless(&status.target_spec))?;
            match (&status.delivered_at, &status.outcome) {
                (Some(at), _) => writeln!(out, "  delivered {at}")?,
                (None, Some(outcome)) => writeln!(out, "  ended     {}", harmless(outcome))?,
                (None, None) if status.delivered => writeln!(out, "  delivered")?,
                (None, None) => writeln!(out, "  waiting")?,
            }
            for one in &status.recipients {
                let state = one.state.as_deref().unwrap_or(&one.status);
                let name = harmless(&one.name);
                writeln!(out, "    {name}  {}  {}", harmless(state), harmless(&one.pubkey))?;
            }
        }
    }
    match received {
        Some(message) => writeln!(out, "  in inbox  {}", message.received_at),
        None => Ok(()),
    }
}
