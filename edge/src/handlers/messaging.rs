//! Messaging: send, message_status, received.
//!
//! A send is checked here and decided by the writer, together with those of others.

use std::time::Instant;

use skein_crypto::{Public, message_id};
use skein_sql::messages;
use skein_wire::{
    Code, limit,
    messaging::{MessageStatus, Received, Request, Send},
};
use uuid::Uuid;

use super::{Context, Error, Result, groups, within};
use crate::writer::{Item, Target};

/// Serves one messaging message.
pub async fn handle(
    ctx: &Context<'_>,
    request: Request,
    id: Option<&str>,
) -> Result<Option<String>> {
    match request {
        Request::Send(call) => send(ctx, call, id).await.map(|()| None),
        Request::MessageStatus(call) => status(ctx, call).await,
        Request::Received(call) => received(ctx, &call).map(|()| None),
    }
}

async fn send(ctx: &Context<'_>, call: Send, id: Option<&str>) -> Result<()> {
    let id = id.unwrap_or_default();
    within("id", id.len(), limit::ID_BYTES_MAX)?;
    within("nonce", call.nonce.len(), limit::NONCE_BYTES_MAX)?;
    within("ciphertext", call.ciphertext.len(), limit::CIPHERTEXT_BYTES_MAX)?;
    let target = target(&call.target_spec)?;
    let session = ctx.session;
    let mut hash = None;
    let mut random = Uuid::new_v4();
    if session.caps.ack && !id.is_empty() {
        // The ids of such a sender are random, so the same id is the same message.
        let key = Public::parse(&session.key).map_err(|_| Error::from(Code::Internal))?;
        let bytes = message_id::bytes_of(&session.mesh_id, &key, id);
        random = Uuid::from_bytes(bytes);
        let (priority, nonce, ciphertext) =
            (call.priority.as_str(), call.nonce.as_str(), call.ciphertext.as_str());
        hash = Some(message_id::body_hash(target.text(), priority, nonce, ciphertext));
    }
    let item = Item {
        session: session.clone(),
        id: id.to_owned(),
        req_id: ctx.req_id.map(str::to_owned),
        message_id: random,
        body_hash: hash,
        target,
        priority: call.priority,
        nonce: call.nonce,
        ciphertext: call.ciphertext,
        since: Instant::now(),
    };
    session.pending.add();
    if ctx.node.writer.send(item).await.is_err() {
        // The node is ending; the client repeats elsewhere.
        session.pending.done();
    }
    Ok(())
}

/// Reads a target: 64 lower-case hex characters, `*`, `@all` or `@group`.
pub(crate) fn target(text: &str) -> Result<Target> {
    let unknown = |why: &str| {
        let shown: String = text.chars().take(32).collect();
        Err(Error::Refused(Code::UnknownTarget, format!("`{shown}` {why}")))
    };
    if text == "*" {
        return Ok(Target::Multicast(text.to_owned()));
    }
    if let Some(group) = text.strip_prefix('@') {
        if !groups::is_path(group) {
            return unknown("is no group path");
        }
        return Ok(Target::Multicast(text.to_owned()));
    }
    if Public::parse(text).is_err() {
        return unknown("is no key, group or `*`; names are resolved by the client");
    }
    Ok(Target::Key(text.to_owned()))
}

async fn status(ctx: &Context<'_>, call: MessageStatus) -> Result<Option<String>> {
    let unknown = || Error::Refused(Code::NotFound, "message not found".to_owned());
    let id = Uuid::try_parse(&call.message_id).map_err(|_| unknown())?;
    let db = ctx.db().await?;
    let mut status = messages::status(&db, ctx.session.mesh, id).await?.ok_or_else(unknown)?;
    if !ctx.session.caps.ack {
        status.outcome = None;
        status.recipients.iter_mut().for_each(|r| r.state = None);
    }
    Ok(ctx.reply::<MessageStatus>(&status))
}

fn received(ctx: &Context<'_>, call: &Received) -> Result<()> {
    if call.message_ids.len() > limit::RECEIVED_IDS_MAX {
        let max = limit::RECEIVED_IDS_MAX;
        let why = format!("`messageIds` has {}, at most {max}", call.message_ids.len());
        return Err(Error::Refused(Code::TooLarge, why));
    }
    let ids = call.message_ids.iter().filter_map(|id| Uuid::try_parse(id).ok());
    ctx.node.received(ctx.session, |window| window.settle_ids(ids.map(|id| id.as_u128())));
    Ok(())
}
