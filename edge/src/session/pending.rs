//! Waiting until what was handed on has been done.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts the sends of a connection that are with the writer.
#[derive(Debug, Default)]
pub struct Pending {
    n: AtomicUsize,
    none: Notify,
}

impl Pending {
    /// One more.
    pub fn add(&self) {
        self.n.fetch_add(1, Ordering::AcqRel);
    }

    /// One less.
    pub fn done(&self) {
        if self.n.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.none.notify_waiters();
        }
    }

    /// Waits until there are none.
    pub async fn wait(&self) {
        loop {
            // Listen before looking: a wake-up that lands between the two would be lost.
            let mut none = std::pin::pin!(self.none.notified());
            none.as_mut().enable();
            if self.n.load(Ordering::Acquire) == 0 {
                return;
            }
            none.await;
        }
    }
}
