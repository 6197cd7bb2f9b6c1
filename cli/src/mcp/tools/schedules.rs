//! Schedules: messages that are sent later, to this session or to others.

use jiff::Timestamp;
use skein_wire::hello::SCHEDULES;
use skein_wire::schedules::{CancelScheduled, Clock, ListScheduled, Scheduled};

use super::arguments::{Kind, MESH, and_more, count, flag, optional, required, text, whole_id};
use super::{Call, Effect, Reply, Tool};
use crate::client::names;
use crate::mcp::fence;
use crate::mcp::mesh::Mesh;
use crate::mcp::targets;
use crate::output::short;
use crate::schedules::{self, Beyond, Times, Whom};
use crate::when;

pub const TOOLS: &[Tool] = &[
    Tool {
        name: "schedule_reminder",
        description: "Send a message later, to yourself or a peer: at a time, after some seconds, or \
                      again and again by a cron expression. It comes even if you are gone by then.",
        parameters: &[
            required("message", Kind::Text, "What to say then"),
            optional("deliver_at", Kind::Count, "When, in Unix milliseconds"),
            optional("in_seconds", Kind::Count, "Or after so many seconds"),
            optional("cron", Kind::Text, "Or again and again: minute hour day month weekday"),
            optional("to", Kind::Text, "A peer's name, key, @group or *; yourself if left out"),
            optional("tz", Kind::Text, "The time zone of cron, like Europe/Berlin"),
            optional("sim", Kind::Flag, "Go by the simulation clock (deliver_at is its time)"),
            optional("plain", Kind::Flag, "Do not seal it: the server can read it"),
            MESH,
        ],
        effect: Effect::Acts,
        run: |call| Box::pin(schedule(call)),
    },
    Tool {
        name: "list_scheduled",
        description: "Your messages that will be sent later, and when.",
        parameters: &[MESH],
        effect: Effect::Reads,
        run: |call| Box::pin(list(call)),
    },
    Tool {
        name: "cancel_scheduled",
        description: "End a message that would be sent later.",
        parameters: &[required("id", Kind::Text, "Its id, of list_scheduled"), MESH],
        effect: Effect::Sets,
        run: |call| Box::pin(cancel(call)),
    },
];

async fn schedule(call: Call) -> Reply {
    let (times, now) = times(&call).await?;
    let mesh = call.mesh()?;
    let membership = mesh.membership().await;
    let member = membership.member().map_err(|error| error.to_string())?;
    let said = text(&call.arguments, "message").unwrap_or_default();
    let to = text(&call.arguments, "to");
    let (whom, name) = whom(&mesh, to).await?;
    let whom = match (flag(&call.arguments, "plain"), to) {
        // By the member's key, so that lists know whose it is: nothing else in it says so.
        (Some(true), None) => Whom::own(&member).plain(),
        (Some(true), Some(_)) => whom.plain(),
        _ => whom,
    };
    let mut request = whom.schedule(said, &times, &member).map_err(|error| error.to_string())?;
    request.clock = flag(&call.arguments, "sim").filter(|sim| *sim).map(|_| Clock::Sim);
    let is_served = mesh.client().await?.serves(SCHEDULES);
    if let Some(beyond) = Beyond::of(&request).filter(|_| !is_served) {
        return Err(unknown(beyond));
    }
    let ack = mesh.act(&request).await?;
    let zone = when::zone(None)?;
    let seal = match whom.member {
        Some(_) => "sealed",
        None => "not sealed: the server can read it",
    };
    let mut told = format!("Scheduled ({}) for {name}, {seal}.", fence::line(&ack.scheduled_id));
    if let Some(words) = times.words() {
        told += &format!(" At {}.", fence::line(&words));
    }
    for at in times.upcoming(now) {
        told += &format!("\n- {}", when::both(at, now, &zone));
    }
    Ok(told)
}

/// What is not asked of a server of the old kind, and what can be.
fn unknown(beyond: Beyond) -> String {
    let fix = match beyond {
        Beyond::Sealed => "`plain` sends it as text, which the server can read".to_owned(),
        Beyond::Zone => "`tz` UTC, with the times in UTC".to_owned(),
        Beyond::Sim => "leave `sim` out".to_owned(),
        Beyond::Option(name) => format!("leave `{name}` out"),
    };
    format!("{}; nothing was sent. {fix}.", beyond.words())
}

