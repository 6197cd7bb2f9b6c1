//! `skein webhook`: addresses at which programs outside the mesh say something into it.
//!
//! A URL is a secret, unless its webhook is signed; then the key that is shown once signs each post.

use clap::Subcommand;
use serde_json::{Value, json};
use skein_crypto::{random, webhook};
use skein_openapi::webhooks::Taken;
use skein_wire::webhooks::{CreateWebhook, DeleteWebhook, ListWebhooks, Webhook};

use super::{Context, attach, send};
use crate::client::names;
use crate::output::harmless;
use crate::{Error, Result, rest, time};

/// What to do with webhooks.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make one, and show its URL and secret.
    Create {
        /// What to call it.
        name: String,
        /// Whom posts are for, as messages that wait: a member's name, a key, `@group` or `*`.
        /// Without it they go to everybody who is here at the moment.
        #[arg(long, value_name = "TO")]
        to: Option<String>,
        /// Take only posts that are signed (Standard Webhooks); the URL is then no secret.
        #[arg(long)]
        signed: bool,
    },
    /// List those of the mesh.
    List,
    /// Post something to one, as its sender would.
    Test {
        /// What it is called.
        name: String,
        /// The JSON to post.
        #[arg(default_value = r#"{"test": true}"#)]
        data: String,
        /// Of a signed one: the secret that `create` showed (`whsec_…`).
        #[arg(long, env = "SKEIN_WEBHOOK_SECRET", hide_env_values = true)]
        secret: Option<String>,
    },
    /// End one. Its name can be used again.
    Rm {
        /// What it is called.
        name: String,
    },
}

/// Runs `skein webhook`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Create { name, to, signed } => create(context, name, to, signed).await,
        Command::List => list(context).await,
        Command::Test { name, data, secret } => test(context, &name, data, secret).await,
        Command::Rm { name } => remove(context, name).await,
    }
}

async fn create(context: &Context, name: String, to: Option<String>, signed: bool) -> Result<()> {
    let target = match &to {
        None => None,
        Some(to) => Some(match names::literal(to) {
            Some(target) => target,
            // A member's key: its sessions come and go, and posts wait for the next.
            None => send::away(&context.membership()?, to).await?,
        }),
    };
    let call = CreateWebhook { name, target: target.clone(), signed: signed.then_some(true) };
    let ack = attach::ask(context, &call).await?;
    let shown = json!({
        "name": ack.name, "url": ack.url, "secret": ack.secret, "signed": signed, "target": target,
    });
    context.out.print(&shown, |out| {
        writeln!(out, "{}", ack.url)?;
        if signed {
            writeln!(out, "Posts must be signed with {}", ack.secret)?;
            return writeln!(out, "It is shown this once.");
        }
        writeln!(out, "Whoever knows this URL can post to it.")
    })
}

async fn list(context: &Context) -> Result<()> {
    let webhooks = attach::ask(context, &ListWebhooks {}).await?.webhooks;
    context.out.print(&webhooks, |out| {
        if webhooks.is_empty() {
            return writeln!(out, "No webhooks. `skein webhook create NAME` makes one.");
        }
        for webhook in &webhooks {
            let signed = if webhook.signed == Some(true) { "signed" } else { "plain" };
            let to = webhook.target.as_deref().unwrap_or("everybody who is here");
            let name = context.out.bold(&harmless(&webhook.name));
            writeln!(out, "{name}  {signed}, for {}", harmless(to))?;
            writeln!(out, "  {}", context.out.dim(&harmless(&webhook.url)))?;
        }
        Ok(())
    })
}

async fn test(context: &Context, name: &str, data: String, secret: Option<String>) -> Result<()> {
    if !serde_json::from_str::<Value>(&data).is_ok_and(|it| it.is_object() || it.is_array()) {
        return Err(Error::Usage("what is posted must be a JSON object or array".into()));
    }
    let webhook = find(context, name).await?;
    let unexpected = |error: reqwest::Error| Error::NotConnected(rest::reason(&error));
    let http = rest::client_builder().timeout(attach::PATIENCE).build().map_err(unexpected)?;
    let mut post = http.post(&webhook.url).header("content-type", "application/json");
    if webhook.signed == Some(true) {
        let secret = secret.ok_or_else(|| {
            Error::Usage(format!("`{name}` takes signed posts: give its --secret"))
        })?;
        let (id, at) = (format!("msg_{}", hex::encode(random::<12>())), time::now_ms() / 1000);
        let signature = webhook::sign(&secret, &id, at, data.as_bytes())?;
        post = post.header(webhook::ID_HEADER, id).header(webhook::TIMESTAMP_HEADER, at);
        post = post.header(webhook::SIGNATURE_HEADER, signature);
    }
    let answer = post.body(data).send().await.map_err(unexpected)?;
    let taken: Taken = rest::answered(answer).await?;
    context.out.print(&taken, |out| match (taken.delivered, &taken.message_id) {
        (0, Some(_)) => writeln!(out, "Taken; it waits for whoever it is for."),
        (0, None) => writeln!(out, "Taken, but nobody is here."),
        (n, _) => writeln!(out, "Taken, for {n} that are here."),
    })
}

async fn remove(context: &Context, name: String) -> Result<()> {
    find(context, &name).await?;
    let gone = attach::ask(context, &DeleteWebhook { name }).await?;
    let shown = json!({"name": gone.name, "removed": true});
    context.out.print(&shown, |out| writeln!(out, "`{}` has ended.", harmless(&gone.name)))
}

/// The webhook of this name; the server itself does not tell whether there is one.
async fn find(context: &Context, name: &str) -> Result<Webhook> {
    let webhooks = attach::ask(context, &ListWebhooks {}).await?.webhooks;
    webhooks.into_iter().find(|webhook| webhook.name == name).ok_or_else(|| {
        Error::NotFound(format!("no webhook is called `{name}`; `skein webhook list` lists them"))
    })
}
