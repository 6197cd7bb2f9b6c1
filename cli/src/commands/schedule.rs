//! `skein schedule`: what will be sent later: listed, shown, held, sent now, ended.
//!
//! `skein remind` makes them. An id may be cut short as long as it means one of them.

use std::io::{self, Write};

use clap::Subcommand;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use skein_crypto::Keypair;
use skein_wire::hello::SCHEDULES;
use skein_wire::schedules::{
    CancelScheduled, Clock, GetScheduled, ListScheduled, PauseScheduled, ResumeScheduled,
    RunScheduled, Scheduled, ScheduledDetail,
};

use super::ids::SCHEDULE;
use super::{Context, attach};
use crate::client::Client;
use crate::output::{harmless, short};
use crate::schedules::{next, outcome, text, whom};
use crate::when;
use crate::{Error, Result};

/// What to do with schedules.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List yours, the next to be sent first.
    List,
    /// Show one, and what came of its last times.
    Show {
        /// Its id, or how that begins.
        id: String,
    },
    /// Hold one until it is resumed; its times meanwhile are skipped.
    Pause {
        /// Its id, or how that begins.
        id: String,
    },
    /// Let one go on.
    Resume {
        /// Its id, or how that begins.
        id: String,
    },
    /// Send it now, beside its times.
    Run {
        /// Its id, or how that begins.
        id: String,
    },
    /// End one.
    Cancel {
        /// Its id, or how that begins.
        id: String,
    },
}

/// Runs `skein schedule`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    let membership = context.membership()?;
    let member = membership.member()?;
    let zone = when::zone(None).map_err(Error::Usage)?;
    let attached = attach::attach(context, &membership).await?;
    let client = &attached.client;
    let reader = Reader { context, member, zone, now: Timestamp::now() };
    let done = match command {
        Command::List => reader.list(client).await,
        Command::Cancel { id } => reader.cancel(client, &id).await,
        Command::Show { id } => reader.detail(client, &id, Ask::Show).await,
        Command::Pause { id } => reader.detail(client, &id, Ask::Pause).await,
        Command::Resume { id } => reader.detail(client, &id, Ask::Resume).await,
        Command::Run { id } => reader.detail(client, &id, Ask::Run).await,
    };
    client.close().await;
    done
}

/// What is answered with a whole schedule.
#[derive(Clone, Copy)]
enum Ask {
    Show,
    Pause,
    Resume,
    Run,
}

/// Who reads, and when and where.
struct Reader<'a> {
    context: &'a Context,
    member: Keypair,
    zone: TimeZone,
    now: Timestamp,
}

