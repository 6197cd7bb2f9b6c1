//! `skein key`: API keys, for programs that take part without a socket.
//!
//! The key's own pair is made here, and its secret half goes to whoever will use the key; the server
//! never has it.

use clap::{Subcommand, builder::PossibleValuesParser};
use serde_json::json;
use skein_crypto::Keypair;
use skein_openapi::api_keys::{ApiKey, ApiKeyCreated, ApiKeys, Capability, NewApiKey};

use super::Context;
use crate::output::{harmless, short};
use crate::rest::Rest;
use crate::{Error, Result};

/// Pages of keys that are read; 500 each.
const PAGES_MAX: usize = 20;

/// What to do with API keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make one, and show its secret and its secret key, this once.
    Create {
        /// What to call it; peers see it as the name of who sends.
        name: String,
        /// What it may do; several are separated by commas.
        #[arg(long, value_name = "CAPABILITY", required = true, value_delimiter = ',',
              value_parser = words())]
        may: Vec<String>,
        /// After so many days it is good no longer.
        #[arg(long)]
        days: Option<i32>,
        /// The public key (64 hex) of whoever will use it; without it a pair is made here.
        #[arg(long, value_name = "KEY")]
        pubkey: Option<String>,
    },
    /// List those of the mesh.
    List,
    /// End one: it is good no longer, at once and everywhere.
    Revoke {
        /// Its name, if only one good key has it, or its id.
        key: String,
    },
}

fn words() -> PossibleValuesParser {
    PossibleValuesParser::new(Capability::ALL.map(Capability::as_str))
}

/// Runs `skein key`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    let membership = context.membership()?;
    let rest = Rest::of(&membership)?;
    let path = format!("/v1/meshes/{}/api-keys", membership.mesh_id);
    match command {
        Command::Create { name, may, days, pubkey } => {
            let capabilities = may.iter().filter_map(|word| Capability::parse(word)).collect();
            let new = NewApiKey { name, pubkey: String::new(), capabilities, days };
            create(context, &rest, &path, new, pubkey).await
        }
        Command::List => list(context, &all(&rest, &path).await?),
        Command::Revoke { key } => revoke(context, &rest, &path, &key).await,
    }
}

async fn create(
    context: &Context,
    rest: &Rest,
    path: &str,
    new: NewApiKey,
    pubkey: Option<String>,
) -> Result<()> {
    let pair = pubkey.is_none().then(Keypair::generate);
    let made = pair.as_ref().map(|pair| pair.public.hex());
    let new = NewApiKey { pubkey: pubkey.or(made).unwrap_or_default(), ..new };
    let ApiKeyCreated { key, secret } = rest.post(path, &new).await?;
    let secret_key = pair.map(|pair| pair.secret.hex().to_string());
    let shown = json!({"key": key, "secret": secret, "secretKey": secret_key});
    context.out.print(&shown, |out| {
        writeln!(out, "{} is made; this is shown once.", harmless(&key.name))?;
        writeln!(out, "  Authorization: Bearer {secret}")?;
        writeln!(out, "  address: {}", key.pubkey)?;
        match &secret_key {
            Some(secret_key) => writeln!(out, "  secret key of the address: {secret_key}"),
            None => Ok(()),
        }
    })
}

fn list(context: &Context, keys: &[ApiKey]) -> Result<()> {
    context.out.print(&keys, |out| {
        if keys.is_empty() {
            return writeln!(out, "No API keys. `skein key create NAME --may WHAT` makes one.");
        }
        for key in keys {
            let words: Vec<_> = key.capabilities.iter().map(|one| one.as_str()).collect();
            let state = match (&key.revoked_at, &key.expires_at, &key.used_at) {
                (Some(at), ..) => format!("revoked {at}"),
                (None, Some(at), _) => format!("good until {at}"),
                (None, None, Some(at)) => format!("last used {at}"),
                (None, None, None) => "never used".to_owned(),
            };
            let name = context.out.bold(&harmless(&key.name));
            let id = context.out.dim(&key.id);
            writeln!(out, "{name}  {}  {state}  {id}", words.join(","))?;
        }
        Ok(())
    })
}

async fn revoke(context: &Context, rest: &Rest, path: &str, wanted: &str) -> Result<()> {
    let keys = all(rest, path).await?;
    let good = || keys.iter().filter(|key| key.revoked_at.is_none());
    let mut found: Vec<&ApiKey> = good().filter(|key| key.id == wanted).collect();
    if found.is_empty() {
        found = good().filter(|key| key.name == wanted).collect();
    }
    let key = match found.as_slice() {
        [only] => *only,
        [] => return Err(Error::NotFound(format!("no API key that is good is called `{wanted}`"))),
        several => {
            let candidate = |key: &&ApiKey| format!("{} = {}", short(&key.pubkey), key.id);
            let candidates = several.iter().map(candidate).collect();
            return Err(Error::Ambiguous { what: format!("`{wanted}`"), candidates });
        }
    };
    rest.delete(&format!("{path}/{}", key.id)).await?;
    let shown = json!({"id": key.id, "name": key.name, "revoked": true});
    context.out.print(&shown, |out| writeln!(out, "{} is revoked.", harmless(&key.name)))
}

async fn all(rest: &Rest, path: &str) -> Result<Vec<ApiKey>> {
    let (mut all, mut after) = (Vec::new(), String::new());
    for _ in 0..PAGES_MAX {
        let page: ApiKeys = rest.get(&format!("{path}{after}")).await?;
        all.extend(page.api_keys);
        let Some(next) = page.next else { break };
        after = format!("?after={next}");
    }
    Ok(all)
}