/// When, and now by the same clock.
async fn times(call: &Call) -> Result<(Times, Timestamp), String> {
    let given = &call.arguments;
    let (at, after) = (count(given, "deliver_at"), count(given, "in_seconds"));
    let now = match flag(given, "sim") {
        Some(true) => super::clock::now(&*call.mesh()?).await?,
        _ => Timestamp::now(),
    };
    let zone = when::zone(text(given, "tz"))?;
    let times = match (text(given, "cron"), after, at) {
        (Some(cron), None, None) => Times::cron(cron, zone)?,
        (None, Some(seconds), None) => {
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            let at = now.checked_add(jiff::SignedDuration::from_secs(seconds));
            Times::At(at.map_err(|_| "`in_seconds` is further ahead than any calendar")?)
        }
        (None, None, Some(ms)) => {
            let at = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
            let at = at.ok_or("`deliver_at` is further ahead than any calendar")?;
            if at <= now {
                let ago = when::relative(at, now);
                let now = now.as_millisecond();
                return Err(format!(
                    "`deliver_at` is past ({ago}); it is in Unix milliseconds, and now is {now}"
                ));
            }
            Times::At(at)
        }
        _ => return Err("one of `deliver_at`, `in_seconds` and `cron` says when".into()),
    };
    Ok((times, now))
}

/// Whom it is for, and what they are called.
async fn whom(mesh: &std::sync::Arc<Mesh>, to: Option<&str>) -> Result<(Whom, String), String> {
    let membership = mesh.membership().await;
    let Some(to) = to else {
        let member = membership.member().map_err(|error| error.to_string())?;
        // To this session while it lives, then to any of the member: all of them can open it.
        let session = mesh.client().await?.session().hex();
        return Ok((Whom { to: session, ..Whom::own(&member) }, "you".into()));
    };
    let target = targets::resolve(std::slice::from_ref(mesh), to).await?;
    let name = target.found.clone().unwrap_or_else(|| format!("\"{}\"", fence::name(to)));
    let is_name = names::literal(to).is_none();
    let peers = mesh.peers().await?;
    let written = is_name.then(|| to.to_owned());
    let found = Whom::find(&membership, &peers, target.spec.clone(), written).await;
    let whom = found.ok_or_else(|| {
        format!("{}… is no member's key, and of no session that is here", short(&target.spec))
    })?;
    Ok((whom, name))
}

async fn list(call: Call) -> Reply {
    let mesh = call.mesh()?;
    let answer = mesh.ask(&ListScheduled {}).await?;
    let (listed, more) = (answer.messages, answer.more.unwrap_or(0));
    if listed.is_empty() && more == 0 {
        return Ok("Nothing is scheduled.".into());
    }
    let member = mesh.membership().await.member().map_err(|error| error.to_string())?;
    let (now, zone) = (Timestamp::now(), when::zone(None)?);
    let line = |one: &Scheduled| {
        let said = match schedules::text(one, &member) {
            Some(text) => format!("\"{}\"", fence::name(&text)),
            None => "(sealed)".into(),
        };
        let to = fence::name(&schedules::whom(one, &member.public));
        let next = schedules::next(one, now, &zone);
        let mut line = format!("- {} for {to}: {said}, {next}", fence::line(&one.id));
        if let Some(cron) = &one.cron {
            let zone = one.tz.as_deref().unwrap_or("UTC");
            let fired = one.fired_count.unwrap_or(0);
            line += &format!(", at {} in {}", fence::line(cron), fence::line(zone));
            line += &format!(", sent {fired} times");
        }
        line
    };
    let lines: Vec<_> = listed.iter().map(line).collect();
    Ok(format!("{} scheduled:\n{}{}", lines.len(), lines.join("\n"), and_more(more)))
}

async fn cancel(call: Call) -> Reply {
    let mesh = call.mesh()?;
    let id = text(&call.arguments, "id").unwrap_or_default();
    let listed = mesh.ask(&ListScheduled {}).await?;
    let ids = listed.messages.into_iter().map(|one| one.id);
    let scheduled_id = whole_id(id, ids, listed.more.unwrap_or(0))?;
    let ack = mesh.act(&CancelScheduled { scheduled_id }).await?;
    match ack.ok {
        true => Ok(format!("Cancelled: {}", fence::line(&ack.scheduled_id))),
        false => Err("you have no such schedule; list_scheduled lists them".into()),
    }
}
