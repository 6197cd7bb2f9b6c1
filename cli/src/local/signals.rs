//! The signals that end a local mesh.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Result;

/// Hears of Ctrl-C and SIGTERM. A terminal that goes away kills us, unless `nohup` says otherwise;
/// then the children's shells end them.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on neither ends this process by itself.
    pub fn listen() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
        }
    }
}
