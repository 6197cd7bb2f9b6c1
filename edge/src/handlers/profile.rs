//! Profile: set.

use skein_sql::sessions;
use skein_wire::{
    Code, limit,
    messaging::Ack,
    profile::{Request, SetProfile},
};

use super::{Context, Error, Result, within};

/// Serves one profile message.
pub async fn handle(ctx: &Context<'_>, request: Request) -> Result<Option<String>> {
    match request {
        Request::SetProfile(call) => set(ctx, call).await,
    }
}

async fn set(ctx: &Context<'_>, call: SetProfile) -> Result<Option<String>> {
    let db = ctx.db().await?;
    let (session, no) = (ctx.session.mailbox, ctx.session.attach_no);
    let superseded = || Error::from(Code::Superseded);
    let mut profile = sessions::profile(&db, session, no).await?.ok_or_else(superseded)?;
    profile.merge(&call);
    let n_bytes = serde_json::to_string(&profile).map_or(0, |text| text.len());
    within("profile", n_bytes, limit::PROFILE_BYTES_MAX)?;
    ctx.current(sessions::set_profile(&db, session, no, &profile).await?)?;
    Ok(ctx.reply::<SetProfile>(&Ack::of_request(ctx.req_id)))
}
