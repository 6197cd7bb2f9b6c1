//! `skein bench`: measures edges, wherever they are. See [`crate::bench`].

mod args;

use std::time::Duration;

pub use self::args::{Args, What};
use super::Context;
use crate::bench::body::HEAD_BYTES;
use crate::bench::crowd::{self, Hold};
use crate::bench::deployment::Deployment;
use crate::bench::machine::{self, Machine};
use crate::bench::process::Watched;
use crate::bench::reconnect::{self, Loss};
use crate::bench::report::{Load, Report};
use crate::bench::state;
use crate::bench::talk::{self, Length, Manner, Talked};
use crate::{Error, Result, time};

/// Runs `skein bench`.
pub async fn run(context: &Context, args: Args) -> Result<()> {
    let threads = usize::from(args.threads);
    let report = if threads == 1 {
        measure(args).await?
    } else {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(threads).enable_all().build()?;
        let run = tokio::task::spawn_blocking(move || runtime.block_on(measure(args)));
        run.await.expect("a run does not panic")?
    };
    context.out.print(&report, |out| report.words(out))?;
    match report.result.checks {
        Some(checks) if !checks.is_clean() => {
            let words = "not every message came once and in order, so this is no figure";
            Err(Error::Local(words.into()))
        }
        _ => Ok(()),
    }
}

async fn measure(args: Args) -> Result<Report> {
    let wanted = || Error::Usage("name the operator token with --operator-token".into());
    let deployment = Deployment::new(&args.edge, args.operator_token.ok_or_else(wanted)?)?;
    let database = deployment.database().await?;
    let edges = deployment.describe().await?;
    machine::raise_files();
    let before = machine::load();
    let Talked { figures, before: spent, after } =
        talk(&deployment, &args.what, &args.process).await?;
    Ok(Report {
        what: args.what.name().into(),
        settings: args.what.settings(),
        at: time::iso(time::now_ms()),
        commit: machine::commit(),
        build: if cfg!(debug_assertions) { "debug" } else { "release" },
        machine: Machine::here(),
        load: Load { before, after: machine::load() },
        database,
        edges,
        processes: spent.until(&after, figures.count),
        result: figures,
    })
}

async fn talk(deployment: &Deployment, what: &What, watched: &[Watched]) -> Result<Talked> {
    let timed = |quota: Option<u64>, warm_up, measured| match quota {
        Some(_) => Length::Quota,
        None => Length::Time {
            warm_up: Duration::from_secs(warm_up),
            measured: Duration::from_secs(measured),
        },
    };
    match what {
        What::Direct(run) => {
            let members = deployment.members(2 * size(run.pairs), 2 * size(run.pairs)).await?;
            let manner = Manner { window: run.window, quota: run.messages, rate: run.rate };
            let plans = talk::direct(deployment, members, manner);
            let length = timed(run.messages, run.warm_up, run.seconds);
            talk::run(plans, "messages", size(run.size), length, watched).await
        }
        What::Fanout(run) => {
            let members = deployment.members(1 + size(run.peers), 1 + size(run.peers)).await?;
            let manner = Manner { window: run.window, quota: run.messages, rate: None };
            let plans = talk::fan_out(deployment, members, manner);
            let length = timed(run.messages, run.warm_up, run.seconds);
            talk::run(plans, "deliveries", size(run.size), length, watched).await
        }
        What::Burst(run) => {
            let members = deployment.members(size(run.peers), size(run.peers)).await?;
            let manner = Manner { window: run.window, quota: Some(run.messages), rate: None };
            let plans = talk::burst(deployment, members, manner);
            talk::run(plans, "messages", size(run.size), Length::Quota, watched).await
        }
        What::State(run) => {
            let members = deployment.members(size(run.peers), size(run.peers)).await?;
            let manner = state::Manner {
                writers: size(run.writers.min(run.peers)),
                rate: run.rate as f64,
                bytes: size(run.size),
                warm_up: Duration::from_secs(run.warm_up),
                measured: Duration::from_secs(run.seconds.max(1)),
            };
            state::run(deployment, members, manner, watched).await
        }
        What::Idle(run) => {
            let members = deployment.members(size(run.sockets), size(run.mesh_size)).await?;
            let hold = Hold { settle: run.settle, measured: run.hold };
            crowd::idle(&members, &deployment.edges, size(run.at_once), hold, watched).await
        }
        What::Hello(run) if run.reconnect => {
            let members = deployment.members(size(run.sockets), size(run.mesh_size)).await?;
            let loss = Loss {
                edges: deployment.edges.clone(),
                kill: run.kill,
                unsettled: size(run.unsettled),
                bytes: HEAD_BYTES,
                mesh_size: size(run.mesh_size),
                at_once: size(run.at_once),
            };
            reconnect::run(members, loss, watched).await
        }
        What::Hello(run) => {
            let members = deployment.members(size(run.sockets), size(run.mesh_size)).await?;
            crowd::hello(&members, &deployment.edges, size(run.at_once), watched).await
        }
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).expect("counts are bounded")
}
