//! `skein remind`: a message that is sent later, to oneself or to others.
//!
//! The time may stand in an option or behind the text; options may stand anywhere. The next times
//! are shown before anything is made. The schedule is the member's: it fires whether or not any
//! program of this home runs.

mod shown;
mod whom;
mod words;

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use skein_crypto::Keypair;
use skein_wire::Priority;
use skein_wire::clock::GetClock;
use skein_wire::hello::SCHEDULES;
use skein_wire::schedules::{Clock, Missed, Overlap, Schedule};

use self::shown::Shown;
use super::send::Urgency;
use super::{Context, attach, schedule};
use crate::client::Client;
use crate::home::Membership;
use crate::schedules::{Beyond, Times, Whom};
use crate::when::{self, When};
use crate::{Error, Result};

/// What the long help ends with.
const HELP: &str = "\
Examples:
  skein remind \"stretch\" in 20m
  skein remind \"stand-up\" --to bob --at \"tomorrow 9:00\"
  skein remind \"stand-up\" --to @team --cron \"0 9 * * mon-fri\" --tz Europe/Berlin
  skein remind list                  as `skein schedule list`
  skein remind cancel ID             as `skein schedule cancel ID`

A time is like `in 20m`, `14:30`, `tomorrow 9:00`, `monday 14:30` or `2026-12-24T18:00`, in your
time zone or that of --tz. What is for a person is sealed: only they can read it, and you. What is
for a group or for all, the server can read.";

/// What to send, to whom, and when.
#[derive(Debug, clap::Args)]
#[command(override_usage = "skein remind [OPTIONS] <TEXT> [TIME]", after_long_help = HELP)]
pub struct Args {
    /// The text, and when, unless --in, --at or --cron says it.
    #[arg(required = true, value_name = "TEXT... TIME")]
    words: Vec<String>,
    /// For whom: a name, a key, `@group` or `*`; left out, for yourself.
    #[arg(long, value_name = "TO")]
    to: Option<String>,
    /// After this long: 90s, 20m, 1h30m, 2d.
    #[arg(long = "in", value_name = "LENGTH", group = "time", value_parser = when::span)]
    after: Option<Duration>,
    /// At this time: `tomorrow 9:00`, `14:30`, `monday 14:30`, ISO 8601.
    #[arg(long, value_name = "TIME", group = "time")]
    at: Option<String>,
    /// Again and again: minute, hour, day of the month, month, day of the week.
    #[arg(long, value_name = "EXPRESSION", group = "time")]
    cron: Option<String>,
    /// The time zone that times are meant in, like Europe/Berlin; left out, yours.
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// Go by the simulation clock of the mesh.
    #[arg(long)]
    sim: bool,
    /// What becomes of times at which no server ran.
    #[arg(long, value_name = "WHICH", value_parser = ["skip", "once", "all"])]
    missed: Option<String>,
    /// What happens while the last one is not delivered yet.
    #[arg(long, value_name = "WHETHER", value_parser = ["allow", "skip"])]
    overlap: Option<String>,
    /// Send it up to this much later, so that not everything happens at once.
    #[arg(long, value_name = "LENGTH", value_parser = when::span)]
    jitter: Option<Duration>,
    /// What may hold it back; `now`: nothing.
    #[arg(long, value_enum)]
    priority: Option<Urgency>,
    /// Do not seal it: the server can read it.
    #[arg(long)]
    plain: bool,
    /// Show when it would be sent, and make nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    fn has_time(&self) -> bool {
        self.after.is_some() || self.at.is_some() || self.cron.is_some()
    }

    /// The words of `list` and `cancel ID`, if that is what was written.
    fn alias(&self) -> Option<schedule::Command> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["list"] if !self.has_time() => Some(schedule::Command::List),
            ["cancel", id] if !self.has_time() => {
                Some(schedule::Command::Cancel { id: (*id).to_owned() })
            }
            _ => None,
        }
    }
}

/// Runs `skein remind`.
pub async fn run(context: &Context, args: Args) -> Result<()> {
    if let Some(command) = args.alias() {
        return schedule::run(context, command).await;
    }
    let reader = when::zone(None).map_err(Error::Usage)?;
    let zone = when::zone(args.tz.as_deref()).map_err(Error::Usage)?;
    // What cannot be read needs no connection, unless another clock than ours is meant.
    if !args.sim {
        plan(&args, &zone, Timestamp::now())?;
    }
    let membership = context.membership()?;
    let attached = attach::attach(context, &membership).await?;
    let made = remind(context, &attached.client, &membership, &args, &zone, &reader).await;
    attached.client.close().await;
    made
}

