//! `skein clock`: the simulation clock that all of a mesh share.

use clap::Subcommand;
use jiff::Timestamp;
use skein_wire::clock::{ClockStatus, GetClock, PauseClock, ResumeClock, SetClock};

use super::{Context, attach};
use crate::when;
use crate::{Error, Result};

/// What the command takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do; left out, the clock is shown.
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do with the clock.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what it shows.
    Show,
    /// Start it, or change its speed.
    Set {
        /// How many times faster than the world: 1 to 100.
        #[arg(value_parser = speed)]
        speed: f64,
    },
    /// Stop it where it is.
    Pause,
    /// Let it go on.
    Resume,
}

/// Runs `skein clock`.
pub async fn run(context: &Context, args: Args) -> Result<()> {
    let status = match args.command.unwrap_or(Command::Show) {
        Command::Show => attach::ask(context, &GetClock {}).await?,
        Command::Set { speed } => attach::ask(context, &SetClock { speed }).await?,
        Command::Pause => attach::ask(context, &PauseClock {}).await?,
        Command::Resume => attach::ask(context, &ResumeClock {}).await?,
    };
    let zone = when::zone(None).map_err(Error::Usage)?;
    let moment = |iso: &str| iso.parse::<Timestamp>().ok();
    context.out.print(&status, |out| {
        if status.speed == 0.0 {
            return writeln!(out, "No clock runs. `skein clock set SPEED` starts one.");
        }
        writeln!(out, "{}", words(&status))?;
        if let Some(shows) = moment(&status.sim_time) {
            writeln!(out, "  shows    {}", when::absolute(shows, &zone))?;
        }
        match moment(&status.started_at) {
            Some(at) => writeln!(out, "  started  {}", when::both(at, Timestamp::now(), &zone)),
            None => Ok(()),
        }
    })
}

fn words(status: &ClockStatus) -> String {
    let paused = if status.paused { ", paused" } else { "" };
    format!("Tick {} at x{}{paused}", status.tick, status.speed)
}

/// What the server would take for another number is refused here.
fn speed(text: &str) -> std::result::Result<f64, String> {
    let digits = text.strip_prefix('x').unwrap_or(text);
    let speed = digits.parse().ok().filter(|speed| (1.0..=100.0).contains(speed));
    speed.ok_or_else(|| "a clock goes at 1 to 100 times the speed of the world".to_owned())
}
