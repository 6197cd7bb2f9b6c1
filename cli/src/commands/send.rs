//! `skein send`: one text to one or several.
//!
//! What became of it is said for each; the first that failed decides how the program ends.

use std::io::Read;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Value, json};
use skein_wire::Priority;
use skein_wire::messaging::Ack;
use skein_wire::presence::ListPeers;

use super::{Context, attach, mesh};
use crate::client::Client;
use crate::client::names::{self, Unresolved};
use crate::home::Membership;
use crate::output::{Output, harmless, short};
use crate::rest::Rest;
use crate::{Error, Result};

/// How long a send may wait for its ack.
const ACK_PATIENCE: Duration = Duration::from_secs(30);

/// What to send, and to whom.
#[derive(Debug, clap::Args)]
#[command(override_usage = "skein send [OPTIONS] <TO>... <TEXT>")]
pub struct Args {
    /// Each TO is a name, a key, `@group` or `*`; several are several messages. TEXT comes last;
    /// `-` reads standard input.
    #[arg(required = true, value_name = "TO... TEXT")]
    words: Vec<String>,
    /// What may hold it back: `now` nothing, `next` and `low` a recipient that is busy.
    #[arg(long, value_enum, default_value_t = Urgency::Next)]
    priority: Urgency,
}

/// How urgent a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Urgency {
    /// Delivered whatever the recipient is doing.
    Now,
    /// Delivered when the recipient is idle.
    Next,
    /// As next; it can wait for a pause.
    Low,
}

impl From<Urgency> for Priority {
    fn from(urgency: Urgency) -> Self {
        match urgency {
            Urgency::Now => Self::Now,
            Urgency::Next => Self::Next,
            Urgency::Low => Self::Low,
        }
    }
}

/// Runs `skein send`.
pub async fn run(context: &Context, args: Args) -> Result<()> {
    // One list of words, so that options may stand anywhere between them.
    let Some((text, to)) = args.words.split_last().filter(|(_, to)| !to.is_empty()) else {
        return Err(Error::Usage(
            "send needs a recipient and a text: skein send TO... TEXT".into(),
        ));
    };
    let text = if text == "-" { read_stdin()? } else { text.clone() };
    if text.is_empty() {
        return Err(Error::Usage("there is no text to send".into()));
    }
    let membership = context.membership()?;
    let attached = attach::attach(context, &membership).await?;
    let client = &attached.client;
    // Every name is resolved before anything is sent: all of it is meant, or nothing.
    let mut targets = Vec::new();
    for to in to {
        let target = resolve(client, &membership, to).await?;
        if !targets.iter().any(|(_, known)| *known == target) {
            targets.push((to, target));
        }
    }
    let sending: Vec<_> = targets
        .into_iter()
        .map(|(to, target)| {
            let sending = client.send(&target, args.priority.into(), &text);
            (to.as_str(), target, sending)
        })
        .collect();
    // One that fails does not hide what became of the others.
    let mut ends = Vec::new();
    for (to, target, sending) in sending {
        let ack = sending.within(ACK_PATIENCE).await.map_err(Error::from);
        ends.push(End { to, target, ack });
    }
    client.close().await;
    if ends.len() > 1 || ends.iter().any(|end| end.ack.is_ok()) {
        let shown: Vec<_> = ends.iter().map(End::shown).collect();
        context.out.print(&shown, |out| {
            ends.iter().try_for_each(|end| writeln!(out, "{}", end.words(&context.out)))
        })?;
    }
    ends.into_iter().try_for_each(|end| end.ack.map(drop))
}

/// What became of the text to one target.
struct End<'a> {
    to: &'a str,
    target: String,
    ack: Result<Ack>,
}

impl End<'_> {
    fn shown(&self) -> Value {
        let Self { to, target, ack } = self;
        match ack {
            Ok(ack) => json!({
                "to": to, "target": target, "messageId": ack.message_id,
                "recipients": ack.recipients, "online": ack.online,
            }),
            Err(error) => {
                let error = json!({"code": error.code(), "message": error.to_string()});
                json!({"to": to, "target": target, "error": error})
            }
        }
    }

    fn words(&self, out: &Output) -> String {
        let to = self.to;
        let ack = match &self.ack {
            Ok(ack) => ack,
            Err(error) => return format!("Not stored for {to}: {}", harmless(&error.to_string())),
        };
        let where_to = match (ack.recipients, ack.online) {
            (Some(1), Some(1)) => String::new(),
            (Some(1), Some(0)) => ", which is away and gets it later".into(),
            (Some(0), _) => ", but nobody else is here".into(),
            (Some(all), Some(online)) => format!(": {online} of {all} are here"),
            _ => String::new(),
        };
        format!("Stored for {to}{where_to}  {}", out.dim(short(&ack.message_id)))
    }
}

/// Standard input, without the newline that ends it.
fn read_stdin() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

/// What `to` is sent to: as it stands, by the name of who is here, or of who ever joined.
pub async fn resolve(client: &Client, membership: &Membership, to: &str) -> Result<String> {
    if let Some(target) = names::literal(to) {
        return Ok(target);
    }
    let peers = client.request(&ListPeers {}).await?.peers;
    match names::resolve(to, &peers, &client.session()) {
        Ok(target) => Ok(target),
        Err(Unresolved::Ambiguous(candidates)) => {
            Err(Error::Ambiguous { what: format!("`{to}`"), candidates })
        }
        Err(Unresolved::Unknown) => away(membership, to).await,
    }
}

/// The key of a member who is not here.
pub async fn away(membership: &Membership, name: &str) -> Result<String> {
    let unknown = || {
        Error::NotFound(format!(
            "nobody in {} is called `{name}`; `skein peers` lists who is here",
            membership.slug
        ))
    };
    // A server that does not tell members who joined is asked in vain, and that is no other error.
    let rest = Rest::of(membership)?;
    let members = mesh::members(&rest, &membership.mesh_id).await.map_err(|_| unknown())?.members;
    let wanted = name.to_lowercase();
    let found: Vec<_> =
        members.iter().filter(|one| one.display_name.to_lowercase() == wanted).collect();
    match found.as_slice() {
        [] => Err(unknown()),
        [only] => Ok(only.pubkey.clone()),
        several => Err(Error::Ambiguous {
            what: format!("`{name}`"),
            candidates: several.iter().map(|one| format!("{name} = {}", one.pubkey)).collect(),
        }),
    }
}
