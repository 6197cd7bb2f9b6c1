//! The signals that stop the program.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `stop` at the first SIGTERM or SIGINT.
pub async fn cancel(stop: CancellationToken) {
    let mut terminate = signal(SignalKind::terminate()).expect("a process can hear SIGTERM");
    let mut interrupt = signal(SignalKind::interrupt()).expect("a process can hear SIGINT");
    tokio::select! {
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
    }
    stop.cancel();
}
