//! The program: reads its arguments, runs one command, and ends with that command's code.

use std::process::ExitCode;

use clap::Parser;
use skein::Error;
use skein::commands::{self, Cli};
use skein::output::Output;
use tracing_subscriber::EnvFilter;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let out = Output::new(cli.json);
    match commands::run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough.
        Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            out.fail(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
