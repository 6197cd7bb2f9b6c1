//! Schedules: schedule, list, cancel; ours also get, pause, resume, run.
//!
//! What cannot fire is refused here, with the reason. What fires, and when, is a worker's duty: one
//! that has to know soon is woken.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use skein_crypto::plain;
use skein_sql::{
    audit::{self, Actor},
    clock, duties,
    duties::Kind,
    schedules::{self, Created, New},
    webhooks,
};
use skein_wire::{
    Code, Priority,
    audit::Event,
    cron::{self, Cron},
    limit,
    schedules::{
        CancelScheduled, CancelScheduledAck, Clock, GetScheduled, ListScheduled, Missed, Overlap,
        PauseScheduled, REMINDER, Request, ResumeScheduled, RunScheduled, Schedule, ScheduledAck,
        ScheduledDetail, ScheduledList, State,
    },
};
use tracing::warn;
use uuid::Uuid;

use super::{Context, Error, Result, fitting, messaging, within};
use crate::writer::Target;

/// Serves one schedules message.
pub async fn handle(ctx: &Context<'_>, request: Request) -> Result<Option<String>> {
    match request {
        Request::Schedule(call) => Ok(ctx.reply::<Schedule>(&schedule(ctx, call).await?)),
        Request::ListScheduled(_) => Ok(ctx.reply::<ListScheduled>(&list(ctx).await?)),
        Request::CancelScheduled(call) => {
            Ok(ctx.reply::<CancelScheduled>(&cancel(ctx, call).await?))
        }
        Request::GetScheduled(call) => {
            Ok(ctx.reply::<GetScheduled>(&detail(ctx, &call.scheduled_id).await?))
        }
        Request::PauseScheduled(call) => {
            let id = live(ctx, &call.scheduled_id).await?;
            schedules::pause(&ctx.db().await?, ctx.session.mesh, ctx.session.member, id).await?;
            Ok(ctx.reply::<PauseScheduled>(&detail(ctx, &call.scheduled_id).await?))
        }
        Request::ResumeScheduled(call) => {
            resume(ctx, live(ctx, &call.scheduled_id).await?).await?;
            Ok(ctx.reply::<ResumeScheduled>(&detail(ctx, &call.scheduled_id).await?))
        }
        Request::RunScheduled(call) => {
            let id = live(ctx, &call.scheduled_id).await?;
            let db = ctx.db().await?;
            schedules::run(&db, ctx.session.mesh, ctx.session.member, id).await?;
            wake_now(&db).await;
            drop(db);
            Ok(ctx.reply::<RunScheduled>(&detail(ctx, &call.scheduled_id).await?))
        }
    }
}

async fn schedule(ctx: &Context<'_>, call: Schedule) -> Result<ScheduledAck> {
    let target = messaging::target(&call.to)?;
    check(&call, &target)?;
    let mut db = ctx.db().await?;
    known(ctx, &db, &call, &target).await?;
    let zone = zone(call.tz.as_deref())?;
    let clock = call.clock.unwrap_or(Clock::Real);
    let now = now(ctx, &db, clock).await?;
    let cron = call.cron.as_deref().map(|text| parse(ctx, text)).transpose()?;
    let slot = match &cron {
        Some(cron) => cron.first(now, &zone).map_err(|why| refused(ctx, cron.as_str(), &why))?,
        None => moment(call.deliver_at, now)?,
    };

    let body = body(&call)?;
    let by_default = if cron.is_some() { Missed::Skip } else { Missed::Once };
    let session = ctx.session;
    let new = New {
        id: Uuid::new_v4(),
        member: session.member,
        session: session.mailbox,
        session_key: &session.key,
        target: &call.to,
        to_name: call.to_name.as_deref(),
        nonce: call.nonce.as_deref().filter(|_| call.ciphertext.is_some()).unwrap_or_default(),
        body: &body,
        sealed_to: sealed_to(&call),
        subtype: call.subtype.as_deref(),
        priority: call.priority.unwrap_or(Priority::Now),
        cron: cron.as_ref().map(Cron::as_str),
        tz: call.tz.as_deref(),
        clock,
        missed: call.missed.unwrap_or(by_default),
        overlap: call.overlap.unwrap_or(Overlap::Allow),
        jitter_s: call.jitter_seconds.unwrap_or(0),
        slot,
    };
    let transaction = db.transaction().await.map_err(skein_sql::Error::from)?;
    made(schedules::create(&transaction, session.mesh, &new).await?)?;
    let id = new.id.to_string();
    let event = Event::ScheduleCreated { schedule_id: &id, to: &call.to, cron: new.cron };
    let actor = Actor::Member(session.member, &session.name);
    audit::add(&transaction, session.mesh, actor, event).await?;
    transaction.commit().await.map_err(skein_sql::Error::from)?;
    if clock == Clock::Real {
        wake(&db, slot, now).await;
    }

    let next = cron.as_ref().map_or_else(
        || vec![slot],
        |cron| {
            let more = limit::SCHEDULE_NEXT_SHOWN - 1;
            [vec![slot], cron.upcoming(slot, &zone, more)].concat()
        },
    );
    let next = next.into_iter().map(Timestamp::as_millisecond).collect();
    Ok(ScheduledAck {
        scheduled_id: id,
        deliver_at: slot.as_millisecond(),
        cron: call.cron,
        next: ctx.session.caps.replies.then_some(next),
    })
}

