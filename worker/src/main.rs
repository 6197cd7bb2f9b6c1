//! The program `skein-worker`: reads its settings, runs until it is told to stop, hands over.

use std::process::ExitCode;

use skein_worker::{Config, Fetching, Options};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

#[tokio::main]
async fn main() -> ExitCode {
    let config = match Config::from_env() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("skein-worker: {error}");
            return ExitCode::from(2);
        }
    };
    config.log.start();
    skein_sql::files::raise_limit();
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone()));
    let watches = Fetching::new(config.fetch_allow, config.deployment_key.map(|key| key.bytes()));
    let options = Options { watches, ..Options::new(config.connector, config.region) };
    match skein_worker::run(&options, &stop).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{}", error.chain());
            ExitCode::FAILURE
        }
    }
}

async fn stop_on_signal(stop: CancellationToken) {
    let mut terminate = signal(SignalKind::terminate()).expect("a runtime takes signals");
    let mut interrupt = signal(SignalKind::interrupt()).expect("a runtime takes signals");
    tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
    info!("stopping: duties are handed over");
    stop.cancel();
}
