//! Streams: create, publish, subscribe, unsubscribe, list.
//!
//! A subscription is a row, by which publishers on other edges find this one and listeners are
//! counted, and a topic of the relay, by which the data finds the socket. Both end with the socket.

use skein_sql::streams;
use skein_wire::{
    Code, limit,
    streams::{
        CreateStream, ListStreams, Publish, Request, StreamCreated, StreamData, StreamList,
        Subscribe, Subscribed, Unsubscribe,
    },
};

use super::{Context, Error, Result, within};
use crate::relay::Event;

/// Serves one message about streams.
pub async fn handle(ctx: &Context<'_>, request: Request) -> Result<Option<String>> {
    match request {
        Request::CreateStream(call) => Ok(ctx.reply::<CreateStream>(&create(ctx, call).await?)),
        Request::Publish(call) => publish(ctx, call).await.map(|()| None),
        Request::Subscribe(call) => Ok(ctx.reply::<Subscribe>(&subscribe(ctx, call).await?)),
        Request::Unsubscribe(call) => unsubscribe(ctx, &call).await.map(|()| None),
        Request::ListStreams(_) => Ok(ctx.reply::<ListStreams>(&list(ctx).await?)),
    }
}

fn named(field: &str, name: &str) -> Result<()> {
    within(field, name.len(), limit::STREAM_NAME_BYTES_MAX)?;
    if name.is_empty() {
        return Err(Error::Refused(Code::InvalidMessage, format!("`{field}` is empty")));
    }
    Ok(())
}

/// The topic of the relay that carries a stream.
fn topic(stream: &str) -> String {
    format!("stream:{stream}")
}

async fn create(ctx: &Context<'_>, CreateStream { name }: CreateStream) -> Result<StreamCreated> {
    named("name", &name)?;
    let (mut db, session) = (ctx.db().await?, ctx.session);
    let max = limit::STREAMS_MAX;
    let transaction = db.transaction().await.map_err(skein_sql::Error::from)?;
    let created = streams::create(&transaction, session.mesh, &name, session.member, max).await?;
    transaction.commit().await.map_err(skein_sql::Error::from)?;
    let id = created
        .ok_or_else(|| Error::Refused(Code::Limit, format!("a mesh has at most {max} streams")))?;
    Ok(StreamCreated { id, name })
}

async fn publish(ctx: &Context<'_>, Publish { stream, data }: Publish) -> Result<()> {
    named("stream", &stream)?;
    let session = ctx.session;
    let (name, nodes) = {
        let db = ctx.db().await?;
        streams::audience(&db, session.mesh, &stream, session.mailbox, session.member).await?
    };
    if nodes.is_empty() {
        return Ok(());
    }
    let topic = topic(&stream);
    let published_by = name.unwrap_or_else(|| "peer".to_owned());
    let frame = skein_wire::encode(&StreamData { stream, data, published_by }, None);
    within("data", frame.len(), limit::FRAME_BYTES_MAX)?;
    let event = Event::to_mesh(session.mesh, frame).but(session.mailbox).following(&topic);
    ctx.node.relay.event(event.at(nodes)).await;
    Ok(())
}

async fn subscribe(ctx: &Context<'_>, Subscribe { stream }: Subscribe) -> Result<Subscribed> {
    named("stream", &stream)?;
    let session = ctx.session;
    // The topic first: what is published once the row is there reaches the socket.
    ctx.node.relay.follow(session, &topic(&stream)).map_err(|code| {
        let max = limit::TOPICS_PER_SESSION_MAX;
        Error::Refused(code, format!("a session listens to at most {max} streams"))
    })?;
    let db = ctx.db().await?;
    let (mailbox, no) = (session.mailbox, session.attach_no);
    streams::subscribe(&db, session.mesh, &stream, mailbox, no).await?;
    Ok(Subscribed { stream })
}

async fn unsubscribe(ctx: &Context<'_>, Unsubscribe { stream }: &Unsubscribe) -> Result<()> {
    named("stream", stream)?;
    let session = ctx.session;
    ctx.node.relay.unfollow(session, &topic(stream));
    let db = ctx.db().await?;
    let (mailbox, no) = (session.mailbox, session.attach_no);
    streams::unsubscribe(&db, session.mesh, stream, mailbox, no).await?;
    Ok(())
}

async fn list(ctx: &Context<'_>) -> Result<StreamList> {
    let streams = streams::list(&ctx.db().await?, ctx.session.mesh).await?;
    Ok(StreamList { streams })
}
