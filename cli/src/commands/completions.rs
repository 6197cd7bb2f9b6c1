//! `skein completions`: what lets a shell complete our commands.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use crate::Result;

/// Which shell.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell whose script is printed. Source it, or put it where the shell looks, for instance
    /// `skein completions bash > ~/.local/share/bash-completion/completions/skein`.
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs `skein completions`. Needs no home; the script is text, also with `--json`.
pub fn run(args: &Args) -> Result<()> {
    // Through memory: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "skein", &mut script);
    let mut out = std::io::stdout().lock();
    out.write_all(&script)?;
    Ok(out.flush()?)
}
