//! What this deployment adds to a webhook's row: its address, and the key that opens its secret.
//!
//! A plain webhook's secret is the last part of its address, as in the reference. A signed one's
//! address ends with its id, which is worth nothing; its secret signs each post. Both are in the
//! database only under the deployment key, and in no log: requests are logged without their path.

use skein_crypto::{at_rest, plain, random, webhook};
use skein_sql::webhooks::Webhook;
use skein_wire::{
    Priority,
    push::Push,
    webhooks::{self as wire, SENDER},
};
use tracing::error;

use crate::config::{Config, Secret};

/// The subtype of what a webhook was given.
pub const SUBTYPE: &str = "webhook";

/// Webhooks as this deployment shows them.
#[derive(Debug, Clone)]
pub struct Webhooks {
    /// `http(s)://host`; empty where the deployment has no public URL.
    base: String,
    key: Secret,
}

/// A secret that was just made, and what is kept of it.
#[derive(Debug)]
pub struct Minted {
    /// The last part of the address.
    pub part: String,
    /// What is told once: the same, or what signs.
    pub secret: String,
    /// The secret under the deployment key.
    pub sealed: String,
}

impl Webhooks {
    /// The webhooks of the deployment of these settings.
    pub fn of(config: &Config) -> Self {
        let url = config.public_url.as_deref().unwrap_or_default();
        let url = url.strip_suffix("/ws").unwrap_or(url);
        // `ws` and `wss` become `http` and `https`.
        let base = url.strip_prefix("ws").map(|rest| format!("http{rest}")).unwrap_or_default();
        Self { base, key: config.deployment_key.clone() }
    }

    /// Where to post.
    pub fn url(&self, mesh_id: &str, part: &str) -> String {
        format!("{}/hook/{mesh_id}/{part}", self.base)
    }

    /// A secret for a new webhook of this id.
    pub fn mint(&self, id: &str, signed: bool) -> Minted {
        let secret = match signed {
            true => webhook::generate(),
            false => hex::encode(random::<32>()),
        };
        let part = if signed { id.to_owned() } else { secret.clone() };
        let sealed = at_rest::seal(&self.key.key(), secret.as_bytes());
        Minted { part, secret, sealed }
    }

    /// The secret of a webhook; `None` when it was sealed under another deployment key.
    pub fn open(&self, webhook: &Webhook) -> Option<String> {
        let opened = at_rest::open(&self.key.key(), &webhook.sealed);
        let secret = opened.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        if secret.is_none() {
            error!(webhook = webhook.id, "sealed under another deployment key; make it again");
        }
        secret
    }

    /// What the wire says of a webhook. Its URL is empty when its secret cannot be opened.
    pub fn listed(&self, mesh_id: &str, webhook: Webhook) -> wire::Webhook {
        let part = if webhook.signed { Some(webhook.id.clone()) } else { self.open(&webhook) };
        wire::Webhook {
            url: part.map(|part| self.url(mesh_id, &part)).unwrap_or_default(),
            name: webhook.name,
            active: true,
            created_at: skein_sql::iso(webhook.created_at),
            target: webhook.target,
            signed: webhook.signed.then_some(true),
        }
    }
}

/// Makes of a stored message what a webhook's push is, if it is of one.
pub fn dress(push: &mut Push) {
    let Some(name) = push.sender_pubkey.strip_prefix(SENDER) else { return };
    push.event = Some(name.to_owned());
    let posted = plain::decode(&push.ciphertext).ok();
    push.event_data = posted.and_then(|text| serde_json::from_str(&text).ok());
    push.subtype = Some(SUBTYPE.to_owned());
    push.priority = Priority::Next;
}
