//! The heartbeat, on a connection that nothing else uses.

use std::{sync::Arc, time::Duration};

use skein_sql::{Settings, nodes};
use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::{Error, Result, life::Life};

/// Between attempts to get a connection back. The node has 15 s to beat again.
const RETRY: Duration = Duration::from_millis(500);

/// Beats until the life ends.
///
/// # Errors
/// When the node was declared dead, and nothing else.
pub async fn run(life: Arc<Life>) -> Result<()> {
    let beating = async {
        loop {
            let Err(error) = beat(&life).await else { continue };
            if error.is_fenced() {
                return Err(error);
            }
            let error = error.chain();
            warn!(error, "the beat failed: {error}");
            sleep(RETRY).await;
        }
    };
    tokio::select! {
        ended = beating => ended,
        () = life.stop.cancelled() => Ok(()),
    }
}

async fn beat(life: &Life) -> Result<()> {
    // A beat that hangs is no beat: another connection may get through.
    let within = life.timing.still_max / 3;
    let connect = life.connector.connect_cached(Settings::Ordinary);
    let db = timeout(within, connect).await.map_err(|_| Error::Late)??;
    loop {
        timeout(within, nodes::beat(&db, life.node)).await.map_err(|_| Error::Late)??;
        sleep(life.timing.beat).await;
    }
}
