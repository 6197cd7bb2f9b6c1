//! What is about to be made, in words and for programs.

use std::io::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use skein_wire::schedules::ScheduledAck;

use super::Args;
use crate::output::harmless;
use crate::schedules::{Times, Whom};
use crate::when;

/// What is about to be made.
pub struct Shown<'a> {
    /// What was asked.
    pub args: &'a Args,
    /// Whom it is for.
    pub whom: &'a Whom,
    /// When.
    pub times: &'a Times,
    /// What is odd about that.
    pub note: Option<String>,
    /// The next times.
    pub upcoming: &'a [Timestamp],
}

impl Shown<'_> {
    /// Says whom it is for, who can read it, and when it comes.
    pub fn words(
        &self,
        out: &mut dyn Write,
        text: &str,
        now: Timestamp,
        reader: &TimeZone,
    ) -> std::io::Result<()> {
        let to = self.args.to.as_deref().unwrap_or("you");
        let sealed = match (&self.whom.member, &self.args.to) {
            (Some(_), None) => "sealed: only you can read it",
            (Some(_), Some(_)) => "sealed: only they and you can read it",
            (None, _) => "not sealed: the server can read it",
        };
        writeln!(out, "For {}, {sealed}:", harmless(to))?;
        writeln!(out, "  {}", harmless(text).replace('\n', "\n  "))?;
        if let Some(cron) = self.times.words() {
            writeln!(out, "At {}:", harmless(&cron))?;
        }
        for at in self.upcoming {
            match self.args.sim {
                true => writeln!(out, "  {} of simulated time", when::both(*at, now, reader))?,
                false => writeln!(out, "  {}", when::both(*at, now, reader))?,
            }
        }
        match &self.note {
            Some(note) => writeln!(out, "Note: {note}."),
            None => Ok(()),
        }
    }

    /// The same for programs, and what the server answered.
    pub fn json(&self, ack: Option<&ScheduledAck>) -> Value {
        let next: Vec<i64> = self.upcoming.iter().map(|at| at.as_millisecond()).collect();
        let first = next.first().copied();
        json!({
            "scheduledId": ack.map(|ack| &ack.scheduled_id),
            "deliverAt": ack.map(|ack| ack.deliver_at).or(first),
            "cron": self.args.cron,
            "tz": self.args.cron.as_ref().and_then(|_| self.times.zone()),
            "next": ack.and_then(|ack| ack.next.clone()).unwrap_or(next),
            "to": self.whom.to,
            "sealed": self.whom.member.is_some(),
            "note": self.note,
            "dryRun": self.args.dry_run,
        })
    }
}
