//! The ear: notifications on this worker's channel wake its duties.
//!
//! Whatever is said means only that something changed: every duty looks at the tables.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tracing::warn;

use crate::{Result, life::Life};

/// Between attempts to listen again. Meanwhile everything happens by the clock.
const RETRY: Duration = Duration::from_secs(1);

/// Listens until the life ends.
///
/// # Errors
/// When the node was declared dead, and nothing else.
pub async fn run(life: Arc<Life>) -> Result<()> {
    let listening = async {
        loop {
            match listen(&life).await {
                Err(error) if error.is_fenced() => return Err(error),
                Err(error) => {
                    let error = error.chain();
                    warn!(error, "listening failed: {error}");
                }
                Ok(()) => warn!("the listening connection ended"),
            }
            sleep(RETRY).await;
        }
    };
    tokio::select! {
        ended = listening => ended,
        () = life.stop.cancelled() => Ok(()),
    }
}

async fn listen(life: &Life) -> Result<()> {
    let mut listener = life.connector.listener().await?;
    listener.listen(life.node).await?;
    // What was said before is lost.
    life.wake_all();
    while listener.notifications.recv().await.is_some() {
        life.wake_all();
    }
    Ok(())
}
