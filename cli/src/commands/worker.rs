//! `skein worker`: who does what without being asked, and how late, for whoever runs a deployment.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::Subcommand;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use skein_openapi::workers::{Duty, Worker, Workers};

use super::Context;
use crate::output::harmless;
use crate::rest::{Rest, Signer, http_of};
use crate::when;
use crate::{Error, Result};

/// Shares that each kind of duty is divided into.
const BUCKETS: i32 = 64;

/// What to do with workers.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the workers, what each holds of every duty, and how late it was.
    Status {
        /// An edge of the deployment, as an http(s) or ws(s) URL.
        #[arg(
            long,
            env = "SKEIN_EDGE",
            hide_env_values = true,
            default_value = "http://127.0.0.1:7900"
        )]
        edge: String,
        /// The deployment's operator token.
        #[arg(long, env = "SKEIN_OPERATOR_TOKEN", hide_env_values = true)]
        operator_token: String,
    },
}

/// Runs `skein worker`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    let Command::Status { edge, operator_token } = command;
    let base = http_of(&edge)
        .ok_or_else(|| Error::Usage(format!("`{edge}` is no http(s) or ws(s) URL")))?;
    let rest = Rest::new(vec![base], Signer::Operator(operator_token))?;
    let workers = rest.get::<Workers>("/v1/workers").await?.workers;
    let zone = when::zone(None).map_err(Error::Usage)?;
    context.out.print(&workers, |out| {
        if workers.is_empty() {
            return writeln!(out, "No worker lives: nothing is sent later, ticks or is looked at.");
        }
        workers.iter().try_for_each(|worker| words(context, worker, &zone, out))?;
        unheld(&workers).iter().try_for_each(|(kind, n)| {
            writeln!(
                out,
                "{n} of {BUCKETS} shares of {} are nobody's at the moment.",
                harmless(kind)
            )
        })
    })
}

fn words(
    context: &Context,
    worker: &Worker,
    zone: &TimeZone,
    out: &mut dyn Write,
) -> io::Result<()> {
    let name = context.out.bold(&format!("worker {}", worker.node));
    let region = Some(worker.region.as_str()).filter(|region| !region.is_empty());
    let region = region.map(|region| format!(" in {region}")).unwrap_or_default();
    let since = moment(&worker.started_at);
    let since = since.map(|at| format!(", since {}", when::absolute(at, zone)));
    let (state, since) = (harmless(&worker.state), since.unwrap_or_default());
    writeln!(out, "{name}{}  {state}{since}", harmless(&region))?;
    worker.duties.iter().try_for_each(|duty| writeln!(out, "  {}", line(duty)))
}

fn line(duty: &Duty) -> String {
    let mut line = format!(
        "{:<9} {:>2} of {BUCKETS} shares, {} done",
        harmless(&duty.kind),
        duty.buckets,
        duty.done
    );
    if duty.done > 0 {
        line += &format!(", late by {} ms at most, p99 {} ms", duty.late_ms_max, duty.late_ms_p99);
    }
    if let Some(at) = moment(&duty.at) {
        line += &format!("  (said {})", when::relative(at, Timestamp::now()));
    }
    line
}

/// Of each kind of which not every share is somebody's: how many.
fn unheld(workers: &[Worker]) -> Vec<(String, i32)> {
    let mut held: BTreeMap<&str, i32> = BTreeMap::new();
    for duty in workers.iter().flat_map(|worker| &worker.duties) {
        *held.entry(&duty.kind).or_default() += duty.buckets;
    }
    let missing = held.into_iter().map(|(kind, held)| (kind.to_owned(), BUCKETS - held));
    missing.filter(|(_, n)| *n > 0).collect()
}

fn moment(iso: &str) -> Option<Timestamp> {
    iso.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(buckets: &[(&str, i32)]) -> Worker {
        let duty = |(kind, buckets): &(&str, i32)| Duty {
            kind: (*kind).to_owned(),
            buckets: *buckets,
            done: 0,
            late_ms_max: 0,
            late_ms_p99: 0,
            at: "2026-01-01T00:00:00.000Z".into(),
        };
        Worker {
            node: 1,
            region: String::new(),
            state: "alive".into(),
            started_at: "2026-01-01T00:00:00.000Z".into(),
            duties: buckets.iter().map(duty).collect(),
        }
    }

    #[test]
    fn shares_that_nobody_holds_are_counted_over_all_workers() {
        let two =
            [worker(&[("clock", 32), ("watch", 20)]), worker(&[("clock", 32), ("watch", 21)])];

        assert_eq!(unheld(&two), [("watch".to_owned(), 23)]);
        assert_eq!(unheld(&[]), []);
    }
}
