//! Runs a private PostgreSQL until it is told to stop, and prints where it is.
//!
//! The first argument names the folder that keeps the data; without one it is temporary.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use skein_embedded::{Options, Server};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = run().await else { return ExitCode::SUCCESS };
    let mut cause: Option<&dyn Error> = Some(&*error);
    while let Some(error) = cause {
        eprintln!("{error}");
        cause = error.source();
    }
    ExitCode::FAILURE
}

async fn run() -> Result<(), Box<dyn Error>> {
    let data = std::env::args_os().nth(1).map(PathBuf::from);
    let progress = Box::new(|words: &str| eprintln!("{words}"));
    let server = Server::start(Options { data, progress: Some(progress), ..Options::default() });
    let server = server.await?;
    println!("{} {}", server.pid(), server.url("postgres"));

    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => (),
    }
    Ok(server.stop().await?)
}
