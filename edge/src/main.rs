//! `skein-edge`: reads its settings, serves until a signal, and drains.

use std::{process::ExitCode, sync::Arc};

use poem::Server;
use skein_edge::{Config, Edge, acceptor, http, measure};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

#[tokio::main]
async fn main() -> ExitCode {
    skein_edge::logging::start();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            error!(error = ?cause, "{cause}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::from_env()?;
    skein_sql::files::raise_limit();
    let listener = TcpListener::bind(config.listen).await?;
    let address = listener.local_addr()?;
    let acceptor = acceptor::EdgeAcceptor::of(listener, &config)?;
    let edge = Edge::start(config, measure::install()?).await?;
    let stop = CancellationToken::new();
    tokio::spawn(skein_edge::signals::cancel(stop.clone()));
    info!(%address, "serving on {address}");
    let serving =
        tokio::spawn(Server::new_with_acceptor(acceptor).run(http::routes(Arc::clone(&edge))));
    edge.run(&stop).await;
    serving.abort();
    Ok(())
}