/// Refuses what does not fit together, or is over a limit.
fn check(call: &Schedule, target: &Target) -> Result<()> {
    let wrong = |why: &str| Err(Error::Refused(Code::InvalidMessage, format!("schedule: {why}")));
    let name = call.to_name.as_ref().map_or(0, String::len);
    within("toName", name, limit::SCHEDULE_TO_NAME_BYTES_MAX)?;
    within("nonce", call.nonce.as_ref().map_or(0, String::len), limit::NONCE_BYTES_MAX)?;
    if call.message.is_some() == call.ciphertext.is_some() {
        return wrong("either `message` or `ciphertext`");
    }
    if call.ciphertext.is_some() && call.nonce.is_none() {
        return wrong("`ciphertext` has a `nonce`");
    }
    if call.ciphertext.is_some() && matches!(target, Target::Multicast(_)) {
        return wrong("a sealed body is for one member; groups and `*` take a `message`");
    }
    if call.subtype.as_deref().is_some_and(|subtype| subtype != REMINDER) {
        return wrong("`subtype` is `reminder`, or absent");
    }
    if call.jitter_seconds.is_some_and(|jitter| jitter > limit::SCHEDULE_JITTER_SECONDS_MAX) {
        let max = limit::SCHEDULE_JITTER_SECONDS_MAX;
        return wrong(&format!("`jitterSeconds` is at most {max}"));
    }
    Ok(())
}

/// Refuses a target that is nobody's, and a sealed body for what is no member's key.
async fn known(
    ctx: &Context<'_>,
    db: &skein_sql::Db,
    call: &Schedule,
    target: &Target,
) -> Result<()> {
    let session = ctx.session;
    if let Target::Key(key) = target
        && !webhooks::knows(db, session.mesh, key).await?
    {
        return Err(Code::UnknownTarget.into());
    }
    let Some(sealed_to) = sealed_to(call) else { return Ok(()) };
    let of_member = schedules::member_of(db, session.mesh, sealed_to).await?;
    let is_own = call.to == session.key;
    if of_member.is_none() || is_own && of_member != Some(session.member) {
        let why = "a sealed body is for a member's key; say it in `sealedTo`";
        return Err(Error::Refused(Code::UnknownTarget, why.to_owned()));
    }
    Ok(())
}

/// The member key that a body is sealed to, if it is.
fn sealed_to(call: &Schedule) -> Option<&str> {
    call.ciphertext.as_ref()?;
    Some(call.sealed_to.as_deref().unwrap_or(&call.to))
}

/// The body as it is pushed.
fn body(call: &Schedule) -> Result<String> {
    let body = match (&call.ciphertext, &call.message) {
        (Some(ciphertext), _) => ciphertext.clone(),
        (None, Some(message)) => plain::encode(message),
        (None, None) => String::new(),
    };
    let field = if call.ciphertext.is_some() { "ciphertext" } else { "message" };
    within(field, body.len(), limit::CIPHERTEXT_BYTES_MAX)?;
    Ok(body)
}

fn parse(ctx: &Context<'_>, text: &str) -> Result<Cron> {
    Cron::parse(text).map_err(|why| refused(ctx, text, &why))
}

/// The contract's words, and for ours the reason.
fn refused(ctx: &Context<'_>, text: &str, why: &cron::CronError) -> Error {
    let shown: String = text.chars().take(limit::CRON_BYTES_MAX).collect();
    let words = format!("Invalid cron expression: {shown}");
    let words = if ctx.session.caps.replies { format!("{words} ({why})") } else { words };
    Error::Refused(Code::InvalidCron, words)
}

fn zone(name: Option<&str>) -> Result<TimeZone> {
    let Some(name) = name else { return Ok(TimeZone::UTC) };
    cron::zone(name).ok_or_else(|| {
        let shown: String = name.chars().take(limit::TIME_ZONE_BYTES_MAX).collect();
        let why = format!("no time zone is called `{shown}`; write it as in Europe/Berlin");
        Error::Refused(Code::InvalidTimezone, why)
    })
}

/// The moment of a one-shot; one that is past is now.
fn moment(ms: Option<i64>, now: Timestamp) -> Result<Timestamp> {
    let horizon = SignedDuration::try_from(limit::SCHEDULE_HORIZON).expect("years fit");
    let at = ms.ok_or(Code::InvalidTime)?.max(now.as_millisecond());
    let at = Timestamp::from_millisecond(at).map_err(|_| Code::InvalidTime)?;
    if at.duration_since(now) > horizon {
        return Err(Code::InvalidTime.into());
    }
    Ok(at)
}

/// What the clock shows that a schedule goes by.
async fn now(ctx: &Context<'_>, db: &skein_sql::Db, clock: Clock) -> Result<Timestamp> {
    if clock == Clock::Real {
        return Ok(schedules::now(db).await?);
    }
    let status = clock::get(db, ctx.session.mesh).await?.ok_or(Code::NoClock)?;
    status.sim_time.parse().map_err(|_| Code::Internal.into())
}

