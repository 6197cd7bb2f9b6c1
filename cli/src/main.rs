//! The program: reads its arguments, runs one command, and ends with that command's code.
//!
//! Nothing is made that the command does not need: what only explains itself ends before there is a
//! runtime, and the parser of log filters is made only where `RUST_LOG` has one.

use std::io::ErrorKind;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use skein::Error;
use skein::commands::{self, Cli};
use skein::output::Output;
use tokio::runtime::Builder;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// How long the end waits for what blocks: a name server that says nothing is not worth more, and
/// every file is whole whenever we end.
const END_PATIENCE: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    log();
    let out = Output::new(cli.json);
    let ended = Builder::new_current_thread().enable_all().build().map_err(Error::from);
    let ended = ended.and_then(|runtime| {
        let ended = runtime.block_on(commands::run(cli));
        runtime.shutdown_timeout(END_PATIENCE);
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough.
        Err(Error::Io(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            out.fail(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn log() {
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr);
    match EnvFilter::try_from_default_env() {
        // Below a warning, the library of MCP logs whole messages, with what peers wrote.
        Ok(filter) => {
            let quiet = "rmcp=warn".parse().expect("it is a directive");
            log.with_env_filter(filter.add_directive(quiet)).init();
        }
        Err(_) => log.with_max_level(LevelFilter::ERROR).init(),
    }
}

/// Says what is wrong with the arguments; or what was asked for, if that was help or the version.
fn usage(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().any(|word| word == "--json");
    if error.use_stderr() && wants_json {
        let text = error.render().to_string();
        let words = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        Output::new(true).fail(&Error::Usage(words.to_owned()));
    } else {
        // There is nowhere left to say that nobody reads it.
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
