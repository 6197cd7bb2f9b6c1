//! Presence: status, listing, summary, visibility.

use serde_json::json;
use skein_sql::{presence, sessions};
use skein_wire::{
    Code, Status, limit,
    messaging::Ack,
    presence::{ListPeers, PeersList, Request, SetStatus, SetSummary, SetVisible},
};

use super::{Context, Error, Result, within};
use crate::{note::Event, push, teller::Tell};

/// Serves one presence message.
pub async fn handle(ctx: &Context<'_>, request: Request) -> Result<Option<String>> {
    match request {
        Request::SetStatus(call) => set_status(ctx, &call).await.map(|()| None),
        Request::ListPeers(_) => list(ctx).await,
        Request::SetSummary(call) => set_summary(ctx, &call).await.map(|()| None),
        Request::SetVisible(call) => set_visible(ctx, &call).await,
    }
}

async fn set_status(ctx: &Context<'_>, call: &SetStatus) -> Result<()> {
    let db = ctx.db().await?;
    let session = ctx.session;
    let (mailbox, no) = (session.mailbox, session.attach_no);
    ctx.current(sessions::set_status(&db, mailbox, no, call.status).await?)?;
    {
        let mut live = session.live();
        live.status = call.status;
        live.status_changes += 1;
    }
    if call.status == Status::Idle {
        // What was held is released at once.
        ctx.node.wake(session.mailbox);
    }
    Ok(())
}

async fn list(ctx: &Context<'_>) -> Result<Option<String>> {
    let db = ctx.db().await?;
    let mut peers = presence::list(&db, ctx.session.mesh, ctx.session.member).await?;
    if !ctx.session.caps.ack {
        peers.iter_mut().for_each(|peer| peer.member_pubkey = None);
    }
    Ok(ctx.reply::<ListPeers>(&PeersList { peers }))
}

async fn set_summary(ctx: &Context<'_>, call: &SetSummary) -> Result<()> {
    within("summary", call.summary.len(), limit::SUMMARY_BYTES_MAX)?;
    let db = ctx.db().await?;
    let session = ctx.session;
    let (mailbox, no) = (session.mailbox, session.attach_no);
    ctx.current(sessions::set_summary(&db, mailbox, no, &call.summary).await?)
}

async fn set_visible(ctx: &Context<'_>, call: &SetVisible) -> Result<Option<String>> {
    let db = ctx.db().await?;
    let session = ctx.session;
    let (mailbox, no) = (session.mailbox, session.attach_no);
    let before = sessions::set_visible(&db, mailbox, no, call.visible)
        .await?
        .ok_or_else(|| Error::from(Code::Superseded))?;
    session.live().visible = call.visible;
    if before != call.visible {
        let name = if call.visible { "peer_visible" } else { "peer_hidden" };
        let data = json!({"name": session.name, "pubkey": session.key});
        ctx.node.tell(Tell::Events(vec![Event {
            mesh: session.mesh,
            except: Some(session.mailbox),
            about: session.mailbox,
            no: session.attach_no,
            push: push::event(&session.mesh_id, name, data),
        }]));
    }
    Ok(ctx.reply::<SetVisible>(&Ack::of_request(ctx.req_id)))
}
