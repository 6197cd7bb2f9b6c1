//! Webhooks: create, list, delete.
//!
//! Any peer of the mesh may do all three, as in the reference: a webhook belongs to its mesh.

use sha2::{Digest, Sha256};
use skein_sql::{
    audit::{self, Actor},
    webhooks::{self, Created, New},
};
use skein_wire::{
    Code,
    audit::Event,
    limit,
    webhooks::{CreateWebhook, DeleteWebhook, ListWebhooks, Request, WebhookAck, WebhookList},
};

use super::{Context, Error, Result, messaging};
use crate::writer::Target;

/// Serves one webhooks message.
pub async fn handle(ctx: &Context<'_>, request: Request) -> Result<Option<String>> {
    match request {
        Request::CreateWebhook(call) => Ok(ctx.reply::<CreateWebhook>(&create(ctx, call).await?)),
        Request::ListWebhooks(_) => Ok(ctx.reply::<ListWebhooks>(&list(ctx).await?)),
        Request::DeleteWebhook(call) => Ok(ctx.reply::<DeleteWebhook>(&delete(ctx, call).await?)),
    }
}

async fn create(ctx: &Context<'_>, call: CreateWebhook) -> Result<WebhookAck> {
    let name = named(call.name)?;
    let mut db = ctx.db().await?;
    let (session, shown) = (ctx.session, &ctx.node.webhooks);
    if let Some(target) = &call.target
        && let Target::Key(key) = messaging::target(target)?
        && !webhooks::knows(&db, session.mesh, &key).await?
    {
        return Err(Code::UnknownTarget.into());
    }
    let (id, signed) = (webhooks::id(), call.signed.unwrap_or(false));
    let minted = shown.mint(&id, signed);
    let new = New {
        id: &id,
        name: &name,
        token_hash: &Sha256::digest(&minted.part).into(),
        sealed: &minted.sealed,
        signed,
        target: call.target.as_deref(),
        created_by: session.member,
    };
    let transaction = db.transaction().await.map_err(skein_sql::Error::from)?;
    match webhooks::create(&transaction, session.mesh, new).await? {
        Created::Made(_) => {
            let event = Event::WebhookCreated { name: &name, target: call.target.as_deref() };
            let actor = Actor::Member(session.member, &session.name);
            audit::add(&transaction, session.mesh, actor, event).await?;
            transaction.commit().await.map_err(skein_sql::Error::from)?;
            let url = shown.url(&session.mesh_id, &minted.part);
            Ok(WebhookAck { name, url, secret: minted.secret })
        }
        Created::Taken => {
            let why = format!("Webhook \"{name}\" already exists in this mesh");
            Err(Error::Refused(Code::WebhookExists, why))
        }
        Created::Full => {
            let why = format!("a mesh has at most {} webhooks; delete one", limit::WEBHOOKS_MAX);
            Err(Error::Refused(Code::Limit, why))
        }
    }
}

/// A name that others can be shown.
fn named(name: String) -> Result<String> {
    if name.is_empty() {
        return Err(Code::InvalidWebhook.into());
    }
    let max = limit::WEBHOOK_NAME_BYTES_MAX;
    if name.len() > max || name.chars().any(char::is_control) {
        let why = format!("name is over {max} bytes, or has control characters");
        return Err(Error::Refused(Code::InvalidWebhook, why));
    }
    Ok(name)
}

async fn list(ctx: &Context<'_>) -> Result<WebhookList> {
    let session = ctx.session;
    let found = webhooks::list(&ctx.db().await?, session.mesh).await?;
    let shown = |webhook| {
        let mut listed = ctx.node.webhooks.listed(&session.mesh_id, webhook);
        if !session.caps.replies {
            // Extensions go to those that know them.
            (listed.target, listed.signed) = (None, None);
        }
        listed
    };
    Ok(WebhookList { webhooks: found.into_iter().map(shown).collect() })
}

async fn delete(ctx: &Context<'_>, call: DeleteWebhook) -> Result<WebhookAck> {
    let session = ctx.session;
    let mut db = ctx.db().await?;
    let transaction = db.transaction().await.map_err(skein_sql::Error::from)?;
    // Acknowledged whether or not there was one.
    if webhooks::delete(&transaction, session.mesh, &call.name).await? {
        let event = Event::WebhookDeleted { name: &call.name };
        let actor = Actor::Member(session.member, &session.name);
        audit::add(&transaction, session.mesh, actor, event).await?;
        transaction.commit().await.map_err(skein_sql::Error::from)?;
    }
    Ok(WebhookAck { name: call.name, url: String::new(), secret: String::new() })
}
