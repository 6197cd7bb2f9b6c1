//! The ear: notifications on this worker's channel wake its duties.
//!
//! Whatever is said means only that something changed: duties look at the tables. A wake-up that
//! names a kind wakes that kind alone, everything else wakes all.

use std::{sync::Arc, time::Duration};

use skein_sql::{duties::Kind, note};
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
    while let Some(heard) = listener.notifications.recv().await {
        match note::woken(&heard.payload).and_then(|kind| Kind::parse(&kind)) {
            Some(kind) => life.wake(kind).notify_one(),
            None => life.wake_all(),
        }
    }
    Ok(())
}