fn made(created: Created) -> Result<()> {
    let schedules = |whose: &str, max| format!("{whose} has at most {max} schedules; cancel some");
    let bytes = |whose: &str, max: i64| {
        format!("the schedules of {whose} hold at most {} MiB of text; cancel some", max >> 20)
    };
    let why = match created {
        Created::Made => return Ok(()),
        Created::NoMember => return Err(Code::Unauthorized.into()),
        Created::MeshFull => schedules("a mesh", limit::SCHEDULES_PER_MESH_MAX),
        Created::MemberFull => schedules("a member", limit::SCHEDULES_PER_MEMBER_MAX),
        Created::MeshBytes => bytes("a mesh", limit::SCHEDULE_BYTES_PER_MESH_MAX),
        Created::MemberBytes => bytes("a member", limit::SCHEDULE_BYTES_PER_MEMBER_MAX),
    };
    Err(Error::Refused(Code::ScheduleLimit, why))
}

/// Wakes the workers for what is due before they look by themselves.
async fn wake(db: &skein_sql::Db, slot: Timestamp, now: Timestamp) {
    let in_s = slot.duration_since(now).as_secs_f64();
    let is_soon =
        Duration::try_from_secs_f64(in_s).is_ok_and(|later| later <= 2 * duties::SLEEP_MAX);
    if is_soon || in_s <= 0.0 {
        wake_now(db).await;
    }
}

/// Wakes the workers. What was committed holds, and they look within a minute by themselves: a
/// failure here is no failure of the call, which would be repeated.
async fn wake_now(db: &skein_sql::Db) {
    if let Err(error) = duties::wake(db, Kind::Schedule).await {
        let error = error.brief();
        warn!(error, "workers were not woken for a schedule: {error}");
    }
}

async fn list(ctx: &Context<'_>) -> Result<ScheduledList> {
    let session = ctx.session;
    let (mut messages, n_all) =
        schedules::list(&ctx.db().await?, session.mesh, session.member).await?;
    if !session.caps.replies {
        messages = messages.into_iter().map(|scheduled| scheduled.plain()).collect();
    }
    let messages = fitting(messages);
    let more = u32::try_from(n_all.saturating_sub(messages.len())).unwrap_or(u32::MAX);
    Ok(ScheduledList { messages, more: (more > 0).then_some(more) })
}

async fn cancel(ctx: &Context<'_>, call: CancelScheduled) -> Result<CancelScheduledAck> {
    let session = ctx.session;
    let scheduled_id = call.scheduled_id;
    let Ok(id) = Uuid::try_parse(&scheduled_id) else {
        return Ok(CancelScheduledAck { scheduled_id, ok: false });
    };
    let mut db = ctx.db().await?;
    let transaction = db.transaction().await.map_err(skein_sql::Error::from)?;
    let target = schedules::cancel(&transaction, session.mesh, session.member, id).await?;
    if let Some(to) = &target {
        let event = Event::ScheduleCancelled { schedule_id: &id.to_string(), to };
        let actor = Actor::Member(session.member, &session.name);
        audit::add(&transaction, session.mesh, actor, event).await?;
        transaction.commit().await.map_err(skein_sql::Error::from)?;
    }
    Ok(CancelScheduledAck { scheduled_id, ok: target.is_some() })
}

async fn detail(ctx: &Context<'_>, id: &str) -> Result<ScheduledDetail> {
    let id = Uuid::try_parse(id).map_err(|_| Code::ScheduleNotFound)?;
    let (db, session) = (ctx.db().await?, ctx.session);
    let schedule = schedules::read(&db, session.mesh, session.member, id).await?;
    let schedule = schedule.ok_or(Code::ScheduleNotFound)?;
    let fires = schedules::fires(&db, session.mesh, session.member, id).await?;
    Ok(ScheduledDetail { schedule, fires })
}

/// The id of a schedule that is not done.
async fn live(ctx: &Context<'_>, id: &str) -> Result<Uuid> {
    let schedule = detail(ctx, id).await?.schedule;
    if schedule.state == Some(State::Done) {
        let why = "this schedule is done; make another".to_owned();
        return Err(Error::Refused(Code::ScheduleNotFound, why));
    }
    Uuid::try_parse(id).map_err(|_| Code::ScheduleNotFound.into())
}

async fn resume(ctx: &Context<'_>, id: Uuid) -> Result<()> {
    let (mut db, session) = (ctx.db().await?, ctx.session);
    let schedule = schedules::read(&db, session.mesh, session.member, id).await?;
    let clock = schedule.and_then(|s| s.clock).ok_or(Code::ScheduleNotFound)?;
    let now = now(ctx, &db, clock).await?;
    let transaction = db.transaction().await.map_err(skein_sql::Error::from)?;
    schedules::resume(&transaction, session.mesh, session.member, id, now).await?;
    transaction.commit().await.map_err(skein_sql::Error::from)?;
    wake_now(&db).await;
    Ok(())
}