impl Reader<'_> {
    async fn list(&self, client: &Client) -> Result<()> {
        let listed = client.request(&ListScheduled {}).await?;
        let (mut all, more) = (listed.messages, listed.more.unwrap_or(0));
        all.iter_mut().for_each(|one| self.open(one));
        self.context.out.print(&json!({"schedules": all, "more": more}), |out| {
            if all.is_empty() && more == 0 {
                return writeln!(out, "No schedules. `skein remind TEXT in 20m` makes one.");
            }
            all.iter().try_for_each(|one| self.words(one, out))?;
            self.context.out.more(more, out)
        })
    }

    async fn cancel(&self, client: &Client, id: &str) -> Result<()> {
        let scheduled_id = find(client, id).await?;
        if !client.request(&CancelScheduled { scheduled_id: scheduled_id.clone() }).await?.ok {
            return Err(SCHEDULE.unknown(&scheduled_id));
        }
        let shown = json!({"scheduledId": scheduled_id, "cancelled": true});
        self.context.out.print(&shown, |out| {
            writeln!(out, "Cancelled.  {}", self.context.out.dim(&harmless(&scheduled_id)))
        })
    }

    async fn detail(&self, client: &Client, id: &str, ask: Ask) -> Result<()> {
        if !client.serves(SCHEDULES) {
            return Err(Error::Unsupported {
                what: "this server is of the old kind: it lists and cancels schedules, and does \
                       nothing else with them"
                    .into(),
                fix: "`skein schedule cancel ID` ends one; `skein remind` makes another".into(),
            });
        }
        let scheduled_id = find(client, id).await?;
        let mut detail = match ask {
            Ask::Show => client.request(&GetScheduled { scheduled_id }).await?,
            Ask::Pause => client.request(&PauseScheduled { scheduled_id }).await?,
            Ask::Resume => client.request(&ResumeScheduled { scheduled_id }).await?,
            Ask::Run => client.request(&RunScheduled { scheduled_id }).await?,
        };
        self.open(&mut detail.schedule);
        let shown = json!({"schedule": detail.schedule, "fires": detail.fires});
        self.context.out.print(&shown, |out| match ask {
            Ask::Show => self.whole(&detail, out),
            Ask::Run => {
                writeln!(
                    out,
                    "It is sent now; `skein schedule show {}` says how it went.",
                    harmless(short(&detail.schedule.id))
                )
            }
            Ask::Pause | Ask::Resume => self.words(&detail.schedule, out),
        })
    }

    /// Reads a body that is sealed, where this member can.
    fn open(&self, one: &mut Scheduled) {
        if let Some(opened) = text(one, &self.member) {
            one.message = opened;
            (one.nonce, one.ciphertext) = (None, None);
        }
    }

    /// A schedule in two or three lines.
    fn words(&self, one: &Scheduled, out: &mut dyn Write) -> io::Result<()> {
        let how = self.context.out;
        let said = match (one.message.is_empty(), one.sealed) {
            (true, Some(true)) => "(sealed)",
            _ => &one.message,
        };
        let first = said.lines().next().unwrap_or_default();
        let to = harmless(&whom(one, &self.member.public));
        let id = how.dim(&harmless(&one.id));
        writeln!(out, "{}  for {to}  {id}", how.bold(&harmless(first)))?;
        writeln!(out, "  {}", next(one, self.now, &self.zone))?;
        let Some(cron) = &one.cron else { return Ok(()) };
        let zone = one.tz.as_deref().unwrap_or("UTC");
        let fired = one.fired_count.unwrap_or(0);
        writeln!(out, "  at {} in {}, sent {fired} times", harmless(cron), harmless(zone))
    }

    /// All that is known of a schedule.
    fn whole(&self, detail: &ScheduledDetail, out: &mut dyn Write) -> io::Result<()> {
        let one = &detail.schedule;
        self.words(one, out)?;
        if one.message.lines().count() > 1 {
            writeln!(out, "  {}", harmless(&one.message).replace('\n', "\n  "))?;
        }
        let sealed = match one.sealed {
            Some(true) => "sealed".to_owned(),
            _ => "not sealed: the server can read it".to_owned(),
        };
        let made = self.moment(one.created_at);
        let words = |value: Option<&str>| value.map(str::to_owned);
        let rows = [
            ("body", Some(sealed)),
            ("made", Some(made)),
            ("clock", one.clock.filter(|clock| *clock == Clock::Sim).map(|_| "simulated".into())),
            ("missed", words(one.missed.map(|missed| missed.as_str()))),
            ("overlap", words(one.overlap.map(|overlap| overlap.as_str()))),
            ("jitter", one.jitter_seconds.filter(|most| *most > 0).map(|most| format!("{most} s"))),
        ];
        for (what, value) in rows {
            if let Some(value) = value {
                writeln!(out, "  {what:<8} {value}")?;
            }
        }
        for fire in &detail.fires {
            let at = self.moment(fire.at);
            let message = fire.message_id.as_deref().map(|id| format!("  {}", short(id)));
            let message = self.context.out.dim(&harmless(&message.unwrap_or_default()));
            writeln!(out, "  {at}  {}{message}", harmless(&outcome(fire)))?;
        }
        Ok(())
    }

    fn moment(&self, ms: i64) -> String {
        let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
        when::both(at, self.now, &self.zone)
    }
}

/// The whole id of the schedule whose id begins so. What is listed by nobody may still be one: what
/// is done is kept for a day.
async fn find(client: &Client, id: &str) -> Result<String> {
    if SCHEDULE.is_whole(id) {
        return Ok(id.to_owned());
    }
    let listed = client.request(&ListScheduled {}).await?;
    let ids = listed.messages.into_iter().map(|one| one.id).collect();
    SCHEDULE.find(id, ids, listed.more.unwrap_or(0))
}