async fn remind(
    context: &Context,
    client: &Client,
    membership: &Membership,
    args: &Args,
    zone: &TimeZone,
    reader: &TimeZone,
) -> Result<()> {
    let member = membership.member()?;
    let now = if args.sim { sim_now(client).await? } else { Timestamp::now() };
    let (text, times, note) = plan(args, zone, now)?;
    let whom = whom::find(client, membership, &member, args).await?;
    let call = call(args, &whom, &text, &times, &member)?;
    known(client, &call)?;
    let upcoming = times.upcoming(now);
    let shown = Shown { args, whom: &whom, times: &times, note, upcoming: &upcoming };
    if !context.out.json {
        context.out.print(&(), |out| shown.words(out, &text, now, reader))?;
    }
    if args.dry_run {
        return context.out.print(&shown.json(None), |out| writeln!(out, "Nothing was made."));
    }
    let ack = client.request(&call).await?;
    context.out.print(&shown.json(Some(&ack)), |out| {
        writeln!(out, "Scheduled.  {}", context.out.dim(&ack.scheduled_id))
    })
}

/// What is sent, when, and what is odd about that.
fn plan(args: &Args, zone: &TimeZone, now: Timestamp) -> Result<(String, Times, Option<String>)> {
    let usage = |problem: String| Error::Usage(problem);
    if let Some(cron) = &args.cron {
        let times = Times::cron(cron, zone.clone()).map_err(usage)?;
        return Ok((text(args.words.join(" "))?, times, None));
    }
    let (said, When { at, note }) = match (&args.after, &args.at) {
        (Some(length), _) => {
            let at = now.checked_add(*length).map_err(|error| usage(error.to_string()))?;
            (args.words.join(" "), When { at, note: None })
        }
        (None, Some(time)) => {
            let when = when::read(time, zone, now).map_err(|error| usage(error.to_string()))?;
            (args.words.join(" "), when)
        }
        (None, None) => words::apart(&args.words, zone, now).map_err(usage)?,
    };
    Ok((text(said)?, Times::At(at), note))
}

fn text(text: String) -> Result<String> {
    if text.trim().is_empty() {
        return Err(Error::Usage("there is no text to send".into()));
    }
    Ok(text)
}

/// Refuses what the server would keep as something else, or would not heed.
fn known(client: &Client, call: &Schedule) -> Result<()> {
    let beyond = Beyond::of(call).filter(|_| !client.serves(SCHEDULES));
    let Some(beyond) = beyond else { return Ok(()) };
    let fix = match beyond {
        Beyond::Sealed => "--plain sends it as text, which the server can read".to_owned(),
        Beyond::Zone => "--tz UTC, with the times in UTC".to_owned(),
        Beyond::Sim => "leave --sim out".to_owned(),
        Beyond::Option(name) => format!("leave --{name} out"),
    };
    Err(Error::Unsupported { what: beyond.words(), fix })
}

/// What the simulation clock of the mesh shows.
async fn sim_now(client: &Client) -> Result<Timestamp> {
    let status = client.request(&GetClock {}).await?;
    if status.speed == 0.0 {
        return Err(Error::NotFound(
            "no simulation clock runs in this mesh; `skein clock set SPEED` starts one".into(),
        ));
    }
    status.sim_time.parse().map_err(|_| Error::Unexpected("the clock shows no time".into()))
}

fn call(args: &Args, whom: &Whom, text: &str, times: &Times, member: &Keypair) -> Result<Schedule> {
    let seconds = |length: Duration| u32::try_from(length.as_secs()).unwrap_or(u32::MAX);
    Ok(Schedule {
        priority: args.priority.map(Priority::from),
        missed: args.missed.as_deref().and_then(Missed::parse),
        overlap: args.overlap.as_deref().and_then(Overlap::parse),
        jitter_seconds: args.jitter.map(seconds),
        clock: args.sim.then_some(Clock::Sim),
        ..whom.schedule(text, times, member)?
    })
}
