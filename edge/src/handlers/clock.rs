//! The simulation clock: set, pause, resume, read.
//!
//! Any peer may. Who ticks is a worker, which is told that the next tick may be due sooner.

use jiff::Timestamp;
use skein_sql::{audit::Actor, clock, iso};
use skein_wire::{
    Code,
    clock::{ClockStatus, GetClock, PauseClock, Request, ResumeClock, SetClock},
};

use super::{Context, Error, Result};
use crate::teller::Tell;

/// What the contract says where there is no clock.
const NO_CLOCK: &str = "No clock running for this mesh";

/// Serves one message about the clock.
pub async fn handle(ctx: &Context<'_>, request: Request) -> Result<Option<String>> {
    match request {
        Request::SetClock(call) => Ok(ctx.reply::<SetClock>(&set(ctx, &call).await?)),
        Request::PauseClock(_) => Ok(ctx.reply::<PauseClock>(&pause(ctx).await?)),
        Request::ResumeClock(_) => Ok(ctx.reply::<ResumeClock>(&resume(ctx).await?)),
        Request::GetClock(_) => Ok(ctx.reply::<GetClock>(&get(ctx).await?)),
    }
}

fn actor<'a>(ctx: &Context<'a>) -> Actor<'a> {
    Actor::Member(ctx.session.member, &ctx.session.name)
}

async fn set(ctx: &Context<'_>, call: &SetClock) -> Result<ClockStatus> {
    let mut db = ctx.db().await?;
    let setting = db.transaction().await.map_err(skein_sql::Error::from)?;
    let status = clock::set(&setting, ctx.session.mesh, actor(ctx), call.speed).await?;
    setting.commit().await.map_err(skein_sql::Error::from)?;
    ctx.node.tell(Tell::Clock(ctx.session.mesh));
    Ok(status)
}

async fn pause(ctx: &Context<'_>) -> Result<ClockStatus> {
    let mut db = ctx.db().await?;
    let pausing = db.transaction().await.map_err(skein_sql::Error::from)?;
    let status = clock::pause(&pausing, ctx.session.mesh, actor(ctx)).await?;
    pausing.commit().await.map_err(skein_sql::Error::from)?;
    status.ok_or_else(no_clock)
}

async fn resume(ctx: &Context<'_>) -> Result<ClockStatus> {
    let mut db = ctx.db().await?;
    let resuming = db.transaction().await.map_err(skein_sql::Error::from)?;
    let status = clock::resume(&resuming, ctx.session.mesh, actor(ctx)).await?;
    resuming.commit().await.map_err(skein_sql::Error::from)?;
    ctx.node.tell(Tell::Clock(ctx.session.mesh));
    status.ok_or_else(no_clock)
}

async fn get(ctx: &Context<'_>) -> Result<ClockStatus> {
    let status = clock::get(&ctx.db().await?, ctx.session.mesh).await?;
    Ok(status.unwrap_or_else(|| ClockStatus::none(&iso(Timestamp::now()))))
}

fn no_clock() -> Error {
    Error::Refused(Code::NoClock, NO_CLOCK.to_owned())
}
